//! What the figures of many rounds say together.
//!
//! Rounds on a shared machine differ more between minutes than candidates differ within one, so the
//! unit of evidence is the *paired ratio*: a candidate's figure over another's of the same round.
//! The median of these forgives a bad round without anyone deciding which round was bad.

/// A small generator (xorshift64*), so that a run can be repeated from its printed seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Zero is the one state that xorshift never leaves.
        Self(if seed == 0 { 0x9e37_79b9_7f4a_7c15 } else { seed })
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`. The bias of a 64-bit remainder is far below any noise here.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("usize fits in 64 bits");
        usize::try_from(self.next() % bound).expect("smaller than a usize")
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// The middle of the figures; `None` where there are none.
pub fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[upper]),
        _ => Some(f64::midpoint(sorted[upper - 1], sorted[upper])),
    }
}

/// The figure that so much of all lies below; `None` where there are none.
pub fn quantile(figures: &[f64], part: f64) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
    let place = (part * sorted.len() as f64) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied()
}

/// Each round's figure over the base's figure of the same round.
pub fn paired_ratios(figures: &[f64], base: &[f64]) -> Vec<f64> {
    assert_eq!(figures.len(), base.len(), "every round measures every candidate");
    figures.iter().zip(base).map(|(figure, base)| figure / base).collect()
}

const RESAMPLES: usize = 10_000;

/// The median with its 95 % interval, by the percentile bootstrap: the rounds are drawn again with
/// replacement, many times, and the medians of the draws show how far chance alone moves a median.
pub fn estimate(figures: &[f64], random: &mut Random) -> Option<Estimate> {
    let median_of_all = median(figures)?;
    let mut draw = vec![0.0; figures.len()];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            draw.fill_with(|| figures[random.below(figures.len())]);
            median(&draw).expect("the draw is as long as the figures")
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let tail = RESAMPLES / 40;
    Some(Estimate { median: median_of_all, low: medians[tail], high: medians[RESAMPLES - 1 - tail] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_quantile_has_so_much_below_it() {
        let figures: Vec<f64> = (0..200).rev().map(f64::from).collect();
        assert_eq!(quantile(&figures, 0.99), Some(198.0));
        assert_eq!(quantile(&figures, 1.0), Some(199.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn ratios_pair_the_rounds() {
        // A machine that is twice as slow in the second round changes no ratio.
        assert_eq!(paired_ratios(&[3.0, 6.0], &[2.0, 4.0]), [1.5, 1.5]);
    }

    #[test]
    #[should_panic(expected = "every round measures every candidate")]
    fn a_missing_round_is_not_overlooked() {
        paired_ratios(&[1.0, 2.0], &[1.0]);
    }

    #[test]
    fn interval_holds_the_median_and_is_narrower_than_the_range() {
        let figures: Vec<f64> = (1..=31).map(f64::from).collect();
        let estimate = estimate(&figures, &mut Random::new(7)).unwrap();
        assert!((estimate.median - 16.0).abs() < f64::EPSILON);
        // The exact (binomial) 95 % interval of this median runs from the 10th to the 22nd value.
        assert!((8.0..=12.0).contains(&estimate.low), "{estimate:?}");
        assert!((20.0..=24.0).contains(&estimate.high), "{estimate:?}");
    }

    #[test]
    fn interval_of_equal_figures_is_a_point() {
        let estimate = estimate(&[1.25; 7], &mut Random::new(1)).unwrap();
        assert_eq!(estimate, Estimate { median: 1.25, low: 1.25, high: 1.25 });
    }

    #[test]
    fn one_wild_round_does_not_move_the_median() {
        let figures = [1.1, 1.1, 1.1, 1.1, 1.1, 1.1, 90.0];
        assert_eq!(median(&figures), Some(1.1));
    }

    #[test]
    fn a_seed_repeats_its_shuffle_and_loses_nothing() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..50).collect();
            Random::new(seed).shuffle(&mut items);
            items
        };
        assert_eq!(shuffled(5), shuffled(5));
        assert_ne!(shuffled(5), shuffled(6));
        let mut items = shuffled(0);
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<u32>>());
    }

    #[test]
    fn every_place_is_reached_by_every_item() {
        let mut seen = [[0; 3]; 3];
        let mut random = Random::new(11);
        for _ in 0..3000 {
            let mut items = [0, 1, 2];
            random.shuffle(&mut items);
            for (place, item) in items.into_iter().enumerate() {
                seen[place][item] += 1;
            }
        }
        assert!(seen.iter().flatten().all(|&count| (850..1150).contains(&count)), "{seen:?}");
    }
}
