use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const INF: f64 = f64::INFINITY;

fn histogram(bounds: &[f64], counts: &[u64]) -> Histogram {
    Histogram { bounds: bounds.to_vec(), counts: counts.to_vec() }
}

fn merged(all: impl IntoIterator<Item = Histogram>) -> Histogram {
    let mut sum = Histogram::default();
    all.into_iter().for_each(|histogram| sum.merge(&histogram));
    sum
}

#[test]
fn sums_keep_the_bounds_that_all_have() {
    for (case, all, expected) in [
        ("nothing", vec![], histogram(&[], &[])),
        (
            "the same bounds",
            vec![histogram(&[1.0, 2.0], &[3, 4]), histogram(&[1.0, 2.0], &[10, 20])],
            histogram(&[1.0, 2.0], &[13, 24]),
        ),
        (
            "a finer one",
            vec![histogram(&[1.0, 2.0, 5.0, INF], &[1, 2, 3, 4]), histogram(&[2.0, INF], &[10, 20])],
            histogram(&[2.0, INF], &[13, 27]),
        ),
        (
            "one that says what is infinite, one that does not",
            vec![histogram(&[1.0, 2.0, INF], &[1, 2, 3]), histogram(&[1.0, 2.0], &[10, 20])],
            histogram(&[1.0, 2.0, INF], &[11, 22, 3]),
        ),
        (
            "nothing in common",
            vec![histogram(&[1.0, 3.0], &[1, 2]), histogram(&[2.0, 4.0], &[10, 20])],
            histogram(&[INF], &[33]),
        ),
        (
            "what is no histogram",
            vec![
                histogram(&[1.0, 1.0], &[9, 9]),
                histogram(&[1.0, INF], &[1, 2]),
                histogram(&[f64::NAN, 2.0], &[9, 9]),
                histogram(&[1.0, INF], &[9]),
                histogram(&[-INF, 1.0], &[9, 9]),
                histogram(&[2.0, 1.0], &[9, 9]),
            ],
            histogram(&[1.0, INF], &[1, 2]),
        ),
        ("as many as there are", vec![histogram(&[1.0], &[u64::MAX]); 2], histogram(&[1.0], &[u64::MAX])),
    ] {
        assert_eq!(merged(all), expected, "{case}");
    }
    let mut nonsense = histogram(&[2.0, 1.0], &[9, 9]);
    nonsense.merge(&histogram(&[1.0], &[1]));
    assert_eq!(nonsense, histogram(&[1.0], &[1]), "what was no histogram before is left out too");
}

#[test]
fn counts_above_and_quantiles() {
    let some = histogram(&[1.0, 10.0, 100.0, INF], &[50, 40, 9, 1]);
    for (bound, above) in [(0.0, 50), (1.0, 50), (10.0, 10), (50.0, 1), (100.0, 1), (INF, 0), (f64::NAN, 50)] {
        assert_eq!(some.above(bound), above, "{bound}");
    }
    for (quantile, bound) in
        [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.7, 5.5), (0.99, 100.0), (1.0, 100.0), (7.0, 100.0)]
    {
        let got = some.quantile(quantile).expect("it has counts");
        assert!((got - bound).abs() < 1e-9, "{quantile}: {got}");
    }
    for none in [histogram(&[], &[]), histogram(&[1.0], &[0]), histogram(&[INF], &[5]), histogram(&[2.0, 1.0], &[1, 1])]
    {
        assert_eq!(none.quantile(0.5), None, "{none:?}");
    }
}

/// Sound or not, with bounds that others have as well, and counts up to the largest.
fn any_histogram() -> impl Strategy<Value = Histogram> {
    let count = prop_oneof![4 => 0..1000_u64, 1 => any::<u64>()];
    let sound = prop::collection::btree_map(0..8_u32, count, 0..8).prop_map(|buckets: BTreeMap<u32, u64>| {
        let bound = |exponent: &u32| if *exponent == 7 { INF } else { f64::from(1 << exponent) };
        Histogram { bounds: buckets.keys().map(bound).collect(), counts: buckets.into_values().collect() }
    });
    let absurd = (prop::collection::vec(any::<f64>(), 0..6), prop::collection::vec(any::<u64>(), 0..6))
        .prop_map(|(bounds, counts)| Histogram { bounds, counts });
    prop_oneof![4 => sound, 1 => absurd]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn merging_loses_nothing(all in prop::collection::vec(any_histogram(), 0..6)) {
        let sum = merged(all.clone());
        let sound: Vec<_> = all.into_iter().filter(|one| one.is_sound() && !one.bounds.is_empty()).collect();
        let of = |count: &dyn Fn(&Histogram) -> u64| sound.iter().map(count).fold(0, u64::saturating_add);
        prop_assert!(sum.is_sound());
        prop_assert_eq!(sum.total(), of(&Histogram::total));
        for bound in &sum.bounds {
            prop_assert_eq!(sum.above(*bound), of(&|one| one.above(*bound)), "above {}", bound);
        }
        // And no bound goes that all have.
        for bound in sound.first().map(|one| one.bounds.clone()).unwrap_or_default() {
            let shared = sound.iter().all(|one| one.bounds.contains(&bound));
            prop_assert!(!shared || sum.bounds.contains(&bound), "{} is gone", bound);
        }
    }

    #[test]
    fn order_and_grouping_do_not_matter(mut all in prop::collection::vec(any_histogram(), 0..6), cut in 0..6_usize) {
        let sum = merged(all.clone());
        let (some, others) = all.split_at(cut.min(all.len()));
        prop_assert_eq!(merged([merged(some.to_vec()), merged(others.to_vec())]), sum.clone());
        all.reverse();
        prop_assert_eq!(merged(all), sum);
    }
}
