//! Where a host's traffic may go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Patches;

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
}

/// One version of a service: the endpoints that run it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Version {
    /// Where it runs. May be empty until something runs it; then it cannot be released.
    pub endpoints: Vec<Endpoint>,
}

/// One address that serves a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// IP address and port.
    pub address: SocketAddr,
    /// The locality's zone, when known.
    pub zone: Option<String>,
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
