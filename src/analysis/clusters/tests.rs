use super::*;

fn counts(errors: u64, requests: u64) -> Counts {
    Counts { requests, errors }
}

/// So many errors on each of four cells with as many requests.
fn cells(errors: [u64; 4]) -> (Counts, Spread) {
    let each = errors.map(|errors| counts(errors, 250));
    let sum = each.iter().fold(Counts::default(), |sum, cell| sum.plus(*cell));
    (sum, Spread::across(each.into_iter()))
}

fn arm(errors: [u64; 4]) -> (Arm, Counts) {
    let (counts, spread) = cells(errors);
    (Arm { spread, ..Arm::from(counts) }, counts)
}

fn worse(clusters: &Clusters, errors: [u64; 4]) -> Size {
    let (canary, errors) = arm(errors);
    let (baseline, none) = arm([0; 4]);
    clusters.sizes(&canary, errors, &baseline, none).worse
}

/// One that has seen singles for long.
fn calm() -> Clusters {
    let mut clusters = Clusters::default();
    for i in 0..200_usize {
        let mut errors = [1; 4];
        errors[i % 4] = 2;
        let (counts, spread) = cells(errors);
        clusters.note_baseline(counts, spread);
        clusters.note_canary(counts, spread);
    }
    clusters
}

#[test]
fn care_gives_way_to_errors_that_come_singly() {
    let mut clusters = Clusters::default();
    assert_eq!(clusters.known(), CAREFUL);
    let mut before = clusters.known();
    for _ in 0..20 {
        for errors in [1, 0] {
            clusters.note_baseline(counts(errors, 1_000), Spread::default());
        }
        assert!(clusters.known() <= before);
        before = clusters.known();
    }
    assert!(before < 1.2, "{before}");
    assert_eq!(calm().known(), 1.0);
}

#[test]
fn groups_are_known_by_their_size() {
    for size in [2, 5, 10] {
        let (mut heaped, mut bursts) = (Clusters::default(), Clusters::default());
        for i in 0..400_usize {
            // One group in every fourth window: on one cell, or on all of them alike.
            let mut errors = [0; 4];
            errors[i / 4 % 4] = if i % 4 == 0 { size } else { 0 };
            let (sum, spread) = cells(errors);
            heaped.note_baseline(sum, spread);
            bursts.note_baseline(sum, Spread::default());
        }
        for known in [heaped.known(), bursts.known()] {
            let size = size as f64;
            assert!(known > 0.75 * size && known < 2.1 * size, "{known}, not about {size}");
        }
    }
}

#[test]
fn the_first_burst_sees_itself() {
    let calm = calm();
    // All on one endpoint: for as long as it may last, what it wins counts as a third of one error.
    let heap = worse(&calm, [25, 0, 0, 0]);
    assert_eq!(heap.known, 1.0);
    assert!(heap.burst >= 60.0, "{heap:?}");
    assert!((heap.temper(25.0) - 25.0 / heap.burst).abs() < 1e-12 && heap.temper(-25.0) == -25.0);
    // On all alike after a window with few: a burst as well, at first.
    let rise = worse(&calm, [8, 8, 8, 8]);
    assert!(rise.burst > 10.0 && rise.burst < 32.0, "{rise:?}");
    // Three where there was one is chance.
    assert_eq!(worse(&calm, [2, 3, 2, 2]).burst, 1.0);
}

#[test]
fn what_stays_is_no_burst() {
    let mut clusters = calm();
    let mut sizes = Vec::new();
    for _ in 0..5 {
        sizes.push(worse(&clusters, [8, 8, 8, 8]).burst);
        let (counts, spread) = cells([8, 8, 8, 8]);
        clusters.note_canary(counts, spread);
    }
    assert!(sizes.windows(2).all(|pair| pair[1] <= pair[0] / 2.0 || pair[1] == 1.0), "{sizes:?}");
    assert!(*sizes.last().expect("five") < 1.3, "{sizes:?}");
    // A sick endpoint is the canary's own after some more.
    let mut clusters = calm();
    let heaped = |clusters: &Clusters| worse(clusters, [25, 0, 0, 0]).burst;
    for _ in 0..LASTS {
        assert!(heaped(&clusters) > 60.0);
        let (counts, spread) = cells([25, 0, 0, 0]);
        clusters.note_canary(counts, spread);
    }
    assert_eq!(heaped(&clusters), 1.0);
}

#[test]
fn nonsense_is_no_size() {
    for spread in [
        Spread { squares: f64::NAN, expected: 1.0 },
        Spread { squares: 1.0, expected: f64::INFINITY },
        Spread { squares: -1.0, expected: 1.0 },
        Spread { squares: 1e300, expected: -1.0 },
        Spread { squares: f64::MAX, expected: f64::MIN_POSITIVE },
    ] {
        let mut clusters = Clusters::default();
        for errors in [counts(u64::MAX, u64::MAX), counts(9, 0), counts(1, u64::MAX)] {
            clusters.note_baseline(errors, spread);
            clusters.note_canary(errors, spread);
            let canary = Arm { spread, ..Arm::from(errors) };
            let sizes = clusters.sizes(&canary, errors, &canary, errors);
            for size in [sizes.worse, sizes.better, sizes.fewer] {
                assert!(size.known >= 1.0 && size.known.is_finite() && size.burst >= size.known, "{size:?}");
                assert!(!size.temper(1e300).is_nan() && !size.temper(f64::NEG_INFINITY).is_nan());
            }
        }
    }
}
