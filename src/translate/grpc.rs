//! What gRPC clients without a proxy are given: for each name that they may ask for (`xds:///NAME`) a listener of that
//! name, and for each service its routes, clusters and endpoints. PURE.
//!
//! They are stricter than Envoy, and look at less. Sources are the gRPC proposals (gRFC): A27 (listeners, clusters,
//! endpoints, load reports), A28 (routes and weights), A31 (timeouts), A50 (outlier detection).

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster};
use envoy_types::pb::envoy::config::core::v3::{
    ApiVersion, ConfigSource, Locality, SelfConfigSource, config_source::ConfigSourceSpecifier,
};
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, LocalityLbEndpoints};
use envoy_types::pb::envoy::config::listener::v3::{ApiListener, Listener};
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route::Action, route_action,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_connection_manager, http_filter,
};
use envoy_types::pb::google::protobuf::UInt32Value;

use super::check::checked;
use super::cluster::{endpoint, told};
use super::route::{self, domains, has_port, routing_of};
use super::{TranslateError, cluster_name, duration, over_ads, packed};
use crate::model::{EndpointStates, Fleet, Protocol, Routing, Service, TrafficPlan, Version};
use crate::xds::{Resource, ResourceError, Snapshot};

/// The services of a fleet that gRPC clients can reach, sorted.
pub(super) fn services<'a>(fleet: &'a Fleet, services: &'a BTreeMap<String, Service>) -> Vec<&'a str> {
    let reached: BTreeSet<&str> = targets(fleet.services(), services).into_values().collect();
    reached.into_iter().collect()
}

/// All that the gRPC clients of a fleet are given that are in a region, if it is told from others.
pub(super) fn snapshot(
    fleet: &Fleet,
    region: Option<&str>,
    services: &BTreeMap<String, Service>,
    plans: &BTreeMap<String, TrafficPlan>,
) -> Result<Snapshot, TranslateError> {
    let mut builder = Snapshot::builder();
    let targets = targets(fleet.services(), services);
    for (target, service) in &targets {
        builder.add(listener(&fleet.name, target, service)?);
    }
    let reached: BTreeSet<&str> = targets.into_values().collect();
    for service in reached.into_iter().filter_map(|name| services.get(name)) {
        let no_plan = || TranslateError::NoPlan { fleet: fleet.name.clone(), service: service.name.clone() };
        let plan = plans.get(&service.name).ok_or_else(no_plan)?;
        builder.add(routes(&fleet.name, service, routing_of(plan, region))?);
        for resource in clusters(&fleet.name, service, plan) {
            builder.add(resource?);
        }
    }
    builder.build().map_err(|faults| TranslateError::Inconsistent { fleet: fleet.name.clone(), faults })
}

/// The cluster and the endpoints of every version of a service; `fleet` is for errors alone.
pub(super) fn clusters<'a>(
    fleet: &'a str,
    service: &'a Service,
    plan: &'a TrafficPlan,
) -> impl Iterator<Item = Result<Resource, TranslateError>> + 'a {
    service.versions.iter().flat_map(move |(version, of)| {
        let name = cluster_name(&service.name, version);
        let endpoints = endpoints(of, plan.endpoints.get(version), &name);
        let made = [Resource::cluster(&cluster(service, &name)), Resource::endpoint(&endpoints)];
        made.map(|made| built(fleet, service, made))
    })
}

fn built(fleet: &str, of: &Service, made: Result<Resource, ResourceError>) -> Result<Resource, TranslateError> {
    checked(fleet, Some(of), made.map_err(|source| TranslateError::Resource { fleet: fleet.to_owned(), source })?)
}

/// Which service each name leads to that a client may ask for: every host that is spelled out, as it is and with the
/// ports of the service's endpoints, because that is how the client called the service before.
///
/// A name that two services of the fleet have (on two listeners, which a client without a proxy knows nothing of) leads
/// nowhere, rather than to one of them.
pub(super) fn targets<'a>(
    of: impl IntoIterator<Item = &'a str>,
    services: &'a BTreeMap<String, Service>,
) -> BTreeMap<String, &'a str> {
    let mut claims: BTreeMap<String, Option<&str>> = BTreeMap::new();
    for service in of.into_iter().filter_map(|name| services.get(name)) {
        for target in names(service) {
            let claim = claims.entry(target).or_insert(Some(&service.name));
            *claim = claim.filter(|first| *first == service.name);
        }
    }
    claims.into_iter().filter_map(|(target, claim)| Some((target, claim?))).collect()
}

/// The names that clients may ask for a service by; none where it is not gRPC.
pub(super) fn names(service: &Service) -> Vec<String> {
    if service.protocol != Protocol::Grpc {
        return Vec::new();
    }
    let endpoints = service.versions.values().flat_map(|version| &version.endpoints);
    let ports: BTreeSet<u16> = endpoints.map(|endpoint| endpoint.address.port()).collect();
    let mut names = Vec::new();
    for host in domains(&service.hosts).into_iter().filter(|host| !host.is_empty() && !host.contains('*')) {
        if !has_port(&host) {
            names.extend(ports.iter().map(|port| format!("{host}:{port}")));
        }
        names.push(host);
    }
    names
}

/// It opens no port. It asks for the service's routes apart, so that a step leaves it alone.
pub(super) fn listener(fleet: &str, target: &str, service: &str) -> Result<Resource, TranslateError> {
    let router = HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(packed(&Router::default()))),
        ..Default::default()
    };
    let manager = HttpConnectionManager {
        // gRPC clients ignore it; Envoy's rules want it.
        stat_prefix: target.to_owned(),
        http_filters: vec![router],
        route_specifier: Some(http_connection_manager::RouteSpecifier::Rds(Rds {
            config_source: Some(over_ads()),
            route_config_name: service.to_owned(),
        })),
        ..Default::default()
    };
    let listener = Listener {
        name: target.to_owned(),
        api_listener: Some(ApiListener { api_listener: Some(packed(&manager)) }),
        ..Default::default()
    };
    let made = Resource::listener(&listener);
    checked(fleet, None, made.map_err(|source| TranslateError::Resource { fleet: fleet.to_owned(), source })?)
}

/// The routes of a service, under its name; `fleet` is for errors alone. Such clients know neither hashes (but of rings)
/// nor copies of requests nor other headers for them: users are shared out call by call.
pub(super) fn routes(fleet: &str, service: &Service, routing: &Routing) -> Result<Resource, TranslateError> {
    route::check_routing(fleet, service, routing)?;
    let chosen = routing.rules.iter().enumerate().flat_map(|(at, targeted)| {
        let parts = route::chosen(routing, targeted);
        let calls = route::for_grpc(&targeted.rule).into_iter();
        calls.map(move |calls| to(service, format!("chosen/{at}"), calls, &parts))
    });
    let mut routes: Vec<Route> = chosen.collect();
    routes.push(to(service, route::SHARED.to_owned(), route::everything(), &route::shared(routing)));
    // Only listeners of this service ask for it: whatever name the client had for it.
    let virtual_host =
        VirtualHost { name: service.name.clone(), domains: vec!["*".to_owned()], routes, ..Default::default() };
    let config =
        RouteConfiguration { name: service.name.clone(), virtual_hosts: vec![virtual_host], ..Default::default() };
    built(fleet, service, Resource::route(&config))
}

fn to(service: &Service, name: String, calls: RouteMatch, parts: &route::Parts<'_>) -> Route {
    let action = RouteAction {
        cluster_specifier: Some(route::destination(service, parts, false, false)),
        // A gRPC client knows no `timeout`; this one is a limit of its own on what the caller allows (A31).
        max_stream_duration: service.timeout.map(|limit| route_action::MaxStreamDuration {
            max_stream_duration: Some(duration(limit)),
            ..Default::default()
        }),
        ..Default::default()
    };
    Route { name, r#match: Some(calls), action: Some(Action::Route(action)), ..Default::default() }
}

fn cluster(service: &Service, name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(cluster::DiscoveryType::Eds.into())),
        eds_cluster_config: Some(cluster::EdsClusterConfig {
            eds_config: Some(over_ads()),
            service_name: String::new(),
        }),
        connect_timeout: Some(duration(service.connect_timeout)),
        // What all of them have. Not all have LEAST_REQUEST, and a cluster with a policy that one lacks is rejected.
        lb_policy: cluster::LbPolicy::RoundRobin.into(),
        // "Report to where this came from": what a release through these clients is judged by.
        lrs_server: Some(ConfigSource {
            resource_api_version: ApiVersion::V3.into(),
            config_source_specifier: Some(ConfigSourceSpecifier::Self_(SelfConfigSource::default())),
            ..Default::default()
        }),
        // No outlier detection: they know no consecutive failures (A50), the one reason to eject that a spec can give,
        // and would eject by success rate instead.
        ..Default::default()
    }
}

/// In localities that have a weight and a name: they pass over one without a weight, and reject one without a name or
/// an address that stands in two. To them an endpoint that is drained is like one that is gone: either way they finish
/// what they have there. No endpoint has a weight: round robin knows none.
fn endpoints(version: &Version, states: Option<&EndpointStates>, cluster: &str) -> ClusterLoadAssignment {
    let mut zone_of = BTreeMap::new();
    for endpoint in told(version, states).into_iter().filter(|endpoint| !endpoint.is_draining) {
        let zone = endpoint.zone;
        zone_of.entry(endpoint.address).and_modify(|known: &mut &str| *known = zone.min(known)).or_insert(zone);
    }
    let mut zones: BTreeMap<&str, Vec<std::net::SocketAddr>> = BTreeMap::new();
    for (address, zone) in zone_of {
        zones.entry(zone).or_default().push(address);
    }
    let localities = zones.into_iter().map(|(zone, addresses)| LocalityLbEndpoints {
        locality: Some(Locality { zone: zone.to_owned(), ..Default::default() }),
        // By size, so that all endpoints get the same.
        load_balancing_weight: Some(UInt32Value { value: u32::try_from(addresses.len()).unwrap_or(u32::MAX) }),
        lb_endpoints: addresses.into_iter().map(|address| endpoint(address, false)).collect(),
        ..Default::default()
    });
    ClusterLoadAssignment { cluster_name: cluster.to_owned(), endpoints: localities.collect(), ..Default::default() }
}

#[cfg(test)]
mod tests;
