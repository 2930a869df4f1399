//! What is known, to be shown. PURE.

use std::time::{Duration, Instant};

use super::{Inventory, RegistryError, find};
use crate::model::{Endpoint, EndpointSource, Version, World};

/// A version's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVersion {
    /// The service.
    pub service: String,
    /// The version.
    pub version: String,
    /// Where its endpoints come from, in words: `the spec`, `dns checkout.internal:8080`.
    pub from: String,
    /// Why the newest look at its source failed, if it did.
    pub error: Option<String>,
    /// By address where they come from a source, or as the spec has them.
    pub endpoints: Vec<ListedEndpoint>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEndpoint {
    /// As proxies are told of it.
    pub endpoint: Endpoint,
    /// How long it stays so if nothing is heard of it; without an end where there is none.
    pub left: Option<Duration>,
}

impl Inventory {
    /// The endpoints of every version of a service, or of all when none is named.
    ///
    /// # Errors
    /// [`RegistryError::UnknownService`].
    pub fn list(
        &self,
        world: &World,
        service: Option<&str>,
        now: Instant,
    ) -> Result<Vec<ListedVersion>, RegistryError> {
        if let Some(name) = service.filter(|name| !world.services.contains_key(*name)) {
            let known = world.services.keys().cloned().collect();
            return Err(RegistryError::UnknownService { name: name.to_owned(), known });
        }
        let services = world.services.values().filter(|of| service.is_none_or(|name| of.name == name));
        let versions =
            services.flat_map(|of| of.versions.iter().map(|(name, version)| (of.name.as_str(), name, version)));
        Ok(versions.map(|(service, name, version)| self.list_version(world, service, name, version, now)).collect())
    }

    fn list_version(&self, world: &World, service: &str, name: &str, version: &Version, now: Instant) -> ListedVersion {
        let own = version.same_as.as_deref().unwrap_or(name);
        let known = self.versions.get(&(service.to_owned(), own.to_owned()));
        let endpoints = match known {
            Some(known) => known
                .entries
                .iter()
                .map(|(address, entry)| ListedEndpoint {
                    endpoint: entry.endpoint(*address),
                    left: entry.until().map(|until| until.saturating_duration_since(now)),
                })
                .collect(),
            None => {
                let own = find(world, service, own).unwrap_or(version);
                own.endpoints.iter().map(|one| ListedEndpoint { endpoint: one.clone(), left: None }).collect()
            }
        };
        ListedVersion {
            service: service.to_owned(),
            version: name.to_owned(),
            from: origin(version),
            error: known.and_then(|known| known.error.clone()),
            endpoints,
        }
    }
}

/// Where a version's endpoints come from, in words.
pub(super) fn origin(version: &Version) -> String {
    match (&version.same_as, &version.source) {
        (Some(other), _) => format!("version {other}"),
        (None, None) => "the spec".to_owned(),
        (None, Some(EndpointSource::Dns { host, port, .. })) => format!("dns {host}:{port}"),
        (None, Some(EndpointSource::File { path })) => format!("file {path}"),
        (None, Some(EndpointSource::Registered { .. })) => "registered".to_owned(),
    }
}
