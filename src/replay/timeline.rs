//! How much was said when, in a fixed number of buckets, however long it takes. Pure.

use crate::record::format::Side;

/// More columns than any terminal has, so that they need not be known in advance.
const BUCKETS: usize = 2048;

/// Bytes of both sides over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timeline {
    buckets: Vec<[u64; 2]>,
    /// The span of one.
    bucket_ms: u64,
}

impl Timeline {
    pub(super) fn new() -> Self {
        Self { buckets: vec![[0; 2]; BUCKETS], bucket_ms: 1 }
    }

    /// Adds what was said at `time_ms`.
    pub(super) fn add(&mut self, side: Side, time_ms: u64, bytes: u64) {
        while time_ms / self.bucket_ms >= BUCKETS as u64 {
            self.halve();
        }
        let index = usize::try_from(time_ms / self.bucket_ms).unwrap_or(BUCKETS - 1);
        self.buckets[index][side as usize] += bytes;
    }

    /// Bytes a second of `side` from the beginning to `end_ms`, in that many columns or fewer. Only nothing is 0.
    pub(super) fn rates(&self, side: Side, end_ms: u64, columns: usize) -> Vec<u64> {
        let used = usize::try_from(end_ms / self.bucket_ms + 1).unwrap_or(BUCKETS).min(BUCKETS);
        let columns = columns.clamp(1, used);
        let rate = |column: usize| {
            let span = column * used / columns..(column + 1) * used / columns;
            let span_ms = span.len() as u128 * u128::from(self.bucket_ms);
            let bytes: u128 = self.buckets[span].iter().map(|bucket| u128::from(bucket[side as usize])).sum();
            u64::try_from((bytes * 1000).div_ceil(span_ms)).unwrap_or(u64::MAX)
        };
        (0..columns).map(rate).collect()
    }

    /// Makes buckets of twice the span.
    fn halve(&mut self) {
        for index in 0..BUCKETS / 2 {
            let (first, second) = (self.buckets[2 * index], self.buckets[2 * index + 1]);
            self.buckets[index] = [first[0] + second[0], first[1] + second[1]];
        }
        self.buckets[BUCKETS / 2..].fill([0; 2]);
        self.bucket_ms *= 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_stands_where_it_was() {
        let mut timeline = Timeline::new();
        timeline.add(Side::Target, 0, 100);
        timeline.add(Side::Target, 7_500, 2000);
        timeline.add(Side::Client, 9_999, 1);
        let rates = timeline.rates(Side::Target, 9_999, 10);
        assert_eq!(rates.len(), 10);
        assert!((90..110).contains(&rates[0]) && (1900..2100).contains(&rates[7]), "{rates:?}");
        assert!(rates[1..7].iter().chain(&rates[8..]).all(|rate| *rate == 0), "{rates:?}");
        assert!(timeline.rates(Side::Client, 9_999, 10)[9] > 0);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_however_long_it_takes(
            said in proptest::collection::vec((0_u64..1 << 50, 1_u64..1000), 1..50), columns in 1_usize..300,
        ) {
            let mut timeline = Timeline::new();
            for (time_ms, bytes) in &said {
                timeline.add(Side::Client, *time_ms, *bytes);
            }
            let total: u64 = said.iter().map(|(_, bytes)| bytes).sum();
            prop_assert_eq!(timeline.buckets.iter().map(|bucket| bucket[0]).sum::<u64>(), total);
            let end_ms = said.iter().map(|(time_ms, _)| *time_ms).max().unwrap_or_default();
            let rates = timeline.rates(Side::Client, end_ms, columns);
            prop_assert!(!rates.is_empty() && rates.len() <= columns);
            prop_assert!(rates.iter().any(|rate| *rate > 0));
        }
    }
}
