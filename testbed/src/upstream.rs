//! A version of a service, as a server of HTTP/1, HTTP/2 and gRPC that answers, fails and dawdles as told.
//!
//! Which request fails or is slow is decided by its number and a seed, so that two runs with the same seed treat their
//! n-th requests alike. Every answer names the version in `x-version`, and in `x-seen-features` the features that the
//! request bore; `/healthz` answers 200 unless told otherwise. A call over gRPC, of any method, is answered with an empty
//! message; one that fails, with the status INTERNAL.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// The header that tells which version answered.
pub const VERSION_HEADER: &str = "x-version";
/// The header that tells which features a request bore: `new-checkout=on, old-cart=off`, by name.
pub const FEATURES_HEADER: &str = "x-seen-features";
/// What the request headers begin with that set features.
const FEATURE: &str = "x-feature-";
/// How many connections one upstream serves at a time; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 8_192;
/// How long open requests are given when it is stopped.
const DRAIN: Duration = Duration::from_secs(5);

/// How an upstream treats its requests. May be changed while it runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Behaviour {
    /// The share of requests that are answered 500 (over gRPC: INTERNAL), 0 to 1.
    pub error_rate: f64,
    /// How long every answer takes.
    pub latency: Duration,
    /// The share of requests that take `slow_latency` more, 0 to 1. Chosen independently of the failing ones.
    pub slow_rate: f64,
    /// What a slow request takes more.
    pub slow_latency: Duration,
    /// The feature that is broken: only requests that bear it fail or are slow. All may when absent.
    pub only_with: Option<&'static str>,
}

impl Behaviour {
    /// Answers everything, at once.
    pub const GOOD: Behaviour = Behaviour {
        error_rate: 0.0,
        latency: Duration::ZERO,
        slow_rate: 0.0,
        slow_latency: Duration::ZERO,
        only_with: None,
    };

    /// Fails this share of the requests.
    pub fn failing(error_rate: f64) -> Self {
        Behaviour { error_rate, ..Self::GOOD }
    }

    /// What becomes of the `number`-th request: whether it fails, and how long it takes.
    fn fate(&self, seed: u64, number: u64) -> (bool, Duration) {
        let fails = uniform(seed, number.wrapping_mul(2)) < self.error_rate;
        let slow = uniform(seed, number.wrapping_mul(2).wrapping_add(1)) < self.slow_rate;
        (fails, if slow { self.latency + self.slow_latency } else { self.latency })
    }
}

/// An evenly spread number in [0, 1), the same for the same arguments (SplitMix64: Steele, Lea & Flood 2014).
pub(crate) fn uniform(seed: u64, index: u64) -> f64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // 53 bits: as many as a double's fraction holds.
    (z >> 11) as f64 / (1u64 << 53) as f64
}

/// What an upstream is.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// Where it listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The version that it says it is.
    pub version: String,
    /// How it treats its requests.
    pub behaviour: Behaviour,
    /// What its choice of failing and slow requests depends on.
    pub seed: u64,
}

impl UpstreamConfig {
    /// A good upstream on loopback, on a port of the system's choice.
    pub fn local(version: impl Into<String>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            version: version.into(),
            behaviour: Behaviour::GOOD,
            seed: 1,
        }
    }
}

/// What is shared between the connections.
#[derive(Debug)]
struct Shared {
    version: HeaderValue,
    body: Bytes,
    seed: u64,
    behaviour: watch::Receiver<Behaviour>,
    healthy: AtomicBool,
    requests: AtomicU64,
    errors: AtomicU64,
    in_flight: AtomicU64,
}

/// A running upstream. It ends when it is dropped, or gracefully by [`Upstream::stop`].
#[derive(Debug)]
pub struct Upstream {
    addr: SocketAddr,
    version: String,
    shared: Arc<Shared>,
    behaviour: watch::Sender<Behaviour>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Upstream {
    /// Binds and serves on the current tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound, or the version cannot stand in a header.
    pub async fn start(config: UpstreamConfig) -> io::Result<Self> {
        let listener = crate::ports::listen(config.listen).await?;
        let addr = listener.local_addr()?;
        let (behaviour, behaviour_now) = watch::channel(config.behaviour);
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            version: HeaderValue::from_str(&config.version).map_err(io::Error::other)?,
            body: Bytes::from(format!("{}\n", config.version)),
            seed: config.seed,
            behaviour: behaviour_now,
            healthy: AtomicBool::new(true),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
        });
        let server = tokio::spawn(serve(listener, shared.clone(), stopped));
        Ok(Self { addr, version: config.version, shared, behaviour, stop, server })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The version that it says it is.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many requests it has been sent, health checks not counted.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// How many of them it failed.
    pub fn errors(&self) -> u64 {
        self.shared.errors.load(Ordering::Relaxed)
    }

    /// How many requests it has been sent and not answered yet.
    pub fn in_flight(&self) -> u64 {
        self.shared.in_flight.load(Ordering::Relaxed)
    }

    /// What `/healthz` answers from now on: 200, or 503. Requests are served all the same.
    pub fn be_healthy(&self, healthy: bool) {
        self.shared.healthy.store(healthy, Ordering::Relaxed);
    }

    /// Treats requests differently from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.behaviour.send_replace(behaviour);
    }

    /// Stops accepting, lets open requests end (for five seconds at most), and closes the connections.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // The server task bounds its own drain; a panic inside it has been printed.
        let _ = (&mut self.server).await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    // The connections are in the set, so that they end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop_asked(&mut stopped) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, shared.clone(), stopped.clone()));
                }
                // Out of file descriptors, or a connection that was gone before it was accepted: the next may do.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
        }
    }
    drop(listener);
    let _ = timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
}

/// Ends when the owner wants a stop, or is gone.
async fn stop_asked(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    // Small answers must not wait for more to send.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(request, shared.clone()));
    let server = auto::Builder::new(TokioExecutor::new());
    let connection = server.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop_asked(&mut stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// What comes at the end of a gRPC call.
type Trailers = std::future::Ready<Option<Result<HeaderMap, Infallible>>>;
type Body = Either<Full<Bytes>, WithTrailers<Full<Bytes>, Trailers>>;

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Infallible> {
    let is_grpc = request.headers().get(CONTENT_TYPE).is_some_and(|of| of.as_bytes().starts_with(b"application/grpc"));
    if request.uri().path() == "/healthz" {
        let status = match shared.healthy.load(Ordering::Relaxed) {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        return Ok(plain(&shared, status));
    }
    let _in_flight = InFlight::new(shared.clone());
    let features = Features::of(request.headers());
    let number = shared.requests.fetch_add(1, Ordering::Relaxed);
    let behaviour = *shared.behaviour.borrow();
    let (fails, takes) = match behaviour.only_with {
        Some(feature) if !features.has(feature) => (false, Duration::ZERO),
        _ => behaviour.fate(shared.seed, number),
    };
    if !takes.is_zero() {
        sleep(takes).await;
    }
    if fails {
        shared.errors.fetch_add(1, Ordering::Relaxed);
    }
    let mut response = match (is_grpc, fails) {
        (true, fails) => grpc(&shared, fails),
        (false, true) => plain(&shared, StatusCode::INTERNAL_SERVER_ERROR),
        (false, false) => plain(&shared, StatusCode::OK),
    };
    response.headers_mut().extend(features.header());
    Ok(response)
}

/// A request's place in the count of those in flight, given up when it is answered or cut off.
struct InFlight(Arc<Shared>);

impl InFlight {
    fn new(shared: Arc<Shared>) -> Self {
        shared.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The features that a request bears: name and value, by name.
struct Features(BTreeMap<String, String>);

impl Features {
    fn of(headers: &HeaderMap) -> Self {
        let features = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(FEATURE)?;
            Some((name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        });
        Self(features.collect())
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let features: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let value = HeaderValue::from_str(&features.join(", ")).ok().filter(|value| !value.is_empty())?;
        Some((HeaderName::from_static(FEATURES_HEADER), value))
    }
}

fn plain(shared: &Shared, status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(shared.body.clone())));
    response.headers_mut().insert(VERSION_HEADER, shared.version.clone());
    *response.status_mut() = status;
    response
}

/// One empty message (a flag and four bytes of length), unless it fails, and the status in the trailers.
fn grpc(shared: &Shared, fails: bool) -> Response<Body> {
    let (message, status) = if fails { (&[][..], "13") } else { (&[0; 5][..], "0") };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    let body = Full::new(Bytes::from_static(message)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Either::Right(body));
    response.headers_mut().insert(VERSION_HEADER, shared.version.clone());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

#[cfg(test)]
mod tests;
