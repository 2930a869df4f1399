//! The gRPC services that proxies call, over raw frames: a message is read where it lies, and a stream that waits for the
//! next one holds no buffer.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio_stream::Stream;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::service_fn;

use super::{MetricsStream, Shared, Telemetry, node_id};
use crate::telemetry::load::Loads;
use crate::telemetry::sample::Reading;
use crate::telemetry::table::TooMany;
use crate::telemetry::wire::{
    Interval, LoadReport, LoadStatsResponse, Malformed, MetricsReport, StreamMetricsResponse,
};
use crate::xds::grpc::{self, Inbound, Message};

const METRICS: &str = "envoy.service.metrics.v3.MetricsService";
const LOADS: &str = "envoy.service.load_stats.v3.LoadReportingService";
/// The largest message that is taken in, in bytes. Envoy's unfiltered statistics of 500 clusters are 667 KB.
const MESSAGE_LIMIT: usize = 4 << 20;
/// The parts of a flush come within a few milliseconds of each other; after this long, nothing more comes.
const FLUSH_QUIET: Duration = Duration::from_millis(100);

impl Telemetry {
    /// `envoy.service.metrics.v3.MetricsService` and `envoy.service.load_stats.v3.LoadReportingService`, beside whatever
    /// `routes` has already: for [`tonic::transport::Server::add_routes`].
    pub fn routes(&self, routes: Routes) -> Routes {
        let telemetry = self.clone();
        grpc::mount(routes, &[METRICS, LOADS], service_fn(move |request| ready(Ok(telemetry.answer(request)))))
    }

    fn answer(&self, request: Request<Body>) -> Response<Body> {
        if let Err(answer) = grpc::check(&request) {
            return *answer;
        }
        let shared = Arc::clone(&self.shared);
        let path = request.uri().path();
        match path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) {
            Some((METRICS, "StreamMetrics")) => {
                let inbound = Inbound::new(request.into_body(), MESSAGE_LIMIT);
                grpc::streaming(metrics(shared, inbound), None)
            }
            Some((LOADS, "StreamLoadStats")) => {
                let inbound = Inbound::new(request.into_body(), MESSAGE_LIMIT);
                grpc::streaming(loads(shared, inbound), None)
            }
            Some(_) | None => grpc::refused(Status::unimplemented(format!("there is no method {path}"))),
        }
    }
}

/// Metrics go one way: the one answer comes when the stream ends.
fn metrics(shared: Arc<Shared>, inbound: Inbound) -> impl Stream<Item = Result<Message, Status>> + Send {
    async_stream::try_stream! {
        let mut closing = shared.closing.subscribe();
        let end = tokio::select! {
            end = receive_metrics(&shared, inbound) => end,
            _ = closing.wait_for(|closing| *closing) => Ok(()),
        };
        end?;
        yield message(&StreamMetricsResponse {});
    }
}

async fn receive_metrics(shared: &Arc<Shared>, mut inbound: Inbound) -> Result<(), Status> {
    let Some(first) = inbound.message().await? else { return Ok(()) };
    let node = node_id(MetricsReport::read(&first).and_then(|first| first.node_id()).map_err(no_metrics)?)?;
    shared.sweep();
    let id = shared.next_stream.fetch_add(1, Ordering::Relaxed);
    let stream = MetricsStream { shared: Arc::clone(shared), node, id };
    let mut next = Some(first);
    while let Some(message) = next {
        take_metrics(&stream, &message)?;
        drop(message);
        next = next_message(&mut inbound, &stream).await?;
    }
    Ok(())
}

fn no_metrics(Malformed(why): Malformed) -> Status {
    Status::invalid_argument(format!("no metrics: {why}"))
}

/// Takes in a message, in whole or not at all.
fn take_metrics(stream: &MetricsStream, bytes: &[u8]) -> Result<(), Status> {
    let report = MetricsReport::read(bytes).map_err(no_metrics)?;
    if report.is_empty() {
        return Ok(());
    }
    let reading = Reading::of(&report).map_err(no_metrics)?;
    let absorbed = stream.shared.absorb(&stream.node, stream.id, reading);
    absorbed.map_err(|TooMany| Status::resource_exhausted("too many proxies report"))
}

/// The stream's next message. Settles the open flush when none comes soon.
async fn next_message(inbound: &mut Inbound, stream: &MetricsStream) -> Result<Option<Bytes>, Status> {
    let shared = &stream.shared;
    if shared.streaming.is_open(&stream.node, stream.id) {
        match tokio::time::timeout(FLUSH_QUIET, inbound.message()).await {
            Ok(message) => return message,
            Err(_) => shared.deliver_some(shared.streaming.settle(&stream.node, stream.id)),
        }
    }
    inbound.message().await
}

fn loads(shared: Arc<Shared>, mut inbound: Inbound) -> impl Stream<Item = Result<Message, Status>> + Send {
    async_stream::try_stream! {
        let mut closing = shared.closing.subscribe();
        let (mut node, mut loads) = (None, Loads::new(shared.focus.clone()));
        loop {
            let next = tokio::select! {
                next = inbound.message() => next,
                _ = closing.wait_for(|closing| *closing) => Ok(None),
            };
            let Some(bytes) = next? else { break };
            let is_first = node.is_none();
            take_load(&shared, &bytes, &mut node, &mut loads)?;
            drop(bytes);
            if is_first {
                yield message(&ask(shared.load_interval));
            }
        }
    }
}

/// Takes in a load report. What a stream's first one counts goes back to an unknown time, unless it says.
fn take_load(shared: &Shared, bytes: &[u8], node: &mut Option<Arc<str>>, loads: &mut Loads) -> Result<(), Status> {
    let malformed = |Malformed(why)| Status::invalid_argument(format!("no load report: {why}"));
    let report = LoadReport::read(bytes).map_err(malformed)?;
    let node = match node {
        Some(node) => node,
        none => none.insert(node_id(report.node_id().map_err(malformed)?)?),
    };
    shared.absorb_load(node, &report.clusters, loads).map_err(malformed)
}

fn message(of: &impl prost::Message) -> Message {
    Message { head: of.encode_to_vec().into(), shared: Bytes::new() }
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
