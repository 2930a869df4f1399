//! Builds what proxies are given out of what people wrote and what the rollouts decided.
//!
//! PURE. Owns every resource that a proxy ever gets ([`snapshot`]), the names in them ([`cluster_name`]), which proxies
//! are given which snapshot ([`group_of`], [`Dialect`]) and the bootstrap that makes them ask ([`bootstrap`]).
//! Must not know why a plan is as it is, which proxy has acknowledged what, nor any clock or file.
//!
//! Invariants:
//! - The same input gives the same bytes, in whatever order its lists were written: every list is sorted here, and no
//!   protobuf map gets more than one entry (prost encodes maps in random order).
//! - A version of a service is one cluster, built from the spec alone, because a changed cluster warms again and drops its
//!   connections. A plan changes route configurations, one per listener; the listeners of TCP services, which have none;
//!   and the endpoints of versions of which it says that some do not serve.
//! - A snapshot in which anything is missing, or that Envoy's own rules forbid, is not built.

use std::collections::BTreeMap;

use crate::descriptors::Violation;
use crate::model::{Fleet, PatchTarget, Service, TrafficPlan};
use crate::xds::{Inconsistency, ResourceError, ResourceType, Snapshot};

pub mod bootstrap;
mod check;
mod cluster;
mod group;
mod grpc;
mod listener;
mod name;
mod patch;
mod route;
mod tls;
pub mod translator;

pub use group::{Dialect, Group, all_groups, fleet_of, group_name, group_of, services_of};
pub use name::{cluster_name, parse_cluster_name};
pub use translator::Translator;

/// Why no snapshot could be built. It says where to look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// The fleet routes to a service that does not exist.
    #[error("fleet {fleet} routes to service {service}, which does not exist")]
    UnknownService {
        /// The fleet.
        fleet: String,
        /// The service.
        service: String,
    },
    /// Nobody said what the service's traffic is to do.
    #[error("fleet {fleet}: service {service} has no traffic plan")]
    NoPlan {
        /// The fleet.
        fleet: String,
        /// The service.
        service: String,
    },
    /// The plan gives a share to a version that the service does not have.
    #[error("fleet {fleet}: the traffic plan of service {service} names version {version}, which it does not have")]
    UnknownVersion {
        /// The fleet.
        fleet: String,
        /// The service.
        service: String,
        /// The version.
        version: String,
    },
    /// The plan's shares are not all of the traffic (a stored plan is read back without that check).
    #[error("fleet {fleet}: the shares of service {service} sum to {hundredths} hundredths of a percent, not 10000")]
    Shares {
        /// The fleet.
        fleet: String,
        /// The service.
        service: String,
        /// What they sum to.
        hundredths: u64,
    },
    /// Envoy refuses a route configuration in which a host stands twice.
    #[error("fleet {fleet}: services {first} and {second} both answer to host {host} on {route_config}")]
    HostTwice {
        /// The fleet.
        fleet: String,
        /// The listener or route configuration.
        route_config: String,
        /// The host.
        host: String,
        /// One service.
        first: String,
        /// The other.
        second: String,
    },
    /// A resource could not be made.
    #[error("fleet {fleet}: {source}")]
    Resource {
        /// The fleet.
        fleet: String,
        /// What is wrong with it.
        source: ResourceError,
    },
    /// Envoy's own rules forbid it: a proxy would reject it.
    #[error("fleet {fleet}: Envoy's own rules forbid {resource_type} {name}: {}", listed(violations))]
    Forbidden {
        /// The fleet.
        fleet: String,
        /// The service whose part of the resource it is; none for what is the fleet's own.
        service: Option<String>,
        /// The type of the resource.
        resource_type: ResourceType,
        /// Its name.
        name: String,
        /// The rules that it breaks; at least one.
        violations: Vec<Violation>,
    },
    /// Raw configuration cannot be merged into what it is for.
    #[error("fleet {fleet}: `envoy.{}` of {}: {reason}", target.name(), owner(service.as_deref(), within.as_deref()))]
    Patch {
        /// The fleet.
        fleet: String,
        /// The service that it is of; none for what is the fleet's own.
        service: Option<String>,
        /// The listener or route configuration that it is of, if it is of one.
        within: Option<String>,
        /// What it is merged into.
        target: PatchTarget,
        /// Why not.
        reason: String,
    },
    /// The resources do not fit together.
    #[error("fleet {fleet}: {}", listed(faults))]
    Inconsistent {
        /// The fleet.
        fleet: String,
        /// Every fault.
        faults: Vec<Inconsistency>,
    },
}

fn listed<T: ToString>(faults: &[T]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn owner(service: Option<&str>, within: Option<&str>) -> String {
    match (service, within) {
        (Some(service), _) => format!("service {service}"),
        (None, within) => within.unwrap_or_default().to_owned(),
    }
}

/// A document of the specs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document<'a> {
    /// The fleet of that name.
    Fleet(&'a str),
    /// The service of that name.
    Service(&'a str),
}

impl TranslateError {
    /// The document in which it is to be mended.
    pub fn document(&self) -> Document<'_> {
        match self {
            Self::UnknownVersion { service, .. }
            | Self::Shares { service, .. }
            | Self::Forbidden { service: Some(service), .. }
            | Self::Patch { service: Some(service), .. }
            | Self::HostTwice { second: service, .. } => Document::Service(service),
            Self::UnknownService { fleet, .. }
            | Self::NoPlan { fleet, .. }
            | Self::Resource { fleet, .. }
            | Self::Forbidden { fleet, service: None, .. }
            | Self::Patch { fleet, service: None, .. }
            | Self::Inconsistent { fleet, .. } => Document::Fleet(fleet),
        }
    }
}

/// All that the proxies of a fleet are given whose region is told from no other: [`snapshot_of`] their group.
///
/// # Errors
/// Those of [`snapshot_of`].
pub fn snapshot(
    fleet: &Fleet,
    services: &BTreeMap<String, Service>,
    plans: &BTreeMap<String, TrafficPlan>,
    dialect: Dialect,
) -> Result<Snapshot, TranslateError> {
    snapshot_of(Group::anywhere(fleet, dialect), services, plans)
}

/// All that the proxies of one group are given: its fleet says what they listen on, `services` and `plans` (both by the
/// service's name; others than the fleet's are ignored) where their requests go.
///
/// # Errors
/// See [`TranslateError`]; the first fault in order of the services' names.
pub fn snapshot_of(
    group: Group<'_>,
    services: &BTreeMap<String, Service>,
    plans: &BTreeMap<String, TrafficPlan>,
) -> Result<Snapshot, TranslateError> {
    let Group { fleet, dialect, region } = group;
    if dialect.proxyless {
        return grpc::snapshot(fleet, region, services, plans);
    }
    let mut builder = Snapshot::builder();
    for name in fleet.services() {
        let service = services
            .get(name)
            .ok_or_else(|| TranslateError::UnknownService { fleet: fleet.name.clone(), service: name.to_owned() })?;
        // With or without traffic: a canary's cluster is warm before its first request, and a step is routes alone.
        let no_plan = || TranslateError::NoPlan { fleet: fleet.name.clone(), service: name.to_owned() };
        for resource in cluster::resources(&fleet.name, service, plans.get(name).ok_or_else(no_plan)?) {
            builder.add(resource?);
        }
    }
    for listener in &fleet.listeners {
        let tcp = listener::tcp_service(&listener.services, services);
        let tcp = tcp.and_then(|service| Some((service, plans.get(&service.name)?)));
        builder.add(listener::resource(fleet, listener, dialect, tcp)?);
    }
    for routes in route::all_of(fleet) {
        let made = route::resource(fleet, region, routes, services, plans)?;
        if listener::tcp_service(routes.services, services).is_none() {
            builder.add(made);
        }
    }
    builder.build().map_err(|faults| TranslateError::Inconsistent { fleet: fleet.name.clone(), faults })
}

/// A duration as Envoy's API has it.
fn duration(of: std::time::Duration) -> envoy_types::pb::google::protobuf::Duration {
    envoy_types::pb::google::protobuf::Duration {
        seconds: i64::try_from(of.as_secs()).unwrap_or(i64::MAX),
        nanos: of.subsec_nanos().cast_signed(),
    }
}

/// "Ask the stream that you already have": where every resource of ours comes from.
fn over_ads() -> envoy_types::pb::envoy::config::core::v3::ConfigSource {
    use envoy_types::pb::envoy::config::core::v3::{
        AggregatedConfigSource, ApiVersion, ConfigSource, config_source::ConfigSourceSpecifier,
    };
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    }
}

/// A message in an `Any`.
fn packed<M: prost::Name>(message: &M) -> envoy_types::pb::google::protobuf::Any {
    envoy_types::pb::google::protobuf::Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

#[cfg(test)]
mod tests;
