//! A version with almost all the traffic, side by side with the share that was held back for its predecessor.
//!
//! PURE. What may turn bad later is looked for with an e-detector ([`Detector`]), which does not spend its evidence on
//! the good time before. While the hypothesis holds, its `M` less the number of windows `t` is a supermartingale; so for a
//! look of `n` windows `(M + n − t)/n` is an e-process that begins at 1, and takes its place among the other tests.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::errors::side;
use super::{Counts, Detector, LogE, Size};
use crate::model::ErrorsMetric;

/// The length of a window, as the proxies report.
const TICK: Duration = Duration::from_secs(1);

/// The evidence of one holdback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Holdback {
    detector: Detector,
    /// For how many windows it is looked at.
    ticks: u64,
    /// How many of them were.
    seen: u64,
    canary: Counts,
    baseline: Counts,
}

impl Holdback {
    /// Of so many windows.
    pub(super) fn begin(ticks: u64) -> Self {
        let nothing = Counts::default();
        Self { detector: Detector::default(), ticks: ticks.max(1), seen: 0, canary: nothing, baseline: nothing }
    }

    /// Begun anew, for the windows that are left.
    pub(super) fn anew(self) -> Self {
        Self::begin(self.ticks - self.seen)
    }

    /// How many windows a length has.
    pub(super) fn ticks(length: Duration) -> u64 {
        length.as_secs().div_ceil(TICK.as_secs()).max(1)
    }

    /// Takes in one window. After the last one nothing more is learnt: the promise is for so many.
    pub(super) fn observe(&mut self, canary: Counts, baseline: Counts, metric: &ErrorsMetric, size: Size) {
        if self.seen == self.ticks {
            return;
        }
        self.seen += 1;
        self.canary = self.canary.plus(canary);
        self.baseline = self.baseline.plus(baseline);
        self.detector.observe(canary, baseline, metric.tolerate_ratio, size);
    }

    /// The e-value against "no worse than what was held back, at any time".
    pub(super) fn evidence(&self) -> LogE {
        let left = LogE::from_ln(((self.ticks - self.seen) as f64).ln());
        // The sum of both is twice their average.
        let sum = LogE::average([(1.0, self.detector.evidence()), (1.0, left)]).times(std::f64::consts::LN_2);
        sum.times(-(self.ticks as f64).ln())
    }

    /// What is compared, with counts and rates.
    pub(super) fn said(&self) -> String {
        format!("errors: a change, {} against {} of what was held back", side(self.canary), side(self.baseline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(errors: u64, requests: u64) -> Counts {
        Counts { requests, errors }
    }

    #[test]
    fn it_begins_at_one_and_finds_a_change_that_comes_late() {
        let mut holdback = Holdback::begin(3_600);
        assert!(holdback.evidence().ln().abs() < 1e-9);
        let metric = ErrorsMetric::default();
        for _ in 0..1_800 {
            holdback.observe(counts(5, 900), counts(1, 100), &metric, 1.0.into());
        }
        assert!(holdback.evidence().value() < 1.0);
        let found = (1..120).find(|_| {
            holdback.observe(counts(45, 900), counts(1, 100), &metric, 1.0.into());
            holdback.evidence().reaches(0.001)
        });
        assert!(found.is_some_and(|windows| windows < 20), "{found:?}");
    }

    #[test]
    fn it_ends_with_its_last_window() {
        let mut holdback = Holdback::begin(2);
        let metric = ErrorsMetric::default();
        for _ in 0..9 {
            holdback.observe(counts(50, 900), counts(0, 100), &metric, 1.0.into());
        }
        assert_eq!((holdback.seen, holdback.canary.requests), (2, 1_800));
        assert!(holdback.evidence().value().is_finite());
    }
}
