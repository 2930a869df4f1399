//! Client status discovery (behaviour 36): how far each proxy is, in the messages that the standard tools read.
//!
//! PURE: from a proxy's state and its group's intended snapshot to one `ClientConfig`; [`matcher`] says which proxies are
//! meant, [`service`] answers calls. Source: `envoy/service/status/v3/csds.proto`, `envoy/admin/v3/config_dump_shared.proto`.
//!
//! Invariant: the contents of a secret are never told.

pub mod matcher;
pub mod service;

use std::time::{SystemTime, UNIX_EPOCH};

use envoy_types::pb::envoy::admin::v3::{ClientResourceStatus, UpdateFailureState};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::{ClientConfig, ConfigStatus};
use envoy_types::pb::envoy::r#type::v3::SemanticVersion;
use envoy_types::pb::google::protobuf::{Any, Struct, Timestamp, Value, value::Kind};

use super::{Compared, Node, Parked, ProxyStatus, Resource, ResourceType, Snapshot, Standing, compare};
pub use service::Csds;

/// A proxy's state. `intended` and `parked` are its group's; `contents` is whether the resources themselves are told.
///
/// What is told of a resource is what the proxy has acknowledged; where it rejected what is intended, that stands in
/// `error_state`, with the proxy's words. `last_updated` is when the proxy's state of the whole type was last changed.
pub fn client_config(
    proxy: &ProxyStatus,
    intended: Option<&Snapshot>,
    parked: &[Parked],
    contents: bool,
) -> ClientConfig {
    let compared = compare(proxy, intended, parked);
    let config = |one: &Compared<'_>| {
        let changed_at = proxy.types.get(&one.resource_type).and_then(|status| status.changed_at);
        generic(one, changed_at, contents)
    };
    ClientConfig {
        node: Some(node(&proxy.node)),
        generic_xds_configs: compared.iter().map(config).collect(),
        ..ClientConfig::default()
    }
}

fn generic(one: &Compared<'_>, changed_at: Option<SystemTime>, contents: bool) -> GenericXdsConfig {
    let any = |resource: &Resource| {
        let told = contents && one.resource_type != ResourceType::Secret;
        told.then(|| Any { type_url: one.resource_type.type_url().to_owned(), value: resource.body().to_vec() })
    };
    let error_state = match one.standing {
        Standing::Rejected { text, at } => Some(UpdateFailureState {
            failed_configuration: one.intended.and_then(any),
            last_update_attempt: Some(timestamp(at)),
            details: text.to_owned(),
            version_info: one.intended.map(Resource::version_text).unwrap_or_default(),
        }),
        Standing::Synced | Standing::NotSent | Standing::Stale | Standing::Unknown => None,
    };
    let (config, client) = statuses(one);
    GenericXdsConfig {
        type_url: one.resource_type.type_url().to_owned(),
        name: one.name.to_owned(),
        version_info: one.held.map(Resource::version_text).unwrap_or_default(),
        xds_config: one.held.and_then(any),
        last_updated: one.held.and(changed_at).map(timestamp),
        config_status: config.into(),
        client_status: client.into(),
        error_state,
        is_static_resource: false,
    }
}

/// As the server sees it, and as the proxy does.
fn statuses(one: &Compared<'_>) -> (ConfigStatus, ClientResourceStatus) {
    let config = match one.standing {
        Standing::Synced => ConfigStatus::Synced,
        Standing::NotSent => ConfigStatus::NotSent,
        Standing::Stale => ConfigStatus::Stale,
        Standing::Rejected { .. } => ConfigStatus::Error,
        Standing::Unknown => ConfigStatus::Unknown,
    };
    let client = match (one.standing, one.held, one.intended) {
        (Standing::Rejected { .. }, ..) => ClientResourceStatus::Nacked,
        (_, Some(_), _) => ClientResourceStatus::Acked,
        (Standing::Unknown, ..) | (_, None, Some(_)) => ClientResourceStatus::Requested,
        (_, None, None) => ClientResourceStatus::DoesNotExist,
    };
    (config, client)
}

/// What is kept of a node, as a node.
fn node(of: &Node) -> core::Node {
    let text = |(key, value): (&String, &String)| (key.clone(), Value { kind: Some(Kind::StringValue(value.clone())) });
    let version = of.version.map(|(major_number, minor_number, patch)| core::BuildVersion {
        version: Some(SemanticVersion { major_number, minor_number, patch }),
        metadata: None,
    });
    core::Node {
        id: of.id.clone(),
        cluster: of.cluster.clone(),
        metadata: (!of.metadata.is_empty()).then(|| Struct { fields: of.metadata.iter().map(text).collect() }),
        locality: Some(core::Locality {
            region: of.locality.region.clone(),
            zone: of.locality.zone.clone(),
            sub_zone: of.locality.sub_zone.clone(),
        }),
        user_agent_name: of.user_agent.clone(),
        user_agent_version_type: version.map(core::node::UserAgentVersionType::UserAgentBuildVersion),
        client_features: of.client_features.clone(),
        ..core::Node::default()
    }
}

/// Nothing here happened before 1970.
fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;
