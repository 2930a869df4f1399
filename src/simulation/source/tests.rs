use super::*;

/// The sums of so many seconds at w = 10 %.
fn sum(traffic: &Traffic, defect: &Defect, seconds: usize) -> (Counts, Counts, u64, [Spread; 2]) {
    let mut source = Source::new(traffic, defect, true, 1);
    let mut all = (Counts::default(), Counts::default(), 0, [Spread::default(); 2]);
    for _ in 0..seconds {
        let second = source.next(0.1, 0.9);
        for arm in [&second.window.canary, &second.window.baseline] {
            let timed: u64 = arm.latency.iter().flat_map(|histogram| &histogram.counts).sum();
            assert_eq!(timed, arm.requests, "each request has its duration");
            assert!(arm.failures.total() <= arm.requests);
        }
        let counts = |arm: &Arm| arm.counts(&Cause::all());
        all.0 = all.0.plus(counts(&second.window.canary));
        all.1 = all.1.plus(counts(&second.window.baseline));
        all.2 += second.harmed;
        all.3[0] = all.3[0].plus(second.window.canary.spread);
        all.3[1] = all.3[1].plus(second.window.baseline.spread);
    }
    all
}

fn near(found: f64, expected: f64, part: f64) {
    assert!((found - expected).abs() <= part * expected, "{found}, expected {expected}");
}

#[test]
fn rates_are_as_described() {
    let traffic = Traffic { rps: 1000.0, errors: 0.01, ..Traffic::default() };
    let (canary, baseline, harmed, _) = sum(&traffic, &Defect::errors(3.0), 500);
    near(canary.requests as f64, 50_000.0, 0.02);
    near(baseline.requests as f64, 450_000.0, 0.02);
    near(canary.error_rate(), 0.03, 0.1);
    near(baseline.error_rate(), 0.01, 0.1);
    near(harmed as f64, 1_000.0, 0.1);
    let (better, _, harmed, _) = sum(&traffic, &Defect::errors(0.5), 500);
    near(better.error_rate(), 0.005, 0.2);
    assert_eq!(harmed, 0);
}

#[test]
fn each_defect_harms_its_share() {
    let traffic = Traffic { rps: 1000.0, errors: 0.0, ..Traffic::default() };
    for (defect, share) in [
        (Defect { errors_plus: 0.02, ..Defect::default() }, 0.02),
        (Defect { route: 0.1, route_errors: 0.3, ..Defect::default() }, 0.03),
        (Defect { endpoint_errors: 0.2, ..Defect::default() }, 0.05),
        (Defect { stuck: 0.02, ..Defect::default() }, 0.02),
        (Defect { latency_plus: 50.0, share: 0.1, ..Defect::default() }, 0.1),
        (Defect { latency_factor: 2.0, ..Defect::default() }, 1.0),
    ] {
        let (canary, _, harmed, _) = sum(&traffic, &defect, 500);
        near(harmed as f64, share * canary.requests as f64, 0.1);
    }
    assert_eq!(sum(&traffic, &Defect::default(), 100).2, 0);
}

#[test]
fn groups_are_seen_in_the_spread() {
    for groups in [1.0, 3.0] {
        let traffic = Traffic { rps: 1000.0, errors: 0.01, groups, ..Traffic::default() };
        let (_, baseline, _, [_, spread]) = sum(&traffic, &Defect::default(), 2_000);
        near(baseline.error_rate(), 0.01, 0.1);
        near(spread.squares / spread.expected, groups, 0.1);
    }
}

#[test]
fn bursts_and_restarts_hit_both() {
    let traffic = Traffic { rps: 1000.0, bursts: 90.0, ..Traffic::default() };
    let (canary, baseline, harmed, _) = sum(&traffic, &Defect::default(), 5_000);
    near(canary.error_rate(), baseline.error_rate(), 0.1);
    near(baseline.error_rate(), 0.005 * (0.9 + 0.1 * 10.0), 0.3);
    let traffic = Traffic { rps: 1000.0, errors: 0.0, restarts: 98.0, ..Traffic::default() };
    let (canary, baseline, more, _) = sum(&traffic, &Defect::default(), 20_000);
    near(canary.error_rate(), 0.01, 0.3);
    near(baseline.error_rate(), 0.01, 0.3);
    assert_eq!(harmed + more, 0);
}

#[test]
fn who_goes_another_way_meets_the_same_bursts() {
    let traffic = Traffic { rps: 10_000.0, errors: 0.01, bursts: 60.0, ..Traffic::default() };
    let bursts = |weight: f64| {
        let (good, mut seen) = (Defect::default(), Vec::new());
        let mut source = Source::new(&traffic, &good, false, 5);
        let is_burst = |second: Second| second.window.baseline.failures.total() > 200;
        seen.extend((0..600).map(|_| is_burst(source.next(weight, 1.0 - weight))));
        seen
    };
    assert!(bursts(0.1).contains(&true));
    assert_eq!(bursts(0.1), bursts(0.5));
}
