//! Slow requests that come in clumps: one pause of one host makes many.
//!
//! PURE. Requests that are slow for one cause count as one, so what a window says is tempered (the logarithm of its factor
//! divided) by how much the canary's part `x` of its slow requests varies, beyond what it would with single ones. `x` is
//! held against its expectation given all slow requests of the window: slowness that both versions share, and drift, are
//! no clumps. And because the canary may really be slower, it is held against several odds, and what fits best counts.
//!
//! Gains are tempered by the window's own surprise as well, losses are not: that only lowers the evidence, so it costs no
//! promise, and the first pause, before which nothing could be known of pauses, does not decide alone.

use serde::{Deserialize, Serialize};

/// How many laws are tried.
pub(super) const LAWS: usize = 7;
/// So many windows of single requests are imagined before the first: a few windows tell little of a variance.
const IMAGINED: f64 = 10.0;
/// The square of the deviation, in standard deviations, up to which a window is no surprise.
const SURPRISE: f64 = 6.0;

/// What `x` is expected to be under some law.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Expected {
    /// Its mean.
    pub(super) mean: f64,
    /// Its variance while slow requests come singly.
    pub(super) variance: f64,
}

/// How far `x` was from its expectation, in the windows so far, under each of several laws.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Clumps {
    windows: u64,
    fits: [Fit; LAWS],
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Fit {
    /// The sum of (x − mean)².
    squares: f64,
    /// The sum of the variances.
    variance: f64,
}

/// How many slow requests are taken to have one cause; at least 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sizes {
    /// Where the window speaks against a bet.
    loss: f64,
    /// Where it speaks for it.
    gain: f64,
}

impl Sizes {
    /// What the logarithm of a factor comes to.
    pub(super) fn temper(self, ln_factor: f64) -> f64 {
        ln_factor / if ln_factor > 0.0 { self.gain } else { self.loss }
    }
}

impl Clumps {
    /// For a window with this `x`, by what was learnt in those before; or the size that is given. The laws are the same,
    /// in the same order, each time.
    pub(super) fn sizes(&self, x: f64, laws: &[Expected; LAWS], given: Option<f64>) -> Sizes {
        if let Some(size) = given {
            return Sizes { loss: size, gain: size };
        }
        let (ratio, best) = self.best(laws);
        let loss = ratio.max(1.0);
        let surprise = (x - best.mean).powi(2) / best.variance / SURPRISE;
        let mut after = self.clone();
        after.take_in(x, laws);
        let gain = loss.max(after.best(laws).0);
        // A law without variance leaves nothing to be surprised by.
        Sizes { loss, gain: if surprise.is_finite() { gain.max(surprise) } else { gain } }
    }

    /// The same, and takes in the window.
    pub(super) fn learn(&mut self, x: f64, laws: &[Expected; LAWS], given: Option<f64>) -> Sizes {
        let sizes = self.sizes(x, laws, given);
        self.take_in(x, laws);
        sizes
    }

    fn take_in(&mut self, x: f64, laws: &[Expected; LAWS]) {
        self.windows = self.windows.saturating_add(1);
        for (fit, law) in self.fits.iter_mut().zip(laws) {
            fit.squares += (x - law.mean).powi(2);
            fit.variance += law.variance;
        }
    }

    /// The law that fits best so far, the first one at the beginning, and how many times as much as with single requests
    /// `x` varies under it.
    fn best(&self, laws: &[Expected; LAWS]) -> (f64, Expected) {
        let mut best = (f64::INFINITY, laws[0]);
        for (fit, law) in self.fits.iter().zip(laws) {
            let ratio = fit.ratio(self.windows);
            if ratio < best.0 {
                best = (ratio, *law);
            }
        }
        best
    }
}

impl Fit {
    /// How many times as much as with single requests `x` varies.
    fn ratio(&self, windows: u64) -> f64 {
        let imagined = IMAGINED * self.variance / windows as f64;
        let ratio = (self.squares + imagined) / (self.variance + imagined);
        // Without any variance yet, 0/0.
        if ratio.is_nan() { 1.0 } else { ratio.min(f64::MAX) }
    }
}
