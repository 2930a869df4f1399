//! From a spec to what the proxies get: every example's snapshots, as a person would read them. `UPDATE_GOLDEN=1` writes
//! them anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serin::model::{Step, TrafficPlan, Weight};
use serin::spec::{Settings, SourceFile, parse};
use serin::translate::{Dialect, all_groups, snapshot};

const SETTINGS: Settings = Settings { envoy_patches: true };

#[test]
fn every_example_becomes_the_snapshots_that_are_written_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> =
        fs::read_dir(root.join("examples")).expect("the examples").flatten().map(|e| e.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 5, "the examples are gone");
    let mut differing = Vec::new();
    for file in files {
        let shown = render(&file);
        let golden = root.join("tests/golden/examples").join(file.file_name().expect("a name"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(golden.parent().expect("a folder")).expect("the folder");
            fs::write(&golden, &shown).expect("the golden written");
        } else if fs::read_to_string(&golden).unwrap_or_default() != shown {
            differing.push(golden);
        }
    }
    assert!(differing.is_empty(), "these differ (UPDATE_GOLDEN=1 writes them): {differing:?}");
}

/// The snapshots in the release's first step: its first weight, or all of the traffic where nothing is released.
fn render(file: &Path) -> String {
    let path = file.file_name().expect("a name").to_string_lossy().into_owned();
    let source = SourceFile { path, bytes: fs::read(file).expect("an example") };
    let specs = parse(&[source], SETTINGS).unwrap_or_else(|wrong| panic!("{}: {}", file.display(), wrong[0]));
    let mut plans = BTreeMap::new();
    for service in specs.world.services.values() {
        let mut versions = service.versions.keys();
        let first = versions.next().expect("a version");
        let plan = match (specs.world.release_of(&service.name), versions.next()) {
            (Some(release), Some(second)) => {
                let other = if *first == release.version { second } else { first };
                let weights = release.strategy.steps().iter();
                let first_weight =
                    weights.filter_map(|step| if let Step::SetWeight(w) = step { Some(*w) } else { None });
                let weight = first_weight.min().unwrap_or(Weight::FULL);
                TrafficPlan::split(&service.name, &release.version, weight, other)
            }
            _ => TrafficPlan::all_to(&service.name, first),
        };
        plans.insert(service.name.clone(), plan);
    }
    let mut text = String::new();
    for (group, fleet, dialect) in all_groups(&specs.world).into_iter().filter(|(.., d)| *d == Dialect::MODERN) {
        let snapshot = snapshot(fleet, &specs.world.services, &plans, dialect).expect("a snapshot");
        let _ = writeln!(text, "# group {group}, version {}", snapshot.version());
        for resource in snapshot.iter() {
            let url = resource.resource_type().type_url();
            let json = serin::descriptors::to_json(url, resource.body()).expect("JSON");
            let yaml = serde_yaml::to_string(&json).expect("YAML");
            let _ = write!(text, "---\n# {} {}\n{yaml}", resource.resource_type(), resource.name());
        }
    }
    text
}
