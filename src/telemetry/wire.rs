//! Lean protobuf messages of Envoy's `MetricsService` and load reporting service.
//!
//! PURE. Same tags as the originals (`envoy/service/metrics/v3`, `envoy/service/load_stats/v3`,
//! `envoy/config/endpoint/v3/load_report.proto`, `io/prometheus/client/metrics.proto`), only the fields that are used:
//! the rest, above all a node's list of extensions (61 KB in each load report), is skipped without being decoded.

mod family;
mod fields;
pub(super) mod load;

pub use family::MetricFamily;
pub use fields::Malformed;
pub use load::{ClusterLoad, EndpointLoad, LoadReport};

/// `envoy.service.metrics.v3.StreamMetricsMessage`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StreamMetricsMessage {
    /// Who reports; on a stream's first message only.
    #[prost(message, optional, tag = "1")]
    pub identifier: Option<Identifier>,
    /// A flush of the proxy's statistics, or a part of one.
    #[prost(message, repeated, tag = "2")]
    pub envoy_metrics: Vec<MetricFamily>,
}

/// `StreamMetricsMessage.Identifier`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Identifier {
    /// The proxy.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
}

/// `envoy.config.core.v3.Node`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Node {
    /// The proxy's id.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// `envoy.service.metrics.v3.StreamMetricsResponse`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct StreamMetricsResponse {}

/// `io.prometheus.client.Metric`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metric {
    /// The statistic's tags.
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    /// Set when it is a gauge.
    #[prost(message, optional, tag = "2")]
    pub gauge: Option<Value>,
    /// Set when it is a counter: cumulative, unless the proxy was told otherwise (which is not supported).
    #[prost(message, optional, tag = "3")]
    pub counter: Option<Value>,
    /// Set when it is a histogram. Envoy's are those of the flush interval, not cumulative over time.
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<HistogramValue>,
    /// When the proxy took it, in milliseconds since 1970 by its own clock: the same in all parts of a flush.
    #[prost(int64, tag = "6")]
    pub timestamp_ms: i64,
}

/// `io.prometheus.client.LabelPair`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LabelPair {
    /// The tag's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The tag's value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `io.prometheus.client.Gauge` and `.Counter`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Value {
    /// The number.
    #[prost(double, tag = "1")]
    pub value: f64,
}

/// `io.prometheus.client.Histogram`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HistogramValue {
    /// How many there are in all.
    #[prost(uint64, tag = "1")]
    pub sample_count: u64,
    /// By upper bound, ascending.
    #[prost(message, repeated, tag = "3")]
    pub bucket: Vec<Bucket>,
}

/// `io.prometheus.client.Bucket`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Bucket {
    /// How many are at most the bound.
    #[prost(uint64, tag = "1")]
    pub cumulative_count: u64,
    /// The bound.
    #[prost(double, tag = "2")]
    pub upper_bound: f64,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Interval {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// The rest in nanoseconds.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// `envoy.service.load_stats.v3.LoadStatsResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LoadStatsResponse {
    /// Report every cluster there is.
    #[prost(bool, tag = "4")]
    pub send_all_clusters: bool,
    /// Report by endpoint as well.
    #[prost(bool, tag = "3")]
    pub report_endpoint_granularity: bool,
    /// How often.
    #[prost(message, optional, tag = "2")]
    pub load_reporting_interval: Option<Interval>,
}
