//! Two histograms side by side: how many requests were slower than each boundary that both know.
//!
//! PURE.

use crate::model::Histogram;

/// Canary and baseline at the boundaries that both have.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SideBySide {
    /// The canary's requests.
    pub(super) canary: u64,
    /// The baseline's requests.
    pub(super) baseline: u64,
    /// The finite boundaries, ascending.
    pub(super) boundaries: Vec<Slow>,
}

/// How many were slower than a boundary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slow {
    /// In milliseconds.
    pub(super) bound: f64,
    /// Of the canary's requests.
    pub(super) canary: u64,
    /// Of the baseline's.
    pub(super) baseline: u64,
}

impl SideBySide {
    /// `None` when one side has no requests, or is no histogram.
    pub(super) fn new(canary: &Histogram, baseline: &Histogram) -> Option<Self> {
        let (requests, theirs) = (canary.total(), baseline.total());
        if !canary.is_sound() || !baseline.is_sound() || requests == 0 || theirs == 0 {
            return None;
        }
        let mut above = above_each(baseline).peekable();
        let mut boundaries = Vec::with_capacity(canary.bounds.len());
        for (bound, canary) in above_each(canary) {
            while above.next_if(|(their, _)| *their < bound).is_some() {}
            if let Some((_, baseline)) = above.next_if(|(their, _)| *their == bound) {
                boundaries.push(Slow { bound, canary, baseline });
            }
        }
        Some(Self { canary: requests, baseline: theirs, boundaries })
    }
}

/// Each finite bound with how many are above it.
fn above_each(histogram: &Histogram) -> impl Iterator<Item = (f64, u64)> {
    let mut above = histogram.total();
    histogram.bounds.iter().zip(&histogram.counts).filter(|(bound, _)| bound.is_finite()).map(move |(bound, count)| {
        above = above.saturating_sub(*count);
        (*bound, above)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(bounds: &[f64], counts: &[u64]) -> Histogram {
        Histogram { bounds: bounds.to_vec(), counts: counts.to_vec() }
    }

    #[test]
    fn slow_requests_at_the_boundaries_that_both_know() {
        let canary = histogram(&[1.0, 2.0, 5.0, f64::INFINITY], &[1, 2, 3, 4]);
        let baseline = histogram(&[2.0, 3.0, 5.0], &[10, 20, 30]);
        let slow = |bound, canary, baseline| Slow { bound, canary, baseline };
        assert_eq!(
            SideBySide::new(&canary, &baseline),
            Some(SideBySide { canary: 10, baseline: 60, boundaries: vec![slow(2.0, 7, 50), slow(5.0, 4, 0)] })
        );
        for none in [histogram(&[], &[]), histogram(&[1.0], &[0]), histogram(&[2.0, 1.0], &[1, 1])] {
            assert_eq!(SideBySide::new(&canary, &none), None, "{none:?}");
            assert_eq!(SideBySide::new(&none, &canary), None, "{none:?}");
        }
    }
}
