//! The endpoints of a version, as a plan has them. PURE.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use envoy_types::pb::envoy::config::core::v3::{HealthStatus, Locality};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
};
use envoy_types::pb::google::protobuf::UInt32Value;

use super::address;
use crate::model::{EndpointState, EndpointStates, Version};

/// What proxies are told of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::translate) struct Told<'a> {
    pub(in crate::translate) address: SocketAddr,
    /// Empty when not known.
    pub(in crate::translate) zone: &'a str,
    weight: u32,
    /// Whether it is to finish what it has and gets nothing new.
    pub(in crate::translate) is_draining: bool,
}

/// The endpoints of a version that proxies are told of, by zone and address, each once in a zone.
pub(in crate::translate) fn told<'a>(version: &'a Version, states: Option<&EndpointStates>) -> Vec<Told<'a>> {
    let mut told = BTreeMap::new();
    for endpoint in &version.endpoints {
        let state = states.and_then(|states| states.get(&endpoint.address));
        if state == Some(&EndpointState::Absent) {
            continue;
        }
        let (zone, address) = (endpoint.zone.as_deref().unwrap_or_default(), endpoint.address);
        let is_draining = endpoint.draining || state.is_some();
        let new = Told { address, zone, weight: endpoint.weight, is_draining };
        // Whatever the order they are written in: of two the heavier, and the one on its way out.
        let known = told.entry((zone, address)).or_insert(new);
        known.weight = known.weight.max(new.weight);
        known.is_draining |= is_draining;
    }
    told.into_values().collect()
}

/// Empty where nothing runs the version yet: a cluster without an answer about its endpoints would warm for 15 s.
pub(super) fn assignment(version: &Version, states: Option<&EndpointStates>, cluster: &str) -> ClusterLoadAssignment {
    let told = told(version, states);
    let has_weights = told.iter().any(|endpoint| endpoint.weight != 1);
    let serves = told.iter().any(|endpoint| !endpoint.is_draining);
    // Those on their way out are of the second priority: among the others, half of them out would be reason enough for
    // Envoy to panic, and to send requests to all of them again.
    let mut places: BTreeMap<(u32, &str), Vec<LbEndpoint>> = BTreeMap::new();
    for one in told {
        let weight = has_weights.then_some(UInt32Value { value: one.weight });
        let lb_endpoint = LbEndpoint { load_balancing_weight: weight, ..endpoint(one.address, one.is_draining) };
        places.entry((u32::from(one.is_draining && serves), one.zone)).or_default().push(lb_endpoint);
    }
    // Zones only show in load reports: without locality weights Envoy spreads requests over all endpoints alike.
    let localities = places.into_iter().map(|((priority, zone), lb_endpoints)| LocalityLbEndpoints {
        locality: (!zone.is_empty()).then(|| Locality { zone: zone.to_owned(), ..Default::default() }),
        priority,
        lb_endpoints,
        ..Default::default()
    });
    ClusterLoadAssignment { cluster_name: cluster.to_owned(), endpoints: localities.collect(), ..Default::default() }
}

/// An endpoint as Envoy's API has it.
pub(in crate::translate) fn endpoint(at: SocketAddr, is_draining: bool) -> LbEndpoint {
    let status = if is_draining { HealthStatus::Draining } else { HealthStatus::Unknown };
    LbEndpoint {
        host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(Endpoint {
            address: Some(address(at)),
            ..Default::default()
        })),
        health_status: status.into(),
        ..Default::default()
    }
}
