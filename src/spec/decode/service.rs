//! `kind: Service`.

mod policy;
mod route;
mod version;

use std::time::Duration;

use super::{Service, doubles, envoy};
use crate::model::{self, LoadBalancing, PatchTarget, Protocol};
use crate::spec::diagnostic::quoted;
use crate::spec::reader::{At, Reader};
use crate::spec::value;
use version::VERSIONS;

pub(in crate::spec) use version::endpoint;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// As Envoy's own.
const TIMEOUT: Duration = Duration::from_secs(15);

const HOSTS: &str = "list the hosts that clients ask for, as in `hosts: [shop.example.com]`, or `[\"*\"]` for all";

const PATCHES: [PatchTarget; 3] = [PatchTarget::Cluster, PatchTarget::Route, PatchTarget::VirtualHost];
const PROTOCOLS: [(&str, Protocol); 4] =
    [("http1", Protocol::Http1), ("http2", Protocol::Http2), ("grpc", Protocol::Grpc), ("tcp", Protocol::Tcp)];
const BALANCES: [(&str, LoadBalancing); 5] = [
    ("leastRequest", LoadBalancing::LeastRequest),
    ("roundRobin", LoadBalancing::RoundRobin),
    ("random", LoadBalancing::Random),
    ("ringHash", LoadBalancing::RingHash),
    ("maglev", LoadBalancing::Maglev),
];

pub(super) fn decode(reader: &mut Reader<'_, '_>, spec: &At<'_>) -> Option<Service> {
    let mut fields = reader.map(spec, "a Service's spec has `hosts` and `versions`")?;
    let is_tcp = spec.node.get("protocol").and_then(|node| node.text()) == Some("tcp");
    let hosts_at = if is_tcp { fields.optional("hosts") } else { fields.required("hosts", HOSTS) };
    let protocol = fields.optional("protocol");
    let versions_at = fields.required("versions", VERSIONS);
    let outliers = fields.optional("outlierDetection");
    let (connect_timeout, timeout_at) = (fields.optional("connectTimeout"), fields.optional("timeout"));
    let (health, breakers) = (fields.optional("healthCheck"), fields.optional("circuitBreakers"));
    let (retries_at, balance) = (fields.optional("retries"), fields.optional("loadBalancing"));
    let (tls, routes_at, envoy) = (fields.optional("tls"), fields.optional("routes"), fields.optional("envoy"));
    fields.finish(reader, &["windows", "dependsOn"]);
    let versions = versions_at.map(|at| version::decode(reader, &at)).unwrap_or_default();
    if is_tcp {
        let help = "remove it; connections are told apart by their listener";
        let of_requests =
            [(&hosts_at, "hosts"), (&timeout_at, "timeout"), (&retries_at, "retries"), (&routes_at, "routes")];
        for (at, what) in of_requests {
            let Some(at) = at else { continue };
            let spot = reader.at_key(at);
            reader.error_at(&spot, format!("a TCP service has no `{what}`: it has no requests"), help);
        }
        if let Some(spot) = &versions.flags {
            let message = "features are headers of requests, and a TCP service has none";
            reader.error_at(spot, message, "remove them, or choose another `protocol`");
        }
    }
    let protocol = protocol.and_then(|at| reader.choice(&at, &PROTOCOLS, &[])).unwrap_or(Protocol::Http1);
    let hosts_at = hosts_at.filter(|_| !is_tcp);
    let hosts = hosts_at.map(|at| hosts(reader, &at)).unwrap_or_default();
    let timeout = match timeout_at.filter(|_| !is_tcp) {
        None => Some(TIMEOUT).filter(|_| !is_tcp),
        Some(at) => reader.duration(&at, true).filter(|timeout| !timeout.is_zero()),
    };
    let mut patches = Vec::new();
    let service = model::Service {
        hosts,
        protocol,
        versions: versions.versions,
        outlier_detection: outliers.and_then(|at| policy::outlier_detection(reader, &at)),
        connect_timeout: connect_timeout.and_then(|at| reader.duration(&at, false)).unwrap_or(CONNECT_TIMEOUT),
        timeout,
        health_check: health.and_then(|at| policy::health_check(reader, &at, protocol)),
        circuit_breakers: breakers.and_then(|at| policy::circuit_breakers(reader, &at)),
        retries: retries_at.and_then(|at| policy::retries(reader, &at)),
        load_balancing: balance.and_then(|at| reader.choice(&at, &BALANCES, &[])).unwrap_or_default(),
        routes: routes_at.filter(|_| !is_tcp).map(|at| route::decode(reader, &at)).unwrap_or_default(),
        tls: tls.and_then(|at| policy::tls(reader, &at)),
        envoy: envoy::patches(reader, envoy, &PATCHES, None, &mut patches),
        ..model::Service::named("")
    };
    Some(Service { service, versions: versions.named, shared: versions.shared, patches })
}

fn hosts(reader: &mut Reader<'_, '_>, at: &At<'_>) -> Vec<String> {
    let Some(items) = reader.list(at, HOSTS) else { return Vec::new() };
    if items.is_empty() {
        reader.error(at, "a service needs at least one host", HOSTS);
    }
    let hosts: Vec<(String, At<'_>)> =
        items.into_iter().filter_map(|at| Some((reader.parse(&at, HOSTS, value::host)?, at))).collect();
    for ((host, at), (_, first)) in doubles(&hosts, |(host, _)| Some(host.to_ascii_lowercase())) {
        let first = reader.at(first);
        reader.error_with(
            at,
            format!("host {} is listed twice", quoted(host)),
            "remove one of them",
            (&first, "the first one"),
        );
    }
    hosts.into_iter().map(|(host, _)| host).collect()
}
