use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::proxy::Proxy;
use super::super::report::{NodeReport, Outcomes, Source};
use super::*;
use crate::model::Cause;
use crate::telemetry::focus::Focus;
use crate::telemetry::sample::{Answer, Value};

/// Two pages of a real Envoy 1.40, with a few requests before the first and these between: 200 twice; one that was
/// refused a connection, one that no endpoint was there for, one that a circuit breaker stopped; one whose time was up, a
/// broken connection, an answer that is no HTTP; and two that were tried again in vain, on routes of their own.
fn page(n: u8) -> String {
    let path = format!("{}/tests/fixtures/telemetry/envoy-1.40-prometheus-{n}.txt", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

struct Polled {
    proxy: Proxy,
    pages: Pages,
    start: Instant,
}

impl Polled {
    fn new() -> Self {
        let start = Instant::now();
        Self { proxy: Proxy::new(Arc::from("edge-1"), Focus::default(), start), pages: Pages::default(), start }
    }

    /// A page of a stream, at a second; what it tells.
    fn take(&mut self, stream: u64, second: u64, page: &str) -> Option<NodeReport> {
        let page = Page::of(page);
        let (before, _) = self.proxy.absorb(stream, self.pages.read(&page), self.start + Duration::from_secs(second));
        assert_eq!(before, None, "a page is a whole flush");
        self.proxy.settle(stream)
    }
}

#[test]
fn what_a_real_envoy_shows() {
    let mut polled = Polled::new();
    assert_eq!(polled.take(1, 1, &page(1)), None, "the first page is the baseline");
    let report = polled.take(1, 2, &page(2)).unwrap();
    assert_eq!(
        (report.since, report.until),
        (polled.start + Duration::from_secs(1), polled.start + Duration::from_secs(2))
    );
    let told: Vec<_> = report
        .clusters
        .iter()
        .map(|(name, delta)| {
            assert_eq!((delta.source, delta.failures.total()), (Source::Caller, delta.errors), "{name}");
            let timed: u64 = delta.latency.iter().flat_map(|histogram| &histogram.counts).sum();
            (&**name, delta.requests, delta.failures.iter().collect::<Vec<_>>(), timed, delta.endpoints)
        })
        .collect();
    use Cause::{Answer, Connect, NoEndpoint, Overflow, Reset, Timeout};
    assert_eq!(
        told,
        [
            ("a/none", 1, vec![(NoEndpoint, 1)], 1, None),
            ("a/over", 1, vec![(Overflow, 1)], 1, Some(1)),
            ("a/refused", 1, vec![(Connect, 1)], 1, Some(1)),
            ("a/v1", 7, vec![(Answer, 1), (Timeout, 1), (Reset, 3)], 7, Some(1)),
        ]
    );
    let delta = &report.clusters["a/v1"];
    let routes: Vec<_> = delta.routes.iter().map(|(name, of)| (&**name, *of)).collect();
    let one = Outcomes { requests: 1, errors: 1 };
    assert_eq!(routes, [("r5", one), ("resetretry", one)]);
    assert_eq!(delta.tries, Some(Outcomes { requests: 7, errors: 5 }));
    // The same page once more: nothing has happened.
    let report = polled.take(1, 3, &page(2)).unwrap();
    assert!(report.clusters.values().all(|delta| delta.requests == 0 && delta.latency.is_none()));
}

/// A page of one counter and one histogram with two finite bounds.
fn simple(good: u64, fast: u64, all: u64) -> String {
    format!(
        "# TYPE envoy_rollout_rq counter\n\
         envoy_rollout_rq{{cluster=\"a/v1\",code=\"200\",grpc=\"\",route=\"shared\",flags=\"-\"}} {good}\n\
         envoy_rollout_dur_bucket{{cluster=\"a/v1\",route=\"shared\",le=\"1\"}} {fast}\n\
         envoy_rollout_dur_bucket{{cluster=\"a/v1\",route=\"shared\",le=\"5\"}} {all}\n\
         envoy_rollout_dur_bucket{{cluster=\"a/v1\",route=\"shared\",le=\"+Inf\"}} {all}\n\
         envoy_rollout_dur_sum{{cluster=\"a/v1\",route=\"shared\"}} 1.5\n\
         envoy_rollout_dur_count{{cluster=\"a/v1\",route=\"shared\"}} {all}\n"
    )
}

/// Each line is a page: its stream (a failure begins another), its numbers, and what is told of requests and durations.
#[test]
fn pages_that_fail_to_come_repeat_or_fall() {
    type Line = (u64, (u64, u64, u64), Option<(u64, &'static [u64])>);
    let cases: [(&str, &[Line]); 5] = [
        ("one after the other", &[(1, (9, 5, 9), None), (1, (12, 6, 12), Some((3, &[1, 2])))]),
        ("the same page again", &[(1, (9, 5, 9), None), (1, (9, 5, 9), Some((0, &[])))]),
        ("after a failure it goes on", &[(1, (9, 5, 9), None), (2, (19, 5, 19), Some((10, &[0, 10])))]),
        ("restarted in between", &[(1, (9, 5, 9), None), (1, (4, 3, 4), Some((4, &[3, 1])))]),
        (
            "restarted nobody knows when",
            &[
                (1, (8, 5, 8), None),
                (1, (9, 5, 9), Some((1, &[0, 1]))),
                (2, (4, 3, 4), None),
                (2, (6, 3, 6), Some((2, &[0, 2]))),
            ],
        ),
    ];
    for (case, lines) in cases {
        let mut polled = Polled::new();
        for (second, (stream, (good, fast, all), expected)) in lines.iter().enumerate() {
            let report = polled.take(*stream, second as u64, &simple(*good, *fast, *all));
            let told = report.map(|report| {
                let delta = report.clusters.get("a/v1").cloned().unwrap_or_default();
                (delta.requests, delta.latency.map(|histogram| histogram.counts).unwrap_or_default())
            });
            assert_eq!(told, expected.map(|(requests, counts)| (requests, counts.to_vec())), "{case}, page {second}");
            if lines.get(second + 1).is_some_and(|next| next.0 != *stream) {
                polled.proxy.end(*stream);
            }
        }
    }
}

#[test]
fn lines_that_are_none_are_left_out() {
    for page in [
        "",
        "# TYPE envoy_rollout_rq counter",
        "envoy_rollout_rq",
        "envoy_rollout_rq{cluster=\"a/v1\" 7",
        "envoy_rollout_rq{cluster=\"a/v1",
        "envoy_rollout_rq{cluster=\"a/v1\"} many",
        "envoy_rollout_rq_more{cluster=\"a/v1\"} 7",
        "envoy_other{cluster=\"a/v1\"} 7",
        "<html>no statistics</html>",
    ] {
        assert_eq!(Page::of(page), Page { lines: vec![] }, "{page}");
    }
    let page = "envoy_rollout_rq{cluster=\"a\\\"\\\\b\\n\",code=\"200\"} 7 1700000000\nenvoy_rollout_rq 8";
    let page = Page::of(page);
    assert_eq!(page.lines.len(), 2);
    let reading = Pages::default().read(&page);
    let [sample] = &reading.samples[..] else { panic!("one line says whose it is: {reading:?}") };
    let answer = Answer { route: None, code: 200, grpc: None, flags: None };
    assert_eq!((sample.cluster, &sample.value), ("a\"\\b\n", &Value::Answers(answer, Some(7))));
}
