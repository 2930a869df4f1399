//! Everything the specs say, as one consistent whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Fleet, Release, Service};

/// All fleets, services and releases of one validated set of specs, by name. It is applied whole or not at all.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct World {
    /// By name.
    pub fleets: BTreeMap<String, Fleet>,
    /// By name.
    pub services: BTreeMap<String, Service>,
    /// By name.
    pub releases: BTreeMap<String, Release>,
}

impl World {
    /// This world with the endpoints that another one knows of the same sources; nothing when these are the same.
    pub fn with_endpoints_of(&self, newer: &World) -> Option<World> {
        let mut world: Option<World> = None;
        for (name, service) in &self.services {
            let Some(other) = newer.services.get(name) else { continue };
            for (version, of) in service.versions.iter().filter(|(_, of)| of.source.is_some()) {
                let known = other.versions.get(version).filter(|known| known.source == of.source);
                let Some(known) = known.filter(|known| known.endpoints != of.endpoints) else { continue };
                let service = world.get_or_insert_with(|| self.clone()).services.get_mut(name);
                let of = service.and_then(|service| service.versions.get_mut(version));
                of.into_iter().for_each(|of| of.endpoints.clone_from(&known.endpoints));
            }
        }
        world
    }

    /// The release of a service, if it has one.
    pub fn release_of(&self, service: &str) -> Option<&Release> {
        self.releases.values().find(|r| r.service == service)
    }
}
