//! PURE: what one turn decides, gathered before any of it is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::Refusal;
use crate::model::{Release, Service, TrafficPlan, World};
use crate::rollout::{Context, Event, Observation, Peer, Record, Rollout, Standing, State, Transition};
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

    /// The decision for each rollout by itself, those that go back first.
    pub(super) fn each(&self) -> Vec<Decision> {
        let of = |name: &String| Decision {
            rollouts: self.rollouts.get(name).map(|rollout| (name.clone(), rollout.clone())).into_iter().collect(),
            records: self.records.iter().filter(|(release, _)| release == name).cloned().collect(),
            ..Decision::default()
        };
        let goes_back = |name: &&String| {
            self.rollouts.get(*name).is_some_and(|rollout| matches!(rollout.state, State::Reverting(_)))
        };
        let (back, others): (Vec<&String>, Vec<&String>) = self.rollouts.keys().partition(goes_back);
        back.into_iter().chain(others).map(of).collect()
    }

    /// The part of it that begins to send traffic back.
    pub(super) fn reverts(&self, before: &BTreeMap<String, Rollout>) -> Decision {
        let is_back = |rollout: &Rollout| matches!(rollout.state, State::Reverting(_));
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
        let mut told = None;
        for (release, record) in &self.records {
            match record {
                Record::Measured { .. } => tracing::debug!(%release, kind = record.kind(), "{}", record.message()),
                Record::Reverting { .. }
                | Record::Held { .. }
                | Record::ArmStopped { .. }
                | Record::Answered { ok: false, .. } => {
                    tracing::warn!(%release, kind = record.kind(), "{}", record.message())
                }
                Record::Adopted { .. }
                | Record::Started { .. }
                | Record::Superseded { .. }
                | Record::StrategyChanged { .. }
                | Record::StepBegun { .. }
                | Record::WaveBegun { .. }
                | Record::Replaced { .. }
                | Record::Called { .. }
                | Record::Answered { ok: true, .. }
                | Record::TriedAgain { .. }
                | Record::Retiring { .. }
                | Record::Retired { .. }
                | Record::Kept { .. }
                | Record::ExperimentBegun { .. }
                | Record::Concluded { .. }
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
            // Decisions that follow from each other in one turn stand on the same.
            if let Some(explanation) = record.explanation().filter(|explanation| told != Some((release, *explanation)))
            {
                told = Some((release, explanation));
                explanation.lines().iter().for_each(|line| tracing::info!(%release, kind = record.kind(), "  {line}"));
            }
        }
    }
}

/// What a rollout does when this was seen.
pub(super) fn observe(rollout: Rollout, seen: Observation, context: Context<'_>, now: Timestamp) -> Transition {
    react(rollout, Event::Observed(seen), context, now)
}

/// What a rollout does at an event that is no order.
pub(super) fn react(rollout: Rollout, event: Event, context: Context<'_>, now: Timestamp) -> Transition {
    let before = rollout.clone();
    // Only orders are ever refused.
    rollout.apply(event, context, now).unwrap_or(Transition { rollout: before, records: Vec::new() })
}

/// The releases that a release depends on, or that go together with it, and how far they are.
pub(super) fn others(world: &World, rollouts: &BTreeMap<String, Rollout>, of: &Release) -> Vec<Peer> {
    let of_word = |word| world.releases.values().filter(move |release| release.together.as_ref() == Some(word));
    let mates = of.together.iter().flat_map(of_word);
    let needed = of.depends_on.iter().filter_map(|name| world.releases.get(name));
    let all: BTreeMap<&str, &Release> = mates.chain(needed).map(|release| (release.name.as_str(), release)).collect();
    let peer = |release: &Release| Peer {
        release: release.name.clone(),
        together: release.together.clone(),
        // One that has just come is taken up in the same turn.
        standing: rollouts.get(&release.name).map_or(Standing::OnItsWay, |rollout| Standing::of(rollout, release)),
    };
    all.into_values().filter(|release| release.name != of.name).map(peer).collect()
}

/// What surrounds a rollout.
pub(super) fn context<'a>(world: &'a World, peers: &'a [Peer], release: &'a Release) -> Context<'a> {
    Context { release, service: world.services.get(&release.service), peers }
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
        return observe(
            renamed,
            Observation::default(),
            context(after, &others(after, rollouts, release), release),
            now,
        );
    }
    let served = before
        .and_then(|world| world.services.get(&release.service))
        .filter(|service| service.versions.len() == 1)
        .and_then(|service| service.versions.keys().next());
    let stable = served.unwrap_or(&release.version);
    let rollout = Rollout::adopt(&release.name, &release.service, stable, now);
    let peers = others(after, rollouts, release);
    let mut transition = observe(rollout, Observation::default(), context(after, &peers, release), now);
    transition.records.insert(0, Record::Adopted { version: stable.clone() });
    transition
}

/// Rollouts whose release goes on under another name. Others whose release is gone are kept: it may come back.
pub(super) fn renamed(rollouts: &BTreeMap<String, Rollout>, after: &World) -> Vec<String> {
    let gone = rollouts.values().filter(|rollout| !after.releases.contains_key(&rollout.release));
    gone.filter(|rollout| after.release_of(&rollout.service).is_some()).map(|rollout| rollout.release.clone()).collect()
}

/// Refuses specs in which a version that a rollout needs is missing, or has nowhere to run. Endpoints that come from a
/// source come and go by themselves: that refuses nothing.
pub(super) fn check_versions(world: &World, rollouts: &BTreeMap<String, Rollout>) -> Result<(), Vec<Refusal>> {
    let mut refusals = Vec::new();
    for rollout in rollouts.values() {
        let Some(service) = world.services.get(&rollout.service) else { continue };
        for version in rollout.needed_versions() {
            let (service_name, release) = (service.name.clone(), rollout.release.clone());
            match service.versions.get(&version) {
                None => refusals.push(Refusal::VersionVanished { service: service_name, version, release }),
                Some(found) if found.endpoints.is_empty() && found.source.is_none() => {
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
