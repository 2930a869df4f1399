//! Listeners: an HTTP connection manager that asks for its routes apart, so that a step leaves it alone; or a TCP proxy,
//! which has its destinations in itself. PURE.

mod tcp;

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::accesslog::v3::{AccessLog, access_log};
use envoy_types::pb::envoy::config::core::v3::CidrRange;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::extensions::access_loggers::stats::v3::{Config, config};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_connection_manager, http_filter,
};
use envoy_types::pb::google::protobuf::{BoolValue, UInt32Value, UInt64Value};

use super::check::checked;
use super::patch::Raw;
use super::{Dialect, TranslateError, cluster::address, duration, over_ads, packed, tls};
use crate::model::{self, Fleet, PatchTarget, Protocol, Service, TrafficPlan};
use crate::xds::Resource;

/// How long the head of a request may take from its first byte on. Streams may stay quiet for ever where a service
/// says so, so this is what keeps a slow caller from holding a stream without even asking for anything.
pub(super) const REQUEST_HEADERS_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The service to which a listener, or a route configuration, gives all bytes: the only one that is named, if it is a TCP
/// service. Such a listener has no route configuration.
pub(super) fn tcp_service<'a>(names: &[String], services: &'a BTreeMap<String, Service>) -> Option<&'a Service> {
    let (first, others) = names.split_first()?;
    let only = services.get(first).filter(|_| others.iter().all(|other| other == first));
    only.filter(|service| service.protocol == Protocol::Tcp)
}

/// The listener. It asks for the route configuration of its own name, unless its bytes go to a TCP service under a plan.
pub(super) fn resource(
    fleet: &Fleet,
    of: &model::Listener,
    dialect: Dialect,
    tcp: Option<(&Service, &TrafficPlan)>,
) -> Result<Resource, TranslateError> {
    let raw = Raw::of_part(&fleet.name, &of.name, &of.envoy);
    let (filter, protocols) = match tcp {
        Some((service, plan)) => (tcp::filter(&fleet.name, &of.name, service, plan)?, &[][..]),
        None => (http(of, raw, dialect)?, &["h2", "http/1.1"][..]),
    };
    let chain = FilterChain {
        filters: vec![filter],
        transport_socket: of.tls.as_ref().map(|of| tls::downstream(of, protocols)),
        ..Default::default()
    };
    let chain = raw.onto(PatchTarget::FilterChain, chain)?;
    let listener = Listener {
        name: of.name.clone(),
        address: Some(address(of.bind)),
        filter_chains: vec![chain],
        ..Default::default()
    };
    let listener = raw.onto(PatchTarget::Listener, listener)?;
    let listener = raw.resource(&listener, Resource::listener, !raw.is_empty())?;
    checked(&fleet.name, None, listener)
}

fn http(of: &model::Listener, raw: Raw<'_>, dialect: Dialect) -> Result<Filter, TranslateError> {
    let manager = raw.packed(PatchTarget::ConnectionManager, &connection_manager(of, dialect))?;
    Ok(Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(manager)),
    })
}

fn connection_manager(of: &model::Listener, dialect: Dialect) -> HttpConnectionManager {
    let router = HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(packed(&Router::default()))),
        ..Default::default()
    };
    HttpConnectionManager {
        codec_type: http_connection_manager::CodecType::Auto.into(),
        stat_prefix: of.name.clone(),
        http_filters: vec![router],
        route_specifier: Some(http_connection_manager::RouteSpecifier::Rds(Rds {
            config_source: Some(over_ads()),
            route_config_name: of.name.clone(),
        })),
        // The caller is who it connects from, not who it says it is, unless that is a trusted proxy. With no internal addresses nobody can ask for retries
        // or timeouts through `x-envoy-*` headers: what is judged are first tries. And Envoy tells everybody's address in
        // `x-envoy-external-address`, which routes by address look at.
        use_remote_address: Some(BoolValue { value: true }),
        xff_num_trusted_hops: of.trusted_hops,
        internal_address_config: Some(nobody()),
        request_headers_timeout: Some(duration(REQUEST_HEADERS_TIMEOUT)),
        access_log: if dialect.stats_access_logger { vec![stats_access_logger()] } else { Vec::new() },
        ..Default::default()
    }
}

/// No internal addresses. Without any range Envoy takes all private ones, so it is one that no caller has.
fn nobody() -> http_connection_manager::InternalAddressConfig {
    let range = CidrRange { address_prefix: "0.0.0.0".to_owned(), prefix_len: Some(UInt32Value { value: 32 }) };
    http_connection_manager::InternalAddressConfig { cidr_ranges: vec![range], ..Default::default() }
}

/// Counts requests as their callers saw them, into the statistics that the metrics sink ships: `rollout.rq` by
/// cluster, HTTP status, gRPC status, route and response flags, `rollout.dur` in milliseconds by cluster and route. By the
/// route's name requests that were chosen are told from those that are a sample, and by the flags why one failed.
fn stats_access_logger() -> AccessLog {
    let tag = |name: &str, format: &str| config::Tag {
        name: name.to_owned(),
        value_format: format.to_owned(),
        ..Default::default()
    };
    let cluster = || tag("cluster", "%UPSTREAM_CLUSTER_RAW%");
    let route = || tag("route", "%ROUTE_NAME%");
    // Envoy has this logger from 1.37 on, the successor of `stat_prefix` (`stats_scope.prefix`) only from 1.39 on.
    #[expect(deprecated)]
    let logger = Config {
        stat_prefix: "rollout".to_owned(),
        counters: vec![config::Counter {
            stat: Some(config::Stat {
                name: "rq".to_owned(),
                tags: vec![
                    cluster(),
                    tag("code", "%RESPONSE_CODE%"),
                    tag("grpc", "%GRPC_STATUS_NUMBER%"),
                    route(),
                    tag("flags", "%RESPONSE_FLAGS%"),
                ],
            }),
            value_fixed: Some(UInt64Value { value: 1 }),
            ..Default::default()
        }],
        histograms: vec![config::Histogram {
            stat: Some(config::Stat { name: "dur".to_owned(), tags: vec![cluster(), route()] }),
            unit: config::histogram::Unit::Milliseconds.into(),
            value_format: "%DURATION%".to_owned(),
        }],
        ..Default::default()
    };
    AccessLog {
        name: "envoy.access_loggers.stats".to_owned(),
        config_type: Some(access_log::ConfigType::TypedConfig(packed(&logger))),
        ..Default::default()
    }
}
