//! How many records of a kind others may cause: clients that are refused, as many as like to come.
//!
//! Pure; time is an argument. The first records of a while are logged, for they say who comes and why not; of the rest only
//! the number, with the first record of the next while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::kind::Kind;

/// As many as somebody reads.
const RECORDS_MAX: u64 = 20;

/// In so long a while. journald's own bound, 10000 records in 30 s for all of a service, stays far away.
const WHILE: Duration = Duration::from_secs(10);

/// The records of one route that its clients cause, each kind counted apart: a flood of one must not hide another.
#[derive(Debug, Default)]
pub struct Quotas {
    by_kind: Mutex<HashMap<Kind, Quota>>,
}

#[derive(Debug)]
struct Quota {
    begun: Instant,
    records: u64,
}

impl Quotas {
    /// Whether a record of this kind is to be logged now. If so, how many were not since the last one.
    pub fn admit(&self, kind: Kind, now: Instant) -> Option<u64> {
        let mut by_kind = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        let quota = by_kind.entry(kind).or_insert(Quota { begun: now, records: 0 });
        let unlogged = if now.saturating_duration_since(quota.begun) >= WHILE {
            let unlogged = quota.records.saturating_sub(RECORDS_MAX);
            *quota = Quota { begun: now, records: 0 };
            unlogged
        } else {
            0
        };
        quota.records += 1;
        (quota.records <= RECORDS_MAX).then_some(unlogged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_logged_in_part_and_counted_whole() {
        let quotas = Quotas::default();
        let begin = Instant::now();
        let admitted = (0..1000).filter_map(|_| quotas.admit(Kind::AddressFull, begin));
        assert_eq!(admitted.collect::<Vec<_>>(), [0; 20]);
        assert_eq!(quotas.admit(Kind::AddressFull, begin + WHILE), Some(980));
        assert_eq!(quotas.admit(Kind::AddressFull, begin + WHILE), Some(0), "and not told twice");
    }

    #[test]
    fn a_flood_of_one_kind_hides_no_other() {
        let quotas = Quotas::default();
        let now = Instant::now();
        while quotas.admit(Kind::AddressFull, now).is_some() {}
        assert_eq!(quotas.admit(Kind::RequestRefused, now), Some(0));
    }
}
