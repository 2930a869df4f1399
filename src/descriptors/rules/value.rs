//! The rules of a single value. PURE.

use envoy_types::pb::validate::{AnyRules, EnumRules, field_rules::Type};
use prost_reflect::{DynamicMessage, EnumDescriptor, Kind, Value};

use super::number::{self, Moment, Range, Span};
use super::text::{Text, shown};
use super::{Fault, one_of};

/// What a single value must be.
#[derive(Debug)]
pub(super) struct ValueRule {
    rule: Rule,
    /// Whether it stands in a wrapper such as `UInt32Value`.
    wrapped: bool,
}

#[derive(Debug)]
enum Rule {
    Signed(Range<i64>),
    Unsigned(Range<u64>),
    Float(Range<f64>),
    Bool(bool),
    Text(Box<Text>),
    Enum(EnumRules, EnumDescriptor),
    Any(AnyRules),
    Duration(Range<Span>),
    Timestamp(Range<Moment>),
}

impl ValueRule {
    /// None where the rules say nothing of a single value of that kind.
    pub(super) fn new(rules: &Type, kind: &Kind) -> Option<Self> {
        let good = "Envoy is built with this pattern, and a test compiles all of them";
        let rule = match rules {
            Type::Bool(rules) => Rule::Bool(rules.r#const?),
            Type::String(rules) => Rule::Text(Box::new(Text::of_string(rules).expect(good))),
            Type::Bytes(rules) => Rule::Text(Box::new(Text::of_bytes(rules).expect(good))),
            Type::Enum(rules) => Rule::Enum(rules.clone(), kind.as_enum()?.clone()),
            Type::Any(rules) if rules.r#in.is_empty() && rules.not_in.is_empty() => return None,
            Type::Any(rules) => Rule::Any(rules.clone()),
            Type::Duration(rules) => Rule::Duration(number::duration(rules)),
            Type::Timestamp(rules) => Rule::Timestamp(number::timestamp(rules)),
            Type::Repeated(_) | Type::Map(_) => return None,
            rules => number::signed(rules)
                .map(Rule::Signed)
                .or_else(|| number::unsigned(rules).map(Rule::Unsigned))
                .or_else(|| number::float(rules).map(Rule::Float))?,
        };
        let whole = matches!(rule, Rule::Any(_) | Rule::Duration(_) | Rule::Timestamp(_));
        Some(Self { rule, wrapped: !whole && kind.as_message().is_some() })
    }

    /// What a value breaks, if it breaks anything.
    pub(super) fn fault(&self, value: &Value) -> Option<Fault> {
        let inner;
        let value = match value {
            Value::Message(message) if self.wrapped => {
                inner = message.get_field_by_name("value")?;
                &*inner
            }
            value => value,
        };
        match (&self.rule, value) {
            (Rule::Signed(range), Value::I32(n)) => range.fault(i64::from(*n)),
            (Rule::Signed(range), Value::I64(n)) => range.fault(*n),
            (Rule::Unsigned(range), Value::U32(n)) => range.fault(u64::from(*n)),
            (Rule::Unsigned(range), Value::U64(n)) => range.fault(*n),
            (Rule::Float(range), Value::F32(n)) => range.fault(f64::from(*n)),
            (Rule::Float(range), Value::F64(n)) => range.fault(*n),
            (Rule::Bool(only), Value::Bool(value)) => {
                (only != value).then(|| Fault { rule: format!("must be {only}"), got: value.to_string() })
            }
            (Rule::Text(text), Value::String(value)) => text.fault(value.as_bytes()),
            (Rule::Text(text), Value::Bytes(value)) => text.fault(value),
            (Rule::Enum(rules, of), Value::EnumNumber(number)) => enumeration(rules, of, *number),
            (Rule::Any(rules), Value::Message(any)) => packed(rules, any),
            (Rule::Duration(range), Value::Message(message)) => range.fault(span(message)),
            (Rule::Timestamp(range), Value::Message(message)) => range.fault(Moment(span(message))),
            // Rules of another type than the field's: protoc-gen-validate refuses them.
            _ => None,
        }
    }
}

fn enumeration(rules: &EnumRules, of: &EnumDescriptor, number: i32) -> Option<Fault> {
    let name = |number: i32| of.get_value(number).map_or_else(|| number.to_string(), |value| value.name().to_owned());
    let names = |numbers: &[i32]| one_of(&numbers.iter().map(|n| name(*n)).collect::<Vec<_>>());
    let rule = match rules.r#const {
        Some(only) if only != number => format!("must be {}", name(only)),
        _ if rules.defined_only() && of.get_value(number).is_none() => {
            let numbers: Vec<i32> = of.values().map(|value| value.number()).collect();
            format!("must be {}", names(&numbers))
        }
        _ if !rules.r#in.is_empty() && !rules.r#in.contains(&number) => format!("must be {}", names(&rules.r#in)),
        _ if rules.not_in.contains(&number) => format!("must not be {}", names(&rules.not_in)),
        _ => return None,
    };
    Some(Fault { rule, got: name(number) })
}

fn packed(rules: &AnyRules, any: &DynamicMessage) -> Option<Fault> {
    let url = any.get_field_by_name("type_url")?.as_str().unwrap_or_default().to_owned();
    let rule = match () {
        () if !rules.r#in.is_empty() && !rules.r#in.contains(&url) => format!("must hold {}", one_of(&rules.r#in)),
        () if rules.not_in.contains(&url) => format!("must not hold {}", one_of(&rules.not_in)),
        () => return None,
    };
    Some(Fault { rule, got: shown(url.as_bytes()) })
}

/// Of a `Duration` or a `Timestamp`.
fn span(message: &DynamicMessage) -> Span {
    Span {
        seconds: message.get_field_by_name("seconds").and_then(|value| value.as_i64()).unwrap_or_default(),
        nanos: message.get_field_by_name("nanos").and_then(|value| value.as_i32()).unwrap_or_default(),
    }
}
