#![allow(clippy::unwrap_used)]

mod course;
mod matching;
mod service;
mod strategy;
mod telemetry;

use std::net::SocketAddr;
use std::time::Duration;

use serin_testbed::usage::thread_time;

use proptest::prelude::*;

use super::*;
use crate::model::{
    AnalysisPolicy, Canary, ConfigCanary, Endpoint, Listener, NodeSelector, OnInconclusive, OnNoData, OnRejected,
    OutlierDetection, Pattern, Portion, Protocol, Release, RouteConfig, Service, Step, Strategy, Weight,
};

const CANARY: &str = include_str!("../../examples/canary.yaml");

fn file(path: &str, text: impl Into<Vec<u8>>) -> SourceFile {
    SourceFile { path: path.into(), bytes: text.into() }
}

fn read(text: &str) -> Outcome {
    parse(&[file("a.yaml", text)], Settings::default())
}

fn accept(text: &str) -> Specs {
    read(text).unwrap_or_else(|told| panic!("{}", diagnostic::report(&told, false)))
}

/// The messages that a text is refused with.
fn refuse(text: &str) -> Vec<String> {
    read(text).unwrap_err().into_iter().map(|d| d.message).collect()
}

/// As a server reads it that takes raw Envoy configuration.
fn read_patched(text: &str) -> Outcome {
    parse(&[file("a.yaml", text)], Settings { envoy_patches: true, no_prometheus: false })
}

/// A set with a release of `checkout` from v1 to v2, with what else its spec and its service's spec say.
fn set(service: &str, release: &str) -> String {
    format!(
        "
apiVersion: serin.dev/v1
kind: Fleet
metadata: {{name: edge}}
spec: {{nodes: {{}}, listeners: [{{name: http, bind: '0.0.0.0:10000', services: [checkout]}}]}}
---
apiVersion: serin.dev/v1
kind: Service
metadata: {{name: checkout}}
spec:
  {service}
---
apiVersion: serin.dev/v1
kind: Release
metadata: {{name: checkout}}
spec:
  service: checkout
  version: v2
  {release}
"
    )
}

const SERVICE: &str =
    "{hosts: [shop.example.com], versions: {v1: {endpoints: ['10.0.0.1:80']}, v2: {endpoints: ['10.0.1.1:80']}}}";
const STEPS: &str = "strategy: {canary: {steps: [setWeight: 5, pause: {}]}}";

/// The release of a set that is accepted.
fn released(release: &str) -> Release {
    accept(&set(SERVICE, release)).world.releases["checkout"].clone()
}

/// Asserts that each text is refused with exactly one problem, whose message has these words and whose help those.
fn refused(cases: &[(String, &str, &str)]) {
    for (text, message, help) in cases {
        let told = read(text).expect_err(text);
        let report = diagnostic::report(&told, false);
        assert_eq!(told.iter().filter(|d| d.is_error()).count(), 1, "{text}\n{report}");
        let error = told.iter().find(|d| d.is_error()).unwrap();
        assert!(error.message.contains(message), "{message}:\n{report}");
        assert!(error.help.as_deref().unwrap_or_default().contains(help), "{help}:\n{report}");
        assert!(error.line > 0, "{report}");
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn every_field_reaches_the_model() {
    let world = accept(CANARY).world;
    let fleet = &world.fleets["edge"];
    let nodes = NodeSelector {
        cluster: Some("edge".into()),
        id: Some(Pattern("edge-*".into())),
        region: Some("eu".into()),
        zone: Some("eu-1a".into()),
        metadata: [("tier".to_owned(), "public".to_owned())].into(),
    };
    assert_eq!(fleet.nodes, nodes);
    let listener = Listener {
        name: "http".into(),
        bind: address("0.0.0.0:10000"),
        services: vec!["checkout".into()],
        envoy: Default::default(),
        tls: None,
        trusted_hops: 0,
        preview: false,
    };
    assert_eq!(fleet.listeners, [listener]);
    assert_eq!(fleet.route_configs, []);

    let service = &world.services["checkout"];
    assert_eq!(service.hosts, ["shop.example.com", "shop.example.com:*"]);
    assert_eq!(service.versions["v1"].endpoints.len(), 2);
    let endpoint =
        Endpoint { address: address("10.0.1.2:8080"), zone: Some("eu-1b".into()), weight: 1, draining: false };
    assert_eq!(service.versions["v2"].endpoints[1], endpoint);
    let outliers = OutlierDetection {
        consecutive_5xx: Some(5),
        interval: Some(Duration::from_secs(1)),
        base_ejection_time: Some(Duration::from_secs(30)),
        max_ejection_percent: Some(50),
    };
    assert_eq!(service.outlier_detection, Some(outliers));

    let minutes = |n: u64| Duration::from_secs(n * 60);
    let weight = |percent| Step::SetWeight(Weight::from_percent(percent).unwrap());
    let steps = vec![
        weight(1.0),
        Step::Analyze { max: minutes(10) },
        weight(10.0),
        Step::Pause(Some(minutes(5))),
        Step::Analyze { max: minutes(20) },
        Step::Pause(None),
        weight(50.0),
        Step::Analyze { max: minutes(20) },
    ];
    assert_eq!(world.releases["checkout"].strategy, Strategy::Canary(Canary { steps, ..Canary::default() }));
}

/// What `canary.yaml` calls a default is what is put in where nothing is written.
#[test]
fn defaults_are_what_the_example_says() {
    let full = accept(CANARY).world;
    let text = "
apiVersion: serin.dev/v1
kind: Service
metadata: {name: checkout}
spec:
  hosts: [shop.example.com]
  versions: {v1: {endpoints: ['10.0.0.1:8080']}, v2: {endpoints: ['10.0.1.1:8080']}}
---
apiVersion: serin.dev/v1
kind: Release
metadata: {name: checkout}
spec:
  service: checkout
  version: v2
  strategy: {canary: {steps: [setWeight: 5, analyze: {}]}}
";
    let bare = accept(text).world;
    let (one, other) = (&full.releases["checkout"], &bare.releases["checkout"]);
    assert_eq!(one.analysis, other.analysis);
    let settings = |release: &Release| (release.auto_rollback, release.on_rejected, release.paused);
    assert_eq!(settings(one), settings(other));
    assert_eq!(one.analysis, AnalysisPolicy::default());
    assert_eq!(other.strategy.steps(0)[1], Step::Analyze { max: Duration::from_secs(600) });
    let (one, other) = (&full.services["checkout"], &bare.services["checkout"]);
    assert_eq!(
        (one.protocol, one.connect_timeout, one.timeout),
        (other.protocol, other.connect_timeout, other.timeout)
    );
    assert_eq!(other.outlier_detection, None);
    assert_eq!(other.timeout, Some(Duration::from_secs(15)));
}

#[test]
fn what_is_not_default_is_taken() {
    let changed = CANARY
        .replace("protocol: http1", "protocol: grpc")
        .replace("timeout: 15s", "timeout: 0s")
        .replace("connectTimeout: 1s", "connectTimeout: 250ms")
        .replace("falseRevert: 0.01", "falseRevert: 0.001")
        .replace("harmlessRate: 0.1%", "harmlessRate: 0.002")
        .replace("    - ejections:\n        maxExcess: 0.2", "    # - ejections:")
        .replace("onNoData: hold", "onNoData: revert")
        .replace("onInconclusive: pause", "onInconclusive: advance")
        .replace("    auto: true", "    auto: false")
        .replace("onRejected: hold", "onRejected: revert")
        .replace("proxies: 10%", "proxies: 2")
        .replace("paused: false", "paused: true")
        .replace("setWeight: 1 ", "setWeight: 0.25 ")
        .replace("version: v2", "version: v1")
        .replace("  listeners:\n", "  routeConfigs: [{name: local, services: [checkout]}]\n  listeners:\n");
    let world = accept(&changed).world;
    let service: &Service = &world.services["checkout"];
    assert_eq!(service.protocol, Protocol::Grpc);
    assert_eq!(service.timeout, None);
    assert_eq!(service.connect_timeout, Duration::from_millis(250));
    let release: &Release = &world.releases["checkout"];
    assert_eq!(release.version, "v1");
    assert!(!release.auto_rollback && release.paused);
    assert_eq!(release.on_rejected, OnRejected::Revert);
    let canary = ConfigCanary { proxies: Portion::Count(2), quiet: Duration::from_secs(10), max_5xx: 5 };
    assert_eq!(world.fleets["edge"].config_canary, Some(canary));
    assert_eq!(release.analysis.risk.false_revert, 0.001);
    assert_eq!(release.analysis.errors.as_ref().unwrap().harmless_rate, 0.002);
    assert_eq!(release.analysis.ejections, None);
    assert_eq!(release.analysis.on_no_data, OnNoData::Revert);
    assert_eq!(release.analysis.on_inconclusive, OnInconclusive::Advance);
    assert_eq!(release.strategy.steps(0)[0], Step::SetWeight(Weight::from_percent(0.25).unwrap()));
    let local = RouteConfig { name: "local".into(), services: vec!["checkout".into()], envoy: Default::default() };
    assert_eq!(world.fleets["edge"].route_configs, [local]);
}

#[test]
fn versions_are_names_however_they_are_written() {
    let text = include_str!("../../examples/rds-only.yaml").replace('"', "");
    let world = accept(&text).world;
    assert_eq!(world.releases["search"].version, "2026.12");
    let world = accept(&text.replace("2026.12", "1.10").replace("2026.11", "true")).world;
    assert_eq!(world.releases["search"].version, "1.10");
    assert_eq!(world.services["search"].versions.keys().collect::<Vec<_>>(), ["1.10", "true"]);
}

#[test]
fn one_document_may_stand_in_another_file() {
    let files: Vec<SourceFile> =
        CANARY.split("\n---\n").enumerate().map(|(n, text)| file(&format!("{n}.yaml"), text)).collect();
    let specs = parse(&files, Settings::default()).unwrap();
    assert_eq!(specs.world, accept(CANARY).world);
    assert_eq!(specs.origins.of_fleet("edge").as_deref(), Some("0.yaml:6"));
    assert_eq!(specs.origins.of_service("checkout").as_deref(), Some("1.yaml:4"));
    assert_eq!(specs.origins.of_release("checkout").as_deref(), Some("2.yaml:4"));
    assert_eq!(specs.origins.of_release("other"), None);
    // The order of files does not matter.
    let reversed: Vec<SourceFile> = files.into_iter().rev().collect();
    assert_eq!(parse(&reversed, Settings::default()).unwrap().world, specs.world);
}

#[test]
fn an_empty_set_is_an_empty_world_with_a_word() {
    for files in [vec![], vec![file("a.yaml", "")], vec![file("a.yaml", "# nothing\n---\n"), file("b.yaml", "~")]] {
        let specs = parse(&files, Settings::default()).unwrap();
        assert_eq!(specs.world, World::default());
        assert_eq!(specs.warnings.len(), 1);
        assert!(!specs.warnings[0].is_error());
    }
}

#[test]
fn a_byte_order_mark_is_no_matter() {
    accept(&format!("\u{feff}{CANARY}"));
    accept(&CANARY.replace('\n', "\r\n"));
}

#[test]
fn places_are_right_whatever_ends_the_lines() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["apiVersion: serin.dev/v1", "kind: Fleeet", "metadata: {name: é}", "spec: {}"].join(end);
        let told = read(&text).unwrap_err();
        assert_eq!((told[0].line, told[0].column), (2, 7), "{end:?}");
        assert_eq!(told[0].excerpt.as_ref().unwrap().text, "kind: Fleeet", "{end:?}");
        assert_eq!((told[1].line, told[1].column), (3, 18), "{end:?}");
    }
}

#[test]
fn broken_documents_raise_no_doubts_about_others() {
    // The service may be the one that cannot be read.
    let fleet = "apiVersion: serin.dev/v1\nkind: Fleet\nmetadata: {name: a}\nspec: {routeConfigs: [{name: r, services: [x]}]}\n";
    assert_eq!(refuse(&format!("{fleet}---\n]")).len(), 1);
    assert_eq!(refuse(&format!("{fleet}---\nkind: Service\n")).len(), 3);
    assert_eq!(refuse(fleet), ["there is no service `x`"]);
}

#[test]
fn hostile_files_are_refused_with_bounded_effort() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for n in 1..20 {
        bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(",")));
    }
    let keys: String = (0..60_000).map(|n| format!("k{n}: 1\n")).collect();
    let same: String = "k: 1\n".repeat(100_000);
    let documents = "a: 1\n---\n".repeat(100_000);
    let broken = "]\n---\n".repeat(150_000);
    let many = format!(
        "apiVersion: serin.dev/v1\nkind: Fleet\nmetadata: {{name: a}}\nspec: {{routeConfigs: [{{name: r, services: [{}]}}]}}\n",
        (0..60_000).map(|n| format!("s{n},")).collect::<String>()
    );
    for (name, bytes, said) in [
        ("huge", vec![b'x'; 20 << 20], "larger than 1 MiB"),
        ("one scalar", vec![b'x'; MAX_FILE_BYTES], "expected fields"),
        ("quoted", [b"\"", "x".repeat(MAX_FILE_BYTES - 1).as_bytes()].concat(), ""),
        ("zeroes", vec![0; MAX_FILE_BYTES], ""),
        ("breaks", [b"a:", "\n".repeat(MAX_FILE_BYTES - 3).as_bytes(), b"]"].concat(), ""),
        ("latin 1", b"name: caf\xe9".to_vec(), "line 1 is not UTF-8"),
        ("utf 16", "kind".encode_utf16().flat_map(u16::to_be_bytes).chain([0xff]).collect(), "not UTF-8"),
        ("levels", "[".repeat(10_000).into(), "64 levels"),
        ("levels of blocks", "- ".repeat(10_000).into(), "64 levels"),
        ("levels of keys", "? ".repeat(10_000).into(), "64 levels"),
        ("bomb", bomb.into(), "more than 250000 values"),
        ("keys", keys.into(), "more problems in this file"),
        ("same keys", same.into(), "given twice"),
        ("documents", documents.into(), "missing"),
        ("broken documents", broken.into(), ""),
        ("references", many.into(), "there is no service"),
        ("anchors", "&a ".repeat(300_000).into(), ""),
        ("tags", "!a ".repeat(300_000).into(), ""),
        ("directives", "%A b\n".repeat(200_000).into(), ""),
        ("comments", [b"a: 1\n", "#\n".repeat(500_000).as_bytes(), b"]"].concat(), ""),
        ("escape", b"a: \"\\x1b[31m\": b".to_vec(), ""),
    ] {
        let begun = thread_time();
        let told = parse(&[file("a.yaml", bytes)], Settings::default()).expect_err(name);
        let taken = thread_time() - begun;
        assert!(told.iter().any(|d| d.message.contains(said)), "{name}: {}", told[0]);
        assert!(told.len() <= 51, "{name}: {} problems", told.len());
        assert!(diagnostic::report(&told, false).len() < 100_000, "{name}");
        // Generous, for a debug build: what is meant is "not for minutes".
        assert!(taken < Duration::from_secs(20), "{name} took {taken:?}");
    }
}

#[test]
fn many_broken_files_are_told_up_to_a_limit() {
    let files: Vec<SourceFile> = (0..2_000).map(|n| file(&format!("{n:04}.yaml"), "x: 1\n".repeat(100))).collect();
    let told = parse(&files, Settings::default()).unwrap_err();
    assert_eq!(told.len(), 501);
    assert!(told[500].message.contains("more problems"), "{}", told[500]);
    assert!(told.iter().any(|d| d.message.contains("more problems in this file")));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Err(told) = parse(&[file("a.yaml", bytes)], Settings::default()) {
            prop_assert!(!diagnostic::report(&told, true).is_empty());
        }
    }

    /// An example with a part cut out or replaced: close to what people write.
    #[test]
    fn no_mistake_panics(from in 0..CANARY.len(), length in 0..40_usize, put in "[\\[\\]{}:,*&!|'\"# \n\ta-c0-9é~%.-]{0,6}") {
        let mut bytes = CANARY.as_bytes().to_vec();
        let to = (from + length).min(bytes.len());
        bytes.splice(from..to, put.bytes());
        match parse(&[file("a.yaml", bytes)], Settings::default()) {
            Ok(specs) => prop_assert!(specs.warnings.iter().all(|d| !d.is_error())),
            Err(told) => {
                prop_assert!(told.iter().any(Diagnostic::is_error));
                prop_assert!(told.iter().all(|d| d.file == "a.yaml" && !d.message.is_empty()));
                let places: Vec<_> = told.iter().map(|d| (d.line == 0, d.line, d.column)).collect();
                prop_assert!(places.is_sorted(), "{:?}", places);
            }
        }
    }
}

#[test]
fn raw_configuration_reaches_the_model_where_it_is_allowed() {
    use serde_json::json;
    let text = include_str!("../../examples/envoy-patches.yaml");
    let told = read(text).unwrap_err();
    assert_eq!(
        told.iter().map(|d| d.message.as_str()).collect::<Vec<_>>(),
        ["raw Envoy configuration is not allowed here"; 2]
    );
    assert!(told.iter().all(|d| d.help.as_ref().unwrap().contains("--allow-envoy-patches")));
    assert_eq!((told[0].line, told[0].column, told[0].field.as_deref()), (16, 5, Some("spec.listeners[0].envoy")));

    let specs = read_patched(text).unwrap();
    let listener = &specs.world.fleets["edge"].listeners[0].envoy;
    assert_eq!(listener[&PatchTarget::Listener], json!({"per_connection_buffer_limit_bytes": 32768}));
    assert_eq!(listener.len(), 4);
    let service = &specs.world.services["checkout"].envoy;
    let route = json!({"route": {"max_stream_duration": {"max_stream_duration": "60s"}}});
    assert_eq!(service[&PatchTarget::Route], route);
    assert_eq!(service.len(), 3);
    let line = |kind, name: &str, within: Option<&str>, target| {
        specs.origins.of_patch(kind, name, &(within.map(str::to_owned), target)).map(|origin| origin.line)
    };
    assert_eq!(line(Kind::Fleet, "edge", Some("http"), PatchTarget::Listener), Some(17));
    assert_eq!(line(Kind::Fleet, "edge", Some("other"), PatchTarget::Listener), None);
    assert_eq!(line(Kind::Service, "checkout", None, PatchTarget::Cluster), Some(44));
}

#[test]
fn a_route_config_has_raw_configuration_too() {
    let text = "apiVersion: serin.dev/v1\nkind: Fleet\nmetadata: {name: edge}\nspec:\n  routeConfigs:\n  \
                - {name: web, services: [], envoy: {routeConfiguration: {max_direct_response_body_size_bytes: \"9\"}}}\n";
    let specs = read_patched(text).unwrap();
    let patches = &specs.world.fleets["edge"].route_configs[0].envoy;
    assert_eq!(
        patches[&PatchTarget::RouteConfiguration],
        serde_json::json!({"max_direct_response_body_size_bytes": "9"})
    );
    let listener_s = text.replace("routeConfiguration", "listener");
    assert_eq!(read_patched(&listener_s).unwrap_err()[1].message, "unknown field `listener`");
}
