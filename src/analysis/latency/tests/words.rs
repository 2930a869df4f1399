use std::time::Duration;

use super::fixture::*;
use super::*;

fn slow_tail(share: f64, count: u64) -> Histogram {
    let slow = (count as f64 * share) as u64;
    histogram((0..count).map(|n| if n < slow { 350.0 } else { 20.0 + (n % 40) as f64 }))
}

fn limited(milliseconds: u64) -> LatencyMetric {
    let limit = QuantileLimit { quantile: 0.99, limit: Duration::from_millis(milliseconds) };
    LatencyMetric { max: vec![limit], ..LatencyMetric::default() }
}

#[test]
fn says_what_was_compared() {
    let metric = limited(300);
    let mut latency = Latency::default();
    assert_eq!(latency.said(&metric), "latency: no durations of canary and baseline side by side");
    assert!(!latency.has_data());
    for _ in 0..5 {
        latency.observe(&window(slow_tail(0.02, 1000), slow_tail(0.004, 9000)), &metric);
    }
    assert!(latency.has_data() && latency.revert().reaches(0.01));
    assert_eq!(
        latency.said(&metric),
        "latency: canary p50 40 ms, p99 350 ms against baseline p50 39 ms, p99 60 ms; 2.0% slower than 300 ms against \
         0.40%; 2.0% slower than the limit of 300 ms, may be 1.0%"
    );
}

#[test]
fn a_limit_holds_whatever_the_baseline_does() {
    let run = |share: f64, metric: &LatencyMetric| {
        let mut latency = Latency::default();
        for _ in 0..30 {
            latency.observe(&window(slow_tail(share, 1000), slow_tail(share, 9000)), metric);
        }
        latency
    };
    assert!(run(0.03, &limited(300)).limit().reaches(0.01), "three times as many as may be");
    assert!(!run(0.03, &limited(300)).revert().reaches(0.01), "but no worse than the baseline");
    assert!(!run(0.01, &limited(300)).limit().reaches(0.01), "as many as may be");
    assert!(!run(0.03, &limited(310)).limit().reaches(0.01), "the boundary at or above 310 ms is 400 ms");
    assert_eq!(run(0.03, &limited(40_000)).limit(), LogE::ONE, "no boundary tells");
    assert_eq!(run(0.03, &LatencyMetric::default()).limit(), LogE::ONE, "no limit");
}

#[test]
fn a_limit_needs_no_baseline() {
    let mut latency = Latency::default();
    let mut alone = window(slow_tail(0.05, 1000), Histogram::default());
    alone.baseline.latency = None;
    for _ in 0..10 {
        latency.observe(&alone, &limited(300));
    }
    assert!(latency.limit().reaches(0.01));
    assert_eq!((latency.revert(), latency.good(), latency.has_data()), (LogE::ONE, LogE::ONE, false));
}

#[test]
fn another_hypothesis_begins_anew_and_a_step_only_the_proof() {
    let metric = LatencyMetric::default();
    let mut latency = Latency::default();
    for _ in 0..5 {
        latency.observe(&window(slow_tail(0.2, 1000), slow_tail(0.1, 9000)), &metric);
    }
    let before = latency.clone();
    latency.begin_step();
    assert_eq!((latency.revert(), latency.good()), (before.revert(), LogE::ONE));
    assert!(before.good() != LogE::ONE);
    let even = window(slow_tail(0.1, 1000), slow_tail(0.1, 9000));
    latency.observe(&even, &LatencyMetric { tolerate_ratio: 1.5, ..metric });
    assert!(before.revert().reaches(0.01) && !latency.revert().reaches(0.5), "{:?}", latency.revert());
}

#[test]
fn other_boundaries_add_no_evidence() {
    let metric = LatencyMetric::default();
    let mut latency = Latency::default();
    for _ in 0..3 {
        latency.observe(&window(slow_tail(0.1, 1000), slow_tail(0.1, 9000)), &metric);
    }
    let before = latency.revert();
    let mut other = window(slow_tail(0.0, 100), slow_tail(0.0, 900));
    for arm in [&mut other.canary, &mut other.baseline] {
        // Nobody is slower than any of these: nothing is learnt.
        arm.latency = Some(Histogram { bounds: vec![7.0, 70.0, 700.0], counts: vec![arm.requests, 0, 0] });
    }
    latency.observe(&other, &metric);
    assert!((latency.revert().ln() - before.ln()).abs() < 1e-9, "{before:?} {:?}", latency.revert());
}

/// Two equal versions, of which the busier one answers its fastest requests a little faster: 2.4 % within 5 ms against
/// 0.8 %. Real proxies counted that.
#[test]
fn fewer_of_the_very_fastest_is_not_slower() {
    let fast = |fast: u64, all: u64| {
        let (half, rest) = ((all - fast) / 2, (all - fast).div_ceil(2));
        Histogram { bounds: vec![5.0, 20.0, 100.0], counts: vec![fast, half, rest] }
    };
    let mut latency = Latency::default();
    for _ in 0..100 {
        latency.observe(&window(fast(2, 250), fast(24, 1_000)), &LatencyMetric::default());
    }
    assert!(!latency.revert().reaches(0.01), "{:?}", latency.revert());
}
