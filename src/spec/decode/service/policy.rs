//! How proxies treat the endpoints of a service.

use std::time::Duration;

use crate::model::{CircuitBreakers, HealthCheck, OutlierDetection, ProbeKind, Protocol, Retries, UpstreamTls};
use crate::spec::decode::hook::ProbeFields;
use crate::spec::decode::tls::key_pair;
use crate::spec::diagnostic::quoted;
use crate::spec::reader::{At, Reader};
use crate::spec::value::{self, listed, nearest};

const HEALTH: &str = "write `healthCheck: {http: {path: /healthz}, interval: 1s}`";
const RETRIES: &str = "write `retries: {attempts: 2, on: [connect-failure, reset]}`";
const ON: &str = "list what is tried again, as in `on: [connect-failure, reset]`";
const NUMBER: &str = "write a number, such as `1024`";
const TLS: &str = "write `tls: {serverName: checkout.internal, ca: /etc/ssl/certs/ca.pem}`";

/// Envoy's `retry_on`, of HTTP and of gRPC.
const CONDITIONS: [&str; 16] = [
    "connect-failure",
    "reset",
    "reset-before-request",
    "refused-stream",
    "5xx",
    "gateway-error",
    "retriable-4xx",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

pub(super) fn health_check(reader: &mut Reader<'_, '_>, at: &At<'_>, protocol: Protocol) -> Option<HealthCheck> {
    let mut fields = reader.map(at, HEALTH)?;
    let kind = ProbeFields::of(&mut fields);
    let (interval, timeout) = (fields.optional("interval"), fields.optional("timeout"));
    let (unhealthy, healthy) = (fields.optional("unhealthyThreshold"), fields.optional("healthyThreshold"));
    fields.finish(reader, &[]);
    let kind = kind.kind(reader, &fields);
    if let (Some(ProbeKind::Grpc { .. }), Protocol::Http1 | Protocol::Tcp) = (&kind, protocol) {
        let spot = reader.at_key(at);
        let message = "proxies check by gRPC only what speaks HTTP/2";
        reader.error_at(&spot, message, "write `protocol: grpc` or `protocol: http2`, or check by `http` or `tcp`");
    }
    let second = Duration::from_secs(1);
    let interval = interval.map_or(Some(second), |at| reader.duration(&at, false));
    let timeout = timeout.map_or(Some(second), |at| reader.duration(&at, false));
    let help = "write how many in a row, such as `3`";
    let unhealthy_threshold = unhealthy.map_or(Some(3), |at| reader.whole(&at, 1, 1_000, help));
    let healthy_threshold = healthy.map_or(Some(2), |at| reader.whole(&at, 1, 1_000, help));
    Some(HealthCheck {
        kind: kind?,
        interval: interval?,
        timeout: timeout?,
        unhealthy_threshold: unhealthy_threshold?,
        healthy_threshold: healthy_threshold?,
    })
}

pub(super) fn circuit_breakers(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<CircuitBreakers> {
    let mut fields = reader.map(at, "write `circuitBreakers: {maxConnections: 1024, maxRequests: 1024}`")?;
    let (connections, pending) = (fields.optional("maxConnections"), fields.optional("maxPendingRequests"));
    let (requests, retries) = (fields.optional("maxRequests"), fields.optional("maxRetries"));
    fields.finish(reader, &[]);
    let mut most = |at: Option<At<'_>>, least| at.and_then(|at| reader.whole(&at, least, u32::MAX, NUMBER));
    Some(CircuitBreakers {
        max_connections: most(connections, 1),
        max_pending_requests: most(pending, 0),
        max_requests: most(requests, 1),
        max_retries: most(retries, 0),
    })
}

pub(super) fn retries(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<Retries> {
    let mut fields = reader.map(at, RETRIES)?;
    let (attempts, on_at) = (fields.optional("attempts"), fields.required("on", ON));
    let per_try = fields.optional("perTryTimeout");
    fields.finish(reader, &[]);
    let help = "write how often at most, such as `2`";
    let attempts = attempts.map_or(Some(1), |at| reader.whole(&at, 1, 100, help));
    let per_try_timeout = per_try.and_then(|at| reader.duration(&at, false));
    let on_at = on_at?;
    let items = reader.list(&on_at, ON)?;
    if items.is_empty() {
        reader.error(&on_at, "nothing is tried again", ON);
    }
    let mut on = Vec::new();
    for at in items {
        let Some(text) = reader.text(&at, ON) else { continue };
        if !CONDITIONS.contains(&text) {
            let all = listed(&CONDITIONS[..6], "or");
            let help = match nearest(text, &CONDITIONS) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("write one that Envoy's `retry_on` has, such as {all}"),
            };
            reader.error(&at, format!("unknown condition {}", quoted(text)), help);
        } else if on.iter().any(|other| other == text) {
            reader.error(&at, "this is listed twice", "remove one of them");
        } else {
            on.push(text.to_owned());
        }
    }
    Some(Retries { attempts: attempts?, on, per_try_timeout })
}

pub(super) fn tls(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<UpstreamTls> {
    let mut fields = reader.map(at, TLS)?;
    let (name, ca, client) = (fields.optional("serverName"), fields.optional("ca"), fields.optional("client"));
    fields.finish(reader, &[]);
    if let Some(at) = name.as_ref().filter(|_| ca.is_none()) {
        let help = "add the authorities, as in `ca: /etc/ssl/certs/ca-certificates.crt`";
        reader.warning(at, "without `ca` any certificate is believed, whatever its name", help);
    }
    Some(UpstreamTls {
        server_name: name.and_then(|at| reader.parse(&at, TLS, value::dns_name)),
        ca: ca.and_then(|at| reader.parse(&at, TLS, value::printable)),
        client: client.and_then(|at| key_pair(reader, &at)),
    })
}

pub(super) fn outlier_detection(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Option<OutlierDetection> {
    let mut fields = reader.map(at, "write `outlierDetection: {}` for Envoy's defaults")?;
    let consecutive = fields.optional("consecutive5xx");
    let interval = fields.optional("interval");
    let base = fields.optional("baseEjectionTime");
    let most = fields.optional("maxEjectionPercent");
    fields.finish(reader, &[]);
    Some(OutlierDetection {
        consecutive_5xx: consecutive.and_then(|at| reader.whole(&at, 1, u32::MAX, "write a number, such as `5`")),
        interval: interval.and_then(|at| reader.duration(&at, false)),
        base_ejection_time: base.and_then(|at| reader.duration(&at, false)),
        max_ejection_percent: most.and_then(|at| reader.whole(&at, 0, 100, "write a percentage, such as `10`")),
    })
}
