//! The discovery protocol's messages, lean: the same field numbers as Envoy's protos, and only what is used.
//!
//! Envoy's node is 61 KB, most of it its list of extensions. What is not named here is skipped while decoding: 1 µs
//! instead of 93 µs, and nothing of it is kept. Source: `envoy/service/discovery/v3/discovery.proto`,
//! `envoy/config/core/v3/base.proto`, `google/rpc/status.proto`.

#![allow(missing_docs, reason = "the fields are those of the protos named above")]

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

/// `envoy.service.discovery.v3.DiscoveryRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiscoveryRequest {
    #[prost(string, tag = "1")]
    pub version_info: String,
    #[prost(message, optional, tag = "2")]
    pub node: Option<Node>,
    #[prost(string, repeated, tag = "3")]
    pub resource_names: Vec<String>,
    #[prost(string, tag = "4")]
    pub type_url: String,
    #[prost(string, tag = "5")]
    pub response_nonce: String,
    #[prost(message, optional, tag = "6")]
    pub error_detail: Option<Status>,
}

/// `envoy.service.discovery.v3.DiscoveryResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiscoveryResponse {
    #[prost(string, tag = "1")]
    pub version_info: String,
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Any>,
    #[prost(string, tag = "4")]
    pub type_url: String,
    #[prost(string, tag = "5")]
    pub nonce: String,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaDiscoveryRequest {
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    #[prost(string, tag = "2")]
    pub type_url: String,
    #[prost(string, repeated, tag = "3")]
    pub resource_names_subscribe: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub resource_names_unsubscribe: Vec<String>,
    #[prost(map = "string, string", tag = "5")]
    pub initial_resource_versions: HashMap<String, String>,
    #[prost(string, tag = "6")]
    pub response_nonce: String,
    #[prost(message, optional, tag = "7")]
    pub error_detail: Option<Status>,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaDiscoveryResponse {
    #[prost(string, tag = "1")]
    pub system_version_info: String,
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<DeltaResource>,
    #[prost(string, tag = "4")]
    pub type_url: String,
    #[prost(string, tag = "5")]
    pub nonce: String,
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
}

/// `envoy.service.discovery.v3.Resource`
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaResource {
    #[prost(string, tag = "1")]
    pub version: String,
    #[prost(message, optional, tag = "2")]
    pub resource: Option<Any>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, repeated, tag = "4")]
    pub aliases: Vec<String>,
    #[prost(message, optional, tag = "6")]
    pub ttl: Option<Duration>,
}

/// `google.protobuf.Duration`
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Duration {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// `google.protobuf.Any`, its value shared and not copied.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
}

/// `envoy.config.core.v3.Node`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Node {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub cluster: String,
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<Struct>,
    #[prost(message, optional, tag = "4")]
    pub locality: Option<Locality>,
    #[prost(string, tag = "6")]
    pub user_agent_name: String,
    #[prost(string, tag = "7")]
    pub user_agent_version: String,
    #[prost(message, optional, tag = "8")]
    pub user_agent_build_version: Option<BuildVersion>,
    #[prost(string, repeated, tag = "10")]
    pub client_features: Vec<String>,
}

/// `envoy.config.core.v3.Locality`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Locality {
    #[prost(string, tag = "1")]
    pub region: String,
    #[prost(string, tag = "2")]
    pub zone: String,
    #[prost(string, tag = "3")]
    pub sub_zone: String,
}

/// `envoy.config.core.v3.BuildVersion`
#[derive(Clone, PartialEq, prost::Message)]
pub struct BuildVersion {
    #[prost(message, optional, tag = "1")]
    pub version: Option<SemanticVersion>,
}

/// `envoy.type.v3.SemanticVersion`
#[derive(Clone, PartialEq, prost::Message)]
pub struct SemanticVersion {
    #[prost(uint32, tag = "1")]
    pub major_number: u32,
    #[prost(uint32, tag = "2")]
    pub minor_number: u32,
    #[prost(uint32, tag = "3")]
    pub patch: u32,
}

/// `google.protobuf.Struct`, top level only.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Struct {
    #[prost(map = "string, message", tag = "1")]
    pub fields: HashMap<String, Value>,
}

/// `google.protobuf.Value`, strings only: any other kind is decoded as an empty string and dropped.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    #[prost(string, optional, tag = "3")]
    pub string_value: Option<String>,
}

impl From<Node> for super::Node {
    fn from(node: Node) -> Self {
        let version = node
            .user_agent_build_version
            .and_then(|build| build.version)
            .map(|v| (v.major_number, v.minor_number, v.patch))
            .or_else(|| semantic_version(&node.user_agent_version));
        let fields = node.metadata.map(|metadata| metadata.fields).unwrap_or_default();
        let metadata: BTreeMap<String, String> =
            fields.into_iter().filter_map(|(name, value)| Some((name, value.string_value?))).collect();
        let Locality { region, zone, sub_zone } = node.locality.unwrap_or_default();
        Self {
            id: node.id,
            cluster: node.cluster,
            locality: super::Locality { region, zone, sub_zone },
            metadata,
            user_agent: node.user_agent_name,
            version,
            client_features: node.client_features,
        }
    }
}

/// `1.2.3` at the beginning of a version's text; a missing part counts as 0.
fn semantic_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().ok());
    let major = parts.next()??;
    Some((major, parts.next().flatten().unwrap_or(0), parts.next().flatten().unwrap_or(0)))
}

/// The generated service, client and server.
#[allow(missing_docs, clippy::all, unreachable_pub, reason = "generated")]
pub mod service {
    include!(concat!(env!("OUT_DIR"), "/envoy.service.discovery.v3.AggregatedDiscoveryService.rs"));
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_real_node_becomes_a_lean_one() {
        use envoy_types::pb::envoy::config::core::v3 as core;
        use envoy_types::pb::google::protobuf as well_known;
        let string = |text: &str| well_known::Value { kind: Some(well_known::value::Kind::StringValue(text.into())) };
        let number = well_known::Value { kind: Some(well_known::value::Kind::NumberValue(4.0)) };
        let fields = [("tier".to_owned(), string("gold")), ("cores".to_owned(), number)];
        let node = core::Node {
            id: "edge-1".into(),
            cluster: "edge".into(),
            metadata: Some(well_known::Struct { fields: fields.into_iter().collect() }),
            locality: Some(core::Locality { region: "eu".into(), zone: "eu-1a".into(), sub_zone: String::new() }),
            user_agent_name: "envoy".into(),
            extensions: vec![core::Extension { name: "bulk".repeat(1000), ..Default::default() }],
            user_agent_version_type: Some(core::node::UserAgentVersionType::UserAgentVersion("1.40.0/Clean".into())),
            ..Default::default()
        };
        let lean = super::super::Node::from(Node::decode(&node.encode_to_vec()[..]).expect("a node"));
        assert_eq!((lean.id.as_str(), lean.cluster.as_str(), lean.locality.zone.as_str()), ("edge-1", "edge", "eu-1a"));
        assert_eq!(lean.metadata, BTreeMap::from([("tier".to_owned(), "gold".to_owned())]));
        assert_eq!((lean.user_agent.as_str(), lean.version), ("envoy", Some((1, 40, 0))));
    }

    #[test]
    fn versions_are_read_as_far_as_they_go() {
        assert_eq!(semantic_version("1.71.0-dev"), Some((1, 71, 0)));
        assert_eq!(semantic_version("2"), Some((2, 0, 0)));
        assert_eq!(semantic_version("dev"), None);
        assert_eq!(semantic_version(""), None);
    }
}
