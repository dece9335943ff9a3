//! How a target's bytes are taken: copied, or spliced in larger and larger steps.
//!
//! To splice costs a call more than to copy, and more where the source is empty then; and a frame is as large as its step. So it pays for a flood of bytes, whose client
//! takes them as fast as they come: a browser sees a frame only when it has all of it, and on a slow network a megabyte would
//! be long in coming.

use std::time::{Duration, Instant};

/// Full reads in a row that make a flood.
const FULL_READS: u8 = 3;

/// From one step to the next, and so what a frame may take to leave.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// The first step of a splice. Each doubles, as long as the client keeps up.
const STEP_MIN: usize = 128 * 1024;

/// A splice that moved less would have been a cheap copy: two of them in a row, and the flood is over.
const SHORT_BYTES: usize = 16 * 1024;

/// The state of one direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stride {
    step: Step,
    last: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Copy {
        /// The reads that were full, in a row.
        full: u8,
    },
    Splice {
        limit: usize,
        /// The last one moved little.
        short: bool,
    },
}

impl Stride {
    pub(super) fn new(now: Instant) -> Self {
        Self { step: Step::Copy { full: 0 }, last: now }
    }

    /// How much to splice. None: copy.
    pub(super) fn splice(&self) -> Option<usize> {
        match self.step {
            Step::Copy { .. } => None,
            Step::Splice { limit, .. } => Some(limit),
        }
    }

    /// `count` bytes were taken, of at most `most`. The step before has gone out.
    pub(super) fn took(&mut self, now: Instant, count: usize, most: usize) {
        let in_time = now.saturating_duration_since(self.last) <= PAUSE_MAX;
        self.last = now;
        self.step = match self.step {
            Step::Splice { short, .. } if !in_time || (short && count < SHORT_BYTES) => Step::Copy { full: 0 },
            Step::Splice { limit, .. } => Step::Splice { limit: limit.saturating_mul(2), short: count < SHORT_BYTES },
            Step::Copy { full } if in_time && count == most && full + 1 >= FULL_READS => {
                Step::Splice { limit: STEP_MIN, short: false }
            }
            Step::Copy { full } if in_time && count == most => Step::Copy { full: full + 1 },
            Step::Copy { .. } => Step::Copy { full: u8::from(count == most) },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: usize = 64 * 1024;
    const MOMENT: Duration = Duration::from_millis(1);

    fn flood(start: Instant) -> Stride {
        let mut stride = Stride::new(start);
        for _ in 0..FULL_READS {
            assert_eq!(stride.splice(), None);
            stride.took(start, READ, READ);
        }
        stride
    }

    #[test]
    fn full_reads_in_a_row_make_a_splice_that_grows() {
        let start = Instant::now();
        let mut stride = flood(start);
        assert_eq!(stride.splice(), Some(STEP_MIN));
        stride.took(start + MOMENT, STEP_MIN, STEP_MIN);
        assert_eq!(stride.splice(), Some(2 * STEP_MIN));
    }

    #[test]
    fn a_read_that_is_not_full_or_late_begins_anew() {
        let start = Instant::now();
        for (count, pause) in [(READ - 1, MOMENT), (READ, PAUSE_MAX + MOMENT)] {
            let mut stride = Stride::new(start);
            stride.took(start, READ, READ);
            stride.took(start, READ, READ);
            stride.took(start + pause, count, READ);
            assert_eq!(stride.splice(), None, "{count} after {pause:?}");
        }
    }

    #[test]
    fn two_short_splices_in_a_row_end_it_and_one_does_not() {
        let start = Instant::now();
        let mut stride = flood(start);
        for count in [100, STEP_MIN, 100] {
            stride.took(start, count, STEP_MIN);
            assert!(stride.splice().is_some());
        }
        stride.took(start, 100, STEP_MIN);
        assert_eq!(stride.splice(), None);
    }

    #[test]
    fn a_client_that_takes_its_time_gets_small_frames_again() {
        let start = Instant::now();
        let mut stride = flood(start);
        stride.took(start + PAUSE_MAX + MOMENT, STEP_MIN, STEP_MIN);
        assert_eq!(stride.splice(), None);
    }
}
