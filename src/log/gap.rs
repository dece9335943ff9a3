//! What a place that never waits did not take: counted, and told before the next record that it takes.

use std::io;

use super::record::Record;

/// How many records are missing since the last one that was taken.
#[derive(Debug, Default)]
pub(super) struct Gap {
    dropped: u64,
}

impl Gap {
    /// Sends `record`; before it, when there is one, the length of the gap.
    pub(super) fn send(&mut self, record: &Record, mut send: impl FnMut(&Record) -> io::Result<()>) {
        if self.dropped > 0 {
            if send(&Record::gap(self.dropped)).is_err() {
                self.dropped += 1; // the place may have made room just now, but the gap stands where it is told
                return;
            }
            self.dropped = 0;
        }
        if send(record).is_err() {
            self.dropped += 1;
        }
    }

    #[cfg(test)]
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}
