use envoy_types::pb::envoy::config::bootstrap::v3::Bootstrap;
use envoy_types::pb::envoy::config::listener::v3::{Listener, filter};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier,
};
use prost::{Message, Name};
use prost_reflect::DynamicMessage;

use super::*;
use crate::model::{self, NodeSelector, RouteConfig};
use crate::translate::{Dialect, fleet_of, listener};
use crate::xds::Node;

fn fleet() -> Fleet {
    Fleet {
        name: "edge".into(),
        nodes: NodeSelector {
            cluster: Some("y".into()),
            id: Some(Pattern("edge-*".into())),
            region: Some("no".into()),
            zone: Some("1e3".into()),
            metadata: [("on".to_owned(), "~".to_owned()), ("a: b".to_owned(), "\"\\\n\u{2028}ü#".to_owned())].into(),
        },
        listeners: Vec::new(),
        route_configs: ["web", "null"]
            .map(|n| RouteConfig { name: n.into(), services: Vec::new(), envoy: Default::default() })
            .into(),
        config_canary: None,
        poll: None,
    }
}

/// Read as YAML, then checked against Envoy's own schema: unknown fields and wrong types are refused.
fn read(text: &str) -> Bootstrap {
    let yaml: serde_json::Value = serde_yaml::from_str(text).expect(text);
    let schema = crate::descriptors::pool().get_message_by_name(&Bootstrap::full_name()).expect("in the set");
    let message = DynamicMessage::deserialize(schema, yaml).unwrap_or_else(|e| panic!("{e}\n{text}"));
    Bootstrap::decode(message.encode_to_vec().as_slice()).expect("of the same schema")
}

fn managers(listeners: &[Listener]) -> Vec<HttpConnectionManager> {
    let packed =
        listeners.iter().flat_map(|l| &l.filter_chains).flat_map(|c| &c.filters).filter_map(|f| f.config_type.as_ref());
    let decoded = packed.map(|config| match config {
        filter::ConfigType::TypedConfig(any) => HttpConnectionManager::decode(any.value.as_slice()).expect("a manager"),
        filter::ConfigType::ConfigDiscovery(_) => panic!("nothing asks for it"),
    });
    decoded.collect()
}

#[test]
fn a_proxy_of_the_fleet_is_taken_by_the_fleet() {
    let fleet = fleet();
    let text = bootstrap(&BootstrapOptions::for_fleet(&fleet, "serin.example.com", 18_000));
    assert!(text.contains("must look like \"edge-*\""), "{text}");
    let said = read(&text).node.expect("a node");
    assert_eq!(said.id, "", "left to the flag");
    let locality = said.locality.expect("a locality");
    let metadata = said.metadata.expect("metadata").fields.into_iter().map(|(key, value)| {
        use envoy_types::pb::google::protobuf::value::Kind;
        let Some(Kind::StringValue(text)) = value.kind else { panic!("{key} is no string") };
        (key, text)
    });
    let node = Node {
        id: "edge-7".into(),
        cluster: said.cluster,
        locality: crate::xds::Locality { region: locality.region, zone: locality.zone, ..Default::default() },
        metadata: metadata.collect(),
        ..Node::default()
    };
    let world = crate::model::World { fleets: [("edge".to_owned(), fleet)].into(), ..Default::default() };
    assert_eq!(fleet_of(&world, &node).map(|f| f.name.as_str()), Some("edge"), "{node:?}");
}

#[test]
fn a_fleet_that_selects_by_id_has_it_in_the_file() {
    let mut fleet = fleet();
    fleet.nodes = NodeSelector { id: Some(Pattern("the-one".into())), ..NodeSelector::default() };
    let node = read(&bootstrap(&BootstrapOptions::for_fleet(&fleet, "::1", 1))).node.expect("a node");
    assert_eq!((node.id.as_str(), node.cluster.as_str()), ("the-one", "edge"));
}

#[test]
fn its_own_listeners_are_like_those_from_the_server() {
    for dialect in Dialect::ALL {
        let options = BootstrapOptions { dialect, ..BootstrapOptions::for_fleet(&fleet(), "127.0.0.1", 18_000) };
        let listeners = read(&bootstrap(&options)).static_resources.expect("static resources").listeners;
        let own = managers(&listeners);
        assert_eq!(own.len(), 2);
        for (mut manager, name) in own.into_iter().zip(["web", "null"]) {
            let bind = "0.0.0.0:1".parse().expect("an address");
            let given = model::Listener {
                name: name.into(),
                bind,
                services: Vec::new(),
                envoy: Default::default(),
                tls: None,
                trusted_hops: 0,
                preview: false,
            };
            let resource = listener::resource(&fleet(), &given, dialect, None).expect("a listener");
            let from_server = managers(&[Listener::decode(resource.body()).expect("a listener")]);
            if let Some(RouteSpecifier::Rds(rds)) = &mut manager.route_specifier {
                let waits = rds.config_source.as_mut().and_then(|source| source.initial_fetch_timeout.take());
                assert_eq!(waits, Some(Default::default()), "a listener of one's own waits for ever");
            }
            assert_eq!([manager], *from_server);
        }
    }
}

#[test]
fn ports_count_on_from_10000() {
    let options = BootstrapOptions::for_fleet(&fleet(), "127.0.0.1", 18_000);
    assert_eq!(options.own_listeners.iter().map(|l| l.bind.port()).collect::<Vec<_>>(), [10_000, 10_001]);
    assert!(!options.listeners_from_server);
}

#[test]
fn options_do_what_they_say() {
    let options = BootstrapOptions::new("serin", 18_000);
    let text = bootstrap(&options);
    assert!(text.contains("--service-node ID --service-cluster CLUSTER"), "{text}");
    let read_with = |change: fn(&mut BootstrapOptions)| {
        let mut options = options.clone();
        change(&mut options);
        read(&bootstrap(&options))
    };
    let plain = read(&text);
    assert!(plain.node.is_none());
    let dynamic = plain.dynamic_resources.expect("dynamic resources");
    assert!(dynamic.lds_config.is_some() && dynamic.cds_config.is_some());
    assert_eq!(plain.stats_sinks.len(), 1);
    assert!(plain.cluster_manager.expect("a cluster manager").load_stats_config.is_some());

    let without_sink = read_with(|o| o.metrics_sink = false);
    assert!(without_sink.stats_sinks.is_empty() && without_sink.stats_config.is_none());
    assert!(without_sink.cluster_manager.expect("a cluster manager").load_stats_config.is_some());

    let sotw = read_with(|o| o.variant = Variant::Sotw);
    let api_type =
        |of: Bootstrap| of.dynamic_resources.and_then(|d| d.ads_config).expect("ads").api_type().as_str_name();
    assert_eq!(api_type(sotw), "GRPC");
    assert_eq!(api_type(read_with(|_| ())), "DELTA_GRPC");

    let no_lds = read_with(|o| o.listeners_from_server = false);
    assert!(no_lds.dynamic_resources.expect("dynamic resources").lds_config.is_none());

    for (given, millis) in [(0, 1), (200, 200), (1_005, 1_005), (3_600_000, 299_999)] {
        let options = BootstrapOptions { flush_interval: Duration::from_millis(given), ..options.clone() };
        let wanted = crate::translate::duration(Duration::from_millis(millis));
        assert_eq!(read(&bootstrap(&options)).stats_flush_interval, Some(wanted));
    }
}

#[test]
fn the_server_is_found_by_address_or_name() {
    use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
    for (host, discovery) in [
        ("10.0.0.1", DiscoveryType::Static),
        ("::1", DiscoveryType::Static),
        ("[::1]", DiscoveryType::Static),
        ("serin", DiscoveryType::StrictDns),
        ("serin.example.com", DiscoveryType::StrictDns),
    ] {
        let clusters = read(&bootstrap(&BootstrapOptions::new(host, 18_000))).static_resources.expect("some").clusters;
        let [xds] = clusters.as_slice() else { panic!("one cluster") };
        assert_eq!(xds.cluster_discovery_type, Some(ClusterDiscoveryType::Type(discovery.into())), "{host}");
    }
}
