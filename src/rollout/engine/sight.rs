//! What is seen of a release, what those outside are asked for it, and what they answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Desk;
use super::turn::{self, Decision};
use crate::analysis::Window;
use crate::model::World;
use crate::rollout::evidence::Collector;
use crate::rollout::{Answer, Call, Event, Observation, Rollout};

impl Desk {
    /// What is seen of a release.
    pub(super) fn observation(
        &mut self,
        name: &str,
        rollout: &Rollout,
        elapsed: Duration,
        now: Instant,
    ) -> Observation {
        let mut windows: BTreeMap<String, Window> = BTreeMap::new();
        for version in rollout.judged() {
            let collector = self.collectors.get_mut(&(name.to_owned(), version.to_owned()));
            windows.extend(collector.and_then(Collector::take).map(|window| (version.to_owned(), window)));
        }
        let window = rollout.canary().and_then(|canary| windows.remove(canary));
        let fleet = self.fleet_of(name);
        if fleet.is_settled() {
            self.settled.entry(name.to_owned()).or_insert(now);
        }
        Observation { elapsed, fleet, window, arms: windows, ..self.seen_of(rollout) }
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

    /// One decision after the other: what cannot be built of one release keeps no other one from its way, least of all back.
    pub(super) async fn decide_each(&mut self, world: &Arc<World>, decisions: Vec<Decision>, now: Timestamp) {
        for decision in decisions {
            if let Err(error) = self.decide(world, decision, now).await {
                tracing::error!("not decided: {error}");
            }
        }
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
