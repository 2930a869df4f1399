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
use super::ratio::finite_at_least_one;
use super::{Counts, LogE};
use crate::model::ErrorsMetric;

/// What is bet on, as multiples of the ceiling; each has the same stake.
const MULTIPLES: [f64; 5] = [1.2, 1.5, 3.0, 10.0, 50.0];
/// No bet is on a higher rate than this.
const HIGHEST: f64 = 0.99;
/// With fewer requests of the predecessor's, nothing is known of its rate.
const ENOUGH: u64 = 100;
/// The chance that the predecessor's rate was above the ceiling, as a part of that of a false revert: what the watch's
/// stake is of all stakes with errors alone.
const MISJUDGED: f64 = 0.05;

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

/// The highest error rate that is as good as the predecessor's: what it may have been, judged by its counts, times what is
/// tolerated; never below what is harmless.
///
/// A rate that is taken for lower than it was would revert a version that is as good. So it is the highest of which so
/// few errors were to be seen with no smaller chance than [`MISJUDGED`] of the accepted one (`false_revert`). A cause makes
/// `size` errors.
pub fn ceiling(before: Counts, metric: &ErrorsMetric, size: f64, false_revert: f64) -> f64 {
    let before = before.clamped();
    if before.requests < ENOUGH {
        return metric.harmless_rate.min(HIGHEST);
    }
    let size = finite_at_least_one(size);
    let (causes, rarity) = (before.errors as f64 / size, -(MISJUDGED * false_revert).ln());
    let highest = highest_expected(causes, rarity);
    (size * highest / before.requests as f64 * metric.tolerate_ratio).max(metric.harmless_rate).min(HIGHEST)
}

/// The highest mean of a Poisson count of which at most `seen` come with a chance of `e^(−rarity)`, by Chernoff's bound:
/// `P(X ≤ k) ≤ e^(−u) (e u / k)^k` for a mean `u > k`. Of none seen it is exact: `u` is the rarity.
fn highest_expected(seen: f64, rarity: f64) -> f64 {
    // It lies between what is exact for none, and the weaker bound `e^(−(u − k)²/2u)`.
    let (mut low, mut high) = (seen, seen + rarity + (rarity * (rarity + 2.0 * seen)).sqrt());
    for _ in 0..64 {
        let mean = f64::midpoint(low, high);
        let logarithm = if seen > 0.0 { seen * (mean / seen).ln() } else { 0.0 };
        if mean - seen - logarithm < rarity { low = mean } else { high = mean }
    }
    high
}

impl Watch {
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
    use crate::analysis::random::Random;
    use crate::model::AnalysisPolicy;

    fn metric() -> ErrorsMetric {
        AnalysisPolicy::default().errors.expect("the default has one")
    }

    fn counts(errors: u64, requests: u64) -> Counts {
        Counts { requests, errors }
    }

    #[test]
    fn the_ceiling_is_what_the_predecessor_may_have_been() {
        let of = |before, size, risk| ceiling(before, &metric(), size, risk);
        assert_eq!(of(counts(0, 0), 1.0, 0.01), 0.001);
        assert_eq!(of(counts(0, 1_000_000), 1.0, 0.01), 0.001);
        // Of 144.2 that are expected, 100 at most are seen with a chance of at most 0.0005: it is 0.00007.
        let seen = of(counts(100, 10_000), 1.0, 0.01);
        assert!((seen - 1.1 * 0.014_42).abs() < 2e-5, "{seen}");
        // Of 7.6 that are expected, none is seen with a chance of 0.0005.
        let none = of(counts(0, 1_000), 1.0, 0.01);
        assert!((none - 1.1 * 0.007_600_9).abs() < 1e-6, "{none}");
        // A fifth of the causes tells less, and so does a smaller risk.
        assert!(of(counts(100, 10_000), 5.0, 0.01) > 1.3 * seen && of(counts(100, 10_000), 1.0, 1e-4) > 1.05 * seen);
        for (size, risk) in [(f64::NAN, 0.01), (1.0, 0.0), (1.0, f64::NAN), (f64::INFINITY, 0.01)] {
            let odd = of(counts(u64::MAX, u64::MAX), size, risk);
            assert!(odd > 0.0 && odd <= HIGHEST, "{odd} at {size}, {risk}");
        }
    }

    /// Versions that are equal, whose errors come in groups: what few groups before the switch say by chance reverts nobody.
    #[test]
    fn a_predecessor_that_was_seen_for_a_short_time_misleads_seldom() {
        let metric = ErrorsMetric { tolerate_ratio: 1.0, ..metric() };
        let mut random = Random(11);
        for (size, seconds) in [(1_u64, 10), (5, 10), (5, 60)] {
            // A hundredth of 100 requests per second fails.
            let mut errors = || (random.poisson(1.0 / size as f64) * size).min(100);
            let mut reverted = 0;
            for _ in 0..1_000 {
                let before = counts((0..seconds).map(|_| errors()).sum(), 100 * seconds);
                let mut watch = Watch::against(ceiling(before, &metric, size as f64, 0.01));
                reverted += u64::from((0..600).any(|_| {
                    watch.observe(counts(errors(), 100), size as f64);
                    watch.evidence().reaches(0.01)
                }));
            }
            assert!(reverted <= 15, "{reverted} of 1000 at a risk of 1 %, in groups of {size} after {seconds} s");
        }
    }

    #[test]
    fn it_begins_at_one_and_stays_below_while_nothing_fails() {
        let mut watch = Watch::against(0.001);
        assert!((watch.evidence().value() - 1.0).abs() < 1e-9);
        for _ in 0..1_000 {
            watch.observe(counts(0, 100), 1.0);
        }
        assert!(watch.evidence().value() < 1.0);
    }

    #[test]
    fn a_fault_that_comes_late_is_found_soon() {
        let mut watch = Watch::against(ceiling(counts(10, 10_000), &metric(), 1.0, 0.01));
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
            let mut watch = Watch::against(0.001);
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
