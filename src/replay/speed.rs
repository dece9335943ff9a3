//! How fast a recording is played.

use std::str::FromStr;
use std::time::Duration;

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// As fast as the client takes it.
    Max,
    /// So many times as fast as it was: a number above 0.
    Times(f64),
}

/// Something else was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a number from 0.001 to 1000, such as 2 or 0.5; or max, or 0, for as fast as it goes")]
pub struct SpeedError;

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(text: &str) -> Result<Self, SpeedError> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>().map_err(|_| SpeedError)? {
            0.0 => Ok(Self::Max),
            times if (0.001..=1000.0).contains(&times) => Ok(Self::Times(times)),
            _ => Err(SpeedError),
        }
    }
}

impl Speed {
    /// When what was said `time_ms` after the beginning is said again. None: at once, or in a time that nobody lives to see.
    pub(super) fn due(self, time_ms: u64) -> Option<Duration> {
        match self {
            Self::Max => None,
            Self::Times(times) => {
                Duration::try_from_secs_f64(Duration::from_millis(time_ms).as_secs_f64() / times).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_speed_and_what_is_not() {
        assert_eq!("1".parse(), Ok(Speed::Times(1.0)));
        assert_eq!("0.5".parse(), Ok(Speed::Times(0.5)));
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("0".parse(), Ok(Speed::Max));
        for text in ["", "-1", "1001", "0.0001", "nan", "inf", "fast", "2x"] {
            assert_eq!(text.parse::<Speed>(), Err(SpeedError), "{text}");
        }
    }

    #[test]
    fn twice_as_fast_is_due_after_half_the_time() {
        assert_eq!(Speed::Times(2.0).due(3000), Some(Duration::from_millis(1500)));
        assert_eq!(Speed::Times(0.5).due(10), Some(Duration::from_millis(20)));
        assert_eq!(Speed::Max.due(3000), None);
    }
}
