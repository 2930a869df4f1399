//! PURE: how each cluster did over the last seconds, for people. Nothing is decided from it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Recent;
use crate::telemetry::{self, Histogram, NodeReport, Outcomes};

/// What "recent" means.
const SPAN: Duration = Duration::from_secs(10);
/// Reports of this time are kept as one sum: what is kept grows with the clusters, not with the proxies.
const PART: Duration = Duration::from_secs(1);

/// The counts of the last ten seconds, by cluster.
#[derive(Debug, Default)]
pub struct RecentTraffic {
    clusters: HashMap<Arc<str>, Traffic>,
    changed: BTreeSet<Arc<str>>,
}

#[derive(Debug, Default)]
struct Traffic {
    parts: VecDeque<Sum>,
    /// Whether it is among the changed ones.
    is_changed: bool,
}

/// All reports of a part.
#[derive(Debug)]
struct Sum {
    /// When the first came.
    begun: Instant,
    requests: u64,
    errors: u64,
    latency: Option<Histogram>,
}

impl Traffic {
    fn add(&mut self, until: Instant, Outcomes { requests, errors }: Outcomes, latency: Option<&Histogram>) {
        let present = self.parts.back_mut().filter(|sum| until.saturating_duration_since(sum.begun) < PART);
        let Some(sum) = present else {
            return self.parts.push_back(Sum { begun: until, requests, errors, latency: latency.cloned() });
        };
        sum.requests = sum.requests.saturating_add(requests);
        sum.errors = sum.errors.saturating_add(errors);
        match (&mut sum.latency, latency) {
            (Some(sum), Some(more)) => merge(sum, more),
            (none, more) => *none = none.take().or_else(|| more.cloned()),
        }
    }
}

impl RecentTraffic {
    /// Adds a report.
    pub fn add(&mut self, report: &NodeReport) {
        for (cluster, delta) in report.clusters.iter().filter(|(_, delta)| delta.requests > 0) {
            let outcomes = Outcomes { requests: delta.requests, errors: delta.errors };
            self.add_to(cluster, report.until, outcomes, delta.latency.as_ref());
        }
    }

    /// Adds what all proxies together have told of a cluster, up to `now`.
    pub fn add_sum(&mut self, cluster: &Arc<str>, sum: &telemetry::Traffic, now: Instant) {
        self.add_to(cluster, now, sum.outcomes, sum.latency.as_ref());
    }

    fn add_to(&mut self, cluster: &Arc<str>, until: Instant, outcomes: Outcomes, latency: Option<&Histogram>) {
        let traffic = match self.clusters.get_mut(cluster) {
            Some(known) => known,
            None => self.clusters.entry(Arc::clone(cluster)).or_default(),
        };
        traffic.add(until, outcomes, latency);
        if !std::mem::replace(&mut traffic.is_changed, true) {
            self.changed.insert(Arc::clone(cluster));
        }
    }

    /// Forgets what is older than the span.
    pub fn expire(&mut self, now: Instant) {
        self.clusters.retain(|cluster, traffic| {
            while traffic.parts.front().is_some_and(|sum| now.saturating_duration_since(sum.begun) > SPAN) {
                traffic.parts.pop_front();
                self.changed.insert(Arc::clone(cluster));
            }
            !traffic.parts.is_empty()
        });
    }

    /// The clusters of which [`of`](Self::of) may say something else than when this was last asked.
    pub fn take_changed(&mut self) -> BTreeSet<Arc<str>> {
        self.clusters.values_mut().for_each(|traffic| traffic.is_changed = false);
        std::mem::take(&mut self.changed)
    }

    /// How a cluster did.
    pub fn of(&self, cluster: &str) -> Recent {
        let Some(Traffic { parts, .. }) = self.clusters.get(cluster) else { return Recent::default() };
        let sum = |of: fn(&Sum) -> u64| parts.iter().map(of).fold(0, u64::saturating_add);
        let (requests, errors) = (sum(|part| part.requests), sum(|part| part.errors));
        let error_rate = if requests == 0 { 0.0 } else { errors as f64 / requests as f64 };
        let p99 = percentile(parts.iter().filter_map(|part| part.latency.as_ref()), 0.99);
        Recent { requests_per_second: requests as f64 / SPAN.as_secs_f64(), error_rate, p99 }
    }
}

/// Adds one with the same buckets; of one with others, nothing can be added.
fn merge(sum: &mut Histogram, more: &Histogram) {
    if sum.bounds == more.bounds {
        sum.counts.iter_mut().zip(&more.counts).for_each(|(sum, more)| *sum = sum.saturating_add(*more));
    }
}

/// The upper bound of the bucket in which the quantile lies; of several histograms those with the first one's buckets.
fn percentile<'a>(histograms: impl Iterator<Item = &'a Histogram>, quantile: f64) -> Option<Duration> {
    let mut sum: Option<Histogram> = None;
    for histogram in histograms {
        match &mut sum {
            None => sum = Some(histogram.clone()),
            Some(sum) => merge(sum, histogram),
        }
    }
    let sum = sum?;
    // Counts and bounds are what a proxy says, whatever that is.
    let total = sum.counts.iter().copied().fold(0, u64::saturating_add);
    let wanted = (total as f64 * quantile).ceil() as u64;
    let mut seen = 0_u64;
    let reached = sum.counts.iter().position(|count| {
        seen = seen.saturating_add(*count);
        seen >= wanted
    })?;
    let finite = sum.bounds.iter().take(reached + 1).rev().find(|bound| bound.is_finite())?;
    Duration::try_from_secs_f64(finite.max(0.0) / 1000.0).ok().filter(|_| total > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::ClusterDelta;

    fn report(until: Instant, requests: u64, errors: u64, counts: [u64; 3]) -> NodeReport {
        let latency = Some(Histogram { bounds: vec![1.0, 10.0, f64::INFINITY], counts: counts.to_vec() });
        let delta = ClusterDelta { requests, errors, latency, ..ClusterDelta::default() };
        NodeReport {
            node: "edge-1".into(),
            since: until,
            until,
            clusters: [("a/v1".into(), delta)].into(),
            partial: false,
            others: Default::default(),
        }
    }

    #[test]
    fn rates_and_the_99th_percentile_over_ten_seconds() {
        let start = Instant::now();
        let mut recent = RecentTraffic::default();
        recent.add(&report(start, 50, 50, [50, 0, 0]));
        recent.add(&report(start + Duration::from_secs(9), 100, 5, [90, 10, 0]));
        recent.expire(start + Duration::from_secs(11));
        let seen = recent.of("a/v1");
        assert_eq!((seen.requests_per_second, seen.error_rate), (10.0, 0.05));
        assert_eq!(seen.p99, Some(Duration::from_millis(10)));
        assert_eq!(recent.of("a/v2"), Recent::default());
        let outcomes = Outcomes { requests: 30, errors: 3 };
        recent.add_sum(&"a/v2".into(), &telemetry::Traffic { outcomes, latency: None }, start);
        assert_eq!((recent.of("a/v2").requests_per_second, recent.of("a/v2").error_rate), (3.0, 0.1));
    }

    #[test]
    fn what_no_proxy_could_have_counted_is_no_panic() {
        let histogram = |bound: f64, count: u64| Histogram { bounds: vec![bound], counts: vec![count] };
        for (bound, p99) in [(1e300, None), (5.0, Some(Duration::from_millis(5)))] {
            let mut recent = RecentTraffic::default();
            let latency = Some(histogram(bound, u64::MAX));
            let delta = ClusterDelta { requests: u64::MAX, errors: u64::MAX, latency, ..ClusterDelta::default() };
            for _ in 0..2 {
                let (node, until) = ("edge-1".into(), Instant::now());
                let clusters = [("a/v1".into(), delta.clone())].into();
                recent.add(&NodeReport {
                    node,
                    since: until,
                    until,
                    clusters,
                    partial: false,
                    others: Default::default(),
                });
            }
            let seen = recent.of("a/v1");
            assert_eq!((seen.error_rate, seen.p99), (1.0, p99), "{bound}");
        }
    }

    #[test]
    fn an_infinite_bucket_is_shown_by_the_last_finite_bound() {
        let mut recent = RecentTraffic::default();
        recent.add(&report(Instant::now(), 10, 0, [0, 0, 10]));
        assert_eq!(recent.of("a/v1").p99, Some(Duration::from_millis(10)));
    }
}
