//! Encodes a message so that the same message always gives the same bytes: prost and prost-reflect write the entries of
//! a map in random order, and a resource's version is the hash of its bytes. PURE.

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, Value};

/// The fields in order of their numbers, the entries of maps in order of their keys. What is packed in an `Any` is left
/// as it is.
pub(super) fn encode(message: &DynamicMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (field, value) in message.fields() {
        match value {
            Value::Message(inner) => nested(&field, &encode(inner), &mut bytes),
            Value::Map(entries) => {
                let Kind::Message(entry) = field.kind() else { continue };
                let mut entries: Vec<(&MapKey, &Value)> = entries.iter().collect();
                entries.sort_by_key(|(key, _)| *key);
                for (key, value) in entries {
                    let mut pair = DynamicMessage::new(entry.clone());
                    pair.set_field(&entry.map_entry_key_field(), key.clone().into());
                    pair.set_field(&entry.map_entry_value_field(), value.clone());
                    nested(&field, &encode(&pair), &mut bytes);
                }
            }
            Value::List(items) if items.iter().any(|item| item.as_message().is_some()) => {
                for item in items.iter().filter_map(Value::as_message) {
                    nested(&field, &encode(item), &mut bytes);
                }
            }
            plain => {
                let mut alone = DynamicMessage::new(field.parent_message().clone());
                alone.set_field(&field, plain.clone());
                bytes.extend(alone.encode_to_vec());
            }
        }
    }
    message.unknown_fields().for_each(|field| field.encode(&mut bytes));
    bytes
}

fn nested(field: &FieldDescriptor, encoded: &[u8], into: &mut Vec<u8>) {
    encode_key(field.number(), WireType::LengthDelimited, into);
    encode_varint(encoded.len() as u64, into);
    into.extend_from_slice(encoded);
}
