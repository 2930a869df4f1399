//! Keeps the structure: who may import whom, what pure modules must not touch, and sizes to feel at home in.
//! `ARCHITECTURE.md` says why.

use std::fs;
use std::path::{Path, PathBuf};

/// Top-level module → the modules of this crate that it may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("xds", &[]),
    ("descriptors", &[]),
    ("analysis", &["model"]),
    ("patch", &["model", "descriptors"]),
    ("spec", &["model", "descriptors", "patch"]),
    ("endpoints", &["model", "spec"]),
    ("translate", &["model", "xds", "descriptors", "patch"]),
    ("telemetry", &["model", "xds", "translate", "http"]),
    ("rollout", &["model", "analysis", "telemetry", "translate", "xds", "spec", "store"]),
    ("http", &[]),
    ("calls", &["model", "rollout", "http"]),
    ("providers", &["model", "analysis", "rollout", "http"]),
    ("notify", &["model", "rollout", "store", "http"]),
    ("store", &["model", "rollout", "xds"]),
    ("admin", &["model", "analysis", "endpoints", "rollout", "store", "telemetry", "xds", "descriptors"]),
    ("web", &["model", "rollout", "store", "xds", "analysis", "http"]),
    ("simulation", &["model", "analysis", "rollout"]),
    ("cli", &["admin", "spec", "translate", "model", "rollout", "server", "simulation", "xds"]),
    (
        "server",
        &[
            "admin",
            "calls",
            "endpoints",
            "http",
            "notify",
            "providers",
            "model",
            "rollout",
            "spec",
            "store",
            "telemetry",
            "translate",
            "web",
            "xds",
        ],
    ),
];

/// Beginnings of paths below `src/` that are pure: no runtime, no transport, no file, no clock.
const PURE: &[&str] = &[
    "model",
    "patch.rs",
    "notify/message.rs",
    "providers/prometheus.rs",
    "providers/webhook.rs",
    "analysis",
    "http/signature.rs",
    "descriptors",
    "endpoints/inventory",
    "translate",
    "spec.rs",
    "spec/check",
    "spec/decode",
    "spec/diagnostic",
    "spec/listing.rs",
    "spec/problems",
    "spec/reader",
    "spec/tree",
    "spec/value",
    "rollout/command.rs",
    "rollout/engine/audience.rs",
    "rollout/engine/collectors.rs",
    "rollout/engine/hearing.rs",
    "rollout/engine/show.rs",
    "rollout/engine/turn.rs",
    "rollout/evidence",
    "rollout/explain.rs",
    "rollout/measure",
    "rollout/recent.rs",
    "rollout/record.rs",
    "rollout/rehearsal.rs",
    "rollout/replay.rs",
    "rollout/rolling",
    "rollout/state.rs",
    "rollout/status.rs",
    "rollout/transition",
    "simulation",
    "telemetry/channel.rs",
    "telemetry/counters",
    "telemetry/exposition",
    "telemetry/focus.rs",
    "telemetry/load",
    "telemetry/proxy",
    "telemetry/report.rs",
    "telemetry/sample",
    "telemetry/table.rs",
    "telemetry/wire",
    "xds/channel",
    "xds/comparison.rs",
    "xds/csds.rs",
    "xds/csds/matcher.rs",
    "xds/delta",
    "xds/group.rs",
    "xds/name.rs",
    "xds/node.rs",
    "xds/outgoing.rs",
    "xds/quarantine.rs",
    "xds/references.rs",
    "xds/resource.rs",
    "xds/resource_type.rs",
    "xds/snapshot.rs",
    "xds/sotw",
    "xds/stream.rs",
    "xds/subscription.rs",
    "xds/transition.rs",
    "xds/version.rs",
];

const IMPURE: &[&str] = &[
    "tokio::",
    "tonic::",
    "axum::",
    "std::fs",
    "std::net::TcpStream",
    "std::thread",
    "Instant::now()",
    "SystemTime::now()",
    "Timestamp::now()",
    "std::env::",
];

/// Lines without tests. A file that outgrows this wants to be two.
const LONGEST_FILE: usize = 450;
const LONGEST_FUNCTION: usize = 90;

struct Source {
    /// Below `src/`.
    path: String,
    /// Without the test module at its end.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the sources") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let path = path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
                let code = text.split("\n#[cfg(test)]\n").next().unwrap_or_default().to_owned();
                found.push(Source { path, code });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 50, "the sources are gone");
    found
}

fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/") || ["xds/fixtures.rs", "xds/simulation.rs"].contains(&path)
}

fn without_comments(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !is_test(&source.path)) {
        let module = source.path.split(['/', '.']).next().unwrap_or_default();
        if module == "lib" || module == "main" {
            continue;
        }
        let (_, allowed) = MAY_IMPORT.iter().find(|(name, _)| *name == module).unwrap_or_else(|| {
            panic!("src/{}: add the module {module} to this test and to ARCHITECTURE.md", source.path)
        });
        for line in without_comments(&source.code) {
            for (at, _) in line.match_indices("crate::") {
                let imported: String =
                    line[at + "crate::".len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !imported.is_empty() && imported != module && !allowed.contains(&imported.as_str()) {
                    wrong.push(format!("src/{}: {module} must not know {imported}: {}", source.path, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_touch_no_runtime_and_no_clock() {
    let sources = sources();
    let mut wrong = Vec::new();
    for pure in PURE {
        let matching: Vec<_> = sources.iter().filter(|s| s.path.starts_with(pure) && !is_test(&s.path)).collect();
        assert!(!matching.is_empty(), "{pure} is gone: take it out of this test");
        for source in matching {
            for line in without_comments(&source.code) {
                for impure in IMPURE.iter().filter(|impure| line.contains(*impure)) {
                    wrong.push(format!("src/{}: {impure} in a pure module: {}", source.path, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_first_what_it_is_and_stays_small() {
    let mut wrong = Vec::new();
    for source in sources() {
        if source.path.ends_with("mod.rs") {
            wrong.push(format!("src/{}: use name.rs beside name/", source.path));
        }
        if !source.code.starts_with("//!") && !is_test(&source.path) {
            wrong.push(format!("src/{}: begin with a //! comment", source.path));
        }
        let lines = source.code.lines().count();
        if lines > LONGEST_FILE && !is_test(&source.path) {
            wrong.push(format!("src/{}: {lines} lines, {LONGEST_FILE} at most", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn functions_fit_a_screen() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !is_test(&source.path)) {
        let mut begun: Option<(usize, usize, &str)> = None;
        for (number, line) in source.code.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let word = line.trim_start();
            let is_function = ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(super) fn ", "pub(crate) fn "]
                .iter()
                .any(|start| word.starts_with(start));
            if is_function && !line.trim_end().ends_with(';') {
                begun = Some((number, indent, word));
            }
            if let Some((from, at, name)) =
                begun.filter(|(_, at, _)| line.trim_end() == format!("{}}}", " ".repeat(*at)))
            {
                let length = number - from + 1;
                if length > LONGEST_FUNCTION {
                    wrong.push(format!("src/{}:{}: {length} lines in `{name}` (indent {at})", source.path, from + 1));
                }
                begun = None;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
