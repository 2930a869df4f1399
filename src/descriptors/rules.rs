//! Checks messages by the rules that Envoy's own proto files state (`validate.rules`, protoc-gen-validate), so that what
//! a proxy would reject is known before it is sent.
//!
//! PURE. Owns what the rules mean. Must not know what a message is for. The rules are those of the API that this crate's
//! types are of: an older or a newer proxy may have others.

mod form;
mod number;
mod table;
mod text;
mod value;

use std::fmt;

use prost_reflect::{DynamicMessage, MapKey, ReflectMessage, Value};

use super::{DescriptorError, message_of};
use table::{Shape, Size, TABLE};

/// The most violations that are told of a message.
const MOST: usize = 100;
/// How deep messages may be nested, those inside an `Any` counted on. Protobuf's own limit, without them.
const DEEPEST: usize = 100;

/// A rule that a message breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field, as `endpoints[0].lb_endpoints[2].load_balancing_weight`; what is inside an `Any` belongs to its field.
    /// Empty for the message itself.
    pub path: String,
    /// What the rule asks for, as `must be at least 1`.
    pub rule: String,
    /// What is there instead.
    pub got: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "it" } else { &self.path };
        write!(f, "{path} {}, got {}", self.rule, self.got)
    }
}

/// What a value breaks.
#[derive(Debug, PartialEq)]
struct Fault {
    rule: String,
    got: String,
}

/// Everything in a message that Envoy's proto files forbid, in the order of their fields; at most 100 violations. The
/// first call reads the rules of the whole API.
///
/// # Errors
/// When the type is unknown, or the bytes are no such message.
pub fn check(type_url: &str, bytes: &[u8]) -> Result<Vec<Violation>, DescriptorError> {
    let message = message_of(type_url, bytes)?;
    let mut walk = Walk::default();
    walk.message(&message);
    Ok(walk.found)
}

/// A step from a message to what is in it.
enum Step {
    Field(&'static str),
    Index(usize),
    Key(String),
}

#[derive(Default)]
struct Walk {
    path: Vec<Step>,
    depth: usize,
    found: Vec<Violation>,
}

impl Walk {
    fn tell(&mut self, fault: Fault) {
        if self.found.len() < MOST {
            self.found.push(Violation { path: self.place(), rule: fault.rule, got: fault.got });
        }
    }

    fn place(&self) -> String {
        let mut place = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if place.is_empty() => place.push_str(name),
                Step::Field(name) => place.extend([".", name]),
                Step::Index(index) => place.push_str(&format!("[{index}]")),
                Step::Key(key) => place.push_str(&format!("[{key}]")),
            }
        }
        place
    }

    fn within(&mut self, step: Step, look: impl FnOnce(&mut Self)) {
        self.path.push(step);
        look(self);
        self.path.pop();
    }

    fn message(&mut self, message: &DynamicMessage) {
        if self.depth >= DEEPEST {
            let rule = format!("must not be nested more than {DEEPEST} messages deep");
            return self.tell(Fault { rule, got: "a deeper one".to_owned() });
        }
        self.depth += 1;
        match message.descriptor().full_name() {
            "google.protobuf.Any" => self.any(message),
            name => TABLE.get(name).into_iter().for_each(|rules| self.fields(rules, message)),
        }
        self.depth -= 1;
    }

    fn fields(&mut self, rules: &'static table::Message, message: &DynamicMessage) {
        for field in &rules.fields {
            let descriptor = &field.descriptor;
            self.within(Step::Field(descriptor.name()), |walk| match &field.shape {
                Shape::One { required, .. } if descriptor.supports_presence() && !message.has_field(descriptor) => {
                    if *required {
                        walk.tell(Fault { rule: "must be set".to_owned(), got: "nothing".to_owned() });
                    }
                }
                Shape::One { value, .. } => walk.value(value, &message.get_field(descriptor)),
                Shape::List { size, unique, items } => {
                    let value = message.get_field(descriptor);
                    walk.list(size, *unique, items, value.as_list().unwrap_or_default());
                }
                Shape::Map { size, keys, values } => {
                    let value = message.get_field(descriptor);
                    let mut entries: Vec<(&MapKey, &Value)> = value.as_map().into_iter().flatten().collect();
                    entries.sort_by_key(|(key, _)| key_text(key));
                    walk.map(size, keys, values, &entries);
                }
            });
        }
        for oneof in rules.required.iter().filter(|oneof| !oneof.fields().any(|field| message.has_field(&field))) {
            let names: Vec<String> = oneof.fields().map(|field| field.name().to_owned()).collect();
            self.tell(Fault { rule: format!("must have {}", one_of(&names)), got: "none".to_owned() });
        }
    }

    fn value(&mut self, rules: &table::Value, value: &Value) {
        if let Some(fault) = rules.rule.as_ref().and_then(|rule| rule.fault(value)) {
            self.tell(fault);
        }
        if let (true, Some(message)) = (rules.inside, value.as_message()) {
            self.message(message);
        }
    }

    fn list(&mut self, size: &Size, unique: bool, rules: &table::Value, items: &[Value]) {
        if !self.size(size, items.len(), "item") {
            return;
        }
        for (index, item) in items.iter().enumerate() {
            self.within(Step::Index(index), |walk| {
                walk.value(rules, item);
                // Lists that must not repeat anything are short in Envoy's API.
                let first = if unique { items[..index].iter().position(|other| other == item) } else { None };
                if let Some(first) = first {
                    let rule = "must be unlike all items before it".to_owned();
                    walk.tell(Fault { rule, got: format!("the same as item {first}") });
                }
            });
        }
    }

    fn map(&mut self, size: &Size, keys: &table::Value, values: &table::Value, entries: &[(&MapKey, &Value)]) {
        if !self.size(size, entries.len(), "entry") {
            return;
        }
        for (key, value) in entries {
            self.within(Step::Key(key_text(key)), |walk| {
                walk.value(keys, &Value::from((*key).clone()));
                walk.value(values, value);
            });
        }
    }

    /// Tells whether the items are to be looked at.
    fn size(&mut self, size: &Size, number: usize, noun: &str) -> bool {
        if size.ignore_empty && number == 0 {
            return false;
        }
        let count = number as u64;
        let plural = |n: u64| match (n, noun) {
            (1, noun) => format!("1 {noun}"),
            (n, "entry") => format!("{n} entries"),
            (n, noun) => format!("{n} {noun}s"),
        };
        if let Some(least) = size.least.filter(|least| count < *least) {
            self.tell(Fault { rule: format!("must have at least {}", plural(least)), got: plural(count) });
        }
        if let Some(most) = size.most.filter(|most| count > *most) {
            self.tell(Fault { rule: format!("must have at most {}", plural(most)), got: plural(count) });
        }
        true
    }

    fn any(&mut self, any: &DynamicMessage) {
        let url = any.get_field_by_name("type_url");
        let url = url.as_ref().and_then(|url| url.as_str()).unwrap_or_default();
        let bytes = any.get_field_by_name("value");
        let bytes = bytes.as_ref().and_then(|bytes| bytes.as_bytes().cloned()).unwrap_or_default();
        match message_of(url, &bytes) {
            Ok(message) => self.message(&message),
            Err(DescriptorError::UnknownType(_)) => {
                let rule = "must hold a message of Envoy's API".to_owned();
                self.tell(Fault { rule, got: text::shown(url.as_bytes()) });
            }
            Err(error) => {
                self.tell(Fault { rule: "must hold a message that can be read".to_owned(), got: error.to_string() });
            }
        }
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => text::shown(key.as_bytes()),
    }
}

/// As `a`, `a or b`, `a, b or c`; many are cut short.
fn one_of<T: fmt::Display>(choices: &[T]) -> String {
    const SHOWN: usize = 12;
    let mut words: Vec<String> = choices.iter().take(SHOWN).map(ToString::to_string).collect();
    if choices.len() > SHOWN {
        words.push(format!("{} others", choices.len() - SHOWN));
    }
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { format!("{} or {last}", words.join(", ")) }
}

#[cfg(test)]
mod tests;
