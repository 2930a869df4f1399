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

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::report::{ClusterDelta, Histogram, NodeReport, Source};
use super::sample::{Answer, Outcome, Sample, Value, samples};
use super::wire::MetricFamily;

/// A timestamp that is older than the newest by more than this (in milliseconds) is a clock that was set back.
pub(super) const CLOCK_SET_BACK: i64 = 60_000;
/// The most clusters that are kept of one proxy.
const CLUSTER_LIMIT: usize = 10_000;
/// The most counters that are kept of one cluster and source.
const COUNTER_LIMIT: usize = 256;
/// What is not in this many flushes running is forgotten; should it come again, it counts from 0. Not sooner: a part of
/// the flushes that fails to arrive for a while must not have its counts told twice.
const ABSENT_LIMIT: u16 = 600;

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

#[derive(Debug, Default)]
struct Cluster {
    answers: Group<Answer>,
    classes: Group<u8>,
    caller_latency: Option<Histogram>,
    cluster_latency: Option<Histogram>,
    ejected: Option<Gauge>,
    endpoints: Option<Gauge>,
    /// The gauges as last reported.
    told: Option<(Option<u64>, Option<u64>)>,
    /// The source of the last requests that were reported.
    source: Option<Source>,
}

/// A gauge's newest value.
#[derive(Debug, Clone, Copy)]
struct Gauge {
    value: u64,
    /// How many flushes ago it came. A gauge that is not sent any more soon says nothing.
    absent: u16,
}

impl Gauge {
    const ABSENT_LIMIT: u16 = 5;

    fn aged(self) -> Option<Self> {
        Some(Self { absent: self.absent + 1, ..self }).filter(|gauge| gauge.absent < Self::ABSENT_LIMIT)
    }
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
        let cluster = self.clusters.entry(cluster).or_default();
        match value {
            Value::Answers(answer, value) => cluster.answers.note(answer, value),
            Value::Class(class, value) => cluster.classes.note(class, value),
            Value::Ejected(value) => cluster.ejected = Some(Gauge { value, absent: 0 }),
            Value::Endpoints(value) => cluster.endpoints = Some(Gauge { value, absent: 0 }),
            // The first one stands: a second in the same flush is a repetition.
            Value::CallerLatency(latency) if in_flush => {
                cluster.caller_latency.get_or_insert(latency);
            }
            Value::ClusterLatency(latency) if in_flush => {
                cluster.cluster_latency.get_or_insert(latency);
            }
            Value::CallerLatency(_) | Value::ClusterLatency(_) => {}
        }
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

impl Cluster {
    fn falls(&self) -> bool {
        self.answers.falls() || self.classes.falls()
    }

    fn is_gone(&self) -> bool {
        self.answers.is_empty() && self.classes.is_empty() && self.endpoints.is_none() && self.ejected.is_none()
    }

    /// The counters as they are now are where counting begins.
    fn rebase(&mut self) {
        self.answers.rebase();
        self.classes.rebase();
        self.caller_latency = None;
        self.cluster_latency = None;
        self.told = None;
    }

    /// The differences since the flush before, if there are any.
    fn settle(&mut self) -> Option<ClusterDelta> {
        let (mut answered, mut failed) = (0_u64, 0_u64);
        self.answers.settle(|answer, count| match answer.outcome() {
            Outcome::Nothing => {}
            Outcome::Success => answered = answered.saturating_add(count),
            Outcome::Error => {
                answered = answered.saturating_add(count);
                failed = failed.saturating_add(count);
            }
        });
        let (mut tries, mut failed_tries) = (0_u64, 0_u64);
        self.classes.settle(|class, count| {
            tries = tries.saturating_add(count);
            if class == 5 {
                failed_tries = failed_tries.saturating_add(count);
            }
        });
        let (caller, cluster) = (self.caller_latency.take(), self.cluster_latency.take());
        let (source, mut requests, mut errors, mut latency) = if self.answers.is_empty() {
            (Source::Cluster, tries, failed_tries, cluster)
        } else {
            (Source::Caller, answered, failed, caller)
        };
        if requests > 0 && self.source.replace(source).is_some_and(|before| before != source) {
            (requests, errors, latency) = (0, 0, None);
        }
        self.tell(ClusterDelta { source, requests, errors, latency, ejected: None, endpoints: None })
    }

    /// Adds the gauges, and drops what says nothing.
    fn tell(&mut self, mut delta: ClusterDelta) -> Option<ClusterDelta> {
        // Envoy sends the gauge of ejections from the first ejection on: before, none is ejected.
        let endpoints = self.endpoints.map(|gauge| gauge.value);
        let ejected = self.ejected.map(|gauge| gauge.value).or(endpoints.map(|_| 0));
        self.ejected = self.ejected.and_then(Gauge::aged);
        self.endpoints = self.endpoints.and_then(Gauge::aged);
        let gauges = (ejected, endpoints);
        let (known, news) = (gauges != (None, None), self.told != Some(gauges));
        let says_something = delta.requests > 0 || delta.latency.is_some() || ejected > Some(0) || (known && news);
        if !says_something {
            return None;
        }
        self.told = Some(gauges);
        (delta.ejected, delta.endpoints) = gauges;
        Some(delta)
    }
}

/// The counters of one cluster and source.
#[derive(Debug)]
struct Group<K> {
    counters: BTreeMap<K, Counter>,
}

#[derive(Debug, Default)]
struct Counter {
    /// As of the newest settled flush: 0 for one that has just appeared; `None` while its count is not known.
    last: Option<u64>,
    /// As of the open one.
    new: Option<u64>,
    /// How many flushes running it has not been in.
    absent: u16,
}

impl<K> Default for Group<K> {
    fn default() -> Self {
        Self { counters: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Group<K> {
    fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    fn note(&mut self, key: K, value: Option<u64>) {
        if self.counters.len() < COUNTER_LIMIT || self.counters.contains_key(&key) {
            let appears = || Counter { last: value.map(|_| 0), new: None, absent: 0 };
            let counter = self.counters.entry(key).or_insert_with(appears);
            counter.new = value.or(counter.new);
        }
    }

    fn falls(&self) -> bool {
        self.counters.values().any(|counter| counter.new.zip(counter.last).is_some_and(|(new, last)| new < last))
    }

    fn rebase(&mut self) {
        // What was known is of another time, or another process.
        self.counters.retain(|_, counter| counter.new.is_some() || counter.last.is_none());
        for counter in self.counters.values_mut() {
            counter.last = counter.new.take();
            counter.absent = 0;
        }
    }

    fn settle(&mut self, mut tell: impl FnMut(K, u64)) {
        self.counters.retain(|key, counter| {
            match counter.new.take() {
                Some(new) => {
                    if let Some(last) = counter.last.replace(new) {
                        tell(*key, new.checked_sub(last).unwrap_or(new));
                    }
                    counter.absent = 0;
                }
                None => counter.absent = counter.absent.saturating_add(1),
            }
            counter.absent < ABSENT_LIMIT
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
