//! One proxy's statistics: cumulative counters in, differences out.
//!
//! PURE: the time of receipt is an argument.
//!
//! A *flush* is one reading of all of the proxy's statistics. It comes in one message or in several, all with the same
//! timestamp, and is settled as a whole: when the next one begins, or when its caller says that nothing more comes.
//!
//! Rules:
//! - The first flush is the baseline: how old its counts are is not known, so it reports nothing.
//! - A counter that appears later counts from 0: Envoy sends a counter from its first increment on.
//! - Within a stream, a counter that falls was destroyed and made anew (its cluster was removed and added again): it
//!   counts from 0. On a new stream a falling counter is a proxy that was restarted at an unknown time: that flush is a
//!   baseline again. Without one, the time between the streams is one long window.
//! - Histograms are those of the flush interval already; what belongs to no open flush is dropped.
//! - A flush older than the newest is a repetition and is dropped; one older by more than [`CLOCK_SET_BACK`] says that
//!   the proxy's clock was set back, and is a baseline.
//! - Per cluster, what the caller saw is preferred over the proxy's cluster statistics as soon as there is any. The
//!   flush in which the source changes is not reported for that cluster, so that no request is told twice.

mod cluster;
mod group;
mod names;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::focus::{self, Focus};
use super::report::{ClusterDelta, NodeReport, Others, Outcomes};
use super::sample::{Reading, Sample};
use cluster::Cluster;
use names::Names;

/// A timestamp that is older than the newest by more than this (in milliseconds) is a clock that was set back.
pub(super) const CLOCK_SET_BACK: i64 = 60_000;
/// The most clusters that are kept of one proxy.
const CLUSTER_LIMIT: usize = 10_000;

/// What is known of one proxy's statistics.
#[derive(Debug, Default)]
pub(super) struct Counters {
    focus: Focus,
    /// As of when it is known what is wanted.
    version: u64,
    /// Boxed, for a table has many empty places.
    clusters: HashMap<Arc<str>, Box<Known>>,
    names: Names,
    phase: Phase,
    open: Option<Flush>,
    /// The newest settled flush.
    settled: Option<Flush>,
}

/// A cluster that was told of.
#[derive(Debug)]
struct Known {
    /// That of all proxies.
    shared: Arc<focus::Cluster>,
    /// Whether it is reported by itself.
    is_wanted: bool,
    cluster: Cluster,
}

/// What the next flush is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// The start of what can be counted.
    #[default]
    Baseline,
    /// The first of a new stream.
    Resumed,
    /// One more.
    Counting,
}

/// One reading of all statistics.
#[derive(Debug, Clone, Copy)]
struct Flush {
    /// By the proxy's clock; `None` when it does not say.
    timestamp: Option<i64>,
    /// When its first message came.
    received: Instant,
}

impl Counters {
    /// Of a proxy that nothing is known of.
    pub(super) fn new(focus: Focus) -> Self {
        Self { focus, ..Self::default() }
    }

    /// The next flush is a baseline.
    pub(super) fn rebase(&mut self) {
        self.phase = Phase::Baseline;
        self.open = None;
        self.clusters.clear();
    }

    /// The next flush is the first of a new stream.
    pub(super) fn resume(&mut self) {
        if self.phase == Phase::Counting {
            self.phase = Phase::Resumed;
        }
    }

    /// Takes in a message. Returns the flush before it, when this one begins another.
    pub(super) fn absorb(&mut self, node: &Arc<str>, reading: Reading<'_>, now: Instant) -> Option<NodeReport> {
        let timestamp = reading.taken;
        let report = match self.place(timestamp) {
            Place::Same => None,
            Place::Repeated => return None,
            Place::Next => {
                let report = self.close(node);
                self.open = Some(Flush { timestamp, received: now });
                report
            }
            Place::ClockSetBack => {
                self.rebase();
                self.open = Some(Flush { timestamp, received: now });
                None
            }
        };
        for sample in reading.samples {
            self.note(sample);
        }
        report
    }

    /// Nothing more comes of the open flush for now. A baseline stays open until the next flush begins: a part of it
    /// that comes late must not be taken for new counts.
    pub(super) fn settle(&mut self, node: &Arc<str>) -> Option<NodeReport> {
        if self.phase == Phase::Baseline { None } else { self.close(node) }
    }

    /// Whether [`settle`](Self::settle) could report anything.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some() && self.phase != Phase::Baseline
    }

    fn place(&self, timestamp: Option<i64>) -> Place {
        let Some(timestamp) = timestamp else { return Place::Next };
        if self.open.is_some_and(|open| open.timestamp == Some(timestamp)) {
            return Place::Same;
        }
        let newest = self.open.or(self.settled).and_then(|flush| flush.timestamp);
        match newest {
            // A part of the settled flush that comes late. Its counters are read with the next flush, which repeats
            // them; its histograms are lost.
            Some(newest) if timestamp == newest => Place::Same,
            Some(newest) if newest.saturating_sub(timestamp) > CLOCK_SET_BACK => Place::ClockSetBack,
            Some(newest) if timestamp < newest => Place::Repeated,
            Some(_) | None => Place::Next,
        }
    }

    fn note(&mut self, Sample { cluster, value }: Sample<'_>) {
        // The durations of a baseline are of an unknown time, and it is open for long.
        let is_timed = self.open.is_some() && self.phase != Phase::Baseline;
        if let Some(known) = self.clusters.get_mut(cluster) {
            known.cluster.note(value, is_timed, &mut self.names);
        } else if self.clusters.len() < CLUSTER_LIMIT {
            let (shared, is_wanted) = (self.focus.cluster(cluster), self.focus.wants(cluster));
            let known = Box::new(Known { shared, is_wanted, cluster: Cluster::default() });
            let name = Arc::clone(&known.shared.name);
            self.clusters.entry(name).or_insert(known).cluster.note(value, is_timed, &mut self.names);
        }
    }

    fn close(&mut self, node: &Arc<str>) -> Option<NodeReport> {
        let flush = self.open.take()?;
        let since = self.settled.replace(flush).map(|settled| settled.received);
        if self.phase == Phase::Resumed && self.clusters.values().any(|known| known.cluster.falls()) {
            self.phase = Phase::Baseline;
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Counting);
        let since = since.filter(|_| phase != Phase::Baseline);
        let version = self.focus.version();
        let is_other = std::mem::replace(&mut self.version, version) != version;
        let (mut clusters, mut others) = (BTreeMap::new(), Others::default());
        for known in self.clusters.values_mut() {
            if is_other {
                known.look_at(&self.focus);
            }
            if since.is_none() {
                known.cluster.rebase();
            } else if let Some(delta) = known.settle(&mut others) {
                clusters.insert(Arc::clone(&known.shared.name), delta);
            }
        }
        self.clusters.retain(|_, known| !known.cluster.is_gone());
        self.names.tidy();
        let (node, until) = (Arc::clone(node), flush.received);
        Some(NodeReport { node, since: since?, until, clusters, partial: false, others })
    }
}

impl Known {
    /// Finds out whether it is wanted now. Then all that is known of it is news.
    fn look_at(&mut self, focus: &Focus) {
        let was_wanted = std::mem::replace(&mut self.is_wanted, focus.wants(&self.shared.name));
        if self.is_wanted && !was_wanted {
            self.cluster.tell_again();
        }
    }

    /// The differences since the flush before, if there are any. Of a cluster that is not wanted they are added to those
    /// of all proxies, but for news of its endpoints.
    fn settle(&mut self, others: &mut Others) -> Option<ClusterDelta> {
        let (delta, has_news) = self.cluster.settle()?;
        if self.is_wanted {
            return Some(delta);
        }
        let ClusterDelta { source, requests, errors, ejected, endpoints, healthy, .. } = delta;
        others.errors = others.errors.saturating_add(errors);
        others.tells_in_progress |= delta.in_progress.is_some();
        if requests > 0 {
            self.shared.add(Outcomes { requests, errors }, delta.latency);
        }
        has_news.then(|| ClusterDelta { source, ejected, endpoints, healthy, ..ClusterDelta::default() })
    }
}

/// Where a message belongs.
enum Place {
    Same,
    Next,
    Repeated,
    ClockSetBack,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
