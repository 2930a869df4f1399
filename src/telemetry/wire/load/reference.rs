//! The messages as `prost` reads them: what the reader is tested against, and what tests are made of.

use crate::telemetry::wire::Interval;
use crate::telemetry::wire::metrics::reference::Node;

/// `envoy.service.load_stats.v3.LoadStatsRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::telemetry) struct LoadStatsRequest {
    /// Who reports; Envoy says it in each message, others in the first only.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// Per cluster, since the report before.
    #[prost(message, repeated, tag = "2")]
    pub cluster_stats: Vec<ClusterStats>,
}

/// `envoy.config.endpoint.v3.ClusterStats`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::telemetry) struct ClusterStats {
    /// The cluster.
    #[prost(string, tag = "1")]
    pub cluster_name: String,
    /// Per locality; empty when there was no request.
    #[prost(message, repeated, tag = "2")]
    pub upstream_locality_stats: Vec<UpstreamLocalityStats>,
    /// Requests that were given up before an endpoint was chosen: too many were under way. They are in no locality.
    #[prost(uint64, tag = "3")]
    pub total_dropped_requests: u64,
    /// How long the report's time was.
    #[prost(message, optional, tag = "4")]
    pub load_report_interval: Option<Interval>,
}

/// `envoy.config.endpoint.v3.UpstreamLocalityStats`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::telemetry) struct UpstreamLocalityStats {
    /// Requests that ended well.
    #[prost(uint64, tag = "2")]
    pub total_successful_requests: u64,
    /// Requests that ended otherwise. By Envoy: with a 5xx, or for gRPC a status that maps to one. By gRPC clients: with
    /// any status but OK.
    #[prost(uint64, tag = "4")]
    pub total_error_requests: u64,
    /// Requests that are under way.
    #[prost(uint64, tag = "3")]
    pub total_requests_in_progress: u64,
    /// Per endpoint, from those that know it.
    #[prost(message, repeated, tag = "7")]
    pub upstream_endpoint_stats: Vec<UpstreamEndpointStats>,
}

/// `envoy.config.endpoint.v3.UpstreamEndpointStats`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::telemetry) struct UpstreamEndpointStats {
    /// Where it is.
    #[prost(message, optional, tag = "1")]
    pub address: Option<Address>,
    /// Requests that ended well, as those of its locality.
    #[prost(uint64, tag = "2")]
    pub total_successful_requests: u64,
    /// Requests that ended otherwise, as those of its locality.
    #[prost(uint64, tag = "4")]
    pub total_error_requests: u64,
    /// Requests that are under way.
    #[prost(uint64, tag = "3")]
    pub total_requests_in_progress: u64,
}

/// `envoy.config.core.v3.Address`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::telemetry) struct Address {
    /// Set when it is one of IP.
    #[prost(message, optional, tag = "1")]
    pub socket_address: Option<SocketAddress>,
}

/// `envoy.config.core.v3.SocketAddress`.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::telemetry) struct SocketAddress {
    /// The IP address.
    #[prost(string, tag = "2")]
    pub address: String,
    /// The port.
    #[prost(uint32, tag = "3")]
    pub port_value: u32,
}
