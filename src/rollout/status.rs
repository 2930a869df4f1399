//! How a release is shown: the same view for the API, the command line and the log.

mod message;
mod next;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::call::{Call, Question};
use super::fleet::FleetState;
use super::state::{Failed, Rollout, Stage, State};
use super::transition::Context;
use crate::analysis::{Evidence, Explanation};
use crate::model::{Release, Weight};

/// A release and its rollout, for people and programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReleaseStatus {
    /// The release's name.
    pub name: String,
    /// The service it releases.
    pub service: String,
    /// The version that the spec wants.
    pub version: String,
    /// The version that traffic returns to.
    pub stable: String,
    /// The version on its way (or on its way back).
    pub canary: Option<String>,
    /// Where it stands.
    pub phase: Phase,
    /// What it is doing and why, in a sentence.
    pub message: String,
    /// Until when it does so, what then, and what a person can do; `None` where the message says it all.
    pub next: Option<String>,
    /// The strategy's steps in words, as `setWeight 5%`.
    pub steps: Vec<String>,
    /// The index of the step it is in; the number of steps when all are done.
    pub step: usize,
    /// The canary's published share.
    pub set_weight: Weight,
    /// The canary's share that every connected proxy has acknowledged.
    pub actual_weight: Weight,
    /// How many connected proxies route the service.
    pub proxies: usize,
    /// How many of them have acknowledged what is published.
    pub proxies_in_force: usize,
    /// The judgement so far.
    pub evidence: Option<Evidence>,
    /// Why it stands as it does, while something is judged.
    pub explanation: Option<Explanation>,
    /// When this rollout was begun.
    pub started_at: Timestamp,
    /// When the phase was last changed.
    pub changed_at: Timestamp,
    /// All versions with traffic, canary first.
    pub shares: Vec<ShareStatus>,
    /// Held by hand or by the spec.
    pub held: bool,
    /// Who is given which version, in words; what decides first comes first.
    pub routing: Vec<String>,
    /// What it waits for before it may begin or go on: other releases, a window.
    pub waits: Option<String>,
    /// What is asked outside now, in words, as `hook tests, try 2`.
    pub calls: Vec<String>,
    /// How far the endpoints are, where they are replaced or put back.
    pub endpoints: Option<String>,
    /// The version that failed last, and how often it has.
    pub failed: Option<Failed>,
    /// The versions that would get all the traffic without steps, the newest first.
    pub way_back: Vec<String>,
}

/// Where a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The wanted version has all the traffic.
    Healthy,
    /// On the way; or an experiment goes on, or what was stable before is on its way out.
    Progressing,
    /// Waits for a person, for the end of a timed pause, for what must come before, or to be tried again by itself.
    Paused,
    /// All steps are done: the last traffic moves to the new version.
    Promoting,
    /// On the way back to the stable version.
    Reverting,
    /// The wanted version was reverted, and is not tried again by itself.
    Degraded,
}

/// A version's share and how it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShareStatus {
    /// The version.
    pub version: String,
    /// Its published share.
    pub weight: Weight,
    /// Over the last ten seconds.
    pub requests_per_second: f64,
    /// The share of them that failed, 0 to 1.
    pub error_rate: f64,
    /// The 99th percentile of their duration over the last ten seconds.
    pub p99: Option<Duration>,
}

impl ReleaseStatus {
    /// The view of a rollout. `recent` tells how a version did over the last seconds.
    pub fn of(
        rollout: &Rollout,
        context: Context<'_>,
        fleet: &FleetState,
        recent: impl Fn(&str) -> Recent,
    ) -> ReleaseStatus {
        let (release, plan) = (context.release, rollout.plan());
        let steps = match &rollout.state {
            // Those that are carried out: edited ones are followed only when a step may be taken.
            State::Progressing(progress) => progress.steps.clone(),
            _ => release.strategy.steps(context.endpoints(&rollout.stable, rollout.canary().unwrap_or_default())),
        };
        let canary = rollout.canary().map(str::to_owned);
        let (step, evidence) = match &rollout.state {
            State::Progressing(progress) => (progress.step, Some(progress.judge.evidence(&release.analysis))),
            State::Healthy if rollout.stable != release.version => (0, None),
            State::Healthy | State::Promoting { .. } | State::Retiring(_) | State::Experimenting(_) => {
                (steps.len(), None)
            }
            State::Reverting(_) | State::Reverted { .. } => (0, None),
        };
        let set_weight = match &rollout.state {
            State::Progressing(progress) => progress.weight,
            _ => canary.as_deref().map_or(Weight::ZERO, |canary| plan.weight_of(canary)),
        };
        ReleaseStatus {
            name: release.name.clone(),
            service: release.service.clone(),
            version: release.version.clone(),
            stable: rollout.stable.clone(),
            phase: phase(rollout, release),
            message: message::of(rollout, context, fleet),
            next: next::of(rollout, release),
            steps: steps.iter().map(ToString::to_string).collect(),
            step,
            set_weight,
            actual_weight: rollout.actual,
            canary,
            proxies: fleet.proxies,
            proxies_in_force: fleet.in_force,
            evidence,
            explanation: rollout.explain_present(release),
            started_at: rollout.started_at,
            changed_at: rollout.changed_at,
            shares: shares(rollout, recent),
            held: rollout.held || release.paused,
            routing: plan.precedence(),
            waits: rollout.waits.clone(),
            calls: rollout.calls().iter().map(asked).collect(),
            endpoints: rollout.rolling().map(|(rolling, canary)| rolling.describe(&rollout.names(canary, ""))),
            failed: rollout.failed.clone(),
            way_back: way_back(rollout, context),
        }
    }
}

/// A call in words.
fn asked(call: &Call) -> String {
    let attempt = call.attempt;
    match &call.question {
        Question::Hook { hook, about } if about.endpoints.is_empty() => format!("hook {}, try {attempt}", hook.name),
        Question::Hook { hook, about } => {
            let endpoints: Vec<String> = about.endpoints.iter().map(ToString::to_string).collect();
            format!("hook {} for {}, try {attempt}", hook.name, endpoints.join(", "))
        }
        Question::Probe { address, .. } => format!("probe of {address}, try {attempt}"),
    }
}

/// The versions that a spec or an order returns to without steps.
fn way_back(rollout: &Rollout, context: Context<'_>) -> Vec<String> {
    let is_leaving = matches!(rollout.state, State::Progressing(_) | State::Promoting { .. });
    let stable = is_leaving.then_some(&rollout.stable);
    let former = rollout.former.iter().rev().take(context.release.rollback.window.max(1));
    stable.into_iter().chain(former).filter(|version| context.is_served(version)).cloned().collect()
}

/// How a version did over the last seconds, as its callers saw it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Recent {
    /// Requests per second.
    pub requests_per_second: f64,
    /// The share of them that failed, 0 to 1.
    pub error_rate: f64,
    /// The 99th percentile of their duration, when it was measured.
    pub p99: Option<Duration>,
}

/// Every version that has traffic or stands to get some: the canary first, the stable one always.
fn shares(rollout: &Rollout, recent: impl Fn(&str) -> Recent) -> Vec<ShareStatus> {
    let plan = rollout.plan();
    let mut versions: Vec<&str> = rollout.canary().into_iter().collect();
    if let State::Experimenting(trial) = &rollout.state {
        versions.extend(trial.arms.iter().map(|arm| arm.version.as_str()));
    }
    if !versions.contains(&rollout.stable.as_str()) {
        versions.push(&rollout.stable);
    }
    versions.extend(rollout.baseline_set());
    let share = |version: &str| {
        let Recent { requests_per_second, error_rate, p99 } = recent(version);
        ShareStatus {
            version: version.to_owned(),
            weight: plan.weight_of(version),
            requests_per_second,
            error_rate,
            p99,
        }
    };
    versions.into_iter().map(share).collect()
}

fn phase(rollout: &Rollout, release: &Release) -> Phase {
    match &rollout.state {
        State::Healthy if rollout.stable != release.version => Phase::Paused,
        State::Healthy => Phase::Healthy,
        State::Progressing(_) if rollout.held || release.paused => Phase::Paused,
        State::Progressing(progress) => match progress.stage {
            Stage::Pausing { .. } | Stage::Waiting { .. } => Phase::Paused,
            Stage::Preparing
            | Stage::Settling
            | Stage::Analyzing { .. }
            | Stage::Calling(_)
            | Stage::Replacing
            | Stage::Gate => Phase::Progressing,
        },
        State::Experimenting(_) if rollout.held || release.paused => Phase::Paused,
        State::Retiring(_) | State::Experimenting(_) => Phase::Progressing,
        State::Promoting { .. } => Phase::Promoting,
        State::Reverting(_) => Phase::Reverting,
        // Another version is wanted by now, or the same one is tried again by itself: neither is the end.
        State::Reverted { canary, .. } if *canary != release.version || rollout.tries_again(release) => Phase::Paused,
        State::Reverted { .. } => Phase::Degraded,
    }
}

#[cfg(test)]
mod tests;
