//! What is known of one cluster at one proxy. PURE.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::group::Group;
use super::names::Names;
use crate::model::{Cause, Failures};
use crate::telemetry::report::{ClusterDelta, Histogram, Outcomes, Source};
use crate::telemetry::sample::{Answer, Connection, Outcome, Value};

/// The most routes whose durations are kept of one flush.
const ROUTE_LIMIT: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub(super) answers: Group<Answer<Arc<str>>>,
    classes: Group<u8>,
    connections: Group<Connection>,
    /// Connections that failed and were not told as failed yet, for want of any that were begun: they are begun in one
    /// flush, and fail in another.
    failures_owed: u64,
    /// By route, in the order of their names.
    caller_latency: Vec<(Option<Arc<str>>, Histogram)>,
    cluster_latency: Option<Histogram>,
    gauges: Gauges<Option<Gauge>>,
    /// The gauges as last reported.
    told: Option<Gauges<Option<u64>>>,
    /// The source of the last requests that were reported.
    source: Option<Source>,
}

/// What ended between two flushes.
#[derive(Debug, Default)]
struct Ended {
    requests: u64,
    failures: Failures,
    /// By named route.
    routes: BTreeMap<Arc<str>, Outcomes>,
}

impl Ended {
    fn add(&mut self, count: u64, cause: Option<Cause>) {
        self.requests = self.requests.saturating_add(count);
        if let Some(cause) = cause {
            self.failures.add(cause, count);
        }
    }

    fn outcomes(&self) -> Outcomes {
        Outcomes { requests: self.requests, errors: self.failures.total() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Gauges<T> {
    ejected: T,
    endpoints: T,
    healthy: T,
    active: T,
}

impl<T> Gauges<T> {
    fn map<U>(self, mut f: impl FnMut(T) -> U) -> Gauges<U> {
        Gauges {
            ejected: f(self.ejected),
            endpoints: f(self.endpoints),
            healthy: f(self.healthy),
            active: f(self.active),
        }
    }
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

    fn new(value: u64) -> Option<Self> {
        Some(Self { value, absent: 0 })
    }

    fn aged(self) -> Option<Self> {
        Some(Self { absent: self.absent + 1, ..self }).filter(|gauge| gauge.absent < Self::ABSENT_LIMIT)
    }
}

impl Cluster {
    /// Takes in a value. Histograms count only while a flush is open that is reported.
    pub(super) fn note(&mut self, value: Value<'_>, is_timed: bool, names: &mut Names) {
        match value {
            Value::Answers(answer, value) => {
                let key = || {
                    let (route, flags) = (answer.route.map(|name| names.get(name)), answer.flags);
                    Answer { route, code: answer.code, grpc: answer.grpc, flags: flags.map(|name| names.get(name)) }
                };
                self.answers.note(|known| known.borrowed().cmp(&answer), key, value);
            }
            Value::Class(class, value) => self.classes.note(|known| known.cmp(&class), || class, value),
            Value::Connections(what, value) => self.connections.note(|known| known.cmp(&what), || what, value),
            Value::Ejected(value) => self.gauges.ejected = Gauge::new(value),
            Value::Endpoints(value) => self.gauges.endpoints = Gauge::new(value),
            Value::Healthy(value) => self.gauges.healthy = Gauge::new(value),
            Value::Active(value) => self.gauges.active = Gauge::new(value),
            Value::CallerLatency(route, latency) if is_timed => self.note_latency(route, latency, names),
            // Where answers are known, their durations are what is told.
            Value::ClusterLatency(latency) if is_timed && self.answers.is_empty() => {
                self.cluster_latency.get_or_insert(latency);
            }
            Value::CallerLatency(..) | Value::ClusterLatency(_) => {}
        }
    }

    /// The first one stands: a second in the same flush is a repetition.
    fn note_latency(&mut self, route: Option<&str>, latency: Histogram, names: &mut Names) {
        let known = self.caller_latency.binary_search_by(|(known, _)| known.as_deref().cmp(&route));
        if let Err(at) = known
            && self.caller_latency.len() < ROUTE_LIMIT
        {
            self.caller_latency.insert(at, (route.map(|name| names.get(name)), latency));
        }
    }

    pub(super) fn falls(&self) -> bool {
        self.answers.falls() || self.classes.falls() || self.connections.falls()
    }

    pub(super) fn is_gone(&self) -> bool {
        let Gauges { ejected, endpoints, healthy, active } = self.gauges;
        let has_gauges = [ejected, endpoints, healthy, active].iter().any(Option::is_some);
        self.answers.is_empty() && self.classes.is_empty() && self.connections.is_empty() && !has_gauges
    }

    /// The counters as they are now are where counting begins.
    pub(super) fn rebase(&mut self) {
        self.answers.rebase();
        self.classes.rebase();
        self.connections.rebase();
        self.failures_owed = 0;
        self.caller_latency.clear();
        self.cluster_latency = None;
        self.told = None;
    }

    /// All gauges are news.
    pub(super) fn tell_again(&mut self) {
        self.told = None;
    }

    /// The differences since the flush before, if there are any, and whether something else is told of its endpoints.
    pub(super) fn settle(&mut self) -> Option<(ClusterDelta, bool)> {
        let (shared, chosen) = self.settle_answers();
        let mut tries = Ended::default();
        self.classes.settle(|class, count| tries.add(count, (*class == 5).then_some(Cause::Answer)));
        let connections = self.settle_connections();
        let (caller, cluster) = (std::mem::take(&mut self.caller_latency), self.cluster_latency.take());
        let is_bytes = self.classes.is_empty() && connections.is_some();
        let of_tries = if self.classes.is_empty() { connections.as_ref() } else { Some(&tries) };
        let of_tries = of_tries.map(Ended::outcomes);
        let (source, mut ended, mut latency) = match (self.answers.is_empty(), connections) {
            (false, _) => (Source::Caller, shared, caller.into_iter().map(|(_, latency)| latency).reduce(sum)),
            (true, Some(connections)) if is_bytes => (Source::Connections, connections, None),
            (true, _) => (Source::Cluster, tries, cluster),
        };
        if ended.requests > 0 && self.source.replace(source).is_some_and(|before| before != source) {
            (ended, latency) = (Ended::default(), None);
        }
        let Outcomes { requests, errors } = ended.outcomes();
        let Ended { failures, routes, .. } = ended;
        let delta = ClusterDelta { source, requests, errors, failures, routes, latency, ..ClusterDelta::default() };
        self.tell(ClusterDelta { chosen, tries: of_tries, ..delta })
    }

    /// The answers since the flush before: those that nobody has chosen, and those that somebody has.
    fn settle_answers(&mut self) -> (Ended, Outcomes) {
        let (mut shared, mut chosen) = (Ended::default(), Outcomes::default());
        self.answers.settle(|answer, count| {
            let cause = match answer.outcome() {
                Outcome::Nothing => return,
                Outcome::Success => None,
                Outcome::Failure(cause) => Some(cause),
            };
            if answer.is_chosen() {
                return chosen.add(count, cause.is_some());
            }
            shared.add(count, cause);
            if let Some(name) = answer.named_route().filter(|_| count > 0) {
                shared.routes.entry(name.into()).or_default().add(count, cause.is_some());
            }
        });
        (shared, chosen)
    }

    /// The connections since the flush before, if there are any that are not HTTP.
    fn settle_connections(&mut self) -> Option<Ended> {
        let (mut begun, mut failed, mut refused) = (0_u64, self.failures_owed, 0_u64);
        self.connections.settle(|what, count| match what {
            Connection::Begun => begun = begun.saturating_add(count),
            Connection::Failed => failed = failed.saturating_add(count),
            Connection::Refused => refused = refused.saturating_add(count),
            Connection::Http(_) => {}
        });
        self.failures_owed = failed.saturating_sub(begun);
        let failed = failed.min(begun);
        let mut ended = Ended::default();
        ended.add(begun - failed, None);
        ended.add(failed, Some(Cause::Connect));
        ended.add(refused, Some(Cause::NoEndpoint));
        let is_http = self.connections.keys().any(|what| matches!(what, Connection::Http(_)));
        let of_bytes = !is_http && !self.connections.is_empty();
        of_bytes.then_some(ended)
    }

    /// Adds the gauges, and drops what says nothing.
    fn tell(&mut self, mut delta: ClusterDelta) -> Option<(ClusterDelta, bool)> {
        let mut gauges = self.gauges.map(|gauge| gauge.map(|gauge| gauge.value));
        // Envoy sends the gauge of ejections from the first ejection on: before, none is ejected.
        gauges.ejected = gauges.ejected.or(gauges.endpoints.map(|_| 0));
        self.gauges = self.gauges.map(|gauge| gauge.and_then(Gauge::aged));
        let (known, news) = (gauges != Gauges::default(), self.told != Some(gauges));
        let has_counts = [delta.requests, delta.chosen.requests, delta.tries.map_or(0, |tries| tries.requests)];
        let says_something = has_counts.iter().any(|count| *count > 0)
            || delta.latency.is_some()
            || gauges.ejected > Some(0)
            || gauges.active > Some(0)
            || (known && news);
        if !says_something {
            return None;
        }
        let told = self.told.replace(gauges).unwrap_or_default();
        let of_endpoints = |of: Gauges<Option<u64>>| (of.ejected, of.endpoints, of.healthy);
        let has_news = of_endpoints(told) != of_endpoints(gauges);
        (delta.ejected, delta.endpoints) = (gauges.ejected, gauges.endpoints);
        (delta.healthy, delta.in_progress) = (gauges.healthy, gauges.active);
        Some((delta, has_news))
    }
}

/// Two histograms of one proxy as one. Their bounds are the same, by its configuration, but that an infinite one may be
/// missing where nothing was above all others; of others, the second is left out.
fn sum(mut of: Histogram, other: Histogram) -> Histogram {
    let shorter = of.bounds.len().min(other.bounds.len());
    let fits = |of: &Histogram| matches!(of.bounds[shorter..], [] | [f64::INFINITY]);
    if of.bounds[..shorter] != other.bounds[..shorter] || !fits(&of) || !fits(&other) {
        return of;
    }
    of.bounds.extend_from_slice(&other.bounds[shorter..]);
    of.counts.resize(of.bounds.len(), 0);
    for (count, more) in of.counts.iter_mut().zip(other.counts) {
        *count = count.saturating_add(more);
    }
    of
}
