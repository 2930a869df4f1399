//! What is known of the endpoints of all versions that have a source. PURE.
//!
//! Invariants: a source that fails takes nothing away; an address that goes is drained before it is dropped; a service's
//! address is registered for one version at a time.

mod known;
mod listing;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use known::DRAIN;
pub use listing::{ListedEndpoint, ListedVersion};

use known::Known;

use crate::model::{Endpoint, EndpointSource, Version, World};

/// A service's name and a version's.
pub type Key = (String, String);

/// The most endpoints that may register for one version: a bound for whoever registers by mistake again and again.
pub const MOST_REGISTERED: usize = 10_000;

/// The endpoints that are known from sources, by version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    versions: BTreeMap<Key, Known>,
}

/// Why an endpoint is not registered, or not taken out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// No such service in the specs in force.
    #[error("there is no service named {name}")]
    UnknownService {
        /// What was asked for.
        name: String,
        /// The services there are.
        known: Vec<String>,
    },
    /// The service has no such version.
    #[error("service {service} has no version {version}")]
    UnknownVersion {
        /// The service.
        service: String,
        /// What was asked for.
        version: String,
        /// The versions it has.
        known: Vec<String>,
    },
    /// Its endpoints come from elsewhere.
    #[error(
        "nothing registers for version {version} of {service}, whose endpoints come from {from}: {}",
        cure(.same_as.as_deref())
    )]
    NotRegistered {
        /// The service.
        service: String,
        /// The version.
        version: String,
        /// Where they come from, in words.
        from: String,
        /// The version that it is the same as.
        same_as: Option<String>,
    },
    /// It is not there.
    #[error("{address} is not registered for version {version} of {service}")]
    UnknownEndpoint {
        /// The service.
        service: String,
        /// The version.
        version: String,
        /// The address.
        address: SocketAddr,
    },
    /// Nobody is there to take it.
    #[error("the server is shutting down")]
    Stopped,
    /// No room.
    #[error(
        "version {version} of {service} has {MOST_REGISTERED} registered endpoints, and no room for more: does one \
         register under new addresses again and again?"
    )]
    TooMany {
        /// The service.
        service: String,
        /// The version.
        version: String,
    },
}

fn cure(same_as: Option<&str>) -> String {
    match same_as {
        Some(other) => format!("register it for version {other}"),
        None => "write `registered: {}` for this version in the service's spec".to_owned(),
    }
}

impl Inventory {
    /// Turns to the versions of a world. What is not known of one yet is taken from the world before it (after a restart
    /// the one that was kept): registered endpoints have their time from now on to say that they are there.
    pub fn follow(&mut self, before: Option<&World>, after: &World, now: Instant) {
        let mut known = std::mem::take(&mut self.versions);
        for (service, name, version, source) in sourced(after) {
            let key = (service.to_owned(), name.to_owned());
            let next = match known.remove(&key) {
                Some(same) if same.source == *source => same,
                Some(other) => other.with_source(source, now),
                None => {
                    let last = before.and_then(|world| find(world, service, name)).unwrap_or(version);
                    Known::seeded(source, &last.endpoints, now)
                }
            };
            self.versions.insert(key, next);
        }
    }

    /// The sources that are to be looked at, by version; those that are waited for to say something are not among them.
    pub fn sources(&self) -> impl Iterator<Item = (&Key, &EndpointSource)> {
        let registered = |source: &EndpointSource| matches!(source, EndpointSource::Registered { .. });
        self.versions.iter().map(|(key, known)| (key, &known.source)).filter(move |(_, source)| !registered(source))
    }

    /// Whether there is a source that nobody has looked at yet.
    pub fn has_unread(&self) -> bool {
        self.versions.values().any(|known| !known.looked_at)
    }

    /// Takes what a source says now, or why it says nothing. Late news of a source that a version had before is of no
    /// interest. Returns whether a version's endpoints are others now.
    pub fn read(
        &mut self,
        key: &Key,
        source: &EndpointSource,
        read: Result<Vec<Endpoint>, String>,
        now: Instant,
    ) -> bool {
        let Some(known) = self.versions.get_mut(key).filter(|known| known.source == *source) else { return false };
        known.looked_at = true;
        match read {
            Err(error) => {
                known.error = Some(error);
                false
            }
            Ok(endpoints) => {
                known.error = None;
                known.replace(&endpoints, now)
            }
        }
    }

    /// Why the newest look at a version's source failed, if it did.
    pub fn error(&self, key: &Key) -> Option<&str> {
        self.versions.get(key)?.error.as_deref()
    }

    /// Registers an endpoint, or notes that it is still there. Under another version of the service it is drained.
    /// Returns for how long it is believed, and whether a version's endpoints are others now.
    ///
    /// # Errors
    /// See [`RegistryError`]; nothing has changed then.
    pub fn register(
        &mut self,
        world: &World,
        key: &Key,
        endpoint: &Endpoint,
        now: Instant,
    ) -> Result<(Duration, bool), RegistryError> {
        let known = self.registered(world, key)?;
        let EndpointSource::Registered { ttl, .. } = known.source else { return Err(not_registered(world, key)) };
        if known.entries.len() >= MOST_REGISTERED && !known.entries.contains_key(&endpoint.address) {
            return Err(RegistryError::TooMany { service: key.0.clone(), version: key.1.clone() });
        }
        let mut changed = known.put(endpoint, now);
        for (other, known) in &mut self.versions {
            let registers = matches!(known.source, EndpointSource::Registered { .. });
            if other.0 == key.0 && other.1 != key.1 && registers {
                changed |= known.drain(endpoint.address, now);
            }
        }
        Ok((ttl, changed))
    }

    /// Takes an endpoint out: it is drained, and then dropped. Returns whether that is news.
    ///
    /// # Errors
    /// See [`RegistryError`]; nothing has changed then.
    pub fn deregister(
        &mut self,
        world: &World,
        key: &Key,
        address: SocketAddr,
        now: Instant,
    ) -> Result<bool, RegistryError> {
        let known = self.registered(world, key)?;
        if !known.entries.contains_key(&address) {
            return Err(RegistryError::UnknownEndpoint { service: key.0.clone(), version: key.1.clone(), address });
        }
        Ok(known.drain(address, now))
    }

    /// Lets time pass. Returns whether a version's endpoints are others now.
    pub fn expire(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for known in self.versions.values_mut() {
            changed |= known.expire(now);
        }
        changed
    }

    /// The world with what is known in the place of the endpoints of every version that has a source; those that are the
    /// same as another have the other's. The world itself where nothing is to be replaced.
    pub fn resolve<'w>(&self, world: &'w World) -> Cow<'w, World> {
        let mut resolved = Cow::Borrowed(world);
        for (service, name, version, source) in sourced(world) {
            let known = self.versions.get(&(service.to_owned(), name.to_owned()));
            let Some(known) = known.filter(|known| known.source == *source) else { continue };
            let endpoints = known.endpoints();
            if version.endpoints != endpoints {
                put(&mut resolved, service, name, endpoints);
            }
        }
        for (service, of) in &world.services {
            for (name, version) in &of.versions {
                let Some(other) = version.same_as.as_deref().and_then(|other| find(&resolved, service, other)) else {
                    continue;
                };
                if version.endpoints != other.endpoints {
                    let endpoints = other.endpoints.clone();
                    put(&mut resolved, service, name, endpoints);
                }
            }
        }
        resolved
    }

    fn registered(&mut self, world: &World, key: &Key) -> Result<&mut Known, RegistryError> {
        let (service, name) = key;
        let of = world.services.get(service).ok_or_else(|| RegistryError::UnknownService {
            name: service.clone(),
            known: world.services.keys().cloned().collect(),
        })?;
        if !of.versions.contains_key(name) {
            let known = of.versions.keys().cloned().collect();
            return Err(RegistryError::UnknownVersion { service: service.clone(), version: name.clone(), known });
        }
        let known = self.versions.get_mut(key);
        known
            .filter(|known| matches!(known.source, EndpointSource::Registered { .. }))
            .ok_or_else(|| not_registered(world, key))
    }
}

fn not_registered(world: &World, (service, name): &Key) -> RegistryError {
    let version = find(world, service, name);
    let from = version.map_or_else(String::new, listing::origin);
    let same_as = version.and_then(|version| version.same_as.clone());
    RegistryError::NotRegistered { service: service.clone(), version: name.clone(), from, same_as }
}

/// The versions that have a source of their own, and the source.
fn sourced(world: &World) -> impl Iterator<Item = (&str, &str, &Version, &EndpointSource)> {
    let own = |version: &Version| version.same_as.is_none();
    world.services.values().flat_map(move |service| {
        let versions = service.versions.iter().filter(move |(_, version)| own(version));
        versions.filter_map(|(name, version)| {
            Some((service.name.as_str(), name.as_str(), version, version.source.as_ref()?))
        })
    })
}

fn find<'w>(world: &'w World, service: &str, version: &str) -> Option<&'w Version> {
    world.services.get(service)?.versions.get(version)
}

fn put(world: &mut Cow<'_, World>, service: &str, version: &str, endpoints: Vec<Endpoint>) {
    let service = world.to_mut().services.get_mut(service);
    if let Some(version) = service.and_then(|service| service.versions.get_mut(version)) {
        version.endpoints = endpoints;
    }
}

#[cfg(test)]
mod tests;
