//! Where a host's traffic may go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CircuitBreakers, HealthCheck, LoadBalancing, NamedRoute, Patches, Retries, UpstreamTls};

/// A host's traffic, and the versions that can serve it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// `metadata.name`, unique among services: lower-case letters, digits and `-`.
    pub name: String,
    /// The `Host` or `:authority` values it answers to, as Envoy's virtual host domains (`*`, `*.example.com` allowed).
    pub hosts: Vec<String>,
    /// What its endpoints speak.
    pub protocol: Protocol,
    /// The versions that exist, by name (letters, digits, `.`, `_`, `-`).
    pub versions: BTreeMap<String, Version>,
    /// Passive health checking of the endpoints, off when absent.
    pub outlier_detection: Option<OutlierDetection>,
    /// How long a proxy waits for a connection to an endpoint.
    pub connect_timeout: Duration,
    /// How long a proxy waits for a whole response; `None` is for ever (streams).
    pub timeout: Option<Duration>,
    /// Active health checking of the endpoints, off when absent.
    #[serde(default)]
    pub health_check: Option<HealthCheck>,
    /// What at most goes to a version.
    #[serde(default)]
    pub circuit_breakers: Option<CircuitBreakers>,
    /// What is tried again, nothing when absent: a retry that succeeds hides what a version did wrong.
    #[serde(default)]
    pub retries: Option<Retries>,
    /// How proxies choose among a version's endpoints.
    #[serde(default)]
    pub load_balancing: LoadBalancing,
    /// Whether proxies speak TLS to the endpoints.
    #[serde(default)]
    pub tls: Option<UpstreamTls>,
    /// Requests that are told apart, in the order in which they are looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<NamedRoute>,
    /// Raw configuration for its clusters, its route and its virtual host.
    #[serde(default, skip_serializing_if = "Patches::is_empty")]
    pub envoy: Patches,
}

/// What a service's endpoints speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// gRPC: HTTP/2, and an answer's `grpc-status` tells whether it succeeded.
    Grpc,
    /// Bytes: connections are shared out, not requests.
    Tcp,
}

/// One version of a service: the endpoints that run it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Version {
    /// Where it runs. May be empty until something runs it; then it cannot be released. Of a version with a `source`
    /// these are the newest that are known, and of one that is the same as another these are the other's.
    pub endpoints: Vec<Endpoint>,
    /// Where its endpoints come from, when not from the spec.
    #[serde(default)]
    pub source: Option<EndpointSource>,
    /// Another version whose endpoints run this one, too: with other `feature_flags`.
    #[serde(default)]
    pub same_as: Option<String>,
    /// Features that are set for those who are given this version, by name, as request headers `x-feature-NAME`. Nobody
    /// else's request to the service bears such a header.
    #[serde(default)]
    pub feature_flags: BTreeMap<String, String>,
}

/// Where a version's endpoints come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndpointSource {
    /// All addresses of a name, looked up again and again.
    Dns {
        /// The name.
        host: String,
        /// The port of all of them.
        port: u16,
        /// The time between two looks.
        interval: Duration,
    },
    /// A file beside the specs that lists them, read again when it changes.
    File {
        /// Its path, relative to the directory of the specs.
        path: String,
    },
    /// They register themselves, and say again and again that they are there.
    Registered {
        /// For how long they are believed.
        ttl: Duration,
        /// How long one that has gone, or stopped saying so, is drained.
        drain: Duration,
    },
}

/// One address that serves a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// IP address and port.
    pub address: SocketAddr,
    /// The locality's zone, when known.
    pub zone: Option<String>,
    /// Its part among the endpoints of its version: one with 2 gets twice as much as one with 1. 1 to 128.
    #[serde(default = "one")]
    pub weight: u32,
    /// On its way out: no new requests.
    #[serde(default)]
    pub draining: bool,
}

fn one() -> u32 {
    1
}

impl Endpoint {
    /// An endpoint of which only the address is known.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, zone: None, weight: 1, draining: false }
    }
}

impl Service {
    /// A service of which only the name is known: HTTP/1.1, without hosts and versions.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            hosts: Vec::new(),
            protocol: Protocol::Http1,
            versions: BTreeMap::new(),
            outlier_detection: None,
            connect_timeout: Duration::from_secs(1),
            timeout: None,
            health_check: None,
            circuit_breakers: None,
            retries: None,
            load_balancing: LoadBalancing::default(),
            tls: None,
            routes: Vec::new(),
            envoy: Patches::new(),
        }
    }

    /// The names of all features that any version sets, each once, sorted.
    pub fn features(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.versions.values().flat_map(|version| version.feature_flags.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Takes endpoints out of rotation that fail. Envoy's `OutlierDetection`; `None` leaves Envoy's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlierDetection {
    /// Ejects after this many 5xx in a row.
    pub consecutive_5xx: Option<u32>,
    /// Time between two ejection sweeps.
    pub interval: Option<Duration>,
    /// How long an endpoint stays out the first time.
    pub base_ejection_time: Option<Duration>,
    /// The largest share of the endpoints that may be out, in percent.
    pub max_ejection_percent: Option<u32>,
}
