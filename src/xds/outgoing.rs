//! Responses on their way out, encoded so that what many clients are sent is the same bytes in memory.
//!
//! PURE. A response is a head of its own (version, type, nonce, removed names) and its resources, which are shared: the
//! fields of a protobuf message may come in any order.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use prost::Message;

use super::wire::{Any, DeltaDiscoveryResponse, DeltaResource, DiscoveryResponse, Duration};
use super::{Resource, ResourceType, ResourceVersion, Snapshot};

/// Resources of at most so many bytes are put together anew for each response.
const SMALL: usize = 4 << 10;

/// A response, ready to be sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The type of its resources.
    pub resource_type: ResourceType,
    /// The first part of the message.
    pub head: Bytes,
    /// The rest of it.
    pub resources: Bytes,
    /// How many resources it carries.
    pub carried: usize,
    /// How many it takes away.
    pub removed: usize,
}

impl Outgoing {
    /// State of the world.
    pub(super) fn sotw(resource_type: ResourceType, version: &str, nonce: u64, resources: (Bytes, usize)) -> Self {
        let head = DiscoveryResponse {
            version_info: version.to_owned(),
            resources: Vec::new(),
            type_url: resource_type.type_url().to_owned(),
            nonce: nonce.to_string(),
        };
        let (resources, carried) = resources;
        Self { resource_type, head: head.encode_to_vec().into(), resources, carried, removed: 0 }
    }

    /// Incremental.
    pub(super) fn delta(
        resource_type: ResourceType,
        system_version: &str,
        nonce: u64,
        resources: (Bytes, usize),
        removed: &[Arc<str>],
    ) -> Self {
        let head = DeltaDiscoveryResponse {
            system_version_info: system_version.to_owned(),
            resources: Vec::new(),
            type_url: resource_type.type_url().to_owned(),
            nonce: nonce.to_string(),
            removed_resources: removed.iter().map(ToString::to_string).collect(),
        };
        let (resources, carried) = resources;
        let head = head.encode_to_vec().into();
        Self { resource_type, head, resources, carried, removed: removed.len() }
    }
}

/// How resources are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// State of the world, or incremental.
    pub sotw: bool,
    /// Whether the client understands times to live.
    pub ttl: bool,
}

/// The `resources` field of a response. `snapshot` remembers what many streams send.
pub(super) fn resources(of: &[Resource], form: Form, snapshot: &Snapshot) -> (Bytes, usize) {
    let entry = |resource: &Resource| match (form.sotw, resource.ttl().filter(|_| form.ttl)) {
        (true, None) => resource.sotw_entry(),
        (false, None) => resource.delta_entry(),
        (_, Some(_)) => with_ttl(resource, form, true),
    };
    let bytes = match of {
        [] => Bytes::new(),
        [only] => entry(only),
        several => {
            let entries: Vec<Bytes> = several.iter().map(entry).collect();
            let put_together = || {
                let mut all = BytesMut::with_capacity(entries.iter().map(Bytes::len).sum());
                entries.iter().for_each(|entry| all.extend_from_slice(entry));
                all.freeze()
            };
            if form.ttl || entries.iter().map(Bytes::len).sum::<usize>() <= SMALL {
                put_together()
            } else {
                let set = ResourceVersion::of_set(several.iter().map(|r| (&**r.name(), r.version())));
                snapshot.body(form.sotw, set, put_together)
            }
        }
    };
    (bytes, of.len())
}

/// The `resources` field of a heartbeat: no bodies (behaviour 29).
pub(super) fn heartbeat(of: &[Resource], form: Form) -> (Bytes, usize) {
    let mut all = BytesMut::new();
    of.iter().for_each(|resource| all.extend_from_slice(&with_ttl(resource, form, false)));
    (all.freeze(), of.len())
}

/// A `resources` field whose resource is to be forgotten after a time, with or without its body.
fn with_ttl(resource: &Resource, form: Form, body: bool) -> Bytes {
    let type_url = resource.resource_type().type_url().to_owned();
    let any = body.then(|| Any { type_url, value: Bytes::copy_from_slice(resource.body()) });
    let ttl = resource.ttl().map(|ttl| Duration {
        seconds: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX),
        nanos: ttl.subsec_nanos().cast_signed(),
    });
    let entry = DeltaResource {
        version: resource.version_text(),
        resource: any,
        name: resource.name().to_string(),
        aliases: resource.aliases().iter().map(ToString::to_string).collect(),
        ttl,
    };
    let bytes = match form.sotw {
        false => DeltaDiscoveryResponse { resources: vec![entry], ..Default::default() }.encode_to_vec(),
        // Behaviour 18: the resource in an envelope, which only some clients open.
        true => {
            let type_url = "type.googleapis.com/envoy.service.discovery.v3.Resource".to_owned();
            let envelope = Any { type_url, value: entry.encode_to_vec().into() };
            DiscoveryResponse { resources: vec![envelope], ..Default::default() }.encode_to_vec()
        }
    };
    bytes.into()
}

/// Encodes the field `resources` (2) of a `DeltaDiscoveryResponse` so that the field `resource` (2) of the `Resource` in
/// it comes last: from where it begins (the second value) it is the field `resources` (2) of a `DiscoveryResponse`, and
/// the message itself is the end of both.
pub(super) fn entry(type_url: &str, name: &str, version: &str, aliases: &[Arc<str>], body: &[u8]) -> (Bytes, usize) {
    use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
    let any_len = text_len(1, type_url) + bytes_len(2, body.len());
    let resource_len = text_len(1, version)
        + text_len(3, name)
        + aliases.iter().map(|alias| text_len(4, alias)).sum::<usize>()
        + bytes_len(2, any_len);
    let mut entry = BytesMut::with_capacity(key_len(2) + encoded_len_varint(resource_len as u64) + resource_len);
    let head = |tag: u32, len: usize, to: &mut BytesMut| {
        encode_key(tag, WireType::LengthDelimited, to);
        encode_varint(len as u64, to);
    };
    let text = |tag: u32, text: &str, to: &mut BytesMut| {
        head(tag, text.len(), to);
        to.extend_from_slice(text.as_bytes());
    };
    head(2, resource_len, &mut entry);
    text(1, version, &mut entry);
    text(3, name, &mut entry);
    aliases.iter().for_each(|alias| text(4, alias, &mut entry));
    let any_at = entry.len();
    head(2, any_len, &mut entry);
    text(1, type_url, &mut entry);
    head(2, body.len(), &mut entry);
    entry.extend_from_slice(body);
    (entry.freeze(), any_at)
}

/// What a field of so many bytes takes, with its key and its length.
fn bytes_len(tag: u32, len: usize) -> usize {
    prost::encoding::key_len(tag) + prost::encoding::encoded_len_varint(len as u64) + len
}

fn text_len(tag: u32, text: &str) -> usize {
    bytes_len(tag, text.len())
}
