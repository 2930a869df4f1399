//! The messages as `prost` reads them: what the reader is tested against, and what tests are made of.

use prost::Message as _;

/// `envoy.service.metrics.v3.StreamMetricsMessage`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::telemetry) struct StreamMetricsMessage {
    /// Who reports; on a stream's first message only.
    #[prost(message, optional, tag = "1")]
    pub identifier: Option<Identifier>,
    /// A flush of the proxy's statistics, or a part of one.
    #[prost(message, repeated, tag = "2")]
    pub envoy_metrics: Vec<MetricFamily>,
}

/// `StreamMetricsMessage.Identifier`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::telemetry) struct Identifier {
    /// The proxy.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
}

/// `envoy.config.core.v3.Node`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::telemetry) struct Node {
    /// The proxy's id.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// `io.prometheus.client.MetricFamily`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::telemetry) struct MetricFamily {
    /// The statistic's name without its tags.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The values.
    #[prost(message, repeated, tag = "4")]
    pub metric: Vec<Metric>,
}

/// `io.prometheus.client.Metric`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::telemetry) struct Metric {
    /// The statistic's tags.
    #[prost(message, repeated, tag = "1")]
    pub label: Vec<LabelPair>,
    /// Set when it is a gauge.
    #[prost(message, optional, tag = "2")]
    pub gauge: Option<Value>,
    /// Set when it is a counter.
    #[prost(message, optional, tag = "3")]
    pub counter: Option<Value>,
    /// Set when it is a histogram.
    #[prost(message, optional, tag = "7")]
    pub histogram: Option<HistogramValue>,
    /// When the proxy took it.
    #[prost(int64, tag = "6")]
    pub timestamp_ms: i64,
}

/// `io.prometheus.client.LabelPair`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::telemetry) struct LabelPair {
    /// The tag's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The tag's value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `io.prometheus.client.Gauge` and `.Counter`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(in crate::telemetry) struct Value {
    /// The number.
    #[prost(double, tag = "1")]
    pub value: f64,
}

/// `io.prometheus.client.Histogram`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::telemetry) struct HistogramValue {
    /// How many there are in all.
    #[prost(uint64, tag = "1")]
    pub sample_count: u64,
    /// By upper bound, ascending.
    #[prost(message, repeated, tag = "3")]
    pub bucket: Vec<Bucket>,
}

/// `io.prometheus.client.Bucket`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(in crate::telemetry) struct Bucket {
    /// How many are at most the bound.
    #[prost(uint64, tag = "1")]
    pub cumulative_count: u64,
    /// The bound.
    #[prost(double, tag = "2")]
    pub upper_bound: f64,
}

impl StreamMetricsMessage {
    /// The bytes of a message of these families.
    pub(in crate::telemetry) fn of(families: &[MetricFamily]) -> Vec<u8> {
        Self { identifier: None, envoy_metrics: families.to_vec() }.encode_to_vec()
    }
}
