//! Test T1: is the canary's error rate worse than the baseline's?
//!
//! PURE. Per window, of `k` errors on both sides `x` are the canary's, and the canary has the share `w` of the
//! requests. While the canary's error rate is `r` times the baseline's, each error is the canary's with the chance
//! `w·r / (1 − w + w·r)`. A bet on the ratio `e^δ` multiplies its e-value by `e^(δ·x) / (1 + w0·(e^δ − 1))^k`, where
//! `w0` is that chance at the ratio of the hypothesis. What the base rate does, and how the weights move between
//! windows, does not matter: only how a window's errors are shared out.
//!
//! Given `k`, `x` is hypergeometric, and its moment generating function lies below the binomial's (Hoeffding 1963).
//! References: Lindon & Malek 2022, arXiv 2011.03567; Turner, Ly & Grünwald, arXiv 2106.02693.

use serde::{Deserialize, Serialize};

use super::clusters::Size;
use super::evidence::Bets;
use super::{Counts, LogE};
use crate::model::ErrorsMetric;

/// The ratios that the revert side bets on, with equal stakes.
pub const WORSE: [f64; 6] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0];
/// What the advance side bets on, as parts of the hypothesis's ratio, with equal stakes.
pub const BETTER: [f64; 5] = [0.8, 0.65, 0.5, 0.35, 0.2];

/// Evidence against "the canary's error rate is at most `tolerate_ratio` times the baseline's".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Revert {
    bets: Bets<{ WORSE.len() }>,
}

/// Evidence against "the canary's error rate is at least `reject_ratio` times the baseline's".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Advance {
    bets: Bets<{ BETTER.len() }>,
}

impl Revert {
    /// Takes in one window. A metric with another ratio than before begins anew.
    ///
    /// `size` is how many errors one cause makes at once: they count as one. It may change from window to window, as
    /// long as what a window loses is not tempered by how its errors are shared out (see [`Size`]).
    pub fn observe(&mut self, canary: Counts, baseline: Counts, metric: &ErrorsMetric, size: impl Into<Size>) {
        let r0 = finite_at_least_one(metric.tolerate_ratio);
        learn(self.bets.against(r0), &WORSE, r0, size.into(), canary, baseline);
    }

    /// A metric with another ratio than before begins anew.
    pub(super) fn follow(&mut self, metric: &ErrorsMetric) {
        self.bets.against(finite_at_least_one(metric.tolerate_ratio));
    }

    /// The e-value.
    pub fn evidence(&self) -> LogE {
        mean(self.bets.logs())
    }
}

impl Advance {
    /// Takes in one window. A metric with another ratio than before begins anew.
    pub fn observe(&mut self, canary: Counts, baseline: Counts, metric: &ErrorsMetric, size: impl Into<Size>) {
        let r1 = finite_at_least_one(metric.reject_ratio);
        learn(self.bets.against(r1), &BETTER, r1, size.into(), canary, baseline);
    }

    /// The e-value.
    pub fn evidence(&self) -> LogE {
        mean(self.bets.logs())
    }
}

/// A validated policy never needs this; another one must not make NaN of the evidence.
pub(super) fn finite_at_least_one(number: f64) -> f64 {
    if number.is_nan() { 1.0 } else { number.clamp(1.0, 1e12) }
}

fn mean(logs: &[LogE]) -> LogE {
    LogE::average(logs.iter().map(|log| (1.0, *log)))
}

/// `L += λ·(δ·x − k·ln(1 + w0·(e^δ − 1)))` for each ratio `e^δ`; λ = 1/m for errors that one cause makes in groups of `m`.
pub(super) fn learn(logs: &mut [LogE], ratios: &[f64], null_ratio: f64, size: Size, canary: Counts, baseline: Counts) {
    if canary.requests == 0 || baseline.requests == 0 {
        // With one side only, every error is that side's under any ratio: nothing is learnt.
        return;
    }
    let (canary, baseline) = (canary.clamped(), baseline.clamped());
    let weighed = canary.requests as f64 * null_ratio;
    let null_share = weighed / (weighed + baseline.requests as f64);
    let x = canary.errors as f64;
    let k = x + baseline.errors as f64;
    for (log, ratio) in logs.iter_mut().zip(ratios) {
        let expected = (null_share * (ratio - 1.0)).ln_1p();
        *log = log.times(size.temper(ratio.ln() * x - k * expected));
    }
}

#[cfg(test)]
mod tests;
