//! SHELL: the administration API, `serin.v1` over gRPC.
//!
//! Owns how the outside sees and steers releases: the services, their limits, and how errors are told. Must not decide
//! anything: orders go to the engine, and what is shown is read from its view, the history and the registry of
//! proxies.
//!
//! Invariants: whatever blocks runs off the runtime's threads; every watch ends when the server stops; no message and
//! no error text is without a limit.

mod convert;
mod endpoint;
mod error;
mod health;
mod proxy;
mod quarantine;
mod release;
mod snapshot;
mod spec;

use std::sync::Arc;

use tokio::sync::watch;
use tonic::codec::CompressionEncoding;
use tonic::server::NamedService;
use tonic::service::Routes;

pub use self::health::{HealthService, health};

use self::error::AdminError;
use self::proto::endpoint_service_server::EndpointServiceServer;
use self::proto::proxy_service_server::ProxyServiceServer;
use self::proto::quarantine_service_server::QuarantineServiceServer;
use self::proto::release_service_server::ReleaseServiceServer;
use self::proto::snapshot_service_server::SnapshotServiceServer;
use self::proto::spec_service_server::SpecServiceServer;
use crate::endpoints::Registry;
use crate::rollout::engine::EngineHandle;
use crate::store::History;
use crate::telemetry::Telemetry;
use crate::xds::{Cache, Proxies};

/// The generated messages, clients and servers of `proto/serin/v1`.
#[allow(missing_docs, clippy::all, unreachable_pub, reason = "generated")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/serin.v1.rs"));
}

/// The encoded `FileDescriptorSet` of `serin.v1` and all that it imports, as reflection serves it.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/serin_v1.bin"));

/// Bytes of the largest message that is taken from a caller.
pub const MAX_DECODED: usize = 4 << 20;
/// Bytes of the largest message that is sent: a snapshot with its resources. A client must be told to take as much,
/// because its own limit is 4 MiB unless told otherwise.
pub const MAX_ENCODED: usize = 64 << 20;

/// The services that this module answers for, by their full names.
pub const SERVICES: [&str; 6] = [
    <ReleaseServiceServer<()> as NamedService>::NAME,
    <SnapshotServiceServer<()> as NamedService>::NAME,
    <ProxyServiceServer<()> as NamedService>::NAME,
    <QuarantineServiceServer<()> as NamedService>::NAME,
    <SpecServiceServer<()> as NamedService>::NAME,
    <EndpointServiceServer<()> as NamedService>::NAME,
];

/// Gives a generated server its limits. Answers are compressed for callers that ask for it; compressed requests are
/// not taken, so that nothing small can grow large.
macro_rules! limited {
    ($server:expr) => {
        $server
            .max_decoding_message_size(MAX_DECODED)
            .max_encoding_message_size(MAX_ENCODED)
            .send_compressed(CompressionEncoding::Gzip)
    };
}

/// What is known of the proxies.
pub struct Fleet {
    /// What they are to have.
    pub cache: Cache,
    /// Which there are, and what they have.
    pub proxies: Proxies,
    /// What they report.
    pub telemetry: Telemetry,
}

/// The services of `serin.v1`, with reflection (v1 and v1alpha) and health.
///
/// `stop` becomes true when it is time to stop: then health says `NOT_SERVING`, and the watches end.
pub fn routes(
    engine: EngineHandle,
    history: Arc<dyn History>,
    fleet: Fleet,
    endpoints: Registry,
    stop: watch::Receiver<bool>,
) -> Routes {
    let releases = release::ReleaseApi { engine: engine.clone(), history: Arc::clone(&history), stop: stop.clone() };
    let Fleet { cache, proxies, telemetry } = fleet;
    let snapshots = snapshot::SnapshotApi { engine: engine.clone(), history };
    let quarantine =
        quarantine::QuarantineApi { engine: engine.clone(), cache: cache.clone(), proxies: proxies.clone() };
    let written_by_build = "the descriptor set that the build script wrote";
    Routes::default()
        .add_service(limited!(ReleaseServiceServer::new(releases)))
        .add_service(limited!(SnapshotServiceServer::new(snapshots)))
        .add_service(limited!(ProxyServiceServer::new(proxy::ProxyApi { cache, proxies, telemetry })))
        .add_service(limited!(QuarantineServiceServer::new(quarantine)))
        .add_service(limited!(SpecServiceServer::new(spec::SpecApi { engine })))
        .add_service(limited!(EndpointServiceServer::new(endpoint::EndpointApi { endpoints })))
        .add_service(health(&SERVICES, stop))
        .add_service(limited!(reflection().build_v1().expect(written_by_build)))
        .add_service(limited!(reflection().build_v1alpha().expect(written_by_build)))
        .prepare()
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Runs what blocks or computes for long where it keeps no other call waiting.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AdminError> + Send + 'static,
) -> Result<T, AdminError> {
    tokio::task::spawn_blocking(work).await?
}
