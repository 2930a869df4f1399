//! What only the whole set can tell: names taken twice, references to nothing, hosts claimed by two.
//!
//! PURE. Owns the rules between documents, and turns drafts without problems into the [`World`].

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
            hosts_once(&table.title, &table.services, &index, problems);
        }
    }
    same_nodes(&index, problems);
    for (release, _) in index.releases.values() {
        dangling |= !check_release(release, &index, complete, problems);
    }
    one_release_each(&index, problems);
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

/// Envoy refuses a route configuration that has a domain twice.
fn hosts_once(title: &str, services: &[Named], index: &Index<'_>, problems: &mut Problems<'_>) {
    let mut owners: HashMap<String, &str> = HashMap::new();
    let mut seen = HashSet::new();
    for named in services.iter().filter(|named| seen.insert(named.name.as_str())) {
        let Some((service, spot)) = index.services.get(named.name.as_str()) else { continue };
        for host in &service.service.hosts {
            match owners.get(&host.to_ascii_lowercase()) {
                Some(owner) if *owner != named.name => {
                    let (owner, name) = (quoted(owner), quoted(&named.name));
                    let message = format!("{title} has host {} of service {owner} and of service {name}", quoted(host));
                    let help = "give each service hosts of its own, or listeners of their own";
                    problems.error_with(&named.spot, message, help, &[(spot, format!("service {name}"))]);
                    break;
                }
                Some(_) => {}
                None => drop(owners.insert(host.to_ascii_lowercase(), &named.name)),
            }
        }
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

/// Tells whether the release's service is known.
fn check_release(release: &Release, index: &Index<'_>, complete: bool, problems: &mut Problems<'_>) -> bool {
    let Some(named) = &release.service else { return false };
    let Some((service, place)) = known_service(named, " to release", index, complete, problems) else { return false };
    let Some(version) = &release.version else { return true };
    match service.versions.get(&version.name) {
        Some((_, true)) => {}
        Some((known, false)) => {
            let message = format!("version {} has no endpoints, so it cannot be released", quoted(&version.name));
            let help = "add its endpoints first, and release it then";
            problems.error_with(&version.spot, message, help, &[(known, "its endpoints are empty".to_owned())]);
        }
        // A service whose versions could not be read at all has told its own problem.
        None if service.versions.is_empty() => {}
        None => {
            let names: Vec<&str> = service.versions.keys().take(1_000).map(String::as_str).collect();
            let message = format!("service {} has no version {}", quoted(&named.name), quoted(&version.name));
            let help = if problems.is_full(version.spot.file) {
                String::new()
            } else {
                suggest(&version.name, &names, "version")
            };
            problems.error_with(&version.spot, message, help, &[(place, format!("service {}", quoted(&named.name)))]);
        }
    }
    true
}

fn one_release_each(index: &Index<'_>, problems: &mut Problems<'_>) {
    let mut seen: HashMap<&str, &Spot> = HashMap::new();
    for named in index.releases.values().filter_map(|(release, _)| release.service.as_ref()) {
        if let Some(first) = seen.get(named.name.as_str()) {
            let message = format!("service {} has two releases", quoted(&named.name));
            let help = "keep one: to release another version, change its `version`";
            problems.error_with(&named.spot, message, help, &[(first, "the other one".to_owned())]);
        } else {
            seen.insert(&named.name, &named.spot);
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
