//! SHELL: the port that proxies talk to, and what they may cost there. There are thousands of them, so what each
//! connection may hold is kept low. tonic's defaults are no limit on streams, no keepalive and no handshake timeout:
//! every one is set here, and only here.

use std::io;
use std::time::Duration;

use http::Request;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Server;
use tower::util::MapRequestLayer;

use super::connection::{Connection, Stalls, with_remote_addr};

/// A silent connection is asked for a sign of life this often…
const KEEPALIVE: Duration = Duration::from_secs(30);
/// …and closed when none comes in this time.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A proxy that takes nothing of what it was sent, or does not begin to speak, for this long is cut off. Keepalive does
/// not see it: a peer may answer pings without opening its window, and none is sent before HTTP/2 has begun or while
/// the socket takes nothing.
const STALLED: Duration = Duration::from_secs(30);
/// Streams on one connection. A proxy has three; proxyless gRPC clients share connections.
const STREAMS: u32 = 128;
/// Streams a client may misuse before its connection is ended; each is remembered. hyper's default is 1,024.
const MISUSED: usize = 32;
/// Bytes a proxy may send on a stream before they are read: HTTP/2's own default, which no proxy can be held below
/// anyway, because its first message is on its way before it knows better. hyper's is 1 MiB. Larger messages come in
/// turns: 667 KB of an Envoy's statistics in eleven.
const STREAM_WINDOW: u32 = 65_535;
/// Bytes a proxy may send on all its streams before they are read: four streams that are not read yet leave room for
/// no other, and a proxy has three. hyper's is 1 MiB.
const CONNECTION_WINDOW: u32 = 256 << 10;
/// Bytes of a frame: as few as HTTP/2 allows. h2's read buffer grows to the largest frame, and stays.
const FRAME: u32 = 16 << 10;
/// How long nobody is let in after somebody could not be.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// Bytes of a call's headers. A call to a gRPC service has a few hundred.
const HEADERS: u32 = 16 << 10;

/// The watch over proxies that do not read. [`serve`] runs it.
pub fn stalls() -> Stalls {
    Stalls::new(STALLED)
}

/// Serves proxies until it is time to stop, and then until the streams have ended.
///
/// # Errors
/// When the port fails.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    stalls: Stalls,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    // (What h2 buffers of a stream's answers, 400 KiB at most, cannot be set here; discovery's are shared bytes.)
    let mut server = within_limits(Server::builder())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .http2_max_local_error_reset_streams(Some(MISUSED))
        .layer(MapRequestLayer::new(with_remote_addr::<Body> as fn(Request<Body>) -> Request<Body>));
    let incoming = incoming(listener, stalls.clone());
    tokio::select! {
        ended = server.add_routes(routes).serve_with_incoming_shutdown(incoming, stop) => ended,
        () = stalls.run(std::future::pending()) => Ok(()),
    }
}

/// A server with keepalive and limits on what a connection may hold.
pub fn within_limits(server: Server) -> Server {
    server
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(Some(STREAMS))
        .http2_max_header_list_size(HEADERS)
        .http2_max_pending_accept_reset_streams(Some(20))
}

/// Connections that are watched, without Nagle's delay: a push is a small message that nothing follows.
fn incoming(listener: TcpListener, stalls: Stalls) -> impl Stream<Item = io::Result<Connection>> {
    TcpListenerStream::new(listener).then(move |accepted| {
        let stalls = stalls.clone();
        async move {
            match &accepted {
                Ok(stream) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY");
                    }
                }
                // No file descriptor is left, say: to ask again at once would only take time from those who are served.
                Err(error) => {
                    tracing::warn!(%error, "a proxy cannot be let in");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
            accepted.map(|stream| stalls.watch(stream))
        }
    })
}
