//! One rollout's judge: takes in windows, keeps the evidence, gives the verdict.
//!
//! PURE. Invariants: the revert evidence belongs to the whole rollout (the test allows the weights to move between
//! windows), the advance evidence to one `analyze` step; a pass needs data in the newest window, so that an outage of
//! the statistics never advances; a failure needs nothing but its evidence.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::absolute::{Absolute, proven_good};
use super::ejections::Ejections;
use super::ratio::{Advance, Revert};
use super::watch::Watch;
use super::words::{e_value, percent};
use super::{Counts, Evidence, LogE, Metric, Verdict, Window, evidence};
use crate::model::{AnalysisPolicy, ErrorsMetric};

/// How long the canary may be without requests, once it had some in the step, before that is called "no data" again.
/// Shorter gaps are a canary with little traffic.
pub const NO_DATA_AFTER: Duration = Duration::from_secs(30);

/// The judge of one rollout, which begins with the default one. It is stored with the rollout, and goes on bit for bit
/// after a restart.
///
/// The policy is given again with each window, because a spec may be edited in mid-rollout: evidence against a ratio or
/// a rate that is no longer asked for is dropped, the rest stays.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Judge {
    revert: Revert,
    canary: Counts,
    baseline: Counts,
    observed: Duration,
    proxies: usize,
    ejections: Ejections,
    step: Step,
    /// The baseline's counts while it still had traffic, also where the canary had none.
    #[serde(default)]
    before: Counts,
    /// Of a canary that has all the traffic.
    #[serde(default)]
    watch: Option<Watch>,
}

/// What belongs to one `analyze` step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Step {
    advance: Advance,
    absolute: Absolute,
    canary: Counts,
    baseline: Counts,
    /// How long the canary has been without requests.
    idle: Duration,
}

impl Judge {
    /// A new `analyze` step begins: the proof that the canary is good starts over, what speaks against it stays.
    pub fn begin_step(&mut self) {
        self.step = Step::default();
    }

    /// The canary has all the traffic: from now on it is compared with what the baseline was like. Said again, it
    /// changes nothing.
    pub fn begin_watch(&mut self, policy: &AnalysisPolicy) {
        if let (None, Some(metric)) = (&self.watch, &policy.errors) {
            self.watch = Some(Watch::begin(self.before, metric));
        }
    }

    /// The canary has not all the traffic any more: the next proxies are compared side by side.
    pub fn end_watch(&mut self) {
        self.watch = None;
    }

    /// Takes in one window. One without requests to the canary (or without proxies) only counts as time without data:
    /// give such windows too, or nobody learns that the data stopped.
    pub fn observe(&mut self, window: &Window, policy: &AnalysisPolicy) {
        self.proxies = window.proxies;
        if let Some(metric) = &policy.ejections {
            self.ejections.observe(window, metric);
        }
        if window.proxies > 0 {
            self.before = self.before.plus(window.baseline.clamped());
        }
        if !window.has_data() {
            self.step.idle = self.step.idle.saturating_add(window.length);
            return;
        }
        let (canary, baseline) = (window.canary.clamped(), window.baseline.clamped());
        self.canary = self.canary.plus(canary);
        self.baseline = self.baseline.plus(baseline);
        self.observed = self.observed.saturating_add(window.length);
        self.step.canary = self.step.canary.plus(canary);
        self.step.baseline = self.step.baseline.plus(baseline);
        self.step.idle = Duration::ZERO;
        if let Some((watch, metric)) = self.watch.as_mut().zip(policy.errors.as_ref()) {
            watch.observe(canary, metric);
        }
        if let Some(metric) = &policy.errors {
            self.revert.observe(canary, baseline, metric);
            self.step.advance.observe(canary, baseline, metric);
            self.step.absolute.observe(canary, metric);
        }
    }

    /// What the evidence so far allows to do.
    ///
    /// Without an errors metric nothing can be proven good: such a step stays [`Verdict::Undecided`] until its `max`.
    pub fn verdict(&self, policy: &AnalysisPolicy) -> Verdict {
        if let Some(reason) = policy.errors.as_ref().and_then(|_| self.errors_failure(policy)) {
            return Verdict::Fail { metric: Metric::Errors, reason };
        }
        if let Some(reason) = policy.ejections.as_ref().and_then(|metric| self.ejections.failure(metric)) {
            return Verdict::Fail { metric: Metric::Ejections, reason };
        }
        if self.step.canary.requests == 0 || self.step.idle >= NO_DATA_AFTER {
            return Verdict::NoData { reason: self.no_data() };
        }
        match &policy.errors {
            Some(metric) => self.errors_progress(metric, policy),
            None => Verdict::Undecided {
                reason: "no errors metric that could prove the canary good: waits for the end of the step".to_owned(),
            },
        }
    }

    /// The numbers behind the verdict. Evidence and bounds are finite.
    pub fn evidence(&self, policy: &AnalysisPolicy) -> Evidence {
        Evidence {
            canary_requests: self.canary.requests,
            canary_errors: self.canary.errors,
            baseline_requests: self.baseline.requests,
            baseline_errors: self.baseline.errors,
            revert_evidence: self.revert.evidence().value(),
            revert_bound: evidence::bound(policy.risk.false_revert),
            advance_evidence: self.proven_good().value(),
            advance_bound: evidence::bound(policy.risk.false_advance),
            proxies: self.proxies,
            observed: self.observed,
            verdict: self.verdict(policy).reason().to_owned(),
        }
    }

    fn proven_good(&self) -> LogE {
        proven_good(self.step.advance.evidence(), self.step.absolute.evidence())
    }

    fn errors_failure(&self, policy: &AnalysisPolicy) -> Option<String> {
        // Two tests, from here on with half of the risk each. (The first had all of it before: together one and a half.)
        let risk = policy.risk.false_revert / if self.watch.is_some() { 2.0 } else { 1.0 };
        if let Some(watch) = self.watch.as_ref().filter(|watch| watch.evidence().reaches(risk)) {
            return Some(format!(
                "errors: {}/{} ({}) since it has all the traffic, against at most {} before: evidence {} ≥ {}, reverts",
                watch.seen.errors,
                watch.seen.requests,
                percent(watch.seen.error_rate()),
                percent(watch.ceiling),
                e_value(watch.evidence().value()),
                e_value(evidence::bound(risk))
            ));
        }
        let revert = self.revert.evidence();
        revert.reaches(risk).then(|| {
            format!(
                "{}: evidence {} ≥ {}, reverts",
                versus(self.canary, self.baseline),
                e_value(revert.value()),
                e_value(evidence::bound(risk))
            )
        })
    }

    fn errors_progress(&self, metric: &ErrorsMetric, policy: &AnalysisPolicy) -> Verdict {
        let good = self.proven_good();
        let suspicious = policy.ejections.is_some() && self.ejections.suspicious();
        let counts = versus(self.step.canary, self.step.baseline);
        let bound = e_value(evidence::bound(policy.risk.false_advance));
        if good.reaches(policy.risk.false_advance) && self.step.idle.is_zero() && !suspicious {
            let claim =
                format!("below {} times the baseline's rate or {}", metric.reject_ratio, percent(metric.harmless_rate));
            let reason = format!("{counts}: evidence {} ≥ {bound} for {claim}, advances", e_value(good.value()));
            return Verdict::Pass { reason };
        }
        let doubt = if suspicious { "; canary endpoints are ejected" } else { "" };
        Verdict::Undecided {
            reason: format!(
                "{counts}: evidence {} of {bound} to advance, {} of {} to revert{doubt}",
                e_value(good.value()),
                e_value(self.revert.evidence().value()),
                e_value(evidence::bound(policy.risk.false_revert))
            ),
        }
    }

    fn no_data(&self) -> String {
        let silence = match self.step.idle.as_secs() {
            0 => String::new(),
            seconds => format!(" for {seconds} s"),
        };
        match self.proxies {
            0 => format!("no proxy with this step's weight in force has reported{silence}"),
            1 => format!("1 proxy reports, but no request to the canary{silence}"),
            proxies => format!("{proxies} proxies report, but no request to the canary{silence}"),
        }
    }
}

/// `errors: canary 37/412 (9.0%) against baseline 8/7930 (0.10%)`.
fn versus(canary: Counts, baseline: Counts) -> String {
    let side = |counts: Counts| format!("{}/{} ({})", counts.errors, counts.requests, percent(counts.error_rate()));
    format!("errors: canary {} against baseline {}", side(canary), side(baseline))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
