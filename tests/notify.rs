//! Notifications, from a real store to real servers.

#[path = "notify/crash.rs"]
mod crash;
#[path = "notify/delivery.rs"]
mod delivery;
#[path = "notify/kinds.rs"]
mod kinds;
#[path = "notify/scene.rs"]
mod scene;
#[path = "calls/server.rs"]
mod server;
