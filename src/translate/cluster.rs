//! Clusters and their endpoints, one pair for each version of a service. PURE: the cluster from the spec alone, so that a
//! rollout never changes it; its endpoints from the spec and what the plan says of them.

mod endpoints;
mod health;

use std::collections::HashMap;

use envoy_types::pb::envoy::config::cluster::v3::{
    CircuitBreakers, Cluster, OutlierDetection, circuit_breakers, cluster,
};
use envoy_types::pb::envoy::config::core::v3::{
    Address, Http1ProtocolOptions, Http2ProtocolOptions, SocketAddress, address, socket_address,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::{HttpProtocolOptions, http_protocol_options};
use envoy_types::pb::google::protobuf::{Any, BoolValue, UInt32Value};

pub(super) use endpoints::{endpoint, told};

use super::check::checked;
use super::patch::Raw;
use super::{TranslateError, cluster_name, duration, over_ads, packed, tls};
use crate::model::{self, LoadBalancing, PatchTarget, Protocol, Service, TrafficPlan};
use crate::xds::Resource;

/// The cluster and the endpoints of every version of a service; `fleet` is for errors alone.
pub(super) fn resources<'a>(
    fleet: &'a str,
    service: &'a Service,
    plan: &'a TrafficPlan,
) -> impl Iterator<Item = Result<Resource, TranslateError>> + 'a {
    let raw = Raw::of_service(fleet, service);
    service.versions.iter().flat_map(move |(version, of)| {
        let name = cluster_name(&service.name, version);
        let cluster = raw.onto(PatchTarget::Cluster, cluster(service, &name));
        let endpoints = endpoints::assignment(of, plan.endpoints.get(version), &name);
        [
            cluster.and_then(|cluster| raw.resource(&cluster, Resource::cluster, !raw.is_empty())),
            raw.resource(&endpoints, Resource::endpoint, false),
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
        lb_policy: lb_policy(service.load_balancing).into(),
        typed_extension_protocol_options: protocol_options(service.protocol),
        outlier_detection: service.outlier_detection.as_ref().map(outlier_detection),
        circuit_breakers: service.circuit_breakers.as_ref().map(circuit_breakers),
        health_checks: service.health_check.iter().map(|check| health::check(service, check)).collect(),
        // Otherwise an endpoint that is told of no more goes on serving for as long as it answers the health check.
        ignore_health_on_host_removal: service.health_check.is_some(),
        transport_socket: service.tls.as_ref().map(tls::upstream),
        ..Default::default()
    }
}

fn lb_policy(of: LoadBalancing) -> cluster::LbPolicy {
    match of {
        // Two endpoints at random, the less busy one: a slow one gets less than its part, where round robin piles up.
        LoadBalancing::LeastRequest => cluster::LbPolicy::LeastRequest,
        LoadBalancing::RoundRobin => cluster::LbPolicy::RoundRobin,
        LoadBalancing::Random => cluster::LbPolicy::Random,
        LoadBalancing::RingHash => cluster::LbPolicy::RingHash,
        LoadBalancing::Maglev => cluster::LbPolicy::Maglev,
    }
}

fn number(value: u32) -> UInt32Value {
    UInt32Value { value }
}

fn circuit_breakers(of: &model::CircuitBreakers) -> CircuitBreakers {
    let thresholds = circuit_breakers::Thresholds {
        max_connections: of.max_connections.map(number),
        max_pending_requests: of.max_pending_requests.map(number),
        max_requests: of.max_requests.map(number),
        max_retries: of.max_retries.map(number),
        ..Default::default()
    };
    CircuitBreakers { thresholds: vec![thresholds], ..Default::default() }
}

/// One entry and no more: prost encodes maps in random order. None for bytes.
fn protocol_options(protocol: Protocol) -> HashMap<String, Any> {
    use http_protocol_options::explicit_http_config::ProtocolConfig;
    use http_protocol_options::{ExplicitHttpConfig, UpstreamProtocolOptions};
    let config = match protocol {
        Protocol::Tcp => return HashMap::new(),
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
