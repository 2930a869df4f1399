//! SHELL: what callers may cost. tonic's defaults are no limit on streams, no keepalive and no handshake timeout: every
//! one is set here, and only here.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tower::limit::GlobalConcurrencyLimitLayer;

use crate::xds;
use crate::xds::server::AggregatedDiscoveryServiceServer;

/// A silent connection is asked for a sign of life this often…
const KEEPALIVE: Duration = Duration::from_secs(30);
/// …and closed when none comes in this time.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams on one connection. A proxy has three; proxyless gRPC clients share connections.
const STREAMS: u32 = 128;
/// Pages that are rendered at a time.
const PAGES: usize = 16;
/// The largest message that is read.
const RECEIVE: usize = 4 << 20;
/// The largest message that is sent.
const SEND: usize = 64 << 20;

/// The server that proxies talk to.
pub(super) fn proxy_side() -> Server {
    limited(Server::builder())
}

/// The server that operators talk to.
pub(super) fn admin_side() -> Server {
    limited(Server::builder()).load_shed(true).concurrency_limit_per_connection(64)
}

fn limited(server: Server) -> Server {
    server
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(Some(STREAMS))
        .http2_max_header_list_size(Some(16 << 10))
        .http2_max_pending_accept_reset_streams(Some(20))
}

/// The pages within their limits: a scraper that calls in a loop waits for its own earlier calls.
pub(super) fn pages(router: axum::Router) -> axum::Router {
    router.layer(GlobalConcurrencyLimitLayer::new(PAGES))
}

/// The discovery service within its limits.
pub(super) fn discovery(server: xds::Server) -> AggregatedDiscoveryServiceServer<xds::Server> {
    AggregatedDiscoveryServiceServer::new(server).max_decoding_message_size(RECEIVE).max_encoding_message_size(SEND)
}

/// Connections without Nagle's delay: a push is a small message that nothing follows.
pub(super) fn incoming(
    listener: TcpListener,
) -> std::io::Result<impl tokio_stream::Stream<Item = std::io::Result<tokio::net::TcpStream>>> {
    Ok(TcpListenerStream::new(listener).map(|connection| {
        connection.inspect(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
        })
    }))
}
