//! Route configurations: virtual hosts in their places. PURE.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use imbl::Vector;

use super::layout::Face;
use super::state::{Moved, State};
use crate::translate::TranslateError;
use crate::translate::patch::Raw;
use crate::translate::route::{Change, Frame, Hosts, Table, VirtualHostField};
use crate::xds::ResourceError;

/// The services whose virtual hosts have moved in one table, by their place there.
type Places<'a> = BTreeMap<usize, &'a str>;

impl State {
    /// Puts moved virtual hosts into the route configurations that carry them. Returns which of these are others.
    pub(super) fn make_tables(&mut self, before: &Self, moved: &Moved) -> Result<BTreeSet<usize>, TranslateError> {
        let layout = Arc::clone(&self.layout);
        let mut places: BTreeMap<usize, Places<'_>> = BTreeMap::new();
        for (service, faces) in &moved.virtual_hosts {
            let carriers = layout.carriers.get(service).into_iter().flatten();
            for &(table, place) in carriers.filter(|(table, _)| faces.contains(&layout.tables[*table].face)) {
                places.entry(table).or_default().insert(place, service);
            }
        }
        if moved.relaid {
            let old = before.layout.tables.iter().zip(&before.tables);
            let old: HashMap<_, _> = old.map(|(carrier, table)| (carrier.key(), table)).collect();
            self.tables = Vector::new();
            for (at, carrier) in layout.tables.iter().enumerate() {
                let table = match (old.get(&carrier.key()), places.get(&at)) {
                    (Some(&same), None) => same.clone(),
                    (Some(old), Some(places)) => self.changed(before, at, old, places, moved)?,
                    (None, _) => self.table(at)?,
                };
                self.tables.push_back(table);
            }
            return Ok((0..layout.tables.len()).collect());
        }
        for (&at, places) in &places {
            let table = self.changed(before, at, &before.tables[at], places, moved)?;
            self.tables.set(at, table);
        }
        Ok(places.into_keys().collect())
    }

    /// A table from nothing.
    fn table(&mut self, at: usize) -> Result<Table, TranslateError> {
        self.check_hosts(at)?;
        self.work.routes += 1;
        let carrier = &self.layout.tables[at];
        let raw = Raw::of_part(self.layout.fleet_with(at), &carrier.name, &carrier.envoy);
        let fields = carrier.services.iter().filter_map(|service| self.field(service, &carrier.face));
        Table::new(&carrier.name, Frame::new(&carrier.name, raw)?, fields).map_err(|source| self.broken(at, source))
    }

    /// A table in which the virtual hosts at these places are others.
    fn changed(
        &mut self,
        before: &Self,
        at: usize,
        table: &Table,
        places: &Places<'_>,
        moved: &Moved,
    ) -> Result<Table, TranslateError> {
        let face = &self.layout.tables[at].face;
        let changes = places
            .iter()
            .filter_map(|(&place, &service)| Some((place, (before.field(service, face)?, self.field(service, face)?))));
        let changes: BTreeMap<usize, Change<'_>> = changes.collect();
        if places.values().any(|service| moved.specs.contains(*service))
            || changes.values().any(|(old, new)| old.preview_hosts() != new.preview_hosts())
        {
            self.check_hosts(at)?;
        }
        let table = table.with(&changes).map_err(|source| self.broken(at, source));
        self.work.routes += 1;
        table
    }

    /// A service's virtual hosts in a face.
    fn field(&self, service: &str, face: &Face) -> Option<&VirtualHostField> {
        self.virtual_hosts.get(service)?.get(face).map(|field| &**field)
    }

    /// Whether each host stands there once.
    fn check_hosts(&self, at: usize) -> Result<(), TranslateError> {
        let carrier = &self.layout.tables[at];
        let mut hosts = Hosts::new(self.layout.fleet_with(at), &carrier.name);
        let mut specs = carrier.services.iter().filter_map(|service| {
            Some((self.world.services.get(service)?, self.field(service, &carrier.face)?.preview_hosts()))
        });
        specs.try_for_each(|(spec, preview)| hosts.take(spec, preview))
    }

    fn broken(&self, table: usize, source: ResourceError) -> TranslateError {
        TranslateError::Resource { fleet: self.layout.fleet_with(table).to_owned(), source }
    }
}
