//! The error rate: against the baseline's, against limits, and after the switch against what it was before.
//!
//! PURE. Invariant: the revert evidence belongs to the whole rollout (the test allows the weights to move between
//! windows), the advance evidence to one `analyze` step.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::clusters::{Clusters, Sizes};
use super::holdback::Holdback;
use super::parts::{LIMIT, Part, RELATIVE, Test, WATCH};
use super::proof::Proof;
use super::ratio::{Revert, finite_at_least_one};
use super::watch::{Watch, ceiling};
use super::words::percent;
use super::{Arm, Counts, LogE, Metric, Window};
use crate::model::{Cause, ClusterSize, ErrorsMetric, Failures};

/// The evidence of one rollout on errors.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Errors {
    revert: Revert,
    proof: Proof,
    clusters: Clusters,
    /// Against the highest rate that is allowed.
    max: Option<Watch>,
    /// The baseline's while it still had traffic, also where the canary had none.
    before: Before,
    /// The causes of failure that were counted.
    causes: Option<BTreeSet<Cause>>,
    /// Of a canary that has all the traffic.
    watch: Option<Watch>,
    /// While a share is held back for the predecessor.
    holdback: Option<Holdback>,
}

/// What the baseline was like, by cause: so it can be told also when other causes count.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Before {
    requests: u64,
    failures: Failures,
}

impl Before {
    fn add(&mut self, baseline: &Arm) {
        self.requests = self.requests.saturating_add(baseline.requests);
        self.failures = self.failures.plus(baseline.failures);
    }

    fn counts(&self, causes: &BTreeSet<Cause>) -> Counts {
        Counts { requests: self.requests, errors: self.failures.counted(causes) }.clamped()
    }
}

impl Errors {
    /// Whether failures of other causes count than before.
    pub(super) fn counts_otherwise(&self, metric: &ErrorsMetric) -> bool {
        self.causes.as_ref().is_some_and(|causes| *causes != metric.causes)
    }

    /// Another metric: what was evidence against something else begins anew. What one test or another lost of its stake
    /// by that is for [`Stakes`](super::parts::Stakes) to keep.
    pub(super) fn follow(&mut self, metric: &ErrorsMetric) {
        if self.counts_otherwise(metric) {
            self.begin_anew();
        }
        if self.causes.as_ref() != Some(&metric.causes) {
            self.causes = Some(metric.causes.clone());
        }
        self.revert.follow(metric);
        if self.max.as_ref().map(|max| max.ceiling.to_bits()) != metric.max.map(f64::to_bits) {
            self.max = metric.max.map(Watch::against);
        }
    }

    /// Other failures count: nothing that was seen is evidence on these, but for what the baseline was like. How they come in
    /// groups is not known either. A watch has ended.
    fn begin_anew(&mut self) {
        self.revert = Revert::default();
        self.proof.count_anew();
        self.clusters = Clusters::default();
        self.max = None;
        self.holdback = self.holdback.take().map(Holdback::anew);
        self.watch = None;
    }

    /// A new `analyze` step begins: the proof that the canary is good starts over, what speaks against it stays.
    pub(super) fn begin_step(&mut self) {
        self.proof = Proof::default();
    }

    /// The highest error rate that is as good as the predecessor's, at this risk. None where that is looked at already.
    pub(super) fn ceiling(&self, metric: &ErrorsMetric, false_revert: f64) -> Option<f64> {
        let before = self.before.counts(&metric.causes);
        self.watch.is_none().then(|| ceiling(before, metric, self.cluster_size(metric), false_revert))
    }

    /// Whether the canary is watched, with all the traffic.
    pub(super) fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    /// The canary has all the traffic, and is watched for a higher error rate than this.
    pub(super) fn begin_watch(&mut self, ceiling: f64) {
        self.watch = Some(Watch::against(ceiling));
    }

    /// The canary has all the traffic but what is held back, and is looked at for so many windows.
    pub(super) fn begin_holdback(&mut self, ticks: u64) {
        self.holdback = Some(Holdback::begin(ticks));
    }

    /// The canary has not all the traffic any more, or nothing is held back any more.
    pub(super) fn end_watch(&mut self) {
        (self.watch, self.holdback) = (None, None);
    }

    /// Takes in one window. Without requests to the canary it only tells of the baseline.
    pub(super) fn observe(&mut self, window: &Window, metric: &ErrorsMetric) {
        self.follow(metric);
        let (canary, baseline) = (window.canary.counts(&metric.causes), window.baseline.counts(&metric.causes));
        if window.has_data() {
            let sizes = match metric.cluster_size {
                ClusterSize::Given(size) => Sizes::from(size),
                ClusterSize::Estimated => self.clusters.sizes(&window.canary, canary, &window.baseline, baseline),
            };
            for fixed in self.watch.iter_mut().chain(&mut self.max) {
                fixed.observe(canary, sizes.worse);
            }
            if let Some(holdback) = &mut self.holdback {
                holdback.observe(canary, baseline, metric, sizes.worse);
            }
            self.revert.observe(canary, baseline, metric, sizes.worse);
            let before = self.before.counts(&metric.causes);
            self.proof.observe(canary, baseline, before, metric, sizes);
            self.clusters.note_canary(canary, window.canary.spread);
        }
        if window.proxies > 0 && baseline.requests > 0 {
            self.clusters.note_baseline(baseline, window.baseline.spread);
            self.before.add(&window.baseline);
        }
    }

    /// How many errors one cause is taken to make at once.
    pub(super) fn cluster_size(&self, metric: &ErrorsMetric) -> f64 {
        match metric.cluster_size {
            ClusterSize::Given(size) => finite_at_least_one(size),
            ClusterSize::Estimated => self.clusters.known(),
        }
    }

    /// The same in the proof that they are fewer than a fixed rate.
    pub(super) fn cluster_size_of_few(&self, metric: &ErrorsMetric) -> f64 {
        match metric.cluster_size {
            ClusterSize::Given(size) => finite_at_least_one(size),
            ClusterSize::Estimated => self.clusters.known_of_few(),
        }
    }

    /// The e-value against "bad".
    pub(super) fn good(&self) -> LogE {
        self.proof.evidence()
    }

    /// Each test by itself: revert, advance, absolute.
    #[cfg(test)]
    pub(super) fn each(&self) -> [LogE; 3] {
        let [advance, absolute] = self.proof.each();
        [self.revert.evidence(), advance, absolute]
    }

    /// The tests against "no worse than tolerated".
    pub(super) fn parts(&self, canary: Counts, baseline: Counts) -> Vec<Part> {
        let part = |test, stake, evidence, said| Part { test, metric: Metric::Errors, stake, evidence, said };
        let watched = self.watch.as_ref().map_or_else(Counts::default, |watch| watch.seen);
        let before = self.watch.as_ref().map_or(0.0, |watch| watch.ceiling);
        let since = format!(
            "errors: {} since it has all the traffic, against at most {} before",
            side(watched),
            percent(before)
        );
        let held_back = self.holdback.as_ref().map(Holdback::said).unwrap_or_default();
        let mut parts = vec![
            part(Test::Errors, RELATIVE, self.revert.evidence(), versus(canary, baseline)),
            // They keep their stakes while they have not begun: what is laid cannot be moved later on.
            part(Test::Watch, WATCH / 2.0, self.watch.as_ref().map_or(LogE::ONE, Watch::evidence), since),
            part(Test::Holdback, WATCH / 2.0, self.holdback.as_ref().map_or(LogE::ONE, Holdback::evidence), held_back),
        ];
        parts.extend(self.max.as_ref().map(|max| {
            let said = format!("errors: canary {} against at most {}", side(max.seen), percent(max.ceiling));
            part(Test::ErrorsMax, LIMIT, max.evidence(), said)
        }));
        parts
    }
}

/// `errors: canary 37/412 (9.0%) against baseline 8/7930 (0.10%)`.
pub(super) fn versus(canary: Counts, baseline: Counts) -> String {
    format!("errors: canary {} against baseline {}", side(canary), side(baseline))
}

pub(super) fn side(counts: Counts) -> String {
    format!("{}/{} ({})", counts.errors, counts.requests, percent(counts.error_rate()))
}

#[cfg(test)]
mod tests;
