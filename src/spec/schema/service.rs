//! `kind: Service`.

use serde_json::{Value, json};

use super::{duration, either, envoy, list, map, object, probe, text, whole};

pub(super) fn schema() -> Value {
    let outliers = json!({
        "consecutive5xx": {"type": "integer", "minimum": 1},
        "interval": duration("Between two sweeps."),
        "baseEjectionTime": duration("How long an endpoint stays out the first time."),
        "maxEjectionPercent": {"type": "integer", "minimum": 0, "maximum": 100},
    });
    let properties = json!({
        "hosts": list(text("As clients ask for it: shop.example.com, *.example.com, or *."), "The hosts it answers to."),
        "protocol": {"enum": ["http1", "http2", "grpc", "tcp"], "default": "http1"},
        "versions": map(version(), "The versions that exist, by name."),
        "outlierDetection": object(outliers, &[], "Takes endpoints out that keep failing."),
        "connectTimeout": duration("1s by default."),
        "timeout": duration("For a whole response, 15s by default; 0s waits for ever."),
        "healthCheck": health_check(),
        "circuitBreakers": circuit_breakers(),
        "retries": retries(),
        "loadBalancing": {
            "enum": ["leastRequest", "roundRobin", "random", "ringHash", "maglev"],
            "default": "leastRequest",
            "description": "How proxies choose among a version's endpoints.",
        },
        "tls": tls(),
        "routes": routes(),
        "envoy": envoy(&["cluster", "route", "virtualHost"]),
    });
    object(properties, &["versions"], "Where a host's traffic may go.")
}

fn version() -> Value {
    let endpoint = object(
        json!({
            "address": text("IP address and port."),
            "zone": text("The zone of its locality."),
            "weight": {"type": "integer", "minimum": 1, "maximum": 128, "default": 1},
        }),
        &["address"],
        "Where it runs.",
    );
    let dns = object(
        json!({
            "host": text("The name."),
            "port": {"type": "integer", "minimum": 1, "maximum": 65535},
            "interval": duration("Between two looks; 5s by default."),
        }),
        &["host", "port"],
        "All addresses of a name.",
    );
    let registered = json!({
        "ttl": duration("For how long an endpoint is believed; 15s by default."),
        "drain": duration("How long one that has gone is drained; 30s by default."),
    });
    let properties = json!({
        "endpoints": list(either(json!([text("IP address and port."), endpoint]), "Where it runs."), "Where it runs."),
        "dns": either(json!([text("Name and port."), dns]), "All addresses of a name, looked up again and again."),
        "file": text("A file below the directory of the specs that lists the endpoints."),
        "registered": object(registered, &[], "The endpoints register themselves."),
        "sameAs": text("Another version, whose endpoints run this one, too."),
        "featureFlags": map(
            json!({"type": ["string", "number", "boolean"]}),
            "Features that are set for those who are given this version, as request headers x-feature-NAME.",
        ),
    });
    let mut version = object(properties, &[], "A version of the service.");
    let sources = ["endpoints", "dns", "file", "registered", "sameAs"];
    version["oneOf"] = sources.iter().map(|source| json!({"required": [source]})).collect();
    version
}

fn health_check() -> Value {
    let mut properties = probe();
    properties.insert("interval".into(), duration("Between two questions; 1s by default."));
    properties.insert("timeout".into(), duration("For an answer; 1s by default."));
    properties
        .insert("unhealthyThreshold".into(), whole(1, "Failures in a row that take an endpoint out; 3 by default."));
    properties.insert("healthyThreshold".into(), whole(1, "Successes in a row that bring it back; 2 by default."));
    object(properties.into(), &[], "The proxies ask the endpoints themselves.")
}

fn circuit_breakers() -> Value {
    let properties = json!({
        "maxConnections": whole(1, "Open connections; Envoy's default is 1024."),
        "maxPendingRequests": whole(0, "Requests that wait for a connection; Envoy's default is 1024."),
        "maxRequests": whole(1, "Requests on their way; Envoy's default is 1024."),
        "maxRetries": whole(0, "Retries on their way; Envoy's default is 3."),
    });
    object(properties, &[], "What at most goes to one version from one proxy.")
}

fn retries() -> Value {
    let properties = json!({
        "attempts": whole(1, "How often at most; 1 by default."),
        "on": list(text("As in Envoy's retry_on: connect-failure, reset, 5xx, unavailable."), "What is tried again."),
        "perTryTimeout": duration("For one try."),
    });
    object(properties, &["on"], "Which failed requests a proxy tries again, at the same version.")
}

fn routes() -> Value {
    let grpc = json!({
        "service": text("The full name, as shop.v1.Checkout."),
        "method": text("All of them when absent."),
    });
    let properties = json!({
        "name": {"type": "string", "pattern": "^[A-Za-z0-9-]{1,63}$"},
        "prefix": text("Requests whose path begins so."),
        "path": text("Requests with this path."),
        "grpc": object(grpc, &["service"], "gRPC calls."),
    });
    let mut route = object(properties, &["name"], "Requests that are told apart.");
    route["oneOf"] = ["prefix", "path", "grpc"].iter().map(|by| json!({"required": [by]})).collect();
    list(route, "Requests that are told apart from the others; the first route that fits a request has it.")
}

fn tls() -> Value {
    let client = json!({"certificate": text("The chain (PEM)."), "key": text("Its private key (PEM).")});
    let properties = json!({
        "serverName": text("The name that is asked for and must be in the certificate."),
        "ca": text("Authorities that may have signed it (PEM), a file of the proxy's machine."),
        "client": object(client, &["certificate", "key"], "The proxy's own certificate."),
    });
    object(properties, &[], "The proxies speak TLS to the endpoints.")
}
