//! Single values: scalars, enums, and the messages that have a JSON form of their own. PURE.

use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use serde_json::{Value as Json, json};

/// Whether a message is written in another way than as fields, or as any fields at all; `Any` is not among them.
pub(super) fn has_json_of_its_own(message: &MessageDescriptor) -> bool {
    let name = message.full_name().strip_prefix("google.protobuf.").unwrap_or_default();
    name.ends_with("Value") || matches!(name, "Duration" | "Timestamp" | "FieldMask" | "Struct" | "Empty")
}

/// A value of a field, or of an item of it; otherwise what is expected.
pub(super) fn read(field: &FieldDescriptor, json: &Json) -> Result<Value, String> {
    let expected = || expected(field);
    if json.is_null() && !takes_null(&field.kind()) {
        return Err(expected());
    }
    let (one, name) = (json.clone(), field.json_name());
    let object = if field.is_list() { json!({name: [one]}) } else { json!({name: one}) };
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let mut message = DynamicMessage::deserialize_with_options(field.parent_message().clone(), object, &options)
        .map_err(|_| {
            if is_too_deep(&field.kind(), json) {
                format!("{} that are nested less deep", found(json))
            } else {
                expected()
            }
        })?;
    match message.take_field(field) {
        Some(Value::List(mut items)) => items.pop().ok_or_else(expected),
        Some(value) => Ok(value),
        None => Ok(Value::default_value_for_field(field)),
    }
}

/// A message with a JSON form of its own.
pub(super) fn message(descriptor: &MessageDescriptor, json: &Json) -> Option<DynamicMessage> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(descriptor.clone(), json.clone(), &options).ok()
}

/// Where any value will do, only its depth can be wrong: protobuf reads 100 messages at most within each other.
fn is_too_deep(kind: &Kind, json: &Json) -> bool {
    match kind.as_message().map_or("", |message| message.full_name()) {
        "google.protobuf.Struct" => json.is_object(),
        "google.protobuf.ListValue" => json.is_array(),
        name => name == "google.protobuf.Value",
    }
}

fn takes_null(kind: &Kind) -> bool {
    let name = match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(of) => of.full_name().to_owned(),
        _ => return false,
    };
    ["google.protobuf.Value", "google.protobuf.NullValue"].contains(&name.as_str())
}

/// The key of a map's entry.
pub(super) fn key(field: &FieldDescriptor, key: &str) -> Option<MapKey> {
    Some(match field.kind() {
        Kind::String => MapKey::String(key.to_owned()),
        Kind::Bool => MapKey::Bool(key.parse().ok()?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => MapKey::I32(key.parse().ok()?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => MapKey::I64(key.parse().ok()?),
        Kind::Uint32 | Kind::Fixed32 => MapKey::U32(key.parse().ok()?),
        Kind::Uint64 | Kind::Fixed64 => MapKey::U64(key.parse().ok()?),
        // Protobuf has no other keys.
        _ => return None,
    })
}

/// What a value of the field must be.
pub(super) fn expected(field: &FieldDescriptor) -> String {
    let whole = |least: i128, most: i128| format!("a whole number from {least} to {most}");
    match field.kind() {
        Kind::Double | Kind::Float => "a number".to_owned(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => whole(i32::MIN.into(), i32::MAX.into()),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => whole(i64::MIN.into(), i64::MAX.into()),
        Kind::Uint32 | Kind::Fixed32 => whole(0, u32::MAX.into()),
        Kind::Uint64 | Kind::Fixed64 => whole(0, u64::MAX.into()),
        Kind::Bool => "true or false".to_owned(),
        Kind::String => "text".to_owned(),
        Kind::Bytes => "bytes in base64".to_owned(),
        Kind::Enum(of) => format!("a value of {}", of.name()),
        Kind::Message(message) => of_message(&message),
    }
}

/// What a message with a JSON form of its own is written as.
pub(super) fn of_message(message: &MessageDescriptor) -> String {
    match message.name() {
        "Duration" => "seconds with their unit, such as `0.25s`".to_owned(),
        "Timestamp" => "a time such as `2026-01-31T12:00:00Z`".to_owned(),
        "FieldMask" => "the names of fields, with commas between them".to_owned(),
        "Empty" => "`{}`".to_owned(),
        "ListValue" => "a list".to_owned(),
        "Value" => "a value".to_owned(),
        "Struct" => "fields".to_owned(),
        // The wrappers are written as what they hold.
        _ => message.get_field_by_name("value").map_or_else(|| "fields".to_owned(), |field| expected(&field)),
    }
}

/// The names of an enum, where one was misspelt.
pub(super) fn choices(field: &FieldDescriptor, json: &Json) -> Vec<String> {
    match field.kind() {
        Kind::Enum(of) if json.is_string() => of.values().map(|value| value.name().to_owned()).collect(),
        _ => Vec::new(),
    }
}

/// What stands there, in words.
pub(super) fn found(json: &Json) -> String {
    match json {
        Json::Null => "nothing".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => format!("the number {number}"),
        Json::String(text) => {
            let short: String = text.chars().take(80).collect();
            format!("text `{short}`{}", if short.len() < text.len() { "…" } else { "" })
        }
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "fields".to_owned(),
    }
}
