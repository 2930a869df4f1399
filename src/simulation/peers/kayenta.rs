//! Kayenta's NetflixACAJudge.
//!
//! By its published description ("Automated Canary Analysis at Netflix with Kayenta", and github.com/spinnaker/kayenta,
//! docs/canary-config.md and kayenta-judge): a point a minute for canary and baseline. For each metric a two-sided
//! Mann-Whitney U test gives a confidence interval (98 %) of the shift between the two and its Hodges-Lehmann estimate; the
//! metric is *high* when the interval's lower end exceeds `tolerance` (0.25) times the estimate's size. The score is the
//! share of the metrics that pass, 0 to 100; below `marginal` (75) the canary fails at that judgement, and at the last one it
//! must reach `pass` (95). Judgements come at an interval, each of everything so far. Left out: the removal of outliers,
//! which is off by default.

use super::{Peer, Ruling};
use crate::simulation::trial::Point;

/// Kayenta with its settings.
#[derive(Debug, Clone)]
pub struct Kayenta {
    /// By how many times the estimated shift the whole interval must be off, 0 to 1: the sensitivity.
    pub tolerance: f64,
    /// Of the interval, in (0, 1).
    pub confidence: f64,
    /// From one judgement to the next, in points (minutes).
    pub judged_every: usize,
    /// The last judgement, in points (minutes).
    pub lifetime: usize,
    /// The least score that passes at the end.
    pub pass: f64,
    /// A lower score fails at once.
    pub marginal: f64,
    /// Whether durations are a metric beside the errors.
    pub with_latency: bool,
    /// What was seen.
    pub points: Vec<Point>,
}

impl Default for Kayenta {
    /// An hour, judged in the middle and at the end.
    fn default() -> Self {
        Self {
            tolerance: 0.25,
            confidence: 0.98,
            judged_every: 30,
            lifetime: 60,
            pass: 95.0,
            marginal: 75.0,
            with_latency: false,
            points: Vec::new(),
        }
    }
}

impl Kayenta {
    /// 0 to 100: the share of the metrics with data that pass; 0 when none has any.
    fn score(&self) -> f64 {
        let told: Vec<bool> = self.excesses().map(|excess| excess <= self.tolerance).collect();
        let passed = told.iter().filter(|passes| **passes).count();
        if told.is_empty() { 0.0 } else { 100.0 * passed as f64 / told.len() as f64 }
    }

    /// The least tolerance with which all these points pass: to find the sensitivity that a risk allows.
    pub fn tolerance_needed(&self, points: &[Point]) -> f64 {
        let judged = points.len().min(self.lifetime);
        let looks = (1..=judged).filter(|count| count.is_multiple_of(self.judged_every) || *count == self.lifetime);
        let so_far = |count: usize| Self { points: points[..count].to_vec(), ..self.clone() };
        looks.flat_map(|count| so_far(count).excesses().collect::<Vec<_>>()).fold(0.0, f64::max)
    }

    /// Of each metric with data: how many times its estimated shift the canary is higher for sure.
    fn excesses(&self) -> impl Iterator<Item = f64> {
        let rate = |of: crate::analysis::Counts| (of.requests > 0).then(|| of.error_rate());
        let errors = self.excess(|point| [rate(point.canary), rate(point.baseline)]);
        let durations =
            self.with_latency.then(|| self.excess(|point| [point.canary_p99, point.baseline_p99])).flatten();
        errors.into_iter().chain(durations)
    }

    fn excess(&self, values: impl Fn(&Point) -> [Option<f64>; 2]) -> Option<f64> {
        let side = |at: usize| self.points.iter().filter_map(|point| values(point)[at]).collect::<Vec<f64>>();
        let (canary, baseline) = (side(0), side(1));
        if canary.is_empty() || baseline.is_empty() {
            return None;
        }
        if canary == baseline {
            return Some(0.0);
        }
        let (lower, estimate) = shift(&canary, &baseline, self.confidence);
        Some(if lower > 0.0 { lower / estimate.abs() } else { 0.0 })
    }
}

impl Peer for Kayenta {
    fn name(&self) -> &'static str {
        "Kayenta"
    }

    fn interval(&self) -> u64 {
        60
    }

    fn see(&mut self, point: &Point) -> Ruling {
        self.points.push(*point);
        let count = self.points.len();
        if !count.is_multiple_of(self.judged_every) && count != self.lifetime {
            return Ruling::Stay;
        }
        let score = self.score();
        if score < self.marginal || (count >= self.lifetime && score < self.pass) {
            return Ruling::Revert;
        }
        if count >= self.lifetime { Ruling::Promote } else { Ruling::Stay }
    }
}

/// The lower end of the confidence interval of the shift from `baseline` to `canary`, and the Hodges-Lehmann estimate,
/// both as R's `wilcox.test` finds them: the shift at which the standardised rank sum is at a quantile of the normal law.
fn shift(canary: &[f64], baseline: &[f64], confidence: f64) -> (f64, f64) {
    let min = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let bounds = (min(canary) - max(baseline), max(canary) - min(baseline));
    let at = |quantile: f64| {
        let (mut low, mut high) = bounds;
        if rank_z(canary, baseline, low) <= quantile {
            return low;
        }
        if rank_z(canary, baseline, high) >= quantile {
            return high;
        }
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if rank_z(canary, baseline, middle) > quantile { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    };
    (at(normal_quantile(f64::midpoint(1.0, confidence))), at(0.0))
}

/// The standardised rank sum of the canary's values, less `shift`, among all: with ties, and corrected for continuity.
/// 0 when all are tied.
fn rank_z(canary: &[f64], baseline: &[f64], shift: f64) -> f64 {
    let mut all: Vec<(f64, bool)> =
        canary.iter().map(|x| (x - shift, true)).chain(baseline.iter().map(|y| (*y, false))).collect();
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (m, n) = (canary.len() as f64, baseline.len() as f64);
    let (mut ranks, mut ties, mut from) = (0.0, 0.0, 0);
    while from < all.len() {
        let tied = all[from..].iter().take_while(|(value, _)| *value == all[from].0).count();
        let rank = from as f64 + (tied as f64 + 1.0) / 2.0;
        ranks += rank * all[from..from + tied].iter().filter(|(_, is_canary)| *is_canary).count() as f64;
        ties += (tied as f64).powi(3) - tied as f64;
        from += tied;
    }
    let off = ranks - m * (m + 1.0) / 2.0 - m * n / 2.0;
    let sigma = (m * n / 12.0 * ((m + n + 1.0) - ties / ((m + n) * (m + n - 1.0)))).sqrt();
    let correction = if off == 0.0 { 0.0 } else { 0.5 * off.signum() };
    if sigma > 0.0 { (off - correction) / sigma } else { 0.0 }
}

/// The quantile of the standard normal law.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle: f64 = f64::midpoint(low, high);
        if 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2) < p { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Counts;

    #[test]
    fn the_shift_and_its_interval() {
        assert!((normal_quantile(0.99) - 2.326_347_9).abs() < 1e-6);
        // The Hodges-Lehmann estimate is the median of all differences.
        let baseline: Vec<f64> = (0..20).map(|at| f64::from(at) * 1.01).collect();
        let canary: Vec<f64> = baseline.iter().map(|value| value + 10.0).collect();
        let (lower, estimate) = shift(&canary, &baseline, 0.98);
        assert!((estimate - 10.0).abs() < 0.6, "{estimate}");
        assert!(lower > 4.0 && lower < 6.0, "{lower}");
        assert_eq!(rank_z(&[1.0; 3], &[1.0; 3], 0.0), 0.0);
    }

    fn judged(canary: impl Fn(u64) -> u64) -> (usize, Ruling) {
        let mut kayenta = Kayenta::default();
        for minute in 0..60 {
            let counts = |errors| Counts { requests: 10_000, errors };
            let baseline = counts(50 + minute * 7 % 11);
            let ruling = kayenta.see(&Point { canary: counts(canary(minute)), baseline, ..Point::default() });
            if ruling != Ruling::Stay {
                return (minute as usize + 1, ruling);
            }
        }
        panic!("it never judged");
    }

    #[test]
    fn half_an_hour_shows_a_quarter_more_and_an_hour_clears() {
        assert_eq!(judged(|minute| 50 + minute * 3 % 11), (60, Ruling::Promote));
        assert_eq!(judged(|minute| 65 + minute * 3 % 11), (30, Ruling::Revert));
        assert_eq!(judged(|minute| 50 + minute * 7 % 11), (60, Ruling::Promote));
        assert_eq!(judged(|_| 0), (60, Ruling::Promote));
    }

    #[test]
    fn without_data_it_fails() {
        let mut kayenta = Kayenta { judged_every: 1, ..Kayenta::default() };
        assert_eq!(kayenta.see(&Point::default()), Ruling::Revert);
    }
}
