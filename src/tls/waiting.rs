//! Bytes that wait, in a row: they come at the end and go away from the front.
//!
//! Promise: whoever has nothing that waits has no memory for it. Bounds are the owner's.

/// Empty at first.
#[derive(Default)]
pub(super) struct Waiting {
    bytes: Vec<u8>,
    start: usize,
}

impl Waiting {
    /// All that wait.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Whether none do.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// These do, too.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// And so many, which are to be written where this gives room.
    pub(super) fn grow(&mut self, count: usize) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.resize(start + count, 0);
        &mut self.bytes[start..]
    }

    /// The first ones are gone.
    pub(super) fn take(&mut self, count: usize) {
        self.start += count;
        if self.start == self.bytes.len() {
            *self = Self::default();
        }
    }

    /// What it has memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
