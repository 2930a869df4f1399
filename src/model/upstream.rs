//! How proxies treat the endpoints of a service: health, limits, retries, balance, encryption.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ProbeKind;

/// The proxies ask the endpoints themselves. Envoy's `HealthCheck`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// What is asked.
    pub kind: ProbeKind,
    /// The time between two questions.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many failures in a row take an endpoint out.
    pub unhealthy_threshold: u32,
    /// How many successes in a row bring it back.
    pub healthy_threshold: u32,
}

/// What at most goes to one version from one proxy. Envoy's `CircuitBreakers`, its defaults where absent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CircuitBreakers {
    /// Open connections (Envoy: 1024).
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection (Envoy: 1024).
    pub max_pending_requests: Option<u32>,
    /// Requests on their way (Envoy: 1024).
    pub max_requests: Option<u32>,
    /// Retries on their way (Envoy: 3).
    pub max_retries: Option<u32>,
}

/// Which failed requests a proxy tries again, at the same version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// How often at most.
    pub attempts: u32,
    /// Envoy's `retry_on` conditions, such as `connect-failure`, `reset`, `5xx`, `unavailable` (gRPC).
    pub on: Vec<String>,
    /// How long one try may take.
    pub per_try_timeout: Option<Duration>,
}

/// How a proxy chooses among endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LoadBalancing {
    /// Two at random, the less busy one.
    #[default]
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// Any.
    Random,
    /// By the hash of the sticky key, on a ring.
    RingHash,
    /// By the hash of the sticky key, in a table.
    Maglev,
}

/// Proxies speak TLS to the endpoints. Files are those of the proxy's machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpstreamTls {
    /// The name that is asked for (SNI) and must be in the certificate; the endpoint's certificate is not checked for a
    /// name when absent.
    pub server_name: Option<String>,
    /// Authorities that may have signed the endpoint's certificate (PEM). Not checked when absent.
    pub ca: Option<String>,
    /// The proxy's own certificate and key, where endpoints ask for one.
    pub client: Option<KeyPair>,
}

/// A listener that speaks TLS to its callers. Files are those of the proxy's machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DownstreamTls {
    /// What it shows.
    pub key_pair: KeyPair,
    /// Authorities that must have signed the caller's certificate; callers need none when absent.
    #[serde(default)]
    pub client_ca: Option<String>,
}

/// Paths of a certificate chain and its private key (PEM).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    /// The chain.
    pub certificate: String,
    /// The key.
    pub key: String,
}
