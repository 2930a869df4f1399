//! What a release is doing and why, in a sentence.

use std::time::Duration;

use super::super::fleet::{FleetState, Spread};
use super::super::state::{Calling, Progress, RetireStage, Return, Rollout, Stage, State};
use super::super::transition::Context;
use crate::model::{Friendly, Release, Step, Wave, Weight};

/// How long there may be no evidence before that is said.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// The sentence.
pub(super) fn of(rollout: &Rollout, context: Context<'_>, fleet: &FleetState) -> String {
    let release = context.release;
    let waits = |or: String| rollout.waits.clone().unwrap_or(or);
    match &rollout.state {
        State::Healthy if rollout.stable != release.version && release.paused => {
            format!("{} is not begun, because its spec says paused: true", release.version)
        }
        State::Healthy if rollout.stable != release.version => {
            format!(
                "{} has all the traffic: {}",
                rollout.stable,
                waits(format!("{} is about to begin", release.version))
            )
        }
        State::Healthy if !context.is_served(&rollout.stable) => {
            let source = context.version(&rollout.stable).and_then(|version| version.source.as_ref());
            let cure = source.map_or("list one", |_| "see `serin endpoints`");
            format!("{} has all the traffic and no endpoint, so requests fail: {cure}", rollout.stable)
        }
        State::Healthy => match (fleet.obstacle(), &rollout.waits) {
            (Some(why), _) => {
                format!("{} has all the traffic, with the last good configuration: {why}", rollout.stable)
            }
            (None, Some(waits)) => format!("{} has all the traffic; {waits}", rollout.stable),
            (None, None) => format!("{} has all the traffic", rollout.stable),
        },
        State::Reverted { canary, reason, waited } => reverted(rollout, release, canary, reason, *waited),
        State::Reverting(Return { canary, reason, rolling: Some(rolling), .. }) => {
            let names = rollout.names(canary, "");
            format!("back from {canary} to {}: {reason}: {}", rollout.stable, rolling.describe(&names))
        }
        State::Reverting(Return { canary, reason, weight, .. }) => {
            let left = match &rollout.waits {
                Some(waits) => format!(": {waits}"),
                None if *weight > Weight::ZERO => format!(": {canary} still has {weight}"),
                None => outstanding(fleet),
            };
            format!("back from {canary} to {}: {reason}{left}", rollout.stable)
        }
        State::Promoting { canary, settled: true, .. } => {
            format!("all traffic goes to {canary}: waits for the releases that go together with it")
        }
        State::Promoting { canary, settled: false, .. } => {
            format!("all traffic goes to {canary}{}", outstanding(fleet))
        }
        State::Retiring(retiring) => {
            let (stable, version) = (&rollout.stable, &retiring.version);
            let doing = match &retiring.stage {
                RetireStage::Draining { spent } => {
                    format!("the last requests of {version} are waited for, {} s so far", spent.as_secs())
                }
                RetireStage::Before(calling) | RetireStage::Throwing(calling) => {
                    format!("{version} is thrown away: {}", called(calling))
                }
            };
            format!("{stable} has all the traffic; {doing}")
        }
        State::Experimenting(trial) => {
            let spent = trial.spent.as_secs();
            let arm = |arm: &super::super::state::Arm| match &arm.stopped {
                Some(reason) => format!("{} stopped: {reason}", arm.version),
                None => format!("{}: {}", arm.version, arm.judge.verdict(arm.judge.asked(&release.analysis)).reason()),
            };
            match trial.ready {
                false => format!("experiment {}: no traffic yet{}", trial.name, unready(fleet)),
                true => {
                    let arms: Vec<String> = trial.arms.iter().map(arm).collect();
                    format!("experiment {}, {spent} s are over{}; {}", trial.name, outstanding(fleet), arms.join("; "))
                }
            }
        }
        State::Progressing(progress) => {
            let held = match (rollout.held, release.paused, &rollout.waits) {
                (true, _, _) => "paused by hand; ".to_owned(),
                (false, true, _) => "paused by its spec; ".to_owned(),
                (false, false, Some(waits)) => format!("{waits}; "),
                (false, false, None) => String::new(),
            };
            let late = release.progress_deadline.filter(|deadline| progress.stalled >= deadline.after);
            let late = late.map(|_| format!("no progress for {} s; ", progress.stalled.as_secs())).unwrap_or_default();
            let doing = doing(rollout, progress, release, fleet);
            let doing = match doing.strip_suffix(", advances") {
                Some(said) if !held.is_empty() => format!("{said}, good enough"),
                _ => doing,
            };
            format!("{held}{late}{}{doing}", wave(progress))
        }
    }
}

fn reverted(rollout: &Rollout, release: &Release, canary: &str, reason: &str, waited: Duration) -> String {
    let again = release.rollback.retry.filter(|_| rollout.tries_again(release));
    let times = rollout.failed.as_ref().map_or(0, |failed| failed.times);
    match again {
        Some(policy) => {
            let wait = policy.backoff.saturating_mul(1 << times.saturating_sub(1).min(16)).saturating_sub(waited);
            let wait = Friendly(Duration::from_secs(wait.as_secs()));
            format!("{canary} was reverted: {reason}. It is tried again in {wait} (failed {times} times)")
        }
        None if release.version != canary => {
            let next = match (release.paused, &rollout.waits) {
                (true, _) => format!("{} is not begun, because its spec says paused: true", release.version),
                (false, Some(waits)) => waits.clone(),
                (false, None) => format!("{} is about to begin", release.version),
            };
            format!("{canary} was reverted: {reason}. {next}")
        }
        None => format!("{canary} was reverted: {reason}. Fix it and release a new version, or `retry`"),
    }
}

fn wave(progress: &Progress) -> String {
    let count = progress.waves.len();
    match progress.waves.get(progress.wave) {
        None => String::new(),
        Some(Wave::Regions(regions)) => format!("wave {} of {count} ({}): ", progress.wave + 1, regions.join(", ")),
        Some(Wave::All) => format!("wave {} of {count} (all other regions): ", progress.wave + 1),
    }
}

fn called(calling: &Calling) -> String {
    let Calling { hook, attempt, wait, .. } = calling;
    match (attempt, wait.is_zero()) {
        (1, _) => format!("hook {} is waited for", hook.name),
        (_, true) => format!("hook {} is waited for, try {attempt}", hook.name),
        (_, false) => format!("hook {} is tried again in {} s", hook.name, wait.as_secs()),
    }
}

fn doing(rollout: &Rollout, progress: &Progress, release: &Release, fleet: &FleetState) -> String {
    let what = progress.steps.get(progress.step).map(ToString::to_string).unwrap_or_default();
    match &progress.stage {
        Stage::Preparing
            if progress.wave == 0 && !progress.looked.is_zero() && fleet.is_settled() && fleet.is_unhindered() =>
        {
            format!("no traffic to {} yet: looks at what {} is like before the switch", progress.canary, rollout.stable)
        }
        Stage::Preparing => format!("no traffic to {} yet{}", progress.canary, unready(fleet)),
        Stage::Settling => format!("{what}{}{}", at(progress), outstanding(fleet)),
        Stage::Pausing { spent } => format!("{what}, {} s are over{}", spent.as_secs(), outstanding(fleet)),
        Stage::Calling(calling) => format!("{}{}", called(calling), outstanding(fleet)),
        Stage::Replacing => {
            let rolling = progress.rolling.as_ref();
            let words = rolling.map(|rolling| rolling.describe(&rollout.names(&progress.canary, "")));
            format!("{}{}", words.unwrap_or_default(), outstanding(fleet))
        }
        Stage::Gate => "all steps done: waits for the releases that go together with it".into(),
        Stage::Waiting { reason } => match fleet.obstacle() {
            Some(why) => format!("{reason}; held: {why}"),
            None => reason.clone(),
        },
        Stage::Analyzing { .. } if !fleet.is_settled() || !fleet.is_unhindered() => {
            format!("{what}{}{}", at(progress), outstanding(fleet))
        }
        Stage::Analyzing { blind, .. } if *blind >= SILENCE => {
            let said = progress.judge.verdict(progress.judge.asked(&release.analysis));
            format!("{what}; held, because there has been no evidence for {} s; {}", blind.as_secs(), said.reason())
        }
        Stage::Analyzing { spent, .. }
            if matches!(progress.steps.get(progress.step), Some(Step::Watch { .. } | Step::Holdback(_))) =>
        {
            format!("{what}, {} s are over", spent.as_secs())
        }
        Stage::Analyzing { .. } => format!(
            "{}; {}",
            climbs(progress, release).unwrap_or(what),
            progress.judge.verdict(progress.judge.asked(&release.analysis)).reason()
        ),
    }
}

/// Where an `auto` step is.
fn at(progress: &Progress) -> String {
    match progress.steps.get(progress.step) {
        Some(Step::Auto { .. }) => format!(": {}", progress.weight),
        _ => String::new(),
    }
}

/// Where an `auto` step is, and where it goes.
fn climbs(progress: &Progress, release: &Release) -> Option<String> {
    let Some(Step::Auto { .. }) = progress.steps.get(progress.step) else { return None };
    let (policy, weight) = (&release.analysis, progress.weight);
    let proof = progress.proof(policy).map(|proof| format!(" (proof in about {})", Friendly(proof)));
    let (by, proof) = (if proof.is_some() { "is chosen by what it costs:" } else { "is" }, proof.unwrap_or_default());
    Some(match progress.next_weight(policy) {
        Some(next) => format!("auto: {weight}, next {by} {next}{proof}"),
        None => format!("auto: {weight}, the last{proof}"),
    })
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
