//! Measurements against a real Prometheus (`make test` provides it), and real servers that answer as Prometheus and
//! webhooks do.

#[path = "providers/bench.rs"]
mod bench;
#[path = "providers/conduct.rs"]
mod conduct;
#[path = "providers/prometheus.rs"]
mod prometheus;
#[path = "providers/real.rs"]
mod real;
#[path = "calls/server.rs"]
mod server;
#[path = "providers/webhook.rs"]
mod webhook;
