//! Which of Envoy's statistics are used, and what they say.
//!
//! PURE. The names are those that Envoy 1.40 sends with `emit_tags_as_labels`; `tests/fixtures/telemetry` has some of
//! its messages.
//!
//! | Statistic | Labels | Is |
//! |---|---|---|
//! | `rollout.rq` | `cluster`, `code`, `grpc`, `route`, `flags` | a counter of the stats access logger: answers, as the caller saw them |
//! | `rollout.dur` | `cluster`, `route` | its histogram of durations, in milliseconds |
//! | `cluster.upstream_rq_xx` | `envoy.cluster_name`, `envoy.response_code_class` | a counter: tries by class of answer |
//! | `cluster.upstream_rq_time` | `envoy.cluster_name` | a histogram of their durations, in milliseconds |
//! | `cluster.upstream_rq_active` | `envoy.cluster_name` | a gauge: requests, or connections of TCP, that are under way |
//! | `cluster.upstream_cx_total` | `envoy.cluster_name` | a counter: connections that were begun |
//! | `cluster.upstream_cx_http1_total`, `…_http2_total` | `envoy.cluster_name` | counters: those that are HTTP |
//! | `cluster.upstream_cx_connect_fail` | `envoy.cluster_name` | a counter: those that failed, also by a timeout |
//! | `cluster.upstream_cx_none_healthy` | `envoy.cluster_name` | a counter: those that no endpoint was there for |
//! | `cluster.membership_total` | `envoy.cluster_name` | a gauge: endpoints that exist |
//! | `cluster.membership_healthy` | `envoy.cluster_name` | a gauge: endpoints that get requests |
//! | `cluster.outlier_detection.ejections_active` | `envoy.cluster_name` | a gauge: endpoints that are out of rotation |

mod answer;

pub(super) use self::answer::{Answer, Outcome};
use super::report::Histogram;
use super::wire::metrics::taken;
use super::wire::{HistogramValue, Malformed, Metric, MetricsReport};

/// The longest cluster name that is taken in, in bytes.
const NAME_LIMIT: usize = 512;
/// The most buckets that a histogram may have.
const BUCKET_LIMIT: usize = 256;
/// The largest count that a float holds exactly.
const COUNT_LIMIT: f64 = 9_007_199_254_740_992.0;

/// What is used of a message: of a flush of the proxy's statistics, or of a part of one.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reading<'a> {
    /// When the proxy took it, in milliseconds by its own clock; `None` when it does not say.
    pub(super) taken: Option<i64>,
    pub(super) samples: Vec<Sample<'a>>,
}

/// One statistic of one cluster.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) cluster: &'a str,
    pub(super) value: Value<'a>,
}

/// What it says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    /// How many requests the caller got this answer to, ever; `None` when that is no count.
    Answers(Answer<&'a str>, Option<u64>),
    /// The durations of the flush interval on a route, as the caller saw them, of requests that nobody has chosen.
    CallerLatency(Option<&'a str>, Histogram),
    /// How many tries ended with this class of status (2 for 2xx, …), ever; `None` when that is no count.
    Class(u8, Option<u64>),
    /// The durations of the tries of the flush interval.
    ClusterLatency(Histogram),
    /// How many connections, ever; `None` when that is no count.
    Connections(Connection, Option<u64>),
    /// Endpoints that are out of rotation.
    Ejected(u64),
    /// Endpoints that exist.
    Endpoints(u64),
    /// Endpoints that get requests.
    Healthy(u64),
    /// Requests that are under way.
    Active(u64),
}

/// What of connections is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Connection {
    /// They were begun.
    Begun,
    /// They were begun, and failed.
    Failed,
    /// There was no endpoint to begin them to.
    Refused,
    /// They were begun to speak this HTTP.
    Http(u8),
}

impl<'a> Reading<'a> {
    /// What a message of a metrics stream says.
    ///
    /// # Errors
    /// When what is used of it, or when it was taken, cannot be decoded.
    pub(super) fn of(report: &MetricsReport<'a>) -> Result<Self, Malformed> {
        let (mut reading, mut metric) = (Self::default(), Metric::default());
        for family in report.families() {
            let family = family?;
            let read = reader(family.name);
            for message in family.metrics() {
                // Most of what an Envoy without a filter sends is nothing that anybody looks at.
                if let Some(read) = read {
                    metric.read(message?)?;
                    reading.time(metric.timestamp_ms);
                    reading.samples.extend(read(&metric));
                } else if reading.taken.is_none() {
                    reading.time(taken(message?)?);
                }
            }
        }
        Ok(reading)
    }

    /// Adds what a metric of this name says. One that is not used, or not readable, is left out.
    pub(super) fn add(&mut self, name: &str, metric: &Metric<'a>) {
        self.samples.extend(reader(name).and_then(|read| read(metric)));
    }

    /// The first time that is told is that of all.
    fn time(&mut self, timestamp_ms: i64) {
        self.taken = self.taken.or(Some(timestamp_ms).filter(|at| *at > 0));
    }
}

type Reader = for<'a> fn(&Metric<'a>) -> Option<Sample<'a>>;

fn reader(name: &str) -> Option<Reader> {
    match name {
        "rollout.rq" => Some(|metric| {
            let code = label(metric, "code")?.parse().ok()?;
            let grpc = label(metric, "grpc").and_then(|status| status.parse().ok());
            let flags = label(metric, "flags");
            if flags.is_some_and(|flags| flags.len() > NAME_LIMIT) {
                return None;
            }
            let answer = Answer { route: route(metric)?, code, grpc, flags };
            sample(metric, "cluster", Value::Answers(answer, counter(metric)?))
        }),
        "rollout.dur" => Some(|metric| {
            let latency = Value::CallerLatency(route(metric)?, histogram(metric)?);
            sample(metric, "cluster", latency).filter(|_| !answer::is_chosen(label(metric, "route")))
        }),
        "cluster.upstream_rq_xx" => Some(|metric| {
            let class = label(metric, "envoy.response_code_class")?.parse().ok()?;
            // An 1xx is not the end of a request.
            let ends = (2..=5).contains(&class);
            of_cluster(metric, Value::Class(class, counter(metric)?)).filter(|_| ends)
        }),
        "cluster.upstream_rq_time" => Some(|metric| of_cluster(metric, Value::ClusterLatency(histogram(metric)?))),
        "cluster.upstream_cx_total" => Some(|metric| connections(metric, Connection::Begun)),
        "cluster.upstream_cx_connect_fail" => Some(|metric| connections(metric, Connection::Failed)),
        "cluster.upstream_cx_none_healthy" => Some(|metric| connections(metric, Connection::Refused)),
        "cluster.upstream_cx_http1_total" => Some(|metric| connections(metric, Connection::Http(1))),
        "cluster.upstream_cx_http2_total" => Some(|metric| connections(metric, Connection::Http(2))),
        "cluster.outlier_detection.ejections_active" => {
            Some(|metric| of_cluster(metric, Value::Ejected(gauge(metric)?)))
        }
        "cluster.membership_total" => Some(|metric| of_cluster(metric, Value::Endpoints(gauge(metric)?))),
        "cluster.membership_healthy" => Some(|metric| of_cluster(metric, Value::Healthy(gauge(metric)?))),
        "cluster.upstream_rq_active" => Some(|metric| of_cluster(metric, Value::Active(gauge(metric)?))),
        _ => None,
    }
}

fn connections<'a>(metric: &Metric<'a>, what: Connection) -> Option<Sample<'a>> {
    of_cluster(metric, Value::Connections(what, counter(metric)?))
}

fn of_cluster<'a>(metric: &Metric<'a>, value: Value<'a>) -> Option<Sample<'a>> {
    sample(metric, "envoy.cluster_name", value)
}

fn sample<'a>(metric: &Metric<'a>, cluster_label: &str, value: Value<'a>) -> Option<Sample<'a>> {
    // A request that no cluster was chosen for has an empty one, or a dash.
    let cluster = label(metric, cluster_label).filter(|name| !matches!(*name, "" | "-") && name.len() <= NAME_LIMIT)?;
    Some(Sample { cluster, value })
}

/// The name of its route, if it tells one; the outer `None` is a name that is none.
fn route<'a>(metric: &Metric<'a>) -> Option<Option<&'a str>> {
    let route = label(metric, "route");
    route.is_none_or(|name| name.len() <= NAME_LIMIT).then_some(route)
}

fn label<'a>(metric: &Metric<'a>, name: &str) -> Option<&'a str> {
    metric.labels.iter().find(|label| label.0 == name).map(|label| label.1)
}

/// The outer `None` is no counter at all. One without a count is told apart: it exists, so it does not count from 0.
fn counter(metric: &Metric<'_>) -> Option<Option<u64>> {
    metric.counter.map(count)
}

fn gauge(metric: &Metric<'_>) -> Option<u64> {
    metric.gauge.and_then(count)
}

fn count(value: f64) -> Option<u64> {
    (0.0..=COUNT_LIMIT).contains(&value).then_some(value as u64)
}

fn histogram(metric: &Metric<'_>) -> Option<Histogram> {
    metric.histogram.as_ref().and_then(differences)
}

/// From cumulative buckets to one count each. `None` when it is empty, or no histogram.
fn differences(value: &HistogramValue) -> Option<Histogram> {
    if value.sample_count == 0 || value.buckets.len() > BUCKET_LIMIT {
        return None;
    }
    // One more is for what is above all bounds.
    let room = value.buckets.len() + 1;
    let mut histogram = Histogram { bounds: Vec::with_capacity(room), counts: Vec::with_capacity(room) };
    let (mut below, mut bound) = (0, f64::NEG_INFINITY);
    for bucket in &value.buckets {
        if bucket.upper_bound.is_nan() || bucket.upper_bound <= bound {
            return None;
        }
        histogram.counts.push(bucket.cumulative_count.checked_sub(below)?);
        histogram.bounds.push(bucket.upper_bound);
        (below, bound) = (bucket.cumulative_count, bucket.upper_bound);
    }
    let above = value.sample_count.checked_sub(below)?;
    if above > 0 {
        if bound == f64::INFINITY {
            return None;
        }
        histogram.bounds.push(f64::INFINITY);
        histogram.counts.push(above);
    }
    Some(histogram)
}

#[cfg(test)]
mod tests;
