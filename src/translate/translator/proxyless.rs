//! What gRPC clients are given: the same in all fleets that name the same services. PURE.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use imbl::{OrdMap, Vector};

use super::edit::Edit;
use super::state::{Clusters, Moved, State, remember};
use crate::model::Routing;
use crate::translate::route::routing_of;
use crate::translate::{TranslateError, grpc};
use crate::xds::{Inconsistency, Resource, ResourceType, Snapshot};

/// The routes of a service, by the region that is told from others, or for all others.
type Places = BTreeMap<Option<Arc<str>>, Resource>;

/// What was built for gRPC clients. By service: of those that some of them can reach.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxyless {
    /// One for each name that clients may ask for a service by.
    listeners: Clusters,
    clusters: Clusters,
    routes: OrdMap<String, Arc<Places>>,
    /// As in the layout.
    circles: Vector<Circle>,
}

/// The gRPC clients of fleets that name the same services.
#[derive(Debug, Clone, Default)]
struct Circle {
    /// Which service each name leads to that they may ask for.
    targets: Arc<BTreeMap<String, String>>,
    /// These services.
    reached: Arc<BTreeSet<String>>,
    /// None, where they can reach nothing.
    snapshot: Option<Arc<Snapshot>>,
}

impl State {
    /// Makes what gRPC clients are given of all that has moved.
    pub(super) fn make_proxyless(&mut self, before: &Self, moved: &Moved) -> Result<(), TranslateError> {
        let laid_anew = self.lay_circles(before, moved);
        let added = if moved.relaid || !laid_anew.is_empty() { self.reach() } else { BTreeSet::new() };
        let is_reached = |service: &&String| self.proxyless.routes.contains_key(*service);
        let specs = moved.specs.iter().chain(&moved.endpoints).filter(is_reached).chain(&added);
        let specs: BTreeSet<String> = specs.cloned().collect();
        let others = moved.plans.iter().chain(&moved.faces).filter(is_reached);
        let all: BTreeSet<String> = others.chain(&specs).cloned().collect();
        for service in &specs {
            self.make_proxyless_clusters(service)?;
        }
        for service in &all {
            self.make_proxyless_routes(service)?;
        }
        let layout = Arc::clone(&self.layout);
        if moved.relaid {
            let names = |state: &Self| state.layout.circles.iter().flat_map(|circle| circle.groups()).collect();
            let (old, new): (BTreeSet<String>, BTreeSet<String>) = (names(before), names(self));
            old.difference(&new).for_each(|gone| drop(self.groups.remove(gone)));
        }
        for (at, lies) in layout.circles.iter().enumerate() {
            let snapshot = self.make_circle(before, at, laid_anew.contains(&at), &all).map_err(|faults| {
                TranslateError::Inconsistent { fleet: lies.fleets.first().cloned().unwrap_or_default(), faults }
            })?;
            for group in lies.groups() {
                match &snapshot {
                    None => drop(self.groups.remove(&group)),
                    Some(same) if self.groups.get(&group).is_some_and(|old| Arc::ptr_eq(old, same)) => {}
                    Some(snapshot) => drop(self.groups.insert(group, Arc::clone(snapshot))),
                }
            }
            self.proxyless.circles[at].snapshot = snapshot;
        }
        Ok(())
    }

    /// Finds out what each circle may ask for. Returns those that are others than before.
    fn lay_circles(&mut self, before: &Self, moved: &Moved) -> BTreeSet<usize> {
        let names =
            |state: &Self, service: &str| state.world.services.get(service).map(grpc::names).unwrap_or_default();
        let renamed: Vec<&String> =
            moved.specs.iter().filter(|service| names(before, service) != names(self, service)).collect();
        if !moved.relaid && renamed.is_empty() {
            return BTreeSet::new();
        }
        let known = before.layout.circles.iter().map(|lies| lies.key()).zip(&before.proxyless.circles);
        let known: HashMap<_, &Circle> = known.collect();
        let (mut circles, mut laid_anew) = (Vector::new(), BTreeSet::new());
        for (at, lies) in self.layout.circles.iter().enumerate() {
            let old = known.get(&lies.key()).copied();
            let is_renamed = || renamed.iter().any(|service| lies.services.binary_search(service).is_ok());
            let circle = old.filter(|_| !is_renamed()).cloned().unwrap_or_else(|| {
                let targets = grpc::targets(lies.services.iter().map(String::as_str), &self.world.services);
                let targets: BTreeMap<String, String> =
                    targets.into_iter().map(|(name, service)| (name, service.to_owned())).collect();
                laid_anew.insert(at);
                // The snapshot is what the new one begins with.
                let given = lies.groups().find_map(|group| before.groups.get(&group).cloned());
                let reached = Arc::new(targets.values().cloned().collect());
                Circle { targets: Arc::new(targets), reached, snapshot: given }
            });
            circles.push_back(circle);
        }
        self.proxyless.circles = circles;
        laid_anew
    }

    /// Forgets the services that no client can reach any more. Returns those that none could before.
    fn reach(&mut self) -> BTreeSet<String> {
        let known = &mut self.proxyless;
        let reached: BTreeSet<&String> = known.circles.iter().flat_map(|circle| &*circle.reached).collect();
        let gone: Vec<String> = known.routes.keys().filter(|service| !reached.contains(service)).cloned().collect();
        let added = reached.into_iter().filter(|service| !known.routes.contains_key(*service)).cloned().collect();
        for service in &gone {
            known.routes.remove(service);
            known.clusters.remove(service);
            known.listeners.remove(service);
        }
        added
    }

    /// Makes a service's clusters and endpoints, and the listeners of its names.
    fn make_proxyless_clusters(&mut self, service: &str) -> Result<(), TranslateError> {
        let (fleet, spec) = (self.fleet_of(service), self.spec(service)?);
        let clusters: Result<Vec<Resource>, _> = grpc::clusters(&fleet, spec, self.plan(service)?).collect();
        let names = grpc::names(spec);
        let listeners: Result<Vec<Resource>, _> =
            names.iter().map(|name| grpc::listener(&fleet, name, service)).collect();
        let (clusters, listeners) = (clusters?, listeners?);
        self.work.clusters += clusters.len();
        self.work.listeners += listeners.len();
        remember(&mut self.proxyless.clusters, service, clusters);
        remember(&mut self.proxyless.listeners, service, listeners);
        Ok(())
    }

    fn make_proxyless_routes(&mut self, service: &str) -> Result<(), TranslateError> {
        let (fleet, spec, plan) = (self.fleet_of(service), self.spec(service)?, self.plan(service)?);
        let mut places = Places::new();
        let mut known: Vec<(&Routing, Resource)> = Vec::new();
        for face in self.layout.faces.get(service).into_iter().flatten() {
            let routing = routing_of(plan, face.region.as_deref());
            let same = known.iter().find(|(of, _)| *of == routing).map(|(_, routes)| routes.clone());
            let routes = same.map_or_else(|| grpc::routes(&fleet, spec, routing), Ok)?;
            if !known.iter().any(|(of, _)| *of == routing) {
                known.push((routing, routes.clone()));
            }
            places.insert(face.region.clone(), routes);
        }
        self.work.routes += known.len();
        self.proxyless.routes.insert(service.to_owned(), Arc::new(places));
        Ok(())
    }

    /// What a circle is given, when these services have moved.
    fn make_circle(
        &mut self,
        before: &Self,
        at: usize,
        is_new: bool,
        moved: &BTreeSet<String>,
    ) -> Result<Option<Arc<Snapshot>>, Vec<Inconsistency>> {
        let Proxyless { listeners, clusters, routes, circles } = &self.proxyless;
        let Circle { targets, reached, snapshot } = &circles[at];
        let region = &self.layout.circles[at].region;
        let routes_of = |service: &String| routes.get(service)?.get(region);
        if reached.is_empty() {
            return Ok(None);
        }
        let mut edit = Edit::of(snapshot.clone().unwrap_or_else(|| Arc::new(Snapshot::builder().build_unchecked())));
        if is_new {
            let of = |known: &Clusters| -> Vec<Resource> {
                reached.iter().filter_map(|service| known.get(service)).flat_map(|all| all.iter().cloned()).collect()
            };
            let (clusters, endpoints): (Vec<Resource>, Vec<Resource>) =
                of(clusters).into_iter().partition(|one| one.resource_type() == ResourceType::Cluster);
            let leads = |(target, service): (&String, &String)| {
                listeners.get(service)?.iter().find(|listener| **listener.name() == **target).cloned()
            };
            edit.set_all(ResourceType::Listener, &targets.iter().filter_map(leads).collect::<Vec<_>>());
            let routes: Vec<Resource> = reached.iter().filter_map(|service| routes_of(service).cloned()).collect();
            edit.set_all(ResourceType::Route, &routes);
            edit.set_all(ResourceType::Cluster, &clusters);
            edit.set_all(ResourceType::Endpoint, &endpoints);
        } else {
            for service in moved.iter().filter(|service| reached.contains(*service)) {
                edit.replace(before.proxyless.clusters.get(service), clusters.get(service));
                routes_of(service).into_iter().for_each(|routes| edit.put(routes));
            }
        }
        self.work.snapshots += usize::from(edit.differs());
        edit.build().map(Some)
    }
}
