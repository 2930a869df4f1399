use proptest::prelude::*;

use super::super::{Arm, Outcome, Reading, Standing};
use super::*;
use crate::model::{ClusterSize, EjectionsMetric, ErrorsMetric, Risk};

mod edited;

fn policy() -> AnalysisPolicy {
    AnalysisPolicy {
        risk: Risk { false_revert: 0.01, false_advance: 0.05 },
        errors: Some(ErrorsMetric {
            harmless_rate: 0.01,
            cluster_size: ClusterSize::Given(1.0),
            ..ErrorsMetric::default()
        }),
        ..AnalysisPolicy::default()
    }
}

fn counts(errors: u64, requests: u64) -> Counts {
    Counts { requests, errors }
}

fn window(canary: Counts, baseline: Counts) -> Window {
    Window {
        canary: Arm { endpoints: 3, ..Arm::from(canary) },
        baseline: Arm { endpoints: 12, ..Arm::from(baseline) },
        proxies: 3,
        length: Duration::from_secs(1),
        ..Window::default()
    }
}

fn quiet() -> Window {
    window(counts(0, 0), counts(0, 900))
}

/// With so many of the endpoints out of rotation.
fn ejected(canary: u64, baseline: u64, mut window: Window) -> Window {
    (window.canary.ejected, window.baseline.ejected) = (canary, baseline);
    window
}

fn judge(windows: impl IntoIterator<Item = Window>, policy: &AnalysisPolicy) -> Judge {
    let mut judge = Judge::default();
    for window in windows {
        judge.observe(&window, policy);
    }
    judge
}

#[derive(Debug, PartialEq)]
enum Kind {
    Fail(Metric),
    Pass,
    Undecided,
    NoData,
    Error,
}

fn kind(verdict: &Verdict) -> Kind {
    match verdict {
        Verdict::Fail { metric, .. } => Kind::Fail(metric.clone()),
        Verdict::Pass { .. } => Kind::Pass,
        Verdict::Undecided { .. } => Kind::Undecided,
        Verdict::NoData { .. } => Kind::NoData,
        Verdict::Error { .. } => Kind::Error,
    }
}

#[test]
fn verdicts_and_their_sentences() {
    let out = |canary| ejected(canary, 0, window(counts(0, 10), counts(0, 90)));
    for (case, windows, expected, sentence) in [
        (
            "worse",
            vec![window(counts(37, 412), counts(8, 7930))],
            Kind::Fail(Metric::Errors),
            "errors: canary 37/412 (9.0%) against baseline 8/7930 (0.10%): evidence 2.7e28 ≥ 100, reverts",
        ),
        (
            "clean on both sides",
            vec![window(counts(0, 400), counts(0, 3600))],
            Kind::Pass,
            "errors: canary 0/400 (0%) against baseline 0/3600 (0%): evidence 21.65 ≥ 20 for below 2 times the \
             baseline's rate or 1.0%, advances",
        ),
        (
            "as good as a baseline with errors",
            vec![window(counts(5, 100), counts(45, 900)); 20],
            Kind::Pass,
            "errors: canary 100/2000 (5.0%) against baseline 900/18000 (5.0%): evidence 2.0e10 ≥ 20 for below 2 times the \
             baseline's rate or 1.0%, advances",
        ),
        (
            "too early",
            vec![window(counts(0, 100), counts(1, 900))],
            Kind::Undecided,
            "errors: canary 0/100 (0%) against baseline 1/900 (0.11%): evidence 1.8 of 20 to advance, 0.82 of 100 to \
             revert",
        ),
        ("nothing at all", vec![], Kind::NoData, "no proxy with this step's weight in force has reported"),
        ("quiet", vec![quiet(); 2], Kind::NoData, "3 proxies report, but no request to the canary for 2 s"),
        (
            "a pause between requests",
            [vec![window(counts(0, 1), counts(0, 9))], vec![quiet(); 29]].concat(),
            Kind::Undecided,
            "errors: canary 0/1 (0%) against baseline 0/9 (0%): evidence 1 of 20 to advance, 1 of 100 to revert",
        ),
        (
            "quiet again",
            [vec![window(counts(0, 1), counts(0, 9))], vec![quiet(); 30]].concat(),
            Kind::NoData,
            "3 proxies report, but no request to the canary for 30 s",
        ),
        (
            "nobody reports",
            vec![Window { length: Duration::from_secs(45), ..Window::default() }],
            Kind::NoData,
            "no proxy with this step's weight in force has reported for 45 s",
        ),
        (
            "counts of nobody",
            vec![Window { proxies: 0, ..window(counts(0, 1_000_000), counts(0, 1_000_000)) }; 30],
            Kind::NoData,
            "no proxy with this step's weight in force has reported for 30 s",
        ),
        (
            "ejected for a moment",
            vec![out(2), out(0), out(2)],
            Kind::Undecided,
            "errors: canary 0/30 (0%) against baseline 0/270 (0%): evidence 1.23 of 20 to advance, 1 of 100 to revert; \
             canary endpoints are ejected",
        ),
        (
            "ejected",
            vec![out(0), out(2), out(2)],
            Kind::Fail(Metric::Ejections),
            "ejections: 2/3 (67%) of the canary's endpoints against 0/12 (0%) of the baseline's: more than 20% apart in \
             2 windows running, reverts",
        ),
    ] {
        let verdict = judge(windows, &policy()).verdict(&policy());
        assert_eq!((kind(&verdict), verdict.reason()), (expected, sentence), "{case}");
    }
}

#[test]
fn no_pass_while_the_data_are_missing() {
    let mut judge = judge([window(counts(0, 1000), counts(0, 9000))], &policy());
    assert_eq!(kind(&judge.verdict(&policy())), Kind::Pass);
    // The proof stands, but nobody sees the canary any more.
    judge.observe(&quiet(), &policy());
    assert_eq!(kind(&judge.verdict(&policy())), Kind::Undecided);
    judge.observe(&Window { length: Duration::from_secs(60), ..quiet() }, &policy());
    assert_eq!(kind(&judge.verdict(&policy())), Kind::NoData);
    judge.observe(&window(counts(0, 10), counts(0, 90)), &policy());
    assert_eq!(kind(&judge.verdict(&policy())), Kind::Pass);
}

#[test]
fn no_pass_while_an_ejection_is_open() {
    let mut judge = judge([window(counts(0, 1000), counts(0, 9000))], &policy());
    judge.observe(&ejected(1, 0, window(counts(0, 100), counts(0, 900))), &policy());
    assert_eq!(kind(&judge.verdict(&policy())), Kind::Undecided);
    // Gauges that are missing say neither that it is over nor that it goes on.
    let mut untold = window(counts(0, 100), counts(0, 900));
    untold.canary.endpoints = 0;
    judge.observe(&untold, &policy());
    assert_eq!(kind(&judge.verdict(&policy())), Kind::Undecided);
    judge.observe(&window(counts(0, 100), counts(0, 900)), &policy());
    assert_eq!(kind(&judge.verdict(&policy())), Kind::Pass);
}

#[test]
fn what_the_baseline_suffers_too_is_no_failure() {
    let both = ejected(1, 4, window(counts(0, 10), counts(0, 90)));
    assert_eq!(kind(&judge(vec![both; 5], &policy()).verdict(&policy())), Kind::Undecided);
    // An ejection fails a canary that is so broken that it gets no requests, too.
    let dead = ejected(3, 0, quiet());
    assert_eq!(kind(&judge(vec![dead; 2], &policy()).verdict(&policy())), Kind::Fail(Metric::Ejections));
}

#[test]
fn a_step_proves_anew_and_forgives_nothing() {
    let mut judge = judge([window(counts(3, 1000), counts(1, 9000))], &policy());
    let before = judge.evidence(&policy());
    assert!(before.revert_evidence > 1.0);
    judge.observe(&window(counts(0, 1000), counts(10, 9000)), &policy());
    judge.begin_step();
    let after = judge.evidence(&policy());
    assert_eq!(after.advance_evidence, 1.0);
    assert_eq!(after.verdict, "3 proxies report, but no request to the canary");
    assert_eq!((after.canary_requests, after.canary_errors), (2000, 3));
    assert_eq!((after.baseline_requests, after.baseline_errors), (18_000, 11));
    assert_eq!((after.observed, after.proxies), (Duration::from_secs(2), 3));
    assert_eq!((after.revert_bound, after.advance_bound), (100.0, 20.0));
    // What was seen in the step before still reverts.
    judge.observe(&window(counts(40, 1000), counts(10, 9000)), &policy());
    assert_eq!(kind(&judge.verdict(&policy())), Kind::Fail(Metric::Errors));
}

#[test]
fn without_an_errors_metric_nothing_passes() {
    let policy = AnalysisPolicy { errors: None, ..policy() };
    let judge = judge(vec![window(counts(500, 1000), counts(0, 9000)); 9], &policy);
    assert_eq!(kind(&judge.verdict(&policy)), Kind::Undecided);
    let evidence = judge.evidence(&policy);
    assert_eq!((evidence.revert_evidence, evidence.advance_evidence), (1.0, 1.0));
    let neither = AnalysisPolicy { ejections: None, ..policy };
    assert_eq!(kind(&judge.verdict(&neither)), Kind::Undecided);
}

#[test]
fn goes_on_bit_for_bit_after_being_stored() {
    let mut kept = Judge::default();
    let mut restarted = Judge::default();
    for i in 0..200_u64 {
        let mut window = window(counts(i % 3, 97 + i), counts(i % 7, 911 + 3 * i));
        window.canary.ejected = u64::from(i % 11 == 0);
        if i % 50 == 0 {
            kept.begin_step();
            restarted.begin_step();
        }
        kept.observe(&window, &policy());
        restarted.observe(&window, &policy());
        restarted = serde_json::from_str(&serde_json::to_string(&restarted).unwrap()).unwrap();
        assert_eq!(restarted, kept);
        let bits = |judge: &Judge| {
            let evidence = judge.evidence(&policy());
            (evidence.revert_evidence.to_bits(), evidence.advance_evidence.to_bits())
        };
        assert_eq!(bits(&restarted), bits(&kept));
    }
}

#[test]
fn a_canary_as_good_as_a_clean_baseline_is_let_through_by_its_harmless_rate() {
    // One error in ten thousand requests, and a baseline without any: no proof of a ratio yet, and far below 1 %.
    let errors = |n: u64| (0..30).map(move |i| window(counts(u64::from(i < n), 1000), counts(0, 9000)));
    assert_eq!(kind(&judge(errors(3), &policy()).verdict(&policy())), Kind::Pass);
    // A proven ratio reverts, harmless or not: more than tolerated is more than tolerated.
    assert_eq!(kind(&judge(errors(6), &policy()).verdict(&policy())), Kind::Fail(Metric::Errors));
}

#[test]
fn evidence_against_what_is_no_longer_asked_is_dropped() {
    let edited = |edit: fn(&mut ErrorsMetric)| {
        let mut errors = policy().errors.unwrap();
        edit(&mut errors);
        AnalysisPolicy { errors: Some(errors), ..policy() }
    };
    let judged = judge(vec![window(counts(0, 100), counts(9, 900)); 3], &policy());
    let all = |judge: &Judge| judge.errors.each();
    let before = all(&judged);
    for (policy, [revert, advance, absolute]) in [
        (edited(|_| {}), [true, true, true]),
        (edited(|e| e.tolerate_ratio = 1.5), [false, true, true]),
        (edited(|e| e.reject_ratio = 1.5), [true, false, true]),
        (edited(|e| e.harmless_rate = 0.002), [true, true, false]),
    ] {
        let mut judged = judged.clone();
        // A window that teaches next to nothing.
        judged.observe(&window(counts(0, 1), counts(0, 9)), &policy);
        for ((before, after), stays) in before.iter().zip(all(&judged)).zip([revert, advance, absolute]) {
            assert_eq!((before.ln() - after.ln()).abs() < 0.02, stays, "{policy:?}");
            assert!(stays || after.ln().abs() < 0.02, "{policy:?}");
        }
    }
}

mod causes;

fn any_window() -> impl Strategy<Value = Window> {
    let number = || prop_oneof![Just(0), 0..5_000_u64, any::<u64>()];
    let sides = (number(), number(), number(), number());
    let gauges = (number(), number(), number(), number());
    (sides, gauges, 0..4_usize, any::<u32>()).prop_map(|(sides, gauges, proxies, millis)| Window {
        canary: Arm { ejected: gauges.0, endpoints: gauges.1, ..Arm::from(counts(sides.0, sides.1)) },
        baseline: Arm { ejected: gauges.2, endpoints: gauges.3, ..Arm::from(counts(sides.2, sides.3)) },
        proxies,
        length: Duration::from_millis(u64::from(millis)),
        ..Window::default()
    })
}

fn any_policy() -> impl Strategy<Value = AnalysisPolicy> {
    (prop::collection::vec(any::<f64>(), 7), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(n, sane, errors, ejections)| {
            let sensible = policy();
            let metric = ErrorsMetric {
                tolerate_ratio: n[2],
                reject_ratio: n[3],
                harmless_rate: n[4],
                cluster_size: if errors { ClusterSize::Given(n[5]) } else { ClusterSize::Estimated },
                ..ErrorsMetric::default()
            };
            AnalysisPolicy {
                risk: if sane { sensible.risk } else { Risk { false_revert: n[0], false_advance: n[1] } },
                errors: errors.then_some(if sane { sensible.errors.unwrap() } else { metric }),
                ejections: ejections.then_some(EjectionsMetric { max_excess: n[6], dry_run: false }),
                ..sensible
            }
        },
    )
}

/// Ten thousand cases over the module, the dear ones fewer.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn no_window_and_no_policy_can_break_it(windows in prop::collection::vec(any_window(), 0..12), policy in any_policy()) {
        let mut judge = Judge::default();
        for window in &windows {
            judge.observe(window, &policy);
            let evidence = judge.evidence(&policy);
            for number in [
                evidence.revert_evidence,
                evidence.revert_bound,
                evidence.advance_evidence,
                evidence.advance_bound,
                evidence.cluster_size,
            ] {
                prop_assert!(number.is_finite() && number >= 0.0);
            }
            prop_assert!(!evidence.verdict.is_empty());
            let stored = serde_json::to_string(&judge).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Judge>(&stored).unwrap(), &judge);
        }
        if windows.last().is_none_or(|newest| !newest.has_data()) {
            prop_assert_ne!(kind(&judge.verdict(&policy)), Kind::Pass);
        }
    }

}

proptest! {
    #![proptest_config(cases(3_500))]

    #[test]
    fn windows_without_data_never_pass(mut windows in prop::collection::vec(any_window(), 0..12), which in any::<bool>()) {
        for window in &mut windows {
            if which { window.canary = counts(9, 0).into() } else { window.proxies = 0 }
        }
        let verdict = judge(windows, &policy()).verdict(&policy());
        prop_assert!(matches!(kind(&verdict), Kind::Undecided | Kind::NoData | Kind::Fail(Metric::Ejections)));
    }

    #[test]
    fn more_canary_errors_never_help(
        (canary, baseline) in (1..2_000_u64, 1..20_000_u64), (few, more, others) in (0..40_u64, 1..40_u64, 0..40_u64)
    ) {
        let side = |errors| {
            judge(vec![window(counts(errors, canary + 100), counts(others.min(baseline), baseline)); 3], &policy())
                .evidence(&policy())
        };
        let (better, worse) = (side(few), side(few + more));
        prop_assert!(worse.revert_evidence >= better.revert_evidence);
        prop_assert!(worse.advance_evidence <= better.advance_evidence);
    }
}

#[test]
fn a_metric_that_decides_nothing_is_shown() {
    let with = |dry_run| AnalysisPolicy {
        errors: policy().errors.map(|errors| ErrorsMetric { dry_run, ..errors }),
        ejections: Some(EjectionsMetric { dry_run, ..EjectionsMetric::default() }),
        ..policy()
    };
    let windows = || vec![ejected(3, 0, window(counts(40, 400), counts(8, 7_000))); 3];
    let standings = |judge: &Judge, policy: &AnalysisPolicy| -> Vec<(Metric, bool, Standing)> {
        let metrics = judge.evidence(policy).metrics;
        metrics.into_iter().map(|metric| (metric.metric, metric.dry_run, metric.standing)).collect()
    };
    for dry_run in [false, true] {
        let policy = with(dry_run);
        let judge = judge(windows(), &policy);
        let failed = |metric| (metric, dry_run, Standing::Fail);
        assert_eq!(standings(&judge, &policy), [failed(Metric::Errors), failed(Metric::Ejections)]);
        let verdict = kind(&judge.verdict(&policy));
        assert_eq!(verdict, if dry_run { Kind::Undecided } else { Kind::Fail(Metric::Errors) });
    }
    let good = judge([window(counts(0, 1_000), counts(0, 9_000))], &with(true));
    let said = &good.evidence(&with(true)).metrics[0];
    assert_eq!(
        (said.standing, said.said.as_str()),
        (
            Standing::Pass,
            "errors: canary 0/1000 (0%) against baseline 0/9000 (0%): evidence 7092 of 20 to advance, 1 of 100 to revert"
        )
    );
    assert_eq!(kind(&good.verdict(&with(true))), Kind::Undecided);
}

#[test]
fn a_limit_fails_whatever_the_baseline_does() {
    let limited = |max| AnalysisPolicy {
        errors: policy().errors.map(|errors| ErrorsMetric { max: Some(max), ..errors }),
        ..policy()
    };
    let both = vec![window(counts(9, 100), counts(81, 900)); 60];
    let verdict = judge(both.clone(), &limited(0.05)).verdict(&limited(0.05));
    assert_eq!(kind(&verdict), Kind::Fail(Metric::Errors));
    assert!(
        verdict.reason().starts_with("errors: canary 540/6000 (9.0%) against at most 5.0%: evidence "),
        "{verdict:?}"
    );
    assert_eq!(kind(&judge(both.clone(), &limited(0.1)).verdict(&limited(0.1))), Kind::Pass);
    // A limit that is edited begins anew.
    let mut edited = judge(both, &limited(0.05));
    edited.observe(&window(counts(9, 100), counts(81, 900)), &limited(0.1));
    assert_eq!(kind(&edited.verdict(&limited(0.1))), Kind::Pass);
}

#[test]
fn the_watch_shares_the_bound() {
    let mut judge = judge(vec![window(counts(0, 500), counts(0, 500)); 9], &policy());
    judge.begin_watch(&policy());
    let at = (1..30).find(|_| {
        judge.observe(&window(counts(30, 1_000), counts(0, 0)), &policy());
        kind(&judge.verdict(&policy())) == Kind::Fail(Metric::Errors)
    });
    assert!(at.is_some_and(|windows| windows <= 3), "{at:?}");
    let reason = judge.verdict(&policy()).reason().to_owned();
    assert!(reason.contains("(3.0%) since it has all the traffic, against at most 1.0% before: evidence"), "{reason}");
}

#[test]
fn what_only_others_measured_is_no_time_without_data() {
    let mut judge = judge([window(counts(0, 1_000), counts(0, 9_000))], &policy());
    let before = judge.evidence(&policy());
    let readings = vec![Reading { metric: "cpu".into(), outcome: Outcome::Value(0.5) }];
    judge.observe(&Window { readings, ..Window::default() }, &policy());
    assert_eq!(judge.evidence(&policy()), before);
}
