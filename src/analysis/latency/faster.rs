//! Is the canary not much slower than the baseline? What proves it good enough to advance.
//!
//! PURE. Bets on lower odds of being slower than one boundary: the one that about a tenth of the baseline's requests
//! exceeded in the windows before, so that it is settled before the window's requests are known.

use serde::{Deserialize, Serialize};

use super::super::evidence::Bets;
use super::super::{LogE, ratio::BETTER};
use super::clumps::Sizes;
use super::sharing::Sharing;
use crate::model::Histogram;

/// The share of the baseline's requests that exceed the boundary.
const TAIL: f64 = 0.1;
/// With fewer of the baseline's requests before, nothing is known of its tail.
pub(super) const ENOUGH: u64 = 100;

/// Evidence against "the odds of being slower than the boundary are at least `reject_ratio` times the baseline's".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Faster {
    bets: Bets<{ BETTER.len() }>,
}

impl Faster {
    /// Takes in one window at the boundary. With another ratio than before it begins anew.
    pub(super) fn observe(&mut self, sharing: &Sharing, reject_ratio: f64, sizes: Sizes) {
        let null = sharing.at(reject_ratio);
        for (bet, part) in self.bets.against(reject_ratio).iter_mut().zip(BETTER) {
            let law = sharing.at(reject_ratio * part);
            let ln = part.ln() * sharing.canary_slow + null.ln_sum - law.ln_sum;
            *bet = bet.times(sizes.temper(ln));
        }
    }

    /// The e-value.
    pub(super) fn evidence(&self) -> LogE {
        LogE::average(self.bets.logs().iter().map(|bet| (1.0, *bet)))
    }
}

/// The finite boundary that the share nearest to a tenth of these requests exceeds (by the logarithm of the odds). `None`
/// when there are too few of them.
pub(super) fn tail(baseline: &Histogram) -> Option<f64> {
    let total = baseline.total();
    if total < ENOUGH {
        return None;
    }
    let ln_odds = |share: f64| (share / (1.0 - share)).ln();
    let distance = |bound: f64| (ln_odds(baseline.above(bound) as f64 / total as f64) - ln_odds(TAIL)).abs();
    let finite = baseline.bounds.iter().copied().filter(|bound| bound.is_finite());
    finite.filter(|bound| distance(*bound).is_finite()).min_by(|a, b| distance(*a).total_cmp(&distance(*b)))
}
