//! What a release refers to: its service and versions, other releases.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Index, known_service, suggest, tcp};
use crate::model::{EndpointSource, Step, Strategy};
use crate::spec::decode::{Named, Release, Service, TableKind};
use crate::spec::diagnostic::quoted;
use crate::spec::problems::{Problems, Spot};

/// Checks what a release refers to. Tells whether its service is known.
pub(super) fn check(
    name: &str,
    release: &Release,
    index: &Index<'_>,
    complete: bool,
    problems: &mut Problems<'_>,
) -> bool {
    dependencies(name, release, index, complete, problems);
    let Some(named) = &release.service else { return false };
    let Some((service, place)) = known_service(named, " to release", index, complete, problems) else { return false };
    if let Some(version) = &release.version {
        known_version(named, version, service, place, problems);
        registers(release, version, service, problems);
        unwatched(release, version, service, problems);
    }
    for candidate in &release.candidates {
        match &release.version {
            Some(wanted) if wanted.name == candidate.name => {
                let message = format!("version {} is the wanted one, and no candidate", quoted(&candidate.name));
                let help = "name other versions: they are tried beside the live one";
                let other = (&wanted.spot, "the wanted version".to_owned());
                problems.error_with(&candidate.spot, message, help, &[other]);
            }
            Some(_) | None => known_version(named, candidate, service, place, problems),
        }
    }
    if let Some(baseline) = &release.baseline {
        compared_with(release, baseline, named, service, place, problems);
    }
    tcp::no_requests(release, service, problems);
    nobody_looks(release, named, index, problems);
    true
}

/// A baseline set is a third version, beside a canary's share and the stable version's.
fn compared_with(
    release: &Release,
    baseline: &Named,
    named: &Named,
    service: &Service,
    place: &Spot,
    problems: &mut Problems<'_>,
) {
    if let Some(wanted) = release.version.as_ref().filter(|wanted| wanted.name == baseline.name) {
        let message = format!("version {} is the wanted one, and cannot be its own baseline", quoted(&baseline.name));
        let help =
            "name a version with endpoints of the old one, or leave `baseline` out: then it is the stable version";
        let other = (&wanted.spot, "the wanted version".to_owned());
        return problems.error_with(&baseline.spot, message, help, &[other]);
    }
    known_version(named, baseline, service, place, problems);
    let others = release.release.as_ref().filter(|model| !matches!(model.strategy, Strategy::Canary(_)));
    if let Some(model) = others {
        let how = if matches!(model.strategy, Strategy::Rolling(_)) { "rolling" } else { "blueGreen" };
        let message = format!("`{how}` has no share to compare with a baseline of its own");
        problems.error(&baseline.spot, message, "remove `baseline`, or release with a `canary`");
    }
}

fn known_version(named: &Named, version: &Named, service: &Service, place: &Spot, problems: &mut Problems<'_>) {
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
}

/// A version that nobody looks at may be a dead one: it gets all the traffic all the same.
fn unwatched(release: &Release, version: &Named, service: &Service, problems: &mut Problems<'_>) {
    let Some(model) = &release.release else { return };
    let looks = match &model.strategy {
        Strategy::Rolling(rolling) => rolling.health.is_some() || rolling.analyze.is_some() || rolling.canary.is_some(),
        steps => steps.steps(0).iter().any(|step| !matches!(step, Step::SetWeight(_) | Step::Match(_))),
    };
    // Steps that could not be read may be those that look.
    if !looks && service.service.health_check.is_none() && !problems.has_errors() {
        let help =
            "add `analyze` or `watch` steps (`health` where endpoints are replaced), or a `healthCheck` of the service";
        problems.warning(&version.spot, "nothing looks at a new version before it has all the traffic", help);
    }
}

/// Endpoints that are waited for must have a way to come.
fn registers(release: &Release, version: &Named, service: &Service, problems: &mut Problems<'_>) {
    let Some(spot) = &release.strategy.registration else { return };
    let Some(known) = service.service.versions.get(&version.name) else { return };
    if !matches!(known.source, Some(EndpointSource::Registered { .. })) {
        let message = format!("endpoints of version {} do not register themselves", quoted(&version.name));
        let help = "write `registered: {}` for the version in the service";
        let place = service.versions.get(&version.name).map(|(place, _)| (place, "the version".to_owned()));
        problems.error_with(spot, message, help, place.as_slice());
    }
}

/// A preview that is looked at must be shown to somebody.
fn nobody_looks(release: &Release, service: &Named, index: &Index<'_>, problems: &mut Problems<'_>) {
    let Some(spot) = &release.strategy.looks_at_preview else { return };
    let tables = index.fleets.values().flat_map(|(fleet, _)| &fleet.tables);
    let mut previews = tables.filter(|table| table.kind == TableKind::Preview);
    if !previews.any(|table| table.services.iter().any(|named| named.name == service.name)) {
        let message = "there is nothing to analyze: nobody sees the new version before the switch";
        let help = "add `preview: {hosts: […]}`, a listener with `preview: true`, or `mirror: {percent: 5}` before it";
        problems.error(spot, message, help);
    }
}

fn dependencies(name: &str, release: &Release, index: &Index<'_>, complete: bool, problems: &mut Problems<'_>) {
    for named in &release.depends_on {
        if named.name == name {
            let help = "remove it, or name another release";
            problems.error(&named.spot, "a release cannot depend on itself", help);
        } else if !index.releases.contains_key(named.name.as_str()) && complete && !problems.is_full(named.spot.file) {
            let names: Vec<&str> = index.releases.keys().take(1_000).copied().collect();
            let help = suggest(&named.name, &names, "release");
            problems.error(&named.spot, format!("there is no release {} to wait for", quoted(&named.name)), help);
        }
    }
}

/// Releases that wait for each other would wait for ever. Those that go together wait as one.
pub(super) fn no_circles(index: &Index<'_>, problems: &mut Problems<'_>) {
    let one = |name: &str| match index.releases.get(name).and_then(|(release, _)| release.together.as_ref()) {
        Some(together) => (true, together.name.clone()),
        None => (false, name.to_owned()),
    };
    let mut edges: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, (release, _)) in &index.releases {
        for named in release.depends_on.iter().filter(|named| named.name != *name) {
            if index.releases.contains_key(named.name.as_str()) {
                edges.entry(one(name)).or_default().push((one(&named.name), named));
            }
        }
    }
    // Whatever leads back to where it began is a circle; each is told once, where it is closed.
    let mut done = HashSet::new();
    for start in edges.keys() {
        let mut path = vec![(start, 0_usize)];
        while let Some((node, next)) = path.last_mut() {
            let (node, at) = (*node, *next);
            *next += 1;
            match edges.get(node).and_then(|edges| edges.get(at)) {
                _ if done.contains(node) => drop(path.pop()),
                None => {
                    done.insert(node);
                    path.pop();
                }
                Some((to, named)) if path.iter().any(|(on_path, _)| *on_path == to) => {
                    let message = format!("the release waits for {}, which waits for it", quoted(&named.name));
                    let help = "remove one of the dependencies; releases with the same `together` wait as one";
                    problems.error(&named.spot, message, help);
                }
                Some((to, _)) if !done.contains(to) => path.push((to, 0)),
                Some(_) => {}
            }
        }
    }
}

pub(super) fn one_each(index: &Index<'_>, problems: &mut Problems<'_>) {
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
