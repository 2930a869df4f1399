//! `WAYS.md` tells the truth: every way to release has its example, its scenario and its test with real Envoys.

use std::fs;
use std::path::Path;

/// The cells of each row, without the table's head.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().skip_while(|line| !line.starts_with("| Way |")).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What a cell links to: words and paths.
fn links(cell: &str) -> Vec<(&str, &str)> {
    let links = cell.split("<br>").map(|link| link.strip_prefix('[')?.strip_suffix(')')?.split_once("]("));
    links.map(|link| link.unwrap_or_else(|| panic!("no links: {cell}"))).collect()
}

#[test]
fn every_way_has_an_example_a_scenario_and_a_test_with_real_envoys() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("WAYS.md")).expect("WAYS.md");
    let rows = rows(&text);
    assert!(rows.len() >= 30, "the table is gone");
    for row in &rows {
        let [way, what, example, scenarios, tests] = row.as_slice() else { panic!("not five cells: {row:?}") };
        assert!(row.iter().all(|cell| !cell.is_empty()), "an empty cell: {way}: {what}");
        for (name, path) in links(example) {
            assert_eq!(path, format!("examples/{name}.yaml"), "{way}");
            assert!(root.join(path).is_file(), "{way}: there is no {path}");
        }
        for (name, path) in links(scenarios) {
            assert_eq!(path, format!("tests/scenarios/{name}.txt"), "{way}");
            assert!(root.join(path).is_file(), "{way}: there is no {path}");
        }
        for (name, path) in links(tests) {
            let source = fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{way}: {path}: {error}"));
            let (module, function) = name.trim_matches('`').split_once("::").expect("MODULE::FUNCTION");
            assert!(path.ends_with(&format!("/{module}.rs")), "{way}: {name} is not in {path}");
            let is_test = source.contains(&format!("async fn {function}() -> Result<()>"));
            assert!(is_test, "{way}: {path} has no test {function}");
        }
    }
}

#[test]
fn every_example_of_a_release_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("WAYS.md")).expect("WAYS.md");
    // They show something else than a way to release.
    let others = [
        "envoy-patches",
        "grpc",
        "metrics",
        "notify",
        "polled",
        "rds-only",
        "routes",
        "service-policies",
        "two-fleets",
    ];
    for entry in fs::read_dir(root.join("examples")).expect("the examples").flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = file.strip_suffix(".yaml").filter(|name| !others.contains(name)) else { continue };
        assert!(text.contains(&format!("(examples/{name}.yaml)")), "{name} is in no row of WAYS.md");
    }
}
