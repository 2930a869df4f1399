//! The format as a JSON Schema, so that editors complete field names and underline mistakes while they are made.
//!
//! PURE. Follows `decode`, and says less: what the schema accepts may still be refused. A test compares its fields with
//! those of the example that has them all.

mod release;
mod service;
mod strategy;

use serde_json::{Value, json};

/// The schema of one document (draft 2020-12).
pub fn json_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Serin release specs",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": "serin.dev/v1"},
            "kind": {"enum": ["Fleet", "Service", "Release"]},
            "metadata": object(json!({"name": name()}), &["name"], "Names the document, once for each kind."),
            "spec": {"type": "object"},
        },
        "additionalProperties": false,
        "oneOf": [
            of_kind("Fleet", fleet()),
            of_kind("Service", service::schema()),
            of_kind("Release", release::schema()),
        ],
    })
}

fn of_kind(kind: &str, spec: Value) -> Value {
    json!({"properties": {"kind": {"const": kind}, "spec": spec}})
}

fn object(properties: Value, required: &[&str], description: &str) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
        "description": description,
    })
}

fn list(items: Value, description: &str) -> Value {
    json!({"type": "array", "items": items, "description": description})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn name() -> Value {
    json!({"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"})
}

/// YAML reads `1.10` as a number where no schema says otherwise.
fn version_name() -> Value {
    json!({"type": ["string", "number"], "description": "The version that should be live."})
}

fn duration(description: &str) -> Value {
    text(&format!("{description} A number with its unit: 250ms, 10s, 5m, 1h30m."))
}

fn whole(minimum: u32, description: &str) -> Value {
    json!({"type": "integer", "minimum": minimum, "description": description})
}

/// A percentage above 0.
fn percent(description: &str) -> Value {
    json!({"type": "number", "exclusiveMinimum": 0, "maximum": 100, "description": description})
}

/// A number of things, or a percentage of them.
fn portion(description: &str) -> Value {
    json!({
        "oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[1-9][0-9]?%$"}],
        "description": description,
    })
}

/// Names that the user chooses, each with a value.
fn map(values: Value, description: &str) -> Value {
    json!({"type": "object", "minProperties": 1, "additionalProperties": values, "description": description})
}

/// Fields of which exactly one is given.
fn one(properties: Value, description: &str) -> Value {
    let mut schema = object(properties, &[], description);
    schema["minProperties"] = 1.into();
    schema["maxProperties"] = 1.into();
    schema
}

/// Either of some forms.
fn either(forms: Value, description: &str) -> Value {
    json!({"oneOf": forms, "description": description})
}

/// A hook in full, or its URL.
fn hook(description: &str) -> Value {
    let properties = json!({
        "url": text("http:// or https://."),
        "name": text("What people call it; its host and path by default."),
        "timeout": duration("Of one try; 30s by default."),
        "retries": whole(0, "How often it is tried again; 3 by default."),
        "backoff": duration("Before the first further try, 1s by default; it doubles."),
        "secret": text("The name of the secret that signs the body."),
        "headers": map(text("A request header."), "Further request headers."),
        "onFailure": {"enum": ["revert", "pause", "continue"], "default": "revert"},
    });
    either(json!([text("Its URL."), object(properties, &["url"], description)]), description)
}

/// The fields of which one says what an endpoint is asked.
fn probe() -> serde_json::Map<String, Value> {
    let kinds = json!({
        "http": object(json!({"path": text("With its leading slash.")}), &["path"], "GET; 2xx is good."),
        "grpc": object(json!({"service": text("Empty for the whole server.")}), &[], "The standard health service."),
        "tcp": object(json!({}), &[], "A connection."),
    });
    kinds.as_object().cloned().unwrap_or_default()
}

fn share(description: &str) -> Value {
    json!({"type": ["number", "string"], "description": format!("{description} As 0.1% or 0.001.")})
}

fn envoy(targets: &[&str]) -> Value {
    let message = json!({"type": "object", "description": "Fields of Envoy's message, merged into Serin's."});
    let targets: serde_json::Map<String, Value> =
        targets.iter().map(|target| ((*target).to_owned(), message.clone())).collect();
    object(targets.into(), &[], "Raw Envoy configuration; only where the server allows it (--allow-envoy-patches).")
}

fn fleet() -> Value {
    let services = || list(name(), "The services routed here, by name.");
    let listener = object(
        json!({
            "name": text("Unique within the fleet."),
            "bind": text("The address to listen on, as 0.0.0.0:10000."),
            "services": services(),
            "tls": object(
                json!({
                    "certificate": text("The chain (PEM), a file of the proxy's machine."),
                    "key": text("Its private key (PEM)."),
                    "clientCA": text("Authorities that must have signed the caller's certificate (PEM)."),
                }),
                &["certificate", "key"],
                "Speaks TLS to its callers.",
            ),
            "trustedHops": whole(0, "How many proxies in front of it are trusted to say who called; 0 by default."),
            "preview": {"type": "boolean", "default": false, "description": "Shows the preview of what is released."},
            "envoy": envoy(&["listener", "filterChain", "connectionManager", "routeConfiguration"]),
        }),
        &["name", "bind", "services"],
        "A listener that Serin opens.",
    );
    let route_config = object(
        json!({
            "name": text("The route_config_name that the bootstrap asks for."),
            "services": services(),
            "envoy": envoy(&["routeConfiguration"]),
        }),
        &["name", "services"],
        "Routes for listeners of the bootstrap.",
    );
    let locality = json!({"region": text("Exactly."), "zone": text("Exactly.")});
    let nodes = json!({
        "cluster": text("node.cluster, exactly."),
        "id": text("node.id; * stands for any run of characters."),
        "locality": object(locality, &[], "node.locality."),
        "metadata": {
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean"]},
            "description": "Top-level text fields of node.metadata, exactly.",
        },
    });
    let properties = json!({
        "nodes": object(nodes, &[], "Which proxies belong to it: all that is given must match."),
        "listeners": list(listener, "Listeners that Serin opens."),
        "routeConfigs": list(route_config, "Routes for listeners of the bootstrap."),
        "configCanary": config_canary(),
        "telemetry": telemetry(),
    });
    object(properties, &[], "Which proxies there are, and what they listen on.")
}

fn telemetry() -> Value {
    let poll = json!({
        "admin": list(text("As http://10.0.0.7:9901."), "The proxies' admin interfaces."),
        "interval": duration("Between two questions, and for an answer; 1s by default."),
    });
    let poll = object(poll, &["admin"], "Asks proxies for their statistics whose bootstrap does not send them.");
    object(json!({"poll": poll}), &["poll"], "How the proxies' statistics come.")
}

fn config_canary() -> Value {
    let properties = json!({
        "proxies": portion("How many go first, over all localities: 2, or 10%."),
        "quiet": duration("For how long they must have it without trouble; 0s by default."),
        "max5xx": {"type": "integer", "minimum": 0, "default": 0, "description": "Answers of class 5xx in that time."},
    });
    object(properties, &["proxies"], "Gives new configuration to a few proxies first.")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every field that the schema names.
    fn named(schema: &Value, into: &mut BTreeSet<String>) {
        match schema {
            Value::Object(fields) => {
                for (key, value) in fields {
                    if key == "properties" {
                        into.extend(value.as_object().into_iter().flatten().map(|(name, _)| name.clone()));
                    }
                    named(value, into);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| named(item, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// What users name themselves: only what is below is the schema's.
    const CHOSEN: [&str; 9] =
        ["versions", "headers", "cookies", "query", "attributes", "featureFlags", "candidates", "metadata", "max"];

    /// Every field that a document has, but for those whose names the user chose.
    fn given(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    into.insert(key.clone());
                    match (key.as_str(), value) {
                        // What is below is Envoy's.
                        ("envoy", Value::Object(patches)) => into.extend(patches.keys().cloned()),
                        (key, Value::Object(chosen)) if CHOSEN.contains(&key) => {
                            chosen.values().for_each(|value| given(value, into));
                        }
                        _ => given(value, into),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| given(item, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn the_schema_has_the_fields_that_the_examples_have() {
        let (mut schema, mut examples) = (BTreeSet::new(), BTreeSet::new());
        named(&json_schema(), &mut schema);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
        let files = std::fs::read_dir(folder).expect("the examples").flatten().map(|entry| entry.path());
        for file in files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")) {
            let text = std::fs::read_to_string(&file).expect("an example");
            for document in text.split("\n---\n") {
                given(&serde_yaml::from_str::<Value>(document).expect("YAML"), &mut examples);
            }
        }
        examples.insert("name".into());
        let only = |one: &BTreeSet<String>, other| one.difference(other).cloned().collect::<Vec<String>>();
        assert_eq!(only(&examples, &schema), Vec::<String>::new(), "the schema lacks these");
        assert_eq!(only(&schema, &examples), Vec::<String>::new(), "no example has these");
    }
}
