//! Merges JSON, as Envoy's own configuration files have it, into a message, and says what is wrong with it and where.
//!
//! PURE. Owns the merge: a scalar, an enum, a duration, a wrapper or an `Any` that is given takes the place of what was
//! there, even where it is the default; a message is merged field by field; what is given for a list is added to it;
//! an entry of a map takes the place of the one with its key. Must not know what a message is for.

mod fault;
mod leaf;

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value};
use serde_json::Value as Json;

use super::{DescriptorError, encode, message_of, pool};
pub use fault::{Fault, Step, Wrong};

/// What of a message may be merged into, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// Fields that are not to be touched, as `route.cluster` by their proto names, and what to say of it.
    pub owned: &'static [(&'static str, &'static str)],
    /// Lists of the message itself whose last item stays the last: what is given goes before it.
    pub before_last: &'static [&'static str],
    /// Those of them whose last item gives way to one that has the same `name`.
    pub replaced_by_name: &'static [&'static str],
}

/// Everything that keeps JSON from being merged into any message of a type. The type may be a URL or a name.
///
/// # Errors
/// When Envoy's API has no such message.
pub fn faults(type_url: &str, json: &Json, terms: Terms) -> Result<Vec<Fault>, DescriptorError> {
    let mut message = message_of(type_url, &[])?;
    let mut merge = Merge { terms, ..Merge::default() };
    merge.message(&mut message, json);
    Ok(merge.faults)
}

/// A message with JSON merged into it. The same input gives the same bytes.
///
/// # Errors
/// When the type is unknown, the bytes are no such message, or what comes of it cannot be read again; and when the JSON
/// cannot be merged (the first fault).
pub fn merge(type_url: &str, bytes: &[u8], json: &Json, terms: Terms) -> Result<Vec<u8>, DescriptorError> {
    let mut message = message_of(type_url, bytes)?;
    let mut merge = Merge { terms, ..Merge::default() };
    merge.message(&mut message, json);
    if let Some(fault) = merge.faults.into_iter().next() {
        let type_name = message.descriptor().full_name().to_owned();
        return Err(DescriptorError::Merge { type_name, fault: Box::new(fault) });
    }
    let merged = encode::encode(&message);
    // Nested too deep, it could be sent and not be read.
    message_of(type_url, &merged)?;
    Ok(merged)
}

#[derive(Default)]
struct Merge {
    terms: Terms,
    path: Vec<Step>,
    /// The same by proto names, without indices; below an `Any` an empty one stands for what is above.
    names: Vec<String>,
    faults: Vec<Fault>,
}

impl Merge {
    fn tell(&mut self, at_key: bool, wrong: Wrong, choices: Vec<String>) {
        self.faults.push(Fault { path: self.path.clone(), at_key, wrong, choices });
    }

    fn mistyped(&mut self, expected: impl Into<String>, json: &Json) {
        self.tell(false, Wrong::Mistyped { expected: expected.into(), found: leaf::found(json) }, Vec::new());
    }

    fn at<T>(&mut self, step: Step, look: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let result = look(self);
        self.path.pop();
        result
    }

    fn message(&mut self, into: &mut DynamicMessage, json: &Json) {
        let Json::Object(fields) = json else { return self.mistyped("fields", json) };
        let descriptor = into.descriptor();
        // By number, and by the group of which only one can be set: the key that was seen.
        let mut seen: HashMap<u32, &str> = HashMap::new();
        let mut chosen: HashMap<String, &str> = HashMap::new();
        for (key, json) in fields {
            self.at(Step::Key(key.clone()), |merge| {
                let Some(field) = field_of(&descriptor, key) else { return merge.unknown(&descriptor, key) };
                let name = || key.clone();
                if let Some(other) = seen.insert(field.number(), key) {
                    return merge.tell(true, Wrong::Twice { name: name(), other: other.to_owned() }, Vec::new());
                }
                let group = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
                if let Some(other) = group.and_then(|oneof| chosen.insert(oneof.full_name().to_owned(), key)) {
                    return merge.tell(true, Wrong::Exclusive { name: name(), other: other.to_owned() }, Vec::new());
                }
                merge.names.push(field.name().to_owned());
                match merge.owned() {
                    Some(instead) => merge.tell(true, Wrong::Owned { name: name(), instead }, Vec::new()),
                    None => merge.field(into, &field, json),
                }
                merge.names.pop();
            });
        }
    }

    fn unknown(&mut self, descriptor: &MessageDescriptor, key: &str) {
        let known = descriptor.fields().map(|field| field.name().to_owned()).collect();
        let message = descriptor.name().to_owned();
        self.tell(true, Wrong::UnknownField { name: key.to_owned(), message }, known);
    }

    fn owned(&self) -> Option<&'static str> {
        let path = self.names.join(".");
        self.terms.owned.iter().find(|(owned, _)| *owned == path).map(|(_, instead)| *instead)
    }

    fn field(&mut self, into: &mut DynamicMessage, field: &FieldDescriptor, json: &Json) {
        if field.is_map() {
            return self.map(into, field, json);
        }
        if field.is_list() {
            return self.list(into, field, json);
        }
        if let Some(inner) = structured(&field.kind()) {
            if inner.full_name() == "google.protobuf.Any" {
                if let Some(any) = self.any(&inner, json) {
                    into.set_field(field, Value::Message(any));
                }
            } else if let Some(message) = into.get_field_mut(field).as_message_mut() {
                self.message(message, json);
            }
            return;
        }
        if let Some(value) = self.leaf(field, json) {
            into.set_field(field, value);
        }
    }

    fn leaf(&mut self, field: &FieldDescriptor, json: &Json) -> Option<Value> {
        match leaf::read(field, json) {
            Ok(value) => Some(value),
            Err(expected) => {
                let choices = leaf::choices(field, json);
                let found = leaf::found(json);
                self.tell(false, Wrong::Mistyped { expected, found }, choices);
                None
            }
        }
    }

    /// A message that begins empty.
    fn fresh(&mut self, descriptor: MessageDescriptor, json: &Json) -> Option<DynamicMessage> {
        if descriptor.full_name() == "google.protobuf.Any" {
            return self.any(&descriptor, json);
        }
        let mut message = DynamicMessage::new(descriptor);
        self.message(&mut message, json);
        Some(message)
    }

    fn list(&mut self, into: &mut DynamicMessage, field: &FieldDescriptor, json: &Json) {
        let Json::Array(items) = json else { return self.mistyped("a list", json) };
        let mut given = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            given.extend(self.at(Step::Index(index), |merge| match structured(&field.kind()) {
                Some(descriptor) => merge.fresh(descriptor, item).map(Value::Message),
                None => merge.leaf(field, item),
            }));
        }
        let keeps_last = self.names.len() == 1 && self.terms.before_last.contains(&field.name());
        let Value::List(list) = into.get_field_mut(field) else { return };
        match if keeps_last { list.pop() } else { None } {
            Some(last) => {
                let same = |item: &Value| name_of(item).is_some() && name_of(item) == name_of(&last);
                let replaced = self.terms.replaced_by_name.contains(&field.name());
                let place = given.iter().position(same).filter(|_| replaced);
                let last = place.map(|at| given.remove(at)).unwrap_or(last);
                list.extend(given);
                list.push(last);
            }
            None => list.extend(given),
        }
    }

    fn map(&mut self, into: &mut DynamicMessage, field: &FieldDescriptor, json: &Json) {
        let Json::Object(entries) = json else { return self.mistyped("fields", json) };
        let Kind::Message(entry) = field.kind() else { return };
        let (key_field, value_field) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        for (key, item) in entries {
            let value = self.at(Step::Key(key.clone()), |merge| {
                let Some(key) = leaf::key(&key_field, key) else {
                    merge.mistyped(leaf::expected(&key_field), &Json::String(key.clone()));
                    return None;
                };
                let value = match structured(&value_field.kind()) {
                    Some(descriptor) => merge.fresh(descriptor, item).map(Value::Message),
                    None => merge.leaf(&value_field, item),
                };
                Some((key, value?))
            });
            let value: Option<(MapKey, Value)> = value;
            if let (Some((key, value)), Some(map)) = (value, into.get_field_mut(field).as_map_mut()) {
                map.insert(key, value);
            }
        }
    }

    /// An `Any`, from an object with the type of what it holds as `@type`.
    fn any(&mut self, any: &MessageDescriptor, json: &Json) -> Option<DynamicMessage> {
        let Json::Object(fields) = json else {
            self.mistyped("fields with an `@type`", json);
            return None;
        };
        let Some(url) = fields.get("@type") else {
            self.tell(true, Wrong::Untyped, Vec::new());
            return None;
        };
        let name = url.as_str().unwrap_or_default();
        let found = name.strip_prefix("type.googleapis.com/").and_then(|name| pool().get_message_by_name(name));
        let Some(held) = found else {
            let wrong =
                Wrong::UnknownType { name: url.as_str().map_or_else(|| leaf::found(url), |u| format!("`{u}`")) };
            self.at(Step::Key("@type".to_owned()), |merge| merge.tell(false, wrong, like(name)));
            return None;
        };
        let mut inner: serde_json::Map<String, Json> = fields.clone();
        inner.remove("@type");
        let mut message = DynamicMessage::new(held.clone());
        // What is owned is so in the message itself, not in what has the same name elsewhere.
        let outside = std::mem::replace(&mut self.names, vec![String::new()]);
        if leaf::has_json_of_its_own(&held) {
            let value = inner.remove("value").unwrap_or(Json::Null);
            match leaf::message(&held, &value) {
                Some(read) => message = read,
                None => self.at(Step::Key("value".to_owned()), |merge| merge.mistyped(leaf::of_message(&held), &value)),
            }
        } else {
            self.message(&mut message, &Json::Object(inner));
        }
        self.names = outside;
        let mut packed = DynamicMessage::new(any.clone());
        packed.set_field_by_name("type_url", Value::String(name.to_owned()));
        packed.set_field_by_name("value", Value::Bytes(encode::encode(&message).into()));
        Some(packed)
    }
}

/// The types that may be meant by one that is unknown: those with its last name, or else the one that is spelt most
/// like it.
fn like(url: &str) -> Vec<String> {
    let wanted = url.rsplit('/').next().unwrap_or(url);
    if wanted.len() > 200 {
        return Vec::new();
    }
    let short = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let names = || pool().all_messages().filter(|m| !m.is_map_entry()).map(|m| m.full_name().to_owned());
    let mut found: Vec<String> = names().filter(|name| short(name).eq_ignore_ascii_case(&short(wanted))).collect();
    if found.is_empty() {
        let near = names().map(|name| (strsim::damerau_levenshtein(wanted, &name), name)).min();
        found.extend(near.filter(|(distance, _)| *distance <= wanted.len() / 5).map(|(_, name)| name));
    }
    found.iter().map(|name| format!("type.googleapis.com/{name}")).collect()
}

fn field_of(descriptor: &MessageDescriptor, key: &str) -> Option<FieldDescriptor> {
    descriptor.get_field_by_name(key).or_else(|| descriptor.get_field_by_json_name(key))
}

/// The message that is written as fields, `Any` among them; none for scalars and for messages such as `Duration`.
fn structured(kind: &Kind) -> Option<MessageDescriptor> {
    kind.as_message().filter(|message| !leaf::has_json_of_its_own(message)).cloned()
}

fn name_of(item: &Value) -> Option<String> {
    let name = item.as_message()?.get_field_by_name("name")?;
    name.as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
