//! What a proxy says about itself, without the bulk.

use std::collections::BTreeMap;

use serde::Serialize;

/// The useful part of an xDS `Node`. Envoy's own is 61 KB, most of it the list of its extensions, which is never kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Node {
    /// `node.id`.
    pub id: String,
    /// `node.cluster`.
    pub cluster: String,
    /// `node.locality`.
    pub locality: Locality,
    /// The top-level string fields of `node.metadata`.
    pub metadata: BTreeMap<String, String>,
    /// `node.user_agent_name`: `envoy`, `gRPC Python`, …
    pub user_agent: String,
    /// Major, minor and patch of `node.user_agent_build_version`, or parsed from `user_agent_version`.
    pub version: Option<(u32, u32, u32)>,
    /// `node.client_features`.
    pub client_features: Vec<String>,
}

/// Where a proxy runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone within the region.
    pub zone: String,
    /// Part of the zone.
    pub sub_zone: String,
}
