//! One proxy's counts over one window.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::model::Failures;
pub use crate::model::Histogram;

/// What one proxy counted between two of its reports. Never cumulative: resets are already detected, and a window
/// whose start is not known is not reported.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeReport {
    /// The proxy's node id.
    pub node: Arc<str>,
    /// When the report before this one was received: the window's start.
    pub since: Instant,
    /// When this one was received: the window's end.
    pub until: Instant,
    /// By cluster name. Clusters without any change in the window may be absent, and those that are not asked for.
    pub clusters: BTreeMap<Arc<str>, ClusterDelta>,
    /// It tells of endpoints and of what is under way only: another channel counts this proxy's requests.
    pub partial: bool,
    /// Of the clusters that are not asked for.
    pub others: Others,
}

/// What is told of all clusters together that are not told of one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Others {
    /// Requests that failed.
    pub errors: u64,
    /// Whether the proxy tells what is under way, at some of them. Where it tells nothing, nothing is.
    pub tells_in_progress: bool,
}

impl NodeReport {
    /// Whether it tells nothing of requests.
    pub fn is_of_now(&self) -> bool {
        self.partial
    }
}

/// How many there were, and how many of them failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcomes {
    /// All.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
}

impl Outcomes {
    /// Adds so many, which all failed or all did not.
    pub(super) fn add(&mut self, count: u64, failed: bool) {
        self.requests = self.requests.saturating_add(count);
        self.errors = self.errors.saturating_add(if failed { count } else { 0 });
    }
}

/// One cluster's counts in a window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterDelta {
    /// Where the counts are from.
    pub source: Source,
    /// Requests that ended in the window; of a TCP service, connections that were begun. Those that were chosen by
    /// something else than the shares are not among them, if the source can tell them apart.
    pub requests: u64,
    /// How many of them failed: a 5xx (the proxy's own where no endpoint answered), for gRPC also a `grpc-status` that
    /// is the server's fault. A caller that went away before the answer is neither request nor error. Load reports of
    /// gRPC clients know less: any status but OK is an error, also that of a call that the caller gave up.
    pub errors: u64,
    /// The same by cause.
    pub failures: Failures,
    /// The same by named route of the service, where it has any.
    pub routes: BTreeMap<Arc<str>, Outcomes>,
    /// Their durations in milliseconds, when the source knows them.
    pub latency: Option<Histogram>,
    /// Endpoints that are out of rotation now (a gauge), when the source knows it.
    pub ejected: Option<u64>,
    /// Endpoints that exist (a gauge), when the source knows it.
    pub endpoints: Option<u64>,
    /// Those of them that get requests (a gauge), when the source knows it.
    pub healthy: Option<u64>,
    /// Requests that a rule or a preview has chosen: their callers are no sample of all.
    pub chosen: Outcomes,
    /// Tries towards the endpoints, when the source knows them: of whatever request, also of copies. A `grpc-status` is
    /// not looked at.
    pub tries: Option<Outcomes>,
    /// Requests, or connections of a TCP service, that are under way now (a gauge), when the source knows it.
    pub in_progress: Option<u64>,
    /// The same by endpoint; one that is not there has none.
    pub endpoints_in_progress: Option<BTreeMap<SocketAddr, u64>>,
    /// Tries by endpoint, from a source that tells them apart; one that is not there had none.
    pub endpoint_tries: BTreeMap<SocketAddr, Outcomes>,
}

/// Where counts come from, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Source {
    /// The stats access logger: as the caller saw it.
    #[default]
    Caller,
    /// The proxy's cluster statistics: each try towards an endpoint.
    Cluster,
    /// The proxy's cluster statistics where there are connections and no HTTP.
    Connections,
    /// Load reports (LRS).
    LoadReport,
}
