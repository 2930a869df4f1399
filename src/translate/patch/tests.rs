//! What raw configuration does to the resources, and what it cannot do.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};

use super::super::*;
use crate::descriptors;
use crate::model::{Listener, NodeSelector, Patches, Protocol, Version};
use crate::xds::Resource;

/// A fleet with a listener `in` and a service `a`, both with these patches.
fn world(patches: &[(PatchTarget, Value)]) -> (Fleet, BTreeMap<String, Service>, BTreeMap<String, TrafficPlan>) {
    let of = |targets: &[PatchTarget]| -> Patches {
        patches.iter().filter(|(target, _)| targets.contains(target)).cloned().collect()
    };
    use PatchTarget::{
        Cluster, ConnectionManager, FilterChain, Listener as Itself, Route, RouteConfiguration, VirtualHost,
    };
    let listener = Listener {
        name: "in".into(),
        bind: ([0, 0, 0, 0], 1).into(),
        services: vec!["a".into()],
        envoy: of(&[Itself, FilterChain, ConnectionManager, RouteConfiguration]),
        tls: None,
        trusted_hops: 0,
        preview: false,
    };
    let fleet = Fleet {
        name: "edge".into(),
        nodes: NodeSelector::default(),
        listeners: vec![listener],
        route_configs: Vec::new(),
        config_canary: None,
        poll: None,
    };
    let service = Service {
        name: "a".into(),
        hosts: vec!["a.test".into()],
        protocol: Protocol::Http1,
        versions: [("v1".to_owned(), Version::default()), ("v2".to_owned(), Version::default())].into(),
        outlier_detection: None,
        connect_timeout: std::time::Duration::from_secs(1),
        timeout: None,
        envoy: of(&[Cluster, Route, VirtualHost]),
        ..Service::named("")
    };
    let plan = TrafficPlan::all_to("a", "v1");
    (fleet, [("a".to_owned(), service)].into(), [("a".to_owned(), plan)].into())
}

fn built(patches: &[(PatchTarget, Value)]) -> Result<Snapshot, TranslateError> {
    let (fleet, services, plans) = world(patches);
    snapshot(&fleet, &services, &plans, Dialect::MODERN)
}

fn shown(patches: &[(PatchTarget, Value)], resource_type: ResourceType, name: &str) -> Value {
    let snapshot = built(patches).expect("a snapshot");
    let resource = snapshot.get(resource_type, name).expect("it");
    descriptors::to_json(resource_type.type_url(), resource.body()).expect("JSON")
}

#[test]
fn each_patch_reaches_its_message() {
    let header = json!({"request_headers_to_remove": ["x"]});
    let patches = [
        (PatchTarget::Listener, json!({"traffic_direction": "INBOUND"})),
        (PatchTarget::FilterChain, json!({"name": "chain", "filters": [{"name": "first"}]})),
        (PatchTarget::ConnectionManager, json!({"http_filters": [{"name": "first"}], "server_name": "s"})),
        (PatchTarget::RouteConfiguration, header.clone()),
        (PatchTarget::Cluster, json!({"alt_stat_name": "s", "connectTimeout": "3s"})),
        (PatchTarget::Route, json!({"route": {"retry_policy": {"retry_on": "5xx"}, "timeout": "2s"}})),
        (
            PatchTarget::VirtualHost,
            json!({"request_headers_to_remove": ["y"], "routes": [{"match": {"path": "/x"}, "route": {"cluster": "a/v2"}}]}),
        ),
    ];
    let listener = shown(&patches, ResourceType::Listener, "in");
    let chain = &listener["filter_chains"][0];
    let manager = &chain["filters"][1]["typed_config"];
    assert_eq!(listener["traffic_direction"], "INBOUND");
    assert_eq!((&chain["name"], &chain["filters"][0]["name"]), (&json!("chain"), &json!("first")));
    assert_eq!(manager["rds"]["route_config_name"], "in");
    assert_eq!(manager["server_name"], "s");
    let filters: Vec<&Value> = manager["http_filters"].as_array().expect("a list").iter().map(|f| &f["name"]).collect();
    assert_eq!(filters, ["first", "envoy.filters.http.router"]);
    let routes = shown(&patches, ResourceType::Route, "in");
    assert_eq!(routes["request_headers_to_remove"], header["request_headers_to_remove"]);
    let host = &routes["virtual_hosts"][0];
    assert_eq!(host["request_headers_to_remove"], json!(["y"]));
    assert_eq!(host["routes"][0]["match"]["path"], "/x");
    let action = &host["routes"][1]["route"];
    assert_eq!((&action["cluster"], &action["timeout"]), (&json!("a/v1"), &json!("2s")));
    assert_eq!(action["retry_policy"]["retry_on"], "5xx");
    for version in ["a/v1", "a/v2"] {
        let cluster = shown(&patches, ResourceType::Cluster, version);
        assert_eq!((&cluster["name"], &cluster["type"]), (&json!(version), &json!("EDS")));
        assert_eq!((&cluster["alt_stat_name"], &cluster["connect_timeout"]), (&json!("s"), &json!("3s")));
    }
}

#[test]
fn what_a_patch_refers_to_must_exist() {
    let mirror = |cluster: &str| {
        let policy = json!({"route": {"request_mirror_policies": [{"cluster": cluster}]}});
        built(&[(PatchTarget::Route, policy)])
    };
    let snapshot = mirror("a/v2").expect("it exists");
    let routes = snapshot.get(ResourceType::Route, "in").expect("it");
    assert!(routes.refers_to().iter().any(|(_, name)| &**name == "a/v2"), "{:?}", routes.refers_to());
    let error = mirror("b/v1").expect_err("it does not");
    assert_eq!(error.to_string(), "fleet edge: RDS in refers to CDS b/v1, which is not in the snapshot");
}

#[test]
fn what_envoy_forbids_is_told_of_the_patch() {
    for (target, patch, message, document) in [
        (
            PatchTarget::Cluster,
            json!({"outlier_detection": {"max_ejection_percent": 101}}),
            "fleet edge: `envoy.cluster` of service a: Envoy's own rules forbid it: \
             outlier_detection.max_ejection_percent must be at most 100, got 101",
            Document::Service("a"),
        ),
        (
            PatchTarget::ConnectionManager,
            json!({"http_filters": [{"typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
            }}]}),
            "fleet edge: `envoy.connectionManager` of in: Envoy's own rules forbid it: \
             http_filters[0].name must not be empty, got nothing; \
             http_filters[0].typed_config.max_request_bytes must be set, got nothing",
            Document::Fleet("edge"),
        ),
        (
            PatchTarget::Cluster,
            json!({"name": "b"}),
            "fleet edge: `envoy.cluster` of service a: this cannot be merged into a envoy.config.cluster.v3.Cluster: \
             name: `name` cannot be set here: it is named by the spec",
            Document::Service("a"),
        ),
    ] {
        let error = built(&[(target, patch)]).expect_err(message);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.document(), document);
    }
}

#[test]
fn without_patches_nothing_changes() {
    let empty = [(PatchTarget::Cluster, json!({})), (PatchTarget::Listener, json!({}))];
    let (with, without) = (built(&empty).expect("a snapshot"), built(&[]).expect("a snapshot"));
    for resource in without.iter() {
        let url = resource.resource_type().type_url();
        let other = with.get(resource.resource_type(), resource.name()).expect("it");
        let json = |body: &[u8]| descriptors::to_json(url, body).expect("JSON");
        assert_eq!(json(other.body()), json(resource.body()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_same_patch_gives_the_same_version(keys in prop::collection::btree_set("[a-z]{1,3}", 2..12)) {
        let entries: serde_json::Map<String, Value> = keys.iter().map(|key| (key.clone(), json!({"x": 1}))).collect();
        let metadata = json!({"metadata": {"filter_metadata": entries}});
        let patches = [PatchTarget::Listener, PatchTarget::Cluster, PatchTarget::Route].map(|t| (t, metadata.clone()));
        let first = built(&patches).expect("a snapshot");
        prop_assert_eq!(&built(&patches).expect("a snapshot"), &first);
        // As it comes back out of a store.
        for resource in first.iter() {
            let stored = Resource::decode(resource.resource_type(), resource.name(), resource.body());
            prop_assert_eq!(stored.as_ref(), Ok(resource));
        }
        let body = first.get(ResourceType::Cluster, "a/v1").expect("it").body();
        let cluster = Cluster::decode(body).expect("a cluster");
        prop_assert_eq!(cluster.metadata.map(|metadata| metadata.filter_metadata.len()), Some(keys.len()));
    }
}
