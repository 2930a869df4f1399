//! The absolute bound: is the canary's error rate below a harmless one?
//!
//! PURE. Where nobody has errors, no ratio can be learnt, and a canary would never be proven good. The hypothesis here
//! is "the canary's error rate is at least `p1`" (`harmless_rate`). A bet on a lower rate `q` multiplies its e-value by
//! `(1 − q)/(1 − p1)` for a clean request and by `q/p1` for a failed one: at most 1 on average for every rate from `p1`
//! up, and exactly 1 at `p1`.
//!
//! The stakes: half on `q = 0`, the fastest while no request fails, and lost for good with the first that does; a
//! quarter each on `p1/10` and `p1/4`, which forgive a few: 322 clean requests are needed at 1 % and a risk of 0.05, where
//! `q = 0` alone takes 299.
//!
//! Errors in groups of `m` are tempered as in [`ratio`](super::ratio): `m` times as many clean requests are needed.

use serde::{Deserialize, Serialize};

use super::clusters::Size;
use super::evidence::Bets;
use super::{Counts, LogE};
use crate::model::ErrorsMetric;

/// What is bet on, as parts of the harmless rate, and the stakes.
pub(super) const BETS: [(f64, f64); 3] = [(0.0, 0.5), (0.1, 0.25), (0.25, 0.25)];

/// Evidence against "the canary's error rate is at least `harmless_rate`".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Absolute {
    bets: Bets<{ BETS.len() }>,
}

impl Absolute {
    /// Takes in one window of the canary's. A metric with another rate than before begins anew.
    pub fn observe(&mut self, canary: Counts, metric: &ErrorsMetric, size: impl Into<Size>) {
        let p1 = metric.harmless_rate;
        if !(p1 > 0.0 && p1 < 1.0) {
            // Not a rate that could be exceeded or fallen below: nothing is known about it.
            self.bets = Bets::default();
            return;
        }
        let canary = canary.clamped();
        let failed = canary.errors as f64;
        let clean = (canary.requests - canary.errors) as f64;
        let size = size.into();
        for (log, (part, _)) in self.bets.against(p1).iter_mut().zip(BETS) {
            let ln_clean = (-part * p1).ln_1p() - (-p1).ln_1p();
            // 0·ln 0 is 0 here, not NaN: no failed request, no factor.
            let ln_failed = if canary.errors == 0 { 0.0 } else { failed * part.ln() };
            *log = log.times(size.temper(clean * ln_clean + ln_failed));
        }
    }

    /// The e-value.
    pub fn evidence(&self) -> LogE {
        LogE::average(self.bets.logs().iter().zip(BETS).map(|(log, (_, stake))| (stake, *log)))
    }
}

/// How many requests without an error the bet on `q = 0` alone takes to show, with the risk `beta`, an error rate below
/// `p1`: the smallest `n` with `(1 − p1)^n ≤ beta`. `None` when one of them is not within (0, 1).
pub fn clean_requests_needed(p1: f64, beta: f64) -> Option<u64> {
    let is_share = |p: f64| p > 0.0 && p < 1.0;
    (is_share(p1) && is_share(beta)).then(|| (beta.ln() / (-p1).ln_1p()).ceil() as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn metric(harmless_rate: f64, cluster_size: f64) -> (ErrorsMetric, f64) {
        (ErrorsMetric { harmless_rate, ..ErrorsMetric::default() }, cluster_size)
    }

    fn after(windows: &[(u64, u64)], (metric, cluster_size): &(ErrorsMetric, f64)) -> Absolute {
        let mut absolute = Absolute::default();
        for (errors, requests) in windows {
            absolute.observe(Counts { requests: *requests, errors: *errors }, metric, *cluster_size);
        }
        absolute
    }

    #[test]
    fn the_clean_requests_of_the_reference() {
        for (p1, needed) in [(0.001, 2995), (0.01, 299), (0.05, 59)] {
            assert_eq!(clean_requests_needed(p1, 0.05), Some(needed), "{p1}");
            // The bet on no errors at all crosses exactly there.
            let bet = |n| after(&[(0, n)], &metric(p1, 1.0)).bets.logs()[0];
            assert!(bet(needed).reaches(0.05) && !bet(needed - 1).reaches(0.05), "{p1}");
            // With causes that make five errors at once it takes five times as many.
            let bet = |n| after(&[(0, n)], &metric(p1, 5.0)).bets.logs()[0];
            assert!(bet(needed * 5).reaches(0.05) && !bet((needed - 1) * 5).reaches(0.05), "{p1}");
        }
        for (p1, beta) in [(0.0, 0.05), (1.0, 0.05), (0.01, 0.0), (f64::NAN, 0.05), (0.01, f64::NAN), (-1.0, 0.5)] {
            assert_eq!(clean_requests_needed(p1, beta), None);
        }
    }

    #[test]
    fn the_clean_requests_that_all_bets_take() {
        for (p1, n) in [(0.001, 3227), (0.01, 322), (0.05, 63)] {
            let proven = |n| after(&[(0, n)], &metric(p1, 1.0)).evidence().reaches(0.05);
            assert_eq!((1..10_000).find(|n| proven(*n)), Some(n), "{p1}");
        }
    }

    #[test]
    fn one_error_ends_the_first_bet_only() {
        let metric = metric(0.01, 1.0);
        let early = after(&[(1, 1)], &metric);
        assert_eq!(early.bets.logs()[0].ln(), f64::NEG_INFINITY);
        assert!(early.evidence() < LogE::ONE);
        // 0.1 % observed where 1 % is harmless: proven all the same, later.
        let one_in_a_thousand = after(&[(1, 1000)], &metric);
        assert!(one_in_a_thousand.evidence().reaches(0.05), "{:?}", one_in_a_thousand.evidence());
        // At the harmless rate itself nothing is ever proven.
        let at_the_rate = after(&[(1, 100); 1000], &metric);
        assert!(at_the_rate.evidence() < LogE::ONE);
    }

    #[test]
    fn is_an_e_value_for_every_rate_from_the_harmless_one_up() {
        for p1 in [0.001, 0.01, 0.2] {
            for p in [p1, p1 * 1.1, p1 * 2.0, 0.9] {
                let clean = after(&[(0, 1)], &metric(p1, 1.0)).evidence().value();
                let failed = after(&[(1, 1)], &metric(p1, 1.0)).evidence().value();
                let mean = p * failed + (1.0 - p) * clean;
                assert!(mean <= 1.0 + 1e-12, "{mean} at {p} against {p1}");
            }
        }
    }

    #[test]
    fn nonsense_teaches_nothing() {
        for p1 in [0.0, 1.0, -0.1, 3.0, f64::NAN, f64::INFINITY] {
            assert_eq!(after(&[(0, 1_000_000)], &metric(p1, 1.0)), Absolute::default(), "{p1}");
        }
    }
}
