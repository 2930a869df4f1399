//! A group's snapshot, made from one that has most of it. PURE.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::state::Clusters;
use crate::xds::{Inconsistency, Resource, ResourceType, Snapshot, SnapshotBuilder};

/// A snapshot that is to become another one. Only what differs is touched.
pub(super) struct Edit {
    base: Arc<Snapshot>,
    builder: SnapshotBuilder,
    differs: bool,
    faults: Vec<Inconsistency>,
}

impl Edit {
    /// Of this snapshot.
    pub(super) fn of(base: Arc<Snapshot>) -> Self {
        Self { builder: base.edit(), base, differs: false, faults: Vec::new() }
    }

    /// Whether it is another one by now.
    pub(super) fn differs(&self) -> bool {
        self.differs
    }

    /// Adds a resource, or puts it into the place of one of that name.
    pub(super) fn put(&mut self, resource: &Resource) {
        if self.base.get(resource.resource_type(), resource.name()) != Some(resource) {
            self.builder.add(resource.clone());
            self.differs = true;
        }
    }

    fn take(&mut self, resource_type: ResourceType, name: &str) {
        if self.base.get(resource_type, name).is_some() {
            self.builder.remove(resource_type, name);
            self.differs = true;
        }
    }

    /// Puts a service's clusters in the place of those it had.
    pub(super) fn replace(&mut self, before: Option<&Arc<[Resource]>>, after: Option<&Arc<[Resource]>>) {
        let after = after.map_or(&[][..], |resources| resources);
        let key = |resource: &Resource| (resource.resource_type(), Arc::clone(resource.name()));
        let stays: BTreeSet<_> = after.iter().map(key).collect();
        for resource in before.iter().flat_map(|resources| resources.iter()).filter(|r| !stays.contains(&key(r))) {
            self.take(resource.resource_type(), resource.name());
        }
        after.iter().for_each(|resource| self.put(resource));
    }

    /// Replaces one sorted list of services by another one.
    pub(super) fn reroute(&mut self, (from, before): (&[String], &Clusters), (to, after): (&[String], &Clusters)) {
        let (mut from, mut to) = (from.iter().peekable(), to.iter().peekable());
        loop {
            let order = match (from.peek(), to.peek()) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(gone), Some(new)) => gone.cmp(new),
            };
            let gone = from.next_if(|_| order.is_le()).filter(|_| order.is_lt());
            let new = to.next_if(|_| order.is_ge()).filter(|_| order.is_gt());
            if gone.is_some() || new.is_some() {
                self.replace(gone.and_then(|name| before.get(name)), new.and_then(|name| after.get(name)));
            }
        }
    }

    /// Makes these all of their type that there is.
    pub(super) fn set_all(&mut self, resource_type: ResourceType, wanted: &[Resource]) {
        let mut names = BTreeSet::new();
        for resource in wanted {
            if names.insert(resource.name()) {
                self.put(resource);
            } else {
                self.faults.push(Inconsistency::Duplicate { resource_type, name: Arc::clone(resource.name()) });
            }
        }
        let base = Arc::clone(&self.base);
        for gone in base.of_type(resource_type).keys().filter(|name| !names.contains(name)) {
            self.take(resource_type, gone);
        }
    }

    /// The snapshot; the same one, when nothing differs.
    pub(super) fn build(self) -> Result<Arc<Snapshot>, Vec<Inconsistency>> {
        match (self.faults.is_empty(), self.differs) {
            (false, _) => Err(self.faults),
            (true, false) => Ok(self.base),
            (true, true) => self.builder.build().map(Arc::new),
        }
    }
}
