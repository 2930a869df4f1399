//! One rollout's judge: takes in windows, keeps the evidence, gives the verdict.
//!
//! PURE. Invariants: the revert evidence belongs to the whole rollout (the test allows the weights to move between
//! windows), the advance evidence to one `analyze` step; a pass needs data in the newest window, so that an outage of
//! the statistics never advances; a failure needs nothing but its evidence. All tests that may fail share one risk
//! ([`parts`](super::parts)); ejections and what others measure are stated rules of their own, outside of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ejections::Ejections;
use super::errors::Errors;
use super::holdback::Holdback;
use super::latency::Latency;
use super::parts::{Part, Stakes};
use super::place::Places;
use super::reading::Readings;
use super::{Counts, Evidence, Mark, Measurement, Metric, Verdict, Window, evidence};
use crate::model::{AnalysisPolicy, ErrorsMetric};
use standing::{Those, weakest};

mod standing;

/// How long the canary may be without requests, once it had some in the step, before that is called "no data" again.
/// Shorter gaps are a canary with little traffic.
pub const NO_DATA_AFTER: Duration = Duration::from_secs(30);

/// The judge of one rollout, which begins with the default one. It is stored with the rollout, and goes on bit for bit
/// after a restart.
///
/// The policy is given again with each window, because a spec may be edited in mid-rollout: evidence against a ratio or
/// a rate that is no longer asked for is dropped, the rest stays; an edit never adds evidence.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Judge {
    pub(super) errors: Errors,
    latency: Latency,
    ejections: Ejections,
    readings: Readings,
    /// What each test is worth since the policy was edited.
    stakes: Stakes,
    /// Where it is worse.
    pub(super) places: Places,
    canary: Counts,
    baseline: Counts,
    observed: Duration,
    proxies: usize,
    silent: usize,
    /// The share of the silent proxies.
    silent_share: f64,
    step: Step,
    /// What happened since the newest window.
    pub(super) marks: Vec<Mark>,
    /// What was asked with the newest window.
    pub(super) asked: Option<AnalysisPolicy>,
    /// How many windows it has taken in.
    pub(super) windows: u64,
    /// By which [`ANALYSIS`](super::ANALYSIS).
    pub(super) analysis: u32,
}

/// What belongs to one `analyze` step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Step {
    canary: Counts,
    baseline: Counts,
    /// How long the canary has been without requests.
    idle: Duration,
}

impl Judge {
    /// A new `analyze` step begins: the proof that the canary is good starts over, what speaks against it stays.
    pub fn begin_step(&mut self) {
        self.marks.push(Mark::Step);
        self.step = Step::default();
        self.errors.begin_step();
        self.latency.begin_step();
        self.readings.begin_step();
    }

    /// The canary has all the traffic: from now on it is compared with what the baseline was like. Said again, it
    /// changes nothing.
    pub fn begin_watch(&mut self, policy: &AnalysisPolicy) {
        let risk = policy.risk.false_revert;
        if let Some(ceiling) = policy.errors.as_ref().and_then(|metric| self.errors.ceiling(metric, risk)) {
            self.marks.push(Mark::Watch { ceiling });
            self.errors.begin_watch(ceiling);
        }
    }

    /// The canary has all the traffic but what is held back for its predecessor, and is looked at for this length: from
    /// now on a change is looked for as well.
    pub fn begin_holdback(&mut self, length: Duration) {
        let ticks = Holdback::ticks(length);
        self.marks.push(Mark::Holdback { ticks });
        self.change(|judge| judge.errors.begin_holdback(ticks));
    }

    /// The canary has not all the traffic any more: the next proxies are compared side by side.
    pub fn end_watch(&mut self) {
        self.marks.push(Mark::EndWatch);
        self.change(|judge| judge.errors.end_watch());
    }

    /// Takes note of what is asked. What is evidence against something else begins anew.
    pub(super) fn ask(&mut self, policy: &AnalysisPolicy) {
        if self.asked.as_ref() == Some(policy) {
            return;
        }
        self.marks.push(Mark::Policy(policy.clone()));
        self.change(|judge| {
            if let Some(metric) = &policy.errors {
                if judge.errors.counts_otherwise(metric) {
                    judge.count_anew();
                }
                let is_watched = judge.errors.is_watched();
                judge.errors.follow(metric);
                let ceiling = judge.errors.ceiling(metric, policy.risk.false_revert);
                ceiling.filter(|_| is_watched).into_iter().for_each(|ceiling| judge.errors.begin_watch(ceiling));
            }
            if let Some(metric) = &policy.latency {
                judge.latency.follow(metric);
            }
            if policy.ejections.is_none() {
                judge.ejections = Ejections::default();
            }
            judge.asked = Some(policy.clone());
        });
    }

    /// Other failures count: the counts that are told are those since then.
    fn count_anew(&mut self) {
        (self.canary, self.baseline) = (Counts::default(), Counts::default());
        (self.step.canary, self.step.baseline) = (Counts::default(), Counts::default());
        self.observed = Duration::ZERO;
        self.places = Places::default();
    }

    /// Changes what is tested, and adds nothing to what all tests are worth together.
    fn change(&mut self, to: impl FnOnce(&mut Self)) {
        let tests = |judge: &Self| judge.asked.as_ref().map(|asked| judge.parts(asked, Those::Deciding));
        let before: Option<Vec<Part>> = tests(self);
        to(self);
        if let Some((before, now)) = before.zip(tests(self)) {
            let same = |part: &Part| (part.test, part.evidence);
            if !before.iter().map(same).eq(now.iter().map(same)) {
                self.stakes.move_to(&before, &now);
            }
        }
    }

    /// By what it is to be judged: what was asked with the newest window, or this before the first. What a spec was edited
    /// to counts from the next window on, so that each verdict follows from the windows before it.
    pub fn asked<'a>(&'a self, policy: &'a AnalysisPolicy) -> &'a AnalysisPolicy {
        self.asked.as_ref().unwrap_or(policy)
    }

    /// Takes in one window, and tells what it came to. One without requests to the canary (or without proxies) only
    /// counts as time without data: give such windows too, or nobody learns that the data stopped.
    pub fn observe(&mut self, window: &Window, policy: &AnalysisPolicy) -> Measurement {
        self.ask(policy);
        let marks = self.take_marks();
        self.take_in(window, policy);
        Measurement { marks, window: window.clone(), evidence: self.evidence(policy) }
    }

    pub(super) fn take_in(&mut self, window: &Window, policy: &AnalysisPolicy) {
        self.readings.observe(&window.readings, policy);
        if window.is_readings_only() {
            return;
        }
        self.windows = self.windows.saturating_add(1);
        (self.proxies, self.silent) = (window.proxies, window.silent);
        self.silent_share = window.silent_share();
        if let Some(metric) = &policy.ejections {
            self.ejections.observe(window, metric);
        }
        if let Some(metric) = &policy.errors {
            self.errors.observe(window, metric);
        }
        if !window.has_data() {
            self.step.idle = self.step.idle.saturating_add(window.length);
            return;
        }
        let causes = policy.causes();
        let (canary, baseline) = (window.canary.counts(&causes), window.baseline.counts(&causes));
        self.canary = self.canary.plus(canary);
        self.baseline = self.baseline.plus(baseline);
        self.observed = self.observed.saturating_add(window.length);
        self.step.canary = self.step.canary.plus(canary);
        self.step.baseline = self.step.baseline.plus(baseline);
        self.step.idle = Duration::ZERO;
        if let Some(metric) = &policy.latency {
            self.latency.observe(window, metric);
        }
        let size = policy.errors.as_ref().map_or(1.0, |metric| self.errors.cluster_size(metric));
        self.places.observe(&window.places, policy, size);
    }

    /// What the evidence so far allows to do.
    ///
    /// Without a metric that can prove the canary good, a step stays [`Verdict::Undecided`] until its `max`.
    pub fn verdict(&self, policy: &AnalysisPolicy) -> Verdict {
        if let Some((metric, reason)) =
            self.stakes.failure(&self.parts(policy, Those::Deciding), policy.risk.false_revert)
        {
            return Verdict::Fail { metric, reason };
        }
        if let Some(reason) = self.decides_ejections(policy).and_then(|metric| self.ejections.failure(metric)) {
            return Verdict::Fail { metric: Metric::Ejections, reason };
        }
        if let Some((metric, reason)) = self.readings.failure(policy) {
            return Verdict::Fail { metric, reason };
        }
        let is_blind = self.silent_share > policy.silent_limit;
        if self.step.canary.requests == 0 || self.step.idle >= NO_DATA_AFTER || is_blind {
            return Verdict::NoData { reason: self.no_data() };
        }
        if let Some(reason) = self.readings.error(policy) {
            return Verdict::Error { reason };
        }
        self.progress(policy)
    }

    /// The numbers behind the verdict. Evidence and bounds are finite.
    pub fn evidence(&self, policy: &AnalysisPolicy) -> Evidence {
        let claims = self.claims(policy, Those::Deciding);
        Evidence {
            canary_requests: self.canary.requests,
            canary_errors: self.canary.errors,
            baseline_requests: self.baseline.requests,
            baseline_errors: self.baseline.errors,
            revert_evidence: self.together(policy).value(),
            revert_bound: evidence::bound(policy.risk.false_revert),
            advance_evidence: weakest(&claims).value(),
            advance_bound: evidence::bound(policy.risk.false_advance),
            proxies: self.proxies,
            silent: self.silent,
            cluster_size: policy.errors.as_ref().map_or(1.0, |metric| self.errors.cluster_size(metric)),
            metrics: self.standings(policy),
            observed: self.observed,
            verdict: self.verdict(policy).reason().to_owned(),
        }
    }

    /// How many errors one cause is taken to make at once: in comparisons with the baseline, and in the proof that they are
    /// fewer than the harmless rate.
    pub fn cluster_sizes(&self, metric: &ErrorsMetric) -> (f64, f64) {
        (self.errors.cluster_size(metric), self.errors.cluster_size_of_few(metric))
    }

    fn no_data(&self) -> String {
        let silence = match self.step.idle.as_secs() {
            0 => String::new(),
            seconds => format!(" for {seconds} s"),
        };
        if self.silent > 0 && self.proxies > 0 {
            let all = self.proxies.saturating_add(self.silent);
            return format!(
                "{} of {all} proxies with this step's weight in force have reported{silence}",
                self.proxies
            );
        }
        match self.proxies {
            0 => format!("no proxy with this step's weight in force has reported{silence}"),
            1 => format!("1 proxy reports, but no request to the canary{silence}"),
            proxies => format!("{proxies} proxies report, but no request to the canary{silence}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
