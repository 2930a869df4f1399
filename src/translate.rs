//! Builds what proxies are given out of what people wrote and what the rollouts decided.
//!
//! PURE. Owns every resource that a proxy ever gets ([`snapshot`]), the names in them ([`cluster_name`]), which proxies
//! are given which snapshot ([`fleet_of`], [`Dialect`]) and the bootstrap that makes them ask ([`bootstrap`]).
//! Must not know why a plan is as it is, which proxy has acknowledged what, nor any clock or file.
//!
//! Invariants:
//! - The same input gives the same bytes, in whatever order its lists were written: every list is sorted here, and no
//!   protobuf map gets more than one entry (prost encodes maps in random order).
//! - A version of a service is one cluster, built from the spec alone. A plan only ever changes route configurations,
//!   one per listener, because a changed cluster warms again and drops its connections.
//! - A snapshot in which anything is missing is not built.

use std::collections::BTreeMap;

use crate::model::{Fleet, Service, TrafficPlan};
use crate::xds::{Inconsistency, ResourceError, Snapshot};

pub mod bootstrap;
mod cluster;
mod group;
mod listener;
mod name;
mod route;

pub use group::{Dialect, all_groups, fleet_of, group_name};
pub use name::{cluster_name, parse_cluster_name};

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
    /// The resources do not fit together.
    #[error("fleet {fleet}: {}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Inconsistent {
        /// The fleet.
        fleet: String,
        /// Every fault.
        faults: Vec<Inconsistency>,
    },
}

/// All that the proxies of one group are given: `fleet` says what they listen on, `services` and `plans` (both by the
/// service's name; others than the fleet's are ignored) where their requests go.
///
/// # Errors
/// See [`TranslateError`]; the first fault in order of the services' names.
pub fn snapshot(
    fleet: &Fleet,
    services: &BTreeMap<String, Service>,
    plans: &BTreeMap<String, TrafficPlan>,
    dialect: Dialect,
) -> Result<Snapshot, TranslateError> {
    let broken = |source| TranslateError::Resource { fleet: fleet.name.clone(), source };
    let mut builder = Snapshot::builder();
    for name in fleet.services() {
        let service = services
            .get(name)
            .ok_or_else(|| TranslateError::UnknownService { fleet: fleet.name.clone(), service: name.to_owned() })?;
        // With or without traffic: a canary's cluster is warm before its first request, and a step is routes alone.
        for resource in cluster::resources(service) {
            builder.add(resource.map_err(broken)?);
        }
    }
    for listener in &fleet.listeners {
        builder.add(listener::resource(listener, dialect).map_err(broken)?);
        builder.add(route::resource(fleet, &listener.name, &listener.services, services, plans)?);
    }
    for config in &fleet.route_configs {
        builder.add(route::resource(fleet, &config.name, &config.services, services, plans)?);
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
