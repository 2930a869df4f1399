//! What was built, and how it becomes what is wanted next. PURE.
//!
//! All of it is persistent: the next state shares with the one before what they have in common, so that one that turns
//! out to be impossible is dropped, and nothing has happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use imbl::{OrdMap, Vector};

use super::layout::{Face, Layout, waves};
use super::proxyless::Proxyless;
use super::{Groups, Plans, Work};
use crate::model::{Protocol, Routing, Service, TrafficPlan, World};
use crate::translate::route::{self, Table, VirtualHostField};
use crate::translate::{TranslateError, cluster};
use crate::xds::Resource;

/// The clusters and endpoints of services, by the service's name.
pub(super) type Clusters = OrdMap<String, Arc<[Resource]>>;

/// The virtual hosts of a service, by the face that it shows.
pub(super) type Faces = BTreeMap<Face, Arc<VirtualHostField>>;

/// Invariant: it is what its world and plans make, without a fault.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) world: Arc<World>,
    plans: Plans,
    pub(super) layout: Arc<Layout>,
    /// Of the services that some fleet carries.
    pub(super) clusters: Clusters,
    /// Of the services that some fleet carries.
    pub(super) virtual_hosts: OrdMap<String, Arc<Faces>>,
    /// As in the layout.
    pub(super) tables: Vector<Table>,
    pub(super) proxyless: Proxyless,
    pub(super) groups: Groups,
    pub(super) work: Work,
}

/// What is to be put in place: services by what of them is another than before.
#[derive(Default)]
pub(super) struct Moved {
    /// Whether the fleets themselves, or the regions that are told apart, are others, so that everything is looked at.
    pub(super) relaid: bool,
    /// Carried for the first time, or by another spec.
    pub(super) specs: BTreeSet<String>,
    /// Another plan.
    pub(super) plans: BTreeSet<String>,
    /// Another plan, by which other endpoints serve.
    pub(super) endpoints: BTreeSet<String>,
    /// TCP services, now or before, with another spec or another plan: their listeners are others.
    pub(super) tcp: BTreeSet<String>,
    /// Other faces.
    pub(super) faces: BTreeSet<String>,
    pub(super) clusters: BTreeSet<String>,
    /// By service, in which faces.
    pub(super) virtual_hosts: BTreeMap<String, BTreeSet<Face>>,
}

impl State {
    /// The state of another world and other plans, or some fault of it.
    pub(super) fn advance(&self, world: &Arc<World>, plans: &Plans) -> Result<Self, TranslateError> {
        let mut next = Self { world: Arc::clone(world), plans: plans.clone(), work: Work::default(), ..self.clone() };
        let relaid = !Arc::ptr_eq(&self.world, world)
            && (self.world.fleets != world.fleets || waves(&self.world) != waves(world));
        if relaid {
            next.layout = Arc::new(Layout::of(world));
            for gone in self.layout.carriers.keys().filter(|service| !next.layout.carriers.contains_key(*service)) {
                next.clusters.remove(gone);
                next.virtual_hosts.remove(gone);
            }
        }
        let mut moved = Moved {
            relaid,
            specs: self.other_specs(&next),
            plans: self.other_plans(&next),
            faces: self.other_faces(&next),
            ..Moved::default()
        };
        let is_endpoints = |service: &&String| {
            let [before, after] = [self, &next].map(|state| state.plans.get(*service).map(|plan| &plan.endpoints));
            before != after
        };
        moved.endpoints = moved.plans.iter().filter(is_endpoints).cloned().collect();
        let is_tcp = |service: &&String| [self, &next].iter().any(|state| state.is_tcp(service));
        moved.tcp = moved.specs.union(&moved.plans).filter(is_tcp).cloned().collect();
        for service in moved.specs.union(&moved.endpoints) {
            if next.make_clusters(service)? {
                moved.clusters.insert(service.clone());
            }
        }
        let others: BTreeSet<&String> = moved.specs.iter().chain(&moved.plans).chain(&moved.faces).collect();
        for service in others {
            let faces = next.make_virtual_hosts(service)?;
            if !faces.is_empty() {
                moved.virtual_hosts.insert(service.clone(), faces);
            }
        }
        let tables = next.make_tables(self, &moved)?;
        next.make_groups(self, &moved, &tables)?;
        next.make_proxyless(self, &moved)?;
        Ok(next)
    }

    /// The services that the next fleets carry and these do not, or that have another spec there.
    fn other_specs(&self, next: &Self) -> BTreeSet<String> {
        if Arc::ptr_eq(&self.world, &next.world) {
            return BTreeSet::new();
        }
        // In their order and once through both: a world is large, and mostly the same.
        let (mut other, mut old) = (Vec::new(), self.world.services.iter().peekable());
        for (service, spec) in &next.world.services {
            other.extend(std::iter::from_fn(|| old.next_if(|(gone, _)| *gone < service)).map(|(gone, _)| gone));
            let is_same = old.next_if(|(same, _)| *same == service).is_some_and(|(_, old)| old == spec);
            other.extend((!is_same).then_some(service));
        }
        other.extend(old.map(|(gone, _)| gone));
        let is_carried = |service: &&String| next.layout.carriers.contains_key(*service);
        let mut other: BTreeSet<String> = other.into_iter().filter(is_carried).cloned().collect();
        if !Arc::ptr_eq(&self.layout, &next.layout) {
            let new = next.layout.carriers.keys().filter(|service| !self.layout.carriers.contains_key(*service));
            other.extend(new.cloned());
        }
        other
    }

    /// The carried services that have another plan next.
    fn other_plans(&self, next: &Self) -> BTreeSet<String> {
        let other = self.plans.diff(&next.plans).map(|item| match item {
            DiffItem::Add(service, _) | DiffItem::Remove(service, _) | DiffItem::Update { new: (service, _), .. } => {
                service
            }
        });
        other.filter(|service| next.layout.carriers.contains_key(*service)).cloned().collect()
    }

    /// The services that show other faces next.
    fn other_faces(&self, next: &Self) -> BTreeSet<String> {
        if Arc::ptr_eq(&self.layout, &next.layout) {
            return BTreeSet::new();
        }
        let is_other = |(service, faces): &(&String, _)| self.layout.faces.get(*service) != Some(*faces);
        next.layout.faces.iter().filter(is_other).map(|(service, _)| service.clone()).collect()
    }

    pub(super) fn spec(&self, service: &str) -> Result<&Service, TranslateError> {
        let unknown = || TranslateError::UnknownService { fleet: self.fleet_of(service), service: service.to_owned() };
        self.world.services.get(service).ok_or_else(unknown)
    }

    pub(super) fn plan(&self, service: &str) -> Result<&TrafficPlan, TranslateError> {
        let no_plan = || TranslateError::NoPlan { fleet: self.fleet_of(service), service: service.to_owned() };
        self.plans.get(service).ok_or_else(no_plan)
    }

    pub(super) fn is_tcp(&self, service: &str) -> bool {
        self.world.services.get(service).is_some_and(|spec| spec.protocol == Protocol::Tcp)
    }

    /// Some fleet that carries a service, for errors.
    pub(super) fn fleet_of(&self, service: &str) -> String {
        let carriers = self.layout.carriers.get(service).and_then(|carriers| carriers.first());
        carriers.map_or_else(String::new, |(table, _)| self.layout.fleet_with(*table).to_owned())
    }

    /// Makes a service's clusters and endpoints. Returns whether any is another than before.
    fn make_clusters(&mut self, service: &str) -> Result<bool, TranslateError> {
        let made: Result<_, TranslateError> =
            cluster::resources(&self.fleet_of(service), self.spec(service)?, self.plan(service)?).collect();
        let made: Vec<Resource> = made?;
        self.work.clusters += made.len();
        Ok(remember(&mut self.clusters, service, made))
    }

    /// Makes a service's virtual hosts. Returns the faces in which they are others than before.
    fn make_virtual_hosts(&mut self, service: &str) -> Result<BTreeSet<Face>, TranslateError> {
        let (fleet, spec, plan) = (self.fleet_of(service), self.spec(service)?, self.plan(service)?);
        let (mut made, mut moved) = (Faces::new(), BTreeSet::new());
        // Most regions are told the same.
        let mut known: Vec<(&Routing, bool, Arc<VirtualHostField>)> = Vec::new();
        let old = self.virtual_hosts.get(service);
        for face in self.layout.faces.get(service).into_iter().flatten() {
            let routing = route::routing_of(plan, face.region.as_deref());
            let same = known.iter().find(|(of, preview, _)| *of == routing && *preview == face.preview);
            let field = match same {
                Some((.., field)) => Arc::clone(field),
                None => Arc::new(route::virtual_hosts(&fleet, spec, routing, face.preview)?),
            };
            if same.is_none() {
                known.push((routing, face.preview, Arc::clone(&field)));
            }
            match old.and_then(|old| old.get(face)).filter(|old| **old == field) {
                Some(same) => drop(made.insert(face.clone(), Arc::clone(same))),
                None => {
                    made.insert(face.clone(), field);
                    moved.insert(face.clone());
                }
            }
        }
        self.work.virtual_hosts += known.len();
        if !moved.is_empty() || old.is_none_or(|old| old.len() != made.len()) {
            self.virtual_hosts.insert(service.to_owned(), Arc::new(made));
        }
        Ok(moved)
    }
}

/// Puts what was made of a service into the place of what it had. Returns whether that is another.
pub(super) fn remember(known: &mut Clusters, service: &str, mut made: Vec<Resource>) -> bool {
    let old: &[Resource] = known.get(service).map_or(&[], |old| old);
    if *old == *made && known.contains_key(service) {
        return false;
    }
    for resource in &mut made {
        // What stays the same stays the one that all others share.
        if let Some(same) = old.iter().find(|old| *old == resource) {
            *resource = same.clone();
        }
    }
    known.insert(service.to_owned(), made.into());
    true
}
