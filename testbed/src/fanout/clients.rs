//! Thousands of discovery clients in one thread: each has a connection of its own with one stream on it, sends a node as
//! large as Envoy's, and acknowledges every response. They share the processors with the server that is measured, so they
//! keep nothing of a response but its version and nonce.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use hyper::{Request, header};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;

use super::message::{Reader, Response, prefix, put, put_head};
use super::stamps::Stamps;
use super::talk::{Asked, Said, questions};
use super::{Protocol, node};
use crate::usage;

/// Connections that are opened at a time.
const OPENING: usize = 64;
/// Flow-control windows, of a stream and of a connection: Envoy's defaults…
const WINDOWS: (u32, u32) = (16 << 20, 24 << 20);
/// …and HTTP/2's, for clients that are to stall: a large push stops in the middle.
const SMALL_WINDOWS: (u32, u32) = (65_535, 65_535);
/// What the clients ask for: all clusters.
const TYPE_URL: &[u8] = b"type.googleapis.com/envoy.config.cluster.v3.Cluster";
const SERVICE: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

/// How many clients, and of what kind.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The server.
    pub server: SocketAddr,
    /// All clients.
    pub streams: usize,
    /// How many of them stop reading when asked to stall.
    pub stalled: usize,
    /// What they speak.
    pub protocol: Protocol,
}

struct Shared {
    config: Config,
    /// The node without its id.
    node: Bytes,
    opening: Semaphore,
    stamps: Stamps,
}

/// Runs the clients until the standard input is closed, and tells on the standard output when each push has arrived.
///
/// # Errors
/// When the server closes a stream or a connection, or says what is no response; when file descriptors are too few.
pub async fn run(config: Config) -> Result<()> {
    usage::allow_connections(config.streams)?;
    let shared = Arc::new(Shared {
        config,
        node: node::without_id().into(),
        opening: Semaphore::new(OPENING),
        stamps: Stamps::new(config.streams - config.stalled),
    });
    let (stall, stalling) = watch::channel(false);
    let mut clients = JoinSet::new();
    for number in 0..config.streams {
        // Those that stall are spread over all.
        let stalls = number * config.stalled / config.streams != (number + 1) * config.stalled / config.streams;
        clients.spawn(client(Arc::clone(&shared), number, stalls.then(|| stalling.clone())));
    }
    drop(stalling);
    let mut questions = questions();
    loop {
        tokio::select! {
            Some(ended) = clients.join_next() => {
                return ended?.and(Err(anyhow!("a client has ended"))).context("one of the clients");
            }
            asked = questions.recv() => match asked.transpose()? {
                Some(Asked::Usage) => Said::usage()?.say(),
                Some(Asked::Stall) => {
                    stall.send_replace(true);
                    // Each client lets go of its receiver when it has stopped.
                    stall.closed().await;
                    Said::Stalled.say();
                }
                Some(other) => bail!("clients are not asked to `{other}`"),
                None => return Ok(()),
            },
        }
    }
}

/// One client, for ever. With `stall` it stops to read when told so, and keeps its connection.
async fn client(shared: Arc<Shared>, number: usize, stall: Option<watch::Receiver<bool>>) -> Result<()> {
    let opening = shared.opening.acquire().await?;
    let socket = TcpStream::connect(shared.config.server).await.context("connect")?;
    socket.set_nodelay(true)?;
    let (stream, connection) = if stall.is_some() { SMALL_WINDOWS } else { WINDOWS };
    let (requests, mut connection): (SendRequest<Bytes>, Connection<TcpStream, Bytes>) = Builder::new()
        .initial_window_size(stream)
        .initial_connection_window_size(connection)
        .enable_push(false)
        .handshake(socket)
        .await
        .context("HTTP/2 handshake")?;
    // In the order of the list: first the connection, which reads what the stream then takes.
    let mut talk = Box::pin(talk(&shared, number, requests, opening, stall.is_none()));
    let mut stopped = Box::pin(told_to_stop(stall));
    std::future::poll_fn(|context| {
        if stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(context) {
            return Poll::Ready(ended.context("the connection").and(Err(anyhow!("the server closed a connection"))));
        }
        talk.as_mut().poll(context)
    })
    .await?;
    // It stalls: nobody reads the connection, which stays open, as does the stream.
    drop(stopped);
    std::future::pending().await
}

/// Ends when the client is to stop reading; never for one that does not stall.
async fn told_to_stop(stall: Option<watch::Receiver<bool>>) {
    match stall {
        // Without a sender the process ends.
        Some(mut stall) => drop(stall.wait_for(|stall| *stall).await),
        None => std::future::pending().await,
    }
}

/// Opens the stream and answers each response. Ends only with an error.
async fn talk(
    shared: &Shared,
    number: usize,
    requests: SendRequest<Bytes>,
    opening: SemaphorePermit<'_>,
    counts: bool,
) -> Result<()> {
    let config = &shared.config;
    let mut requests = requests.ready().await?;
    let (response, mut outbound) = requests.send_request(request(config)?, false)?;
    for part in first_request(config.protocol, number, &shared.node) {
        outbound.send_data(part, false)?;
    }
    let response = response.await.context("the answer to a call")?;
    if let Some(status) = response.headers().get("grpc-status") {
        bail!("the server refused a stream: grpc-status {status:?}, {:?}", response.headers().get("grpc-message"));
    }
    let mut inbound = response.into_body();
    let mut reader = Reader::default();
    let mut opening = Some(opening);
    loop {
        let Some(chunk) = inbound.data().await else {
            bail!("the server ended a stream: {:?}", inbound.trailers().await?);
        };
        let chunk = chunk.context("read a stream")?;
        let mut rest = &chunk[..];
        while let Some(response) = reader.read(&mut rest)? {
            if counts {
                shared.stamps.stamp(response.length);
            }
            outbound.send_data(acknowledgement(config.protocol, &response), false)?;
            // The next one may open its own.
            drop(opening.take());
        }
        inbound.flow_control().release_capacity(chunk.len())?;
    }
}

fn request(config: &Config) -> Result<Request<()>> {
    let method = match config.protocol {
        Protocol::Sotw => "StreamAggregatedResources",
        Protocol::Delta => "DeltaAggregatedResources",
    };
    Ok(Request::post(format!("http://{}/{SERVICE}/{method}", config.server))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(())?)
}

/// A gRPC message in two parts: what is this client's own, and the rest of the node, which all share.
fn first_request(protocol: Protocol, number: usize, node: &Bytes) -> [Bytes; 2] {
    let (node_field, type_field) = match protocol {
        Protocol::Sotw => (2, 4),
        Protocol::Delta => (1, 2),
    };
    let (mut id, mut message) = (Vec::new(), Vec::new());
    put(&mut id, 1, format!("edge-{number}").as_bytes());
    put(&mut message, type_field, TYPE_URL);
    put_head(&mut message, node_field, id.len() + node.len());
    message.extend_from_slice(&id);
    [[&prefix(message.len() + node.len())[..], &message].concat().into(), node.clone()]
}

/// The gRPC message that accepts a response.
fn acknowledgement(protocol: Protocol, response: &Response) -> Bytes {
    let mut message = Vec::with_capacity(128);
    match protocol {
        Protocol::Sotw => {
            put(&mut message, 1, &response.version);
            put(&mut message, 4, TYPE_URL);
            put(&mut message, 5, &response.nonce);
        }
        Protocol::Delta => {
            put(&mut message, 2, TYPE_URL);
            put(&mut message, 6, &response.nonce);
        }
    }
    [&prefix(message.len())[..], &message].concat().into()
}
