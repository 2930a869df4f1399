//! The format as a JSON Schema, so that editors complete field names and underline mistakes while they are made.
//!
//! PURE. Follows `decode`, and says less: what the schema accepts may still be refused. A test compares its fields with
//! those of the example that has them all.

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
            of_kind("Service", service()),
            of_kind("Release", release()),
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
    });
    object(properties, &[], "Which proxies there are, and what they listen on.")
}

fn config_canary() -> Value {
    let properties = json!({
        "proxies": {
            "oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[1-9][0-9]?%$"}],
            "description": "How many go first, over all localities: 2, or 10%.",
        },
        "quiet": duration("For how long they must have it without trouble; 0s by default."),
        "max5xx": {"type": "integer", "minimum": 0, "default": 0, "description": "Answers of class 5xx in that time."},
    });
    object(properties, &["proxies"], "Gives new configuration to a few proxies first.")
}

fn service() -> Value {
    let endpoint = object(
        json!({"address": text("IP address and port."), "zone": text("The zone of its locality.")}),
        &["address"],
        "Where it runs.",
    );
    let endpoints = list(json!({"oneOf": [text("IP address and port."), endpoint]}), "Where it runs.");
    let version = object(json!({"endpoints": endpoints}), &["endpoints"], "A version of the service.");
    let outliers = json!({
        "consecutive5xx": {"type": "integer", "minimum": 1},
        "interval": duration("Between two sweeps."),
        "baseEjectionTime": duration("How long an endpoint stays out the first time."),
        "maxEjectionPercent": {"type": "integer", "minimum": 0, "maximum": 100},
    });
    let properties = json!({
        "hosts": list(text("As clients ask for it: shop.example.com, *.example.com, or *."), "The hosts it answers to."),
        "protocol": {"enum": ["http1", "http2", "grpc"], "default": "http1"},
        "versions": {"type": "object", "minProperties": 1, "additionalProperties": version},
        "outlierDetection": object(outliers, &[], "Takes endpoints out that keep failing."),
        "connectTimeout": duration("1s by default."),
        "timeout": duration("For a whole response, 15s by default; 0s waits for ever."),
        "envoy": envoy(&["cluster", "route", "virtualHost"]),
    });
    object(properties, &["hosts", "versions"], "Where a host's traffic may go.")
}

fn release() -> Value {
    let one = |properties: Value, description: &str| {
        let mut schema = object(properties, &[], description);
        schema["minProperties"] = 1.into();
        schema["maxProperties"] = 1.into();
        schema
    };
    let pause = json!({"duration": duration("Goes on by itself after it; waits for a person without it.")});
    let step = json!({
        "setWeight": {"type": "number", "exclusiveMinimum": 0, "maximum": 100, "description": "Percent."},
        "pause": object(pause, &[], "Waits."),
        "analyze": object(json!({"max": duration("10m by default.")}), &[], "Waits for proof."),
    });
    let canary = json!({"steps": list(one(step, "A step."), "In order; weights only grow.")});
    let strategy = json!({"canary": object(canary, &["steps"], "A growing share of the traffic.")});
    let rollback = json!({
        "auto": {"type": "boolean", "default": true, "description": "Whether failing evidence does."},
        "onRejected": {
            "enum": ["hold", "revert"],
            "default": "hold",
            "description": "What a proxy's rejection of something that the release needs does.",
        },
    });
    let metadata = json!({
        "service": name(),
        "version": version_name(),
        "strategy": object(strategy, &["canary"], "How to get there."),
        "analysis": analysis(&one),
        "rollback": object(rollback, &[], "What sends it back by itself."),
        "paused": {"type": "boolean", "default": false},
    });
    object(metadata, &["service", "version", "strategy"], "What should be live, and how to get there.")
}

fn analysis(one: &impl Fn(Value, &str) -> Value) -> Value {
    let chance =
        |default: f64| json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "default": default});
    let ratio = |default: f64| json!({"type": "number", "minimum": 1, "maximum": 1000, "default": default});
    let errors = json!({
        "tolerateRatio": ratio(1.1),
        "rejectRatio": ratio(2.0),
        "harmlessRate": share("An error rate below it is harmless, whatever the baseline's."),
        "clusterSize": {"type": "number", "minimum": 1, "default": 1},
    });
    let metric = json!({
        "errors": object(errors, &[], "The error rate against the baseline's."),
        "ejections": object(json!({"maxExcess": share("0.2 by default.")}), &[], "Endpoints that the proxies ejected."),
    });
    let properties = json!({
        "risk": object(json!({"falseRevert": chance(0.01), "falseAdvance": chance(0.05)}), &[], "Chances of being wrong."),
        "metrics": list(one(metric, "A metric."), "Both by default."),
        "onNoData": {"enum": ["hold", "revert"], "default": "hold"},
        "onInconclusive": {"enum": ["pause", "revert", "advance"], "default": "pause"},
    });
    object(properties, &[], "What counts as evidence, and how sure to be.")
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

    /// Every field that a document has, but for those whose names the user chose.
    fn given(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    into.insert(key.clone());
                    match (key.as_str(), value) {
                        // What is below is Envoy's.
                        ("envoy", Value::Object(patches)) => into.extend(patches.keys().cloned()),
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
        for text in [
            include_str!("../../examples/canary.yaml"),
            include_str!("../../examples/rds-only.yaml"),
            include_str!("../../examples/envoy-patches.yaml"),
        ] {
            for document in text.split("\n---\n") {
                given(&serde_yaml::from_str::<Value>(document).expect("YAML"), &mut examples);
            }
        }
        for chosen in ["v1", "v2", "tier", "2026.11", "2026.12"] {
            assert!(examples.remove(chosen), "{chosen}");
        }
        assert_eq!(schema, examples);
    }
}
