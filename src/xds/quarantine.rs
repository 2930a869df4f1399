//! What some proxy said no to, and what the others are given in its place.
//!
//! PURE. The first rejection of a resource parks it: nobody is sent it any more, whoever has the last good one keeps it.
//! A resource that somebody has accepted is not parked by somebody else's no: then the trouble is that proxy's own
//! (a port that is taken, an older version), and one sick proxy must not keep what is right from new ones. For the same
//! reason a yes takes out of the quarantine what is in it: it was on its way when the no came.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use super::{Inconsistency, Resource, ResourceType, ResourceVersion, Snapshot};

/// How many parked resources are remembered.
const PARKED: usize = 4096;
/// Beyond so many known ones more than there are resources, those of snapshots long gone are forgotten.
const PROVEN_SLACK: usize = 1024;

/// A resource that no proxy of its group is sent, because one rejected it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The resource.
    pub resource: Resource,
    /// The node id of who rejected it.
    pub node: String,
    /// Its words.
    pub text: String,
    /// When.
    pub at: SystemTime,
}

/// The parked and the proven.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    parked: BTreeMap<(ResourceType, Arc<str>, ResourceVersion), Parked>,
    proven: HashSet<u128>,
}

impl Quarantine {
    /// Some proxy took these. Returns whether any was parked.
    pub(super) fn accept(&mut self, resources: &[Resource]) -> bool {
        let mut released = false;
        for resource in resources {
            self.proven.insert(resource.key());
            released |= !self.parked.is_empty() && self.parked.remove(&parking_place(resource)).is_some();
        }
        released
    }

    /// Whether some proxy took all of these.
    pub(super) fn knows<'a>(&self, resources: impl IntoIterator<Item = &'a Resource>) -> bool {
        resources.into_iter().all(|resource| self.is_proven(resource) && !self.is_parked(resource))
    }

    /// Whether some proxy took it.
    pub(super) fn is_proven(&self, resource: &Resource) -> bool {
        self.proven.contains(&resource.key())
    }

    /// A proxy said no. Returns whether anything is parked now that was not.
    pub(super) fn reject(&mut self, resources: &[Resource], node: &str, text: &str, at: SystemTime) -> bool {
        let mut parked = false;
        for resource in resources.iter().filter(|resource| !self.proven.contains(&resource.key())) {
            let place = parking_place(resource);
            if self.parked.contains_key(&place) {
                continue;
            }
            if self.parked.len() >= PARKED {
                let oldest = self.parked.iter().min_by_key(|(_, parked)| parked.at).map(|(place, _)| place.clone());
                oldest.map(|place| self.parked.remove(&place));
            }
            let (node, text) = (node.to_owned(), text.to_owned());
            self.parked.insert(place, Parked { resource: resource.clone(), node, text, at });
            parked = true;
        }
        parked
    }

    /// Gives everything another chance. Returns whether there was anything.
    pub(super) fn release(&mut self) -> bool {
        !std::mem::take(&mut self.parked).is_empty()
    }

    /// What is parked, by type and name.
    pub(super) fn parked(&self) -> impl Iterator<Item = &Parked> {
        self.parked.values()
    }

    fn is_parked(&self, resource: &Resource) -> bool {
        !self.parked.is_empty() && self.parked.contains_key(&parking_place(resource))
    }

    /// Forgets what was proven of snapshots that are no more.
    pub(super) fn tidy(&mut self, snapshots: &[&Snapshot]) {
        let there: usize = snapshots.iter().map(|snapshot| snapshot.len()).max().unwrap_or_default();
        if self.proven.len() > 2 * there + PROVEN_SLACK {
            let keys: HashSet<u128> = snapshots.iter().flat_map(|s| s.iter()).map(Resource::key).collect();
            self.proven.retain(|key| keys.contains(key));
        }
    }

    /// What can be served of a snapshot: in place of what is parked, and of what refers to something that cannot be
    /// served, stands what was served before (newest first), with all that this refers to; nothing where there is
    /// nothing good.
    pub(super) fn settle(&self, intended: &Arc<Snapshot>, before: &[&Arc<Snapshot>]) -> Arc<Snapshot> {
        let mut out: BTreeSet<(ResourceType, Arc<str>)> = self
            .parked
            .values()
            .filter(|parked| {
                intended.get(parked.resource.resource_type(), parked.resource.name()) == Some(&parked.resource)
            })
            .map(|parked| (parked.resource.resource_type(), Arc::clone(parked.resource.name())))
            .collect();
        if out.is_empty() {
            return Arc::clone(intended);
        }
        let mut edit = intended.edit();
        // Each name goes from what is intended through ever older versions to nothing: this ends.
        let mut tried: BTreeMap<(ResourceType, Arc<str>), BTreeSet<ResourceVersion>> = BTreeMap::new();
        while let Some((resource_type, name)) = out.pop_first() {
            let tried = tried.entry((resource_type, Arc::clone(&name))).or_default();
            tried.extend(edit.get(resource_type, &name).map(Resource::version));
            let versions = before.iter().filter_map(|snapshot| snapshot.get(resource_type, &name));
            let good = versions.into_iter().find(|r| !self.is_parked(r) && !tried.contains(&r.version())).cloned();
            edit.remove(resource_type, &name);
            if let Some(good) = good {
                // What it refers to and is not there any more comes back with it, and what that refers to.
                let mut needed = good.refers_to().to_vec();
                edit.put(good);
                while let Some((t, name)) = needed.pop() {
                    let mut versions = before.iter().filter_map(|snapshot| snapshot.get(t, &name));
                    let back = versions.find(|r| !self.is_parked(r)).filter(|_| edit.get(t, &name).is_none());
                    if let Some(back) = back.cloned() {
                        needed.extend(back.refers_to().to_vec());
                        edit.put(back);
                    }
                }
            }
            if out.is_empty() {
                let dangling = edit.dangling().into_iter().filter_map(|fault| match fault {
                    Inconsistency::Dangling { from_type, from, .. } => Some((from_type, from)),
                    Inconsistency::Duplicate { .. } => None,
                });
                // What refers to nothing in the intended snapshot either is its maker's business.
                out.extend(dangling.filter(|(t, name)| {
                    let now = edit.get(*t, name);
                    now.is_some_and(|now| {
                        let lost = |(t, name): &&(ResourceType, Arc<str>)| {
                            edit.get(*t, name).is_none() && intended.get(*t, name).is_some()
                        };
                        intended.get(*t, name) != Some(now) || now.refers_to().iter().any(|r| lost(&r))
                    })
                }));
            }
        }
        Arc::new(edit.build_unchecked())
    }
}

fn parking_place(resource: &Resource) -> (ResourceType, Arc<str>, ResourceVersion) {
    (resource.resource_type(), Arc::clone(resource.name()), resource.version())
}

#[cfg(test)]
mod tests;
