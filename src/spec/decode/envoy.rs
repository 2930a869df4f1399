//! `envoy:`, raw Envoy configuration.
//!
//! What stands there is YAML 1.2 by its core schema, and then JSON as protobuf defines it: text that looks like a number
//! needs quotes where Envoy wants text, and a number may have them.

use serde_json::{Map, Value as Json};

use super::Patch;
use crate::descriptors::merge::{Fault, Step, Wrong};
use crate::model::{PatchTarget, Patches};
use crate::patch;
use crate::spec::diagnostic::quoted;
use crate::spec::reader::{At, MERGE_KEY, Reader};
use crate::spec::tree::Value;
use crate::spec::value::{listed, nearest};

const EXAMPLE: &str = "write fields of Envoy's message, as in `cluster: {per_connection_buffer_limit_bytes: 32768}`";

/// Reads what may be merged into the targets, and keeps where it is written; `within` is the name of the listener or
/// route configuration that it stands in.
pub(super) fn patches(
    reader: &mut Reader<'_, '_>,
    at: Option<At<'_>>,
    targets: &[PatchTarget],
    within: Option<&str>,
    places: &mut Vec<Patch>,
) -> Patches {
    let mut patches = Patches::new();
    let Some(at) = at else { return patches };
    if !reader.settings.envoy_patches {
        let spot = reader.at_key(&at);
        let help = "remove it, or allow it with `--allow-envoy-patches` (`serin serve` and `serin validate` have it)";
        reader.error_at(&spot, "raw Envoy configuration is not allowed here", help);
        return patches;
    }
    let Some(mut fields) = reader.map(&at, EXAMPLE) else { return patches };
    let given: Vec<(PatchTarget, At<'_>)> =
        targets.iter().filter_map(|target| Some((*target, fields.optional(target.name())?))).collect();
    fields.finish(reader, &[]);
    for (target, at) in given {
        let Some(json) = json(reader, &at) else { continue };
        for fault in patch::faults(target, &json) {
            tell(reader, &at, &fault);
        }
        places.push(Patch { place: (within.map(str::to_owned), target), spot: reader.at_key(&at) });
        patches.insert(target, json);
    }
    patches
}

/// As JSON; none where it is not YAML for that, which then was told. Fields that are not are left out, so that what is
/// wrong with the others is told as well.
fn json(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Json> {
    match &at.node.value {
        Value::Map(_) => {
            let fields = reader.map(at, EXAMPLE)?.all();
            let mut object = Map::new();
            for (name, at) in fields {
                if name == MERGE_KEY {
                    reader.merge_key(&at);
                } else if let Some(value) = json(reader, &at) {
                    object.insert(name.to_owned(), value);
                }
            }
            Some(Json::Object(object))
        }
        Value::List(_) => {
            let items = reader.list(at, EXAMPLE)?;
            let read: Vec<Option<Json>> = items.iter().map(|at| json(reader, at)).collect();
            read.into_iter().collect::<Option<Vec<Json>>>().map(Json::Array)
        }
        Value::Scalar { text, plain } => {
            reader.refuse_tag(at).then(|| if *plain { resolved(text) } else { Json::String(text.clone()) })
        }
    }
}

/// What text without quotes stands for, by YAML 1.2's core schema. What JSON has no number for is text, as protobuf
/// writes it.
fn resolved(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return Json::Bool(true),
        "false" | "False" | "FALSE" => return Json::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Json::String("NaN".to_owned()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Json::String("Infinity".to_owned()),
        "-.inf" | "-.Inf" | "-.INF" => return Json::String("-Infinity".to_owned()),
        _ => {}
    }
    number(text).unwrap_or_else(|| Json::String(text.to_owned()))
}

fn number(text: &str) -> Option<Json> {
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let only_digits = digits.starts_with(|c: char| c.is_ascii_hexdigit());
            return only_digits.then(|| u64::from_str_radix(digits, radix).ok().map(Json::from)).flatten();
        }
    }
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    let begins = bare.strip_prefix('.').unwrap_or(bare).starts_with(|c: char| c.is_ascii_digit());
    if !begins || !bare.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) {
        return None;
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = unsigned.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = unsigned.parse::<u64>() {
        return Some(whole.into());
    }
    serde_json::Number::from_f64(unsigned.parse().ok()?).map(Json::Number)
}

/// Tells a fault at its place in the file.
fn tell(reader: &mut Reader<'_, '_>, patch: &At<'_>, fault: &Fault) {
    let at = find(patch.clone(), &fault.path);
    let spot = if fault.at_key { reader.at_key(&at) } else { reader.at(&at) };
    let choices: Vec<&str> = fault.choices.iter().map(String::as_str).collect();
    let (message, help) = match &fault.wrong {
        Wrong::UnknownField { name, message } => {
            let help = match nearest(name, &choices) {
                Some(known) => format!("did you mean `{known}`?"),
                None if choices.is_empty() => format!("{message} has no fields"),
                None => format!("{message} has {}", listed(&choices, "and")),
            };
            (format!("Envoy's {message} has no field {}", quoted(name)), help)
        }
        Wrong::Mistyped { expected, .. } => {
            let help = match (at.node.text().and_then(|text| nearest(text, &choices)), choices.as_slice()) {
                (Some(known), _) => format!("did you mean `{known}`?"),
                (None, []) if expected == "text" => "put it in quotes".to_owned(),
                (None, []) => String::new(),
                (None, choices) => format!("it may be {}", listed(choices, "or")),
            };
            (fault.wrong.to_string(), help)
        }
        Wrong::UnknownType { .. } => {
            let help = match choices.as_slice() {
                [] => "write the type as Envoy's documentation has it, behind `type.googleapis.com/`".to_owned(),
                choices => format!("did you mean {}?", listed(choices, "or")),
            };
            (fault.wrong.to_string(), help)
        }
        Wrong::Untyped => {
            let help = "add `\"@type\": type.googleapis.com/…` with the type as Envoy's documentation has it";
            (fault.wrong.to_string(), help.to_owned())
        }
        Wrong::Twice { .. } | Wrong::Exclusive { .. } => (fault.wrong.to_string(), "keep one of them".to_owned()),
        Wrong::Owned { name, instead } => {
            (format!("{} is not for raw configuration to set", quoted(name)), (*instead).to_owned())
        }
    };
    reader.error_at(&spot, message, help);
}

/// As far as the way leads: what is missing there has no place of its own.
fn find<'t>(mut at: At<'t>, path: &[Step]) -> At<'t> {
    for step in path {
        let next = match (step, &at.node.value) {
            (Step::Key(key), Value::Map(entries)) => entries
                .iter()
                .find_map(|entry| entry.key.text().filter(|name| name == key).map(|name| at.child(entry, name))),
            (Step::Index(index), Value::List(items)) => items.get(*index).map(|node| at.item(*index, node)),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => return at,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_are_what_yaml_1_2_says() {
        for (text, value) in [
            ("yes", json!("yes")),
            ("True", json!(true)),
            ("0o17", json!(15)),
            ("017", json!(17)),
            ("0x1F", json!(31)),
            ("0x+1", json!("0x+1")),
            ("+5", json!(5)),
            ("-5", json!(-5)),
            (".5", json!(0.5)),
            ("5.", json!(5.0)),
            ("1e3", json!(1000.0)),
            ("1_000", json!("1_000")),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("1.2.3", json!("1.2.3")),
            ("1-2", json!("1-2")),
            (".", json!(".")),
            ("-", json!("-")),
            ("e5", json!("e5")),
            (".inf", json!("Infinity")),
            ("inf", json!("inf")),
            ("1e999", json!("1e999")),
            ("~", Json::Null),
            ("2026-01-01", json!("2026-01-01")),
        ] {
            assert_eq!(resolved(text), value, "{text}");
        }
    }
}
