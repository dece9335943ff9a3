//! How much a session may move before the others of its thread get their turn.
//!
//! Bounded by bytes: a step of a few bytes takes a microsecond or two, one of a megabyte some hundred. A session that has the
//! thread for itself gets more at a time, so that the question whether there is anybody else, which is a call to the kernel, is
//! a small part of what it does.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// With others on the thread.
const SHARED_BYTES: usize = 256 * 1024;

/// Without.
const ALONE_BYTES: usize = 1024 * 1024;

/// What a step costs at least: what the calls to the kernel take, in bytes that could be copied meanwhile.
const STEP_BYTES: usize = 16 * 1024;

/// Others that have not said anything for so long are as good as none.
const COMPANY: Duration = Duration::from_millis(100);

thread_local! {
    static THREAD: Cell<Option<Seen>> = const { Cell::new(None) };
}

/// What happened on this thread.
#[derive(Clone, Copy)]
struct Seen {
    /// Who had the last turn.
    session: usize,
    /// When.
    last: Instant,
    /// When two different ones last followed each other closely.
    company: Option<Instant>,
}

/// A session's turn.
#[derive(Debug)]
pub(super) struct Turn {
    size: usize,
    spent: usize,
}

impl Turn {
    /// `session` is a number that no other session of the thread has.
    pub(super) fn begin(session: usize, now: Instant) -> Self {
        let recent = |at: &Instant| now.saturating_duration_since(*at) <= COMPANY;
        let company = match THREAD.get() {
            Some(seen) if seen.session != session && recent(&seen.last) => Some(now),
            Some(seen) => seen.company.filter(recent),
            None => None,
        };
        THREAD.set(Some(Seen { session, last: now, company }));
        let shared = company.is_some();
        Self { size: if shared { SHARED_BYTES } else { ALONE_BYTES }, spent: 0 }
    }

    /// The most that one step should move.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// A step has moved so many bytes.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.spent += bytes.max(STEP_BYTES);
    }

    pub(super) fn is_over(&self) -> bool {
        self.spent >= self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_among_others_gets_less_at_a_time_until_they_are_silent() {
        let start = Instant::now();
        assert_eq!(Turn::begin(1, start).size(), ALONE_BYTES);
        assert_eq!(Turn::begin(2, start + COMPANY).size(), SHARED_BYTES);
        assert_eq!(Turn::begin(2, start + 2 * COMPANY).size(), SHARED_BYTES);
        let later = start + 3 * COMPANY;
        assert_eq!(Turn::begin(2, later).size(), ALONE_BYTES);
        let much_later = later + 2 * COMPANY;
        assert_eq!(Turn::begin(1, much_later).size(), ALONE_BYTES, "the other has been silent for long");
        assert_eq!(Turn::begin(2, much_later).size(), SHARED_BYTES);
    }

    #[test]
    fn a_turn_is_bounded_in_bytes_and_in_steps() {
        for (bytes, steps) in [(0, 16), (64 * 1024, 4), (1024 * 1024, 1)] {
            let mut turn = Turn { size: SHARED_BYTES, spent: 0 };
            for _ in 0..steps {
                assert!(!turn.is_over());
                turn.spend(bytes);
            }
            assert!(turn.is_over(), "{bytes}");
        }
    }
}
