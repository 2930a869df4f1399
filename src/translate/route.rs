//! Route configurations: which host's requests go to which version. PURE. The only resources that a plan changes.
//!
//! A virtual host is a function of its service's spec and plan alone, and is encoded and checked once
//! ([`VirtualHostField`]); a configuration is these, one after the other, in a [`Frame`] ([`Table`]). So a step costs one
//! virtual host, however many there are.

mod frame;
mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, WeightedCluster, route, route_action, route_match,
    weighted_cluster::ClusterWeight,
};
use envoy_types::pb::google::protobuf::UInt32Value;
use prost::Message;

pub(super) use frame::Frame;
pub(super) use table::Table;

use super::patch::Raw;
use super::{TranslateError, check, cluster_name, duration};
use crate::model::{Fleet, PatchTarget, Patches, Service, Share, TrafficPlan, Weight};
use crate::xds::resource::Reference;
use crate::xds::{Resource, ResourceType};

/// What a fleet's spec says of a route configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Routes<'a> {
    pub(super) name: &'a str,
    /// As they are written.
    pub(super) services: &'a [String],
    pub(super) envoy: &'a Patches,
}

/// The route configurations of a fleet: those of its listeners, then its own.
pub(super) fn all_of(fleet: &Fleet) -> impl Iterator<Item = Routes<'_>> {
    let of_listeners =
        fleet.listeners.iter().map(|of| Routes { name: &of.name, services: &of.services, envoy: &of.envoy });
    let own = fleet.route_configs.iter().map(|of| Routes { name: &of.name, services: &of.services, envoy: &of.envoy });
    of_listeners.chain(own)
}

/// A route configuration of a fleet, with a virtual host for each of its services.
pub(super) fn resource(
    fleet: &Fleet,
    Routes { name, services: to, envoy }: Routes<'_>,
    services: &BTreeMap<String, Service>,
    plans: &BTreeMap<String, TrafficPlan>,
) -> Result<Resource, TranslateError> {
    let mut to: Vec<&str> = to.iter().map(String::as_str).collect();
    to.sort_unstable();
    to.dedup();
    let mut hosts = Hosts::new(&fleet.name, name);
    let mut fields = Vec::with_capacity(to.len());
    for service in to {
        let (fleet, owned) = (|| fleet.name.clone(), || service.to_owned());
        let spec =
            services.get(service).ok_or_else(|| TranslateError::UnknownService { fleet: fleet(), service: owned() })?;
        let plan = plans.get(service).ok_or_else(|| TranslateError::NoPlan { fleet: fleet(), service: owned() })?;
        hosts.take(spec)?;
        fields.push(virtual_host(&fleet(), spec, plan)?);
    }
    let table = Table::new(name, Frame::new(name, Raw::of_part(&fleet.name, name, envoy))?, fields.iter());
    table
        .map(|table| table.resource().clone())
        .map_err(|source| TranslateError::Resource { fleet: fleet.name.clone(), source })
}

/// The hosts of one route configuration. Each may stand there once.
pub(super) struct Hosts<'a> {
    fleet: &'a str,
    route_config: &'a str,
    owner: BTreeMap<String, &'a str>,
}

impl<'a> Hosts<'a> {
    /// None yet.
    pub(super) fn new(fleet: &'a str, route_config: &'a str) -> Self {
        Self { fleet, route_config, owner: BTreeMap::new() }
    }

    /// Takes those of a service.
    ///
    /// # Errors
    /// When another service has one of them.
    pub(super) fn take(&mut self, service: &'a Service) -> Result<(), TranslateError> {
        for host in domains(service) {
            if let Some(first) = self.owner.insert(host.clone(), &service.name) {
                return Err(TranslateError::HostTwice {
                    fleet: self.fleet.to_owned(),
                    route_config: self.route_config.to_owned(),
                    host,
                    first: first.to_owned(),
                    second: service.name.clone(),
                });
            }
        }
        Ok(())
    }
}

/// A virtual host, encoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct VirtualHostField {
    /// Field 2 of a route configuration, with its tag.
    bytes: Box<[u8]>,
    refers_to: Box<[Reference]>,
    /// Whether one of its hosts names a port.
    has_port: bool,
}

/// The virtual host of a service; `fleet` is for errors alone.
pub(super) fn virtual_host(
    fleet: &str,
    service: &Service,
    plan: &TrafficPlan,
) -> Result<VirtualHostField, TranslateError> {
    let domains = domains(service);
    let has_port = domains.iter().any(|host| has_port(host));
    let raw = Raw::of_service(fleet, service);
    let route = raw.onto(PatchTarget::Route, route(service, destination(fleet, service, plan)?))?;
    let virtual_host = VirtualHost { name: service.name.clone(), domains, routes: vec![route], ..Default::default() };
    let virtual_host = raw.onto(PatchTarget::VirtualHost, virtual_host)?;
    let bytes = virtual_host.encode_to_vec();
    check::check(fleet, Some(service), ResourceType::VirtualHost, &service.name, &bytes)?;
    // A configuration of it alone tells what it refers to, and ends in the field.
    let mut alone = RouteConfiguration { name: service.name.clone(), ..Default::default() };
    let begins = alone.encoded_len();
    alone.virtual_hosts.push(virtual_host);
    let alone = raw.resource(&alone, Resource::route, !raw.is_empty())?;
    Ok(VirtualHostField { bytes: alone.body()[begins..].into(), refers_to: alone.refers_to().into(), has_port })
}

/// The hosts, as Envoy compares them: without case, each once.
pub(super) fn domains(service: &Service) -> Vec<String> {
    let mut hosts: Vec<String> = service.hosts.iter().map(|h| h.to_ascii_lowercase()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// Whether a host ends in a port; the colons of a bracketed IPv6 address are none.
pub(super) fn has_port(host: &str) -> bool {
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

pub(super) fn destination(
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
