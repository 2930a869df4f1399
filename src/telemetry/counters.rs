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

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::report::NodeReport;
use super::sample::{Sample, samples};
use super::wire::MetricFamily;
use cluster::Cluster;

/// A timestamp that is older than the newest by more than this (in milliseconds) is a clock that was set back.
pub(super) const CLOCK_SET_BACK: i64 = 60_000;
/// The most clusters that are kept of one proxy.
const CLUSTER_LIMIT: usize = 10_000;

/// What is known of one proxy's statistics.
#[derive(Debug, Default)]
pub(super) struct Counters {
    clusters: HashMap<Arc<str>, Cluster>,
    phase: Phase,
    open: Option<Flush>,
    /// The newest settled flush.
    settled: Option<Flush>,
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
    pub(super) fn absorb(&mut self, node: &Arc<str>, families: &[MetricFamily], now: Instant) -> Option<NodeReport> {
        let timestamp = families.iter().flat_map(|f| &f.metric).map(|m| m.timestamp_ms).find(|t| *t > 0);
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
        for sample in families.iter().flat_map(samples) {
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

    fn note(&mut self, Sample { cluster, value }: Sample) {
        if !self.clusters.contains_key(&cluster) && self.clusters.len() >= CLUSTER_LIMIT {
            return;
        }
        let in_flush = self.open.is_some();
        self.clusters.entry(cluster).or_default().note(value, in_flush);
    }

    fn close(&mut self, node: &Arc<str>) -> Option<NodeReport> {
        let flush = self.open.take()?;
        let since = self.settled.replace(flush).map(|settled| settled.received);
        if self.phase == Phase::Resumed && self.clusters.values().any(Cluster::falls) {
            self.phase = Phase::Baseline;
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Counting);
        let mut clusters = BTreeMap::new();
        for (name, cluster) in &mut self.clusters {
            match phase {
                Phase::Baseline => cluster.rebase(),
                Phase::Resumed | Phase::Counting => {
                    clusters.extend(cluster.settle().map(|delta| (Arc::clone(name), delta)));
                }
            }
        }
        self.clusters.retain(|_, cluster| !cluster.is_gone());
        match phase {
            Phase::Baseline => None,
            Phase::Resumed | Phase::Counting => {
                Some(NodeReport { node: Arc::clone(node), since: since?, until: flush.received, clusters })
            }
        }
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
