//! Properties of the machine under any order of events. What it does in detail stands in `tests/scenarios/`.

use proptest::prelude::*;

use super::super::fleet::{Part, Refusal, Spread};
use super::*;
use crate::analysis::Counts;
use crate::model::{AnalysisPolicy, Canary, ErrorsMetric, Holdback, Step, Strategy as Plan, TrafficPlan};

fn release(version: &str, steps: Vec<Step>) -> Release {
    let analysis = AnalysisPolicy {
        errors: Some(ErrorsMetric {
            harmless_rate: 0.01,
            cluster_size: crate::model::ClusterSize::Given(1.0),
            ..ErrorsMetric::default()
        }),
        ..AnalysisPolicy::default()
    };
    let strategy = Plan::Canary(Canary { steps, ..Canary::default() });
    Release::new("checkout", "checkout", version, strategy, analysis)
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u32..=100).prop_map(|p| Step::SetWeight(Weight::from_percent(f64::from(p)).expect("a percentage"))),
        Just(Step::Pause(None)),
        (0_u64..5).prop_map(|s| Step::Pause(Some(Duration::from_secs(s)))),
        (0_u64..5).prop_map(|s| Step::Analyze { max: Duration::from_secs(s) }),
        (proptest::option::of(1_u32..=20), 20_u32..=99, 0_u64..5).prop_map(|(from, to, seconds)| {
            let weight = |percent: u32| Weight::from_percent(f64::from(percent)).expect("a percentage");
            let max = Duration::from_secs(seconds);
            Step::Auto { from: from.map(weight), to: weight(to), max, within: Some(4 * max) }
        }),
        (1_u32..=50, 0_u64..5).prop_map(|(percent, seconds)| {
            let weight = Weight::from_percent(f64::from(percent)).expect("a percentage");
            Step::Holdback(Holdback { weight, duration: Duration::from_secs(seconds) })
        }),
    ]
}

fn any_window() -> impl Strategy<Value = Window> {
    (0_u64..50, 0_u64..5, 0_u64..500, 0_u64..5).prop_map(|(cn, ce, bn, be)| Window {
        canary: Counts { requests: cn, errors: ce.min(cn) }.into(),
        baseline: Counts { requests: bn, errors: be.min(bn) }.into(),
        proxies: 2,
        length: Duration::from_secs(1),
        ..Window::default()
    })
}

fn any_fleet() -> impl Strategy<Value = FleetState> {
    let parts = prop_oneof![Just(Part::Canary), Just(Part::Routes), Just(Part::Surroundings)];
    let refusal = parts.prop_map(|part| Refusal { part, text: "cluster checkout/v2 was rejected".into() });
    let spread = prop_oneof![
        6 => Just(Spread::Everywhere),
        1 => Just(Spread::First(1)),
        1 => Just(Spread::Stopped("3 answers of class 5xx".into())),
    ];
    let rarely = |what| proptest::option::weighted(0.2, what);
    (0_usize..3, 0_usize..3, 0_usize..3, rarely(refusal), spread).prop_map(
        |(proxies, missing, unready, refusal, spread)| {
            let (in_force, ready) = (proxies.saturating_sub(missing), proxies.saturating_sub(unready));
            FleetState { proxies, in_force, ready, refusal, spread, ..FleetState::default() }
        },
    )
}

fn any_event() -> impl Strategy<Value = Event> {
    let observation =
        (0_u64..3, any_fleet(), proptest::option::of(any_window())).prop_map(|(seconds, fleet, window)| {
            Event::Observed(Observation {
                elapsed: Duration::from_secs(seconds),
                fleet,
                window,
                ..Observation::default()
            })
        });
    prop_oneof![
        6 => observation,
        1 => any::<bool>().prop_map(|full| Event::Ordered(Command::Promote { full })),
        1 => Just(Event::Ordered(Command::Pause)),
        1 => Just(Event::Ordered(Command::Resume)),
        1 => Just(Event::Ordered(Command::Abort { reason: String::new() })),
        1 => Just(Event::Ordered(Command::Retry)),
    ]
}

fn all_to_stable(rollout: &Rollout) -> bool {
    rollout.plan() == TrafficPlan::all_to("checkout", &rollout.stable)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_happens(
        steps in proptest::collection::vec(any_step(), 0..5),
        rejected in prop_oneof![Just(OnRejected::Hold), Just(OnRejected::Revert)],
        story in proptest::collection::vec((any_event(), 0_usize..12), 0..60),
    ) {
        let now = Timestamp::UNIX_EPOCH;
        let mut wanted = Release { on_rejected: rejected, ..release("v1", steps) };
        let mut rollout = Rollout::adopt("checkout", "checkout", "v1", now);
        for (event, version) in story {
            // Most events change nothing in the spec.
            match version {
                1..=3 => wanted.version = format!("v{version}"),
                4 => wanted.paused = !wanted.paused,
                _ => {}
            }
            let before = rollout.clone();
            let kept: Rollout = serde_json::from_str(&serde_json::to_string(&before).expect("JSON")).expect("the same");
            prop_assert_eq!(&kept, &before, "a crash changes nothing");
            let Ok(after) = before.clone().apply(event.clone(), Context::of(&wanted), now) else {
                prop_assert!(matches!(event, Event::Ordered(_)), "only orders are refused");
                continue;
            };
            let plan = after.rollout.plan();
            prop_assert!(TrafficPlan::new("checkout", plan.shares().to_vec()).is_ok(), "the shares are whole");
            if matches!(event, Event::Ordered(Command::Abort { .. })) {
                let newer = after.records.iter().any(|r| matches!(r, Record::Started { .. }));
                prop_assert!(newer || all_to_stable(&after.rollout), "abort reaches the stable version");
            }
            if before.is_at_rest(&wanted) && matches!(event, Event::Observed(_)) {
                prop_assert!(after.rollout == before && after.records.is_empty(), "what is at rest is left alone");
            }
            if let Event::Observed(seen) = &event {
                let same_canary = after.rollout.canary() == before.canary();
                let grew = same_canary && after.rollout.canary().is_some_and(|canary| plan.weight_of(canary) > before.plan().weight_of(canary));
                let begun = after.records.iter().any(|r| matches!(r, Record::Started { .. }));
                prop_assert!(!grew || begun || seen.fleet.is_settled(), "nothing advances before it is in force");
                prop_assert!(!grew || begun || seen.fleet.is_unhindered(), "nothing advances against a rejection");
                let first = grew && !begun && before.plan().weight_of(after.rollout.canary().unwrap_or_default()) == Weight::ZERO;
                prop_assert!(!first || seen.fleet.is_ready(), "no traffic moves to what is not accepted everywhere");
                let was_reverting = matches!(before.state, State::Reverting(_));
                let is_reverting = matches!(after.rollout.state, State::Reverting(_));
                prop_assert!(
                    !was_reverting || is_reverting != seen.fleet.is_settled() || begun,
                    "nothing but the proxies' routes holds a revert"
                );
                let promoted = after.records.iter().any(|r| matches!(r, Record::Promoted { .. }));
                prop_assert!(!promoted || seen.fleet.is_settled(), "nothing is stable before it is in force");
            }
            rollout = after.rollout;
        }
    }
}

#[test]
fn every_state_is_left_by_abort() {
    let now = Timestamp::UNIX_EPOCH;
    let wanted = release("v2", vec![Step::SetWeight(Weight::from_percent(5.0).expect("a weight")), Step::Pause(None)]);
    let stable = Rollout::adopt("checkout", "checkout", "v1", now);
    let settled = FleetState { proxies: 1, in_force: 1, ready: 1, ..FleetState::default() };
    let mut rollout = stable;
    for _ in 0..4 {
        let aborted =
            rollout.clone().apply(Event::Ordered(Command::Abort { reason: String::new() }), Context::of(&wanted), now);
        assert!(all_to_stable(&aborted.expect("abort is taken").rollout));
        let seen = Observation { elapsed: Duration::from_secs(1), fleet: settled.clone(), ..Observation::default() };
        rollout =
            rollout.apply(Event::Observed(seen), Context::of(&wanted), now).expect("observations are taken").rollout;
    }
}

mod stories;
