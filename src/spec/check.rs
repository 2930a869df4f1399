//! What only the whole set can tell: names taken twice, references to nothing, hosts claimed by two.
//!
//! PURE. Owns the rules between documents, and turns drafts without problems into the [`World`].

mod hosts;
mod release;
mod tcp;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::decode::{Body, Draft, Fleet, Named, Release, Service};
use super::diagnostic::quoted;
use super::problems::{Problems, Spot};
use super::value::{listed, nearest};
use super::{Kind, Origin, Origins};
use crate::model::World;

/// Every document, by kind and name, the first of each name.
struct Index<'d> {
    fleets: BTreeMap<&'d str, (&'d Fleet, &'d Spot)>,
    services: BTreeMap<&'d str, (&'d Service, &'d Spot)>,
    releases: BTreeMap<&'d str, (&'d Release, &'d Spot)>,
}

/// Checks the drafts against each other. `complete` tells whether every document could be read far enough to know its
/// name: if not, what seems to be missing may just be broken, and is not told.
pub(super) fn check(drafts: &[Draft], complete: bool, problems: &mut Problems<'_>) {
    let index = index(drafts, problems);
    let mut dangling = false;
    for (fleet, _) in index.fleets.values() {
        for table in &fleet.tables {
            for named in &table.services {
                dangling |= known_service(named, "", &index, complete, problems).is_none();
            }
            hosts::once(table, &index, problems);
            tcp::alone(table, &index, problems);
        }
    }
    same_nodes(&index, problems);
    hosts::of_previews(&index, problems);
    for (name, (release, _)) in &index.releases {
        dangling |= !release::check(name, release, &index, complete, problems);
    }
    release::one_each(&index, problems);
    release::no_circles(&index, problems);
    shared_addresses(&index, problems);
    // A reference to nothing is probably a misspelt one: then nothing is known of what no one refers to.
    if complete && !dangling {
        unreleased(&index, problems);
    }
}

fn index<'d>(drafts: &'d [Draft], problems: &mut Problems<'_>) -> Index<'d> {
    let mut index = Index { fleets: BTreeMap::new(), services: BTreeMap::new(), releases: BTreeMap::new() };
    let mut places: HashMap<(Kind, &str), &Spot> = HashMap::new();
    for draft in drafts {
        let (kind, name, spot) = (draft.kind(), draft.name.name.as_str(), &draft.name.spot);
        if let Some(first) = places.get(&(kind, name)) {
            let message = format!("there are two {kind}s named {}", quoted(name));
            problems.error_with(spot, message, "rename or remove one of them", &[(first, "the other one".to_owned())]);
            continue;
        }
        places.insert((kind, name), spot);
        match &draft.body {
            Body::Fleet(fleet) => drop(index.fleets.insert(name, (fleet, spot))),
            Body::Service(service) => drop(index.services.insert(name, (service, spot))),
            Body::Release(release) => drop(index.releases.insert(name, (release, spot))),
        }
    }
    index
}

fn known_service<'d>(
    named: &Named,
    context: &str,
    index: &Index<'d>,
    complete: bool,
    problems: &mut Problems<'_>,
) -> Option<(&'d Service, &'d Spot)> {
    let found = index.services.get(named.name.as_str()).copied();
    if found.is_none() && complete && !problems.is_full(named.spot.file) {
        let names: Vec<&str> = index.services.keys().take(1_000).copied().collect();
        let help = suggest(&named.name, &names, "service");
        problems.error(&named.spot, format!("there is no service {}{context}", quoted(&named.name)), help);
    }
    found
}

fn suggest(wanted: &str, names: &[&str], what: &str) -> String {
    match nearest(wanted, names) {
        Some(name) => format!("did you mean `{name}`?"),
        None if names.is_empty() => format!("there are no {what}s: add it"),
        None => format!("add it, or name another {what}: {}", listed(names, "or")),
    }
}

fn same_nodes(index: &Index<'_>, problems: &mut Problems<'_>) {
    let mut seen: HashMap<String, (&str, &Spot)> = HashMap::new();
    for (name, (fleet, _)) in &index.fleets {
        // Debug output tells selectors apart, and they have no order of their own.
        let key = format!("{:?}", fleet.fleet.nodes);
        if let Some((other, spot)) = seen.get(&key) {
            let message = format!("fleets {} and {} choose the same proxies", quoted(other), quoted(name));
            let help = "let their `nodes` differ, or make one fleet of them";
            problems.error_with(&fleet.nodes, message, help, &[(spot, format!("fleet {}", quoted(other)))]);
        } else {
            seen.insert(key, (name, &fleet.nodes));
        }
    }
}

/// A service without a release serves its only version; with several, nobody could tell which.
fn unreleased(index: &Index<'_>, problems: &mut Problems<'_>) {
    let tables = index.fleets.values().flat_map(|(fleet, _)| &fleet.tables);
    let routed: HashSet<&str> = tables.flat_map(|t| &t.services).map(|s| s.name.as_str()).collect();
    let releases = index.releases.values().filter_map(|(release, _)| release.service.as_ref());
    let released: HashSet<&str> = releases.map(|s| s.name.as_str()).collect();
    for (name, (service, spot)) in &index.services {
        if !released.contains(name) {
            without_release(name, service, spot, problems);
        }
        if !routed.contains(name) {
            let help = "list it in a fleet's `listeners` or `routeConfigs`";
            problems.warning(spot, format!("no fleet routes to service {}", quoted(name)), help);
        }
    }
}

/// Versions on the same address are hard to compare, but for those that are put in each other's place.
fn shared_addresses(index: &Index<'_>, problems: &mut Problems<'_>) {
    let releases = index.releases.values().filter(|(release, _)| release.strategy.in_place);
    let rolled: HashSet<&str> =
        releases.filter_map(|(release, _)| release.service.as_ref()).map(|named| named.name.as_str()).collect();
    for (_, (service, _)) in index.services.iter().filter(|(name, _)| !rolled.contains(*name)) {
        for (spot, message) in &service.shared {
            let help = "give each version its own endpoints: what fails could be either's";
            problems.warning(spot, message, help);
        }
    }
}

fn without_release(name: &str, service: &Service, spot: &Spot, problems: &mut Problems<'_>) {
    let mut versions = service.versions.iter();
    match (versions.next(), versions.next()) {
        (Some(_), Some(_)) => {
            let names: Vec<&str> = service.versions.keys().map(String::as_str).collect();
            let message = format!("service {} has versions {} and no release", quoted(name), listed(&names, "and"));
            problems.error(spot, message, "add a Release that says which of them should be live");
        }
        (Some((version, (place, false))), None) => {
            let message = format!("version {} of service {} has no endpoints", quoted(version), quoted(name));
            problems.warning(place, message, "until it has, the proxies answer 503");
        }
        (Some((_, (_, true))), None) | (None, _) => {}
    }
}

/// The drafts as the model has them, with the place of each. Only for drafts without problems.
pub(super) fn world(drafts: Vec<Draft>, problems: &Problems<'_>) -> (World, Origins) {
    let mut world = World::default();
    let mut origins = Origins::default();
    for draft in drafts {
        let kind = draft.kind();
        let Named { name, spot } = draft.name;
        let file = problems.path(spot.file).to_owned();
        for patch in draft.body.patches() {
            let origin = Origin { file: file.clone(), line: patch.spot.position().0 };
            origins.patches.insert((kind, name.clone(), patch.place.clone()), origin);
        }
        origins.documents.insert((kind, name.clone()), Origin { file, line: spot.position().0 });
        match draft.body {
            Body::Fleet(fleet) => drop(world.fleets.insert(name, fleet.fleet)),
            Body::Service(service) => drop(world.services.insert(name, service.service)),
            Body::Release(release) => {
                if let Some(release) = release.release {
                    world.releases.insert(name, release);
                }
            }
        }
    }
    (world, origins)
}
