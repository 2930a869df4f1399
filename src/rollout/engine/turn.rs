//! PURE: what one turn decides, gathered before any of it is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::Refusal;
use crate::model::{Release, Service, TrafficPlan, World};
use crate::rollout::{Event, Observation, Record, Rollout, State, Transition};
use crate::store::Batch;
use crate::translate::translator::Plans;
use crate::xds::Snapshot;

/// What was decided in one turn.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) world: Option<Arc<World>>,
    pub(super) rollouts: BTreeMap<String, Rollout>,
    pub(super) removed: Vec<String>,
    records: Vec<(String, Record)>,
}

impl Decision {
    pub(super) fn add(&mut self, release: &str, transition: Transition) {
        self.records.extend(transition.records.into_iter().map(|record| (release.to_owned(), record)));
        self.rollouts.insert(release.to_owned(), transition.rollout);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.world.is_none() && self.rollouts.is_empty() && self.removed.is_empty()
    }

    /// The part of it that begins to send traffic back.
    pub(super) fn reverts(&self, before: &BTreeMap<String, Rollout>) -> Decision {
        let is_back = |rollout: &Rollout| matches!(rollout.state, State::Reverting { .. });
        let begins =
            |name: &String, rollout: &Rollout| is_back(rollout) && before.get(name).is_some_and(|b| !is_back(b));
        let rollouts: BTreeMap<String, Rollout> = self
            .rollouts
            .iter()
            .filter(|(name, r)| begins(name, r))
            .map(|(name, r)| (name.clone(), r.clone()))
            .collect();
        let records = self.records.iter().filter(|(name, _)| rollouts.contains_key(name)).cloned().collect();
        Decision { rollouts, records, ..Decision::default() }
    }

    /// What is to be kept, after what could not be kept before.
    pub(super) fn batch(&self, unkept: &Batch, snapshots: Vec<(String, Arc<Snapshot>)>, at: Timestamp) -> Batch {
        let mut batch = unkept.clone();
        batch.at = at;
        batch.world = self.world.clone().or(batch.world);
        batch.rollouts.extend(self.rollouts.values().cloned());
        batch.removed.extend(self.removed.iter().cloned());
        batch.records.extend(self.records.iter().cloned());
        batch.snapshots.extend(snapshots);
        batch
    }

    /// One line for each decision; measurements only for those who ask for detail.
    pub(super) fn log(&self) {
        for (release, record) in &self.records {
            match record {
                Record::Measured { .. } => tracing::debug!(%release, kind = record.kind(), "{}", record.message()),
                Record::Reverting { .. } | Record::Held { .. } => {
                    tracing::warn!(%release, kind = record.kind(), "{}", record.message())
                }
                Record::Adopted { .. }
                | Record::Started { .. }
                | Record::Superseded { .. }
                | Record::StrategyChanged { .. }
                | Record::StepBegun { .. }
                | Record::Settled { .. }
                | Record::Waiting { .. }
                | Record::Judged { .. }
                | Record::Ordered { .. }
                | Record::Promoting { .. }
                | Record::Promoted { .. }
                | Record::Reverted { .. } => {
                    tracing::info!(%release, kind = record.kind(), "{}", record.message());
                }
            }
        }
    }
}

/// What a rollout does when this was seen.
pub(super) fn observe(rollout: Rollout, seen: Observation, release: &Release, now: Timestamp) -> Transition {
    let before = rollout.clone();
    // Only orders are ever refused.
    rollout.apply(Event::Observed(seen), release, now).unwrap_or(Transition { rollout: before, records: Vec::new() })
}

/// The rollout of a release under new specs: the one it has; that of a release of the same service under another name;
/// or a first one, whose stable version is what the service had without a release, or else the wanted one.
pub(super) fn take_up(
    before: Option<&World>,
    after: &World,
    rollouts: &BTreeMap<String, Rollout>,
    release: &Release,
    now: Timestamp,
) -> Transition {
    let own = rollouts.get(&release.name).filter(|rollout| rollout.service == release.service);
    let known = own.or_else(|| rollouts.values().find(|rollout| rollout.service == release.service));
    // One that was away for a while goes on where it was, or specs that are put back would make the canary stable. But
    // where its stable version is no more, there is nothing to return to, and it begins anew.
    let was_there = |rollout: &Rollout| before.is_some_and(|world| world.releases.contains_key(&rollout.release));
    let has_stable = |rollout: &Rollout| {
        after.services.get(&rollout.service).is_some_and(|service| service.versions.contains_key(&rollout.stable))
    };
    if let Some(rollout) = known.filter(|rollout| was_there(rollout) || has_stable(rollout)) {
        let renamed = Rollout { release: release.name.clone(), ..rollout.clone() };
        return observe(renamed, Observation::default(), release, now);
    }
    let served = before
        .and_then(|world| world.services.get(&release.service))
        .filter(|service| service.versions.len() == 1)
        .and_then(|service| service.versions.keys().next());
    let stable = served.unwrap_or(&release.version);
    let rollout = Rollout::adopt(&release.name, &release.service, stable, now);
    let mut transition = observe(rollout, Observation::default(), release, now);
    transition.records.insert(0, Record::Adopted { version: stable.clone() });
    transition
}

/// Rollouts whose release goes on under another name. Others whose release is gone are kept: it may come back.
pub(super) fn renamed(rollouts: &BTreeMap<String, Rollout>, after: &World) -> Vec<String> {
    let gone = rollouts.values().filter(|rollout| !after.releases.contains_key(&rollout.release));
    gone.filter(|rollout| after.release_of(&rollout.service).is_some()).map(|rollout| rollout.release.clone()).collect()
}

/// Refuses specs in which a version that a rollout needs is missing, or has nowhere to run.
pub(super) fn check_versions(world: &World, rollouts: &BTreeMap<String, Rollout>) -> Result<(), Vec<Refusal>> {
    let mut refusals = Vec::new();
    for rollout in rollouts.values() {
        let Some(service) = world.services.get(&rollout.service) else { continue };
        for version in rollout.needed_versions() {
            let (service_name, release) = (service.name.clone(), rollout.release.clone());
            match service.versions.get(&version) {
                None => refusals.push(Refusal::VersionVanished { service: service_name, version, release }),
                Some(found) if found.endpoints.is_empty() => {
                    refusals.push(Refusal::VersionEmptied { service: service_name, version, release });
                }
                Some(_) => {}
            }
        }
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

/// The plans with those of these rollouts in their place.
pub(super) fn with_plans_of(plans: &Plans, rollouts: &BTreeMap<String, Rollout>) -> Plans {
    let mut plans = plans.clone();
    for rollout in rollouts.values() {
        let plan = rollout.plan();
        if plans.get(&rollout.service) != Some(&plan) {
            plans.insert(rollout.service.clone(), plan);
        }
    }
    plans
}

/// The traffic of every service: as its rollout says, or all to its only version.
pub(super) fn plans(world: &World, rollouts: &BTreeMap<String, Rollout>) -> Plans {
    let first = |service: &Service| Some((service.name.clone(), service.versions.keys().next()?.clone()));
    let of_services = world.services.values().filter_map(first);
    let plans: Plans = of_services.map(|(name, version)| (name.clone(), TrafficPlan::all_to(name, version))).collect();
    let wanted = rollouts.iter().filter(|(release, _)| world.releases.contains_key(*release));
    with_plans_of(&plans, &wanted.map(|(release, rollout)| (release.clone(), rollout.clone())).collect())
}

pub(super) fn join(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
