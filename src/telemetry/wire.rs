//! Lean protobuf messages of Envoy's `MetricsService` and load reporting service. What proxies send is read where it
//! lies in its bytes.
//!
//! PURE. Same tags as the originals (`envoy/service/metrics/v3`, `envoy/service/load_stats/v3`,
//! `envoy/config/endpoint/v3/load_report.proto`, `io/prometheus/client/metrics.proto`), only the fields that are used:
//! the rest, above all a node's list of extensions (61 KB in each load report), is skipped without being decoded.

mod fields;
pub(super) mod load;
pub(super) mod metrics;

pub use fields::Malformed;
pub use load::{ClusterLoad, EndpointLoad, LoadReport};
pub use metrics::{Bucket, HistogramValue, Metric, MetricFamily, MetricsReport};

/// `envoy.service.metrics.v3.StreamMetricsResponse`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct StreamMetricsResponse {}

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
