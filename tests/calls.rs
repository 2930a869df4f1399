//! Hooks and probes against real servers.

#[path = "calls/hooks.rs"]
mod hooks;
#[path = "calls/probes.rs"]
mod probes;
#[path = "calls/server.rs"]
mod server;
#[path = "calls/tls.rs"]
mod tls;
