//! Which group carries which route configurations, and which of those carry which services. PURE: from fleets, and the
//! regions that releases go through, alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::model::{PatchTarget, Patches, Wave, World};
use crate::translate::route::{self, Routes};
use crate::translate::{Dialect, Group, all_groups, group, group_name};

/// Where everything of a world's fleets goes.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// By the group's name; without those of gRPC clients.
    pub(super) groups: BTreeMap<String, Place>,
    /// The route configurations; those of several groups with one name, the same services and the same raw
    /// configuration are one.
    pub(super) tables: Vec<Carrier>,
    /// The gRPC clients of fleets that name the same services.
    pub(super) circles: Vec<Circle>,
    /// By the service's name: in which tables its virtual hosts are, and at which place there.
    pub(super) carriers: HashMap<String, Vec<(usize, usize)>>,
    /// By the service's name: the faces that it shows in these tables.
    pub(super) faces: HashMap<String, BTreeSet<Face>>,
}

/// What a service's virtual hosts depend on beside its spec and its plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Face {
    /// Where the proxies are, if that is told from other places.
    pub(super) region: Option<Arc<str>>,
    /// Whether what comes is shown.
    pub(super) preview: bool,
}

/// What a group is made of.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) fleet: String,
    pub(super) dialect: Dialect,
    /// All that it routes to, each once, sorted.
    pub(super) services: Arc<[String]>,
    /// In order: those of its listeners, then its own. Indices into [`Layout::tables`].
    pub(super) tables: Vec<usize>,
}

/// A route configuration.
#[derive(Debug)]
pub(super) struct Carrier {
    pub(super) name: String,
    /// Each once, sorted.
    pub(super) services: Arc<[String]>,
    /// The raw configuration that is merged into it.
    pub(super) envoy: Patches,
    /// The face of all of its services.
    pub(super) face: Face,
    /// The groups that have it.
    pub(super) groups: Vec<String>,
}

/// What the gRPC clients of some fleets, in one region, are given is one.
#[derive(Debug)]
pub(super) struct Circle {
    /// Where they are, if that is told from other places.
    pub(super) region: Option<Arc<str>>,
    /// All that these fleets route to, each once, sorted.
    pub(super) services: Arc<[String]>,
    pub(super) fleets: Vec<String>,
}

impl Circle {
    /// The groups of these clients, if they can reach anything.
    pub(super) fn groups(&self) -> impl Iterator<Item = String> {
        self.fleets.iter().map(|fleet| group_name(fleet, Dialect::GRPC, self.region.as_deref()))
    }

    /// What makes it another one.
    pub(super) fn key(&self) -> (&Arc<[String]>, Option<&str>) {
        (&self.services, self.region.as_deref())
    }
}

impl Carrier {
    /// What makes it another one.
    pub(super) fn key(&self) -> (&str, &[String], &Patches, &Face) {
        (&self.name, &self.services, &self.envoy, &self.face)
    }
}

impl Layout {
    /// Of a world's fleets.
    pub(super) fn of(world: &World) -> Self {
        let mut lists = Lists::default();
        let mut known: HashMap<(&str, *const String, Option<&Value>, Face), usize> = HashMap::new();
        let mut layout = Self::default();
        for Group { fleet, dialect, region } in all_groups(world).into_iter().filter(|of| !of.dialect.proxyless) {
            let group = group_name(&fleet.name, dialect, region);
            let mut tables = Vec::new();
            for Routes { name, services, envoy, preview } in route::all_of(fleet) {
                let services = lists.shared(services.iter().map(String::as_str).collect());
                let patch = envoy.get(&PatchTarget::RouteConfiguration);
                let face = Face { region: region.map(Into::into), preview };
                let at = *known.entry((name, services.as_ptr(), patch, face.clone())).or_insert_with(|| {
                    let envoy = patch.map(|patch| (PatchTarget::RouteConfiguration, patch.clone()));
                    let (name, envoy) = (name.to_owned(), envoy.into_iter().collect());
                    layout.tables.push(Carrier { name, services, envoy, face, groups: Vec::new() });
                    layout.tables.len() - 1
                });
                if layout.tables[at].groups.last() != Some(&group) {
                    layout.tables[at].groups.push(group.clone());
                }
                tables.push(at);
            }
            let services = lists.shared(fleet.services());
            layout.groups.insert(group, Place { fleet: fleet.name.clone(), dialect, services, tables });
        }
        for (at, table) in layout.tables.iter().enumerate() {
            for (place, service) in table.services.iter().enumerate() {
                layout.carriers.entry(service.clone()).or_default().push((at, place));
                layout.faces.entry(service.clone()).or_default().insert(table.face.clone());
            }
        }
        layout.circles = circles(world, &mut lists);
        layout
    }

    /// The groups that carry a service, each once or more.
    pub(super) fn groups_of(&self, service: &str) -> impl Iterator<Item = &String> {
        let tables = self.carriers.get(service).into_iter().flatten();
        tables.flat_map(|(table, _)| &self.tables[*table].groups)
    }

    /// The first fleet that has a route configuration.
    pub(super) fn fleet_with(&self, table: usize) -> &str {
        let place = self.tables[table].groups.first().and_then(|group| self.groups.get(group));
        place.map_or("", |place| &place.fleet)
    }
}

/// Those who name the same services in the same region.
fn circles<'a>(world: &'a World, lists: &mut Lists<'a>) -> Vec<Circle> {
    let mut known: HashMap<(*const String, Option<&str>), usize> = HashMap::new();
    let mut circles: Vec<Circle> = Vec::new();
    for fleet in world.fleets.values() {
        let services = lists.shared(fleet.services());
        let regions = group::regions_of(world, fleet);
        for region in std::iter::once(None).chain(regions.into_iter().map(Some)) {
            let at = *known.entry((services.as_ptr(), region)).or_insert_with(|| {
                let (services, region) = (Arc::clone(&services), region.map(Into::into));
                circles.push(Circle { services, region, fleets: Vec::new() });
                circles.len() - 1
            });
            circles[at].fleets.push(fleet.name.clone());
        }
    }
    circles
}

/// The regions that releases go through, by what the layout looks at of them.
pub(super) fn waves(world: &World) -> Vec<(&str, &[Wave])> {
    let through = world.releases.values().filter(|release| !release.regions.is_empty());
    through.map(|release| (release.service.as_str(), release.regions.as_slice())).collect()
}

/// Equal lists of services are one, so that they are compared by their address.
#[derive(Default)]
struct Lists<'a>(HashMap<Vec<&'a str>, Arc<[String]>>);

impl<'a> Lists<'a> {
    fn shared(&mut self, mut services: Vec<&'a str>) -> Arc<[String]> {
        services.sort_unstable();
        services.dedup();
        let list = || services.iter().map(|service| (*service).to_owned()).collect();
        let shared = self.0.get(&services).cloned().unwrap_or_else(list);
        self.0.insert(services, Arc::clone(&shared));
        shared
    }
}
