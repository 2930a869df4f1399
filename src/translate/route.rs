//! Route configurations: which host's requests go to which version. PURE. The only resources that a plan changes.

use std::collections::BTreeMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, WeightedCluster, route, route_action, route_match,
    weighted_cluster::ClusterWeight,
};
use envoy_types::pb::google::protobuf::{BoolValue, UInt32Value};

use super::{TranslateError, cluster_name, duration};
use crate::model::{Fleet, Service, Share, TrafficPlan, Weight};
use crate::xds::Resource;

/// The route configuration `name` of a fleet, with a virtual host for each of the services `to`.
pub(super) fn resource(
    fleet: &Fleet,
    name: &str,
    to: &[String],
    services: &BTreeMap<String, Service>,
    plans: &BTreeMap<String, TrafficPlan>,
) -> Result<Resource, TranslateError> {
    let mut to: Vec<&str> = to.iter().map(String::as_str).collect();
    to.sort_unstable();
    to.dedup();
    let mut owner: BTreeMap<String, &str> = BTreeMap::new();
    let mut virtual_hosts = Vec::with_capacity(to.len());
    for service in to {
        let (fleet, owned) = (|| fleet.name.clone(), || service.to_owned());
        let spec =
            services.get(service).ok_or_else(|| TranslateError::UnknownService { fleet: fleet(), service: owned() })?;
        let plan = plans.get(service).ok_or_else(|| TranslateError::NoPlan { fleet: fleet(), service: owned() })?;
        let domains = domains(spec);
        for host in &domains {
            if let Some(first) = owner.insert(host.clone(), service) {
                return Err(TranslateError::HostTwice {
                    fleet: fleet(),
                    route_config: name.to_owned(),
                    host: host.clone(),
                    first: first.to_owned(),
                    second: owned(),
                });
            }
        }
        virtual_hosts.push(VirtualHost {
            name: owned(),
            domains,
            routes: vec![route(spec, destination(&fleet(), spec, plan)?)],
            ..Default::default()
        });
    }
    let config = RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts,
        // Callers put the port into `Host` (curl does, gRPC clients do); a spec that names ports itself means them.
        ignore_port_in_host_matching: !owner.keys().any(|host| has_port(host)),
        // Off (the default with RDS), Envoy takes a route to a cluster that it was never given, and answers those
        // requests with a 503 that bears no cluster: invisible to the analysis. On, it rejects the configuration and
        // keeps its routes, so an ACK means that the proxy can really send requests there.
        validate_clusters: Some(BoolValue { value: true }),
        ..Default::default()
    };
    Resource::route(&config).map_err(|source| TranslateError::Resource { fleet: fleet.name.clone(), source })
}

/// The hosts, as Envoy compares them: without case, each once.
fn domains(service: &Service) -> Vec<String> {
    let mut hosts: Vec<String> = service.hosts.iter().map(|h| h.to_ascii_lowercase()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// Whether a host ends in a port; the colons of a bracketed IPv6 address are none.
fn has_port(host: &str) -> bool {
    host.rsplit(']').next().is_some_and(|rest| rest.contains(':'))
}

fn route(service: &Service, destination: route_action::ClusterSpecifier) -> Route {
    let action = RouteAction {
        cluster_specifier: Some(destination),
        // Zero is "no limit". Without one, a quiet stream may live as well, which Envoy otherwise cuts after 5 minutes.
        timeout: Some(duration(service.timeout.unwrap_or(Duration::ZERO))),
        idle_timeout: service.timeout.is_none().then(|| duration(Duration::ZERO)),
        // No retry policy: a retry that succeeds at the baseline would hide what the canary did wrong.
        ..Default::default()
    };
    Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(route_match::PathSpecifier::Prefix("/".to_owned())),
            ..Default::default()
        }),
        action: Some(route::Action::Route(action)),
        ..Default::default()
    }
}

fn destination(
    fleet: &str,
    service: &Service,
    plan: &TrafficPlan,
) -> Result<route_action::ClusterSpecifier, TranslateError> {
    if let Some(share) = plan.shares().iter().find(|s| !service.versions.contains_key(&s.version)) {
        return Err(TranslateError::UnknownVersion {
            fleet: fleet.to_owned(),
            service: service.name.clone(),
            version: share.version.clone(),
        });
    }
    let hundredths: u64 = plan.shares().iter().map(|s| u64::from(s.weight.hundredths())).sum();
    if hundredths != u64::from(Weight::FULL.hundredths()) {
        return Err(TranslateError::Shares { fleet: fleet.to_owned(), service: service.name.clone(), hundredths });
    }
    let name = |share: &Share| cluster_name(&service.name, &share.version);
    // The plan's order (canary first) and its constant total are kept: Envoy walks the list with `hash % total`, and
    // only so are the users of a small canary among those of a bigger one.
    let weighted = |share: &Share| ClusterWeight {
        name: name(share),
        weight: Some(UInt32Value { value: share.weight.hundredths() }),
        ..Default::default()
    };
    let served: Vec<&Share> = plan.shares().iter().filter(|s| s.weight > Weight::ZERO).collect();
    Ok(match served.as_slice() {
        [only] => route_action::ClusterSpecifier::Cluster(name(only)),
        several => route_action::ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: several.iter().map(|share| weighted(share)).collect(),
            ..Default::default()
        }),
    })
}
