use prost::Message as _;

use super::super::wire::LoadReport;
use super::super::wire::load::reference::{
    self as wire, ClusterStats, LoadStatsRequest, UpstreamEndpointStats, UpstreamLocalityStats,
};
use super::*;

/// What a report with these clusters is told as.
fn counts(loads: &mut Loads, stats: &[ClusterStats], now: Instant) -> Option<NodeReport> {
    let bytes = LoadStatsRequest { node: None, cluster_stats: stats.to_vec() }.encode_to_vec();
    loads.counts(&"edge-1".into(), &LoadReport::read(&bytes).unwrap().clusters, now).unwrap()
}

fn partial(loads: &mut Loads, stats: &[ClusterStats], now: Instant) -> Option<NodeReport> {
    let bytes = LoadStatsRequest { node: None, cluster_stats: stats.to_vec() }.encode_to_vec();
    loads.partial(&"edge-1".into(), &LoadReport::read(&bytes).unwrap().clusters, now).unwrap()
}

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
        let report = counts(&mut Loads { before, ..Loads::default() }, &stats, now);
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
        ..UpstreamEndpointStats::default()
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
        let report = partial(&mut loads, &stats, now);
        let told = report.map(|report| {
            let delta = report.clusters["a"].clone();
            assert!(report.is_of_now() && delta.requests == 0 && delta.tries.is_none());
            (delta.in_progress.unwrap(), delta.endpoints_in_progress.map(|of| of.into_iter().collect::<Vec<_>>()))
        });
        assert_eq!(told, expected);
    }
    // Where its requests are counted, too, and as tries.
    let report = counts(&mut loads, &busy(1, vec![]), now).unwrap();
    let delta = &report.clusters["a"];
    assert_eq!((delta.requests, delta.in_progress), (4, Some(1)));
    assert_eq!(delta.tries, Some(Outcomes { requests: 4, errors: 1 }));
}

#[test]
fn errors_are_answers_and_what_was_dropped_overflowed() {
    let stats = ClusterStats { total_dropped_requests: 4, ..stats("a", &[(5, 1), (0, 2)], Some(1.0)) };
    let report = counts(&mut Loads::default(), &[stats], Instant::now()).unwrap();
    let delta = &report.clusters["a"];
    assert_eq!(delta.failures.iter().collect::<Vec<_>>(), [(Cause::Answer, 3), (Cause::Overflow, 4)]);
    assert_eq!(delta.failures.total(), delta.errors);
}

fn by_endpoint(counts: &[(&str, u32, u64, u64)]) -> ClusterStats {
    let of = |(address, port, good, bad): &(&str, u32, u64, u64)| UpstreamEndpointStats {
        address: Some(wire::Address {
            socket_address: Some(wire::SocketAddress { address: (*address).into(), port_value: *port }),
        }),
        total_successful_requests: *good,
        total_error_requests: *bad,
        ..UpstreamEndpointStats::default()
    };
    let mut stats = stats("a", &[(20, 10)], Some(2.0));
    stats.upstream_locality_stats[0].upstream_endpoint_stats = counts.iter().map(of).collect();
    stats
}

#[test]
fn tries_by_endpoint_are_told_of_all_proxies() {
    let now = Instant::now() + Duration::from_secs(3600);
    let all = [("10.0.0.1", 80, 15, 1), ("::1", 81, 5, 9), ("10.0.0.3", 80, 0, 0), ("a.name", 80, 1, 1)];
    let stats = [by_endpoint(&all)];
    let expected = [("10.0.0.1:80", 16, 1), ("[::1]:81", 14, 9)]
        .map(|(at, requests, errors)| (at.parse().unwrap(), Outcomes { requests, errors }));
    let counted = counts(&mut Loads::default(), &stats, now).unwrap();
    assert_eq!(counted.clusters["a"].endpoint_tries, expected.into());
    assert_eq!(counted.clusters["a"].requests, 30);
    // Of a proxy whose requests are counted otherwise: over the time that they are of.
    let told = partial(&mut Loads::default(), &stats, now).unwrap();
    let delta = &told.clusters["a"];
    assert_eq!((told.since, told.until, told.partial), (now - Duration::from_secs(2), now, true));
    assert_eq!((delta.requests, delta.errors, delta.failures.total(), delta.tries), (0, 0, 0, None));
    assert_eq!(delta.endpoint_tries, expected.into());
    // Of a time that began nobody knows when: nothing.
    let ageless = [ClusterStats { load_report_interval: None, ..stats[0].clone() }];
    let told = partial(&mut Loads::default(), &ageless, now).unwrap();
    assert!(told.clusters["a"].endpoint_tries.is_empty() && told.since == now);
}

/// Each line is a report: when it comes, how long it says its time was, its counts, and what is told: since when (in
/// milliseconds after the start), and how many.
#[test]
fn reports_that_are_late_repeated_or_of_a_clock_that_jumped() {
    type Line = (u64, Option<f64>, (u64, u64), Option<(u64, u64)>);
    let start = Instant::now() + Duration::from_secs(200_000);
    let cases: [(&str, &[Line]); 9] = [
        ("in time", &[(10_000, Some(1.0), (3, 1), Some((9_000, 4))), (11_000, Some(1.001), (3, 1), Some((9_999, 4)))]),
        (
            "the same counts a second later",
            &[(10_000, Some(1.0), (3, 1), Some((9_000, 4))), (11_000, Some(1.0), (3, 1), Some((10_000, 4)))],
        ),
        (
            "repeated at once",
            &[
                (10_000, Some(1.0), (3, 1), Some((9_000, 4))),
                (10_001, Some(1.0), (3, 1), None),
                (10_002, Some(1.0), (3, 1), None),
            ],
        ),
        (
            "repeated, then the next",
            &[
                (10_000, Some(1.0), (3, 1), Some((9_000, 4))),
                (10_001, Some(1.0), (3, 1), None),
                (11_000, Some(1.0), (5, 0), Some((10_000, 5))),
            ],
        ),
        (
            "two that were held up",
            &[(10_000, Some(1.0), (3, 1), Some((9_000, 4))), (10_001, Some(1.002), (3, 1), Some((8_999, 4)))],
        ),
        (
            "its time overlaps",
            &[(10_000, Some(1.0), (3, 1), Some((9_000, 4))), (10_500, Some(5.0), (7, 0), Some((5_500, 7)))],
        ),
        (
            "over an outage",
            &[(10_000, Some(1.0), (3, 1), Some((9_000, 4))), (70_000, Some(60.0), (500, 20), Some((10_000, 520)))],
        ),
        (
            "a clock set forward",
            &[
                (10_000, Some(1.0), (3, 1), Some((9_000, 4))),
                (11_000, Some(90_000.0), (3, 2), None),
                (12_000, Some(1.0), (1, 0), Some((11_000, 1))),
            ],
        ),
        (
            "a clock set back",
            &[(10_000, Some(1.0), (3, 1), Some((9_000, 4))), (11_000, Some(-30.0), (3, 2), Some((10_000, 5)))],
        ),
    ];
    for (case, lines) in cases {
        let mut loads = Loads::default();
        for (at, seconds, count, expected) in lines {
            let now = start + Duration::from_millis(*at);
            let report = counts(&mut loads, &[stats("a", &[*count], *seconds)], now);
            let told = report.map(|report| {
                // To the next millisecond, as fractions of a second are no exact floats.
                let since = report.since.saturating_duration_since(start).as_secs_f64() * 1000.0;
                (since.round() as u64, report.clusters["a"].requests)
            });
            assert_eq!(told, *expected, "{case}, at {at}");
        }
    }
}

/// A report of a real Envoy 1.40 that was asked for endpoints: of one that answered 200 twice and 500 once and has a
/// request under way, of one that refuses connections, and of a cluster whose circuit breaker was open.
#[test]
fn what_a_real_envoy_tells_of_endpoints() {
    let path = format!("{}/tests/fixtures/telemetry/envoy-1.40-load-3.bin", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).unwrap();
    let request = LoadReport::read(&bytes).unwrap();
    let now = Instant::now() + Duration::from_secs(3600);
    let report = Loads::default().counts(&"test-node".into(), &request.clusters, now).unwrap().unwrap();
    let tries = |cluster: &str| {
        let told = &report.clusters[cluster].endpoint_tries;
        told.iter().map(|(at, of)| (at.to_string(), of.requests, of.errors)).collect::<Vec<_>>()
    };
    assert_eq!(tries("a/v1"), [("127.0.0.1:19101".to_owned(), 3, 1)]);
    assert_eq!(tries("a/refused"), [("127.0.0.1:1".to_owned(), 1, 1)]);
    // One without any tries is not told of.
    assert_eq!(tries("xds"), []);
    assert_eq!(report.clusters["a/over"].failures, Failures::of(Cause::Overflow, 1));
}

/// Two reports of a real Envoy 1.40 (only the node's bulk was cut off): one before any request ended, one after.
/// It counts a gRPC answer without a `grpc-status` in its trailers as an error, as the access logger does not.
#[test]
fn what_a_real_envoy_sends() {
    let now = Instant::now() + Duration::from_secs(3600);
    let [idle, busy] = [1, 2].map(|n| {
        let path = format!("{}/tests/fixtures/telemetry/envoy-1.40-load-{n}.bin", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).unwrap();
        let request = LoadReport::read(&bytes).unwrap();
        let node: Arc<str> = request.node_id().unwrap().unwrap().into();
        Loads::default().counts(&node, &request.clusters, now).unwrap().unwrap()
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

#[test]
fn what_nobody_asks_for_is_summed_up() {
    let endpoint = by_endpoint(&[("10.0.0.1", 80, 15, 1)]);
    let busy = |name: &str| {
        let mut stats = ClusterStats { cluster_name: name.into(), ..endpoint.clone() };
        stats.upstream_locality_stats[0].total_requests_in_progress = 1;
        stats
    };
    let (focus, now) = (Focus::default(), Instant::now() + Duration::from_secs(3600));
    let mut loads = Loads::new(focus.clone());
    let names = |report: &NodeReport| report.clusters.keys().map(ToString::to_string).collect::<Vec<_>>();
    let report = counts(&mut loads, &[busy("a"), busy("b")], now).unwrap();
    assert_eq!((names(&report), report.others), (vec!["a".into(), "b".into()], Others::default()));
    focus.set(["b".into()].into());
    let report = counts(&mut loads, &[busy("a"), stats("b", &[(2, 0)], None)], now).unwrap();
    assert_eq!((names(&report), report.clusters["b"].requests), (vec!["b".into()], 2));
    assert_eq!(report.others, Others { errors: 10, tells_in_progress: true });
    // Where the requests are counted otherwise, they are not added up.
    let report = partial(&mut loads, &[busy("a")], now).unwrap();
    assert_eq!((names(&report), report.others), (vec![], Others { errors: 0, tells_in_progress: true }));
    let sum = Outcomes { requests: 30, errors: 10 };
    assert_eq!(focus.take_others(), [("a".into(), crate::telemetry::Traffic { outcomes: sum, latency: None })]);
    // Asked for again, it is told of from then on: also that nothing is under way any more.
    focus.set(["a".into()].into());
    let report = counts(&mut loads, &[stats("a", &[], None)], now + Duration::from_secs(2)).unwrap();
    assert_eq!((names(&report), report.clusters["a"].in_progress), (vec!["a".into()], Some(0)));
    assert_eq!(focus.take_others(), []);
}
