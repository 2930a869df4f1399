//! What an `auto` step knows of the traffic, and what follows from it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Progress;
use crate::analysis::pace::{Pace, doubled};
use crate::analysis::{Counts, Window};
use crate::model::{AnalysisPolicy, Step, Weight};

/// For how long the traffic is looked at before a first weight that was chosen blindly is looked at again.
const KNOWN_AFTER: Duration = Duration::from_secs(10);

/// How far an `auto` step is, and the traffic as it was seen lately.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Climb {
    /// For how long it has gone on.
    pub(in crate::rollout) spent: Duration,
    /// Whether the first weight was chosen before anything was known of the traffic.
    pub(in crate::rollout) blind: bool,
    /// Requests of all versions, as those that were counted say.
    requests: u64,
    /// For how long they were counted.
    observed: Duration,
    baseline: Counts,
}

impl Climb {
    /// The step begins. What is known of the traffic stays known.
    pub(in crate::rollout) fn begin(&mut self) {
        (self.spent, self.blind) = (Duration::ZERO, false);
    }

    /// Takes in a window in which canary and baseline together had this share of the requests.
    pub(in crate::rollout) fn observe(&mut self, window: &Window, share: Weight, policy: &AnalysisPolicy) {
        if window.proxies == 0 || share == Weight::ZERO {
            return;
        }
        let baseline = window.baseline.counts(&policy.causes());
        let counted = window.canary.requests.saturating_add(baseline.requests);
        let all = u128::from(counted) * u128::from(Weight::FULL.hundredths()) / u128::from(share.hundredths());
        self.requests = self.requests.saturating_add(u64::try_from(all).unwrap_or(u64::MAX));
        self.observed = self.observed.saturating_add(window.length);
        self.baseline = self.baseline.plus(baseline);
    }

    /// Another weight: what was seen before counts for half, so that the newest traffic decides.
    pub(in crate::rollout) fn age(&mut self) {
        let Self { requests, observed, baseline, .. } = self;
        (*requests, *observed) = (*requests / 2, *observed / 2);
        *baseline = Counts { requests: baseline.requests / 2, errors: baseline.errors / 2 };
    }

    /// Whether enough was seen to choose a first weight anew that was chosen blindly.
    pub(in crate::rollout) fn sees_again(&self) -> bool {
        self.blind && self.observed >= KNOWN_AFTER
    }

    /// Requests a second of all versions; 0 while nothing is known.
    pub(in crate::rollout) fn requests_per_second(&self) -> f64 {
        if self.observed.is_zero() { 0.0 } else { self.requests as f64 / self.observed.as_secs_f64() }
    }
}

impl Progress {
    /// Whether a step of it chooses its weights by the traffic.
    pub(in crate::rollout) fn has_auto(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Auto { .. }))
    }

    /// What the weights of the present step are chosen by; none where it is no `auto` step, or nothing is to be proven.
    pub(in crate::rollout) fn pace<'a>(&self, policy: &'a AnalysisPolicy) -> Option<Pace<'a>> {
        let Some(Step::Auto { to, max, within, .. }) = self.steps.get(self.step) else { return None };
        let metric = policy.errors.as_ref().filter(|metric| !metric.dry_run)?;
        let (cluster_size, cluster_size_of_few) = self.judge.cluster_sizes(metric);
        Some(Pace {
            requests_per_second: self.climb.requests_per_second(),
            baseline: self.climb.baseline,
            metric,
            risk: policy.risk,
            cluster_size,
            cluster_size_of_few,
            to: *to,
            max: *max,
            left: within.map(|within| within.saturating_sub(self.climb.spent)),
        })
    }

    /// The weight after the present one; none where the step goes no higher.
    pub(in crate::rollout) fn next_weight(&self, policy: &AnalysisPolicy) -> Option<Weight> {
        let Some(Step::Auto { to, .. }) = self.steps.get(self.step) else { return None };
        let next = || self.pace(policy).map_or_else(|| doubled(self.weight, *to), |pace| pace.next(self.weight));
        (self.weight < *to).then(next)
    }

    /// How long a proof at the present weight takes about, where that is known.
    pub(in crate::rollout) fn proof(&self, policy: &AnalysisPolicy) -> Option<Duration> {
        self.pace(policy)?.proof(self.weight)
    }
}
