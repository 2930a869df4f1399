//! Why requests failed, and on which route.

use super::*;
use crate::model::{Cause, Failures, Histogram};
use crate::telemetry::ClusterDelta;

fn rq(route: &str, code: &str, flags: &str, value: f64, at: i64) -> MetricFamily {
    let labels = [("cluster", "a/v1"), ("code", code), ("grpc", ""), ("route", route), ("flags", flags)];
    family("rollout.rq", &labels, at, |metric| metric.counter = Some(wire::Value { value }))
}

fn delta(report: Option<NodeReport>) -> ClusterDelta {
    report.unwrap().clusters["a/v1"].clone()
}

fn causes(failures: Failures) -> Vec<(Cause, u64)> {
    failures.iter().collect()
}

#[test]
fn failures_are_told_by_cause_and_sum_to_the_errors() {
    let mut bench = Bench::new();
    // From before there were flags, beside what has them: other counters of the same answers.
    bench.flush(1, &[super::rq("a/v1", "503", 2.0, 1000), rq("shared", "503", "-", 1.0, 1000)]);
    let flush = [
        super::rq("a/v1", "503", 3.0, 2000),
        rq("shared", "503", "-", 3.0, 2000),
        rq("shared", "503", "UF", 10.0, 2000),
        rq("shared", "503", "URX,UF", 20.0, 2000),
        rq("shared", "504", "UT", 5.0, 2000),
        rq("shared", "500", "URX", 7.0, 2000),
        rq("shared", "200", "-", 50.0, 2000),
        rq("shared", "0", "DC", 60.0, 2000),
        rq("chosen/0", "503", "UH", 70.0, 2000),
    ];
    let told = delta(bench.flush(2, &flush));
    assert_eq!((told.requests, told.errors), (95, 45));
    assert_eq!(causes(told.failures), [(Cause::Answer, 10), (Cause::Connect, 30), (Cause::Timeout, 5)]);
    assert_eq!(told.failures.total(), told.errors);
    assert_eq!(told.chosen, Outcomes { requests: 70, errors: 70 });
}

#[test]
fn other_sources_know_one_cause_or_two() {
    let mut bench = Bench::new();
    bench.flush(1, &[xx("a/v1", "2", 1.0, 1000)]);
    let told = delta(bench.flush(2, &[xx("a/v1", "2", 3.0, 2000), xx("a/v1", "5", 4.0, 2000)]));
    assert_eq!((told.errors, causes(told.failures)), (4, vec![(Cause::Answer, 4)]));

    let cx = |name: &str, value: f64| {
        let name = format!("cluster.upstream_cx_{name}");
        family(&name, &[("envoy.cluster_name", "a/v1")], 2000, |metric| metric.counter = Some(wire::Value { value }))
    };
    let mut bench = Bench::new();
    bench.flush(1, &[members("a/v1", 1.0, 1000)]);
    let told = delta(bench.flush(2, &[cx("total", 9.0), cx("connect_fail", 2.0), cx("none_healthy", 3.0)]));
    assert_eq!((told.requests, told.errors), (12, 5));
    assert_eq!(causes(told.failures), [(Cause::NoEndpoint, 3), (Cause::Connect, 2)]);
}

#[test]
fn a_change_of_source_tells_no_cause_and_no_route() {
    let mut bench = Bench::new();
    bench.flush(1, &[xx("a/v1", "5", 1.0, 1000)]);
    bench.flush(2, &[xx("a/v1", "5", 3.0, 2000)]);
    let told = delta(bench.flush(3, &[xx("a/v1", "5", 9.0, 3000), rq("shared/pay", "500", "-", 6.0, 3000)]));
    assert_eq!((told.requests, told.errors, told.failures), (0, 0, Failures::default()));
    assert!(told.routes.is_empty());
}

#[test]
fn named_routes_are_counted_apart_and_in_all() {
    let mut bench = Bench::new();
    bench.flush(1, &[rq("shared", "200", "-", 5.0, 1000), rq("shared/pay", "200", "-", 5.0, 1000)]);
    let flush = [
        rq("shared", "200", "-", 15.0, 2000),
        rq("shared/pay", "200", "-", 25.0, 2000),
        rq("shared/pay", "503", "UC", 4.0, 2000),
        rq("shared/cart", "200", "-", 1.0, 2000),
        rq("shared/cart", "0", "DC", 9.0, 2000),
        rq("chosen/0", "200", "-", 30.0, 2000),
    ];
    let told = delta(bench.flush(2, &flush));
    assert_eq!((told.requests, told.errors), (35, 4));
    let routes: Vec<_> = told.routes.iter().map(|(name, of)| (&**name, of.requests, of.errors)).collect();
    assert_eq!(routes, [("cart", 1, 0), ("pay", 24, 4)]);
    // What has had nothing in the time is not named.
    let told = delta(bench.flush(3, &[rq("shared/cart", "200", "-", 2.0, 3000)]));
    assert_eq!(told.routes.keys().map(|name| &**name).collect::<Vec<_>>(), ["cart"]);
}

#[test]
fn durations_of_all_shared_routes_are_one_histogram() {
    let dur = |route: &str, at: i64, bounds: &[f64], counts: &[u64], all: u64| {
        family("rollout.dur", &[("cluster", "a/v1"), ("route", route)], at, |metric| {
            let mut sum = 0;
            let bucket = bounds.iter().zip(counts).map(|(upper_bound, count)| {
                sum += count;
                wire::Bucket { cumulative_count: sum, upper_bound: *upper_bound }
            });
            metric.histogram = Some(wire::HistogramValue { bucket: bucket.collect(), sample_count: all });
        })
    };
    let mut bench = Bench::new();
    bench.flush(1, &[rq("shared", "200", "-", 5.0, 1000)]);
    let flush = [
        rq("shared", "200", "-", 6.0, 2000),
        dur("shared", 2000, &[1.0, 5.0], &[1, 2], 3),
        dur("shared/pay", 2000, &[1.0, 5.0], &[4, 0], 10),
        dur("shared/pay", 2000, &[1.0, 5.0], &[100, 100], 200),
        dur("shared/raw", 2000, &[1.0, 7.0], &[9, 9], 18),
        dur("chosen/0", 2000, &[1.0, 5.0], &[50, 0], 50),
    ];
    let told = delta(bench.flush(2, &flush));
    let expected = Histogram { bounds: vec![1.0, 5.0, f64::INFINITY], counts: vec![5, 2, 6] };
    assert_eq!(told.latency, Some(expected));
}
