//! What is seen of a release, what those outside are asked for it, and what they answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::Desk;
use super::turn::{self, Decision};
use crate::analysis::{Reading, Window};
use crate::model::{Cause, World};
use crate::rollout::evidence::Terms;
use crate::rollout::{Answer, Call, Event, MeasureAbout, MeasureRequest, Measured, Observation, Rollout};

/// What others measure.
#[derive(Default)]
pub(super) struct Measuring {
    /// What they are to measure now.
    pub(super) wanted: watch::Sender<Vec<MeasureRequest>>,
    /// What they have measured since the last turn.
    pub(super) readings: Readings,
}

/// By release and version.
type Readings = BTreeMap<(String, String), Vec<Reading>>;

/// Tells those who follow, when it is something else.
pub(super) fn tell<T: PartialEq>(to: &watch::Sender<T>, new: T) {
    to.send_if_modified(|told| {
        let differs = *told != new;
        if differs {
            *told = new;
        }
        differs
    });
}

impl Desk {
    /// What is seen of a release.
    pub(super) fn observation(
        &mut self,
        world: &World,
        name: &str,
        rollout: &Rollout,
        elapsed: Duration,
        now: Instant,
    ) -> Observation {
        let mut windows: BTreeMap<String, Window> = BTreeMap::new();
        let causes = world.releases.get(name).map_or_else(Cause::all, |release| release.analysis.causes());
        let listed = |version: &str| {
            let of = world.services.get(&rollout.service).and_then(|service| service.versions.get(version));
            of.map_or(&[][..], |version| version.endpoints.as_slice())
        };
        for version in rollout.judged() {
            let terms = Terms { causes: &causes, canary: listed(version), baseline: listed(rollout.baseline()) };
            let window = self.collectors.take(name, version, now, terms);
            windows.extend(window.map(|window| (version.to_owned(), window)));
        }
        for version in rollout.judged() {
            if let Some(readings) = self.measuring.readings.remove(&(name.to_owned(), version.to_owned())) {
                windows.entry(version.to_owned()).or_default().readings = readings;
            }
        }
        let window = rollout.canary().and_then(|canary| windows.remove(canary));
        let fleet = self.fleet_of(name);
        if fleet.is_settled() {
            self.settled.entry(name.to_owned()).or_insert(now);
        }
        Observation { elapsed, fleet, window, arms: windows, ..self.seen_of(rollout) }
    }

    /// The specs in force, and each change of them.
    pub fn worlds(&self) -> watch::Receiver<Option<Arc<World>>> {
        self.worlds.subscribe()
    }

    /// What those outside are to be asked now, by release, and each change of it.
    pub fn asked(&self) -> watch::Receiver<Vec<(String, Call)>> {
        self.asked.subscribe()
    }

    /// What others are to measure now, and each change of it.
    pub fn measurements(&self) -> watch::Receiver<Vec<MeasureRequest>> {
        self.measuring.wanted.subscribe()
    }

    /// What those outside are to be asked now, by release. Nobody is asked before this process has kept that it takes up
    /// what an earlier one had begun.
    pub(super) fn calls(&self) -> Vec<(String, Call)> {
        if !self.applied {
            return Vec::new();
        }
        let of = |name: &String| self.rollouts.get(name).into_iter().flat_map(Rollout::calls);
        self.active.iter().flat_map(|name| of(name).map(|call| (name.clone(), call))).collect()
    }

    /// What others are to measure now.
    pub(super) fn measures(&self) -> Vec<MeasureRequest> {
        let Some(world) = self.world.as_ref().filter(|_| self.applied) else { return Vec::new() };
        let of = |name: &String| Some(self.rollouts.get(name)?.measurements(world.releases.get(name)?));
        self.active.iter().filter_map(of).flatten().collect()
    }

    /// Takes in what others have measured, if that is still wanted. It is judged in the next turn.
    pub fn measured(&mut self, Measured { request, outcome }: Measured) {
        // What was asked before a spec was edited says nothing of what is asked now.
        if !self.measuring.wanted.borrow().contains(&request) {
            return;
        }
        let MeasureAbout { release, canary, metric, .. } = request.about;
        self.measuring.readings.entry((release, canary)).or_default().push(Reading { metric, outcome });
    }

    /// What was measured and could not be taken in, of some releases, is given again at the next turn.
    pub(super) fn give_again(&mut self, given: Readings, of: impl Fn(&Rollout) -> bool) {
        let is_of = |release: &String| self.rollouts.get(release).is_some_and(&of);
        let again: Readings = given.into_iter().filter(|((release, _), _)| is_of(release)).collect();
        self.measuring.readings.extend(again);
    }

    /// One decision after the other: what cannot be built of one release keeps no other one from its way, least of all back.
    /// Tells which releases could not be decided about.
    pub(super) async fn decide_each(
        &mut self,
        world: &Arc<World>,
        decisions: Vec<Decision>,
        now: Timestamp,
    ) -> BTreeSet<String> {
        let mut undecided = BTreeSet::new();
        for decision in decisions {
            let releases: Vec<String> = decision.rollouts.keys().cloned().collect();
            if let Err(error) = self.decide(world, decision, now).await {
                tracing::error!("not decided: {error}");
                undecided.extend(releases);
            }
        }
        undecided
    }

    /// Takes in what somebody outside has answered. What cannot be kept is taken in again at the next turn.
    pub async fn answered(&mut self, release: &str, answer: Answer, now: Timestamp) {
        let Some(world) = self.world.clone() else { return };
        let Some((spec, rollout)) = world.releases.get(release).zip(self.rollouts.get(release).cloned()) else {
            return;
        };
        let peers = turn::others(&world, &self.rollouts, spec);
        let mut decision = Decision::default();
        let event = Event::Answered(answer.clone());
        decision.add(release, turn::react(rollout, event, turn::context(&world, &peers, spec), now));
        if let Err(error) = self.decide(&world, decision, now).await {
            tracing::error!(%release, "an answer is not taken in yet: {error}");
            self.unheard.push((release.to_owned(), answer));
        }
        self.show();
    }
}
