//! Make before break: how one stream gets from a snapshot to the next.
//!
//! PURE. Owns what the stream *offers* its client at this moment. Clusters, endpoints and whatever else is referred to of
//! the new snapshot are offered at once, beside the old ones; listeners and routes only when the client has the clusters
//! that they name; what is stale goes last (behaviours 31 to 34).
//!
//! Invariants: what is shown of listeners and routes is of the target or of a retained snapshot, so that no cluster that
//! a shown route names is ever withdrawn.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use imbl::ordmap::DiffItem;

use super::{Resource, ResourceSet, ResourceType, ResourceVersion, Snapshot};

/// How many older snapshots a stream holds on to at most, while its client does not follow.
const RETAINED: usize = 16;

/// Times of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long to wait for a cluster to be acknowledged before the routes are sent all the same. Longer than Envoy's own
    /// 15 s for endpoints that never come.
    pub warming: Duration,
    /// How long the old clusters stay after the new routes were acknowledged, for requests under way.
    pub draining: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { warming: Duration::from_secs(20), draining: Duration::from_secs(1) }
    }
}

/// What a stream offers, and where it stands on the way to its target.
#[derive(Debug)]
pub struct Transition {
    target: Arc<Snapshot>,
    /// What listeners and routes are offered from; nothing yet on a new stream.
    shown: Option<Arc<Snapshot>>,
    /// Older snapshots whose clusters and endpoints are still offered, newest first.
    retained: Vec<Arc<Snapshot>>,
    /// What only they have, and others did not reject.
    extras: BTreeMap<ResourceType, Extras>,
    /// What other clients rejected: of older snapshots it is not offered, either.
    barred: Arc<Barred>,
    kept: Arc<Barred>,
    phase: Phase,
    /// Clusters that the target's routes need and the client lacks, and since when that is known.
    missing: BTreeMap<Arc<str>, Instant>,
    pace: Pace,
}

/// Resources, by their keys, that no client is sent.
pub(super) type Barred = HashSet<u128>;

#[derive(Debug, Default)]
struct Extras {
    resources: ResourceSet,
    version: ResourceVersion,
}

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The new clusters are offered; the routes wait for them.
    Warming {
        /// Until when.
        deadline: Instant,
    },
    /// The new routes are offered; the old clusters wait for them.
    Shifting,
    /// The new routes are in force; the old clusters wait for requests under way.
    Draining {
        /// Until when.
        until: Instant,
    },
    /// Only the target is offered (and what the client has in place of what it rejected of it).
    Settled,
}

/// What a transition must know of its client.
pub trait Client {
    /// Whether it takes all clusters from this stream, so that routes can be made to wait for them.
    fn takes_clusters(&self) -> bool;
    /// Whether it has every cluster and all endpoints just as they are offered. `false` is no more than "look closely".
    fn has_all(&self, transition: &Transition) -> bool;
    /// Whether it has a cluster, in whatever version, with the endpoints that are offered for it.
    fn has_cluster(&self, name: &str, transition: &Transition) -> bool;
    /// Whether it said no to the cluster that is offered.
    fn rejects_cluster(&self, name: &str, transition: &Transition) -> bool;
    /// Whether it rejected a cluster of the target, and has that of an older snapshot in its place.
    fn relies_on(&self, old: &Snapshot, target: &Snapshot) -> bool;
    /// Whether it has acknowledged all that it subscribes to of what is offered of a type.
    fn is_synced(&self, resource_type: ResourceType, transition: &Transition) -> bool;
}

/// What came of [`Transition::advance`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advanced {
    /// Nothing.
    Not,
    /// Another phase.
    To,
    /// The routes were released although these clusters were not acknowledged in time.
    Overdue(Vec<Arc<str>>),
}

/// What is offered of one type: the resources of a snapshot, and what only older ones have.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    snapshot: Option<&'a Snapshot>,
    resource_type: ResourceType,
    extras: Option<&'a Extras>,
}

impl<'a> Offer<'a> {
    /// The resources of the newest snapshot that is offered; `None` before any is.
    pub fn main(&self) -> Option<&'a ResourceSet> {
        self.snapshot.map(|snapshot| snapshot.of_type(self.resource_type))
    }

    /// What only older snapshots have.
    pub fn extras(&self) -> impl Iterator<Item = &'a Resource> + use<'a> {
        self.extras.into_iter().flat_map(|extras| extras.resources.values())
    }

    /// The snapshot that is offered.
    pub fn snapshot(&self) -> Option<&'a Snapshot> {
        self.snapshot
    }

    /// Of what is offered of the newest snapshot alone, when that is all.
    pub fn sole(&self) -> Option<&'a Snapshot> {
        self.snapshot.filter(|_| self.extras.is_none_or(|extras| extras.resources.is_empty()))
    }

    /// The version of all that is offered.
    pub fn version(&self) -> ResourceVersion {
        let main = self.snapshot.map_or(ResourceVersion::NOTHING, |snapshot| snapshot.version_of(self.resource_type));
        self.extras.map_or(main, |extras| main.joined(extras.version))
    }

    /// One resource, by its name.
    pub fn get(&self, name: &str) -> Option<&'a Resource> {
        let extra = || self.extras.and_then(|extras| extras.resources.get(name));
        self.main().and_then(|main| main.get(name)).or_else(extra)
    }

    /// One resource, by its name or an alias.
    pub fn find(&self, name: &str) -> Option<&'a Resource> {
        let by_alias = || self.snapshot.and_then(|snapshot| snapshot.find(self.resource_type, name));
        self.get(name).or_else(by_alias)
    }

    /// All resources; those of the newest snapshot by name.
    pub fn iter(&self) -> impl Iterator<Item = &'a Resource> + use<'a> {
        self.main().into_iter().flat_map(|main| main.values()).chain(self.extras())
    }
}

impl Transition {
    /// On a new stream. `previous` are snapshots that the client may still hold parts of.
    pub fn start(target: Arc<Snapshot>, previous: Vec<Arc<Snapshot>>, pace: Pace, now: Instant) -> Self {
        let mut retained = previous;
        retained.retain(|snapshot| snapshot.version() != target.version());
        let mut transition = Self {
            target,
            shown: None,
            retained,
            extras: BTreeMap::new(),
            barred: Arc::default(),
            kept: Arc::default(),
            phase: Phase::Warming { deadline: now + pace.warming },
            missing: BTreeMap::new(),
            pace,
        };
        transition.find_extras();
        transition
    }

    /// There is a newer snapshot. What is under way merges into the way to it.
    pub fn aim(&mut self, target: Arc<Snapshot>, now: Instant) {
        if target.version() == self.target.version() {
            return;
        }
        let old = std::mem::replace(&mut self.target, target);
        self.retained.retain(|snapshot| snapshot.version() != old.version());
        self.retained.insert(0, old);
        if self.retained.len() > RETAINED {
            let shown = self.shown.as_ref().map(|shown| shown.version());
            let oldest = self.retained.iter().rposition(|snapshot| Some(snapshot.version()) != shown);
            oldest.map(|at| self.retained.remove(at));
        }
        self.phase = Phase::Warming { deadline: now + self.pace.warming };
        self.find_extras();
    }

    /// Clients rejected these.
    pub(super) fn bar(&mut self, barred: Arc<Barred>) {
        if self.barred != barred {
            self.barred = barred;
            self.find_extras();
        }
    }

    /// Of what others rejected, this is still intended: a client that has it keeps it.
    pub(super) fn keep(&mut self, kept: Arc<Barred>) {
        self.kept = kept;
    }

    /// Whether a client that has it keeps it although it is not offered.
    pub(super) fn is_kept(&self, resource: &Resource) -> bool {
        !self.kept.is_empty() && self.kept.contains(&resource.key())
    }

    /// Whether other clients rejected it.
    pub(super) fn is_barred(&self, resource: &Resource) -> bool {
        !self.barred.is_empty() && self.barred.contains(&resource.key())
    }

    fn find_extras(&mut self) {
        self.extras.clear();
        for old in &self.retained {
            for resource_type in old.types().filter(|t| !t.is_routing()) {
                for item in self.target.of_type(resource_type).diff(old.of_type(resource_type)) {
                    let DiffItem::Add(name, resource) = item else { continue };
                    if !self.barred.is_empty() && self.barred.contains(&resource.key()) {
                        continue;
                    }
                    let extras = self.extras.entry(resource_type).or_default();
                    if !extras.resources.contains_key(name) {
                        extras.version = extras.version.with(name, resource.mark());
                        extras.resources.insert(Arc::clone(name), resource.clone());
                    }
                }
            }
        }
    }

    /// Goes as far as the client has come.
    pub fn advance(&mut self, client: &impl Client, now: Instant) -> Advanced {
        let mut advanced = Advanced::Not;
        loop {
            match self.phase {
                Phase::Warming { .. } => {
                    self.look_for_missing(client, now);
                    // A route to a cluster that the client will not take would only fail requests.
                    if self.missing.keys().any(|name| client.rejects_cluster(name, self)) {
                        return advanced;
                    }
                    if let Some(newest) = self.missing.values().max() {
                        let deadline = *newest + self.pace.warming;
                        self.phase = Phase::Warming { deadline };
                        if now < deadline {
                            return advanced;
                        }
                        advanced = Advanced::Overdue(std::mem::take(&mut self.missing).into_keys().collect());
                    }
                    self.shown = Some(Arc::clone(&self.target));
                    self.phase = Phase::Shifting;
                }
                Phase::Shifting => {
                    if !ResourceType::ALL.into_iter().filter(|t| t.is_routing()).all(|t| client.is_synced(t, self)) {
                        return advanced;
                    }
                    self.phase = match self.retained.is_empty() {
                        true => Phase::Settled,
                        false => Phase::Draining { until: now + self.pace.draining },
                    };
                }
                Phase::Draining { until } if now < until => return advanced,
                Phase::Draining { .. } => {
                    // A client goes on with the last good version of what it rejected: that must not be taken from it.
                    let retained = std::mem::take(&mut self.retained);
                    self.retained = retained.into_iter().filter(|old| client.relies_on(old, &self.target)).collect();
                    self.find_extras();
                    self.phase = Phase::Settled;
                }
                Phase::Settled => return advanced,
            }
            if advanced == Advanced::Not {
                advanced = Advanced::To;
            }
        }
    }

    /// The clusters that the target's routes and listeners need and the client lacks. Each has its own time: a newer
    /// snapshot does not make an older cluster wait anew.
    fn look_for_missing(&mut self, client: &impl Client, now: Instant) {
        if !client.takes_clusters() || client.has_all(self) {
            self.missing.clear();
            return;
        }
        let mut missing = BTreeMap::new();
        let routing = ResourceType::ALL.into_iter().filter(|t| t.is_routing());
        let shown = routing.flat_map(|t| self.target.of_type(t).values());
        for (_, name) in shown.flat_map(Resource::refers_to).filter(|(t, _)| *t == ResourceType::Cluster) {
            if !missing.contains_key(name) && !client.has_cluster(name, self) {
                missing.insert(Arc::clone(name), self.missing.get(name).copied().unwrap_or(now));
            }
        }
        self.missing = missing;
    }

    /// When [`Transition::advance`] is to be called again although nothing happened.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Warming { deadline } => Some(deadline),
            Phase::Draining { until } => Some(until),
            Phase::Shifting | Phase::Settled => None,
        }
    }

    /// The deadline has passed and nothing could be done about it: do not wake for it again.
    pub fn disarm(&mut self, now: Instant) {
        if let Phase::Warming { deadline } = &mut self.phase
            && *deadline <= now
        {
            *deadline = now + self.pace.warming;
        }
    }

    /// What the stream is on the way to.
    pub fn target(&self) -> &Arc<Snapshot> {
        &self.target
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether what is not offered may be taken away: clusters and endpoints only when nothing can name them any more.
    pub fn may_remove(&self, resource_type: ResourceType) -> bool {
        match resource_type.is_routing() {
            false => self.phase == Phase::Settled,
            true => self.shown.is_some(),
        }
    }

    /// Whether a listener or a route that is shown refers to it.
    pub fn is_in_use(&self, resource_type: ResourceType, name: &Arc<str>) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.is_referred_to(resource_type, name))
    }

    /// Whether the target's resources of a type are what is offered.
    pub fn offers_target(&self, resource_type: ResourceType) -> bool {
        match resource_type.is_routing() {
            false => true,
            true => self.shown.as_ref().is_some_and(|shown| shown.version() == self.target.version()),
        }
    }

    /// What is offered of a type.
    pub fn offer(&self, resource_type: ResourceType) -> Offer<'_> {
        match resource_type.is_routing() {
            true => Offer { snapshot: self.shown.as_deref(), resource_type, extras: None },
            false => Offer { snapshot: Some(&self.target), resource_type, extras: self.extras.get(&resource_type) },
        }
    }

    /// A resource in every version that is at hand, the newest first.
    pub fn versions<'a>(&'a self, resource_type: ResourceType, name: &'a str) -> impl Iterator<Item = &'a Resource> {
        let snapshots = std::iter::once(&self.target).chain(&self.shown).chain(&self.retained);
        snapshots.filter_map(move |snapshot| snapshot.get(resource_type, name))
    }

    /// On a new stream whose client says what it has: only the snapshots that have it are of interest.
    pub fn retain_only(&mut self, wanted: impl Fn(&Snapshot) -> bool) {
        if self.shown.is_none() && self.retained.iter().any(|snapshot| wanted(snapshot)) {
            self.retained.retain(|snapshot| wanted(snapshot));
            self.find_extras();
        }
    }

    /// On a new stream whose client names what it has: of older snapshots only those are kept that would give it nothing
    /// that it has not.
    pub fn retain_held(&mut self, resource_type: ResourceType, held: impl Fn(&Resource) -> bool) {
        if self.shown.is_none() {
            let target = self.target.of_type(resource_type);
            self.retained.retain(|old| {
                let mut only_there = target.diff(old.of_type(resource_type));
                !only_there.any(|item| matches!(item, DiffItem::Add(_, resource) if !held(resource)))
            });
            self.find_extras();
        }
    }

    /// On a new stream whose client has nothing: nothing has to be kept for it.
    pub fn forget(&mut self) {
        if self.shown.is_none() {
            self.retained.clear();
            self.find_extras();
        }
    }
}
