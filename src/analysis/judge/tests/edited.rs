//! A policy that is edited in mid-rollout.

use super::*;
use crate::model::{Histogram, LatencyMetric};

/// Slow is one of ten of the baseline's; of the canary's so many of a hundred.
fn timed(errors: u64, slow: u64) -> Window {
    let histogram = |slow: u64, all: u64| Histogram {
        bounds: vec![10.0, 100.0, 30_000.0],
        counts: vec![all / 2, all / 2 - slow, slow],
    };
    let mut window = window(counts(errors, 100), counts(9, 900));
    window.canary.latency = Some(histogram(slow, 100));
    window.baseline.latency = Some(histogram(90, 900));
    window
}

fn with_latency(dry_run: bool) -> AnalysisPolicy {
    AnalysisPolicy { latency: Some(LatencyMetric { dry_run, ..LatencyMetric::default() }), ..policy() }
}

fn revert(judge: &Judge, policy: &AnalysisPolicy) -> f64 {
    judge.evidence(policy).revert_evidence
}

/// As far as numbers that were taken apart and put together again can be.
fn assert_same(a: f64, b: f64) {
    assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");
}

#[test]
fn what_was_shown_and_then_decides_has_to_be_proven_anew() {
    let mut judge = judge([(); 30].map(|()| timed(1, 18)), &with_latency(true));
    let before = revert(&judge, &with_latency(true));
    judge.ask(&with_latency(false));
    assert_same(revert(&judge, &with_latency(false)), before);
    assert!(matches!(judge.verdict(&with_latency(false)), Verdict::Undecided { .. }));
    let failed = (1..30).find(|_| {
        judge.observe(&timed(1, 18), &with_latency(false));
        matches!(judge.verdict(&with_latency(false)), Verdict::Fail { metric: Metric::Latency, .. })
    });
    assert!(failed.is_some_and(|windows| windows > 1), "{failed:?}");
}

#[test]
fn nothing_fails_by_taking_a_metric_away() {
    let mut judge = Judge::default();
    // Fewer errors than the baseline, and slower: together just not enough.
    let almost = loop {
        judge.observe(&timed(0, 14), &with_latency(false));
        let evidence = revert(&judge, &with_latency(false));
        if evidence > 60.0 {
            break evidence;
        }
    };
    let latency = AnalysisPolicy { errors: None, ..with_latency(false) };
    judge.ask(&latency);
    assert_same(revert(&judge, &latency), almost);
    // What speaks against something that is not asked any more is given up, and does not come back.
    judge.ask(&AnalysisPolicy { errors: None, ..policy() });
    judge.ask(&with_latency(false));
    assert!(revert(&judge, &with_latency(false)) <= 1.0);
}

#[test]
fn evidence_that_was_lost_does_not_come_back_by_an_edit() {
    let mut judge = judge([(); 30].map(|()| window(counts(0, 100), counts(9, 900))), &policy());
    let before = revert(&judge, &policy());
    let mut edited = policy();
    edited.errors.as_mut().unwrap().tolerate_ratio = 1.2;
    judge.ask(&edited);
    assert!(before < 0.9);
    assert_same(revert(&judge, &edited), before);
    judge.begin_watch(&edited);
    judge.end_watch();
    assert_same(revert(&judge, &edited), before);
}

#[test]
fn it_is_judged_by_what_was_asked_with_the_newest_window() {
    let mut judge = judge([timed(30, 10)], &policy());
    let edited = AnalysisPolicy { errors: None, ..policy() };
    assert!(matches!(judge.verdict(judge.asked(&edited)), Verdict::Fail { .. }));
    judge.observe(&timed(0, 10), &edited);
    assert!(matches!(judge.verdict(judge.asked(&policy())), Verdict::Undecided { .. }));
    assert_eq!(Judge::default().asked(&edited), &edited);
}

#[test]
fn ejections_that_nobody_asked_about_are_forgotten() {
    let bad = || ejected(3, 0, window(counts(0, 100), counts(0, 900)));
    let without = AnalysisPolicy { ejections: None, ..policy() };
    let mut judge = judge([bad(), bad()], &policy());
    assert!(matches!(judge.verdict(&policy()), Verdict::Fail { metric: Metric::Ejections, .. }));
    judge.observe(&bad(), &without);
    judge.observe(&bad(), &policy());
    assert!(!matches!(judge.verdict(&policy()), Verdict::Fail { .. }));
}
