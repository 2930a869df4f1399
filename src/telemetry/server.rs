//! SHELL: the gRPC services that proxies report to.
//!
//! Owns the streams, the clock and the table of proxies; what the messages mean is decided in the pure modules. Passes
//! each [`NodeReport`] to a bounded channel; when that is full the report is dropped and counted, because evidence that
//! comes late is worth less than a server that waits.
//!
//! Load reports are counted of proxies that have no metrics stream only: both count the same requests. What is under way
//! at each endpoint is taken of all.
//!
//! Invariant: no guard of the table is held across an `.await`.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::load::Loads;
use super::proxy::{FORGET_AFTER, Proxy};
use super::report::NodeReport;
use super::tally::Tally;
use super::wire::{
    Interval, LoadStatsRequest, LoadStatsResponse, MetricFamily, Node, StreamMetricsMessage, StreamMetricsResponse,
};
use generated::load_reporting_service_server::{LoadReportingService, LoadReportingServiceServer};
use generated::metrics_service_server::{MetricsService, MetricsServiceServer};

/// What the build script makes of the services; their messages are in [`wire`](super::wire).
#[allow(clippy::all, unreachable_pub, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/envoy.service.metrics.v3.MetricsService.rs"));
    include!(concat!(env!("OUT_DIR"), "/envoy.service.load_stats.v3.LoadReportingService.rs"));
}

/// The largest message that is taken in, in bytes. Envoy's unfiltered statistics of 500 clusters are 667 KB.
const MESSAGE_LIMIT: usize = 4 << 20;
/// The most proxies that are remembered.
const PROXY_LIMIT: usize = 20_000;
/// The longest node id, in bytes.
const NODE_ID_LIMIT: usize = 1024;
/// The parts of a flush come within a few milliseconds of each other; after this long, nothing more comes.
const FLUSH_QUIET: Duration = Duration::from_millis(100);
/// The least time between two sweeps of the table, and between two lines about dropped reports.
const MINUTE: Duration = Duration::from_secs(60);

/// Receives the proxies' reports. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sink: mpsc::Sender<NodeReport>,
    /// Those with metrics streams, by node id.
    proxies: DashMap<Arc<str>, Proxy>,
    tally: Tally,
    next_stream: AtomicU64,
    load_interval: Duration,
    dropped: AtomicU64,
    drop_told: Mutex<Option<Instant>>,
    swept: Mutex<Option<Instant>>,
    closing: watch::Sender<bool>,
}

impl Telemetry {
    /// Gives the reports to `sink`, and asks for load reports every second.
    pub fn new(sink: mpsc::Sender<NodeReport>) -> Self {
        Self::with_load_interval(sink, Duration::from_secs(1))
    }

    /// Gives the reports to `sink`, and asks for load reports at this interval.
    pub fn with_load_interval(sink: mpsc::Sender<NodeReport>, load_interval: Duration) -> Self {
        let shared = Shared {
            sink,
            proxies: DashMap::new(),
            tally: Tally::default(),
            next_stream: AtomicU64::new(1),
            load_interval,
            dropped: AtomicU64::new(0),
            drop_told: Mutex::new(None),
            swept: Mutex::new(None),
            closing: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// `envoy.service.metrics.v3.MetricsService`, to be added to a server.
    pub fn metrics_service(&self) -> MetricsServiceServer<Telemetry> {
        MetricsServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    /// `envoy.service.load_stats.v3.LoadReportingService`, to be added to a server.
    pub fn load_reporting_service(&self) -> LoadReportingServiceServer<Telemetry> {
        LoadReportingServiceServer::new(self.clone()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    /// How many reports were dropped since the start because their receiver did not keep up.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// How many requests a proxy (by node id) has reported as failed so far, as [`NodeReport`] counts them. It begins anew
    /// when none has failed for ten minutes.
    pub fn errors(&self, node: &str) -> u64 {
        self.shared.tally.of(node)
    }

    /// Ends all streams, now and from now on: a server's graceful shutdown waits for them.
    pub fn close(&self) {
        self.shared.closing.send_replace(true);
    }
}

impl Shared {
    fn deliver(&self, report: NodeReport) {
        self.tally.add(&report);
        if self.sink.try_send(report).is_ok() {
            return;
        }
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if !self.sink.is_closed() && once_a_minute(&self.drop_told, now()) {
            tracing::warn!(dropped, "reports of proxies are dropped: their receiver does not keep up");
        }
    }

    /// Forgets the proxies that have long been silent.
    fn sweep(&self) {
        let now = now();
        if once_a_minute(&self.swept, now) {
            self.proxies.retain(|_, proxy| !proxy.is_forgotten(now));
            self.tally.forget(now, FORGET_AFTER);
        }
    }

    fn absorb(&self, node: &Arc<str>, stream: u64, families: &[MetricFamily]) -> Result<(), Status> {
        let now = now();
        if self.proxies.len() >= PROXY_LIMIT && !self.proxies.contains_key(node) {
            return Err(Status::resource_exhausted("too many proxies report"));
        }
        let (report, taken_over) = {
            let mut proxy = self.proxies.entry(Arc::clone(node)).or_insert_with(|| Proxy::new(Arc::clone(node), now));
            if proxy.is_forgotten(now) {
                *proxy = Proxy::new(Arc::clone(node), now);
            }
            proxy.absorb(stream, families, now)
        };
        if taken_over {
            tracing::warn!(%node, "a second metrics stream reports for this node; only the newer one is counted");
        }
        if let Some(report) = report {
            self.deliver(report);
        }
        Ok(())
    }

    fn settle(&self, node: &Arc<str>, stream: u64) {
        let report = self.proxies.get_mut(node).and_then(|mut proxy| proxy.settle(stream));
        if let Some(report) = report {
            self.deliver(report);
        }
    }

    fn is_open(&self, node: &Arc<str>, stream: u64) -> bool {
        self.proxies.get(node).is_some_and(|proxy| proxy.is_open(stream))
    }

    fn absorb_load(&self, node: &Arc<str>, request: &LoadStatsRequest, loads: &mut Loads) {
        let now = now();
        let is_counted = self.proxies.get(node).is_some_and(|proxy| !proxy.is_forgotten(now));
        let report = match is_counted {
            true => loads.of_now(node, &request.cluster_stats, now),
            false => loads.counts(node, &request.cluster_stats, now),
        };
        if let Some(report) = report {
            self.deliver(report);
        }
    }
}

/// Virtual in tests that pause it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn once_a_minute(last: &Mutex<Option<Instant>>, now: Instant) -> bool {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let due = last.is_none_or(|last| now.saturating_duration_since(last) >= MINUTE);
    if due {
        *last = Some(now);
    }
    due
}

fn node_id(node: Option<&Node>) -> Result<Arc<str>, Status> {
    match node.map(|node| node.id.as_str()) {
        None | Some("") => Err(Status::invalid_argument("the stream's first message must bear a node with an id")),
        Some(id) if id.len() > NODE_ID_LIMIT => {
            Err(Status::invalid_argument(format!("a node id has at most {NODE_ID_LIMIT} bytes, this one {}", id.len())))
        }
        Some(id) => Ok(id.into()),
    }
}

/// A metrics stream of a known node. However it ends, its last flush is settled and its place is free.
struct MetricsStream {
    shared: Arc<Shared>,
    node: Arc<str>,
    id: u64,
}

impl Drop for MetricsStream {
    fn drop(&mut self) {
        let report = self.shared.proxies.get_mut(&self.node).and_then(|mut proxy| proxy.end(self.id));
        if let Some(report) = report {
            self.shared.deliver(report);
        }
    }
}

#[tonic::async_trait]
impl MetricsService for Telemetry {
    async fn stream_metrics(
        &self,
        request: Request<Streaming<StreamMetricsMessage>>,
    ) -> Result<Response<StreamMetricsResponse>, Status> {
        let mut closing = self.shared.closing.subscribe();
        tokio::select! {
            end = self.receive_metrics(request.into_inner()) => end,
            _ = closing.wait_for(|closing| *closing) => Ok(Response::new(StreamMetricsResponse {})),
        }
    }
}

impl Telemetry {
    async fn receive_metrics(
        &self,
        mut messages: Streaming<StreamMetricsMessage>,
    ) -> Result<Response<StreamMetricsResponse>, Status> {
        let answer = Ok(Response::new(StreamMetricsResponse {}));
        let Some(first) = messages.message().await? else { return answer };
        let node = node_id(first.identifier.as_ref().and_then(|identifier| identifier.node.as_ref()))?;
        self.shared.sweep();
        let id = self.shared.next_stream.fetch_add(1, Ordering::Relaxed);
        let stream = MetricsStream { shared: Arc::clone(&self.shared), node, id };
        let mut next = Some(first);
        while let Some(message) = next {
            if !message.envoy_metrics.is_empty() {
                self.shared.absorb(&stream.node, id, &message.envoy_metrics)?;
            }
            next = self.next_message(&mut messages, &stream).await?;
        }
        answer
    }

    /// The stream's next message. Settles the open flush when none comes soon.
    async fn next_message(
        &self,
        messages: &mut Streaming<StreamMetricsMessage>,
        stream: &MetricsStream,
    ) -> Result<Option<StreamMetricsMessage>, Status> {
        if self.shared.is_open(&stream.node, stream.id) {
            match tokio::time::timeout(FLUSH_QUIET, messages.message()).await {
                Ok(message) => return message,
                Err(_) => self.shared.settle(&stream.node, stream.id),
            }
        }
        messages.message().await
    }
}

#[tonic::async_trait]
impl LoadReportingService for Telemetry {
    type StreamLoadStatsStream = Pin<Box<dyn Stream<Item = Result<LoadStatsResponse, Status>> + Send>>;

    async fn stream_load_stats(
        &self,
        request: Request<Streaming<LoadStatsRequest>>,
    ) -> Result<Response<Self::StreamLoadStatsStream>, Status> {
        let shared = Arc::clone(&self.shared);
        let mut closing = shared.closing.subscribe();
        let mut messages = request.into_inner();
        let stream = async_stream::try_stream! {
            let mut node = None;
            let mut loads = Loads::default();
            loop {
                let message = tokio::select! {
                    message = messages.message() => message,
                    _ = closing.wait_for(|closing| *closing) => Ok(None),
                };
                let Some(message) = message? else { break };
                match &node {
                    None => {
                        let id = node_id(message.node.as_ref())?;
                        // What the first message counts goes back to an unknown time, unless it says.
                        shared.absorb_load(&id, &message, &mut loads);
                        node = Some(id);
                        yield ask(shared.load_interval);
                    }
                    Some(node) => shared.absorb_load(node, &message, &mut loads),
                }
            }
        };
        Ok(Response::new(Box::pin(stream)))
    }
}

/// Asks for all clusters, and for each endpoint, at an interval.
fn ask(interval: Duration) -> LoadStatsResponse {
    let seconds = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
    // Below a thousand million, so it fits.
    let nanos = i32::try_from(interval.subsec_nanos()).unwrap_or(0);
    LoadStatsResponse {
        send_all_clusters: true,
        report_endpoint_granularity: true,
        load_reporting_interval: Some(Interval { seconds, nanos }),
    }
}
