//! The telemetry services over real gRPC, called with Envoy's full messages (from `envoy-types`, which this crate's
//! lean ones must agree with).

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{Extension, Node};
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterStats, UpstreamLocalityStats};
use envoy_types::pb::envoy::service::load_stats::v3::LoadStatsRequest;
use envoy_types::pb::envoy::service::load_stats::v3::load_reporting_service_client::LoadReportingServiceClient;
use envoy_types::pb::envoy::service::metrics::v3::StreamMetricsMessage;
use envoy_types::pb::envoy::service::metrics::v3::metrics_service_client::MetricsServiceClient;
use envoy_types::pb::envoy::service::metrics::v3::stream_metrics_message::Identifier;
use envoy_types::pb::google::protobuf;
use envoy_types::pb::io::prometheus::client::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use serin::telemetry::{Channel as Heard, NodeReport, Source, Telemetry};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Status};

#[path = "telemetry_wire/polled.rs"]
mod polled;

/// Long enough for any machine; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_secs(60);

struct Rig {
    telemetry: Telemetry,
    reports: mpsc::Receiver<NodeReport>,
    channel: Channel,
}

impl Rig {
    async fn new(capacity: usize) -> Self {
        let (sink, reports) = mpsc::channel(capacity);
        let telemetry = Telemetry::new(sink);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder()
            .add_routes(telemetry.routes(Routes::default()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        Self { telemetry, reports, channel }
    }

    /// How a proxy is heard.
    fn heard(&self, node: &str) -> Option<Heard> {
        self.telemetry.last_report(node).map(|report| report.channel)
    }

    async fn report(&mut self) -> NodeReport {
        within(self.reports.recv()).await.unwrap()
    }

    /// Opens a metrics stream. Its answer comes when it ends.
    fn metrics(&self) -> (mpsc::Sender<StreamMetricsMessage>, JoinHandle<Result<(), Status>>) {
        let (sender, receiver) = mpsc::channel(8);
        let mut client = MetricsServiceClient::new(self.channel.clone());
        let end = tokio::spawn(async move { client.stream_metrics(ReceiverStream::new(receiver)).await.map(|_| ()) });
        (sender, end)
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap()
}

/// A node as bulky as Envoy's own.
fn node(id: &str) -> Node {
    let extension = |i| Extension { name: format!("envoy.extension.{i}"), ..Extension::default() };
    Node { id: id.into(), cluster: "edge".into(), extensions: (0..500).map(extension).collect(), ..Node::default() }
}

fn identified(id: &str, mut message: StreamMetricsMessage) -> StreamMetricsMessage {
    message.identifier = Some(Identifier { node: Some(node(id)) });
    message
}

fn family(name: &str, kind: MetricType, labels: &[(&str, &str)], metric: Metric) -> MetricFamily {
    let label = |(name, value): &(&str, &str)| LabelPair { name: Some((*name).into()), value: Some((*value).into()) };
    let metric = Metric { label: labels.iter().map(label).collect(), ..metric };
    MetricFamily { name: Some(name.into()), r#type: Some(kind as i32), metric: vec![metric], ..MetricFamily::default() }
}

/// The whole statistics of one second: what the caller saw of `a/v1`, and gauges.
fn flush(second: i64, good: f64, bad: f64) -> StreamMetricsMessage {
    let at = Some(second * 1000);
    let counter = |value| Metric {
        counter: Some(Counter { value: Some(value), ..Counter::default() }),
        timestamp_ms: at,
        ..Metric::default()
    };
    let gauge = |value| Metric { gauge: Some(Gauge { value: Some(value) }), timestamp_ms: at, ..Metric::default() };
    let bucket = |bound, count| Bucket { cumulative_count: Some(count), upper_bound: Some(bound), ..Bucket::default() };
    let histogram =
        Histogram { sample_count: Some(5), bucket: vec![bucket(1.0, 2), bucket(10.0, 4)], ..Histogram::default() };
    let histogram = Metric { histogram: Some(histogram), timestamp_ms: at, ..Metric::default() };
    let (counters, gauges) = (MetricType::Counter, MetricType::Gauge);
    let rq = |code| [("cluster", "a/v1"), ("code", code), ("grpc", "")];
    let cluster = [("envoy.cluster_name", "a/v1")];
    let class = [("envoy.cluster_name", "a/v1"), ("envoy.response_code_class", "2")];
    StreamMetricsMessage {
        identifier: None,
        envoy_metrics: vec![
            family("rollout.rq", counters, &rq("200"), counter(good)),
            family("rollout.rq", counters, &rq("503"), counter(bad)),
            family("rollout.dur", MetricType::Histogram, &[("cluster", "a/v1")], histogram),
            family("cluster.upstream_rq_xx", counters, &class, counter(good * 3.0)),
            family("cluster.membership_total", gauges, &cluster, gauge(3.0)),
            family("cluster.outlier_detection.ejections_active", gauges, &cluster, gauge(1.0)),
        ],
    }
}

fn loads(id: Option<&str>, success: u64, error: u64) -> LoadStatsRequest {
    let stats = UpstreamLocalityStats {
        total_successful_requests: success,
        total_error_requests: error,
        total_issued_requests: success + error,
        total_requests_in_progress: 7,
        ..UpstreamLocalityStats::default()
    };
    let cluster = ClusterStats {
        cluster_name: "a/v1".into(),
        upstream_locality_stats: vec![stats],
        load_report_interval: Some(protobuf::Duration { seconds: 1, nanos: 500_000_000 }),
        ..ClusterStats::default()
    };
    LoadStatsRequest { node: id.map(node), cluster_stats: vec![cluster] }
}

#[tokio::test]
async fn a_metrics_stream() {
    let mut rig = Rig::new(8).await;
    let (sender, end) = rig.metrics();
    sender.send(identified("edge-1", flush(1, 1000.0, 10.0))).await.unwrap();
    sender.send(flush(2, 1008.0, 12.0)).await.unwrap();
    // Settled though no third one follows.
    let report = rig.report().await;
    assert_eq!((&*report.node, report.since <= report.until), ("edge-1", true));
    assert_eq!(rig.heard("edge-1"), Some(Heard::Metrics));
    assert_eq!(rig.heard("edge-2"), None);
    let delta = &report.clusters["a/v1"];
    assert_eq!((delta.source, delta.requests, delta.errors), (Source::Caller, 10, 2));
    assert_eq!((delta.ejected, delta.endpoints), (Some(1), Some(3)));
    let latency = delta.latency.as_ref().unwrap();
    assert_eq!((&latency.bounds[..2], &*latency.counts), (&[1.0, 10.0][..], &[2, 2, 1][..]));
    assert_eq!(report.clusters.len(), 1);
    drop(sender);
    within(end).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_that_does_not_say_whose_it_is() {
    let rig = Rig::new(8).await;
    for first in [
        flush(1, 1.0, 1.0),
        identified("", flush(1, 1.0, 1.0)),
        identified(&"x".repeat(2000), flush(1, 1.0, 1.0)),
        StreamMetricsMessage { identifier: Some(Identifier::default()), envoy_metrics: Vec::new() },
    ] {
        let (sender, end) = rig.metrics();
        sender.send(first).await.unwrap();
        assert_eq!(within(end).await.unwrap().unwrap_err().code(), Code::InvalidArgument);
    }
    let (sender, receiver) = mpsc::channel(8);
    let mut client = LoadReportingServiceClient::new(rig.channel.clone());
    sender.send(loads(None, 1, 1)).await.unwrap();
    let mut answers = within(client.stream_load_stats(ReceiverStream::new(receiver))).await.unwrap().into_inner();
    assert_eq!(within(answers.message()).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn counters_survive_a_reconnect() {
    let mut rig = Rig::new(8).await;
    let (sender, end) = rig.metrics();
    sender.send(identified("edge-1", flush(1, 1000.0, 10.0))).await.unwrap();
    sender.send(flush(2, 1010.0, 10.0)).await.unwrap();
    let before = rig.report().await;
    drop(sender);
    within(end).await.unwrap().unwrap();
    let (sender, _end) = rig.metrics();
    sender.send(identified("edge-1", flush(9, 1500.0, 30.0))).await.unwrap();
    let gap = rig.report().await;
    assert_eq!((gap.clusters["a/v1"].requests, gap.clusters["a/v1"].errors), (510, 20));
    assert_eq!(gap.since, before.until);
}

#[tokio::test]
async fn load_reports_are_asked_for_and_used() {
    let mut rig = Rig::new(8).await;
    let (sender, receiver) = mpsc::channel(8);
    let mut client = LoadReportingServiceClient::new(rig.channel.clone());
    let mut answers = within(client.stream_load_stats(ReceiverStream::new(receiver))).await.unwrap().into_inner();
    let mut first = loads(Some("edge-1"), 0, 0);
    first.cluster_stats.clear();
    sender.send(first).await.unwrap();
    let answer = within(answers.message()).await.unwrap().unwrap();
    assert!(answer.send_all_clusters && answer.clusters.is_empty() && answer.report_endpoint_granularity);
    assert_eq!(answer.load_reporting_interval, Some(protobuf::Duration { seconds: 1, nanos: 0 }));
    // With its node, as Envoy sends it, and without, as others do.
    for (id, errors) in [(Some("edge-1"), 2), (None, 3)] {
        sender.send(loads(id, 9, errors)).await.unwrap();
        let report = rig.report().await;
        let delta = &report.clusters["a/v1"];
        assert_eq!((delta.source, delta.requests, delta.errors), (Source::LoadReport, 9 + errors, errors));
        assert_eq!(report.until - report.since, Duration::from_millis(1500));
        assert_eq!(rig.heard("edge-1"), Some(Heard::Loads));
    }
    drop(sender);
    assert_eq!(within(answers.message()).await.unwrap(), None);
}

#[tokio::test]
async fn load_reports_of_a_proxy_with_a_metrics_stream_are_not_counted_twice() {
    let mut rig = Rig::new(8).await;
    let (metrics, _end) = rig.metrics();
    metrics.send(identified("edge-1", flush(1, 1000.0, 10.0))).await.unwrap();
    metrics.send(flush(2, 1010.0, 10.0)).await.unwrap();
    assert_eq!(rig.report().await.clusters["a/v1"].source, Source::Caller);
    let (sender, receiver) = mpsc::channel(8);
    let mut client = LoadReportingServiceClient::new(rig.channel.clone());
    let mut answers = within(client.stream_load_stats(ReceiverStream::new(receiver))).await.unwrap().into_inner();
    sender.send(loads(Some("edge-1"), 9, 1)).await.unwrap();
    sender.send(loads(Some("edge-1"), 9, 1)).await.unwrap();
    drop(sender);
    while within(answers.message()).await.unwrap().is_some() {}
    // The stream has ended, so both were seen: they tell what is under way, and count nothing. Another proxy's do.
    for _ in 0..2 {
        let report = rig.report().await;
        let delta = &report.clusters["a/v1"];
        assert!(report.is_of_now() && delta.requests == 0 && delta.in_progress == Some(7), "{delta:?}");
    }
    let (other, receiver) = mpsc::channel(8);
    let _other = within(client.stream_load_stats(ReceiverStream::new(receiver))).await.unwrap();
    other.send(loads(Some("edge-2"), 4, 0)).await.unwrap();
    assert_eq!(&*rig.report().await.node, "edge-2");
    metrics.send(flush(3, 1011.0, 10.0)).await.unwrap();
    assert_eq!(rig.report().await.clusters["a/v1"].source, Source::Caller);
}

#[tokio::test]
async fn a_receiver_that_does_not_keep_up_holds_nobody_up() {
    let mut rig = Rig::new(1).await;
    let (sender, end) = rig.metrics();
    sender.send(identified("edge-1", flush(1, 0.0, 0.0))).await.unwrap();
    for second in 2..=6 {
        sender.send(flush(second, second as f64, 0.0)).await.unwrap();
    }
    drop(sender);
    // All was read, though nobody took the reports.
    within(end).await.unwrap().unwrap();
    assert_eq!(rig.report().await.clusters["a/v1"].requests, 2);
    assert_eq!(rig.telemetry.dropped(), 4);
}

#[tokio::test]
async fn closing_ends_all_streams() {
    let mut rig = Rig::new(8).await;
    let (sender, end) = rig.metrics();
    sender.send(identified("edge-1", flush(1, 0.0, 0.0))).await.unwrap();
    sender.send(flush(2, 1.0, 0.0)).await.unwrap();
    rig.report().await;
    let (loading, receiver) = mpsc::channel(8);
    let mut client = LoadReportingServiceClient::new(rig.channel.clone());
    loading.send(loads(Some("edge-2"), 0, 0)).await.unwrap();
    let mut answers = within(client.stream_load_stats(ReceiverStream::new(receiver))).await.unwrap().into_inner();
    assert!(within(answers.message()).await.unwrap().is_some());
    rig.telemetry.close();
    within(end).await.unwrap().unwrap();
    assert_eq!(within(answers.message()).await.unwrap(), None);
}
