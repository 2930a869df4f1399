//! PURE: which proxies a release is about, and how far they are.
//!
//! Releases whose services are carried by the same groups have the same audience: a turn looks at every proxy once, at
//! every audience once, and at no release that nothing has happened to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::Desk;
use super::held::{Objections, can_take};
use crate::model::World;
use crate::rollout::evidence::Collector;
use crate::rollout::{FleetState, Progress, Rollout, Stage, State};
use crate::translate::{self, cluster_name};
use crate::xds::{ProxyStatus, ResourceType, Snapshot};

/// Who is told of what, as the specs in force say.
#[derive(Debug, Default)]
pub(super) struct Audiences {
    all: Vec<Audience>,
    /// By release.
    of: BTreeMap<String, usize>,
    /// By service.
    releases: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Audience {
    groups: Vec<String>,
    releases: Vec<String>,
    /// How far its proxies are.
    fleet: FleetState,
    /// What was last shown of it.
    shown: FleetState,
}

impl Audiences {
    /// Of a world. Nobody has been looked at yet.
    pub(super) fn of(world: &World) -> Self {
        let mut carriers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (group, fleet, dialect) in translate::all_groups(world) {
            for service in translate::services_of(world, fleet, dialect) {
                carriers.entry(service).or_default().push(group.clone());
            }
        }
        let mut audiences = Self::default();
        let mut known: HashMap<Vec<String>, usize> = HashMap::new();
        for release in world.releases.values() {
            let groups = carriers.get(release.service.as_str()).cloned().unwrap_or_default();
            let at = *known.entry(groups.clone()).or_insert_with(|| {
                audiences.all.push(Audience { groups, ..Audience::default() });
                audiences.all.len() - 1
            });
            audiences.all[at].releases.push(release.name.clone());
            audiences.of.insert(release.name.clone(), at);
            audiences.releases.insert(release.service.clone(), release.name.clone());
        }
        audiences
    }

    /// How far the proxies of a release are. What they have against their snapshots is told of all of them alike.
    pub(super) fn fleet(&self, release: &str) -> FleetState {
        self.of.get(release).map_or_else(FleetState::default, |at| self.all[*at].fleet.clone())
    }

    /// The groups that carry a release's service.
    pub(super) fn groups_of(&self, release: &str) -> &[String] {
        self.of.get(release).map_or(&[], |at| &self.all[*at].groups)
    }

    /// The release of a service.
    pub(super) fn release_of(&self, service: &str) -> Option<&String> {
        self.releases.get(service)
    }

    /// Until the proxies have been looked at again, nobody has in force what was published for a release.
    pub(super) fn publish(&mut self, release: &str) {
        if let Some(at) = self.of.get(release) {
            self.all[*at].fleet.in_force = 0;
        }
    }

    /// Proxies of an earlier process may still come back.
    pub(super) fn await_return(&mut self) {
        self.all.iter_mut().for_each(|audience| audience.fleet.returning = true);
    }

    /// The releases whose proxies are not where they were last shown to be. Said once.
    pub(super) fn take_moved(&mut self) -> Vec<String> {
        let mut releases = Vec::new();
        for audience in self.all.iter_mut().filter(|audience| audience.fleet != audience.shown) {
            audience.shown = audience.fleet.clone();
            releases.extend(audience.releases.iter().cloned());
        }
        releases
    }
}

/// The connected proxies of one group.
#[derive(Default)]
struct Present<'a> {
    connected: BTreeSet<&'a str>,
    /// Those that have the published routes in force, and since when.
    in_force: Vec<(&'a str, Instant)>,
}

impl Desk {
    /// Finds out how far the proxies are, and from when on their counts are evidence.
    pub(super) fn look_at(&mut self, proxies: &[ProxyStatus]) {
        let mut present: HashMap<&str, Present<'_>> = HashMap::new();
        let of_group = |(group, (snapshot, _)): (&String, &(Arc<Snapshot>, _))| {
            (group.clone(), Objections::of(self.cache.parked(group), self.cache.held(group), snapshot))
        };
        self.objections = self.groups.iter().map(of_group).collect();
        for proxy in proxies.iter().filter(|proxy| proxy.is_connected()) {
            let Some(group) = proxy.group.as_deref() else { continue };
            let Some((snapshot, _)) = self.groups.get(group) else { continue };
            let (present, id) = (present.entry(group).or_default(), proxy.node.id.as_str());
            present.connected.insert(id);
            let routes = snapshot.version_of(ResourceType::Route);
            present.in_force.extend(proxy.in_force_since(ResourceType::Route, routes).map(|since| (id, since)));
            self.objections.entry(group.to_owned()).or_default().hear(proxy);
        }
        for audience in &mut self.audiences.all {
            let mut fleet = FleetState::default();
            for group in &audience.groups {
                if let Some(present) = present.get(group.as_str()) {
                    fleet.proxies += present.connected.len();
                    fleet.in_force += present.in_force.len();
                }
                if let Some(objections) = self.objections.get(group) {
                    let text = fleet.rejection.take().or_else(|| objections.first());
                    fleet.rejection = text;
                    fleet.spread = fleet.spread.with(objections.spread());
                }
            }
            audience.fleet = fleet;
        }
        self.count_ready(proxies);
        let progresses = |rollout: &Rollout| matches!(rollout.state, State::Progressing(_));
        self.collectors.retain(|release, _| self.rollouts.get(release).is_some_and(progresses));
        for release in self.active.iter().filter(|release| self.rollouts.get(*release).is_some_and(progresses)) {
            let Some(at) = self.audiences.of.get(release) else { continue };
            let groups = || self.audiences.all[*at].groups.iter().filter_map(|group| present.get(group.as_str()));
            let collector: &mut Collector = self.collectors.entry(release.clone()).or_default();
            groups().flat_map(|group| &group.in_force).for_each(|(node, since)| collector.in_force(node, *since));
            collector.keep_only(|node| groups().any(|group| group.connected.contains(node)));
        }
    }

    /// Counts, for each release that waits for it, the proxies that can be sent routes to its new version.
    fn count_ready(&mut self, proxies: &[ProxyStatus]) {
        self.ready.clear();
        for (name, rollout) in self.active.iter().filter_map(|name| Some((name, self.rollouts.get(name)?))) {
            let State::Progressing(Progress { stage: Stage::Preparing, canary, .. }) = &rollout.state else { continue };
            let (cluster, groups) = (cluster_name(&rollout.service, canary), self.audiences.groups_of(name));
            let can = |proxy: &&ProxyStatus| {
                let group = proxy.group.as_deref().filter(|group| groups.iter().any(|own| own == group));
                let snapshot = group.and_then(|group| self.groups.get(group));
                proxy.is_connected() && snapshot.is_some_and(|(snapshot, _)| can_take(proxy, snapshot, &cluster))
            };
            self.ready.insert(name.clone(), proxies.iter().filter(can).count());
        }
    }
}
