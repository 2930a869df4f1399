//! Who said what, by the rule of [`quarantine`](super::super::super::quarantine), kept apart from it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::{Parked, Resource};

/// Tells a resource from all others, by its content.
pub(super) type Key = u128;

/// Since the server started.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accepted: BTreeSet<Key>,
    rejected: BTreeMap<Key, Resource>,
}

impl Ledger {
    pub(super) fn accept(&mut self, resources: &[Resource]) {
        for resource in resources {
            self.accepted.insert(resource.key());
            self.rejected.remove(&resource.key());
        }
    }

    pub(super) fn reject(&mut self, resources: &[Resource]) {
        let unknown = resources.iter().filter(|resource| !self.accepted.contains(&resource.key()));
        self.rejected.extend(unknown.map(|resource| (resource.key(), resource.clone())));
    }

    pub(super) fn release(&mut self) {
        self.rejected.clear();
    }

    /// Nobody is to be sent these.
    pub(super) fn rejected(&self) -> BTreeSet<Key> {
        self.rejected.keys().copied().collect()
    }

    pub(super) fn is_rejected(&self, resource: &Resource) -> bool {
        self.rejected.contains_key(&resource.key())
    }

    /// The group's own list must be the same.
    pub(super) fn check(&self, parked: &[Parked]) {
        let parked: BTreeSet<Key> = parked.iter().map(|parked| parked.resource.key()).collect();
        assert_eq!(parked, self.rejected(), "what is parked is not what was rejected: {:?}", self.rejected.values());
    }
}
