//! Test T3: after the promotion, against a share of the old version that was held back: when does it become worse?
//!
//! PURE. A change may come days later, when a product over the whole time would have sunk far below 1. So each bet of
//! the error test ([`super::ratio`]) is kept as `M ← (M + 1)·factor`: a new stake with every tick. While the hypothesis
//! holds, `M − t` is a supermartingale, so the average number of ticks until the mean of the `M` reaches `A` by chance is
//! at least `A`, and the chance that it does within `n` ticks is at most `n/A`: see [`threshold`].
//! Reference: Shin, Ramdas & Rinaldo, e-detectors, arXiv 2203.03532.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ratio::{WORSE, finite_at_least_one, learn};
use super::{Counts, LogE, Size};

/// Watches for "from some moment on the canary's error rate is more than `tolerate_ratio` times the baseline's".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    /// The hypothesis's ratio: its bits, because it is only ever compared.
    against: u64,
    /// `M` of each bet.
    bets: [LogE; WORSE.len()],
}

impl Default for Detector {
    /// Nothing is staked yet.
    fn default() -> Self {
        Self { against: 0, bets: [LogE::from_ln(f64::NEG_INFINITY); WORSE.len()] }
    }
}

impl Detector {
    /// Takes in one tick. With another ratio than before it begins anew. A tick without requests on one of the sides
    /// changes nothing.
    ///
    /// `size` is how many errors one cause makes at once: they count as one.
    pub fn observe(&mut self, canary: Counts, baseline: Counts, tolerate_ratio: f64, size: impl Into<Size>) {
        let r0 = finite_at_least_one(tolerate_ratio);
        if self.against != r0.to_bits() {
            *self = Self { against: r0.to_bits(), ..Self::default() };
        }
        if canary.requests == 0 || baseline.requests == 0 {
            return;
        }
        for bet in &mut self.bets {
            // The average of two with equal weights is half of their sum.
            *bet = LogE::average([(1.0, *bet), (1.0, LogE::ONE)]).times(std::f64::consts::LN_2);
        }
        learn(&mut self.bets, &WORSE, r0, size.into(), canary, baseline);
    }

    /// The mean of the bets' `M`: no e-value, but what [`Self::reaches`] compares. 0 before the first tick.
    pub fn evidence(&self) -> LogE {
        LogE::average(self.bets.iter().map(|bet| (1.0, *bet)))
    }

    /// Whether it is time for the alarm: the evidence is at least `threshold`. Never for one that is no positive number.
    pub fn reaches(&self, threshold: f64) -> bool {
        threshold > 0.0 && self.evidence().ln() >= threshold.ln()
    }
}

/// The threshold for a watch of a known length with one tick every `tick`: the chance that it ever alarms without cause is
/// at most `risk`. `A = n/risk`, with the number `n` of the ticks. Infinite, so never reached, for a tick of no length or a
/// risk outside of (0, 1).
pub fn threshold(length: Duration, tick: Duration, risk: f64) -> f64 {
    if tick.is_zero() || !(risk > 0.0 && risk < 1.0) {
        return f64::INFINITY;
    }
    let ticks = (length.as_secs_f64() / tick.as_secs_f64()).ceil().max(1.0);
    ticks / risk
}

#[cfg(test)]
mod tests;
