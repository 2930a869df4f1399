//! PURE: how each cluster did over the last seconds, for people. Nothing is decided from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Recent;
use crate::telemetry::{ClusterDelta, Histogram, NodeReport};

/// What "recent" means.
const SPAN: Duration = Duration::from_secs(10);

/// The reports of the last ten seconds, by cluster.
#[derive(Debug, Default)]
pub struct RecentTraffic {
    clusters: BTreeMap<Arc<str>, VecDeque<(Instant, ClusterDelta)>>,
    changed: BTreeSet<Arc<str>>,
}

impl RecentTraffic {
    /// Adds a report.
    pub fn add(&mut self, report: &NodeReport) {
        for (cluster, delta) in &report.clusters {
            if delta.requests > 0 {
                self.changed.insert(Arc::clone(cluster));
                self.clusters.entry(Arc::clone(cluster)).or_default().push_back((report.until, delta.clone()));
            }
        }
    }

    /// Forgets what is older than the span.
    pub fn expire(&mut self, now: Instant) {
        self.clusters.retain(|cluster, reports| {
            while reports.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > SPAN) {
                reports.pop_front();
                self.changed.insert(Arc::clone(cluster));
            }
            !reports.is_empty()
        });
    }

    /// The clusters of which [`of`](Self::of) may say something else than when this was last asked.
    pub fn take_changed(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.changed)
    }

    /// How a cluster did.
    pub fn of(&self, cluster: &str) -> Recent {
        let Some(reports) = self.clusters.get(cluster) else { return Recent::default() };
        let sum =
            |of: fn(&ClusterDelta) -> u64| reports.iter().map(|(_, delta)| of(delta)).fold(0, u64::saturating_add);
        let (requests, errors) = (sum(|delta| delta.requests), sum(|delta| delta.errors));
        let error_rate = if requests == 0 { 0.0 } else { errors as f64 / requests as f64 };
        let p99 = percentile(reports.iter().filter_map(|(_, delta)| delta.latency.as_ref()), 0.99);
        Recent { requests_per_second: requests as f64 / SPAN.as_secs_f64(), error_rate, p99 }
    }
}

/// The upper bound of the bucket in which the quantile lies; of several histograms those with the first one's buckets.
fn percentile<'a>(histograms: impl Iterator<Item = &'a Histogram>, quantile: f64) -> Option<Duration> {
    let mut sum: Option<Histogram> = None;
    for histogram in histograms {
        match &mut sum {
            None => sum = Some(histogram.clone()),
            Some(sum) if sum.bounds == histogram.bounds => {
                for (count, more) in sum.counts.iter_mut().zip(&histogram.counts) {
                    *count = count.saturating_add(*more);
                }
            }
            Some(_) => {}
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

    fn report(until: Instant, requests: u64, errors: u64, counts: [u64; 3]) -> NodeReport {
        let latency = Some(Histogram { bounds: vec![1.0, 10.0, f64::INFINITY], counts: counts.to_vec() });
        let delta = ClusterDelta { requests, errors, latency, ..ClusterDelta::default() };
        NodeReport { node: "edge-1".into(), since: until, until, clusters: [("a/v1".into(), delta)].into() }
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
                recent.add(&NodeReport { node, since: until, until, clusters });
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
