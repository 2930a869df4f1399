//! An xDS management server: resources and snapshots in, Envoy's discovery protocol out.
//!
//! Usable on its own, as go-control-plane is for Go: it knows nothing of releases, fleets or telemetry.
//!
//! The core is PURE and is tested without a socket: [`resource`] and [`snapshot`] are what is served, [`stream`] with
//! [`sotw`] and [`delta`] is the protocol of one stream, on [`subscription`], [`channel`] and [`transition`]. The shell
//! ([`cache`], [`server`], [`status`]) gives it a runtime.
//!
//! Invariants: a version is a hash of content; a snapshot is whole and consistent or it is not built; what a client
//! rejected is not sent to it again; nothing is removed before what named it is gone.

pub mod cache;
pub mod channel;
pub mod delta;
#[cfg(test)]
mod fixtures;
pub mod node;
pub mod resource;
pub mod server;
#[cfg(test)]
mod simulation;
pub mod snapshot;
pub mod sotw;
pub mod status;
pub mod stream;
pub mod subscription;
pub mod transition;
pub mod wire;

pub use cache::Cache;
pub use node::{Locality, Node};
pub use resource::{Resource, ResourceError, ResourceType, ResourceVersion};
pub use server::{Grouping, Options, Server};
pub use snapshot::{Inconsistency, Snapshot, SnapshotBuilder};
pub use status::{Proxies, ProxyStatus, Rejection, SyncState, TypeStatus, Variant};
