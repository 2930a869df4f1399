//! One load report (LRS) as counts.
//!
//! PURE. A load report is a difference already, and says how long its time was; a report after an outage covers the
//! outage. It knows no durations, no ejections, and not whether a request was chosen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::report::{ClusterDelta, NodeReport, Outcomes, Source};
use super::wire::{self, ClusterStats, Interval};

/// A report over a longer time than this is not believed.
const LONGEST: Duration = Duration::from_secs(86_400);

/// One proxy's reports on one stream.
#[derive(Debug, Default)]
pub(super) struct Loads {
    /// When the last one came.
    before: Option<Instant>,
    /// The clusters at which something was under way.
    busy: BTreeSet<Arc<str>>,
}

impl Loads {
    /// The counts of a report that came `now`. `None` when it is not known when its time began: it does not say (or
    /// nothing credible), and there was none before.
    pub(super) fn counts(&mut self, node: &Arc<str>, stats: &[ClusterStats], now: Instant) -> Option<NodeReport> {
        let before = self.before.replace(now);
        // Clusters that came later have shorter times; the longest is true of all.
        let longest = stats.iter().filter_map(|cluster| duration(cluster.load_report_interval?)).max();
        let since = match longest.filter(|longest| !longest.is_zero()) {
            Some(longest) if longest > LONGEST => return None,
            Some(longest) => now.checked_sub(longest)?,
            None => before?,
        };
        Some(NodeReport { node: Arc::clone(node), since, until: now, clusters: self.clusters(stats) })
    }

    /// What a report that came `now` tells of what is under way, without its counts: of a proxy whose requests are
    /// counted otherwise. `None` when it tells nothing.
    pub(super) fn of_now(&mut self, node: &Arc<str>, stats: &[ClusterStats], now: Instant) -> Option<NodeReport> {
        self.before = Some(now);
        let mut clusters = self.clusters(stats);
        clusters.values_mut().for_each(|delta| {
            let (in_progress, endpoints_in_progress) = (delta.in_progress, delta.endpoints_in_progress.take());
            *delta =
                ClusterDelta { source: delta.source, in_progress, endpoints_in_progress, ..ClusterDelta::default() };
        });
        let report = NodeReport { node: Arc::clone(node), since: now, until: now, clusters };
        Some(report).filter(|report| !report.clusters.is_empty())
    }

    fn clusters(&mut self, stats: &[ClusterStats]) -> BTreeMap<Arc<str>, ClusterDelta> {
        let mut clusters = BTreeMap::<Arc<str>, ClusterDelta>::new();
        // Of what is not there any more, nothing is under way.
        for idle in std::mem::take(&mut self.busy) {
            clusters.insert(idle, delta(&ClusterStats::default()));
        }
        let mut seen = BTreeSet::new();
        for cluster in stats {
            let delta = delta(cluster);
            // A cluster that is there twice is a repetition, not more requests.
            if !seen.insert(cluster.cluster_name.as_str()) || (delta.requests == 0 && delta.in_progress == Some(0)) {
                continue;
            }
            let name: Arc<str> = cluster.cluster_name.as_str().into();
            if delta.in_progress > Some(0) {
                self.busy.insert(Arc::clone(&name));
            }
            clusters.insert(name, delta);
        }
        clusters
    }
}

fn delta(cluster: &ClusterStats) -> ClusterDelta {
    let (mut ended, mut in_progress, mut endpoints) = (Outcomes::default(), 0_u64, BTreeMap::new());
    for locality in &cluster.upstream_locality_stats {
        ended.add(locality.total_successful_requests, false);
        ended.add(locality.total_error_requests, true);
        in_progress = in_progress.saturating_add(locality.total_requests_in_progress);
        for endpoint in &locality.upstream_endpoint_stats {
            let Some(address) = endpoint.address.as_ref().and_then(address) else { continue };
            let known: &mut u64 = endpoints.entry(address).or_default();
            *known = known.saturating_add(endpoint.total_requests_in_progress);
        }
    }
    let tries = ended;
    // Their callers were refused because of this version, as if it had refused them itself.
    ended.add(cluster.total_dropped_requests, true);
    // Without endpoints, but with requests: it does not tell them apart.
    let is_told = !endpoints.is_empty() || in_progress == 0;
    ClusterDelta {
        source: Source::LoadReport,
        requests: ended.requests,
        errors: ended.errors,
        tries: Some(tries),
        in_progress: Some(in_progress),
        endpoints_in_progress: is_told.then_some(endpoints),
        ..ClusterDelta::default()
    }
}

fn address(of: &wire::Address) -> Option<SocketAddr> {
    let at = of.socket_address.as_ref()?;
    Some(SocketAddr::new(at.address.parse().ok()?, u16::try_from(at.port_value).ok()?))
}

fn duration(interval: Interval) -> Option<Duration> {
    let seconds = u64::try_from(interval.seconds).ok()?;
    let nanos = u32::try_from(interval.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::wire::{LoadStatsRequest, UpstreamEndpointStats, UpstreamLocalityStats};
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
                    ..UpstreamLocalityStats::default()
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
            let report = Loads { before, ..Loads::default() }.counts(&"edge-1".into(), &stats, now);
            assert_eq!(report.as_ref().map(|report| report.since), since, "{case}");
            let clusters = report.map(|report| report.clusters).unwrap_or_default();
            let counts: Vec<_> = clusters.iter().map(|(name, d)| (&**name, (d.requests, d.errors))).collect();
            assert_eq!(counts, expected, "{case}");
            assert!(clusters.values().all(|delta| delta.source == Source::LoadReport), "{case}");
        }
    }

    #[test]
    fn what_is_under_way_is_told_until_it_is_none() {
        let endpoint = |port: u32, total_requests_in_progress| UpstreamEndpointStats {
            address: Some(wire::Address {
                socket_address: Some(wire::SocketAddress { address: "10.0.0.1".into(), port_value: port }),
            }),
            total_requests_in_progress,
        };
        let busy = |all, endpoints| {
            let mut stats = stats("a", &[(3, 1)], Some(1.0));
            let locality = &mut stats.upstream_locality_stats[0];
            (locality.total_requests_in_progress, locality.upstream_endpoint_stats) = (all, endpoints);
            vec![stats]
        };
        let at = |port: u16| SocketAddr::from(([10, 0, 0, 1], port));
        let (mut loads, now) = (Loads::default(), Instant::now());
        // A port that is none is none.
        for (stats, expected) in [
            (
                busy(5, vec![endpoint(80, 4), endpoint(81, 1), endpoint(70_000, 9)]),
                Some((5, Some(vec![(at(80), 4), (at(81), 1)]))),
            ),
            (busy(2, vec![]), Some((2, None))),
            (vec![], Some((0, Some(vec![])))),
            (vec![], None),
        ] {
            let report = loads.of_now(&"edge-1".into(), &stats, now);
            let told = report.map(|report| {
                let delta = report.clusters["a"].clone();
                assert!(report.is_of_now() && delta.requests == 0 && delta.tries.is_none());
                (delta.in_progress.unwrap(), delta.endpoints_in_progress.map(|of| of.into_iter().collect::<Vec<_>>()))
            });
            assert_eq!(told, expected);
        }
        // Where its requests are counted, too, and as tries.
        let report = loads.counts(&"edge-1".into(), &busy(1, vec![]), now).unwrap();
        let delta = &report.clusters["a"];
        assert_eq!((delta.requests, delta.in_progress), (4, Some(1)));
        assert_eq!(delta.tries, Some(Outcomes { requests: 4, errors: 1 }));
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
            Loads::default().counts(&node, &request.cluster_stats, now).unwrap()
        });
        assert_eq!((&*idle.node, &*busy.node), ("test-node", "test-node"));
        let under_way: Vec<_> = idle.clusters.iter().map(|(name, d)| (&**name, d.requests, d.in_progress)).collect();
        assert_eq!(under_way, [("xds", 0, Some(2))]);
        let counts = busy.clusters.iter().map(|(name, d)| (&**name, d.requests, d.errors));
        let counts: Vec<_> = counts.filter(|(_, requests, _)| *requests > 0).collect();
        assert_eq!(counts, [("checkout/v1~2", 11, 8), ("checkout/v1~3", 1, 1)]);
        // An interval of a second: a second of time, not more.
        assert_eq!((now - busy.since).as_secs(), 1);
    }
}
