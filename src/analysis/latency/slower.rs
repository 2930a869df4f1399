//! Is the canary slower than it may be? A bet at every boundary of the histograms.
//!
//! PURE. Invariant: the average over all boundaries and bets is an e-process, also when boundaries come or go.

use serde::{Deserialize, Serialize};

use super::super::histogram::{SideBySide, Slow};
use super::super::{LogE, ratio::WORSE};
use super::clumps::{Clumps, LAWS, Sizes};
use super::sharing::{Law, Sharing};

/// More boundaries are not kept: histograms of hundreds of buckets are nobody's.
const MOST_BOUNDARIES: usize = 256;

/// Evidence against "at every boundary the odds of being slower are at most `tolerate_ratio` times the baseline's".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Slower {
    /// The hypothesis's ratio: its bits, because it is only ever compared.
    against: u64,
    /// Ascending.
    boundaries: Vec<Boundary>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Boundary {
    bound: f64,
    bets: [LogE; WORSE.len()],
    clumps: Clumps,
}

impl Slower {
    /// With another ratio than before it begins anew.
    pub(super) fn follow(&mut self, tolerate_ratio: f64) {
        if self.against != tolerate_ratio.to_bits() {
            *self = Self { against: tolerate_ratio.to_bits(), boundaries: Vec::new() };
        }
    }

    /// Takes in one window. With another ratio than before it begins anew. The number of slow requests that have one cause
    /// is estimated where it is not given.
    pub(super) fn observe(&mut self, window: &SideBySide, tolerate_ratio: f64, cluster_size: Option<f64>) {
        self.follow(tolerate_ratio);
        self.lay_stakes(window);
        for slow in &window.boundaries {
            let Some(sharing) = Sharing::new((window.canary, slow.canary), (window.baseline, slow.baseline)) else {
                continue;
            };
            if let Ok(at) = self.find(slow.bound) {
                self.boundaries[at].learn(&sharing, tolerate_ratio, cluster_size);
            }
        }
    }

    /// The e-value: all boundaries and all bets have the same stake.
    pub(super) fn evidence(&self) -> LogE {
        if self.boundaries.is_empty() {
            return LogE::ONE;
        }
        LogE::average(self.boundaries.iter().flat_map(|boundary| boundary.bets.iter().map(|bet| (1.0, *bet))))
    }

    /// The boundary with the most evidence.
    pub(super) fn strongest(&self) -> Option<f64> {
        let strongest = self.boundaries.iter().max_by(|a, b| a.evidence().ln().total_cmp(&b.evidence().ln()))?;
        Some(strongest.bound)
    }

    /// How many slow requests at a boundary are taken to have one cause in this window, by those before. `None` for a
    /// boundary without windows before.
    pub(super) fn sizes(&self, bound: f64, sharing: &Sharing, cluster_size: Option<f64>) -> Option<Sizes> {
        let boundary = &self.boundaries[self.find(bound).ok()?];
        let laws = laws(sharing, f64::from_bits(self.against)).map(|law| law.x);
        Some(boundary.clumps.sizes(sharing.canary_slow, &laws, cluster_size))
    }

    fn find(&self, bound: f64) -> Result<usize, usize> {
        self.boundaries.binary_search_by(|known| known.bound.total_cmp(&bound))
    }

    /// A boundary that was not there before begins with what the others have on average: stakes are moved, nothing is
    /// added.
    fn lay_stakes(&mut self, window: &SideBySide) {
        let stake = self.evidence();
        for Slow { bound, .. } in &window.boundaries {
            if let (Err(at), true) = (self.find(*bound), self.boundaries.len() < MOST_BOUNDARIES) {
                self.boundaries
                    .insert(at, Boundary { bound: *bound, bets: [stake; WORSE.len()], clumps: Clumps::default() });
            }
        }
    }
}

impl Boundary {
    fn learn(&mut self, sharing: &Sharing, tolerate_ratio: f64, cluster_size: Option<f64>) {
        let laws = laws(sharing, tolerate_ratio);
        let sizes = self.clumps.learn(sharing.canary_slow, &laws.map(|law| law.x), cluster_size);
        for ((bet, ratio), law) in self.bets.iter_mut().zip(WORSE).zip(&laws[1..]) {
            let ln = ratio.ln() * sharing.canary_slow + laws[0].ln_sum - law.ln_sum;
            *bet = bet.times(sizes.temper(ln));
        }
    }

    fn evidence(&self) -> LogE {
        LogE::average(self.bets.iter().map(|bet| (1.0, *bet)))
    }
}

/// At the odds of the hypothesis, and at those of each bet.
fn laws(sharing: &Sharing, tolerate_ratio: f64) -> [Law; LAWS] {
    std::array::from_fn(|at| sharing.at(tolerate_ratio * if at == 0 { 1.0 } else { WORSE[at - 1] }))
}
