//! One whole release: the state machine and the judge of production in virtual time, and peers on the same ladder.
//!
//! Proxies acknowledge within the second, endpoints are healthy, hooks say yes, and a person who is waited for in a pause
//! promotes at once. Other releases and deny windows do not exist here. Regions have even parts of the traffic.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::defect::Defect;
use super::peers::{Peer, Ruling};
use super::source::{Second, Source};
use super::traffic::Traffic;
use super::trial::{Decision, Outcome, Sum};
use crate::model::{Experiment, Release, Service, Step, TrafficPlan, Weight};
use crate::rollout::{
    Answer, Command, Context, Event, FleetState, Observation, Progress, Record, Rollout, Scope, Stage, State,
};

/// What all releases of one simulation have in common.
#[derive(Debug, Clone)]
pub struct Story<'a> {
    /// What is released, and how.
    pub release: Release,
    /// The service, where both versions have endpoints in the spec.
    pub service: Option<&'a Service>,
    /// The version that the canary takes the place of.
    pub stable: String,
    /// What is asked.
    pub traffic: &'a Traffic,
    /// What is wrong.
    pub defect: &'a Defect,
    /// The time in seconds from a decision to no request any more: the statistics' way and the proxies' acknowledgement.
    pub reaction: f64,
    /// After how many seconds a release that has not ended counts as held.
    pub limit: u64,
    /// For how many seconds a bad version that was promoted goes on to cost, until somebody notices.
    pub noticed: u64,
}

/// The shares of one second, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Shares {
    canary: f64,
    baseline: f64,
    /// How many requests the canary gets besides for each of the above: in regions that are done.
    besides: f64,
    /// Whether the canary's answers are nobody's: copies.
    unseen: bool,
}

impl<'a> Story<'a> {
    /// The story of a release, without what does not exist in it.
    pub fn new(release: &Release, service: Option<&'a Service>, traffic: &'a Traffic, defect: &'a Defect) -> Self {
        let other = service.and_then(|service| service.versions.keys().find(|name| **name != release.version));
        let is_served =
            |name: &String| service.is_some_and(|of| of.versions.get(name).is_some_and(|v| !v.endpoints.is_empty()));
        let both = other.is_some_and(is_served) && is_served(&release.version);
        let alone = Release {
            windows: Vec::new(),
            depends_on: Vec::new(),
            together: None,
            experiment: None::<Experiment>,
            paused: false,
            rollback: crate::model::Rollback { retry: None, ..release.rollback.clone() },
            ..release.clone()
        };
        Self {
            release: alone,
            service: service.filter(|_| both),
            stable: other.cloned().unwrap_or_else(|| format!("before {}", release.version)),
            traffic,
            defect,
            reaction: 1.1,
            limit: 86_400,
            noticed: 600,
        }
    }

    /// Whether durations are judged.
    fn with_latency(&self) -> bool {
        self.release.analysis.latency.is_some()
    }

    fn context(&self) -> Context<'_> {
        Context { release: &self.release, service: self.service, peers: &[] }
    }

    /// The release of one seed, from the first published change on.
    pub fn play(&self, seed: u64) -> Outcome {
        let mut source = Source::new(self.traffic, self.defect, self.with_latency(), seed);
        let mut now = Timestamp::UNIX_EPOCH;
        let mut rollout = Rollout::adopt(&self.release.name, &self.release.service, &self.stable, now);
        let (mut harmed, mut settled): (f64, Option<TrafficPlan>) = (0.0, None);
        let mut inconclusive = false;
        for second in 0..self.limit {
            let plan = rollout.plan();
            let shares = self.shares(&rollout, &plan);
            let seen = source.next(shares.canary, shares.baseline);
            harmed += cost(&seen, shares);
            now = now.checked_add(SignedDuration::from_secs(1)).unwrap_or(now);
            let window = (settled.as_ref() == Some(&plan)).then_some(seen.window);
            settled = Some(plan);
            let observed = Observation {
                elapsed: Duration::from_secs(1),
                fleet: self.fleet(),
                window,
                in_progress: Some(0),
                ..Observation::default()
            };
            let records;
            (rollout, records) = self.happen(rollout, Event::Observed(observed), now);
            let verdicts = records.iter().filter_map(|record| match record {
                Record::Judged { verdict, .. } => Some(verdict == "inconclusive"),
                _ => None,
            });
            inconclusive = verdicts.fold(inconclusive, |_, newest| newest);
            if let Some(decision) = self.decided(&mut rollout, inconclusive, now) {
                let after = match decision {
                    Decision::Reverted => self.react(&mut source, shares),
                    Decision::Advanced => self.go_unnoticed(&mut source),
                    Decision::Inconclusive | Decision::Held => 0.0,
                };
                let waits_at = match &rollout.state {
                    State::Progressing(progress) => Some((progress.step, progress.weight)),
                    _ => None,
                };
                return Outcome { decision, seconds: second + 1, harmed: (harmed + after).round() as u64, waits_at };
            }
        }
        Outcome { decision: Decision::Held, seconds: self.limit, harmed: harmed.round() as u64, waits_at: None }
    }

    fn happen(&self, rollout: Rollout, event: Event, now: Timestamp) -> (Rollout, Vec<Record>) {
        let before = rollout.clone();
        match rollout.apply(event, self.context(), now) {
            Ok(transition) => (transition.rollout, transition.records),
            // Only orders are refused, and then nothing has changed.
            Err(_) => (before, Vec::new()),
        }
    }

    /// How it ended, if it did. Who is asked says yes.
    fn decided(&self, rollout: &mut Rollout, inconclusive: bool, now: Timestamp) -> Option<Decision> {
        for call in rollout.calls() {
            let answer = Answer { key: call.key, attempt: call.attempt, outcome: Ok("200 OK".to_owned()) };
            *rollout = self.happen(rollout.clone(), Event::Answered(answer), now).0;
        }
        match &rollout.state {
            State::Reverting(_) | State::Reverted { .. } => Some(Decision::Reverted),
            State::Healthy | State::Retiring(_) if rollout.stable == self.release.version => Some(Decision::Advanced),
            State::Progressing(Progress { stage: Stage::Waiting { .. }, steps, step, .. }) => {
                if !matches!(steps.get(*step), Some(Step::Pause(None))) {
                    return Some(if inconclusive { Decision::Inconclusive } else { Decision::Held });
                }
                let promote = Event::Ordered(Command::Promote { full: false });
                *rollout = self.happen(rollout.clone(), promote, now).0;
                None
            }
            State::Healthy
            | State::Retiring(_)
            | State::Progressing(_)
            | State::Promoting { .. }
            | State::Experimenting(_) => None,
        }
    }

    fn fleet(&self) -> FleetState {
        let proxies = self.traffic.proxies;
        FleetState { proxies, in_force: proxies, ready: proxies, ..FleetState::default() }
    }

    /// What the plan comes to where the canary is judged.
    fn shares(&self, rollout: &Rollout, plan: &TrafficPlan) -> Shares {
        let routing = match rollout.scope() {
            Scope::Regions(regions) => regions.first().map_or(plan.routing(), |region| plan.routing_in(region)),
            Scope::Everywhere | Scope::Except(_) => plan.routing(),
        };
        let (part, done) = match &rollout.state {
            State::Progressing(progress) if progress.waves.len() > 1 => {
                (1.0 / progress.waves.len() as f64, progress.wave as f64)
            }
            _ => (1.0, 0.0),
        };
        let share = |weight: Weight| weight.percent() / 100.0;
        let weight = share(routing.weight_of(&self.release.version));
        let baseline = share(routing.weight_of(rollout.baseline())) * part;
        match &routing.mirror {
            Some(mirror) if weight == 0.0 => {
                Shares { canary: share(mirror.percent) * part, baseline, besides: 0.0, unseen: true }
            }
            _ => Shares {
                canary: weight * part,
                baseline,
                besides: if weight > 0.0 { done / weight } else { 0.0 },
                unseen: false,
            },
        }
    }

    /// What it still costs until the proxies have acknowledged the way back.
    fn react(&self, source: &mut Source<'_>, shares: Shares) -> f64 {
        let (mut cost_of_it, mut left) = (0.0, self.reaction);
        while left > 0.0 {
            cost_of_it += cost(&source.next(shares.canary, shares.baseline), shares) * left.min(1.0);
            left -= 1.0;
        }
        cost_of_it
    }

    /// What it costs after all traffic was given to it.
    fn go_unnoticed(&self, source: &mut Source<'_>) -> f64 {
        if self.defect.is_none() {
            return 0.0;
        }
        (0..self.noticed).map(|_| source.next(1.0, 0.0).harmed as f64).sum()
    }

    /// What a peer makes of the same release on the ladder of its weights.
    pub fn play_peer(&self, peer: &mut dyn Peer, seed: u64) -> Outcome {
        let mut source = Source::new(self.traffic, self.defect, true, seed);
        let endpoints = 1;
        let weights = self.release.strategy.steps(endpoints).into_iter().filter_map(|step| match step {
            Step::SetWeight(weight) if weight < Weight::FULL => Some(weight.percent() / 100.0),
            _ => None,
        });
        let mut weights: Vec<f64> = weights.collect();
        if weights.is_empty() {
            // A switch without a ladder: they would look at an even share.
            weights.push(0.5);
        }
        let (mut at, mut harmed, mut sum) = (0, 0.0, Sum::default());
        for second in 0..self.limit {
            let shares = Shares { canary: weights[at], baseline: 1.0 - weights[at], ..Shares::default() };
            let seen = source.next(shares.canary, shares.baseline);
            harmed += cost(&seen, shares);
            sum.add(&seen);
            if !(second + 1).is_multiple_of(peer.interval()) {
                continue;
            }
            let (decision, after) = match peer.see(&std::mem::take(&mut sum).point()) {
                Ruling::Revert => (Decision::Reverted, self.react(&mut source, shares)),
                Ruling::Next if at + 1 < weights.len() => {
                    at += 1;
                    continue;
                }
                Ruling::Next | Ruling::Promote => (Decision::Advanced, self.go_unnoticed(&mut source)),
                Ruling::Stay => continue,
            };
            return Outcome { decision, seconds: second + 1, harmed: (harmed + after).round() as u64, waits_at: None };
        }
        Outcome { decision: Decision::Held, seconds: self.limit, harmed: harmed.round() as u64, waits_at: None }
    }
}

/// How many users the canary harmed in one second.
fn cost(seen: &Second, shares: Shares) -> f64 {
    if shares.unseen { 0.0 } else { seen.harmed as f64 * (1.0 + shares.besides) }
}

#[cfg(test)]
mod tests;
