//! From a spec to what the proxies get: the snapshots of each example, as a person would read them, at the first step of
//! its release that sends requests to the new version. `UPDATE_GOLDEN=1` writes them anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serin::model::{EndpointState, Release, Service, TrafficPlan, Weight};
use serin::rollout::{Answer, Command, Context, Event, FleetState, Observation, Rollout, Stage, State};
use serin::spec::{Settings, SourceFile, parse};
use serin::translate::{Dialect, all_groups, snapshot_of};

const SETTINGS: Settings = Settings { envoy_patches: true, no_prometheus: false };

#[test]
fn every_example_becomes_the_snapshots_that_are_written_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> =
        fs::read_dir(root.join("examples")).expect("the examples").flatten().map(|e| e.path()).collect();
    let golden = root.join("tests/golden/examples");
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 30, "the examples are gone");
    let mut differing = Vec::new();
    for file in files {
        let shown = render(&file);
        let golden = golden.join(file.file_name().expect("a name"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &shown).expect("the golden written");
        } else if fs::read_to_string(&golden).unwrap_or_default() != shown {
            differing.push(golden);
        }
    }
    assert!(differing.is_empty(), "these differ (UPDATE_GOLDEN=1 writes them): {differing:?}");
}

/// The plan at the first step that sends requests to the new version; all to the first version where nothing is released.
fn plan_of(service: &Service, release: Option<&Release>) -> TrafficPlan {
    let first = service.versions.keys().next().expect("a version");
    let Some(release) = release else { return TrafficPlan::all_to(&service.name, first) };
    // Endpoints that come from elsewhere are not known here.
    let service = Some(service).filter(|service| service.versions.values().all(|version| version.source.is_none()));
    let before = service.and_then(|service| service.versions.keys().find(|name| **name != release.version));
    let stable = before.filter(|_| release.experiment.is_none()).unwrap_or(&release.version);
    let context = Context { release, service, peers: &[] };
    let fleet = FleetState { proxies: 1, in_force: 1, ready: 1, ..FleetState::default() };
    let mut rollout = Rollout::adopt(&release.name, &release.service, stable, noon());
    for _ in 0..60 {
        if begins(&rollout) {
            break;
        }
        let seen = Observation { elapsed: Duration::from_secs(1), fleet: fleet.clone(), ..Observation::default() };
        rollout = applied(rollout, Event::Observed(seen), context);
        for call in rollout.calls() {
            let answer = Answer { key: call.key, attempt: call.attempt, outcome: Ok("200 OK".into()) };
            rollout = applied(rollout, Event::Answered(answer), context);
        }
        // What would look, or wait, for long is over at once.
        if !begins(&rollout) && is_waiting(&rollout) {
            rollout = applied(rollout, Event::Ordered(Command::Promote { full: false }), context);
        }
    }
    rollout.plan()
}

/// A time at which no example denies anything.
fn noon() -> Timestamp {
    "2026-11-18T12:00:00Z".parse().expect("a time")
}

fn applied(rollout: Rollout, event: Event, context: Context<'_>) -> Rollout {
    rollout.apply(event, context, noon()).expect("an event that makes sense").rollout
}

fn is_waiting(rollout: &Rollout) -> bool {
    let State::Progressing(progress) = &rollout.state else { return false };
    matches!(progress.stage, Stage::Pausing { .. } | Stage::Analyzing { .. } | Stage::Waiting { .. })
}

/// Whether the new version gets requests, chosen or copied ones among them, or an endpoint makes way for it.
fn begins(rollout: &Rollout) -> bool {
    let (plan, stable) = (rollout.plan(), rollout.stable.as_str());
    let is_other = |version: &str| version != stable;
    let drains = plan.endpoints.values().flat_map(BTreeMap::values).any(|state| *state == EndpointState::Draining);
    let has_requests = plan.routings().any(|routing| {
        routing.shares.iter().any(|share| is_other(&share.version) && share.weight > Weight::ZERO)
            || !routing.rules.is_empty()
            || routing.mirror.is_some()
    });
    drains || has_requests
}

fn render(file: &Path) -> String {
    let path = file.file_name().expect("a name").to_string_lossy().into_owned();
    let source = SourceFile { path, bytes: fs::read(file).expect("an example") };
    let specs = parse(&[source], SETTINGS).unwrap_or_else(|wrong| panic!("{}: {}", file.display(), wrong[0]));
    let services = specs.world.services.values();
    let plans: BTreeMap<String, TrafficPlan> = services
        .map(|service| (service.name.clone(), plan_of(service, specs.world.release_of(&service.name))))
        .collect();
    let mut text = String::new();
    for group in all_groups(&specs.world).into_iter().filter(|group| group.dialect == Dialect::MODERN) {
        let snapshot = snapshot_of(group, &specs.world.services, &plans).expect("a snapshot");
        let _ = writeln!(text, "# group {}, version {}", group.name(), snapshot.version());
        for resource in snapshot.iter() {
            let url = resource.resource_type().type_url();
            let json = serin::descriptors::to_json(url, resource.body()).expect("JSON");
            let yaml = serde_yaml::to_string(&json).expect("YAML");
            let _ = write!(text, "---\n# {} {}\n{yaml}", resource.resource_type(), resource.name());
        }
    }
    text
}
