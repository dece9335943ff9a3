//! How many records of one kind a client may cause: a guess of a token a millisecond must not fill a disk.
//!
//! Pure: time goes in as an argument.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Records that are let through in one span of time.
const RECORDS: u32 = 10;

/// That span.
const SPAN: Duration = Duration::from_secs(10);

/// Lets so many records through in a span of time, and counts the others.
#[derive(Debug, Default)]
pub struct Pace(Mutex<Span>);

#[derive(Debug, Default)]
struct Span {
    began: Option<Instant>,
    records: u32,
    held_back: u64,
}

impl Pace {
    /// Whether a record may be made `now`, and how many could not be since the last one.
    pub fn lets_through(&self, now: Instant) -> Option<u64> {
        let mut span = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if span.began.is_none_or(|began| now.saturating_duration_since(began) >= SPAN) {
            (span.began, span.records) = (Some(now), 0);
        }
        if span.records == RECORDS {
            span.held_back += 1;
            return None;
        }
        span.records += 1;
        Some(std::mem::take(&mut span.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_let_through_in_a_span_and_the_others_are_counted() {
        let pace = Pace::default();
        let began = Instant::now();
        let let_through = (0..10_000).filter(|_| pace.lets_through(began) == Some(0)).count();
        assert_eq!(let_through, 10);
        assert_eq!(pace.lets_through(began + (SPAN / 2)), None);
        assert_eq!(pace.lets_through(began + SPAN), Some(9991));
        assert_eq!(pace.lets_through(began + SPAN), Some(0));
    }
}
