//! PURE: where the number is in the JSON that a webhook answers.

use serde_json::Value;

use crate::analysis::Outcome;

/// What an answer comes to. The number is at `path`, from the outside in; without a path it is the answer itself, or its
/// `value`.
pub(super) fn outcome(body: &[u8], path: &[String]) -> Outcome {
    match serde_json::from_slice(body) {
        Ok(answer) => number(&answer, path).unwrap_or_else(Outcome::Error),
        Err(error) => Outcome::Error(format!("the answer is not JSON: {error}")),
    }
}

fn number(answer: &Value, path: &[String]) -> Result<Outcome, String> {
    let own = ["value".to_owned()];
    let path = if path.is_empty() && answer.is_object() { &own } else { path };
    let mut found = answer;
    for (depth, step) in path.iter().enumerate() {
        let there = match found {
            Value::Array(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
            Value::Object(fields) => fields.get(step),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        found = there.ok_or_else(|| {
            let (place, what) = (place(&path[..depth]), kind(found));
            format!("{place} is {what} without {step:?}")
        })?;
    }
    match found {
        Value::Null => Ok(Outcome::Nothing),
        // A number that a float cannot hold is as good as infinite.
        Value::Number(number) => Ok(number.as_f64().map_or(Outcome::Nothing, Outcome::of)),
        other => Err(format!("{} is {} and not a number", place(path), kind(other))),
    }
}

fn place(path: &[String]) -> String {
    if path.is_empty() { "the answer".to_owned() } else { format!("`{}` of the answer", path.join(".")) }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_where_its_path_leads() {
        let nested = r#"{"data":{"series":[{"p99":0.25},{"p99":null}],"name":"x"}}"#;
        let error = |why: &str| Outcome::Error(why.to_owned());
        for (body, path, expected) in [
            ("0.2", "", Outcome::Value(0.2)),
            (r#"{"value": 3}"#, "", Outcome::Value(3.0)),
            (r#"{"value": null, "why": "no traffic"}"#, "", Outcome::Nothing),
            ("null", "", Outcome::Nothing),
            (nested, "data.series.0.p99", Outcome::Value(0.25)),
            (nested, "data.series.1.p99", Outcome::Nothing),
            ("{}", "", error("the answer is an object without \"value\"")),
            ("[1]", "", error("the answer is a list and not a number")),
            ("\"0.2\"", "", error("the answer is a text and not a number")),
            (r#"{"a":{"b":[1]}}"#, "a.b.1", error("`a.b` of the answer is a list without \"1\"")),
            (r#"{"a":{"b":[1]}}"#, "a.b.x", error("`a.b` of the answer is a list without \"x\"")),
            (r#"{"a":{"b":[1]}}"#, "a.b.0.c", error("`a.b.0` of the answer is a number without \"c\"")),
            (r#"{"a":{"b":true}}"#, "a.b", error("`a.b` of the answer is a boolean and not a number")),
        ] {
            let path: Vec<String> = path.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect();
            assert_eq!(outcome(body.as_bytes(), &path), expected, "{body} at {path:?}");
        }
        for body in ["", "ok", "{\"value\": NaN}", "0.2 0.3"] {
            let Outcome::Error(why) = outcome(body.as_bytes(), &[]) else { panic!("{body}") };
            assert!(why.starts_with("the answer is not JSON: "), "{why}");
        }
    }
}
