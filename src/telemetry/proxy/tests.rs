use super::super::sample::{Answer, Sample, Value};
use super::*;

fn flush(second: u64, good: u64) -> Reading<'static> {
    let answer = Answer { route: None, code: 200, grpc: None, flags: None };
    let sample = Sample { cluster: "a/v1", value: Value::Answers(answer, Some(good)) };
    Reading { taken: Some(second as i64 * 1000), samples: vec![sample] }
}

/// What happens to a proxy's streams.
enum Event {
    /// The stream sends a flush with this count, and it is settled. Told are these requests, if any.
    Flush(u64, u64, Option<u64>),
    /// The stream ends.
    End(u64),
}

#[test]
fn which_stream_is_believed() {
    use Event::{End, Flush};
    for (case, events) in [
        ("one stream", vec![Flush(1, 10, None), Flush(1, 12, Some(2)), Flush(1, 15, Some(3))]),
        (
            "it reconnects: the gap is told",
            vec![Flush(1, 10, None), Flush(1, 12, Some(2)), End(1), Flush(2, 40, Some(28)), Flush(2, 41, Some(1))],
        ),
        (
            "it was restarted: the gap is unknown",
            vec![Flush(1, 10, None), Flush(1, 12, Some(2)), End(1), Flush(2, 4, None), Flush(2, 5, Some(1))],
        ),
        (
            "it reconnects while the old stream seems open: counting starts over",
            vec![Flush(1, 10, None), Flush(2, 40, None), Flush(2, 41, Some(1)), End(1), Flush(2, 43, Some(2))],
        ),
        (
            "two proxies with one id: only the newer is counted, then the one that stays",
            vec![
                Flush(1, 1000, None),
                Flush(1, 1010, Some(10)),
                Flush(2, 5, None),
                Flush(1, 1020, None),
                Flush(2, 7, Some(2)),
                Flush(1, 1030, None),
                End(2),
                Flush(1, 1040, None),
                Flush(1, 1050, Some(10)),
            ],
        ),
    ] {
        let start = Instant::now();
        let mut proxy = Proxy::new("edge-1".into(), Focus::default(), start);
        for (second, event) in (1..).zip(events) {
            let now = start + Duration::from_secs(second);
            match event {
                Flush(stream, count, expected) => {
                    let (before, _) = proxy.absorb(stream, flush(second, count), now);
                    let report = before.or(proxy.settle(stream));
                    let requests = report.and_then(|report| Some(report.clusters.get("a/v1")?.requests));
                    assert_eq!(requests, expected, "{case}, second {second}");
                }
                End(stream) => assert_eq!(proxy.end(stream), None, "{case}, second {second}"),
            }
        }
    }
}

#[test]
fn the_end_of_a_stream_settles_its_last_flush() {
    let start = Instant::now();
    let mut proxy = Proxy::new("edge-1".into(), Focus::default(), start);
    proxy.absorb(1, flush(1, 10), start);
    proxy.absorb(1, flush(2, 12), start);
    assert!(proxy.is_open(1) && !proxy.is_open(2));
    assert_eq!(proxy.end(2), None);
    assert_eq!(proxy.end(1).unwrap().clusters["a/v1"].requests, 2);
    assert!(!proxy.is_open(1));
}

#[test]
fn silence_is_forgotten() {
    let start = Instant::now();
    let mut proxy = Proxy::new("edge-1".into(), Focus::default(), start);
    assert!(!proxy.is_forgotten(start + FORGET_AFTER - Duration::from_secs(1)));
    assert!(proxy.is_forgotten(start + FORGET_AFTER));
    proxy.absorb(1, flush(1, 10), start + FORGET_AFTER);
    assert!(!proxy.is_forgotten(start + FORGET_AFTER));
}
