//! How a release is shown: the same view for the API, the command line and the log.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fleet::{FleetState, Spread};
use super::state::{Progress, Rollout, Stage, State};
use crate::analysis::Evidence;
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
    /// When this rollout was begun.
    pub started_at: Timestamp,
    /// When the phase was last changed.
    pub changed_at: Timestamp,
    /// All versions with traffic, canary first.
    pub shares: Vec<ShareStatus>,
    /// Held by hand or by the spec.
    pub held: bool,
}

/// Where a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The wanted version has all the traffic.
    Healthy,
    /// On the way.
    Progressing,
    /// Waits for a person, or for the end of a timed pause.
    Paused,
    /// All steps are done: the last traffic moves to the new version.
    Promoting,
    /// On the way back to the stable version.
    Reverting,
    /// The wanted version was reverted.
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
        release: &Release,
        fleet: &FleetState,
        recent: impl Fn(&str) -> Recent,
    ) -> ReleaseStatus {
        let plan = rollout.plan();
        let steps = match &rollout.state {
            // Those that are carried out: edited ones are followed only when a step may be taken.
            State::Progressing(progress) => &progress.steps,
            State::Healthy | State::Promoting { .. } | State::Reverting { .. } | State::Reverted { .. } => {
                release.strategy.steps()
            }
        };
        let canary = rollout.canary().map(str::to_owned);
        let (step, evidence) = match &rollout.state {
            State::Progressing(progress) => (progress.step, Some(progress.judge.evidence(&release.analysis))),
            State::Healthy | State::Promoting { .. } => (steps.len(), None),
            State::Reverting { .. } | State::Reverted { .. } => (0, None),
        };
        ReleaseStatus {
            name: release.name.clone(),
            service: release.service.clone(),
            version: release.version.clone(),
            stable: rollout.stable.clone(),
            phase: phase(rollout, release),
            message: message(rollout, release, fleet),
            steps: steps.iter().map(ToString::to_string).collect(),
            step,
            set_weight: canary.as_deref().map_or(Weight::ZERO, |canary| plan.weight_of(canary)),
            actual_weight: rollout.actual,
            canary,
            proxies: fleet.proxies,
            proxies_in_force: fleet.in_force,
            evidence,
            started_at: rollout.started_at,
            changed_at: rollout.changed_at,
            shares: shares(rollout, recent),
            held: rollout.held || release.paused,
        }
    }
}

/// How long there may be no evidence before that is said.
const SILENCE: Duration = Duration::from_secs(5);

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
    if !versions.contains(&rollout.stable.as_str()) {
        versions.push(&rollout.stable);
    }
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
            Stage::Preparing | Stage::Settling | Stage::Analyzing { .. } => Phase::Progressing,
        },
        State::Promoting { .. } => Phase::Promoting,
        State::Reverting { .. } => Phase::Reverting,
        State::Reverted { .. } => Phase::Degraded,
    }
}

fn message(rollout: &Rollout, release: &Release, fleet: &FleetState) -> String {
    match &rollout.state {
        State::Healthy if rollout.stable != release.version => {
            format!("{} is not begun, because its spec says paused: true", release.version)
        }
        State::Healthy => match fleet.obstacle() {
            Some(why) => format!("{} has all the traffic, with the last good configuration: {why}", rollout.stable),
            None => format!("{} has all the traffic", rollout.stable),
        },
        State::Reverted { canary, reason } => {
            format!("{canary} was reverted: {reason}. Fix it and release a new version, or `retry`")
        }
        State::Reverting { canary, reason } => {
            format!("back from {canary} to {}: {reason}{}", rollout.stable, outstanding(fleet))
        }
        State::Promoting { canary } => format!("all traffic goes to {canary}{}", outstanding(fleet)),
        State::Progressing(progress) => {
            let held = match (rollout.held, release.paused) {
                (true, _) => "paused by hand; ",
                (false, true) => "paused by its spec; ",
                (false, false) => "",
            };
            format!("{held}{}", doing(progress, release, fleet))
        }
    }
}

fn doing(progress: &Progress, release: &Release, fleet: &FleetState) -> String {
    let what = progress.steps.get(progress.step).map(ToString::to_string).unwrap_or_default();
    match &progress.stage {
        Stage::Preparing => format!("no traffic to {} yet{}", progress.canary, unready(fleet)),
        Stage::Settling => format!("{what}{}", outstanding(fleet)),
        Stage::Pausing { spent } => format!("{what}, {} s are over{}", spent.as_secs(), outstanding(fleet)),
        Stage::Waiting { reason } => match fleet.obstacle() {
            Some(why) => format!("{reason}; held: {why}"),
            None => reason.clone(),
        },
        Stage::Analyzing { .. } if !fleet.is_settled() || !fleet.is_unhindered() => {
            format!("{what}{}", outstanding(fleet))
        }
        Stage::Analyzing { blind, .. } if *blind >= SILENCE => {
            let said = progress.judge.verdict(&release.analysis);
            format!("{what}; held, because there has been no evidence for {} s; {}", blind.as_secs(), said.reason())
        }
        Stage::Analyzing { .. } => format!("{what}; {}", progress.judge.verdict(&release.analysis).reason()),
    }
}

/// What the fleet still owes, as the end of a sentence.
fn outstanding(fleet: &FleetState) -> String {
    let FleetState { proxies, in_force, .. } = fleet;
    hindrance(fleet).unwrap_or_else(|| match &fleet.spread {
        _ if fleet.is_settled() => String::new(),
        Spread::First(first) => format!(": {first} of {proxies} proxies first, {in_force} have acknowledged it"),
        Spread::Everywhere | Spread::Stopped(_) => {
            format!(": {in_force} of {proxies} proxies have acknowledged it")
        }
    })
}

/// Why no traffic moves to a version yet, as the end of a sentence.
fn unready(fleet: &FleetState) -> String {
    let FleetState { proxies, ready, .. } = fleet;
    hindrance(fleet).unwrap_or_else(|| match &fleet.spread {
        _ if ready == proxies => outstanding(fleet),
        Spread::First(first) => format!(": {first} of {proxies} proxies first, {ready} have accepted its cluster"),
        Spread::Everywhere | Spread::Stopped(_) => {
            format!(": {ready} of {proxies} proxies have accepted its cluster")
        }
    })
}

/// What is in the way of everything, as the end of a sentence.
fn hindrance(fleet: &FleetState) -> Option<String> {
    if let Some(obstacle) = fleet.obstacle() {
        return Some(format!(": held: {obstacle}"));
    }
    match fleet {
        FleetState { rejection: Some(text), .. } => {
            Some(format!(": held, because a proxy rejected its configuration: {text}"))
        }
        FleetState { returning: true, .. } => {
            Some(": the server was restarted: waits for the proxies to come back".into())
        }
        FleetState { proxies: 0, .. } => Some(": held, because no proxy of its fleets is connected".into()),
        FleetState { .. } => None,
    }
}
