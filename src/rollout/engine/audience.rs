//! PURE: which proxies a release is about, and how far they are.
//!
//! Releases whose services are carried by the same groups have the same audience: a turn looks at every proxy once, at
//! every audience once, and at no release that nothing has happened to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Desk;
use super::collectors::{InForce, Judged, print_of};
use super::held::{Objections, can_take, has_endpoints};
use crate::model::{EndpointState, Protocol, World};
use crate::rollout::{FleetState, Observation, Rollout};
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

#[derive(Debug)]
struct Audience {
    groups: Vec<String>,
    /// What tells the proxies where the traffic goes.
    steers: ResourceType,
    releases: Vec<String>,
    /// How far its proxies are.
    fleet: FleetState,
    /// What was last shown of it.
    shown: FleetState,
}

/// The type of what tells proxies where a service's traffic goes: the listeners themselves where it is bytes.
fn steering(world: &World, service: &str) -> ResourceType {
    match world.services.get(service).map(|service| service.protocol) {
        Some(Protocol::Tcp) => ResourceType::Listener,
        Some(Protocol::Http1 | Protocol::Http2 | Protocol::Grpc) | None => ResourceType::Route,
    }
}

impl Audiences {
    /// Of a world. Nobody has been looked at yet.
    pub(super) fn of(world: &World) -> Self {
        let mut carriers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for group in translate::all_groups(world) {
            for service in group.services(world) {
                carriers.entry(service).or_default().push(group.name());
            }
        }
        let mut audiences = Self::default();
        let mut known: HashMap<(Vec<String>, ResourceType), usize> = HashMap::new();
        for release in world.releases.values() {
            let groups = carriers.get(release.service.as_str()).cloned().unwrap_or_default();
            let steers = steering(world, &release.service);
            let at = *known.entry((groups.clone(), steers)).or_insert_with(|| {
                audiences.all.push(Audience {
                    groups,
                    steers,
                    fleet: FleetState::default(),
                    shown: FleetState::default(),
                    releases: Vec::new(),
                });
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
    /// Those that have what was published of a type in force.
    in_force: HashMap<ResourceType, Vec<InForce<'a>>>,
    /// Of all this.
    print: u64,
}

impl<'a> Present<'a> {
    fn in_force(&self, steers: ResourceType) -> &[InForce<'a>] {
        self.in_force.get(&steers).map_or(&[], |proxies| proxies)
    }
}

impl Desk {
    /// What the proxies say of a rollout's endpoints.
    pub(super) fn seen_of(&self, rollout: &Rollout) -> Observation {
        let cluster = |version: &str| cluster_name(&rollout.service, version);
        let versions = rollout.judged().into_iter().chain([rollout.stable.as_str()]);
        let healthy =
            versions.filter_map(|version| Some((version.to_owned(), self.health.healthy(&cluster(version))?)));
        let mut seen = Observation { healthy: healthy.collect(), ..Observation::default() };
        let Some(settled) = self.settled.get(&rollout.release).copied() else { return seen };
        // Before it was listened for, nobody told.
        let since = |cluster: &str| settled.max(self.hearing.since(cluster).unwrap_or(settled));
        let in_progress = |cluster: String| self.health.in_progress(&cluster, since(&cluster));
        seen.in_progress = rollout.draining().and_then(|version| in_progress(cluster(version)));
        for (version, states) in &rollout.plan().endpoints {
            let draining = states.iter().filter(|(_, state)| **state == EndpointState::Draining);
            let (cluster, since) = (cluster(version), since(&cluster(version)));
            let told = |address| Some((address, self.health.in_progress_at(&cluster, address, since)?));
            seen.in_progress_at.extend(draining.filter_map(|(address, _)| told(*address)));
        }
        seen
    }

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
            present.print = present.print.wrapping_add(print_of(id));
            let region = proxy.node.locality.region.as_str();
            for steers in [ResourceType::Route, ResourceType::Listener] {
                let since = proxy.in_force_since(steers, snapshot.version_of(steers));
                let in_force = since.map(|since| InForce { node: id, region, since });
                let print = in_force.map_or(0, |one| print_of((steers, one)));
                present.print = present.print.wrapping_add(print);
                present.in_force.entry(steers).or_default().extend(in_force);
            }
            self.objections.entry(group.to_owned()).or_default().hear(proxy);
        }
        for audience in &mut self.audiences.all {
            let mut fleet = FleetState::default();
            for group in &audience.groups {
                if let Some(present) = present.get(group.as_str()) {
                    fleet.proxies += present.connected.len();
                    fleet.in_force += present.in_force(audience.steers).len();
                }
                if let Some(objections) = self.objections.get(group) {
                    let text = fleet.rejection.take().or_else(|| objections.first());
                    fleet.rejection = text;
                    fleet.spread = fleet.spread.with(objections.spread());
                }
            }
            audience.fleet = fleet;
        }
        self.health.keep_only(|node| present.values().any(|group| group.connected.contains(node)));
        self.count_ready(proxies);
        self.collect_from(&present);
    }

    /// Whose reports are evidence for the releases that are on their way.
    fn collect_from(&mut self, present: &HashMap<&str, Present<'_>>) {
        let rollouts = &self.rollouts;
        self.collectors.retain(|release, version| {
            rollouts.get(release).is_some_and(|rollout| rollout.judged().contains(&version))
        });
        let mut carriers = Vec::new();
        for release in &self.active {
            let Some((at, rollout)) = self.audiences.of.get(release).zip(self.rollouts.get(release)) else { continue };
            let audience = &self.audiences.all[*at];
            let groups = || audience.groups.iter().filter_map(|group| Some((group, present.get(group.as_str())?)));
            let print =
                groups().fold(0, |sum: u64, (group, present)| sum.wrapping_add(print_of((group, present.print))));
            let scope = rollout.scope();
            for version in rollout.judged() {
                let judged = Judged {
                    release,
                    version,
                    canary: cluster_name(&rollout.service, version),
                    baseline: cluster_name(&rollout.service, rollout.baseline()),
                    basis: rollout.basis(),
                };
                let counted = groups().flat_map(|(_, group)| group.in_force(audience.steers)).copied();
                let counted = counted.filter(|one| scope.has(one.region));
                let is_connected = |node: &str| groups().any(|(_, group)| group.connected.contains(node));
                self.collectors.follow(judged, print, counted, is_connected);
                carriers.push((release.as_str(), version, audience.groups.as_slice()));
            }
        }
        let print = present.iter().fold(0, |sum: u64, (group, of)| sum.wrapping_add(print_of((group, of.print))));
        let nodes = |group: &str| present.get(group).into_iter().flat_map(|of| of.connected.iter().copied()).collect();
        self.collectors.index(print, carriers.into_iter(), nodes);
    }

    /// Counts, for each release that waits for it, the proxies that can be sent routes to its new versions, and those that
    /// have its endpoints as they are published.
    fn count_ready(&mut self, proxies: &[ProxyStatus]) {
        self.ready.clear();
        self.placed.clear();
        for (name, rollout) in self.active.iter().filter_map(|name| Some((name, self.rollouts.get(name)?))) {
            let (awaited, replaces) = (rollout.awaited(), rollout.replaces_endpoints());
            if awaited.is_empty() && !replaces {
                continue;
            }
            let groups = self.audiences.groups_of(name);
            let cluster = |version: &str| cluster_name(&rollout.service, version);
            let given = proxies.iter().filter(|proxy| proxy.is_connected()).filter_map(|proxy| {
                let group = proxy.group.as_deref().filter(|group| groups.iter().any(|own| own == group))?;
                Some((proxy, &self.groups.get(group)?.0))
            });
            if !awaited.is_empty() {
                let clusters: Vec<String> = awaited.iter().map(|version| cluster(version)).collect();
                let can = |proxy, snapshot: &Snapshot| clusters.iter().all(|name| can_take(proxy, snapshot, name));
                self.ready.insert(name.clone(), given.clone().filter(|(proxy, snapshot)| can(proxy, snapshot)).count());
            }
            if replaces {
                let versions = rollout.canary().into_iter().chain([rollout.stable.as_str()]);
                let clusters: Vec<String> = versions.map(cluster).collect();
                let has = |proxy, snapshot: &Snapshot| clusters.iter().all(|name| has_endpoints(proxy, snapshot, name));
                self.placed.insert(name.clone(), given.filter(|(proxy, snapshot)| has(proxy, snapshot)).count());
            }
        }
    }
}
