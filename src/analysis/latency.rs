//! Test T2: is the canary slower than the baseline? By the histograms of both.
//!
//! PURE. For each boundary `b` that both histograms have, the error test with "slower than `b`" for an error, and with the
//! exact law of how a window's slow requests are shared out ([`sharing`]), because they are not rare. What the latency of
//! both does, and how the weights move between windows, does not matter.
//! Where nearly all of the baseline's requests are slower, the odds tell of the few fastest ones, and nobody calls a
//! version slow for having fewer of these: such boundaries are not bet on. What is a boundary of this kind is settled by
//! the windows before.
//! References: Lindon et al. 2022, arXiv 2205.14762; Howard & Ramdas, arXiv 1906.09712.
//!
//! Invariant: the evidence that it is slower belongs to the whole rollout, the proof that it is not to one `analyze` step.

mod clumps;
mod faster;
mod limits;
mod sharing;
mod slower;

use serde::{Deserialize, Serialize};

use self::faster::{ENOUGH, Faster, tail};
use self::limits::Limits;
use self::sharing::Sharing;
use self::slower::Slower;
use super::histogram::{SideBySide, Slow};
use super::ratio::finite_at_least_one;
use super::words::percent;
use super::{LogE, Window};
use crate::model::{ClusterSize, Histogram, LatencyMetric, QuantileLimit};

/// A boundary that a greater share of the baseline's requests exceeds is not bet on.
const NEARLY_ALL: f64 = 0.9;

/// The evidence of one rollout on latency.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Latency {
    slower: Slower,
    faster: Faster,
    limits: Limits,
    /// All that was taken in.
    canary: Histogram,
    baseline: Histogram,
}

impl Latency {
    /// Another metric: what was evidence against something else begins anew.
    pub(super) fn follow(&mut self, metric: &LatencyMetric) {
        self.slower.follow(finite_at_least_one(metric.tolerate_ratio));
        self.limits.follow(&metric.max);
    }

    /// A new `analyze` step begins: the proof that the canary is good starts over, what speaks against it stays.
    pub(super) fn begin_step(&mut self) {
        self.faster = Faster::default();
    }

    /// Takes in one window. One in which a side has no histogram, or none that is one, teaches nothing of the comparison.
    pub(super) fn observe(&mut self, window: &Window, metric: &LatencyMetric) {
        self.observe_clustered(window, metric, ClusterSize::Estimated);
    }

    /// The same with a say in how many slow requests have one cause.
    pub(super) fn observe_clustered(&mut self, window: &Window, metric: &LatencyMetric, size: ClusterSize) {
        let size = match size {
            ClusterSize::Given(size) => Some(finite_at_least_one(size)),
            ClusterSize::Estimated => None,
        };
        let Some(canary) = &window.canary.latency else {
            return;
        };
        self.limits.observe(canary, &metric.max, size);
        let Some(baseline) = &window.baseline.latency else {
            return;
        };
        let Some(mut both) = SideBySide::new(canary, baseline) else {
            return;
        };
        // By the windows before: first what needs a boundary that they chose.
        self.observe_tail(&both, metric, size);
        both.boundaries.retain(|Slow { bound, .. }| !self.is_exceeded_by_nearly_all(*bound));
        self.slower.observe(&both, finite_at_least_one(metric.tolerate_ratio), size);
        self.canary.merge(canary);
        self.baseline.merge(baseline);
    }

    fn observe_tail(&mut self, window: &SideBySide, metric: &LatencyMetric, size: Option<f64>) {
        let chosen = tail(&self.baseline);
        let Some(slow) = chosen.and_then(|tail| window.boundaries.iter().find(|slow| slow.bound == tail)) else {
            return;
        };
        let sharing = Sharing::new((window.canary, slow.canary), (window.baseline, slow.baseline));
        let sizes = sharing.and_then(|sharing| self.slower.sizes(slow.bound, &sharing, size));
        if let (Some(sharing), Some(sizes)) = (sharing, sizes) {
            self.faster.observe(&sharing, finite_at_least_one(metric.reject_ratio), sizes);
        }
    }

    /// Whether nearly all of the baseline's requests exceeded a boundary in the windows before, as far as these tell.
    fn is_exceeded_by_nearly_all(&self, bound: f64) -> bool {
        let all = self.baseline.total();
        all >= ENOUGH && self.baseline.above(bound) as f64 > NEARLY_ALL * all as f64
    }

    /// The e-value against "as fast as tolerated".
    pub(super) fn revert(&self) -> LogE {
        self.slower.evidence()
    }

    /// The e-value against "bad" in this step: so much slower that it is to be rejected.
    pub(super) fn good(&self) -> LogE {
        self.faster.evidence()
    }

    /// The e-value against "within its limits".
    pub(super) fn limit(&self) -> LogE {
        self.limits.evidence()
    }

    /// Whether both versions have ever told their durations in one window.
    pub(super) fn has_data(&self) -> bool {
        self.canary.total() > 0
    }

    /// What was compared, as `latency: canary p50 52 ms, p99 410 ms against baseline p50 50 ms, p99 180 ms; 2.1% slower than
    /// 200 ms against 0.40%`, with the boundary that speaks most against the canary, and the limits.
    pub(super) fn said(&self, metric: &LatencyMetric) -> String {
        let quantiles = |histogram: &Histogram| {
            let [median, late] = [0.5, 0.99].map(|quantile| histogram.quantile(quantile).unwrap_or(f64::NAN));
            format!("p50 {}, p99 {}", milliseconds(median), milliseconds(late))
        };
        if !self.has_data() {
            return "latency: no durations of canary and baseline side by side".to_owned();
        }
        let mut said =
            format!("latency: canary {} against baseline {}", quantiles(&self.canary), quantiles(&self.baseline));
        if let Some(bound) = self.slower.strongest() {
            said.push_str(&format!(
                "; {} slower than {} against {}",
                percent(share_above(&self.canary, bound)),
                milliseconds(bound),
                percent(share_above(&self.baseline, bound))
            ));
        }
        for QuantileLimit { quantile, limit } in &metric.max {
            let limit = limit.as_secs_f64() * 1000.0;
            said.push_str(&format!(
                "; {} slower than the limit of {}, may be {}",
                percent(share_above(&self.canary, limit)),
                milliseconds(limit),
                // 1 − 0.99 is a rounding error above 1 %.
                percent(((1.0 - quantile) * 1e9).round() / 1e9)
            ));
        }
        said
    }
}

fn share_above(histogram: &Histogram, bound: f64) -> f64 {
    histogram.above(bound) as f64 / histogram.total().max(1) as f64
}

/// `52 ms`, `3.4 ms`.
fn milliseconds(duration: f64) -> String {
    if duration >= 10.0 || duration == duration.round() {
        format!("{duration:.0} ms")
    } else {
        format!("{duration:.1} ms")
    }
}

#[cfg(test)]
mod tests;
