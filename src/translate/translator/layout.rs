//! Which group carries which route configurations, and which of those carry which services. PURE: from fleets alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::model::{PatchTarget, Patches, World};
use crate::translate::route::{self, Routes};
use crate::translate::{Dialect, group_name};

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
    /// By the service's name: in which tables its virtual host is, and at which place there.
    pub(super) carriers: HashMap<String, Vec<(usize, usize)>>,
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
    /// The groups that have it.
    pub(super) groups: Vec<String>,
}

/// What the gRPC clients of some fleets are given is one.
#[derive(Debug)]
pub(super) struct Circle {
    /// All that these fleets route to, each once, sorted.
    pub(super) services: Arc<[String]>,
    pub(super) fleets: Vec<String>,
}

impl Circle {
    /// The groups of these clients, if they can reach anything.
    pub(super) fn groups(&self) -> impl Iterator<Item = String> {
        self.fleets.iter().map(|fleet| group_name(fleet, Dialect::GRPC))
    }
}

impl Carrier {
    /// What makes it another one.
    pub(super) fn key(&self) -> (&str, &[String], &Patches) {
        (&self.name, &self.services, &self.envoy)
    }
}

impl Layout {
    /// Of a world's fleets.
    pub(super) fn of(world: &World) -> Self {
        let mut lists = Lists::default();
        let mut known: HashMap<(&str, *const String, Option<&Value>), usize> = HashMap::new();
        let mut known_circles: HashMap<*const String, usize> = HashMap::new();
        let mut layout = Self::default();
        let envoys = Dialect::ALL.into_iter().filter(|dialect| !dialect.proxyless);
        for (fleet, dialect) in world.fleets.values().flat_map(|fleet| envoys.clone().map(move |of| (fleet, of))) {
            let group = group_name(&fleet.name, dialect);
            let mut tables = Vec::new();
            for Routes { name, services, envoy } in route::all_of(fleet) {
                let services = lists.shared(services.iter().map(String::as_str).collect());
                let patch = envoy.get(&PatchTarget::RouteConfiguration);
                let at = *known.entry((name, services.as_ptr(), patch)).or_insert_with(|| {
                    let envoy = patch.map(|patch| (PatchTarget::RouteConfiguration, patch.clone()));
                    let (name, envoy) = (name.to_owned(), envoy.into_iter().collect());
                    layout.tables.push(Carrier { name, services, envoy, groups: Vec::new() });
                    layout.tables.len() - 1
                });
                if layout.tables[at].groups.last() != Some(&group) {
                    layout.tables[at].groups.push(group.clone());
                }
                tables.push(at);
            }
            let services = lists.shared(fleet.services());
            let at = *known_circles.entry(services.as_ptr()).or_insert_with(|| {
                layout.circles.push(Circle { services: Arc::clone(&services), fleets: Vec::new() });
                layout.circles.len() - 1
            });
            if layout.circles[at].fleets.last() != Some(&fleet.name) {
                layout.circles[at].fleets.push(fleet.name.clone());
            }
            layout.groups.insert(group, Place { fleet: fleet.name.clone(), dialect, services, tables });
        }
        for (at, table) in layout.tables.iter().enumerate() {
            for (place, service) in table.services.iter().enumerate() {
                layout.carriers.entry(service.clone()).or_default().push((at, place));
            }
        }
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
