//! The pace of a ladder: which weight comes next, so that a bad version is expected to cost the fewest requests.
//!
//! PURE. What is weighed: a canary is `r` times as bad as its baseline, each `r` of [`RATIOS`] alike. (How likely it is to
//! be bad at all scales every ladder alike, and drops out.) At a weight `w`, of `R` requests a second with the error rate
//! `p`, the bets of [`ratio`](super::ratio) grow on average by
//!
//! ```text
//! g(δ) = R·((1 − w)·p + w·c)·(q·δ − ln(1 + w0·(e^δ − 1)))/m      q = w·c / ((1 − w)·p + w·c)
//! ```
//!
//! a second, where `c` is the canary's error rate and `m` the cluster size. So a bad one is detected after about
//! `ln(6/alpha)/max g` seconds, and one may be taken for good after about `ln(2·5/beta)/max g` of the bets on better
//! ones, or of the absolute ones ([`absolute`](super::absolute)). While it is neither, and until the proxies have
//! acknowledged what follows, it costs `R·w·(c − p)` requests a second. The part that passes goes on to the next weight:
//! `beta` where the ratio is to be rejected, more of those in between. What passes the last one has all the traffic for
//! [`PROMOTED`].
//!
//! A low weight takes longer to tell, and each request there tells more: while errors have to be waited for, a proof costs
//! about the same at each, and few weights are best. Where there is much traffic the reaction costs the most, which grows
//! with the weight, and a rung more is soon paid for. All ladders over [`GRID`] are tried.

use std::time::Duration;

use super::absolute::BETS;
use super::ratio::{BETTER, WORSE, finite_at_least_one};
use super::{Counts, evidence};
use crate::model::{ErrorsMetric, Risk, Weight};

/// How many times as bad it may be.
const RATIOS: [f64; 5] = [1.5, 2.0, 3.0, 5.0, 10.0];
/// The weights that are tried, in hundredths of a percent.
const GRID: [u32; 15] = [1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 800, 1_200, 2_000, 3_000, 5_000];
/// A weight is at most this many times the one before: what breaks under load shows itself at no share below.
const GROWTH: u32 = 5;
/// From the telemetry's flush until every proxy has acknowledged what follows from it.
const REACTION: f64 = 2.0;
/// For how many seconds a bad version that was promoted keeps all the traffic, at least.
const PROMOTED: f64 = 60.0;
/// The first weight that is chosen without the user, in hundredths of a percent.
const FIRST: std::ops::RangeInclusive<u32> = 100..=800;

/// What the choice of a weight depends on.
#[derive(Debug, Clone, Copy)]
pub struct Pace<'a> {
    /// Requests a second, of all versions.
    pub requests_per_second: f64,
    /// What is known of the baseline's error rate.
    pub baseline: Counts,
    /// What is to be proven.
    pub metric: &'a ErrorsMetric,
    /// With which chances of being wrong.
    pub risk: Risk,
    /// How many errors one cause makes at once, in comparisons with the baseline.
    pub cluster_size: f64,
    /// The same in the proof that they are fewer than the harmless rate.
    pub cluster_size_of_few: f64,
    /// The last weight.
    pub to: Weight,
    /// The longest proof of one weight.
    pub max: Duration,
    /// The time for all that is left, when it is limited.
    pub left: Option<Duration>,
}

/// What a weight costs, and how long it takes.
#[derive(Debug, Clone, Copy)]
struct Rung {
    hundredths: u32,
    /// Expected bad requests, by [`RATIOS`].
    costs: [f64; RATIOS.len()],
    /// The chance to be taken for good, likewise.
    passes: [f64; RATIOS.len()],
    /// Seconds until a good one is proven.
    proof: f64,
}

/// A way up, worse than another first by what it breaks of the limits, then by its cost.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
struct Way {
    /// Seconds beyond the limits.
    excess: f64,
    cost: f64,
    first: u32,
}

/// Twice the share, without anything to choose it by.
pub fn doubled(present: Weight, to: Weight) -> Weight {
    Weight::from_hundredths(present.hundredths().max(1).saturating_mul(2)).min(to)
}

impl Pace<'_> {
    /// The weight after a proven one.
    pub fn next(&self, present: Weight) -> Weight {
        if !self.knows() {
            return doubled(present, self.to);
        }
        let from = self.rung(present);
        let way = self.best(&from, from.passes, 0.0, 0.0, &self.rungs());
        Weight::from_hundredths(way.map_or(self.to.hundredths(), |way| way.first)).min(self.to)
    }

    /// The first weight, where the user names none: from 1 % to 8 %, the cheapest that can be proven in time.
    pub fn first(&self) -> Weight {
        let least = Weight::from_hundredths(*FIRST.start()).min(self.to);
        if !self.knows() {
            return least;
        }
        let rungs = self.rungs();
        let ways = rungs.iter().filter(|rung| FIRST.contains(&rung.hundredths)).filter_map(|rung| {
            let passed = rung.passes;
            let cost: f64 = rung.costs.iter().sum();
            let rest = self.best(rung, passed, self.too_long(rung), rung.proof + REACTION, &rungs)?;
            // Where no weight can be proven in time, the nearest to it.
            Some(Way { excess: self.too_long(rung).max(rest.excess), cost: rest.cost + cost, first: rung.hundredths })
        });
        let best = ways.min_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        best.map_or(least, |way| Weight::from_hundredths(way.first))
    }

    /// How long it takes about to prove a good canary at a weight; none where nothing is known of the traffic.
    pub fn proof(&self, weight: Weight) -> Option<Duration> {
        if !self.knows() {
            return None;
        }
        Duration::try_from_secs_f64(self.rung(weight).proof.ceil()).ok()
    }

    fn knows(&self) -> bool {
        self.requests_per_second.is_finite() && self.requests_per_second > 0.0 && self.baseline.requests > 0
    }

    fn rungs(&self) -> Vec<Rung> {
        let to = self.to.hundredths();
        let below = GRID.into_iter().filter(|weight| *weight < to);
        below.chain([to]).map(|weight| self.rung(Weight::from_hundredths(weight))).collect()
    }

    fn too_long(&self, rung: &Rung) -> f64 {
        (rung.proof - self.max.as_secs_f64()).max(0.0)
    }

    /// The best way on from a rung that the parts `alive` have passed, and that took `spent` seconds.
    fn best(&self, from: &Rung, alive: [f64; RATIOS.len()], excess: f64, spent: f64, rungs: &[Rung]) -> Option<Way> {
        let reach = from.hundredths.saturating_mul(GROWTH);
        let higher = || rungs.iter().filter(|rung| rung.hundredths > from.hundredths);
        // One rung must be within reach, or nothing ever is.
        let least = higher().map(|rung| rung.hundredths).min()?;
        let ways = higher().filter(|rung| rung.hundredths <= reach.max(least)).map(|rung| {
            let cost: f64 = alive.iter().zip(rung.costs).map(|(alive, cost)| alive * cost).sum();
            let mut passed = alive;
            passed.iter_mut().zip(rung.passes).for_each(|(alive, passes)| *alive *= passes);
            let (spent, excess) = (spent + rung.proof + REACTION, excess.max(self.too_long(rung)));
            let rest = self.best(rung, passed, excess, spent, rungs).unwrap_or_else(|| self.end(passed, excess, spent));
            Way { cost: cost + rest.cost, excess: rest.excess, first: rung.hundredths }
        });
        ways.min_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
    }

    /// What has passed the last rung is promoted.
    fn end(&self, passed: [f64; RATIOS.len()], excess: f64, spent: f64) -> Way {
        let (p, worst) = (self.error_rate(), self.reference());
        let bad = |ratio: f64| self.requests_per_second * (worst * ratio - p).max(0.0) * PROMOTED;
        let cost = passed.iter().zip(RATIOS).map(|(alive, ratio)| alive * bad(ratio)).sum();
        let late = self.left.map_or(0.0, |left| (spent - left.as_secs_f64()).max(0.0));
        Way { excess: excess.max(late), cost, first: 0 }
    }

    /// The baseline's error rate, never none: half an error more than was seen.
    fn error_rate(&self) -> f64 {
        let seen = self.baseline.clamped();
        ((seen.errors as f64 + 0.5) / (seen.requests as f64 + 1.0)).min(0.5)
    }

    /// What the ratios multiply: where the baseline has next to no errors, a canary is bad from the harmless rate on.
    fn reference(&self) -> f64 {
        self.error_rate().max(self.metric.harmless_rate / self.metric.reject_ratio).min(0.5)
    }

    fn rung(&self, weight: Weight) -> Rung {
        let (p, reference) = (self.error_rate(), self.reference());
        let (mut costs, mut passes) = ([0.0; RATIOS.len()], [0.0; RATIOS.len()]);
        let longest = self.max.as_secs_f64();
        for (at, ratio) in RATIOS.into_iter().enumerate() {
            let rate = (reference * ratio).min(1.0);
            let (detected, passed) = (self.detection(weight, rate), self.passing(weight, rate));
            let beta = self.risk.false_advance;
            passes[at] = if passed.is_finite() { (detected / (detected + passed)).clamp(beta, 1.0) } else { beta };
            passes[at] = if passes[at].is_nan() { 1.0 } else { passes[at] };
            let seconds = detected.min(passed).min(longest) + REACTION;
            costs[at] = self.requests_per_second * share(weight) * (rate - p).max(0.0) * seconds;
        }
        Rung { hundredths: weight.hundredths(), costs, passes, proof: self.passing(weight, p) }
    }

    /// Seconds until a canary with this error rate is detected; infinite when it never is.
    fn detection(&self, weight: Weight, rate: f64) -> f64 {
        let stakes = (WORSE.len() as f64 * evidence::bound(self.risk.false_revert)).ln();
        stakes / self.growth(weight, rate, self.metric.tolerate_ratio, &WORSE)
    }

    /// Seconds until a canary with this error rate is taken for good; infinite when it never is.
    fn passing(&self, weight: Weight, rate: f64) -> f64 {
        // At worst the other of both tests has half of the stake: see `Proof`.
        let bound = 2.0 * evidence::bound(self.risk.false_advance);
        let ratio = (BETTER.len() as f64 * bound).ln() / self.growth(weight, rate, self.metric.reject_ratio, &BETTER);
        let p1 = self.metric.harmless_rate;
        let canary = self.requests_per_second * share(weight) * (1.0 / finite_at_least_one(self.cluster_size_of_few));
        let absolute = BETS.map(|(part, stake)| {
            let clean = (-part * p1).ln_1p() - (-p1).ln_1p();
            let needed = (bound / stake).ln();
            // A bet on no errors at all holds as long as none is to be expected.
            let failed = match part {
                0.0 if rate * needed / clean < 0.5 => 0.0,
                0.0 => f64::NEG_INFINITY,
                part => part.ln(),
            };
            needed / (canary * ((1.0 - rate) * clean + if rate > 0.0 { rate * failed } else { 0.0 })).max(0.0)
        });
        absolute.into_iter().fold(ratio, f64::min)
    }

    /// The fastest growth of log evidence a second, of bets `e^δ` against the ratio `null`; none below 0.
    fn growth(&self, weight: Weight, rate: f64, null: f64, bets: &[f64]) -> f64 {
        let (w, p) = (share(weight), self.error_rate());
        let errors = (1.0 - w) * p + w * rate;
        let (own, null_share) = (w * rate / errors, w * null / (1.0 - w + w * null));
        let grow = |bet: &f64| own * bet.ln() - (null_share * (bet - 1.0)).ln_1p();
        let best = bets.iter().map(grow).fold(0.0, f64::max);
        self.requests_per_second * errors * best * (1.0 / finite_at_least_one(self.cluster_size))
    }
}

fn share(weight: Weight) -> f64 {
    weight.percent() / 100.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
