//! After the switch: is the version that has all the traffic worse than its predecessor was?
//!
//! PURE. With all the traffic there is no contemporary baseline, so the hypothesis is a fixed rate: "the error rate is
//! at most `p*`", where `p*` is the largest of the harmless rate and the tolerated multiple of what the predecessor's
//! rate may have been ([`ceiling`]). A bet on a higher rate `q` multiplies its e-value by `q/p*` for a failed request and
//! by `(1 − q)/(1 − p*)` for a clean one: at most 1 on average for every rate up to `p*`.
//!
//! A fault may come late, when a product over the whole time would have sunk far below 1. So the stake is spread over the
//! moments at which it may begin: with `w(t) = 1/(t(t + 1))`, which sums to 1, `M ← (M + w(t))·factor`, and `M` with the
//! stake that is not yet laid is an e-process (a mixture of e-processes; compare the e-detectors of Shin, Ramdas and
//! Rinaldo, which give up the promise over all time for an average run length). So the chance that a version that is
//! no worse is ever taken back is at most the accepted risk, however long it is watched.

use serde::{Deserialize, Serialize};

use super::clusters::Size;
use super::{Counts, LogE};
use crate::model::ErrorsMetric;

/// What is bet on, as multiples of the ceiling; each has the same stake.
const MULTIPLES: [f64; 5] = [1.2, 1.5, 3.0, 10.0, 50.0];
/// No bet is on a higher rate than this.
const HIGHEST: f64 = 0.99;
/// With fewer requests of the predecessor's, nothing is known of its rate.
const ENOUGH: u64 = 100;

/// Evidence against "no worse than the predecessor", or than any other fixed rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// The highest error rate that is as good as before.
    pub ceiling: f64,
    windows: u64,
    bets: [LogE; MULTIPLES.len()],
    /// What was seen since.
    pub seen: Counts,
}

/// The highest error rate that is as good as the predecessor's: what it may have been, judged by its counts (two standard
/// deviations above what was seen), times what is tolerated; never below what is harmless.
pub fn ceiling(before: Counts, metric: &ErrorsMetric) -> f64 {
    let before = before.clamped();
    if before.requests < ENOUGH {
        return metric.harmless_rate.min(HIGHEST);
    }
    let errors = before.errors as f64 + 1.0;
    let highest = (errors + 2.0 * errors.sqrt()) / before.requests as f64;
    (highest * metric.tolerate_ratio).max(metric.harmless_rate).min(HIGHEST)
}

impl Watch {
    /// Begins to watch a version whose predecessor was like this.
    pub fn begin(before: Counts, metric: &ErrorsMetric) -> Self {
        Self::against(ceiling(before, metric))
    }

    /// Begins to watch a version whose error rate may not exceed this, whatever others do.
    pub fn against(ceiling: f64) -> Self {
        let nothing = LogE::from_ln(f64::NEG_INFINITY);
        Self { ceiling, windows: 0, bets: [nothing; MULTIPLES.len()], seen: Counts::default() }
    }

    /// Takes in one window.
    pub fn observe(&mut self, counts: Counts, size: impl Into<Size>) {
        let counts = counts.clamped();
        if counts.requests == 0 || !(self.ceiling > 0.0 && self.ceiling < 1.0) {
            return;
        }
        self.seen = self.seen.plus(counts);
        self.windows = self.windows.saturating_add(1);
        let at = self.windows as f64;
        let laid = LogE::from_ln(-(at * (at + 1.0)).ln());
        let (failed, clean) = (counts.errors as f64, (counts.requests - counts.errors) as f64);
        let size = size.into();
        for (bet, multiple) in self.bets.iter_mut().zip(MULTIPLES) {
            let rate = (self.ceiling * multiple).min(HIGHEST);
            let ln_failed = failed * (rate / self.ceiling).ln();
            let ln_clean = clean * ((-rate).ln_1p() - (-self.ceiling).ln_1p());
            // The average of two with weights 1 and 1 is half of their sum.
            let sum = LogE::average([(1.0, *bet), (1.0, laid)]).times(std::f64::consts::LN_2);
            *bet = sum.times(size.temper(ln_failed + ln_clean));
        }
    }

    /// The e-value. Begins at 1.
    pub fn evidence(&self) -> LogE {
        let left = LogE::from_ln(-(self.windows as f64 + 1.0).ln());
        // Each bet with the stake that is not yet laid: twice the average of the two.
        let bets = self.bets.map(|bet| LogE::average([(1.0, bet), (1.0, left)]).times(std::f64::consts::LN_2));
        LogE::average(bets.map(|bet| (1.0, bet)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AnalysisPolicy;

    fn metric() -> ErrorsMetric {
        AnalysisPolicy::default().errors.expect("the default has one")
    }

    fn counts(errors: u64, requests: u64) -> Counts {
        Counts { requests, errors }
    }

    #[test]
    fn the_ceiling_is_what_the_predecessor_may_have_been() {
        assert_eq!(ceiling(counts(0, 0), &metric()), 0.001);
        assert_eq!(ceiling(counts(0, 1_000_000), &metric()), 0.001);
        let seen = ceiling(counts(99, 10_000), &metric());
        assert!((seen - 1.1 * 0.012).abs() < 1e-9, "{seen}");
    }

    #[test]
    fn it_begins_at_one_and_stays_below_while_nothing_fails() {
        let mut watch = Watch::begin(counts(0, 0), &metric());
        assert!((watch.evidence().value() - 1.0).abs() < 1e-9);
        for _ in 0..1_000 {
            watch.observe(counts(0, 100), 1.0);
        }
        assert!(watch.evidence().value() < 1.0);
    }

    #[test]
    fn a_fault_that_comes_late_is_found_soon() {
        let mut watch = Watch::begin(counts(10, 10_000), &metric());
        for _ in 0..3_600 {
            watch.observe(counts(0, 100), 1.0);
        }
        let found = (1..60).find(|_| {
            watch.observe(counts(5, 100), 1.0);
            watch.evidence().reaches(0.01)
        });
        assert!(found.is_some_and(|windows| windows <= 6), "{found:?}");
    }

    #[test]
    fn under_the_ceiling_it_is_seldom_wrong() {
        // A rate at the ceiling: 1 of 1,000. Deterministic pseudo-random errors, 400 runs of 500 windows.
        let mut state = 7_u64;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let alarms = (0..400).filter(|_| {
            let mut watch = Watch::begin(counts(0, 0), &metric());
            (0..500).any(|_| {
                let errors = (0..20).filter(|_| uniform() < 0.001).count() as u64;
                watch.observe(counts(errors, 20), 1.0);
                watch.evidence().reaches(0.05)
            })
        });
        let alarms = alarms.count();
        assert!(alarms <= 20, "{alarms} of 400 at a risk of 5 %");
    }
}
