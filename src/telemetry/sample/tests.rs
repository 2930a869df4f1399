use super::super::wire::Bucket;
use super::*;

fn metric<'a>(labels: &[(&'a str, &'a str)], set: impl FnOnce(&mut Metric<'a>)) -> Metric<'a> {
    let mut metric = Metric { labels: labels.to_vec(), ..Metric::default() };
    set(&mut metric);
    metric
}

fn read<'a>(name: &str, metric: &Metric<'a>) -> Option<(&'a str, Value<'a>)> {
    let mut reading = Reading::default();
    reading.add(name, metric);
    reading.samples.pop().map(|sample| (sample.cluster, sample.value))
}

fn counting<'a>(value: f64) -> impl FnOnce(&mut Metric<'a>) {
    move |metric| metric.counter = Some(value)
}

fn gauging<'a>(value: f64) -> impl FnOnce(&mut Metric<'a>) {
    move |metric| metric.gauge = Some(value)
}

#[test]
fn the_statistics_that_are_used() {
    let uncounted = || Some(("a/v1", Value::Answers(Answer { route: None, code: 200, grpc: None, flags: None }, None)));
    let answers = |code, grpc, count| {
        Some(("a/v1", Value::Answers(Answer { route: None, code, grpc, flags: None }, Some(count))))
    };
    let flagged = |flags: &'static str| Answer { route: Some("shared"), code: 503, grpc: None, flags: Some(flags) };
    let of = |value| Some(("a/v1", value));
    for (name, metric, expected) in [
        (
            "rollout.rq",
            metric(&[("cluster", "a/v1"), ("code", "200"), ("grpc", "")], counting(7.0)),
            answers(200, None, 7),
        ),
        ("rollout.rq", metric(&[("cluster", "a/v1"), ("code", "503")], counting(7.0)), answers(503, None, 7)),
        (
            "rollout.rq",
            metric(&[("cluster", "a/v1"), ("code", "200"), ("grpc", "-")], counting(7.0)),
            answers(200, None, 7),
        ),
        (
            "rollout.rq",
            metric(&[("grpc", "14"), ("code", "200"), ("cluster", "a/v1")], counting(7.9)),
            answers(200, Some(14), 7),
        ),
        (
            "rollout.rq",
            metric(&[("cluster", "a/v1"), ("code", "503"), ("route", "shared"), ("flags", "URX,UF")], counting(7.0)),
            of(Value::Answers(flagged("URX,UF"), Some(7))),
        ),
        (
            "rollout.rq",
            metric(&[("cluster", "a/v1"), ("code", "503"), ("route", "shared"), ("flags", "-")], counting(7.0)),
            of(Value::Answers(flagged("-"), Some(7))),
        ),
        (
            "rollout.rq",
            metric(&[("cluster", "a/v1"), ("code", "503"), ("flags", &"U".repeat(600))], counting(7.0)),
            None,
        ),
        (
            "cluster.upstream_rq_xx",
            metric(&[("envoy.response_code_class", "5"), ("envoy.cluster_name", "a/v1")], counting(3.0)),
            of(Value::Class(5, Some(3))),
        ),
        ("cluster.membership_total", metric(&[("envoy.cluster_name", "a/v1")], gauging(3.0)), of(Value::Endpoints(3))),
        (
            "cluster.outlier_detection.ejections_active",
            metric(&[("envoy.cluster_name", "a/v1")], gauging(1.0)),
            of(Value::Ejected(1)),
        ),
        ("cluster.membership_healthy", metric(&[("envoy.cluster_name", "a/v1")], gauging(2.0)), of(Value::Healthy(2))),
        ("cluster.upstream_rq_active", metric(&[("envoy.cluster_name", "a/v1")], gauging(9.0)), of(Value::Active(9))),
        (
            "cluster.upstream_cx_connect_fail",
            metric(&[("envoy.cluster_name", "a/v1")], counting(2.0)),
            of(Value::Connections(Connection::Failed, Some(2))),
        ),
        // What is not used, not of a cluster, not a count, or not what its name says.
        ("cluster.upstream_rq_total", metric(&[("envoy.cluster_name", "a/v1")], counting(3.0)), None),
        ("rollout.rq", metric(&[("cluster", ""), ("code", "200")], counting(7.0)), None),
        ("rollout.rq", metric(&[("cluster", "-"), ("code", "200")], counting(7.0)), None),
        ("rollout.rq", metric(&[("code", "200")], counting(7.0)), None),
        ("rollout.rq", metric(&[("cluster", &"a".repeat(600)), ("code", "200")], counting(7.0)), None),
        ("rollout.rq", metric(&[("cluster", "a/v1"), ("code", "-")], counting(7.0)), None),
        ("rollout.rq", metric(&[("cluster", "a/v1"), ("code", "200")], counting(f64::NAN)), uncounted()),
        ("rollout.rq", metric(&[("cluster", "a/v1"), ("code", "200")], counting(f64::INFINITY)), uncounted()),
        ("rollout.rq", metric(&[("cluster", "a/v1"), ("code", "200")], counting(-1.0)), uncounted()),
        ("rollout.rq", metric(&[("cluster", "a/v1"), ("code", "200")], gauging(7.0)), None),
        (
            "cluster.upstream_rq_xx",
            metric(&[("envoy.response_code_class", "1"), ("envoy.cluster_name", "a/v1")], counting(3.0)),
            None,
        ),
        ("cluster.membership_total", metric(&[("envoy.cluster_name", "a/v1")], gauging(f64::NAN)), None),
    ] {
        assert_eq!(read(name, &metric), expected, "{name} {metric:?}");
    }
}

#[test]
fn the_durations_of_chosen_requests_are_left_out() {
    for (route, is_read) in
        [(None, true), (Some("shared"), true), (Some("shared/pay"), true), (Some(""), true), (Some("preview"), false)]
    {
        let mut labels = vec![("cluster", "a/v1")];
        labels.extend(route.map(|route| ("route", route)));
        let histogram = HistogramValue { sample_count: 1, buckets: Vec::new() };
        let metric = metric(&labels, |metric| metric.histogram = Some(histogram));
        assert_eq!(read("rollout.dur", &metric).is_some(), is_read, "{route:?}");
    }
}

#[test]
fn histograms() {
    let value = |sample_count, buckets: &[(f64, u64)]| HistogramValue {
        sample_count,
        buckets: buckets
            .iter()
            .map(|(upper_bound, n)| Bucket { cumulative_count: *n, upper_bound: *upper_bound })
            .collect(),
    };
    let infinity = f64::INFINITY;
    for (case, value, expected) in [
        ("cumulative", value(5, &[(1.0, 2), (2.0, 2), (5.0, 5)]), Some((vec![1.0, 2.0, 5.0], vec![2, 0, 3]))),
        ("above the last bound", value(9, &[(1.0, 2), (2.0, 5)]), Some((vec![1.0, 2.0, infinity], vec![2, 3, 4]))),
        ("with an infinite bound", value(5, &[(1.0, 2), (infinity, 5)]), Some((vec![1.0, infinity], vec![2, 3]))),
        ("empty", value(0, &[(1.0, 0)]), None),
        ("without buckets", value(3, &[]), Some((vec![infinity], vec![3]))),
        ("falling counts", value(5, &[(1.0, 4), (2.0, 3)]), None),
        ("falling bounds", value(5, &[(2.0, 4), (1.0, 5)]), None),
        ("equal bounds", value(5, &[(2.0, 4), (2.0, 5)]), None),
        ("a bound that is no number", value(5, &[(f64::NAN, 4)]), None),
        ("fewer in all than in a bucket", value(3, &[(1.0, 4)]), None),
        ("more in all than in the infinite bucket", value(5, &[(infinity, 4)]), None),
        ("too many buckets", value(5, &vec![(1.0, 4); 300]), None),
    ] {
        let found = differences(&value).map(|histogram| (histogram.bounds, histogram.counts));
        assert_eq!(found, expected, "{case}");
    }
}
