//! How the metrics stand: what speaks against the canary, what is claimed for it, and each for itself.

use super::super::errors::versus;
use super::super::parts::{LIMIT, Part, RELATIVE, Stakes, Test};
use super::super::words::{e_value, percent};
use super::super::{LogE, Metric, MetricEvidence, Standing, Verdict, evidence};
use super::Judge;
use crate::model::{AnalysisPolicy, EjectionsMetric};

/// Which metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Those {
    /// Those that decide.
    Deciding,
    /// Also those that are only shown.
    All,
}

impl Those {
    fn have(self, dry_run: bool) -> bool {
        self == Those::All || !dry_run
    }
}

/// What is to be proven before a step is left.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claim {
    pub(super) metric: Metric,
    /// The e-value against "bad", in this step.
    pub(super) evidence: LogE,
    /// Counts and rates.
    pub(super) said: String,
    /// What is claimed.
    pub(super) claim: String,
}

/// The e-value of the claim that is proven least; 1 without any.
pub(super) fn weakest(claims: &[Claim]) -> LogE {
    let least = |a: LogE, b: LogE| if b < a { b } else { a };
    claims.iter().map(|claim| claim.evidence).reduce(least).unwrap_or(LogE::ONE)
}

impl Judge {
    /// The tests that may fail the canary, with one risk for all.
    pub(super) fn parts(&self, policy: &AnalysisPolicy, those: Those) -> Vec<Part> {
        let mut parts = Vec::new();
        if policy.errors.as_ref().is_some_and(|metric| those.have(metric.dry_run)) {
            parts.extend(self.errors.parts(self.canary, self.baseline));
        }
        if let Some(metric) = policy.latency.as_ref().filter(|metric| those.have(metric.dry_run)) {
            let said = self.latency.said(metric);
            let part =
                |test, stake, evidence| Part { test, metric: Metric::Latency, stake, evidence, said: said.clone() };
            parts.push(part(Test::Latency, RELATIVE, self.latency.revert()));
            if !metric.max.is_empty() {
                parts.push(part(Test::LatencyMax, LIMIT, self.latency.limit()));
            }
        }
        parts
    }

    /// The e-value of all that may fail the canary.
    pub(super) fn together(&self, policy: &AnalysisPolicy) -> LogE {
        self.stakes.together(&self.parts(policy, Those::Deciding))
    }

    /// What has to be proven, each for itself.
    pub(super) fn claims(&self, policy: &AnalysisPolicy, those: Those) -> Vec<Claim> {
        let mut claims = Vec::new();
        if let Some(metric) = policy.errors.as_ref().filter(|metric| those.have(metric.dry_run)) {
            claims.push(Claim {
                metric: Metric::Errors,
                evidence: self.errors.good(),
                said: versus(self.step.canary, self.step.baseline),
                claim: format!(
                    "below {} times the baseline's rate or {}",
                    metric.reject_ratio,
                    percent(metric.harmless_rate)
                ),
            });
        }
        if let Some(metric) = policy.latency.as_ref().filter(|metric| those.have(metric.dry_run)) {
            claims.push(Claim {
                metric: Metric::Latency,
                evidence: self.latency.good(),
                said: self.latency.said(metric),
                claim: format!("odds of being slow below {} times the baseline's", metric.reject_ratio),
            });
        }
        claims
    }

    /// The ejections metric, if it decides.
    pub(super) fn decides_ejections<'a>(&self, policy: &'a AnalysisPolicy) -> Option<&'a EjectionsMetric> {
        policy.ejections.as_ref().filter(|metric| !metric.dry_run)
    }

    /// Neither failed nor without data: pass, or how far it is.
    pub(super) fn progress(&self, policy: &AnalysisPolicy) -> Verdict {
        let claims = self.claims(policy, Those::Deciding);
        if !policy.can_prove() {
            let reason = "no metric that could prove the canary good: waits for the end of the step".to_owned();
            return Verdict::Undecided { reason };
        }
        let risk = policy.risk.false_advance;
        let bound = e_value(evidence::bound(risk));
        let suspicious = self.decides_ejections(policy).is_some() && self.ejections.suspicious();
        let proven = claims.iter().all(|claim| claim.evidence.reaches(risk)) && self.readings.proven(policy);
        let mut said: Vec<String> = Vec::new();
        let passes = proven && self.step.idle.is_zero() && !suspicious;
        for claim in &claims {
            let value = e_value(claim.evidence.value());
            said.push(if passes {
                format!("{}: evidence {value} ≥ {bound} for {}", claim.said, claim.claim)
            } else {
                format!("{}: evidence {value} of {bound} to advance", claim.said)
            });
        }
        let deciding = self.readings.standings(policy).into_iter().filter(|metric| !metric.dry_run);
        let named = |one: MetricEvidence| match one.metric {
            Metric::Measured(name) => format!("{name}: {}", one.said),
            Metric::Errors | Metric::Latency | Metric::Ejections => one.said,
        };
        let measured = deciding.map(named);
        if passes {
            said.extend(measured);
            return Verdict::Pass { reason: format!("{}, advances", said.join("; ")) };
        }
        if let Some(last) = said.last_mut() {
            let against = e_value(self.together(policy).value());
            last.push_str(&format!(", {against} of {} to revert", e_value(evidence::bound(policy.risk.false_revert))));
        }
        let doubt = if suspicious { "; canary endpoints are ejected" } else { "" };
        said.extend(self.readings.missing(policy));
        if said.is_empty() {
            // All is measured and good.
            said.push(self.awaited());
        }
        Verdict::Undecided { reason: format!("{}{doubt}", said.join("; ")) }
    }

    /// What a proof waits for that is there.
    fn awaited(&self) -> String {
        match self.step.idle.as_secs() {
            0 => "proven good".to_owned(),
            seconds => format!("proven good, and waits for a request: none to the canary for {seconds} s"),
        }
    }

    /// Each metric for itself, also those that decide nothing.
    pub(super) fn standings(&self, policy: &AnalysisPolicy) -> Vec<MetricEvidence> {
        let all = self.parts(policy, Those::All);
        let mut standings = Vec::new();
        for claim in self.claims(policy, Those::All) {
            let own: Vec<Part> = all.iter().filter(|part| part.metric == claim.metric).cloned().collect();
            let dry_run = match claim.metric {
                Metric::Errors => policy.errors.as_ref().is_some_and(|metric| metric.dry_run),
                Metric::Latency => policy.latency.as_ref().is_some_and(|metric| metric.dry_run),
                Metric::Ejections | Metric::Measured(_) => false,
            };
            standings.push(self.standing(claim, &own, dry_run, policy));
        }
        if let Some(metric) = &policy.ejections {
            standings.push(self.ejections.standing(metric));
        }
        standings.extend(self.readings.standings(policy));
        standings
    }

    fn standing(&self, claim: Claim, own: &[Part], dry_run: bool, policy: &AnalysisPolicy) -> MetricEvidence {
        let (standing, said) = if let Some((_, reason)) = Stakes::default().failure(own, policy.risk.false_revert) {
            (Standing::Fail, reason.trim_end_matches(", reverts").to_owned())
        } else {
            let standing = match () {
                () if self.step.canary.requests == 0 => Standing::NoData,
                () if claim.evidence.reaches(policy.risk.false_advance) => Standing::Pass,
                () => Standing::Undecided,
            };
            let said = format!(
                "{}: evidence {} of {} to advance, {} of {} to revert",
                claim.said,
                e_value(claim.evidence.value()),
                e_value(evidence::bound(policy.risk.false_advance)),
                e_value(Stakes::default().together(own).value()),
                e_value(evidence::bound(policy.risk.false_revert)),
            );
            (standing, said)
        };
        MetricEvidence { metric: claim.metric, dry_run, standing, said }
    }
}
