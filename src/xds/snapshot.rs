//! A whole, consistent state of the world for one group of proxies.
//!
//! PURE. Snapshots share what they have in common: one that is made from another by an edit costs what the edit changes,
//! not what they hold, and what differs between two is found at the same cost (persistent maps).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use imbl::OrdMap;

use super::resource::Reference;
use super::{Resource, ResourceType, ResourceVersion};

/// Resources of one type by name.
pub type ResourceSet = OrdMap<Arc<str>, Resource>;

/// An immutable set of resources in which every name that is referred to exists. Cheap to share, never changed.
pub struct Snapshot {
    version: ResourceVersion,
    types: BTreeMap<ResourceType, TypeSet>,
    /// How many resources refer to a name, whether it exists or not.
    referrers: OrdMap<(ResourceType, Arc<str>), usize>,
    aliases: OrdMap<(ResourceType, Arc<str>), Arc<str>>,
    /// What was put together of it for a stream, for the next stream: a memory, no state.
    bodies: Mutex<Vec<(BodyKey, Bytes)>>,
}

/// Which of its resources' bytes: state of the world or not, and the version of their set.
type BodyKey = (bool, ResourceVersion);
/// How many of them are remembered.
const BODIES: usize = 8;

#[derive(Clone, Default)]
struct TypeSet {
    version: ResourceVersion,
    /// As the caller gave it.
    label: Option<Arc<str>>,
    resources: ResourceSet,
    /// Those that clients are to forget after a time.
    mortal: OrdMap<Arc<str>, Duration>,
}

static EMPTY: LazyLock<TypeSet> = LazyLock::new(TypeSet::default);

/// A fault that keeps resources from being a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Inconsistency {
    /// Something refers to what is not there.
    #[error("{from_type} {from} refers to {to_type} {to}, which is not in the snapshot")]
    Dangling {
        /// The type of what refers.
        from_type: ResourceType,
        /// Its name.
        from: Arc<str>,
        /// The type of what is missing.
        to_type: ResourceType,
        /// Its name.
        to: Arc<str>,
    },
    /// Two resources of one type have the same name.
    #[error("two {resource_type} resources are named {name}")]
    Duplicate {
        /// Their type.
        resource_type: ResourceType,
        /// Their name.
        name: Arc<str>,
    },
}

/// Collects resources for a [`Snapshot`], from nothing or from another one.
pub struct SnapshotBuilder {
    types: BTreeMap<ResourceType, TypeSet>,
    referrers: OrdMap<(ResourceType, Arc<str>), usize>,
    aliases: OrdMap<(ResourceType, Arc<str>), Arc<str>>,
    added: BTreeSet<(ResourceType, Arc<str>)>,
    removed: BTreeSet<(ResourceType, Arc<str>)>,
    /// References that were not there before, by what refers.
    referred: BTreeMap<(ResourceType, Arc<str>), Vec<Reference>>,
    duplicates: Vec<Inconsistency>,
}

impl SnapshotBuilder {
    /// Adds a resource. One of the same name that the snapshot had before is replaced; one that was added before is a
    /// fault.
    pub fn add(&mut self, resource: Resource) -> &mut Self {
        let key = (resource.resource_type(), Arc::clone(resource.name()));
        if !self.added.insert(key.clone()) {
            self.duplicates.push(Inconsistency::Duplicate { resource_type: key.0, name: Arc::clone(&key.1) });
        }
        let old = self.take_out(key.0, &key.1);
        self.removed.remove(&key);
        let new = self.refer(old.as_ref().map_or(&[], |old| old.refers_to()), resource.refers_to());
        let known = if old.is_some() { self.referred.remove(&key) } else { None };
        self.referred.insert(key.clone(), known.into_iter().flatten().chain(new).collect());
        for alias in resource.aliases() {
            self.aliases.insert((key.0, Arc::clone(alias)), Arc::clone(&key.1));
        }
        let set = self.types.entry(key.0).or_default();
        set.version = set.version.with(&key.1, resource.mark());
        set.label = None;
        if let Some(ttl) = resource.ttl() {
            set.mortal.insert(Arc::clone(&key.1), ttl);
        }
        set.resources.insert(key.1, resource);
        self
    }

    /// Adds a resource in place of whatever there is of its name.
    pub(super) fn put(&mut self, resource: Resource) {
        self.added.remove(&(resource.resource_type(), Arc::clone(resource.name())));
        self.add(resource);
    }

    /// Removes a resource; one that is not there is no fault.
    pub fn remove(&mut self, resource_type: ResourceType, name: &str) -> &mut Self {
        if let Some(gone) = self.take_out(resource_type, name) {
            self.refer(gone.refers_to(), &[]);
            self.referred.remove(&(resource_type, Arc::clone(gone.name())));
            self.added.remove(&(resource_type, Arc::clone(gone.name())));
            self.removed.insert((resource_type, Arc::clone(gone.name())));
        }
        self
    }

    /// Gives a type a version of the caller's own, for state-of-the-world clients. It counts until the type is changed.
    /// The same version must always mean the same resources.
    pub fn version(&mut self, resource_type: ResourceType, version: &str) -> &mut Self {
        self.types.entry(resource_type).or_default().label = Some(version.into());
        self
    }

    fn take_out(&mut self, resource_type: ResourceType, name: &str) -> Option<Resource> {
        let set = self.types.get_mut(&resource_type)?;
        let gone = set.resources.remove(name)?;
        set.version = set.version.without(name, gone.mark());
        set.label = None;
        if gone.ttl().is_some() {
            set.mortal.remove(name);
        }
        for alias in gone.aliases() {
            self.aliases.remove(&(resource_type, Arc::clone(alias)));
        }
        Some(gone)
    }

    /// Counts the references of one resource instead of those of another, both sorted. Returns those that are new.
    fn refer(&mut self, old: &[Reference], new: &[Reference]) -> Vec<Reference> {
        let (mut old, mut new, mut added) = (old.iter().peekable(), new.iter().peekable(), Vec::new());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return added,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) if Arc::ptr_eq(&a.1, &b.1) && a.0 == b.0 => std::cmp::Ordering::Equal,
                (Some(a), Some(b)) => a.cmp(b),
            };
            let gone = old.next_if(|_| order.is_le()).filter(|_| order.is_lt());
            let come = new.next_if(|_| order.is_ge()).filter(|_| order.is_gt());
            if let Some(reference) = gone {
                match self.referrers.get(reference).map_or(0, |count| count - 1) {
                    0 => drop(self.referrers.remove(reference)),
                    left => drop(self.referrers.insert(reference.clone(), left)),
                }
            }
            if let Some(reference) = come {
                *self.referrers.entry(reference.clone()).or_insert(0) += 1;
                added.push(reference.clone());
            }
        }
    }

    /// What is there of a name now.
    pub fn get(&self, resource_type: ResourceType, name: &str) -> Option<&Resource> {
        self.types.get(&resource_type)?.resources.get(name)
    }

    /// The snapshot, if it is consistent.
    ///
    /// # Errors
    /// Every dangling reference and every duplicate name, sorted. What an edit did not touch is not looked at again.
    pub fn build(mut self) -> Result<Snapshot, Vec<Inconsistency>> {
        let mut faults = std::mem::take(&mut self.duplicates);
        faults.extend(self.dangling());
        faults.sort();
        if faults.is_empty() { Ok(self.build_unchecked()) } else { Err(faults) }
    }

    /// The snapshot as it is, for resources that refer to what the clients have from elsewhere (static clusters of a
    /// bootstrap). Of two with the same name the later one counts.
    pub fn build_unchecked(mut self) -> Snapshot {
        self.types.retain(|_, set| !set.resources.is_empty() || set.label.is_some());
        let version = ResourceVersion::of_set(self.types.iter().map(|(t, set)| (t.type_url(), set.version)));
        let Self { types, referrers, aliases, .. } = self;
        Snapshot { version, types, referrers, aliases, bodies: Mutex::default() }
    }

    /// References of what was added that lead nowhere, and references to what was removed.
    pub(super) fn dangling(&self) -> Vec<Inconsistency> {
        let mut faults: Vec<Inconsistency> = self
            .referred
            .iter()
            .filter_map(|((t, name), to)| Some((self.get(*t, name)?, to)))
            .flat_map(|(from, to)| self.dangling_of(from, to))
            .collect();
        let missed = self.removed.iter().any(|gone| self.referrers.contains_key(gone));
        if missed {
            let all = self.types.values().flat_map(|set| set.resources.values());
            faults.extend(all.flat_map(|from| self.dangling_of(from, from.refers_to())));
            faults.sort();
            faults.dedup();
        }
        faults
    }

    fn dangling_of(&self, from: &Resource, to: &[Reference]) -> impl Iterator<Item = Inconsistency> {
        let stands = |to: &&Reference| from.refers_to().binary_search(to).is_ok();
        let missing = to.iter().filter(stands).filter(|(t, name)| self.get(*t, name).is_none());
        missing.map(|(to_type, to)| Inconsistency::Dangling {
            from_type: from.resource_type(),
            from: Arc::clone(from.name()),
            to_type: *to_type,
            to: Arc::clone(to),
        })
    }
}

impl Snapshot {
    /// Starts one from nothing.
    pub fn builder() -> SnapshotBuilder {
        SnapshotBuilder {
            types: BTreeMap::new(),
            referrers: OrdMap::new(),
            aliases: OrdMap::new(),
            added: BTreeSet::new(),
            referred: BTreeMap::new(),
            removed: BTreeSet::new(),
            duplicates: Vec::new(),
        }
    }

    /// Starts one from this one. Costs what is changed.
    pub fn edit(&self) -> SnapshotBuilder {
        SnapshotBuilder {
            types: self.types.clone(),
            referrers: self.referrers.clone(),
            aliases: self.aliases.clone(),
            ..Self::builder()
        }
    }

    fn set(&self, resource_type: ResourceType) -> &TypeSet {
        self.types.get(&resource_type).unwrap_or(&EMPTY)
    }

    /// The hash of all of its content.
    pub fn version(&self) -> ResourceVersion {
        self.version
    }

    /// The hash of its content of one type.
    pub fn version_of(&self, resource_type: ResourceType) -> ResourceVersion {
        self.set(resource_type).version
    }

    /// The caller's own version of one type, if it was given one.
    pub fn label_of(&self, resource_type: ResourceType) -> Option<&str> {
        self.set(resource_type).label.as_deref()
    }

    /// One resource, by its name.
    pub fn get(&self, resource_type: ResourceType, name: &str) -> Option<&Resource> {
        self.set(resource_type).resources.get(name)
    }

    /// One resource, by its name or by one of its aliases.
    pub fn find(&self, resource_type: ResourceType, name: &str) -> Option<&Resource> {
        self.get(resource_type, name).or_else(|| {
            let alias = (!self.aliases.is_empty()).then(|| self.aliases.get(&(resource_type, Arc::from(name))))?;
            self.get(resource_type, alias?)
        })
    }

    /// All resources of one type, by name.
    pub fn of_type(&self, resource_type: ResourceType) -> &ResourceSet {
        &self.set(resource_type).resources
    }

    /// Those of one type that clients are to forget after a time.
    pub fn mortal(&self, resource_type: ResourceType) -> &OrdMap<Arc<str>, Duration> {
        &self.set(resource_type).mortal
    }

    /// Whether any resource in it refers to this one.
    pub fn is_referred_to(&self, resource_type: ResourceType, name: &Arc<str>) -> bool {
        self.referrers.contains_key(&(resource_type, Arc::clone(name)))
    }

    /// The types of which it has resources, in sending order.
    pub fn types(&self) -> impl Iterator<Item = ResourceType> {
        self.types.keys().copied()
    }

    /// All resources, by type in sending order, then by name.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.types.values().flat_map(|set| set.resources.values())
    }

    /// How many resources it holds.
    pub fn len(&self) -> usize {
        self.types.values().map(|set| set.resources.len()).sum()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a set of resources, put together once for all streams that send the same set.
    pub(super) fn body(&self, sotw: bool, set: ResourceVersion, put_together: impl FnOnce() -> Bytes) -> Bytes {
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, body)) = bodies.iter().find(|(key, _)| *key == (sotw, set)) {
            return body.clone();
        }
        let body = put_together();
        if bodies.len() == BODIES {
            bodies.remove(0);
        }
        bodies.push(((sotw, set), body.clone()));
        body
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
    }
}

impl Eq for Snapshot {}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("version", &self.version).field("resources", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests;
