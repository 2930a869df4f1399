//! Clusters and their endpoints, one pair for each version of a service. PURE: from the spec alone, so that a rollout
//! never changes them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use envoy_types::pb::envoy::config::cluster::v3::{Cluster, OutlierDetection, cluster};
use envoy_types::pb::envoy::config::core::v3::{
    Address, Http1ProtocolOptions, Http2ProtocolOptions, Locality, SocketAddress, address, socket_address,
};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::{HttpProtocolOptions, http_protocol_options};
use envoy_types::pb::google::protobuf::{Any, BoolValue, UInt32Value};

use super::check::checked;
use super::patch::Raw;
use super::{TranslateError, cluster_name, duration, over_ads, packed};
use crate::model::{self, PatchTarget, Protocol, Service, Version};
use crate::xds::Resource;

/// The cluster and the endpoints of every version of a service; `fleet` is for errors alone.
pub(super) fn resources<'a>(
    fleet: &'a str,
    service: &'a Service,
) -> impl Iterator<Item = Result<Resource, TranslateError>> + 'a {
    let raw = Raw::of_service(fleet, service);
    service.versions.iter().flat_map(move |(name, version)| {
        let name = cluster_name(&service.name, name);
        let cluster = raw.onto(PatchTarget::Cluster, cluster(service, &name));
        [
            cluster.and_then(|cluster| raw.resource(&cluster, Resource::cluster, !raw.is_empty())),
            raw.resource(&endpoints(version, &name), Resource::endpoint, false),
        ]
        .map(|made| checked(fleet, Some(service), made?))
    })
}

fn cluster(service: &Service, name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(cluster::DiscoveryType::Eds.into())),
        // Envoy's own timeout (15 s) for endpoints that never come stays: an empty assignment is always there to be sent.
        eds_cluster_config: Some(cluster::EdsClusterConfig {
            eds_config: Some(over_ads()),
            service_name: String::new(),
        }),
        connect_timeout: Some(duration(service.connect_timeout)),
        // Two endpoints at random, the less busy one: a slow endpoint gets less than its part, where round robin piles up.
        lb_policy: cluster::LbPolicy::LeastRequest.into(),
        typed_extension_protocol_options: protocol_options(service.protocol),
        outlier_detection: service.outlier_detection.as_ref().map(outlier_detection),
        ..Default::default()
    }
}

/// One entry and no more: prost encodes maps in random order.
fn protocol_options(protocol: Protocol) -> HashMap<String, Any> {
    use http_protocol_options::explicit_http_config::ProtocolConfig;
    use http_protocol_options::{ExplicitHttpConfig, UpstreamProtocolOptions};
    let config = match protocol {
        Protocol::Http1 => ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default()),
        Protocol::Http2 | Protocol::Grpc => ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default()),
    };
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(config),
        })),
        ..Default::default()
    };
    HashMap::from([("envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(), packed(&options))])
}

fn outlier_detection(of: &model::OutlierDetection) -> OutlierDetection {
    let number = |value: u32| UInt32Value { value };
    OutlierDetection {
        consecutive_5xx: of.consecutive_5xx.map(number),
        interval: of.interval.map(duration),
        base_ejection_time: of.base_ejection_time.map(duration),
        max_ejection_percent: of.max_ejection_percent.map(number),
        // Envoy's default of 10 % means that none of fewer than ten endpoints is ever taken out, and a canary is small.
        always_eject_one_host: of.max_ejection_percent.is_none().then_some(BoolValue { value: true }),
        ..Default::default()
    }
}

/// Empty where nothing runs the version yet: a cluster without an answer about its endpoints would warm for 15 s.
fn endpoints(version: &Version, cluster: &str) -> ClusterLoadAssignment {
    let mut zones: BTreeMap<&str, BTreeSet<std::net::SocketAddr>> = BTreeMap::new();
    for endpoint in &version.endpoints {
        zones.entry(endpoint.zone.as_deref().unwrap_or_default()).or_default().insert(endpoint.address);
    }
    // Zones only show in load reports: without locality weights Envoy spreads requests over all endpoints alike.
    let localities = zones.into_iter().map(|(zone, addresses)| LocalityLbEndpoints {
        locality: (!zone.is_empty()).then(|| Locality { zone: zone.to_owned(), ..Default::default() }),
        lb_endpoints: addresses.into_iter().map(endpoint).collect(),
        ..Default::default()
    });
    ClusterLoadAssignment { cluster_name: cluster.to_owned(), endpoints: localities.collect(), ..Default::default() }
}

pub(super) fn endpoint(at: std::net::SocketAddr) -> LbEndpoint {
    LbEndpoint {
        host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(Endpoint {
            address: Some(address(at)),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// An IP address and a TCP port as Envoy's API has them.
pub(super) fn address(at: std::net::SocketAddr) -> Address {
    Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: at.ip().to_string(),
            port_specifier: Some(socket_address::PortSpecifier::PortValue(at.port().into())),
            ..Default::default()
        })),
    }
}
