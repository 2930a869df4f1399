//! What the proxies send, as bytes. What is the same for all of them is encoded once.

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, Locality, Node, SocketAddress, address};
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterStats, UpstreamEndpointStats, UpstreamLocalityStats};
use envoy_types::pb::envoy::service::load_stats::v3::LoadStatsRequest;
use envoy_types::pb::envoy::service::metrics::v3::StreamMetricsMessage;
use envoy_types::pb::envoy::service::metrics::v3::stream_metrics_message::Identifier;
use envoy_types::pb::google::protobuf::Duration;
use envoy_types::pb::io::prometheus::client::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily};
use prost::Message;
use serin_testbed::fanout::node;

use crate::{Args, Kind};

/// Requests of a cluster in an interval.
const REQUESTS: u64 = 20;
/// One in so many clusters has requests under way at the moment of a load report.
const BUSY: usize = 4;
/// Series of a message: `batch_size` of Serin's bootstrap.
const BATCH: usize = 2_000;
/// The bounds of Envoy's histograms, in milliseconds.
const BOUNDS: [f64; 19] =
    [0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 1.8e6, 3.6e6];

/// All proxies' report of one interval.
pub(crate) struct Report {
    kind: Kind,
    /// Encoded messages, or the part of a message that follows the node.
    parts: Vec<Bytes>,
    /// All of a node but its id.
    node: Bytes,
}

impl Report {
    /// That of one proxy.
    pub(crate) fn of(&self, number: usize) -> Vec<Bytes> {
        match self.kind {
            Kind::Metrics => self.parts.clone(),
            Kind::Loads | Kind::LoadsWithNode => {
                let id = Node { id: name(number), ..Node::default() }.encode_to_vec();
                let mut head = vec![1 << 3 | 2];
                prost::encoding::encode_varint((id.len() + self.node.len()) as u64, &mut head);
                head.extend_from_slice(&id);
                let length = head.len() + self.node.len() + self.parts.iter().map(Bytes::len).sum::<usize>();
                let head = [&prefix(length)[..], &head].concat();
                [head.into(), self.node.clone()].into_iter().chain(self.parts.iter().cloned()).collect()
            }
        }
    }
}

/// A proxy's node id.
pub(crate) fn name(number: usize) -> String {
    format!("edge-{number:05}")
}

/// The name of a service, and of the clusters of its two versions.
pub(crate) fn service(number: usize) -> String {
    format!("service-{number:03}")
}

/// Bytes of one proxy's report.
pub(crate) fn size(args: &Args, kind: Kind) -> usize {
    report(args, kind, 0).of(0).iter().map(Bytes::len).sum()
}

/// The first message of a metrics stream.
pub(crate) fn identifier(number: usize) -> Bytes {
    let identifier = Some(Identifier { node: Some(Node { id: name(number), ..Node::default() }) });
    framed(&StreamMetricsMessage { identifier, envoy_metrics: Vec::new() })
}

/// What is reported in one round.
pub(crate) fn report(args: &Args, kind: Kind, round: u64) -> Report {
    let clusters = (0..args.clusters).map(|at| format!("{}/v{}", service(at / 2), at % 2 + 1));
    let parts = match kind {
        Kind::Metrics => {
            let series: Vec<MetricFamily> = clusters.flat_map(|cluster| metrics(&cluster, round + 1)).collect();
            let message = |batch: &[MetricFamily]| {
                framed(&StreamMetricsMessage { identifier: None, envoy_metrics: batch.to_vec() })
            };
            series.chunks(BATCH).map(message).collect()
        }
        Kind::Loads | Kind::LoadsWithNode => {
            let cluster_stats = clusters.enumerate().map(|(at, name)| loads(name, at, args.every)).collect();
            vec![LoadStatsRequest { node: None, cluster_stats }.encode_to_vec().into()]
        }
    };
    let node = if kind == Kind::LoadsWithNode { node::without_id().into() } else { Bytes::new() };
    Report { kind, parts, node }
}

fn prefix(length: usize) -> [u8; 5] {
    let [a, b, c, d] = u32::try_from(length).expect("a message is shorter than 4 GB").to_be_bytes();
    [0, a, b, c, d]
}

fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    [&prefix(message.len())[..], &message].concat().into()
}

fn loads(cluster_name: String, at: usize, every: f64) -> ClusterStats {
    let endpoint = |last: usize| {
        let address = format!("10.{}.{}.{last}", at / 256, at % 256);
        let socket =
            SocketAddress { address, port_specifier: Some(PortSpecifier::PortValue(8080)), ..Default::default() };
        UpstreamEndpointStats {
            address: Some(Address { address: Some(address::Address::SocketAddress(socket)) }),
            total_successful_requests: REQUESTS / 2,
            total_issued_requests: REQUESTS / 2,
            total_requests_in_progress: u64::from(at.is_multiple_of(BUSY)),
            ..UpstreamEndpointStats::default()
        }
    };
    let locality = UpstreamLocalityStats {
        locality: Some(Locality { region: "eu-west".into(), zone: "eu-west-1a".into(), ..Locality::default() }),
        total_successful_requests: REQUESTS - 1,
        total_error_requests: 1,
        total_issued_requests: REQUESTS,
        total_requests_in_progress: 2 * u64::from(at.is_multiple_of(BUSY)),
        upstream_endpoint_stats: vec![endpoint(1), endpoint(2)],
        ..UpstreamLocalityStats::default()
    };
    let load_report_interval = Some(Duration { seconds: every as i64, nanos: (every.fract() * 1e9) as i32 });
    ClusterStats {
        cluster_name,
        upstream_locality_stats: vec![locality],
        load_report_interval,
        ..ClusterStats::default()
    }
}

/// The series of one cluster in a flush: those that Serin's bootstrap lets Envoy send, and a cluster with traffic has.
fn metrics(cluster: &str, round: u64) -> Vec<MetricFamily> {
    let requests = (round * REQUESTS) as f64;
    let metric = |name: &str, labels: &[(&str, &str)], metric: Metric| {
        let pair = |(name, value): &(&str, &str)| LabelPair {
            name: Some((*name).to_owned()),
            value: Some((*value).to_owned()),
        };
        let label = labels.iter().map(pair).collect();
        let timestamp_ms = Some(1_700_000_000_000 + round as i64 * 1_000);
        let metric = vec![Metric { label, timestamp_ms, ..metric }];
        MetricFamily { name: Some(name.to_owned()), metric, ..MetricFamily::default() }
    };
    let counter = |value| {
        let counter = Counter { value: Some(value), ..Counter::default() };
        Metric { counter: Some(counter), ..Metric::default() }
    };
    let gauge = |value| Metric { gauge: Some(Gauge { value: Some(value) }), ..Metric::default() };
    let histogram = || {
        let bucket = |(at, bound): (usize, &f64)| Bucket {
            cumulative_count: Some((at as u64 * 4).min(REQUESTS)),
            upper_bound: Some(*bound),
            ..Bucket::default()
        };
        let bucket = BOUNDS.iter().enumerate().map(bucket).collect();
        let value = Histogram { sample_count: Some(REQUESTS), bucket, ..Histogram::default() };
        Metric { histogram: Some(value), ..Metric::default() }
    };
    let rq = |code| [("cluster", cluster), ("code", code), ("grpc", ""), ("route", "shared")];
    let own = [("envoy.cluster_name", cluster)];
    let class = |class| [("envoy.response_code_class", class), ("envoy.cluster_name", cluster)];
    vec![
        metric("rollout.rq", &rq("200"), counter(requests)),
        metric("rollout.rq", &rq("503"), counter((round / 8) as f64)),
        metric("cluster.upstream_rq_xx", &class("2"), counter(requests)),
        metric("cluster.upstream_rq_xx", &class("5"), counter((round / 8) as f64)),
        metric("cluster.upstream_rq_completed", &own, counter(requests)),
        metric("cluster.upstream_rq_total", &own, counter(requests)),
        metric("cluster.upstream_cx_total", &own, counter(4.0)),
        metric("cluster.upstream_cx_http1_total", &own, counter(4.0)),
        metric("cluster.membership_total", &own, gauge(2.0)),
        metric("cluster.membership_healthy", &own, gauge(2.0)),
        metric("cluster.upstream_rq_active", &own, gauge(1.0)),
        metric("rollout.dur", &[("cluster", cluster), ("route", "shared")], histogram()),
        metric("cluster.upstream_rq_time", &own, histogram()),
    ]
}
