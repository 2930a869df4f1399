mod causes;
mod focus;

use std::time::Duration;

use proptest::prelude::*;

use super::super::report::{Outcomes, Source};
use super::super::wire::MetricsReport;
use super::super::wire::metrics::reference::{self as wire, LabelPair, Metric, MetricFamily, StreamMetricsMessage};
use super::group::{ABSENT_LIMIT, COUNTER_LIMIT};
use super::*;

fn family(name: &str, labels: &[(&str, &str)], timestamp_ms: i64, set: impl FnOnce(&mut Metric)) -> MetricFamily {
    let label = |(name, value): &(&str, &str)| LabelPair { name: (*name).into(), value: (*value).into() };
    let mut metric = Metric { label: labels.iter().map(label).collect(), timestamp_ms, ..Metric::default() };
    set(&mut metric);
    MetricFamily { name: name.into(), metric: vec![metric] }
}

fn rq(cluster: &str, code: &str, value: f64, at: i64) -> MetricFamily {
    let labels = [("cluster", cluster), ("code", code), ("grpc", "")];
    family("rollout.rq", &labels, at, |metric| metric.counter = Some(wire::Value { value }))
}

fn xx(cluster: &str, class: &str, value: f64, at: i64) -> MetricFamily {
    let labels = [("envoy.cluster_name", cluster), ("envoy.response_code_class", class)];
    family("cluster.upstream_rq_xx", &labels, at, |metric| metric.counter = Some(wire::Value { value }))
}

fn gauge(name: &str, cluster: &str, value: f64, at: i64) -> MetricFamily {
    family(name, &[("envoy.cluster_name", cluster)], at, |metric| metric.gauge = Some(wire::Value { value }))
}

fn members(cluster: &str, value: f64, at: i64) -> MetricFamily {
    gauge("cluster.membership_total", cluster, value, at)
}

fn ejected(cluster: &str, value: f64, at: i64) -> MetricFamily {
    gauge("cluster.outlier_detection.ejections_active", cluster, value, at)
}

/// A proxy's statistics and a clock.
struct Bench {
    counters: Counters,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { counters: Counters::default(), start: Instant::now() }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    /// A message of the given second, with that second's timestamp in each family that has none.
    fn send(&mut self, second: u64, families: &[MetricFamily]) -> Option<NodeReport> {
        self.take(second, &StreamMetricsMessage::of(families))
    }

    /// An encoded message.
    fn take(&mut self, second: u64, message: &[u8]) -> Option<NodeReport> {
        let now = self.at(second);
        let reading = Reading::of(&MetricsReport::read(message).unwrap()).unwrap();
        self.counters.absorb(&"edge-1".into(), reading, now)
    }

    fn settle(&mut self) -> Option<NodeReport> {
        self.counters.settle(&"edge-1".into())
    }

    /// A whole flush in one message.
    fn flush(&mut self, second: u64, families: &[MetricFamily]) -> Option<NodeReport> {
        let before = self.send(second, families);
        assert!(before.is_none_or(|report| report.clusters.is_empty()), "a flush before is still open");
        self.settle()
    }
}

/// `requests errors` of a cluster, `-` when it is not reported, `none` when there is no report at all.
fn told(report: Option<&NodeReport>, cluster: &str) -> String {
    match report.map(|report| report.clusters.get(cluster)) {
        None => "none".into(),
        Some(None) => "-".into(),
        Some(Some(delta)) => format!("{} {}", delta.requests, delta.errors),
    }
}

#[test]
fn differences_of_counters() {
    // Each line is a flush: its second, code 200 and code 500 of one cluster, and what is told.
    type Line = (u64, Option<f64>, Option<f64>, &'static str);
    let cases: [(&str, &[Line]); 9] = [
        (
            "the first flush is the baseline",
            &[(1, Some(900.0), Some(5.0), "none"), (2, Some(910.0), Some(6.0), "11 1")],
        ),
        ("nothing changes", &[(1, Some(9.0), None, "none"), (2, Some(9.0), None, "-"), (3, Some(9.0), None, "-")]),
        ("a counter that appears counts from 0", &[(1, Some(9.0), None, "none"), (2, Some(9.0), Some(3.0), "3 3")]),
        ("an empty baseline", &[(1, None, None, "none"), (2, Some(4.0), Some(1.0), "5 1")]),
        (
            "one that falls counts from 0",
            &[(1, Some(900.0), Some(5.0), "none"), (2, Some(7.0), Some(2.0), "9 2"), (3, Some(8.0), Some(2.0), "1 0")],
        ),
        (
            "one that is missing for a while is told later",
            &[(1, Some(9.0), Some(1.0), "none"), (2, Some(10.0), None, "1 0"), (3, Some(11.0), Some(4.0), "4 3")],
        ),
        (
            "what is no number is left out",
            &[
                (1, Some(9.0), Some(1.0), "none"),
                (2, Some(f64::NAN), Some(2.0), "1 1"),
                (3, Some(-5.0), Some(f64::INFINITY), "-"),
                (4, Some(12.0), Some(3.0), "4 1"),
            ],
        ),
        (
            "a baseline that is no number is none",
            &[
                (1, Some(f64::NAN), Some(1.0), "none"),
                (2, Some(f64::NAN), Some(1.0), "-"),
                (3, Some(5000.0), Some(2.0), "1 1"),
                (4, Some(5003.0), Some(2.0), "3 0"),
            ],
        ),
        ("an outage is one window", &[(1, Some(9.0), None, "none"), (301, Some(5009.0), Some(2.0), "5002 2")]),
    ];
    for (case, lines) in cases {
        let mut bench = Bench::new();
        let mut before = None;
        for (second, good, bad, expected) in lines {
            let at = *second as i64 * 1000;
            // A gauge makes it a flush even without counters.
            let mut families = vec![members("xds", 1.0, at)];
            families.extend(good.map(|value| rq("a/v1", "200", value, at)));
            families.extend(bad.map(|value| rq("a/v1", "500", value, at)));
            let report = bench.flush(*second, &families);
            assert_eq!(told(report.as_ref(), "a/v1"), *expected, "{case}, second {second}");
            if let Some(report) = report {
                assert_eq!((Some(report.since), report.until), (before, bench.at(*second)), "{case}");
            }
            before = Some(bench.at(*second));
        }
    }
}

#[test]
fn a_caller_that_went_away_is_neither_request_nor_error() {
    let mut bench = Bench::new();
    bench.flush(1, &[rq("a/v1", "200", 1.0, 1000)]);
    let report = bench.flush(2, &[rq("a/v1", "200", 3.0, 2000), rq("a/v1", "0", 9.0, 2000)]);
    assert_eq!(told(report.as_ref(), "a/v1"), "2 0");
}

#[test]
fn a_flush_in_several_messages_is_one_report() {
    let mut bench = Bench::new();
    for (second, count) in [(1, 10.0), (2, 30.0)] {
        let at = second as i64 * 1000;
        assert_eq!(bench.send(second, &[rq("a/v1", "200", count, at)]), None);
        assert_eq!(bench.send(second, &[rq("a/v2", "200", count, at)]), None);
        assert_eq!(bench.send(second, &[rq("a/v2", "500", count, at)]), None);
    }
    // The beginning of the next settles it.
    let report = bench.send(3, &[rq("a/v1", "200", 99.0, 3000)]).unwrap();
    assert_eq!((told(Some(&report), "a/v1"), told(Some(&report), "a/v2")), ("20 0".into(), "40 20".into()));
    assert_eq!((report.since, report.until), (bench.at(1), bench.at(2)));
}

#[test]
fn a_part_that_comes_late_is_told_with_the_next_flush_and_once() {
    let mut bench = Bench::new();
    // The baseline stays open for its late part: 500 old errors are no new ones.
    assert_eq!(bench.flush(1, &[rq("a/v1", "200", 1000.0, 1000)]), None);
    assert_eq!(bench.send(1, &[rq("a/v1", "500", 500.0, 1000)]), None);
    let report = bench.flush(2, &[rq("a/v1", "200", 1010.0, 2000)]);
    assert_eq!(told(report.as_ref(), "a/v1"), "10 0");
    assert_eq!(bench.send(2, &[rq("a/v1", "500", 502.0, 2000)]), None);
    assert!(!bench.counters.is_open());
    let report = bench.flush(3, &[rq("a/v1", "200", 1020.0, 3000), rq("a/v1", "500", 503.0, 3000)]);
    assert_eq!(told(report.as_ref(), "a/v1"), "13 3");
}

#[test]
fn repetitions_and_old_messages_are_told_once() {
    let mut bench = Bench::new();
    let flush = |count: f64, at| [rq("a/v1", "200", count, at), rq("a/v1", "500", count, at)];
    bench.flush(1, &flush(10.0, 1000));
    assert_eq!(told(bench.flush(2, &flush(20.0, 2000)).as_ref(), "a/v1"), "20 10");
    // The same once more, and one from before.
    assert_eq!(bench.flush(2, &flush(20.0, 2000)), None);
    assert_eq!(bench.flush(3, &flush(10.0, 1000)), None);
    assert_eq!(told(bench.flush(4, &flush(21.0, 3000)).as_ref(), "a/v1"), "2 1");
    // Within an open flush, too.
    bench.send(5, &flush(22.0, 4000));
    bench.send(5, &flush(22.0, 4000));
    assert_eq!(told(bench.settle().as_ref(), "a/v1"), "2 1");
}

#[test]
fn a_clock_that_is_set_back_is_a_new_baseline() {
    let mut bench = Bench::new();
    let hour = 3_600_000;
    bench.flush(1, &[rq("a/v1", "200", 10.0, hour + 1000)]);
    assert_eq!(bench.flush(2, &[rq("a/v1", "200", 15.0, 2000)]), None);
    let report = bench.flush(3, &[rq("a/v1", "200", 17.0, 3000)]);
    assert_eq!(told(report.as_ref(), "a/v1"), "2 0");
    // Forward does no harm: windows go by our clock.
    let report = bench.flush(4, &[rq("a/v1", "200", 18.0, 9 * hour)]).unwrap();
    assert_eq!(report.until - report.since, Duration::from_secs(1));
    // Without a timestamp every message is a flush.
    let report = bench.flush(5, &[rq("a/v1", "200", 20.0, 0)]);
    assert_eq!(told(report.as_ref(), "a/v1"), "2 0");
}

#[test]
fn a_new_stream_goes_on_unless_the_proxy_was_restarted() {
    for (case, then, expected) in [
        ("goes on", [(101.0, 5.0), (103.0, 6.0)], ["4 3", "3 1"]),
        ("restarted", [(50.0, 1.0), (52.0, 2.0)], ["none", "3 1"]),
        ("restarted, and only one is below", [(500.0, 1.0), (501.0, 1.0)], ["none", "1 0"]),
    ] {
        let mut bench = Bench::new();
        let flush = |(good, bad), at| [rq("a/v1", "200", good, at), rq("a/v1", "500", bad, at)];
        bench.flush(1, &flush((90.0, 1.0), 1000));
        bench.flush(2, &flush((100.0, 2.0), 2000));
        bench.counters.resume();
        let told = [6, 7].map(|s| told(bench.flush(s, &flush(then[s as usize - 6], s as i64 * 1000)).as_ref(), "a/v1"));
        assert_eq!(told, expected, "{case}");
    }
}

#[test]
fn the_source_of_counts() {
    let mut bench = Bench::new();
    let class = |count: f64, at| xx("a/v1", "2", count, at);
    let source = |report: &Option<NodeReport>| report.as_ref().unwrap().clusters["a/v1"].source;
    bench.flush(1, &[class(1.0, 1000)]);
    // Only cluster statistics: they are used.
    let report = bench.flush(2, &[class(3.0, 2000), xx("a/v1", "5", 1.0, 2000)]);
    assert_eq!((told(report.as_ref(), "a/v1"), source(&report)), ("3 1".into(), Source::Cluster));
    // The logger's show up: the cluster's are not told any more, and what changes hands is told by nobody.
    let report = bench.flush(3, &[class(9.0, 3000), rq("a/v1", "200", 6.0, 3000)]);
    assert_eq!(told(report.as_ref(), "a/v1"), "0 0");
    let report = bench.flush(4, &[class(19.0, 4000), rq("a/v1", "200", 14.0, 4000)]);
    assert_eq!((told(report.as_ref(), "a/v1"), source(&report)), ("8 0".into(), Source::Caller));
    // A cluster that has both from its first request on loses nothing; others are judged for themselves.
    let report =
        bench.flush(5, &[xx("a/v2", "2", 4.0, 5000), rq("a/v2", "200", 4.0, 5000), xx("b/v1", "5", 2.0, 5000)]);
    assert_eq!(told(report.as_ref(), "a/v2"), "4 0");
    assert_eq!(told(report.as_ref(), "b/v1"), "2 2");
}

#[test]
fn chosen_requests_are_counted_apart() {
    let routed = |route: &str, code: &str, value: f64, at| {
        let labels = [("cluster", "a/v1"), ("code", code), ("grpc", ""), ("route", route)];
        family("rollout.rq", &labels, at, |metric| metric.counter = Some(wire::Value { value }))
    };
    let mut bench = Bench::new();
    bench.flush(1, &[rq("a/v1", "200", 5.0, 1000)]);
    let all = [
        // Of a listener from before there were names, beside those of one with them.
        rq("a/v1", "200", 6.0, 2000),
        routed("shared", "200", 10.0, 2000),
        routed("shared", "500", 2.0, 2000),
        routed("", "200", 100.0, 2000),
        routed("chosen/0", "200", 1000.0, 2000),
        routed("chosen/1", "500", 30.0, 2000),
        routed("preview", "0", 7.0, 2000),
        xx("a/v1", "2", 1200.0, 2000),
        xx("a/v1", "5", 40.0, 2000),
    ];
    let report = bench.flush(2, &all).unwrap();
    let delta = &report.clusters["a/v1"];
    assert_eq!((delta.requests, delta.errors), (113, 2));
    assert_eq!(delta.chosen, Outcomes { requests: 1030, errors: 30 });
    assert_eq!(delta.tries, Some(Outcomes { requests: 1240, errors: 40 }));
}

#[test]
fn connections_are_counted_where_there_is_no_http() {
    let cx = |name: &str, value: f64, at| {
        let labels = [("envoy.cluster_name", "a/v1")];
        family(&format!("cluster.upstream_cx_{name}"), &labels, at, |metric| {
            metric.counter = Some(wire::Value { value });
        })
    };
    let mut bench = Bench::new();
    bench.flush(1, &[cx("total", 10.0, 1000)]);
    for (second, total, failed, refused, expected) in [
        (2, 14.0, 1.0, 0.0, "4 1"),
        // Begun in one flush, and failed in the next: told when there are any to be told of.
        (3, 15.0, 4.0, 0.0, "1 1"),
        (4, 15.0, 4.0, 0.0, "-"),
        (5, 25.0, 4.0, 3.0, "13 5"),
    ] {
        let at = second as i64 * 1000;
        let flush = [cx("total", total, at), cx("connect_fail", failed, at), cx("none_healthy", refused, at)];
        let report = bench.flush(second, &flush);
        assert_eq!(told(report.as_ref(), "a/v1"), expected, "second {second}");
        let delta = report.as_ref().and_then(|report| report.clusters.get("a/v1"));
        assert!(delta.is_none_or(|delta| delta.source == Source::Connections));
        assert!(
            delta.is_none_or(|delta| delta.tries == Some(Outcomes { requests: delta.requests, errors: delta.errors }))
        );
    }
    // Those of HTTP are none of it, whether a request has ended on them yet or not.
    let report = bench.flush(6, &[cx("total", 40.0, 6000), cx("http1_total", 9.0, 6000)]);
    assert_eq!(told(report.as_ref(), "a/v1"), "-");
}

#[test]
fn what_is_under_way_and_what_is_healthy() {
    let mut bench = Bench::new();
    let gauges = |at, healthy, active| {
        [
            members("a/v1", 4.0, at),
            gauge("cluster.membership_healthy", "a/v1", healthy, at),
            gauge("cluster.upstream_rq_active", "a/v1", active, at),
        ]
    };
    bench.flush(1, &gauges(1000, 4.0, 0.0));
    for (second, healthy, active, expected) in [
        (2, 4.0, 2.0, Some((Some(4), Some(2)))),
        (3, 4.0, 2.0, Some((Some(4), Some(2)))),
        (4, 3.0, 0.0, Some((Some(3), Some(0)))),
        (5, 3.0, 0.0, None),
    ] {
        let report = bench.flush(second, &gauges(second as i64 * 1000, healthy, active)).unwrap();
        let told = report.clusters.get("a/v1").map(|delta| (delta.healthy, delta.in_progress));
        assert_eq!(told, expected, "second {second}");
    }
}

#[test]
fn gauges_come_with_requests_with_changes_and_while_something_is_ejected() {
    let mut bench = Bench::new();
    let gauges = |report: Option<NodeReport>| report.unwrap().clusters.get("a/v1").map(|d| (d.ejected, d.endpoints));
    bench.flush(1, &[members("a/v1", 3.0, 1000)]);
    for (second, gauge, expected) in [
        // Envoy sends the gauge of ejections only after the first one.
        (2, None, Some((Some(0), Some(3)))),
        (3, None, None),
        (4, Some(2.0), Some((Some(2), Some(3)))),
        (5, Some(2.0), Some((Some(2), Some(3)))),
        (6, Some(0.0), Some((Some(0), Some(3)))),
        (7, Some(0.0), None),
    ] {
        let at = second as i64 * 1000;
        let mut families = vec![members("a/v1", 3.0, at)];
        families.extend(gauge.map(|value| ejected("a/v1", value, at)));
        assert_eq!(gauges(bench.flush(second, &families)), expected, "second {second}");
    }
    // A cluster that is gone is not told of for ever.
    bench.flush(8, &[members("a/v1", 3.0, 8000), ejected("a/v1", 1.0, 8000)]);
    let told: Vec<_> = (9..=20)
        .filter_map(|second| gauges(bench.flush(second, &[members("xds", 1.0, second as i64 * 1000)])))
        .collect();
    assert!(told.len() <= 6, "{told:?}");
    assert!(!bench.counters.clusters.contains_key("a/v1"));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut bench = Bench::new();
    let many: Vec<_> = (0..CLUSTER_LIMIT + 50).map(|i| rq(&format!("c{i}"), "200", 1.0, 1000)).collect();
    bench.flush(1, &many);
    assert_eq!(bench.counters.clusters.len(), CLUSTER_LIMIT);
    let mut bench = Bench::new();
    let many: Vec<_> = (0..2000).map(|i| rq("a/v1", &format!("{i}"), 1.0, 1000)).collect();
    bench.flush(1, &many);
    assert_eq!(bench.counters.clusters["a/v1"].cluster.answers.counters.len(), COUNTER_LIMIT);
    // What is long gone is forgotten.
    for second in 2..=2 + u64::from(ABSENT_LIMIT) {
        bench.flush(second, &[members("xds", 1.0, second as i64 * 1000)]);
    }
    assert_eq!(bench.counters.clusters.keys().map(|name| &**name).collect::<Vec<_>>(), ["xds"]);
}

/// Five flushes of a real Envoy 1.40 with the metrics sink and the stats access logger, as it sent them (only the
/// node's bulk was cut off). The requests: 200 ×4, 500, 404 and one that no cluster was chosen for; gRPC with status
/// 0, 2, 4, 5, 13, 14 and one with HTTP status 500; one to a dead endpoint of another cluster; one whose caller left.
#[test]
fn what_a_real_envoy_sends() {
    let mut bench = Bench::new();
    let mut reports = Vec::new();
    for n in 1..=5 {
        let path = format!("{}/tests/fixtures/telemetry/envoy-1.40-metrics-{n}.bin", env!("CARGO_MANIFEST_DIR"));
        let message = std::fs::read(path).unwrap();
        let id = MetricsReport::read(&message).unwrap().node_id().unwrap();
        assert_eq!(id, (n == 1).then_some("test-node"));
        assert!(bench.take(n, &message).is_none());
        reports.extend(bench.settle());
    }
    assert_eq!(reports.len(), 4);
    let sum = |cluster: &str| {
        let deltas = || reports.iter().filter_map(|report| report.clusters.get(cluster));
        assert!(deltas().filter(|delta| delta.requests > 0).all(|delta| delta.source == Source::Caller), "{cluster}");
        let timed: u64 = deltas().filter_map(|delta| delta.latency.as_ref()).flat_map(|h| &h.counts).sum();
        let gauges = deltas().next_back().map(|delta| (delta.ejected, delta.endpoints)).unwrap();
        (deltas().map(|d| d.requests).sum::<u64>(), deltas().map(|d| d.errors).sum::<u64>(), timed, gauges)
    };
    // 4 + 500 + 404 + 6 gRPC + 1 gRPC over 500; failed are the two 500s and gRPC 2, 4, 13, 14. Timed is also the one
    // that left.
    assert_eq!(sum("checkout/v1~2"), (13, 6, 14, (Some(0), Some(1))));
    assert_eq!(sum("checkout/v1~3"), (1, 1, 1, (Some(0), Some(1))));
    assert!(reports.iter().all(|report| !report.clusters.contains_key("")));
    // A histogram is that of its flush, not of all time: each flush tells its own.
    let timed: Vec<u64> = reports
        .iter()
        .map(|report| {
            report.clusters.get("checkout/v1~2").and_then(|d| d.latency.as_ref()).map_or(0, |h| h.counts.iter().sum())
        })
        .collect();
    assert_eq!(timed, [1, 12, 1, 0]);
}

/// What a faulty proxy may do to a message.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Missing,
    Twice,
    Again,
    Halved,
    NotANumber,
    Reconnect,
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        1 => Just(Fault::Missing),
        1 => Just(Fault::Twice),
        1 => Just(Fault::Again),
        1 => Just(Fault::Halved),
        1 => Just(Fault::NotANumber),
        1 => Just(Fault::Reconnect),
    ]
}

proptest! {
    /// However messages are lost, repeated or torn: what is told never exceeds what happened since the baseline.
    #[test]
    fn no_request_is_told_that_was_not_made(
        steps in prop::collection::vec((0..50_u32, 0..5_u32, any_fault(), any::<bool>()), 1..40)
    ) {
        let mut bench = Bench::new();
        let (mut good, mut bad) = (1000.0, 100.0);
        let mut reports = Vec::new();
        prop_assert_eq!(bench.send(0, &[rq("a/v1", "200", good, 500), rq("a/v1", "500", bad, 500)]), None);
        let mut earlier: Vec<Vec<MetricFamily>> = Vec::new();
        for (second, (more, failed, fault, settles)) in steps.into_iter().enumerate() {
            good += f64::from(more);
            bad += f64::from(failed);
            let at = (second as i64 + 1) * 1000;
            let flush = vec![rq("a/v1", "200", good, at), rq("a/v1", "500", bad, at)];
            let mut send = |families: &[MetricFamily]| reports.extend(bench.send(second as u64, families));
            match fault {
                Fault::None => send(&flush),
                Fault::Missing => {}
                Fault::Twice => { send(&flush); send(&flush); }
                Fault::Again => { send(&flush); if let Some(old) = earlier.first() { send(old); } }
                Fault::Halved => send(&flush[..1]),
                Fault::NotANumber => send(&[rq("a/v1", "200", f64::NAN, at), rq("a/v1", "500", -bad, at)]),
                Fault::Reconnect => { bench.counters.resume(); reports.extend(bench.send(second as u64, &flush)); }
            }
            earlier.push(flush);
            if settles {
                reports.extend(bench.settle());
            }
        }
        let deltas = || reports.iter().filter_map(|report| report.clusters.get("a/v1"));
        let (requests, errors) = (deltas().map(|d| d.requests).sum::<u64>(), deltas().map(|d| d.errors).sum::<u64>());
        prop_assert!(errors as f64 <= bad - 100.0, "{errors} errors of {}", bad - 100.0);
        prop_assert!(requests as f64 <= good + bad - 1100.0, "{requests} requests of {}", good + bad - 1100.0);
        prop_assert!(deltas().all(|delta| delta.errors <= delta.requests));
        prop_assert!(reports.iter().all(|report| report.since <= report.until));
    }
}
