//! A whole, consistent state of the world for one group of proxies.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Resource, ResourceType, ResourceVersion};

/// An immutable set of resources in which every name that is referred to exists. Cheap to share, never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    version: ResourceVersion,
    types: BTreeMap<ResourceType, TypeSet>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct TypeSet {
    version: ResourceVersion,
    resources: BTreeMap<Arc<str>, Resource>,
}

/// A fault that keeps resources from being a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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

/// Collects resources for a [`Snapshot`].
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    resources: Vec<Resource>,
}

impl SnapshotBuilder {
    /// Adds a resource.
    pub fn add(&mut self, resource: Resource) -> &mut Self {
        self.resources.push(resource);
        self
    }

    /// The snapshot, if it is consistent.
    ///
    /// # Errors
    /// Every dangling reference and every duplicate name, sorted.
    pub fn build(self) -> Result<Snapshot, Vec<Inconsistency>> {
        let (snapshot, mut faults) = Snapshot::collect(self.resources);
        faults.extend(snapshot.dangling());
        if faults.is_empty() { Ok(snapshot) } else { Err(faults) }
    }

    /// The snapshot as it is, for resources that refer to what the clients have from elsewhere (static clusters of a
    /// bootstrap). Of two with the same name the later one counts.
    pub fn build_unchecked(self) -> Snapshot {
        Snapshot::collect(self.resources).0
    }
}

impl Snapshot {
    /// Starts one.
    pub fn builder() -> SnapshotBuilder {
        SnapshotBuilder::default()
    }

    fn collect(resources: Vec<Resource>) -> (Self, Vec<Inconsistency>) {
        let mut faults = Vec::new();
        let mut by_type: BTreeMap<ResourceType, BTreeMap<Arc<str>, Resource>> =
            ResourceType::ALL.into_iter().map(|t| (t, BTreeMap::new())).collect();
        for resource in resources {
            let (resource_type, name) = (resource.resource_type(), Arc::clone(resource.name()));
            if by_type.entry(resource_type).or_default().insert(Arc::clone(&name), resource).is_some() {
                faults.push(Inconsistency::Duplicate { resource_type, name });
            }
        }
        let types: BTreeMap<ResourceType, TypeSet> = by_type
            .into_iter()
            .map(|(resource_type, resources)| {
                let version = ResourceVersion::of_set(resources.values().map(|r| (&**r.name(), r.version())));
                (resource_type, TypeSet { version, resources })
            })
            .collect();
        let version = ResourceVersion::of_set(types.iter().map(|(t, set)| (t.type_url(), set.version)));
        (Self { version, types }, faults)
    }

    fn dangling(&self) -> impl Iterator<Item = Inconsistency> {
        self.iter().flat_map(move |from| {
            from.refers_to().iter().filter(|(t, name)| self.get(*t, name).is_none()).map(move |(to_type, to)| {
                Inconsistency::Dangling {
                    from_type: from.resource_type(),
                    from: Arc::clone(from.name()),
                    to_type: *to_type,
                    to: Arc::clone(to),
                }
            })
        })
    }

    /// The hash of all of its content.
    pub fn version(&self) -> ResourceVersion {
        self.version
    }

    /// The hash of its content of one type.
    pub fn version_of(&self, resource_type: ResourceType) -> ResourceVersion {
        self.types[&resource_type].version
    }

    /// One resource.
    pub fn get(&self, resource_type: ResourceType, name: &str) -> Option<&Resource> {
        self.types[&resource_type].resources.get(name)
    }

    /// All resources of one type, by name.
    pub fn of_type(&self, resource_type: ResourceType) -> &BTreeMap<Arc<str>, Resource> {
        &self.types[&resource_type].resources
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
}
