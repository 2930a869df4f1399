//! Messages of the administration API as JSON and YAML: the proto3 JSON mapping, with fields in the order of the
//! `.proto` files and defaults written out, so that `.actualWeight` is there when it is 0. PURE.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde::{Serialize, Serializer};

use crate::admin::proto;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let set: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/serin_v1.bin"));
    DescriptorPool::decode(set).expect("written by the build script")
});

/// A message of `serin.v1` with its name.
pub(super) trait Named: Message {
    /// Its name within the package.
    const NAME: &'static str;
}

macro_rules! named {
    ($($name:ident),* $(,)?) => {
        $(impl Named for proto::$name {
            const NAME: &'static str = stringify!($name);
        })*
        #[cfg(test)]
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

named!(
    Release,
    ListReleasesResponse,
    ListReleaseEventsResponse,
    ReleaseEvent,
    ExplainReleaseResponse,
    GetSpecStatusResponse,
    Proxy,
    ListProxiesResponse,
    DiffProxyResponse,
    ListQuarantineResponse,
    ReleaseQuarantineResponse,
    ListEndpointsResponse,
    Snapshot,
    ListSnapshotsResponse,
    Resource,
    DiffSnapshotsResponse,
);

/// A message, ready to be serialized.
pub(super) struct Shown(DynamicMessage);

impl Shown {
    /// Of a message.
    pub(super) fn of<M: Named>(message: &M) -> Self {
        let descriptor = POOL.get_message_by_name(&format!("serin.v1.{}", M::NAME)).expect("every name is tested");
        let bytes = message.encode_to_vec();
        Self(DynamicMessage::decode(descriptor, bytes.as_slice()).expect("encoded by the same schema"))
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize_with_options(serializer, &SerializeOptions::new().skip_default_fields(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_the_set() {
        for name in NAMES {
            assert!(POOL.get_message_by_name(&format!("serin.v1.{name}")).is_some(), "{name}");
        }
    }

    #[test]
    fn defaults_are_written_and_enums_have_names() {
        let release = proto::Release {
            name: "checkout".into(),
            phase: proto::Phase::Healthy.into(),
            set_weight: 12.5,
            evidence: Some(proto::Evidence { canary_requests: u64::MAX, ..Default::default() }),
            started_at: Some(envoy_types::pb::google::protobuf::Timestamp { seconds: 1, nanos: 0 }),
            ..Default::default()
        };
        let json = serde_json::to_value(Shown::of(&release)).expect("JSON");
        assert_eq!(json["phase"], "PHASE_HEALTHY");
        assert_eq!(json["setWeight"], 12.5);
        assert_eq!(json["actualWeight"], 0.0);
        assert_eq!(json["canaryVersion"], "");
        assert_eq!(json["steps"], serde_json::json!([]));
        assert_eq!(json["startedAt"], "1970-01-01T00:00:01Z");
        assert_eq!(json["evidence"]["canaryRequests"], "18446744073709551615", "64 bits do not fit JavaScript");
        assert_eq!(json.get("changedAt"), None, "absent is not the default");
    }
}
