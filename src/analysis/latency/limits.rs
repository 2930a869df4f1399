//! Does the canary exceed a limit to one of its quantiles, whatever the baseline does?
//!
//! PURE. "The 99th percentile is at most 500 ms" is "at most 1 % of the requests are slower than 500 ms". Histograms tell
//! that only of their boundaries, so requests slower than the first boundary at or above the limit are counted: there are no
//! more of them, which errs on the canary's side. Bets on higher shares: for a share `q` against `p`, a slow request
//! multiplies by `q/p`, another one by `(1 − q)/(1 − p)`, at most 1 on average for every share up to `p`.

use serde::{Deserialize, Serialize};

use super::super::LogE;
use super::clumps::{Clumps, Expected, LAWS};
use crate::model::{Histogram, QuantileLimit};

/// What is bet on, as multiples of the share that the limit allows; each has the same stake.
const MULTIPLES: [f64; LAWS - 1] = [1.25, 1.5, 2.0, 5.0, 15.0, 50.0];
/// No bet is on a higher share than this.
const HIGHEST: f64 = 0.99;

/// Evidence against "no limit is exceeded".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Limits {
    limits: Vec<Limit>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Limit {
    against: QuantileLimit,
    bets: [LogE; MULTIPLES.len()],
    clumps: Clumps,
    /// The canary's requests so far, and those that were slower.
    seen: (u64, u64),
}

impl Limits {
    /// With other limits than before it begins anew.
    pub(super) fn follow(&mut self, limits: &[QuantileLimit]) {
        if !self.limits.iter().map(|limit| &limit.against).eq(limits) {
            self.limits = limits.iter().copied().map(Limit::new).collect();
        }
    }

    /// Takes in the canary's part of one window. With other limits than before it begins anew.
    pub(super) fn observe(&mut self, canary: &Histogram, limits: &[QuantileLimit], cluster_size: Option<f64>) {
        self.follow(limits);
        if !canary.is_sound() {
            return;
        }
        for limit in &mut self.limits {
            limit.learn(canary, cluster_size);
        }
    }

    /// The e-value: each limit has the same stake.
    pub(super) fn evidence(&self) -> LogE {
        if self.limits.is_empty() {
            return LogE::ONE;
        }
        LogE::average(self.limits.iter().flat_map(|limit| limit.bets.iter().map(|bet| (1.0, *bet))))
    }
}

impl Limit {
    fn new(against: QuantileLimit) -> Self {
        Self { against, bets: [LogE::ONE; MULTIPLES.len()], clumps: Clumps::default(), seen: (0, 0) }
    }

    fn learn(&mut self, canary: &Histogram, cluster_size: Option<f64>) {
        let limit = self.against.limit.as_secs_f64() * 1000.0;
        let allowed = 1.0 - self.against.quantile;
        let bound = canary.bounds.iter().copied().find(|bound| *bound >= limit);
        let requests = canary.total();
        let is_known = |bound: &f64| bound.is_finite() && requests > 0 && allowed > 0.0 && allowed < HIGHEST;
        let Some(bound) = bound.filter(is_known) else {
            return;
        };
        let (n, slow) = (requests as f64, canary.above(bound));
        let x = slow as f64;
        let shares = MULTIPLES.map(|multiple| (allowed * multiple).min(HIGHEST));
        let so_far = ((self.seen.1 as f64 + allowed) / (self.seen.0 as f64 + 1.0)).min(allowed);
        let expected = |share: f64| Expected { mean: n * share, variance: n * share * (1.0 - share) };
        let laws: [Expected; LAWS] = std::array::from_fn(|at| expected(if at == 0 { so_far } else { shares[at - 1] }));
        let sizes = self.clumps.learn(x, &laws, cluster_size);
        self.seen = (self.seen.0.saturating_add(requests), self.seen.1.saturating_add(slow));
        for (bet, share) in self.bets.iter_mut().zip(shares) {
            let ln = x * (share / allowed).ln() + (n - x) * ((-share).ln_1p() - (-allowed).ln_1p());
            *bet = bet.times(sizes.temper(ln));
        }
    }
}
