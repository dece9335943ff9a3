//! The pace of starting a program again, kept from one start's process to the next.
//!
//! The rule is [`Pacing`]'s, whoever supervises: systemd's own limits would give a program up that ends at once, and
//! before version 254 its pauses do not grow.

use std::time::{Duration, Instant};

use crate::program::pacing::Pacing;

/// Starts of the past: milliseconds on a clock that goes on between processes, the first of all before the last few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Starts(Vec<u64>);

/// So many of the last starts are kept: as many as the rule looks at.
const KEPT: usize = 3;

impl Starts {
    /// As [`text`](Self::text) wrote it. What is damaged is as if nothing had been started.
    pub(super) fn read(text: &str) -> Self {
        let numbers: Option<Vec<u64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
        Self(numbers.filter(|numbers| numbers.is_sorted() && numbers.len() <= 1 + KEPT).unwrap_or_default())
    }

    pub(super) fn text(&self) -> String {
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    /// How long to wait at `now`, and whether that is because the program ends too fast; the start is noted.
    pub(super) fn next(&mut self, now: u64) -> (Duration, bool) {
        let Some(origin) = self.0.first().copied().filter(|origin| *origin <= now) else {
            self.0 = vec![now, now];
            return (Duration::ZERO, false);
        };
        let anchor = Instant::now();
        let at = |time: u64| anchor + Duration::from_millis(time.saturating_sub(origin));
        let mut pacing = Pacing::new(anchor);
        for start in &self.0[1..] {
            pacing.started(at(*start));
        }
        let start = pacing.next(at(now));
        let too_fast = pacing.is_too_fast(at(now));
        self.0.push(origin + u64::try_from((start - anchor).as_millis()).unwrap_or_default());
        if self.0.len() > 1 + KEPT {
            self.0.remove(1);
        }
        (start - at(now), too_fast)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_at_once_is_started_when_the_original_did_it() {
        let (mut text, mut now, mut seconds) = (String::new(), 5_000_123, Vec::new());
        for _ in 0..8 {
            let mut starts = Starts::read(&text);
            let (wait, too_fast) = starts.next(now);
            text = starts.text();
            now += u64::try_from(wait.as_millis()).unwrap_or_default();
            assert_eq!(too_fast, wait > Duration::from_secs(1));
            seconds.push((now - 5_000_123) / 1000);
            now += 2;
        }
        assert_eq!(seconds, [0, 1, 2, 11, 15, 20, 26, 31]);
    }

    #[test]
    fn what_is_damaged_or_of_another_boot_is_nothing() {
        for text in ["", "x", "3 2 1", "1 2 3 4 5", "100 100"] {
            let mut starts = Starts::read(text);
            assert_eq!(starts.next(50), (Duration::ZERO, false), "{text:?}");
            assert_eq!(starts.text(), "50\n50");
        }
    }
}
