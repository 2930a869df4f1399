use std::time::Duration;

use proptest::prelude::*;

use super::fixture::*;
use super::*;

/// What a proxy may say: a histogram, a gap, absurd numbers, or none.
fn any_histogram() -> impl Strategy<Value = Option<Histogram>> {
    let counts = |count: BoxedStrategy<u64>| prop::collection::vec(count, BOUNDS.len());
    let whole = counts((0..50_u64).boxed()).prop_map(|counts| Histogram { bounds: BOUNDS.to_vec(), counts });
    let huge = counts(any::<u64>().boxed()).prop_map(|counts| Histogram { bounds: BOUNDS.to_vec(), counts });
    let some = prop::collection::btree_map(0..12_u32, 0..50_u64, 0..8).prop_map(|buckets| Histogram {
        bounds: buckets.keys().map(|exponent| f64::from(1 << exponent)).collect(),
        counts: buckets.into_values().collect(),
    });
    let absurd = (prop::collection::vec(any::<f64>(), 0..6), prop::collection::vec(any::<u64>(), 0..6))
        .prop_map(|(bounds, counts)| Histogram { bounds, counts });
    prop_oneof![
        3 => whole.prop_map(Some),
        1 => huge.prop_map(Some),
        2 => some.prop_map(Some),
        1 => absurd.prop_map(Some),
        1 => Just(None),
    ]
}

fn any_window() -> impl Strategy<Value = Window> {
    (any_histogram(), any_histogram()).prop_map(|(canary, baseline)| {
        let mut window = window(Histogram::default(), Histogram::default());
        (window.canary.latency, window.baseline.latency) = (canary, baseline);
        window
    })
}

fn any_metric() -> impl Strategy<Value = LatencyMetric> {
    let number = || prop_oneof![2 => 1.0..4.0_f64, 1 => any::<f64>()];
    let limit = (prop_oneof![Just(0.99), any::<f64>()], 0..60_000_u64)
        .prop_map(|(quantile, limit)| QuantileLimit { quantile, limit: Duration::from_millis(limit) });
    (number(), number(), prop::collection::vec(limit, 0..3)).prop_map(|(tolerate_ratio, reject_ratio, max)| {
        LatencyMetric { tolerate_ratio, reject_ratio, max, ..LatencyMetric::default() }
    })
}

/// Both sides with the same counts in each bucket but for a factor, so with the same latency.
fn sides() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
    let counts = || prop::collection::vec(0..30_u64, BOUNDS.len());
    (counts(), counts())
        .prop_filter("requests on both", |(a, b)| a.iter().sum::<u64>() > 0 && b.iter().sum::<u64>() > 0)
}

fn of(counts: &[u64]) -> Histogram {
    Histogram { bounds: BOUNDS.to_vec(), counts: counts.to_vec() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_input_makes_evidence_of_nonsense(windows in prop::collection::vec(any_window(), 0..4), metric in any_metric()) {
        let mut latency = Latency::default();
        for window in &windows {
            latency.observe(window, &metric);
            let stored = serde_json::to_string(&latency).expect("it is data");
            prop_assert_eq!(&serde_json::from_str::<Latency>(&stored).expect("as it was written"), &latency);
        }
        for e in [latency.revert(), latency.good(), latency.limit()] {
            prop_assert!(!e.ln().is_nan() && e.value().is_finite());
        }
        prop_assert!(!latency.said(&metric).is_empty());
    }

    #[test]
    fn gaps_never_advance(window in any_window(), others in prop::collection::vec(any_window(), 0..4)) {
        let metric = LatencyMetric::default();
        let mut latency = Latency::default();
        latency.observe(&window, &metric);
        let before = latency.good();
        for mut gap in others {
            gap.canary.latency = None;
            latency.observe(&gap, &metric);
            gap.canary.latency = Some(Histogram { bounds: vec![2.0, 1.0], counts: vec![1, 1] });
            latency.observe(&gap, &metric);
            gap.canary.latency = Some(Histogram { bounds: BOUNDS.to_vec(), counts: vec![0; BOUNDS.len()] });
            latency.observe(&gap, &metric);
        }
        prop_assert_eq!(latency.good(), before);
    }

    #[test]
    fn more_slow_canary_requests_never_help_the_canary(
        (canary, baseline) in sides(), from in 0..BOUNDS.len(), to in 0..BOUNDS.len(), size in 1.0..5.0_f64
    ) {
        let metric = LatencyMetric::default();
        let (from, to) = (from.min(to), from.max(to));
        let mut slower = canary.clone();
        let moved = slower[from];
        slower[from] = 0;
        slower[to] += moved;
        let [a, b] = [canary, slower].map(|canary| {
            let mut latency = Latency::default();
            // The first window tells which boundary proves.
            for _ in 0..2 {
                let window = window(of(&canary), of(&baseline));
                latency.observe_clustered(&window, &metric, ClusterSize::Given(size));
            }
            latency
        });
        prop_assert!(b.revert().ln() >= a.revert().ln() - 1e-9, "{:?} {:?}", a.revert(), b.revert());
        prop_assert!(b.good().ln() <= a.good().ln() + 1e-9, "{:?} {:?}", a.good(), b.good());
    }

    #[test]
    fn the_order_of_proxies_does_not_matter(mut proxies in prop::collection::vec((any_histogram(), any_histogram()), 1..6)) {
        let metric = LatencyMetric::default();
        let judged = |proxies: &[(Option<Histogram>, Option<Histogram>)]| {
            let mut both = [Histogram::default(), Histogram::default()];
            for (canary, baseline) in proxies {
                canary.iter().for_each(|histogram| both[0].merge(histogram));
                baseline.iter().for_each(|histogram| both[1].merge(histogram));
            }
            let [canary, baseline] = both;
            let mut latency = Latency::default();
            latency.observe(&window(canary, baseline), &metric);
            latency
        };
        let forth = judged(&proxies);
        proxies.reverse();
        prop_assert_eq!(judged(&proxies), forth);
    }
}
