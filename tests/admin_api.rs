//! Every call of `serin.v1`, its errors, and what comes with it: reflection, health, limits.

#[path = "admin_api/endpoints.rs"]
mod endpoints;
#[path = "admin_api/explain.rs"]
mod explain;
#[path = "admin_api/harness.rs"]
mod harness;
#[path = "admin_api/journals.rs"]
mod journals;
#[path = "admin_api/quarantine.rs"]
mod quarantine;
#[path = "admin_api/releases.rs"]
mod releases;
#[path = "admin_api/server.rs"]
mod server;
#[path = "admin_api/snapshots.rs"]
mod snapshots;
