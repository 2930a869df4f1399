//! Small worlds and all that their proxies are given, side by side: `golden/translate/<case>.yaml`.
//!
//! `UPDATE_GOLDEN=1` rewrites them. With `ENVOY` set to a binary, that Envoy is asked about each of them as well.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use serde_json::{Value, json};
use serin::descriptors;
use serin::model::{
    Endpoint, Fleet, Listener, NodeSelector, OutlierDetection, PatchTarget, Patches, Protocol, RouteConfig, Service,
    TrafficPlan, Version, Weight,
};
use serin::translate::bootstrap::{BootstrapOptions, OwnListener, bootstrap};
use serin::translate::{self, Dialect};
use serin::xds::{Node, ResourceType, Snapshot, Variant};

#[path = "translate_golden/routed.rs"]
mod routed;
#[path = "translate_golden/upstreams.rs"]
mod upstreams;

struct Case {
    name: &'static str,
    about: &'static str,
    fleet: Fleet,
    services: Vec<Service>,
    plans: Vec<TrafficPlan>,
    dialect: Dialect,
}

impl Case {
    fn snapshot(&self) -> Snapshot {
        let services: BTreeMap<_, _> = self.services.iter().map(|s| (s.name.clone(), s.clone())).collect();
        let plans: BTreeMap<_, _> = self.plans.iter().map(|p| (p.service.clone(), p.clone())).collect();
        translate::snapshot(&self.fleet, &services, &plans, self.dialect).expect(self.name)
    }
}

fn cases() -> Vec<Case> {
    let percent = |of| Weight::from_percent(of).unwrap();
    let basic = |name, about| Case {
        name,
        about,
        fleet: fleet(&["checkout"]),
        services: vec![checkout()],
        plans: vec![TrafficPlan::all_to("checkout", "v1")],
        dialect: Dialect::MODERN,
    };
    vec![
        basic("stable-only", "All traffic to v1; the cluster of v2 is there, warm, without traffic."),
        Case {
            plans: vec![TrafficPlan::split("checkout", "v2", percent(5.0), "v1")],
            ..basic("canary-at-5", "As stable-only, with 5 % to v2: only the route configuration differs.")
        },
        Case {
            dialect: Dialect::PLAIN,
            ..basic("plain-dialect", "As stable-only, for an Envoy before 1.37: no access logger.")
        },
        Case {
            services: vec![Service { protocol: Protocol::Http2, ..checkout() }],
            ..basic("http2", "As stable-only, with endpoints that speak HTTP/2.")
        },
        Case {
            fleet: fleet(&["ledger"]),
            services: vec![ledger()],
            plans: vec![TrafficPlan::split("ledger", "2.1.0-rc.1", percent(0.01), "2.0.3")],
            ..basic("grpc", "Endless streams, ports in hosts, dots in versions, a share of a hundredth of a percent.")
        },
        patched(basic("patched", "Raw configuration in each message that takes some; its maps are in order.")),
        Case {
            services: vec![in_zones()],
            ..basic("two-zones", "Endpoints grouped by zone, sorted, those without a zone first.")
        },
        Case {
            fleet: Fleet {
                listeners: Vec::new(),
                route_configs: vec![RouteConfig {
                    name: "shop".into(),
                    services: vec!["checkout".into()],
                    envoy: Default::default(),
                }],
                config_canary: None,
                poll: None,
                ..fleet(&[])
            },
            ..basic("rds-only", "The bootstrap owns the listener and asks for its routes by name.")
        },
        Case {
            fleet: fleet(&["ledger", "checkout"]),
            services: vec![checkout(), ledger()],
            plans: vec![
                TrafficPlan::split("checkout", "v2", Weight::ZERO, "v1"),
                TrafficPlan::split("ledger", "2.1.0-rc.1", percent(50.0), "2.0.3"),
            ],
            ..basic("two-services", "One listener for two services; a canary at 0 % has no place in the routes.")
        },
        Case {
            fleet: fleet(&["checkout", "ledger"]),
            services: vec![Service { protocol: Protocol::Grpc, ..in_zones() }, ledger()],
            plans: vec![
                TrafficPlan::all_to("checkout", "v1"),
                TrafficPlan::split("ledger", "2.1.0-rc.1", percent(5.0), "2.0.3"),
            ],
            dialect: Dialect::GRPC,
            ..basic("grpc-clients", "For gRPC clients without a proxy: a listener for each name that they may ask for.")
        },
    ]
    .into_iter()
    .chain(routed::cases())
    .collect()
}

fn patched(mut case: Case) -> Case {
    let metadata = json!({"filter_metadata": {"b": {"x": 1}, "a": {"y": [true, null]}, "c": {}}});
    case.fleet.listeners[0].envoy = Patches::from([
        (PatchTarget::Listener, json!({"per_connection_buffer_limit_bytes": 32768, "metadata": metadata})),
        (PatchTarget::FilterChain, json!({"transport_socket_connect_timeout": "5s"})),
        (
            PatchTarget::ConnectionManager,
            json!({"http_filters": [{"name": "buffer", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
                "max_request_bytes": 4096,
            }}]}),
        ),
        (PatchTarget::RouteConfiguration, json!({"requestHeadersToRemove": ["x-internal"]})),
    ]);
    case.services[0].envoy = Patches::from([
        (PatchTarget::Cluster, json!({"circuit_breakers": {"thresholds": [{"max_requests": "500"}]}})),
        (PatchTarget::Route, json!({"route": {"retry_policy": {"retry_on": "connect-failure"}}})),
        (PatchTarget::VirtualHost, json!({"include_request_attempt_count": true})),
    ]);
    case
}

fn fleet(services: &[&str]) -> Fleet {
    Fleet {
        name: "edge".into(),
        nodes: NodeSelector { cluster: Some("edge".into()), ..NodeSelector::default() },
        listeners: vec![Listener {
            name: "http".into(),
            bind: "0.0.0.0:10000".parse().unwrap(),
            services: services.iter().map(|&s| s.into()).collect(),
            envoy: Default::default(),
            tls: None,
            trusted_hops: 0,
            preview: false,
        }],
        route_configs: Vec::new(),
        config_canary: None,
        poll: None,
    }
}

fn endpoint(address: &str, zone: Option<&str>) -> Endpoint {
    Endpoint { address: address.parse().unwrap(), zone: zone.map(Into::into), weight: 1, draining: false }
}

fn checkout() -> Service {
    let v1 = Version {
        endpoints: vec![endpoint("10.0.0.2:8080", None), endpoint("10.0.0.1:8080", None)],
        ..Version::default()
    };
    let v2 = Version { endpoints: vec![endpoint("10.0.1.1:8080", None)], ..Version::default() };
    Service {
        name: "checkout".into(),
        hosts: vec!["shop.example.com".into(), "*.shop.example.com".into()],
        protocol: Protocol::Http1,
        versions: BTreeMap::from([("v1".into(), v1), ("v2".into(), v2)]),
        outlier_detection: Some(OutlierDetection {
            consecutive_5xx: Some(5),
            interval: Some(Duration::from_secs(1)),
            base_ejection_time: None,
            max_ejection_percent: None,
        }),
        connect_timeout: Duration::from_millis(250),
        timeout: Some(Duration::from_secs(15)),
        envoy: Default::default(),
        ..Service::named("")
    }
}

fn ledger() -> Service {
    Service {
        name: "ledger".into(),
        hosts: vec!["ledger.internal:50051".into()],
        protocol: Protocol::Grpc,
        versions: BTreeMap::from([
            ("2.0.3".into(), Version { endpoints: vec![endpoint("[fd00::1]:50051", None)], ..Version::default() }),
            ("2.1.0-rc.1".into(), Version::default()),
        ]),
        outlier_detection: None,
        connect_timeout: Duration::from_secs(1),
        timeout: None,
        envoy: Default::default(),
        ..Service::named("")
    }
}

fn in_zones() -> Service {
    let v1 = vec![
        endpoint("10.0.2.1:8080", Some("eu-1b")),
        endpoint("10.0.1.2:8080", Some("eu-1a")),
        endpoint("10.0.3.1:8080", None),
        endpoint("10.0.1.1:8080", Some("eu-1a")),
    ];
    Service { versions: BTreeMap::from([("v1".into(), Version { endpoints: v1, ..Version::default() })]), ..checkout() }
}

fn json_of(snapshot: &Snapshot, resource_type: ResourceType) -> Vec<Value> {
    let resources = snapshot.of_type(resource_type).values();
    resources.map(|r| descriptors::to_json(resource_type.type_url(), r.body()).unwrap()).collect()
}

fn rendered(case: &Case) -> String {
    let snapshot = case.snapshot();
    let mut text = format!("# {}\n", case.about);
    for resource_type in ResourceType::CORE {
        let resources: BTreeMap<String, Value> = snapshot
            .of_type(resource_type)
            .values()
            .map(|r| (r.name().to_string(), descriptors::to_json(resource_type.type_url(), r.body()).unwrap()))
            .collect();
        let document = BTreeMap::from([(resource_type.short(), resources)]);
        write!(text, "\n{}", serde_yaml::to_string(&document).unwrap()).unwrap();
    }
    text
}

fn golden(path: &Path, text: &str) {
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        return;
    }
    let wanted = fs::read_to_string(path).unwrap_or_default();
    if let Some((line, (want, got))) = wanted.lines().zip(text.lines()).enumerate().find(|(_, (want, got))| want != got)
    {
        panic!("{}:{}\n  wanted: {want}\n     got: {got}\nUPDATE_GOLDEN=1 rewrites it", path.display(), line + 1);
    }
    assert!(wanted == text, "{} differs in length; UPDATE_GOLDEN=1 rewrites it", path.display());
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn snapshots_are_as_written_down() {
    for case in cases().into_iter().chain(upstreams::cases()) {
        golden(&in_repository(&format!("tests/golden/translate/{}.yaml", case.name)), &rendered(&case));
    }
}

/// Asks the Envoy at `$ENVOY` whether it would start with this bootstrap; passes with a note where there is none.
fn validate(what: &str, bootstrap: &str) {
    let Some(envoy) = env::var_os("ENVOY") else {
        eprintln!("{what}: not shown to Envoy, since ENVOY is not set");
        return;
    };
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    fs::write(file.path(), bootstrap).unwrap();
    let output = Command::new(envoy)
        .args(["--mode", "validate", "--service-node", "test", "--service-cluster", "test", "-c"])
        .arg(file.path())
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: Envoy refuses\n{bootstrap}\n{log}");
    let warnings: Vec<&str> = log.lines().filter(|l| l.contains("[warning]")).collect();
    println!("{what}: accepted\n{}", warnings.join("\n"));
}

/// With the names resolved in the bootstrap itself, Envoy reads every resource in full before it answers.
fn as_static(snapshot: &Snapshot) -> String {
    let mut assignments: BTreeMap<String, Value> = json_of(snapshot, ResourceType::Endpoint)
        .into_iter()
        .map(|a| (a["cluster_name"].as_str().unwrap().to_owned(), a))
        .collect();
    let clusters = json_of(snapshot, ResourceType::Cluster).into_iter().map(|mut cluster| {
        let fields = cluster.as_object_mut().unwrap();
        assert!(fields.remove("eds_cluster_config").is_some());
        let name = fields["name"].as_str().unwrap().to_owned();
        fields.insert("type".into(), "STATIC".into());
        fields.insert("load_assignment".into(), assignments.remove(&name).unwrap());
        cluster
    });
    let routes = json_of(snapshot, ResourceType::Route);
    let listeners = json_of(snapshot, ResourceType::Listener).into_iter().map(|mut listener| {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        if let Some(rds) = manager.as_object_mut().unwrap().remove("rds") {
            let config = routes.iter().find(|r| r["name"] == rds["route_config_name"]).unwrap();
            manager["route_config"] = config.clone();
        }
        listener
    });
    let all = json!({"static_resources": {
        "clusters": clusters.collect::<Vec<_>>(),
        "listeners": listeners.collect::<Vec<_>>(),
    }});
    serde_yaml::to_string(&all).unwrap()
}

#[test]
fn a_real_envoy_takes_every_resource() {
    let files = upstreams::files();
    let dir = format!("{}/", files.path().display());
    for case in cases().into_iter().chain(upstreams::cases()).filter(|case| !case.dialect.proxyless) {
        if case.dialect == Dialect::PLAIN || has_stats_access_logger() {
            validate(case.name, &as_static(&case.snapshot()).replace(upstreams::FILES, &dir));
        }
    }
}

/// Whether the Envoy at `$ENVOY` speaks the modern dialect; true where there is none.
fn has_stats_access_logger() -> bool {
    let Some(envoy) = env::var_os("ENVOY") else { return true };
    let output = Command::new(envoy).arg("--version").output().unwrap();
    // envoy  version: 9e55…/1.40.0/Clean/RELEASE/BoringSSL
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split('/').find(|part| part.starts_with("1.")).expect("a version").split('.');
    let [major, minor, patch] = std::array::from_fn(|_| numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0));
    let node = Node { user_agent: "envoy".into(), version: Some((major, minor, patch)), ..Node::default() };
    Dialect::of(&node) == Dialect::MODERN
}

/// `envoy-configs/`: for the demo, where the server is found by the name `serin`.
fn envoy_configs() -> Vec<(&'static str, BootstrapOptions)> {
    let demo = |about: &str| BootstrapOptions {
        about: format!("{about}\nMade by the generator behind `serin bootstrap`: a test keeps them equal."),
        admin: "0.0.0.0:9901".parse().unwrap(),
        ..BootstrapOptions::new("serin", 18_000)
    };
    vec![
        ("delta", demo("For any proxy, over the incremental protocol: what to start from.")),
        (
            "sotw",
            BootstrapOptions {
                variant: Variant::Sotw,
                ..demo("For any proxy, over the state-of-the-world protocol: each change brings all clusters again.")
            },
        ),
        (
            "edge",
            BootstrapOptions {
                node_cluster: Some("edge".into()),
                ..demo("For the proxies of the fleet edge, which take requests from outside.")
            },
        ),
        (
            "sidecar",
            BootstrapOptions {
                node_cluster: Some("sidecar".into()),
                variant: Variant::Sotw,
                ..demo("For the proxies of the fleet sidecar, each beside one instance of a service.")
            },
        ),
        (
            "rds-only",
            BootstrapOptions {
                node_cluster: Some("rds-only".into()),
                listeners_from_server: false,
                own_listeners: vec![OwnListener {
                    route_config: "local_route".into(),
                    bind: "0.0.0.0:10000".parse().unwrap(),
                }],
                ..demo(
                    "For proxies whose listener stays as it is, in this file: only its routes (and their clusters) come\n\
                     from Serin. Its fleet says `routeConfigs: [{name: local_route, services: […]}]`.",
                )
            },
        ),
    ]
}

#[test]
fn envoy_configs_are_generated_and_start() {
    for (name, options) in envoy_configs() {
        let text = bootstrap(&options);
        golden(&in_repository(&format!("envoy-configs/{name}.yaml")), &text);
        if has_stats_access_logger() {
            validate(name, &text);
        }
        validate(&format!("{name} in plain"), &bootstrap(&BootstrapOptions { dialect: Dialect::PLAIN, ..options }));
    }
}

#[test]
fn no_name_breaks_a_bootstrap() {
    let nodes = NodeSelector {
        cluster: Some("y".into()),
        region: Some("no".into()),
        zone: Some("1e3".into()),
        metadata: [("on".to_owned(), "~".to_owned()), ("a: b".to_owned(), "\"\\\n\u{2028}ü#: {".to_owned())].into(),
        ..NodeSelector::default()
    };
    let route_configs = vec![RouteConfig { name: "null".into(), services: Vec::new(), envoy: Default::default() }];
    let options = BootstrapOptions {
        dialect: Dialect::PLAIN,
        ..BootstrapOptions::for_fleet(&Fleet { nodes, route_configs, ..fleet(&[]) }, "::1", 18_000)
    };
    validate("a fleet of odd names", &bootstrap(&options));
}
