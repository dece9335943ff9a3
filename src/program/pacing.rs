//! What follows the end of a program, and when: a rule, which knows the time only as an argument.
//!
//! The pace of starting again is the original's: it looked once a second, and started the program unless the mean of its last
//! three starts was less than ten seconds ago, where a start that never was is long ago. So a program that ends at once is
//! started after 0, 1, 2, 11, 15, 20, 26, 31 seconds.

use std::str::FromStr;
use std::time::{Duration, Instant};

/// The mean of the last starts is at least so long ago.
const MEAN_AGE: Duration = Duration::from_secs(10);
/// So many starts are looked at.
const STARTS: u32 = 3;
/// So often somebody looks.
const TICK: Duration = Duration::from_secs(1);

/// What follows the end of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExit {
    /// The daemon ends, with the program's status.
    #[default]
    Exit,
    /// Nothing: it may have gone to the background.
    Ignore,
    /// It is started again.
    Respawn,
}

/// Not a mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not exit, ignore or respawn")]
pub struct OnExitError(String);

impl FromStr for OnExit {
    type Err = OnExitError;

    fn from_str(text: &str) -> Result<Self, OnExitError> {
        match text {
            "exit" => Ok(Self::Exit),
            "ignore" => Ok(Self::Ignore),
            "respawn" => Ok(Self::Respawn),
            other => Err(OnExitError(other.to_owned())),
        }
    }
}

/// The last starts of a program.
#[derive(Clone, Debug)]
pub struct Pacing {
    /// From here on somebody looks.
    origin: Instant,
    /// The oldest first.
    starts: [Option<Instant>; STARTS as usize],
}

impl Pacing {
    /// Nothing was started before `now`.
    pub fn new(now: Instant) -> Self {
        Self { origin: now, starts: [None; STARTS as usize] }
    }

    /// The program was started. What counts is when somebody looked, and not the moment more that it took.
    pub fn started(&mut self, now: Instant) {
        self.starts.rotate_left(1);
        *self.starts.last_mut().expect("three are looked at") =
            Some(self.origin + Duration::from_secs((now - self.origin).as_secs()));
    }

    /// When the program, which ended at `now`, is to be started again.
    pub fn next(&self, now: Instant) -> Instant {
        self.tick(self.rested().unwrap_or(now).max(now))
    }

    /// It ends so fast that it has to wait.
    pub fn is_too_fast(&self, now: Instant) -> bool {
        self.rested().is_some_and(|rested| self.tick(now) < rested)
    }

    /// When the mean of the last starts is old enough. None: it is already, for there were not so many.
    fn rested(&self) -> Option<Instant> {
        let ages = self.starts.iter().map(|start| start.map(|start| start.saturating_duration_since(self.origin)));
        let sum = ages.sum::<Option<Duration>>()?;
        Some(self.origin + sum / STARTS + MEAN_AGE)
    }

    /// When somebody looks next, not before `at`.
    fn tick(&self, at: Instant) -> Instant {
        let since = at.saturating_duration_since(self.origin);
        let whole = Duration::from_secs(since.as_secs());
        self.origin + if whole == since { whole } else { whole + TICK }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The original, in a few lines: seconds since its start in which it started a program that lives for `lives`.
    fn original(lives: &[Duration]) -> Vec<i64> {
        let long_ago = -1_000_000_000;
        let (mut times, mut starts, mut second) = ([long_ago; 3], Vec::new(), 0);
        for life in lives {
            loop {
                if 3 * second - times.iter().sum::<i64>() >= 3 * 10 {
                    break;
                }
                second += 1;
            }
            starts.push(second);
            times = [times[1], times[2], second];
            // A second at least, because it has just looked.
            let seconds = life.as_secs() + u64::from(life.subsec_nanos() > 0);
            second += i64::try_from(seconds).expect("lives are short").max(1);
        }
        starts
    }

    fn ours(lives: &[Duration]) -> Vec<i64> {
        let origin = Instant::now();
        let (mut pacing, mut now, mut starts) = (Pacing::new(origin), origin, Vec::new());
        for life in lives {
            starts.push(i64::try_from((now - origin).as_secs()).expect("lives are short"));
            pacing.started(now);
            now = pacing.next(now + *life);
        }
        starts
    }

    #[test]
    fn a_program_that_ends_at_once_is_started_when_the_original_did_it() {
        let at_once = [Duration::from_millis(2); 8];
        assert_eq!(ours(&at_once), [0, 1, 2, 11, 15, 20, 26, 31]);
        assert_eq!(original(&at_once), ours(&at_once));
    }

    #[test]
    fn a_program_that_lives_longer_is_started_at_once() {
        let origin = Instant::now();
        let mut pacing = Pacing::new(origin);
        for start in [0, 60, 120, 180] {
            pacing.started(origin + Duration::from_secs(start));
            let ended = origin + Duration::from_secs(start + 59);
            assert!(!pacing.is_too_fast(ended));
            assert_eq!(pacing.next(ended), ended);
        }
    }

    #[test]
    fn only_a_wait_for_the_mean_is_too_fast() {
        let origin = Instant::now();
        let at = |milliseconds| origin + Duration::from_millis(milliseconds);
        let mut pacing = Pacing::new(origin);
        let mut too_fast = Vec::new();
        for start in [0, 1000, 2000, 11_000, 15_000] {
            pacing.started(at(start));
            too_fast.push(pacing.is_too_fast(at(start + 2)));
        }
        assert_eq!(too_fast, [false, false, true, true, true]);
    }

    #[test]
    fn the_modes_are_the_originals() {
        assert_eq!("exit".parse(), Ok(OnExit::Exit));
        assert_eq!("ignore".parse(), Ok(OnExit::Ignore));
        assert_eq!("respawn".parse(), Ok(OnExit::Respawn));
        assert_eq!(
            "never".parse::<OnExit>().map_err(|error| error.to_string()),
            Err("'never' is not exit, ignore or respawn".to_owned())
        );
    }

    #[test]
    fn a_start_that_took_a_moment_longer_changes_nothing() {
        let origin = Instant::now();
        let at = |milliseconds| origin + Duration::from_millis(milliseconds);
        let mut pacing = Pacing::new(origin);
        for start in [2, 1030, 2009] {
            pacing.started(at(start));
        }
        assert_eq!(pacing.next(at(2015)), at(11_000));
    }

    proptest! {
        #[test]
        fn the_pace_is_the_originals(lives in prop::collection::vec(1_u64..40_000, 1..40)) {
            let lives: Vec<Duration> = lives.into_iter().map(Duration::from_millis).collect();
            prop_assert_eq!(ours(&lives), original(&lives));
        }

        #[test]
        fn no_more_than_three_starts_are_in_any_ten_seconds(lives in prop::collection::vec(0_u64..5_000, 4..40)) {
            let starts = ours(&lives.into_iter().map(Duration::from_millis).collect::<Vec<_>>());
            for four in starts.windows(4) {
                prop_assert!(four[3] - four[0] >= 10, "{four:?}");
            }
        }
    }
}
