use super::*;
use crate::telemetry::{Focus, Traffic};

/// Nothing is told twice, and nothing is lost, whenever it is asked for; and who begins to ask hears of the endpoints.
#[test]
fn what_nobody_asks_for_is_summed_up() {
    let focus = Focus::default();
    let mut bench = Bench { counters: Counters::new(focus.clone()), start: Instant::now() };
    let second = |at: u64, healthy: f64| {
        let (count, ms) = ((at * 10) as f64, at as i64 * 1000);
        let healthy = gauge("cluster.membership_healthy", "a/v1", healthy, ms);
        let active = gauge("cluster.upstream_rq_active", "a/v1", count, ms);
        [rq("a/v1", "200", count, ms), rq("a/v1", "500", at as f64, ms), members("a/v1", 2.0, ms), healthy, active]
    };
    assert_eq!(bench.flush(1, &second(1, 2.0)), None);
    focus.set([].into());
    // Of endpoints there is news once, and again when there is.
    for (at, healthy, told) in [(2, 2.0, Some(2)), (3, 2.0, None), (4, 1.0, Some(1)), (5, 1.0, None)] {
        let report = bench.flush(at, &second(at, healthy)).unwrap();
        let delta = report.clusters.get("a/v1");
        assert_eq!(delta.map(|delta| delta.healthy), told.map(Some), "{at}");
        assert!(delta.is_none_or(|delta| (delta.requests, delta.in_progress) == (0, None)), "{at}");
        assert_eq!(report.others, Others { errors: 1, tells_in_progress: true });
    }
    let outcomes = Outcomes { requests: 44, errors: 4 };
    assert_eq!(focus.take_others(), [("a/v1".into(), Traffic { outcomes, latency: None })]);
    focus.set(["a/v1".into()].into());
    let report = bench.flush(6, &second(6, 1.0)).unwrap();
    let delta = &report.clusters["a/v1"];
    assert_eq!((delta.requests, delta.errors, delta.healthy, delta.in_progress), (11, 1, Some(1), Some(60)));
    assert_eq!((report.others, focus.take_others()), (Others::default(), vec![]));
}
