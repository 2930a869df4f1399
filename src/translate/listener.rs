//! Listeners: an HTTP connection manager that asks for its routes apart, so that a step leaves it alone. PURE.

use envoy_types::pb::envoy::config::accesslog::v3::{AccessLog, access_log};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::extensions::access_loggers::stats::v3::{Config, config};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_connection_manager, http_filter,
};
use envoy_types::pb::google::protobuf::{BoolValue, UInt64Value};

use super::check::checked;
use super::patch::Raw;
use super::{Dialect, TranslateError, cluster::address, duration, over_ads, packed};
use crate::model::{self, Fleet, PatchTarget};
use crate::xds::Resource;

/// How long the head of a request may take from its first byte on. Streams may stay quiet for ever where a service
/// says so, so this is what keeps a slow caller from holding a stream without even asking for anything.
pub(super) const REQUEST_HEADERS_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The listener. It asks for the route configuration of its own name.
pub(super) fn resource(fleet: &Fleet, of: &model::Listener, dialect: Dialect) -> Result<Resource, TranslateError> {
    let raw = Raw::of_part(&fleet.name, &of.name, &of.envoy);
    let manager = connection_manager(&of.name, dialect);
    let manager = Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(raw.packed(PatchTarget::ConnectionManager, &manager)?)),
    };
    let chain = raw.onto(PatchTarget::FilterChain, FilterChain { filters: vec![manager], ..Default::default() })?;
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

fn connection_manager(name: &str, dialect: Dialect) -> HttpConnectionManager {
    let router = HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(packed(&Router::default()))),
        ..Default::default()
    };
    HttpConnectionManager {
        codec_type: http_connection_manager::CodecType::Auto.into(),
        stat_prefix: name.to_owned(),
        http_filters: vec![router],
        route_specifier: Some(http_connection_manager::RouteSpecifier::Rds(Rds {
            config_source: Some(over_ads()),
            route_config_name: name.to_owned(),
        })),
        // The caller is who it connects from, not who it says it is. With no internal addresses (which differ between
        // Envoy's versions unless stated) nobody can ask for retries or timeouts through `x-envoy-*` headers: what is
        // judged are first tries.
        use_remote_address: Some(BoolValue { value: true }),
        internal_address_config: Some(http_connection_manager::InternalAddressConfig::default()),
        request_headers_timeout: Some(duration(REQUEST_HEADERS_TIMEOUT)),
        access_log: if dialect.stats_access_logger { vec![stats_access_logger()] } else { Vec::new() },
        ..Default::default()
    }
}

/// Counts requests as their callers saw them, into the statistics that the metrics sink ships: `rollout.rq` by
/// cluster, HTTP status and gRPC status, `rollout.dur` in milliseconds by cluster.
fn stats_access_logger() -> AccessLog {
    let tag = |name: &str, format: &str| config::Tag {
        name: name.to_owned(),
        value_format: format.to_owned(),
        ..Default::default()
    };
    let cluster = || tag("cluster", "%UPSTREAM_CLUSTER_RAW%");
    // Envoy has this logger from 1.37 on, the successor of `stat_prefix` (`stats_scope.prefix`) only from 1.39 on.
    #[expect(deprecated)]
    let logger = Config {
        stat_prefix: "rollout".to_owned(),
        counters: vec![config::Counter {
            stat: Some(config::Stat {
                name: "rq".to_owned(),
                tags: vec![cluster(), tag("code", "%RESPONSE_CODE%"), tag("grpc", "%GRPC_STATUS_NUMBER%")],
            }),
            value_fixed: Some(UInt64Value { value: 1 }),
            ..Default::default()
        }],
        histograms: vec![config::Histogram {
            stat: Some(config::Stat { name: "dur".to_owned(), tags: vec![cluster()] }),
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
