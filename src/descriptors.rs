//! Shows Envoy's messages as people know them (JSON, with the field names of Envoy's documentation and `config_dump`),
//! takes such JSON into them ([`mod@merge`]), and checks them by the rules of their proto files ([`rules`]).
//!
//! PURE. Owns the descriptor set that this crate's Envoy types were generated from. Must not know what a message is for.
//!
//! Invariant: the same bytes give the same text.

mod encode;
pub mod merge;
pub mod rules;

use std::io::Read;
use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, SerializeOptions};
use serde_json::Value;

pub use rules::{Violation, check};

/// Gzipped, without comments; written by `build.rs`.
const ENVOY_TYPES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/envoy_types.bin.gz"));

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(file_descriptor_set().as_slice()).expect("the set that the types were generated from")
});

/// Why a message cannot be shown, checked or merged into.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// Envoy's API has no such message.
    #[error("{0} is no message of Envoy's API")]
    UnknownType(String),
    /// The bytes are no such message.
    #[error("the bytes are no {type_name}: {source}")]
    Decode {
        /// The message's full name.
        type_name: String,
        /// What prost said.
        source: prost::DecodeError,
    },
    /// It cannot be written as JSON: it holds an `Any` of a type that is unknown or whose bytes are broken, or a
    /// duration or time out of range.
    #[error("a {type_name} cannot be written as JSON: {source}")]
    Json {
        /// The message's full name.
        type_name: String,
        /// What serde said.
        source: serde_json::Error,
    },
    /// JSON cannot be merged into it.
    #[error("this cannot be merged into a {type_name}: {fault}")]
    Merge {
        /// The message's full name.
        type_name: String,
        /// What is wrong with the JSON.
        fault: Box<merge::Fault>,
    },
}

/// Every message, enum and service of Envoy's API. The first call takes some 25 ms and 17 MB.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// The encoded `FileDescriptorSet` behind [`pool`], as gRPC reflection serves it; 700 KB, unpacked anew by each call.
pub fn file_descriptor_set() -> Vec<u8> {
    let mut set = Vec::new();
    flate2::read::GzDecoder::new(ENVOY_TYPES).read_to_end(&mut set).expect("gzip from the build script");
    set
}

/// A message as JSON: proto3's mapping with the fields' own names (`connect_timeout`), as in `config_dump`. What is
/// inside an `Any` is written out beside its `@type`. Keys are sorted.
///
/// # Errors
/// See [`DescriptorError`].
pub fn to_json(type_url: &str, bytes: &[u8]) -> Result<Value, DescriptorError> {
    let message = message_of(type_url, bytes)?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    let json = message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|source| DescriptorError::Json { type_name: message.descriptor().full_name().to_owned(), source })?;
    Ok(sorted(json))
}

/// The same message in the one order of bytes that does not depend on how its maps happen to be kept.
///
/// # Errors
/// When the type is unknown, or the bytes are no such message.
pub fn ordered(type_url: &str, bytes: &[u8]) -> Result<Vec<u8>, DescriptorError> {
    Ok(encode::encode(&message_of(type_url, bytes)?))
}

fn message_of(type_url: &str, bytes: &[u8]) -> Result<DynamicMessage, DescriptorError> {
    let type_name = type_url.rsplit('/').next().unwrap_or(type_url);
    let descriptor =
        pool().get_message_by_name(type_name).ok_or_else(|| DescriptorError::UnknownType(type_name.to_owned()))?;
    DynamicMessage::decode(descriptor, bytes)
        .map_err(|source| DescriptorError::Decode { type_name: type_name.to_owned(), source })
}

/// With the keys in order even where another crate has switched on serde_json's `preserve_order`: prost-reflect hands
/// out the entries of a map in random order.
fn sorted(json: Value) -> Value {
    match json {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> =
                fields.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}

#[cfg(test)]
mod tests {
    use prost::{Message, Name};
    use serde_json::json;

    use super::*;
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::config::core::v3::Metadata;
    use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
    use envoy_types::pb::google::protobuf::{Any, Duration};

    fn cluster_with(key: &str, any: Any) -> Cluster {
        Cluster {
            name: "checkout/v1".into(),
            connect_timeout: Some(Duration { seconds: 0, nanos: 250_000_000 }),
            typed_extension_protocol_options: [(key.to_owned(), any)].into(),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_packed_inside_is_shown_too() {
        let router = Any {
            type_url: Router::type_url(),
            value: Router { suppress_envoy_headers: true, ..Default::default() }.encode_to_vec(),
        };
        let bytes = cluster_with("router", router).encode_to_vec();
        assert_eq!(
            to_json(&Cluster::type_url(), &bytes).expect("a cluster"),
            json!({
                "name": "checkout/v1",
                "connect_timeout": "0.250s",
                "typed_extension_protocol_options": {
                    "router": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                        "suppress_envoy_headers": true,
                    },
                },
            })
        );
    }

    #[test]
    fn maps_are_in_order() {
        let keys: Vec<String> = (0..50).map(|n| format!("k{n:02}")).collect();
        let metadata = Metadata {
            filter_metadata: keys.iter().map(|k| (k.clone(), Default::default())).collect(),
            ..Default::default()
        };
        let json = to_json(&Metadata::type_url(), &metadata.encode_to_vec()).expect("metadata");
        assert!(json["filter_metadata"].as_object().expect("a map").keys().eq(&keys));
    }

    #[test]
    fn what_cannot_be_shown_is_an_error() {
        assert!(
            matches!(to_json("type.googleapis.com/no.Such", b""), Err(DescriptorError::UnknownType(name)) if name == "no.Such")
        );
        assert!(matches!(to_json("", b""), Err(DescriptorError::UnknownType(_))));
        assert!(matches!(to_json(&Cluster::type_url(), b"\xff"), Err(DescriptorError::Decode { .. })));
        let unknown = cluster_with("x", Any { type_url: "type.googleapis.com/no.Such".into(), value: vec![1] });
        assert!(matches!(to_json(&Cluster::type_url(), &unknown.encode_to_vec()), Err(DescriptorError::Json { .. })));
        let deep = [0x0a; 100_000];
        assert!(to_json(&Cluster::type_url(), &deep).is_err());
    }

    #[test]
    fn the_set_is_what_reflection_can_serve() {
        let set = file_descriptor_set();
        assert!(DescriptorPool::decode(set.as_slice()).is_ok());
        assert!(pool().get_service_by_name("envoy.service.discovery.v3.AggregatedDiscoveryService").is_some());
    }
}
