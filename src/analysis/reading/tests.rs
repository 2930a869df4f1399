use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::analysis::{Counts, Judge, Verdict, Window};

fn metric(name: &str) -> MeasuredMetric {
    MeasuredMetric {
        name: name.into(),
        source: MetricSource::Webhook { url: "http://metrics/".into(), path: Vec::new(), secret: None },
        min: None,
        max: Some(0.2),
        interval: Duration::from_secs(10),
        initial_delay: Duration::ZERO,
        timeout: Duration::from_secs(5),
        count: 2,
        failure_limit: 1,
        consecutive_error_limit: 2,
        dry_run: false,
    }
}

fn policy(measured: impl Into<Vec<MeasuredMetric>>) -> AnalysisPolicy {
    AnalysisPolicy { measured: measured.into(), ..AnalysisPolicy::default() }
}

fn reading(name: &str, outcome: Outcome) -> Reading {
    Reading { metric: name.into(), outcome }
}

const GOOD: Outcome = Outcome::Value(0.2);
const BAD: Outcome = Outcome::Value(0.3);

fn error() -> Outcome {
    Outcome::Error("connection refused".into())
}

/// What these outcomes of the one metric come to, told as one word and what stands.
fn come_to(outcomes: &[Outcome], policy: &AnalysisPolicy) -> (&'static str, Standing) {
    let mut readings = Readings::default();
    for outcome in outcomes {
        readings.observe(&[reading("p99", outcome.clone())], policy);
    }
    let word = match (readings.failure(policy), readings.error(policy), readings.proven(policy)) {
        (Some(_), ..) => "fail",
        (None, Some(_), _) => "error",
        (None, None, true) => "pass",
        (None, None, false) => "undecided",
    };
    (word, readings.standings(policy)[0].standing)
}

#[test]
fn what_outcomes_come_to() {
    let policy = policy([metric("p99")]);
    let nothing = Outcome::Nothing;
    for (outcomes, word, standing) in [
        (vec![], "undecided", Standing::NoData),
        (vec![GOOD], "undecided", Standing::Undecided),
        (vec![GOOD, GOOD], "pass", Standing::Pass),
        // One is let pass, the second fails.
        (vec![GOOD, GOOD, BAD], "undecided", Standing::Undecided),
        (vec![GOOD, BAD, GOOD], "pass", Standing::Pass),
        (vec![BAD, GOOD, GOOD, BAD], "fail", Standing::Fail),
        (vec![BAD, BAD, GOOD], "fail", Standing::Fail),
        // What could not be measured is neither.
        (vec![error(), error()], "undecided", Standing::Undecided),
        (vec![error(), error(), error()], "error", Standing::Error),
        (vec![GOOD, GOOD, error()], "undecided", Standing::Undecided),
        (vec![GOOD, GOOD, error(), error(), error()], "error", Standing::Error),
        (vec![GOOD, error(), error(), error(), GOOD], "pass", Standing::Pass),
        (vec![error(), error(), GOOD, error(), error()], "undecided", Standing::Undecided),
        (vec![BAD, error(), error(), error(), BAD], "fail", Standing::Fail),
        (vec![error(), error(), error(), nothing.clone()], "undecided", Standing::NoData),
        // Neither is an answer without a number.
        (vec![nothing.clone(); 50], "undecided", Standing::NoData),
        (vec![GOOD, GOOD, nothing.clone()], "undecided", Standing::NoData),
        (vec![GOOD, nothing.clone(), GOOD], "pass", Standing::Pass),
        (vec![Outcome::Value(f64::NAN); 9], "undecided", Standing::NoData),
        (vec![Outcome::Value(f64::INFINITY); 9], "undecided", Standing::NoData),
    ] {
        assert_eq!(come_to(&outcomes, &policy), (word, standing), "{outcomes:?}");
    }
}

#[test]
fn limits_are_part_of_what_is_good() {
    for (min, max, value, good) in [
        (Some(0.99), None, 0.99, true),
        (Some(0.99), None, 0.989_999, false),
        (None, Some(0.2), 0.200_000_1, false),
        (Some(1.0), Some(2.0), 1.5, true),
        (Some(1.0), Some(2.0), -1e300, false),
        (None, None, 1e300, true),
    ] {
        let strict = MeasuredMetric { min, max, count: 1, failure_limit: 0, ..metric("p99") };
        let word = if good { "pass" } else { "fail" };
        assert_eq!(come_to(&[Outcome::Value(value)], &policy([strict])).0, word, "{value} in {min:?} to {max:?}");
    }
}

#[test]
fn what_is_said_has_the_numbers() {
    let policy = policy([metric("p99"), MeasuredMetric { failure_limit: 0, ..metric("cpu") }]);
    let mut readings = Readings::default();
    let said = |readings: &Readings| readings.standings(&policy).remove(0).said;
    assert_eq!(said(&readings), "not measured yet");
    assert_eq!(readings.missing(&policy).as_deref(), Some("p99: not measured yet"));
    for (outcome, words) in [
        (GOOD, "0.2 is at most 0.2; 1 of 2 good ones in this step"),
        (BAD, "0.3 is above 0.2; 1 of 2 good ones in this step, 1 beyond (1 let pass)"),
        (
            Outcome::Nothing,
            "the answer had no number: nothing was there to be measured; 1 of 2 good ones in this step, 1 beyond (1 \
             let pass)",
        ),
        (
            error(),
            "could not be measured 1 time running (2 let pass): connection refused; 1 of 2 good ones in this step, 1 \
             beyond (1 let pass)",
        ),
    ] {
        readings.observe(&[reading("p99", outcome)], &policy);
        assert_eq!(said(&readings), words);
    }
    readings.observe(&[reading("p99", error()), reading("p99", error())], &policy);
    let why = "p99 could not be measured 3 times running, holds: connection refused";
    assert_eq!(readings.error(&policy).as_deref(), Some(why));
    readings.observe(&[reading("p99", Outcome::Value(2.5e-7))], &policy);
    assert!(said(&readings).starts_with("2.5e-7 is at most 0.2"), "{}", said(&readings));
    readings.observe(&[reading("p99", BAD)], &policy);
    let why = "p99: 0.3 is above 0.2: 2 measurements beyond its limits, 1 let pass, reverts".to_owned();
    assert_eq!(readings.failure(&policy), Some((Metric::Measured("p99".into()), why)));
    let mut readings = Readings::default();
    readings.observe(&[reading("cpu", BAD)], &policy);
    let why = "cpu: 0.3 is above 0.2, reverts".to_owned();
    assert_eq!(readings.failure(&policy), Some((Metric::Measured("cpu".into()), why)));
}

#[test]
fn a_step_asks_for_measurements_of_its_own_and_failures_stay() {
    let policy = policy([metric("p99")]);
    let mut readings = Readings::default();
    readings.observe(&[reading("p99", BAD), reading("p99", GOOD), reading("p99", GOOD)], &policy);
    assert!(readings.proven(&policy));
    readings.begin_step();
    assert!(!readings.proven(&policy));
    readings.observe(&[reading("p99", GOOD), reading("p99", GOOD)], &policy);
    assert!(readings.proven(&policy));
    readings.observe(&[reading("p99", BAD)], &policy);
    assert!(readings.failure(&policy).is_some());
}

#[test]
fn a_dry_run_is_shown_and_decides_nothing() {
    let dry = MeasuredMetric { dry_run: true, failure_limit: 0, ..metric("p99") };
    for outcome in [BAD, error(), Outcome::Nothing] {
        let (word, _) = come_to(&vec![outcome; 9], &policy([dry.clone()]));
        assert_eq!(word, "pass");
    }
    assert_eq!(come_to(&[BAD], &policy([dry])).1, Standing::Fail);
}

#[test]
fn every_metric_must_be_good_and_one_is_enough_to_fail() {
    let both = policy([metric("p99"), metric("cpu")]);
    let mut readings = Readings::default();
    let good = |name| [reading(name, GOOD), reading(name, GOOD)];
    readings.observe(&good("p99"), &both);
    assert!(!readings.proven(&both));
    assert_eq!(readings.missing(&both).as_deref(), Some("cpu: not measured yet"));
    readings.observe(&good("cpu"), &both);
    assert!(readings.proven(&both));
    readings.observe(&[reading("cpu", BAD), reading("cpu", BAD)], &both);
    assert!(readings.failure(&both).is_some_and(|(which, _)| which == Metric::Measured("cpu".into())));
    assert!(Readings::default().proven(&policy([])), "nothing is to be measured");
}

#[test]
fn what_was_measured_of_another_question_or_held_against_other_limits_does_not_count() {
    let asked = metric("p99");
    let source = MetricSource::Webhook { url: "http://other/".into(), path: Vec::new(), secret: None };
    let edits = [
        MeasuredMetric { max: Some(0.5), ..asked.clone() },
        MeasuredMetric { min: Some(0.0), ..asked.clone() },
        MeasuredMetric { source, ..asked.clone() },
        // What it has won or lost while it decided nothing counts for nothing.
        MeasuredMetric { dry_run: true, ..asked.clone() },
    ];
    for edited in edits {
        let (before, after) = (policy([asked.clone()]), policy([edited]));
        let mut readings = Readings::default();
        readings.observe(&[reading("p99", GOOD), reading("p99", GOOD), reading("p99", BAD)], &before);
        // At once, not only with the next measurement.
        assert_eq!(readings.standings(&after)[0].said, "not measured yet");
        readings.observe(&[reading("p99", BAD)], &after);
        assert_eq!(readings.failure(&after), None);
        readings.observe(&[], &before);
        assert_eq!(readings, Readings::default(), "and there is no way back to it");
    }
    let shown = policy([MeasuredMetric { dry_run: true, ..asked.clone() }]);
    let mut readings = Readings::default();
    readings.observe(&[reading("p99", BAD), reading("p99", BAD), reading("p99", BAD)], &shown);
    let deciding = policy([asked.clone()]);
    readings.observe(&[], &deciding);
    assert_eq!(readings.failure(&deciding), None, "by an edit alone nothing fails");
    // How many are asked for is no other question.
    let more = policy([MeasuredMetric { count: 3, ..asked.clone() }]);
    let mut readings = Readings::default();
    readings.observe(&[reading("p99", GOOD), reading("p99", GOOD)], &policy([asked]));
    assert!(readings.standings(&more)[0].said.ends_with("2 of 3 good ones in this step"));
    readings.observe(&[reading("gone", BAD)], &policy([]));
    assert_eq!(readings, Readings::default());
}

#[test]
fn a_judge_heeds_them_beside_what_the_proxies_count() {
    let policy = policy([metric("p99")]);
    let counts = |requests| Counts { requests, errors: 0 }.into();
    let counted = Window {
        canary: counts(1000),
        baseline: counts(1000),
        proxies: 3,
        length: Duration::from_secs(1),
        ..Window::default()
    };
    let mut judge = Judge::default();
    judge.begin_step();
    for _ in 0..60 {
        judge.observe(&counted, &policy);
    }
    let measured = |outcome| Window { readings: vec![reading("p99", outcome)], ..Window::default() };
    let (unproven, proven) = (judge.verdict(&policy), judge.verdict(&AnalysisPolicy::default()));
    assert!(
        matches!(&unproven, Verdict::Undecided { reason } if reason.ends_with("p99: not measured yet")),
        "{unproven:?}"
    );
    assert!(matches!(&proven, Verdict::Pass { .. }), "the errors alone prove it: {proven:?}");
    judge.observe(&measured(GOOD), &policy);
    let measurement = judge.observe(&measured(GOOD), &policy);
    assert!(matches!(judge.verdict(&policy), Verdict::Pass { .. }));
    assert_eq!(measurement.evidence.proxies, 3, "that nothing was counted in no time is no silence of the proxies");
    for _ in 0..3 {
        judge.observe(&measured(error()), &policy);
    }
    assert!(matches!(judge.verdict(&policy), Verdict::Error { .. }));
    judge.observe(&measured(BAD), &policy);
    judge.observe(&Window { readings: vec![reading("p99", BAD)], ..counted }, &policy);
    let Verdict::Fail { metric, .. } = judge.verdict(&policy) else { panic!("two are beyond the limit") };
    assert_eq!(metric, Metric::Measured("p99".into()));
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        any::<f64>().prop_map(Outcome::Value),
        (0.0..0.4).prop_map(Outcome::Value),
        Just(Outcome::Nothing),
        Just(error()),
    ]
}

proptest! {
    /// Whatever comes, it never passes without its count of good ones, nor fails without more bad ones than are let
    /// pass, and goes on the same when it was kept and read back.
    #[test]
    fn only_measurements_pass_or_fail(outcomes in prop::collection::vec(outcomes(), 0..30)) {
        let policy = policy([metric("p99")]);
        let mut readings = Readings::default();
        for outcome in &outcomes {
            readings.observe(&[reading("p99", outcome.clone())], &policy);
            let text = serde_json::to_string(&readings).expect("JSON");
            readings = serde_json::from_str(&text).expect("the same");
        }
        let numbers = || outcomes.iter().filter_map(|o| match o { Outcome::Value(v) if v.is_finite() => Some(*v), _ => None });
        let (good, bad) = (numbers().filter(|v| *v <= 0.2).count(), numbers().filter(|v| *v > 0.2).count());
        prop_assert_eq!(readings.failure(&policy).is_some(), bad > 1);
        prop_assert!(!readings.proven(&policy) || good >= 2);
        if readings.error(&policy).is_some() {
            prop_assert!(!readings.proven(&policy));
        }
    }
}

#[test]
fn a_measured_number_is_short_but_never_on_its_limits_other_side() {
    for (value, words) in [
        (0.185_641_802_776_607_38, "0.1856 is at most 0.2; "),
        (1_234_567.8, "1235000 is above 0.2; "),
        (0.200_000_04, "0.20000004 is above 0.2; "),
        (0.199_999_96, "0.19999996 is at most 0.2; "),
        (0.2, "0.2 is at most 0.2; "),
        (1.0 / 3.0, "0.3333 is above 0.2; "),
        (-0.0, "0 is at most 0.2; "),
    ] {
        let policy = policy([metric("p99")]);
        let mut readings = Readings::default();
        readings.observe(&[reading("p99", Outcome::Value(value))], &policy);
        let said = readings.standings(&policy).remove(0).said;
        assert!(said.starts_with(words), "{said}");
    }
}
