//! PURE: the state machine. (rollout, event, what surrounds it, now) → (rollout, records).
//!
//! Nothing is done here: the caller keeps the new rollout together with its records, and only then publishes what
//! [`Rollout::plan`] says and makes the calls that [`Rollout::calls`] tells. The same event given twice does no harm: a
//! weight that is in force is in force again, and an answer that nobody waits for any more is none.
//!
//! Invariants: `abort` reaches the stable version from every state; no traffic moves to a version that some proxy has not
//! accepted, or that has no endpoint; nothing advances without a proxy that has the weight in force, or while something
//! that the release needs is rejected; no data is never a pass; time counts only while it was attended.

mod back;
mod baseline;
mod climb;
mod experiment;
mod hook;
mod order;
mod progress;
mod reconcile;
mod retire;
mod step;
mod switch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::call::{Answer, Call};
use super::fleet::FleetState;
use super::state::{Progress, Rollout, State};
use super::{Command, CommandError, Peer, Record};
use crate::analysis::{Explanation, Window};
use crate::model::{OnRejected, Release, Service, Version, Weight, denied_until};

/// What a release waits for when it may not go back by itself.
const AUTO_OFF: &str = "rollback.auto is off: abort or promote";

/// What can happen to a rollout.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it is made, carried out and dropped")]
pub enum Event {
    /// Time passed, and this was seen.
    Observed(Observation),
    /// A person gave an order.
    Ordered(Command),
    /// Somebody outside has answered.
    Answered(Answer),
}

/// What was seen since the last observation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observation {
    /// Monotonic time since the last observation.
    pub elapsed: Duration,
    /// How far the fleet is with what is published.
    pub fleet: FleetState,
    /// The counts of the proxies that had the present weight in force, when there are any.
    pub window: Option<Window>,
    /// The same for each candidate of an experiment, by version.
    pub arms: BTreeMap<String, Window>,
    /// How many endpoints of a version are healthy, as the proxy says that sees the fewest; by version, where any tells.
    pub healthy: BTreeMap<String, u64>,
    /// How many requests are on their way to the version whose last requests are waited for, where the proxies tell.
    pub in_progress: Option<u64>,
    /// The same of single endpoints of it.
    pub in_progress_at: BTreeMap<SocketAddr, u64>,
}

/// What surrounds a rollout: what the specs say now, and how far others are.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What is wanted.
    pub release: &'a Release,
    /// The service with the endpoints that are known now. Without it every version counts as served.
    pub service: Option<&'a Service>,
    /// The releases that it depends on, or that go together with it.
    pub peers: &'a [Peer],
}

impl<'a> Context<'a> {
    /// A release about which nothing else is known.
    pub fn of(release: &'a Release) -> Self {
        Self { release, service: None, peers: &[] }
    }

    pub(super) fn version(&self, version: &str) -> Option<&'a Version> {
        self.service.and_then(|service| service.versions.get(version))
    }

    /// Whether a version has an endpoint that takes requests.
    pub(super) fn is_served(&self, version: &str) -> bool {
        let has_endpoint = |version: &Version| version.endpoints.iter().any(|endpoint| !endpoint.draining);
        self.service.is_none() || self.version(version).is_some_and(has_endpoint)
    }

    /// How many endpoints a rolling update from a version has to replace.
    pub(super) fn endpoints(&self, from: &str, to: &str) -> usize {
        let count = |version| self.version(version).map_or(0, |version| version.endpoints.len());
        count(from).max(count(to))
    }
}

/// The outcome of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The rollout after it.
    pub rollout: Rollout,
    /// What is to be said of it, in order. Empty when nothing worth keeping happened.
    pub records: Vec<Record>,
}

impl Rollout {
    /// Carries out an event.
    ///
    /// # Errors
    /// When an order makes no sense in the present state. Observations and answers never fail.
    pub fn apply(self, event: Event, context: Context<'_>, now: Timestamp) -> Result<Transition, CommandError> {
        // Of what is seen, it is told what it came to; of all else, what there was before.
        let explanation = match &event {
            Event::Observed(_) => None,
            Event::Ordered(_) | Event::Answered(_) => self.explanation(&context.release.analysis),
        };
        let release = context.release;
        let mut step = Applying { rollout: self, release, context, now, records: Vec::new(), explanation };
        let (published, asked) = (step.rollout.plan(), step.rollout.calls());
        step.reconcile();
        match event {
            // The spec has just moved the traffic: what was seen was seen of another plan.
            Event::Observed(_) if step.rollout.plan() != published => {}
            Event::Observed(observation) => step.observe(observation),
            Event::Ordered(command) => step.order(command)?,
            Event::Answered(answer) => step.answer(&answer),
        }
        step.reconcile();
        let called =
            step.rollout.calls().iter().filter(|call| !asked.contains(call)).filter_map(Call::record).collect();
        step.records.extend::<Vec<Record>>(called);
        if let Some(explanation) = &step.explanation {
            step.records.iter_mut().for_each(|record| record.explain(explanation));
        }
        Ok(Transition { rollout: step.rollout, records: step.records })
    }

    /// Takes a window into the judgement without deciding anything, for when no decision could be kept.
    pub fn watch(&mut self, window: Window, release: &Release) -> Option<Record> {
        let State::Progressing(progress) = &mut self.state else { return None };
        let measurement = Box::new(progress.judge.observe(&window, &release.analysis));
        Some(Record::Measured { version: progress.canary.clone(), measurement })
    }
}

struct Applying<'a> {
    rollout: Rollout,
    release: &'a Release,
    context: Context<'a>,
    now: Timestamp,
    records: Vec<Record>,
    /// What the decisions of now stand on.
    explanation: Option<Explanation>,
}

impl Applying<'_> {
    fn enter(&mut self, state: State) {
        self.rollout.state = state;
        self.rollout.changed_at = self.now;
    }

    fn observe(&mut self, seen: Observation) {
        if seen.fleet.is_settled() {
            self.rollout.actual = match &self.rollout.state {
                State::Progressing(progress) => progress.weight,
                _ => self.rollout.canary().map_or(Weight::ZERO, |canary| self.rollout.plan().weight_of(canary)),
            };
        }
        self.tell_obstacle(&seen.fleet);
        match self.rollout.state.clone() {
            State::Healthy => {}
            State::Reverted { canary, reason, waited } => self.observe_reverted(canary, reason, waited + seen.elapsed),
            State::Progressing(progress) => self.observe_progress(progress, seen),
            State::Promoting { canary, settled, .. } => self.observe_promotion(canary, settled, &seen),
            State::Reverting(back) => self.observe_return(back, &seen),
            State::Retiring(retiring) => self.observe_retirement(retiring, &seen),
            State::Experimenting(trial) => self.observe_trial(trial, seen),
        }
    }

    fn observe_promotion(&mut self, canary: String, settled: bool, seen: &Observation) {
        if let Some(reason) = self.sends_back(&seen.fleet, true).filter(|_| !settled) {
            return self.revert(canary, reason);
        }
        if !self.context.is_served(&canary) && self.context.is_served(&self.rollout.stable) {
            let reason = format!("{canary} has lost its last endpoint");
            return self.revert(canary, reason);
        }
        if let Some(reason) = self.mate_went_back() {
            return self.revert(canary, reason);
        }
        if !settled && seen.fleet.is_settled() && seen.fleet.obstacle().is_none() {
            if self.release.together.is_some() && !self.mates_are(|peer| peer.standing.is_settled()) {
                if let State::Promoting { settled, .. } = &mut self.rollout.state {
                    *settled = true;
                }
                return;
            }
            return self.promoted(canary);
        }
        if settled && self.mates_are(|peer| peer.standing.is_settled()) {
            self.promoted(canary);
        }
    }

    fn promoted(&mut self, canary: String) {
        let before = self.rollout.stable.clone();
        self.rollout.settle_on(canary.clone());
        self.rollout.actual = Weight::ZERO;
        self.rollout.failed = None;
        self.records.push(Record::Promoted { version: canary.clone() });
        match self.release.strategy.retire() {
            // What was promoted by going back to it has left a version that may be tried again.
            Some(retire) if self.rollout.former.last() == Some(&before) => {
                self.begin_retirement(before, retire.clone())
            }
            _ => self.enter(State::Healthy),
        }
    }

    /// Tells once what the proxies have against it.
    fn tell_obstacle(&mut self, fleet: &FleetState) {
        let on_its_way = matches!(self.rollout.state, State::Progressing(_) | State::Promoting { .. });
        let obstacle = fleet.obstacle().filter(|_| on_its_way);
        if let Some(reason) = obstacle.clone().filter(|_| obstacle != self.rollout.obstacle) {
            self.records.push(Record::Held { reason, explanation: None });
        }
        self.rollout.obstacle = obstacle;
    }

    /// Tells once what it waits for.
    fn tell_wait(&mut self, waits: Option<String>) {
        if let Some(reason) = waits.clone().filter(|_| waits != self.rollout.waits) {
            self.records.push(Record::Held { reason, explanation: None });
        }
        self.rollout.waits = waits;
    }

    /// Why a rejection sends the release back, if it does.
    fn sends_back(&self, fleet: &FleetState, moving: bool) -> Option<String> {
        let refusal = fleet.refusal.as_ref().filter(|_| self.release.on_rejected == OnRejected::Revert)?;
        refusal.is_own(moving).then(|| refusal.text.clone())
    }

    fn is_held(&self) -> bool {
        self.rollout.held || self.release.paused
    }

    /// Why no step may be taken at this time, if so.
    fn denied(&self) -> Option<String> {
        let (until, reason) = denied_until(&self.release.windows, self.now)?;
        let why = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        Some(format!("no step is taken before {until}{why}"))
    }

    /// The releases that go together with it.
    fn mates(&self) -> impl Iterator<Item = &Peer> {
        let word = self.release.together.as_deref();
        self.context.peers.iter().filter(move |peer| word.is_some() && peer.together.as_deref() == word)
    }

    fn mates_are(&self, so: impl Fn(&Peer) -> bool) -> bool {
        self.mates().all(so)
    }

    fn mate_went_back(&self) -> Option<String> {
        let back = self.mates().find_map(|peer| Some((peer, peer.standing.went_back()?)));
        back.map(|(peer, reason)| format!("{}, which goes together with it, went back: {reason}", peer.release))
    }

    /// A progress that stays where it is.
    fn stay(&mut self, progress: Progress) {
        self.rollout.state = State::Progressing(progress);
    }
}

#[cfg(test)]
mod exploration;
#[cfg(test)]
mod tests;
