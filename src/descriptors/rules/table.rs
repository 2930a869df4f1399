//! The rules of every message, read out of the descriptors once. PURE.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use envoy_types::pb::validate::{self as pgv, field_rules::Type};
use prost_reflect::{DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};

use super::value::ValueRule;
use crate::descriptors::pool;

const ANY: &str = "google.protobuf.Any";

/// Every message of Envoy's API in which anything is to be looked at, by its full name.
pub(super) static TABLE: LazyLock<HashMap<String, Message>> = LazyLock::new(table);

/// What of a message is to be looked at.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) fields: Vec<Field>,
    /// Groups of fields one of which must be set.
    pub(super) required: Vec<OneofDescriptor>,
}

/// A field with rules, or with messages that have some.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) descriptor: FieldDescriptor,
    pub(super) shape: Shape,
}

#[derive(Debug)]
pub(super) enum Shape {
    One { required: bool, value: Value },
    List { size: Size, unique: bool, items: Value },
    Map { size: Size, keys: Value, values: Value },
}

/// How many items or entries there must be.
#[derive(Debug, Default)]
pub(super) struct Size {
    pub(super) least: Option<u64>,
    pub(super) most: Option<u64>,
    pub(super) ignore_empty: bool,
}

/// What a single value must be, and whether to look into it.
#[derive(Debug, Default)]
pub(super) struct Value {
    pub(super) rule: Option<ValueRule>,
    pub(super) inside: bool,
}

impl Value {
    /// `what` is a message's full name where the value is one.
    fn new(rules: Option<&pgv::FieldRules>, kind: &Kind, live: &HashSet<String>) -> Self {
        let rule = rules.and_then(|rules| rules.r#type.as_ref()).and_then(|rules| ValueRule::new(rules, kind));
        let skip = rules.and_then(|rules| rules.message).is_some_and(|rules| rules.skip());
        let inside = kind.as_message().is_some_and(|message| !skip && live.contains(message.full_name()));
        Self { rule, inside }
    }

    fn is_nothing(&self) -> bool {
        self.rule.is_none() && !self.inside
    }
}

/// The extensions that hold the rules.
struct Options {
    rules: ExtensionDescriptor,
    required: ExtensionDescriptor,
    disabled: ExtensionDescriptor,
    ignored: ExtensionDescriptor,
}

impl Options {
    fn new() -> Self {
        let of = |name: &str| pool().get_extension_by_name(name).expect("Envoy's API imports validate.proto");
        Self {
            rules: of("validate.rules"),
            required: of("validate.required"),
            disabled: of("validate.disabled"),
            ignored: of("validate.ignored"),
        }
    }

    fn is_on(options: &DynamicMessage, which: &ExtensionDescriptor) -> bool {
        options.get_extension(which).as_bool().unwrap_or_default()
    }

    /// Options are never printed with `{:?}`: it does not end.
    fn rules(&self, field: &FieldDescriptor) -> Option<pgv::FieldRules> {
        // Most fields have no options, and reading those takes time.
        field.field_descriptor_proto().options.as_ref()?;
        let options = field.options();
        let rules = options.has_extension(&self.rules).then(|| options.get_extension(&self.rules))?;
        Some(rules.as_message()?.transcode_to().expect("the message that the rules were written with"))
    }

    fn is_unchecked(&self, message: &MessageDescriptor) -> bool {
        message.descriptor_proto().options.is_some() && {
            let options = message.options();
            Self::is_on(&options, &self.disabled) || Self::is_on(&options, &self.ignored)
        }
    }

    fn is_required(&self, oneof: &OneofDescriptor) -> bool {
        oneof.oneof_descriptor_proto().options.is_some() && Self::is_on(&oneof.options(), &self.required)
    }
}

/// A message with its rules as they are written.
struct Raw {
    descriptor: MessageDescriptor,
    fields: Vec<(FieldDescriptor, Option<pgv::FieldRules>)>,
    required: Vec<OneofDescriptor>,
}

fn table() -> HashMap<String, Message> {
    let options = Options::new();
    let raw: Vec<Raw> = pool()
        .all_messages()
        .filter(|message| !message.is_map_entry() && !options.is_unchecked(message))
        .map(|message| Raw {
            fields: message.fields().map(|field| (field.clone(), options.rules(&field))).collect(),
            required: message.oneofs().filter(|oneof| options.is_required(oneof)).collect(),
            descriptor: message,
        })
        .collect();
    let live = live(&raw);
    let checked = raw.into_iter().filter(|raw| live.contains(raw.descriptor.full_name()));
    checked.map(|raw| (raw.descriptor.full_name().to_owned(), message(raw, &live))).collect()
}

/// The names of the messages in which, or in a message beneath which, there are rules; an `Any` may hold any message.
fn live(raw: &[Raw]) -> HashSet<String> {
    let mut live: HashSet<String> = raw
        .iter()
        .filter(|raw| !raw.required.is_empty() || raw.fields.iter().any(|(_, rules)| rules.is_some()))
        .map(|raw| raw.descriptor.full_name().to_owned())
        .chain([ANY.to_owned()])
        .collect();
    let beneath: Vec<(&str, Vec<String>)> = raw
        .iter()
        .map(|raw| (raw.descriptor.full_name(), raw.fields.iter().filter_map(|(field, _)| holds(field)).collect()))
        .collect();
    loop {
        let found: Vec<String> = beneath
            .iter()
            .filter(|(name, held)| !live.contains(*name) && held.iter().any(|held| live.contains(held)))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        if found.is_empty() {
            return live;
        }
        live.extend(found);
    }
}

/// The message that a field holds one or many of.
fn holds(field: &FieldDescriptor) -> Option<String> {
    let kind = field.kind();
    let message = kind.as_message()?;
    if !field.is_map() {
        return Some(message.full_name().to_owned());
    }
    message.map_entry_value_field().kind().as_message().map(|message| message.full_name().to_owned())
}

fn message(raw: Raw, live: &HashSet<String>) -> Message {
    let fields = raw.fields.into_iter().filter_map(|(descriptor, rules)| {
        let shape = shape(&descriptor, rules.as_ref(), live)?;
        Some(Field { descriptor, shape })
    });
    Message { fields: fields.collect(), required: raw.required }
}

/// None where there is nothing to look at.
fn shape(field: &FieldDescriptor, rules: Option<&pgv::FieldRules>, live: &HashSet<String>) -> Option<Shape> {
    let kind = field.kind();
    let of_type = rules.and_then(|rules| rules.r#type.as_ref());
    if field.is_map() {
        let rules = of_type.and_then(|rules| if let Type::Map(rules) = rules { Some(rules) } else { None });
        let entry = kind.as_message()?;
        let value = |rules: Option<&pgv::FieldRules>, field: FieldDescriptor| Value::new(rules, &field.kind(), live);
        let keys = value(rules.and_then(|r| r.keys.as_deref()), entry.map_entry_key_field());
        let values = value(rules.and_then(|r| r.values.as_deref()), entry.map_entry_value_field());
        // `no_sparse` always holds: on the wire an entry without a value has the empty one.
        let size = rules.map(|r| Size { least: r.min_pairs, most: r.max_pairs, ignore_empty: r.ignore_empty() });
        let nothing = size.is_none() && keys.is_nothing() && values.is_nothing();
        return (!nothing).then(|| Shape::Map { size: size.unwrap_or_default(), keys, values });
    }
    if field.is_list() {
        let rules = of_type.and_then(|rules| if let Type::Repeated(rules) = rules { Some(rules) } else { None });
        let items = Value::new(rules.and_then(|r| r.items.as_deref()), &kind, live);
        let size = rules.map(|r| Size { least: r.min_items, most: r.max_items, ignore_empty: r.ignore_empty() });
        let nothing = size.is_none() && items.is_nothing();
        let unique = rules.is_some_and(|rules| rules.unique());
        return (!nothing).then(|| Shape::List { size: size.unwrap_or_default(), unique, items });
    }
    let value = Value::new(rules, &kind, live);
    let required = match of_type {
        Some(Type::Any(rules)) => rules.required(),
        Some(Type::Duration(rules)) => rules.required(),
        Some(Type::Timestamp(rules)) => rules.required(),
        _ => false,
    } || rules.and_then(|rules| rules.message).is_some_and(|rules| rules.required());
    // A field of a group is only looked at when it is the one that is set.
    let grouped = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
    let required = required && !grouped;
    (required || !value.is_nothing()).then_some(Shape::One { required, value })
}
