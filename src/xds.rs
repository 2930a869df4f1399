//! An xDS management server: resources and snapshots in, Envoy's discovery protocol out.
//!
//! Usable on its own, as go-control-plane is for Go: it knows nothing of releases, fleets or telemetry. A server of one's
//! own is a [`Cache`] that is given a [`Snapshot`] for each group of clients, and a [`Server`] that serves it
//! (`examples/xds_library.rs`).
//!
//! The core is PURE and is tested without a socket: [`resource`] and [`snapshot`] are what is served; [`group`] says to
//! whom (a few first, and nobody what was rejected); [`stream`] with [`sotw`] and [`delta`] is the protocol of one stream, on
//! [`subscription`], [`channel`] and [`transition`]; [`comparison`] and [`csds`] tell how far a client is. The shell gives
//! it a runtime: [`cache`] and [`status`] are what streams share, [`server`] answers calls, over raw frames ([`grpc`]) on
//! watched connections ([`connection`]) of a port with limits ([`listen`]).
//!
//! Invariants: a version is a hash of content, or its maker's word; a snapshot is whole and consistent or it is not built;
//! what a client rejected is sent to nobody any more, unless somebody else has accepted it; nothing is removed before what
//! named it is gone.

pub mod admission;
pub mod cache;
pub mod channel;
pub mod comparison;
pub mod connection;
pub mod csds;
pub mod delta;
#[cfg(test)]
mod fixtures;
pub mod group;
pub mod grpc;
pub mod listen;
pub mod name;
pub mod node;
mod outgoing;
mod quarantine;
mod references;
pub mod resource;
pub mod resource_type;
pub mod server;
#[cfg(test)]
mod simulation;
pub mod snapshot;
pub mod sotw;
pub mod status;
pub mod stream;
pub mod subscription;
pub mod transition;
pub mod version;
pub mod wire;

pub use cache::Cache;
pub use comparison::{Compared, Standing, compare, withheld};
pub use csds::Csds;
pub use group::{Canary, Held, Parked, Peer};
pub use node::{Locality, Node};
pub use outgoing::Outgoing;
pub use resource::{Resource, ResourceError};
pub use resource_type::ResourceType;
pub use server::{Grouping, Options, Server};
pub use snapshot::{Inconsistency, ResourceSet, Snapshot, SnapshotBuilder};
pub use status::{Proxies, ProxyStatus, Rejection, SyncState, TypeStatus, Variant};
pub use version::ResourceVersion;
