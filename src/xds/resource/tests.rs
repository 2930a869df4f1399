use envoy_types::pb::envoy::config::core::v3::{ExtensionConfigSource, TransportSocket, transport_socket};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, filter};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, SdsSecretConfig, UpstreamTlsContext,
};
use envoy_types::util::pack_any;

use super::super::fixtures;
use super::super::wire::{DeltaDiscoveryResponse, DiscoveryResponse};
use super::*;

fn names(resource: &Resource) -> Vec<String> {
    resource.refers_to().iter().map(|(t, name)| format!("{t} {name}")).collect()
}

#[test]
fn it_is_encoded_once_for_both_variants() {
    let resource = fixtures::cluster("a", 7).with_aliases(["b"]);
    let delta = DeltaDiscoveryResponse::decode(resource.delta_entry()).expect("a response");
    let sotw = DiscoveryResponse::decode(resource.sotw_entry()).expect("a response");
    let [entry] = delta.resources.as_slice() else { panic!("one resource") };
    assert_eq!((entry.name.as_str(), entry.aliases.as_slice()), ("a", ["b".to_owned()].as_slice()));
    assert_eq!(entry.version, resource.version().to_string());
    assert_eq!(entry.resource, Some(sotw.resources[0].clone()));
    assert_eq!(sotw.resources[0].type_url, ResourceType::Cluster.type_url());
    assert_eq!(sotw.resources[0].value, resource.body());
    assert_eq!(ResourceVersion::of(resource.body()), resource.version());
}

#[test]
fn a_version_may_be_the_callers_own() {
    let resource = fixtures::cluster("a", 7).with_version("v7");
    assert_eq!(resource.version(), ResourceVersion::read("v7"));
    assert_eq!(resource.version_text(), "v7");
    assert_eq!(resource, fixtures::cluster("a", 8).with_version("v7"));
    assert_ne!(resource.clone().with_ttl(Duration::from_secs(1)), resource);
}

#[test]
fn a_name_stands_for_one() {
    let named = |name: &str| Resource::new(ResourceType::Cluster, name, vec![], vec![]);
    assert_eq!(named("").expect_err("a fault"), ResourceError::Unnamed(ResourceType::Cluster));
    for many in ["*", "xdstp://a/t/*"] {
        assert_eq!(named(many).expect_err("a fault"), ResourceError::Wildcard(ResourceType::Cluster, many.into()));
    }
    assert_eq!(&**named("xdstp://a/t/x?b=1&a=1").expect("a resource").name(), "xdstp://a/t/x?a=1&b=1");
}

#[test]
fn references_are_found_where_they_stand() {
    assert_eq!(names(&fixtures::cluster("a", 1)), ["EDS a"]);
    assert_eq!(names(&fixtures::listener("http", "routes")), ["RDS routes"]);
    assert_eq!(names(&fixtures::route("r", &["b", "a", "b"])), ["CDS a", "CDS b"]);

    let sds = |source| SdsSecretConfig { name: "cert".into(), sds_config: source };
    let source = envoy_types::pb::envoy::config::core::v3::ConfigSource::default;
    let tls = |source| {
        let context = CommonTlsContext { tls_certificate_sds_secret_configs: vec![sds(source)], ..Default::default() };
        let context = UpstreamTlsContext { common_tls_context: Some(context), ..Default::default() };
        let config_type = Some(transport_socket::ConfigType::TypedConfig(pack_any(context)));
        Cluster {
            name: "tls".into(),
            transport_socket: Some(TransportSocket { name: "tls".into(), config_type }),
            ..Default::default()
        }
    };
    assert_eq!(names(&Resource::cluster(&tls(Some(source()))).expect("a cluster")), ["SDS cert"]);
    assert!(names(&Resource::cluster(&tls(None)).expect("a cluster")).is_empty());

    let proxy =
        TcpProxy { cluster_specifier: Some(tcp_proxy::ClusterSpecifier::Cluster("db".into())), ..Default::default() };
    let filters = vec![
        Filter {
            name: "later".into(),
            config_type: Some(filter::ConfigType::ConfigDiscovery(ExtensionConfigSource::default())),
        },
        Filter { name: "tcp".into(), config_type: Some(filter::ConfigType::TypedConfig(pack_any(proxy))) },
    ];
    let chain = FilterChain { filters, ..Default::default() };
    let listener = Listener { name: "tcp".into(), filter_chains: vec![chain], ..Default::default() };
    assert_eq!(names(&Resource::listener(&listener).expect("a listener")), ["CDS db", "ECDS later"]);
}

/// Clients are of many versions, and each has rules of its own: what is sent is the caller's choice.
#[test]
fn xds_38_envoy_s_rules_are_no_concern_of_the_library() {
    let forbidden = Cluster { name: "a".into(), lb_policy: 99, ..Default::default() };
    let resource = Resource::cluster(&forbidden).expect("it has a name");
    let url = ResourceType::Cluster.type_url();
    assert_eq!(crate::descriptors::check(url, resource.body()).expect("a cluster").len(), 1, "it breaks a rule");
    assert_eq!(Resource::decode(ResourceType::Cluster, "a", resource.body()), Ok(resource));
}
