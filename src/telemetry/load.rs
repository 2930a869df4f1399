//! One load report (LRS) as counts.
//!
//! PURE. A load report is a difference already, and says how long its time was; a report after an outage covers the
//! outage. It knows no durations and no ejections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::report::{ClusterDelta, NodeReport, Source};
use super::wire::{ClusterStats, Interval};

/// A report over a longer time than this is not believed.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The counts of a report that came `now`, where the one before it on the stream came at `before`. `None` when it is
/// not known when its time began: it does not say (or nothing credible), and there was none before.
pub(super) fn report(
    node: &Arc<str>,
    stats: &[ClusterStats],
    before: Option<Instant>,
    now: Instant,
) -> Option<NodeReport> {
    // Clusters that came later have shorter times; the longest is true of all.
    let longest = stats.iter().filter_map(|cluster| duration(cluster.load_report_interval?)).max();
    let since = match longest.filter(|longest| !longest.is_zero()) {
        Some(longest) if longest > LONGEST => return None,
        Some(longest) => now.checked_sub(longest)?,
        None => before?,
    };
    let mut clusters = BTreeMap::<Arc<str>, ClusterDelta>::new();
    for cluster in stats {
        let mut delta = ClusterDelta { source: Source::LoadReport, ..ClusterDelta::default() };
        for locality in &cluster.upstream_locality_stats {
            let ended = locality.total_successful_requests.saturating_add(locality.total_error_requests);
            delta.requests = delta.requests.saturating_add(ended);
            delta.errors = delta.errors.saturating_add(locality.total_error_requests);
        }
        // Their callers were refused because of this version, as if it had refused them itself.
        delta.requests = delta.requests.saturating_add(cluster.total_dropped_requests);
        delta.errors = delta.errors.saturating_add(cluster.total_dropped_requests);
        // A cluster that is there twice is a repetition, not more requests.
        if delta.requests > 0 {
            clusters.entry(cluster.cluster_name.as_str().into()).or_insert(delta);
        }
    }
    Some(NodeReport { node: Arc::clone(node), since, until: now, clusters })
}

fn duration(interval: Interval) -> Option<Duration> {
    let seconds = u64::try_from(interval.seconds).ok()?;
    let nanos = u32::try_from(interval.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::wire::{LoadStatsRequest, UpstreamLocalityStats};
    use super::*;

    fn stats(cluster: &str, localities: &[(u64, u64)], seconds: Option<f64>) -> ClusterStats {
        let interval = |s: f64| Interval { seconds: s.trunc() as i64, nanos: (s.fract() * 1e9) as i32 };
        ClusterStats {
            cluster_name: cluster.into(),
            upstream_locality_stats: localities
                .iter()
                .map(|(success, error)| UpstreamLocalityStats {
                    total_successful_requests: *success,
                    total_error_requests: *error,
                })
                .collect(),
            total_dropped_requests: 0,
            load_report_interval: seconds.map(interval),
        }
    }

    #[test]
    fn reports() {
        let now = Instant::now() + Duration::from_secs(3600);
        let ago = |seconds: f64| now - Duration::from_secs_f64(seconds);
        let (many, two) = ([(5, 1), (3, 2)], (11, 3));
        let refusing = |of: &[(u64, u64)]| ClusterStats { total_dropped_requests: 4, ..stats("a", of, Some(1.0)) };
        for (case, stats, before, since, expected) in [
            ("of two localities", vec![stats("a", &many, Some(1.0))], None, Some(ago(1.0)), vec![("a", two)]),
            ("the interval wins", vec![stats("a", &many, Some(9.5))], Some(ago(1.0)), Some(ago(9.5)), vec![("a", two)]),
            ("no interval", vec![stats("a", &many, None)], Some(ago(2.0)), Some(ago(2.0)), vec![("a", two)]),
            ("of unknown age", vec![stats("a", &many, None)], None, None, vec![]),
            ("an interval of nothing", vec![stats("a", &many, Some(0.0))], None, None, vec![]),
            ("a negative interval", vec![stats("a", &many, Some(-1.0))], None, None, vec![]),
            ("older than time", vec![stats("a", &many, Some(9e18))], Some(now), None, vec![]),
            ("dropped requests", vec![refusing(&many)], None, Some(ago(1.0)), vec![("a", (15, 7))]),
            ("nothing but dropped ones", vec![refusing(&[])], None, Some(ago(1.0)), vec![("a", (4, 4))]),
            ("without requests", vec![stats("a", &[], Some(1.0))], None, Some(ago(1.0)), vec![]),
            ("empty", vec![], Some(ago(1.0)), Some(ago(1.0)), vec![]),
            (
                "the longest interval counts",
                vec![stats("a", &[(1, 0)], Some(0.5)), stats("b", &[(0, 1)], Some(3.0))],
                None,
                Some(ago(3.0)),
                vec![("a", (1, 0)), ("b", (1, 1))],
            ),
            (
                "a cluster twice",
                vec![stats("a", &[(1, 0)], Some(1.0)), stats("a", &[(7, 7)], Some(1.0))],
                None,
                Some(ago(1.0)),
                vec![("a", (1, 0))],
            ),
            (
                "more than there can be",
                vec![stats("a", &[(u64::MAX, u64::MAX), (1, 1)], Some(1.0))],
                None,
                Some(ago(1.0)),
                vec![("a", (u64::MAX, u64::MAX))],
            ),
        ] {
            let report = report(&"edge-1".into(), &stats, before, now);
            assert_eq!(report.as_ref().map(|report| report.since), since, "{case}");
            let clusters = report.map(|report| report.clusters).unwrap_or_default();
            let counts: Vec<_> = clusters.iter().map(|(name, d)| (&**name, (d.requests, d.errors))).collect();
            assert_eq!(counts, expected, "{case}");
            assert!(clusters.values().all(|delta| delta.source == Source::LoadReport), "{case}");
        }
    }

    /// Two reports of a real Envoy 1.40 (only the node's bulk was cut off): one before any request ended, one after.
    /// It counts a gRPC answer without a `grpc-status` in its trailers as an error, as the access logger does not.
    #[test]
    fn what_a_real_envoy_sends() {
        let now = Instant::now() + Duration::from_secs(3600);
        let [idle, busy] = [1, 2].map(|n| {
            let path = format!("{}/tests/fixtures/telemetry/envoy-1.40-load-{n}.bin", env!("CARGO_MANIFEST_DIR"));
            let request: LoadStatsRequest = prost::Message::decode(&*std::fs::read(path).unwrap()).unwrap();
            let node: Arc<str> = request.node.unwrap().id.into();
            report(&node, &request.cluster_stats, None, now).unwrap()
        });
        assert_eq!((&*idle.node, &*busy.node), ("test-node", "test-node"));
        assert!(idle.clusters.is_empty());
        let counts: Vec<_> = busy.clusters.iter().map(|(name, d)| (&**name, d.requests, d.errors)).collect();
        assert_eq!(counts, [("checkout/v1~2", 11, 8), ("checkout/v1~3", 1, 1)]);
        // An interval of a second: a second of time, not more.
        assert_eq!((now - busy.since).as_secs(), 1);
    }
}
