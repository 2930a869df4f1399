use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::HealthStatus;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, route, route_action::ClusterSpecifier};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::model::{Endpoint, EndpointState, Listener, NodeSelector, Protocol, RouteConfig, Share, Version, Weight};
use crate::xds::ResourceType;

type Services = BTreeMap<String, Service>;
type Plans = BTreeMap<String, TrafficPlan>;

fn service(name: &str, versions: &[&str]) -> (String, Service) {
    let endpoint =
        |n: usize| Endpoint { address: ([10, 0, 0, n as u8], 80).into(), zone: None, weight: 1, draining: false };
    let versions = versions
        .iter()
        .enumerate()
        .map(|(n, v)| (v.to_string(), Version { endpoints: vec![endpoint(n)], ..Version::default() }));
    let service = Service {
        name: name.to_owned(),
        hosts: vec![format!("{name}.example.com")],
        protocol: Protocol::Http1,
        versions: versions.collect(),
        outlier_detection: None,
        connect_timeout: Duration::from_secs(1),
        timeout: None,
        envoy: Default::default(),
        ..Service::named("")
    };
    (name.to_owned(), service)
}

/// Service `a` on two listeners and a route configuration, service `b` on one of the listeners only.
fn fleet() -> Fleet {
    let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
    let listener = |name: &str, port, services: &[&str]| Listener {
        name: name.to_owned(),
        bind: ([0, 0, 0, 0], port).into(),
        services: names(services),
        envoy: Default::default(),
        tls: None,
        trusted_hops: 0,
        preview: false,
    };
    Fleet {
        name: "edge".to_owned(),
        nodes: NodeSelector::default(),
        listeners: vec![listener("in", 1, &["a", "b"]), listener("out", 2, &["a"])],
        route_configs: vec![RouteConfig { name: "own".to_owned(), services: names(&["a"]), envoy: Default::default() }],
        config_canary: None,
        poll: None,
    }
}

fn services() -> Services {
    [service("a", &["v1", "v2", "v3"]), service("b", &["v1"])].into()
}

fn plans(canary: f64) -> Plans {
    let weight = Weight::from_percent(canary).expect("a percentage");
    let a = TrafficPlan::split("a", "v2", weight, "v1");
    [("a".to_owned(), a), ("b".to_owned(), TrafficPlan::all_to("b", "v1"))].into()
}

fn built(fleet: &Fleet, services: &Services, plans: &Plans) -> Snapshot {
    snapshot(fleet, services, plans, Dialect::MODERN).expect("a snapshot")
}

fn names(snapshot: &Snapshot, resource_type: ResourceType) -> Vec<&str> {
    snapshot.of_type(resource_type).keys().map(|n| &**n).collect()
}

fn destination(snapshot: &Snapshot, config: &str, virtual_host: &str) -> ClusterSpecifier {
    let body = snapshot.get(ResourceType::Route, config).expect("the route configuration").body();
    let config = RouteConfiguration::decode(body).expect("a route configuration");
    let host = config.virtual_hosts.into_iter().find(|h| h.name == virtual_host).expect("the virtual host");
    let [route] = <[_; 1]>::try_from(host.routes).expect("one route");
    let Some(route::Action::Route(action)) = route.action else { panic!("it leads nowhere") };
    assert!(action.retry_policy.is_none(), "only first tries are judged");
    action.cluster_specifier.expect("a destination")
}

#[test]
fn every_version_has_a_cluster_with_or_without_traffic() {
    let snapshot = built(&fleet(), &services(), &plans(5.0));
    for resource_type in [ResourceType::Cluster, ResourceType::Endpoint] {
        assert_eq!(names(&snapshot, resource_type), ["a/v1", "a/v2", "a/v3", "b/v1"]);
    }
    assert_eq!(names(&snapshot, ResourceType::Listener), ["in", "out"]);
    assert_eq!(names(&snapshot, ResourceType::Route), ["in", "out", "own"]);
}

#[test]
fn a_version_that_is_the_same_as_another_has_its_endpoints_in_a_cluster_of_its_own() {
    let mut services = services();
    let versions = &mut services.get_mut("a").expect("it").versions;
    let endpoints = versions["v1"].endpoints.clone();
    versions.insert("v2".into(), Version { endpoints, same_as: Some("v1".into()), ..Version::default() });
    let mut plans = plans(5.0);
    // What becomes of an endpoint of one version is nothing to the other.
    let draining = [(([10, 0, 0, 0], 80).into(), EndpointState::Draining)];
    plans.get_mut("a").expect("it").endpoints.insert("v1".into(), draining.into());
    let snapshot = built(&fleet(), &services, &plans);
    let [one, other] = ["a/v1", "a/v2"].map(|name| {
        let body = snapshot.get(ResourceType::Endpoint, name).expect("it").body();
        let assignment = ClusterLoadAssignment::decode(body).expect("an assignment");
        assert_eq!(assignment.cluster_name, name);
        assignment.endpoints[0].lb_endpoints[0].clone()
    });
    assert_eq!(one.host_identifier, other.host_identifier);
    assert_eq!((one.health_status(), other.health_status()), (HealthStatus::Draining, HealthStatus::Unknown));
}

#[test]
fn a_step_changes_the_service_s_routes_and_nothing_else() {
    let mut fleet = fleet();
    fleet.listeners.push(Listener {
        name: "b-only".into(),
        bind: ([0, 0, 0, 0], 3).into(),
        services: vec!["b".into()],
        envoy: Default::default(),
        tls: None,
        trusted_hops: 0,
        preview: false,
    });
    for (before, after) in [(0.0, 5.0), (5.0, 50.0), (50.0, 100.0), (50.0, 0.0)] {
        let [before, after] = [before, after].map(|w| built(&fleet, &services(), &plans(w)));
        let changed: Vec<_> = after
            .iter()
            .filter(|r| before.get(r.resource_type(), r.name()) != Some(r))
            .map(|r| (r.resource_type(), &**r.name()))
            .collect();
        assert_eq!(changed, ["in", "out", "own"].map(|name| (ResourceType::Route, name)));
        assert_eq!(before.len(), after.len());
    }
}

#[test]
fn what_stays_the_same_has_the_same_version() {
    assert_eq!(
        built(&fleet(), &services(), &plans(5.0)).version(),
        built(&fleet(), &services(), &plans(5.0)).version()
    );
    let mut more = services();
    more.extend([service("of-another-fleet", &["v1"])]);
    assert_eq!(built(&fleet(), &more, &plans(5.0)), built(&fleet(), &services(), &plans(5.0)));
}

#[test]
fn only_the_listeners_differ_between_proxies() {
    let [modern, plain] =
        [Dialect::MODERN, Dialect::PLAIN].map(|d| snapshot(&fleet(), &services(), &plans(5.0), d).expect("a snapshot"));
    for resource_type in ResourceType::CORE {
        let same = modern.version_of(resource_type) == plain.version_of(resource_type);
        assert_eq!(same, resource_type != ResourceType::Listener, "{resource_type}");
    }
}

#[test]
fn all_of_the_traffic_is_no_weighted_list() {
    for (weight, version) in [(0.0, "a/v1"), (100.0, "a/v2")] {
        let snapshot = built(&fleet(), &services(), &plans(weight));
        assert_eq!(destination(&snapshot, "in", "a"), ClusterSpecifier::Cluster(version.to_owned()));
    }
}

#[test]
fn without_what_a_route_names_there_is_no_snapshot() {
    let whole = built(&fleet(), &services(), &plans(5.0));
    for missing in whole.iter() {
        let mut builder = Snapshot::builder();
        for resource in whole.iter().filter(|r| *r != missing) {
            builder.add(resource.clone());
        }
        let (resource_type, name) = (missing.resource_type(), &**missing.name());
        let is_named = match resource_type {
            ResourceType::Cluster => name != "a/v3",
            ResourceType::Listener => false,
            ResourceType::Route => name != "own",
            _ => true,
        };
        assert_eq!(builder.build().is_err(), is_named, "without {resource_type} {name}");
    }
}

#[test]
fn an_error_says_where_to_look() {
    let no_change = |_: &mut Fleet, _: &mut Services, _: &mut Plans| {};
    type Change = fn(&mut Fleet, &mut Services, &mut Plans);
    let cases: [(&str, Change); 8] = [
        ("fleet edge routes to service c, which does not exist", |fleet, _, _| {
            fleet.route_configs[0].services.push("c".into());
        }),
        ("fleet edge: service b has no traffic plan", |_, _, plans| {
            plans.remove("b");
        }),
        ("fleet edge: the traffic plan of service b names version v9, which it does not have", |_, _, plans| {
            plans.insert("b".into(), TrafficPlan::all_to("b", "v9"));
        }),
        ("fleet edge: the traffic plan of service b names version v9, which it does not have", |_, _, plans| {
            plans.insert("b".into(), TrafficPlan::split("b", "v9", Weight::ZERO, "v1"));
        }),
        ("fleet edge: the shares of service b sum to 1000 hundredths of a percent, not 10000", |_, _, plans| {
            let stored = r#"{"service": "b", "shares": [{"version": "v1", "weight": 10}]}"#;
            plans.insert("b".into(), serde_json::from_str(stored).expect("what no plan can be made of"));
        }),
        ("fleet edge: services a and b both answer to host a.example.com on in", |_, services, _| {
            services.get_mut("b").expect("it").hosts.push("A.Example.com".into());
        }),
        ("fleet edge: a LDS resource has an empty name", |fleet, _, _| fleet.listeners[0].name.clear()),
        ("fleet edge: two RDS resources are named in", |fleet, _, _| fleet.route_configs[0].name = "in".into()),
    ];
    let run = |change: Change| {
        let (mut fleet, mut services, mut plans) = (fleet(), services(), plans(5.0));
        change(&mut fleet, &mut services, &mut plans);
        snapshot(&fleet, &services, &plans, Dialect::MODERN)
    };
    assert!(run(no_change).is_ok());
    for (message, change) in cases {
        assert_eq!(run(change).expect_err(message).to_string(), message);
    }
}

#[test]
fn ports_count_only_where_the_spec_names_them() {
    for (hosts, ignored) in [
        (&["a.example.com", "*"][..], true),
        (&["[::1]"], true),
        (&["a.example.com:8080"], false),
        (&["a.example.com", "[::1]:80"], false),
    ] {
        let mut services = services();
        services.get_mut("a").expect("it").hosts = hosts.iter().map(|h| h.to_string()).collect();
        let snapshot = built(&fleet(), &services, &plans(5.0));
        let body = snapshot.get(ResourceType::Route, "own").expect("it").body();
        let config = RouteConfiguration::decode(body).expect("a route configuration");
        assert_eq!(config.ignore_port_in_host_matching, ignored, "{hosts:?}");
    }
}

#[test]
fn what_envoy_forbids_is_kept_back_and_told_of_the_document_it_is_in() {
    type Change = fn(&mut Services);
    let cases: [(&str, Document, Change); 3] = [
        (
            "fleet edge: Envoy's own rules forbid CDS a/v1: connect_timeout must be more than 0s, got 0s",
            Document::Service("a"),
            |services| services.get_mut("a").expect("it").connect_timeout = Duration::ZERO,
        ),
        (
            "fleet edge: Envoy's own rules forbid VHDS b: domains[0] must be without line breaks and NUL, \
             got \"b\\0\"",
            Document::Service("b"),
            |services| services.get_mut("b").expect("it").hosts = vec!["b\0".to_owned()],
        ),
        (
            "fleet edge: Envoy's own rules forbid VHDS a: domains must have at least 1 item, got 0 items",
            Document::Service("a"),
            |services| services.get_mut("a").expect("it").hosts.clear(),
        ),
    ];
    for (message, document, change) in cases {
        let mut services = services();
        change(&mut services);
        let error = snapshot(&fleet(), &services, &plans(5.0), Dialect::MODERN).expect_err(message);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.document(), document);
    }
}

/// Endpoints of a version in a few zones, some twice.
fn endpoints() -> impl Strategy<Value = Vec<Endpoint>> {
    let zone = prop_oneof![Just(None), Just(Some("eu-1a".to_owned())), Just(Some("eu-1b".to_owned()))];
    let endpoint = (0u8..20, zone).prop_map(|(n, zone)| Endpoint {
        address: ([10, 0, 0, n], 80).into(),
        zone,
        weight: 1,
        draining: false,
    });
    prop::collection::vec(endpoint, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_what_is_written_does_not_matter(
        (endpoints, shuffled) in endpoints().prop_flat_map(|e| (Just(e.clone()), Just(e).prop_shuffle())),
        hosts in Just(["x.example.com", "y.example.com", "*.example.com", "Z.example.com"]).prop_shuffle(),
        names in Just(vec!["b".to_owned(), "a".to_owned(), "a".to_owned()]).prop_shuffle(),
        turn in any::<bool>(),
    ) {
        let world = |endpoints: Vec<Endpoint>, hosts: [&str; 4]| {
            let mut services = services();
            let a = services.get_mut("a").expect("it");
            a.versions.insert("v1".into(), Version { endpoints, ..Version::default() });
            a.hosts = hosts.iter().map(|h| h.to_string()).collect();
            services
        };
        let one = built(&fleet(), &world(endpoints, ["*.example.com", "x.example.com", "y.example.com", "z.example.com"]), &plans(5.0));
        let mut fleet = fleet();
        fleet.listeners[0].services = names;
        if turn {
            fleet.listeners.reverse();
        }
        let other = built(&fleet, &world(shuffled, hosts), &plans(5.0));
        prop_assert_eq!(one.version(), other.version());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn shares_keep_their_order_and_their_total(first in 0u32..=10_000, second in 0u32..=10_000) {
        let percent = |hundredths: u32| Weight::from_percent(f64::from(hundredths) / 100.0).expect("a percentage");
        let second = second.min(10_000 - first);
        let all = [("v2", first), ("v3", second), ("v1", 10_000 - first - second)];
        let shares = all.iter().map(|&(version, of)| Share { version: version.to_owned(), weight: percent(of) });
        let mut plans = plans(0.0);
        plans.insert("a".into(), TrafficPlan::new("a", shares.collect()).expect("a plan"));
        let served: Vec<(String, u32)> =
            all.into_iter().filter(|(_, of)| *of > 0).map(|(version, of)| (cluster_name("a", version), of)).collect();
        match destination(&built(&fleet(), &services(), &plans), "in", "a") {
            ClusterSpecifier::Cluster(only) => prop_assert_eq!(vec![(only, 10_000)], served),
            ClusterSpecifier::WeightedClusters(weighted) => {
                let listed = weighted.clusters.into_iter().map(|c| (c.name, c.weight.map_or(0, |w| w.value)));
                prop_assert_eq!(listed.collect::<Vec<_>>(), served);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_two_versions_share_a_resource(pairs in prop::collection::btree_set(("[a-b-]{1,3}", "[ab][ab._-]{0,2}"), 1..12)) {
        let mut services = Services::new();
        for (name, version) in &pairs {
            let entry = services.entry(name.clone()).or_insert_with(|| service(name, &[]).1);
            entry.versions.insert(version.clone(), Version::default());
        }
        let plans: Plans = services
            .values()
            .filter_map(|s| Some((s.name.clone(), TrafficPlan::all_to(&s.name, s.versions.keys().next()?))))
            .collect();
        let mut fleet = fleet();
        fleet.route_configs.clear();
        fleet.listeners.truncate(1);
        fleet.listeners[0].services = services.keys().cloned().collect();
        let snapshot = built(&fleet, &services, &plans);
        let clusters: BTreeSet<Arc<str>> = snapshot.of_type(ResourceType::Cluster).keys().cloned().collect();
        prop_assert_eq!(clusters.len(), pairs.len());
        let parsed: BTreeSet<_> = clusters.iter().filter_map(|name| parse_cluster_name(name)).collect();
        prop_assert_eq!(parsed, pairs);
    }
}
