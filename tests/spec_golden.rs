//! What is said about specs, in files a person can read: `tests/golden/spec/{bad,warned}/*.yaml`, each with a `.txt`
//! beside it. A directory there is a set of several files. `UPDATE_GOLDEN=1` writes the texts anew.
//! And every example is a whole set that is accepted without a word.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serin::model::{Service, TrafficPlan, World};
use serin::spec::{Settings, SourceFile, diagnostic, parse};
use serin::translate::{self, Dialect};

const SETTINGS: Settings = Settings { envoy_patches: true, no_prometheus: false };

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn sorted(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> SourceFile {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    SourceFile { path: name, bytes: fs::read(path).unwrap() }
}

/// A file by itself, or the files of a directory.
fn set(path: &Path) -> Vec<SourceFile> {
    if path.is_dir() { sorted(path).iter().map(|file| read(file)).collect() } else { vec![read(path)] }
}

fn check(directory: &str, tell: impl Fn(&Path) -> String) {
    let mut differ = Vec::new();
    let mut seen = 0;
    for path in sorted(&here(directory)) {
        if path.extension().is_some_and(|extension| extension == "txt") {
            continue;
        }
        seen += 1;
        let told = tell(&path);
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &told).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != told {
            differ.push(format!("{} is not what is said now:\n{told}", expected.display()));
        }
    }
    assert!(seen > 0, "no cases in {directory}");
    assert!(differ.is_empty(), "{}\n(UPDATE_GOLDEN=1 writes them anew)", differ.join("\n"));
}

#[test]
fn what_is_wrong_is_told_with_place_and_cure() {
    check("tests/golden/spec/bad", |path| match parse(&set(path), SETTINGS) {
        Ok(_) => panic!("{} is accepted", path.display()),
        Err(diagnostics) => diagnostic::report(&diagnostics, false),
    });
}

#[test]
fn what_looks_wrong_is_told_but_accepted() {
    check("tests/golden/spec/warned", |path| match parse(&set(path), SETTINGS) {
        Ok(specs) => diagnostic::report(&specs.warnings, false),
        Err(diagnostics) => panic!("{} is refused:\n{}", path.display(), diagnostic::report(&diagnostics, false)),
    });
}

#[test]
fn diagnostics_are_data_too() {
    let path = here("tests/golden/spec/bad/typos.yaml");
    let diagnostics = parse(&set(&path), SETTINGS).unwrap_err();
    let json = serde_json::to_value(&diagnostics).unwrap();
    let first = &json[0];
    for field in ["severity", "file", "line", "column", "document", "field", "message", "help", "excerpt"] {
        assert!(!first[field].is_null(), "{field} in {first:#}");
    }
}

/// What is accepted must make a snapshot, whichever version is live.
fn can_be_served(world: &World) {
    let stable = |service: &Service| {
        let version = world.release_of(&service.name).map(|release| &release.version);
        let version = version.or(service.versions.keys().next()).unwrap();
        (service.name.clone(), TrafficPlan::all_to(&service.name, version))
    };
    let plans: BTreeMap<_, _> = world.services.values().map(stable).collect();
    for fleet in world.fleets.values() {
        translate::snapshot(fleet, &world.services, &plans, Dialect::MODERN).unwrap();
    }
}

#[test]
fn every_example_is_accepted_without_a_word() {
    let mut seen = 0;
    for path in sorted(&here("examples")) {
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        seen += 1;
        match parse(&set(&path), SETTINGS) {
            Ok(specs) => {
                let said = diagnostic::report(&specs.warnings, false);
                assert!(said.is_empty(), "{}:\n{said}", path.display());
                assert!(!specs.world.fleets.is_empty(), "{} has no fleet", path.display());
                can_be_served(&specs.world);
            }
            Err(diagnostics) => panic!("{}", diagnostic::report(&diagnostics, false)),
        }
    }
    assert!(seen >= 40, "only {seen} examples");
}
