//! What repeated measurements say: their middle, their ends, and how certain the middle is.

use std::fmt;

/// Median, least and most of some values, and between what their distribution's median lies with 95 % confidence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    /// The ends of the confidence interval; least and most of fewer than six values.
    pub(super) confident: (f64, f64),
}

impl Spread {
    /// Of some values; not a number when there are none.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len().max(1) - 1;
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let rank = rank_of_confidence(values.len());
        Self {
            median: (at(last / 2) + at(values.len() / 2)) / 2.0,
            min: at(0),
            max: at(last),
            confident: (at(rank), at(last - rank)),
        }
    }
}

/// `median (min to max)`.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, min, max, .. } = self;
        f.pad(&format!("{median:.0} ({min:.0} to {max:.0})"))
    }
}

/// The largest rank (from 0) for which the median of a distribution lies between the values of this rank from below and
/// from above with 95 % confidence: how many heads of so many coins come up less often than once in forty (sign test).
fn rank_of_confidence(values: usize) -> usize {
    let (mut chance, mut sum) = (0.5_f64.powi(values as i32), 0.0);
    for heads in 0..values {
        sum += chance;
        if sum > 0.025 {
            return heads.saturating_sub(1);
        }
        chance *= (values - heads) as f64 / (heads + 1) as f64;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_told_whole() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied()).to_string();
        assert_eq!(spread(&[5.0, 1.0, 3.0]), "3 (1 to 5)");
        assert_eq!(spread(&[4.0, 1.0, 3.0, 2.0]), "2 (1 to 4)");
        assert_eq!(spread(&[7.0]), "7 (7 to 7)");
        assert_eq!(Spread::of((1..=10).map(f64::from)).confident, (2.0, 9.0));
        assert!(Spread::of(std::iter::empty()).median.is_nan());
    }

    #[test]
    fn the_confidence_of_a_median_is_that_of_the_sign_test() {
        // Tables of the binomial distribution: the values of these ranks, from 1, hold the median with 95 %.
        for (values, rank) in [(5, 1), (6, 1), (8, 1), (9, 2), (10, 2), (20, 6), (100, 40)] {
            assert_eq!(rank_of_confidence(values) + 1, rank, "{values} values");
        }
    }
}
