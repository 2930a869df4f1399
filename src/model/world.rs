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
    /// The release of a service, if it has one.
    pub fn release_of(&self, service: &str) -> Option<&Release> {
        self.releases.values().find(|r| r.service == service)
    }
}
