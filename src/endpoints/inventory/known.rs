//! What is known from one source. PURE.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::model::{Endpoint, EndpointSource};

/// How long an address that has gone from DNS or a file is drained.
pub const DRAIN: Duration = Duration::from_secs(30);

/// What is known from the source of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) source: EndpointSource,
    pub(super) entries: BTreeMap<SocketAddr, Entry>,
    /// Why the newest look at it failed.
    pub(super) error: Option<String>,
    /// Whether it was looked at, in vain or not.
    pub(super) looked_at: bool,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    zone: Option<String>,
    weight: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Until then, unless it says again that it is there; for as long as the source has it where there is no such time.
    Serving(Option<Instant>),
    /// Until then it finishes what it has.
    Draining(Instant),
}

impl Entry {
    /// As the model has it.
    pub(super) fn endpoint(&self, address: SocketAddr) -> Endpoint {
        Endpoint { zone: self.zone.clone(), weight: self.weight, draining: self.is_draining(), address }
    }

    /// When its state ends by itself.
    pub(super) fn until(&self) -> Option<Instant> {
        match self.state {
            State::Serving(until) => until,
            State::Draining(until) => Some(until),
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        matches!(self.state, State::Draining(_))
    }
}

impl Known {
    /// Of a source that nothing is known from yet: what was known last stands in for it.
    pub(super) fn seeded(source: &EndpointSource, last: &[Endpoint], now: Instant) -> Self {
        let mut known =
            Self { source: source.clone(), entries: BTreeMap::new(), error: None, looked_at: !is_read(source) };
        let (serving, drained) = (known.serving(now), now + known.drain_time());
        let entry = |of: &Endpoint| {
            let state = if of.draining { State::Draining(drained) } else { serving };
            (of.address, Entry { zone: of.zone.clone(), weight: of.weight, state })
        };
        known.entries = last.iter().map(entry).collect();
        known
    }

    /// The same version with another source: what is known stands until that one was looked at.
    pub(super) fn with_source(mut self, source: &EndpointSource, now: Instant) -> Self {
        self.source = source.clone();
        self.error = None;
        self.looked_at = !is_read(source);
        let serving = self.serving(now);
        for entry in self.entries.values_mut().filter(|entry| !entry.is_draining()) {
            entry.state = serving;
        }
        self
    }

    /// What proxies are to be told, by address.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        self.entries.iter().map(|(address, entry)| entry.endpoint(*address)).collect()
    }

    /// Takes an address in, or notes that it is still there. Returns whether proxies are to be told something else.
    pub(super) fn put(&mut self, endpoint: &Endpoint, now: Instant) -> bool {
        let state = self.serving(now);
        let entry = Entry { zone: endpoint.zone.clone(), weight: endpoint.weight, state };
        let shown = entry.endpoint(endpoint.address);
        let before = self.entries.insert(endpoint.address, entry);
        before.is_none_or(|before| before.endpoint(endpoint.address) != shown)
    }

    /// Drains an address, for as long as its source says; one that drains already goes on doing so. Returns whether
    /// that is news.
    pub(super) fn drain(&mut self, address: SocketAddr, now: Instant) -> bool {
        let until = now + self.drain_time();
        let Some(entry) = self.entries.get_mut(&address).filter(|entry| !entry.is_draining()) else { return false };
        entry.state = State::Draining(until);
        true
    }

    /// Takes a whole reading: what is not in it is drained. Returns whether anything has changed.
    pub(super) fn replace(&mut self, read: &[Endpoint], now: Instant) -> bool {
        let there: BTreeSet<SocketAddr> = read.iter().map(|endpoint| endpoint.address).collect();
        let gone: Vec<SocketAddr> = self.entries.keys().filter(|known| !there.contains(known)).copied().collect();
        let mut changed = false;
        for address in gone {
            changed |= self.drain(address, now);
        }
        for endpoint in read {
            changed |= self.put(endpoint, now);
        }
        changed
    }

    /// Drains what did not say in time that it is there, and drops what was drained for long enough. Returns whether
    /// there was any.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let is_over = |entry: &Entry| entry.until().is_some_and(|until| until <= now);
        let over: Vec<(SocketAddr, bool)> = self
            .entries
            .iter()
            .filter(|(_, entry)| is_over(entry))
            .map(|(address, entry)| (*address, entry.is_draining()))
            .collect();
        for (address, was_draining) in &over {
            match was_draining {
                true => _ = self.entries.remove(address),
                false => _ = self.drain(*address, now),
            }
        }
        !over.is_empty()
    }

    fn serving(&self, now: Instant) -> State {
        State::Serving(match self.source {
            EndpointSource::Registered { ttl, .. } => Some(now + ttl),
            EndpointSource::Dns { .. } | EndpointSource::File { .. } => None,
        })
    }

    fn drain_time(&self) -> Duration {
        match self.source {
            EndpointSource::Registered { drain, .. } => drain,
            EndpointSource::Dns { .. } | EndpointSource::File { .. } => DRAIN,
        }
    }
}

/// Whether we look at it, and not it at us.
fn is_read(source: &EndpointSource) -> bool {
    match source {
        EndpointSource::Dns { .. } | EndpointSource::File { .. } => true,
        EndpointSource::Registered { .. } => false,
    }
}
