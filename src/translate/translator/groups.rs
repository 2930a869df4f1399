//! What each group is given: an edit of what it was given before. PURE.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::edit::Edit;
use super::layout::Place;
use super::state::{Clusters, Moved, State};
use crate::model::{Fleet, Listener};
use crate::translate::{Dialect, TranslateError, listener};
use crate::xds::{Resource, ResourceType, Snapshot};

/// What a snapshot begins with.
struct Base<'a> {
    snapshot: Arc<Snapshot>,
    /// The services whose clusters it has.
    services: &'a [String],
    /// And which these are.
    clusters: &'a Clusters,
    /// Whether it is the same group's, and its fleet's spec the same.
    is_own: bool,
}

impl State {
    /// Edits the snapshots of the groups that have something of what has moved.
    pub(super) fn make_groups(
        &mut self,
        before: &Self,
        moved: &Moved,
        tables: &BTreeSet<usize>,
    ) -> Result<(), TranslateError> {
        let layout = Arc::clone(&self.layout);
        if moved.relaid {
            before.layout.groups.keys().filter(|group| !layout.groups.contains_key(*group)).for_each(|gone| {
                self.groups.remove(gone);
            });
        }
        let of_tables = tables.iter().flat_map(|table| &layout.tables[*table].groups);
        let of_clusters = moved.clusters.iter().flat_map(|service| layout.groups_of(service));
        // Where the fleets are others, there may be some without any routes, and some that have others than before.
        let others = layout.groups.keys().filter(|_| moved.relaid);
        let of_tcp = moved.tcp.iter().flat_map(|service| layout.groups_of(service));
        let groups: BTreeSet<&String> = of_tables.chain(of_clusters).chain(of_tcp).chain(others).collect();
        // Those that are there first: a new one begins with what is built of one that has the same services.
        let (old, new): (Vec<&String>, Vec<&String>) =
            groups.into_iter().partition(|group| before.groups.contains_key(*group));
        // In the same dialect if there is one: then all of it may be the same.
        let mut alike: HashMap<(*const String, Option<Dialect>), Arc<Snapshot>> = HashMap::new();
        for group in old.into_iter().chain(new) {
            let place = &layout.groups[group];
            let own = before.groups.get(group).zip(before.layout.groups.get(group));
            let own = own.map(|(snapshot, old)| Base {
                snapshot: Arc::clone(snapshot),
                services: &old.services,
                clusters: &before.clusters,
                is_own: (!moved.relaid || before.world.fleets.get(&place.fleet) == self.world.fleets.get(&place.fleet))
                    && moved.tcp.iter().all(|service| self.is_tcp(service) == before.is_tcp(service)),
            });
            let clusters = self.clusters.clone();
            let keys = [Some(place.dialect), None].map(|dialect| (place.services.as_ptr(), dialect));
            let twin = keys.iter().find_map(|key| alike.get(key)).map(|snapshot| Base {
                snapshot: Arc::clone(snapshot),
                services: &place.services,
                clusters: &clusters,
                is_own: false,
            });
            let nothing = || Base {
                snapshot: Arc::new(Snapshot::builder().build_unchecked()),
                services: &[],
                clusters: &clusters,
                is_own: false,
            };
            let snapshot = self.make_group(place, own.or(twin).unwrap_or_else(nothing), moved, tables)?;
            alike.extend(keys.map(|key| (key, Arc::clone(&snapshot))));
            if self.groups.get(group).is_none_or(|old| !Arc::ptr_eq(old, &snapshot)) {
                self.groups.insert(group.clone(), snapshot);
            }
        }
        Ok(())
    }

    fn make_group(
        &mut self,
        place: &Place,
        base: Base<'_>,
        moved: &Moved,
        tables: &BTreeSet<usize>,
    ) -> Result<Arc<Snapshot>, TranslateError> {
        let Place { fleet, dialect, services, tables: own } = place;
        // Listeners that have their destinations in themselves have no route configuration.
        let layout = Arc::clone(&self.layout);
        let has_routes =
            |table: &&usize| listener::tcp_service(&layout.tables[**table].services, &self.world.services).is_none();
        let listeners =
            self.world.fleets.get(fleet).into_iter().flat_map(|of| of.listeners.iter().map(move |l| (of, l)));
        let mut edit = Edit::of(base.snapshot);
        if !std::ptr::eq(base.services, &raw const **services) {
            edit.reroute((base.services, base.clusters), (services, &self.clusters));
        }
        let stays =
            |service: &&String| [base.services, services].iter().all(|list| list.binary_search(service).is_ok());
        for service in moved.clusters.iter().filter(stays) {
            edit.replace(base.clusters.get(service), self.clusters.get(service));
        }
        if base.is_own {
            own.iter()
                .filter(|table| tables.contains(table))
                .filter(has_routes)
                .for_each(|table| edit.put(self.tables[*table].resource()));
            let moved = listeners.filter(|(_, l)| l.services.first().is_some_and(|first| moved.tcp.contains(first)));
            let made: Vec<Resource> = moved.map(|(of, l)| self.listener(of, l, *dialect)).collect::<Result<_, _>>()?;
            self.work.listeners += made.len();
            made.iter().for_each(|listener| edit.put(listener));
        } else {
            let made: Result<_, TranslateError> = listeners.map(|(of, l)| self.listener(of, l, *dialect)).collect();
            let made: Vec<Resource> = made?;
            let routes = own.iter().filter(has_routes).map(|table| self.tables[*table].resource().clone());
            let routes: Vec<Resource> = routes.collect();
            self.work.listeners += made.len();
            edit.set_all(ResourceType::Listener, &made);
            edit.set_all(ResourceType::Route, &routes);
        }
        self.work.snapshots += usize::from(edit.differs());
        edit.build().map_err(|faults| TranslateError::Inconsistent { fleet: fleet.clone(), faults })
    }

    fn listener(&self, of: &Fleet, listener: &Listener, dialect: Dialect) -> Result<Resource, TranslateError> {
        let tcp = listener::tcp_service(&listener.services, &self.world.services);
        let tcp = tcp.map(|service| Ok((service, self.plan(&service.name)?))).transpose()?;
        listener::resource(of, listener, dialect, tcp)
    }
}
