//! Make before break: how one stream gets from a snapshot to the next.
//!
//! PURE. Owns what the stream *offers* its client at this moment. Clusters and endpoints of the new snapshot are offered
//! at once, beside the old ones; listeners and routes only when the client has the clusters that they name; what is
//! stale goes last (behaviours 31 to 33).
//!
//! Invariants: what is shown of listeners and routes is of the target or of a retained snapshot, so that no cluster that
//! a shown route names is ever withdrawn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Resource, ResourceType, Snapshot};

/// How many older snapshots a stream holds on to at most, while its client does not follow.
const RETAINED: usize = 16;

/// Times of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long to wait for clusters to be acknowledged before the routes are sent all the same. Longer than Envoy's own
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
    phase: Phase,
    pace: Pace,
}

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The new clusters are offered; the routes wait for them.
    Warming {
        /// Until when.
        deadline: Instant,
        /// Whether going beyond the deadline was already told.
        overdue: bool,
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

impl Transition {
    /// On a new stream. `previous` are snapshots that the client may still hold parts of.
    pub fn start(target: Arc<Snapshot>, previous: Vec<Arc<Snapshot>>, pace: Pace, now: Instant) -> Self {
        let deadline = now + pace.warming;
        let mut retained = previous;
        retained.retain(|snapshot| snapshot.version() != target.version());
        Self { target, shown: None, retained, phase: Phase::Warming { deadline, overdue: false }, pace }
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
        self.phase = Phase::Warming { deadline: now + self.pace.warming, overdue: false };
    }

    /// Goes as far as the client has come.
    pub fn advance(&mut self, client: &impl Client, now: Instant) -> Advanced {
        let mut advanced = Advanced::Not;
        loop {
            match self.phase {
                Phase::Warming { deadline, overdue } => {
                    let missing = self.missing_clusters(client);
                    if !missing.is_empty() && now < deadline {
                        return advanced;
                    }
                    // A route to a cluster that the client will not take would only fail requests.
                    if missing.iter().any(|name| client.rejects_cluster(name, self)) {
                        return advanced;
                    }
                    if !missing.is_empty() && !overdue {
                        advanced = Advanced::Overdue(missing);
                    }
                    self.shown = Some(Arc::clone(&self.target));
                    self.phase = Phase::Shifting;
                }
                Phase::Shifting => {
                    let shifted = [ResourceType::Listener, ResourceType::Route].map(|t| client.is_synced(t, self));
                    if shifted != [true, true] {
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
                    self.phase = Phase::Settled;
                }
                Phase::Settled => return advanced,
            }
            if advanced == Advanced::Not {
                advanced = Advanced::To;
            }
        }
    }

    /// The clusters that the target's routes and listeners need and the client lacks.
    fn missing_clusters(&self, client: &impl Client) -> Vec<Arc<str>> {
        if !client.takes_clusters() {
            return Vec::new();
        }
        let shown =
            [ResourceType::Listener, ResourceType::Route].into_iter().flat_map(|t| self.target.of_type(t).values());
        let mut missing: Vec<Arc<str>> = shown
            .flat_map(Resource::refers_to)
            .filter(|(t, name)| *t == ResourceType::Cluster && !client.has_cluster(name, self))
            .map(|(_, name)| Arc::clone(name))
            .collect();
        missing.sort();
        missing.dedup();
        missing
    }

    /// When [`Transition::advance`] is to be called again although nothing happened.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Warming { deadline, .. } => Some(deadline),
            Phase::Draining { until } => Some(until),
            Phase::Shifting | Phase::Settled => None,
        }
    }

    /// The deadline has passed and nothing could be done about it: do not wake for it again.
    pub fn disarm(&mut self, now: Instant) {
        if let Phase::Warming { deadline, .. } = &mut self.phase
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
        match resource_type {
            ResourceType::Cluster | ResourceType::Endpoint => self.phase == Phase::Settled,
            ResourceType::Listener | ResourceType::Route => self.shown.is_some(),
        }
    }

    /// Whether the target's resources of a type are what is offered.
    pub fn offers_target(&self, resource_type: ResourceType) -> bool {
        match resource_type {
            ResourceType::Cluster | ResourceType::Endpoint => true,
            ResourceType::Listener | ResourceType::Route => {
                self.shown.as_ref().is_some_and(|shown| shown.version() == self.target.version())
            }
        }
    }

    /// A resource that is offered now.
    pub fn get(&self, resource_type: ResourceType, name: &str) -> Option<&Resource> {
        self.sources(resource_type).find_map(|snapshot| snapshot.get(resource_type, name))
    }

    /// A resource in every version that is at hand, the newest first.
    pub fn versions<'a>(&'a self, resource_type: ResourceType, name: &'a str) -> impl Iterator<Item = &'a Resource> {
        let snapshots = std::iter::once(&self.target).chain(&self.shown).chain(&self.retained);
        snapshots.filter_map(move |snapshot| snapshot.get(resource_type, name))
    }

    /// All snapshots at hand, the newest first.
    #[cfg(test)]
    pub(super) fn known(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        std::iter::once(&self.target).chain(&self.retained)
    }

    /// All that is offered of a type, by name.
    pub fn offered(&self, resource_type: ResourceType) -> BTreeMap<&Arc<str>, &Resource> {
        let mut offered = BTreeMap::new();
        for snapshot in self.sources(resource_type) {
            for (name, resource) in snapshot.of_type(resource_type) {
                offered.entry(name).or_insert(resource);
            }
        }
        offered
    }

    /// Where a type is offered from, the best first.
    fn sources(&self, resource_type: ResourceType) -> impl Iterator<Item = &Arc<Snapshot>> {
        let (main, others) = match resource_type {
            ResourceType::Cluster | ResourceType::Endpoint => (Some(&self.target), self.retained.as_slice()),
            ResourceType::Listener | ResourceType::Route => (self.shown.as_ref(), &[][..]),
        };
        main.into_iter().chain(others)
    }

    /// On a new stream whose client says what it has: only the snapshots that have it are of interest.
    pub fn retain_only(&mut self, wanted: impl Fn(&Snapshot) -> bool) {
        if self.shown.is_none() && self.retained.iter().any(|snapshot| wanted(snapshot)) {
            self.retained.retain(|snapshot| wanted(snapshot));
        }
    }

    /// On a new stream whose client names what it has: of older snapshots only those are kept that would give it nothing
    /// that it has not.
    pub fn retain_held(&mut self, resource_type: ResourceType, held: impl Fn(&Resource) -> bool) {
        if self.shown.is_none() {
            let in_target = |name: &str| self.target.get(resource_type, name).is_some();
            self.retained.retain(|old| old.of_type(resource_type).values().all(|r| in_target(r.name()) || held(r)));
        }
    }

    /// On a new stream whose client has nothing: nothing has to be kept for it.
    pub fn forget(&mut self) {
        if self.shown.is_none() {
            self.retained.clear();
        }
    }
}
