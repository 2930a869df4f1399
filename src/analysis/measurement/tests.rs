use std::time::Duration;

use super::super::{Arm, Counts, Place, PlaceCounts, PlaceKind};
use super::*;
use crate::model::ErrorsMetric;

fn policy(tolerate_ratio: f64) -> AnalysisPolicy {
    AnalysisPolicy {
        errors: Some(ErrorsMetric { tolerate_ratio, ..ErrorsMetric::default() }),
        ..AnalysisPolicy::default()
    }
}

fn window(n: u64) -> Window {
    let counts = |requests, errors| Counts { requests, errors };
    let place = Place { kind: PlaceKind::Proxy, name: format!("edge-{}", n % 5) };
    let at = PlaceCounts { place, canary: counts(20 + n % 7, n % 3), baseline: counts(300, n % 4) };
    Window {
        canary: Arm { endpoints: 3, ejected: u64::from(n.is_multiple_of(13)), ..Arm::from(counts(97 + n % 31, n % 3)) },
        baseline: Arm { endpoints: 12, ..Arm::from(counts(911 + 3 * (n % 17), n % 7)) },
        proxies: if n.is_multiple_of(29) { 0 } else { 4 },
        length: Duration::from_millis(900 + n),
        places: vec![at],
        ..Window::default()
    }
}

/// A long release with all that can happen to its judge: through the store now and then, and through the journal always.
fn recorded(windows: u64) -> Vec<Measurement> {
    let mut judge = Judge::default();
    let mut measured = Vec::new();
    for n in 0..windows {
        let policy = policy(if n < 700 { 1.1 } else { 1.3 });
        match n % 400 {
            100 | 250 => judge.begin_step(),
            300 => judge.begin_watch(&policy),
            380 => judge.end_watch(),
            _ => {}
        }
        // Begun over again.
        if n == 1_500 {
            judge = Judge::default();
        }
        if n % 50 == 0 {
            judge = through(&judge);
        }
        measured.push(through(&judge.observe(&window(n), &policy)));
    }
    measured
}

fn through<T: Serialize + for<'a> Deserialize<'a>>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).expect("JSON")).expect("read back")
}

/// The index of the first that comes out otherwise.
fn differs(measured: &[Measurement]) -> Option<usize> {
    let mut judge = Judge::default();
    let text = |evidence: &Evidence| serde_json::to_string(evidence).expect("JSON");
    measured.iter().position(|one| text(&judge.replay(one)) != text(&one.evidence))
}

#[test]
fn judged_again_it_is_the_same_bit_for_bit() {
    let measured = recorded(2_600);
    assert_eq!(differs(&measured), None);
    let beginnings: Vec<usize> = (0..measured.len()).filter(|n| measured[*n].is_beginning()).collect();
    assert_eq!(beginnings, [0, 1_000, 1_500, 2_500], "the first, and every thousandth of its own");
    // From any of these on it can be judged again, whatever is gone before; from elsewhere it cannot.
    for from in beginnings {
        assert_eq!(differs(&measured[from..]), None, "{from}");
    }
    assert_eq!(differs(&measured[2..]), Some(0));
}

#[test]
fn whatever_was_changed_is_found() {
    let measured = recorded(400);
    let changed = |change: fn(&mut Measurement), at: usize| {
        let mut measured = measured.clone();
        change(&mut measured[at]);
        differs(&measured)
    };
    assert_eq!(changed(|one| one.window.canary.requests += 1, 200), Some(200));
    assert_eq!(changed(|one| one.window.proxies = 3, 399), Some(399));
    assert_eq!(changed(|one| one.evidence.revert_evidence *= 1.0 + f64::EPSILON, 120), Some(120));
    assert_eq!(changed(|one| one.marks.clear(), 250), Some(250), "a step that nobody began");
}

#[test]
fn a_judge_of_an_older_analysis_says_where_the_newer_takes_over() {
    let mut judge = Judge::default();
    judge.observe(&window(1), &policy(1.1));
    judge.analysis = ANALYSIS - 1;
    assert_eq!(judge.observe(&window(2), &policy(1.1)).marks, [Mark::Analysis(ANALYSIS)]);
    assert_eq!(judge.observe(&window(3), &policy(1.1)).marks, []);
}

/// What is kept each second: the judge with its rollout, and the measurement in the journal.
#[test]
fn what_is_kept_stays_small() {
    let bounds: Vec<f64> = (1..=34).map(f64::from).collect();
    let histogram = |each: u64| crate::model::Histogram { bounds: bounds.clone(), counts: vec![each; 34] };
    let size = |places: u64| {
        let latency = Some(crate::model::LatencyMetric::default());
        let policy = AnalysisPolicy { latency, ..AnalysisPolicy::default() };
        let (mut judge, mut record) = (Judge::default(), 0);
        for n in 0..20 {
            let mut window = window(n);
            (window.canary.latency, window.baseline.latency) = (Some(histogram(7)), Some(histogram(90 + n)));
            let at = |one: u64| PlaceCounts {
                place: Place { kind: PlaceKind::Endpoint, name: format!("10.0.100.{one}:8080") },
                canary: Counts { requests: 50, errors: n % 2 },
                baseline: Counts { requests: 900, errors: 7 },
            };
            window.places = (0..places).map(at).collect();
            let measurement = judge.observe(&window, &policy);
            record = serde_json::to_string(&measurement).expect("JSON").len();
        }
        (serde_json::to_string(&judge).expect("JSON").len(), record)
    };
    let (few, many) = (size(10), size(160));
    println!("judge and record: {few:?} with few places, {many:?} with as many as are followed");
    assert!(few.0 < 50_000 && few.1 < 6_000, "{few:?}");
    assert!(many.0 < 100_000 && many.1 < 40_000, "{many:?}");
}
