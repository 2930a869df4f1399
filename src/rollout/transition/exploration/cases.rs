//! The specs that are explored.

use std::collections::BTreeMap;
use std::time::Duration;

use super::HOUR;
use crate::model::{
    AutoPromote, BlueGreen, Canary, Candidate, DenyWindow, Experiment, Holdback, Hook, OnHookFailure, Portion, Release,
    Retire, RetryPolicy, Rollback, Rolling, Rule, Step, Strategy, Update, Wave, Weight, When,
};

/// A spec to explore, and which parts of the world move.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) release: Release,
    /// Versions that the spec may be changed to.
    pub(super) versions: &'static [&'static str],
    pub(super) endpoints_vanish: bool,
    pub(super) has_peer: bool,
    pub(super) has_window: bool,
    pub(super) in_place: bool,
}

fn hook(name: &str, retries: u32) -> Hook {
    Hook {
        name: name.into(),
        url: "http://hooks/".into(),
        timeout: Duration::from_secs(1),
        retries,
        backoff: Duration::from_secs(1),
        secret: None,
        headers: BTreeMap::new(),
        on_failure: OnHookFailure::Revert,
    }
}

fn release(strategy: Strategy) -> Release {
    Release::new("checkout", "checkout", "v1", strategy, Default::default())
}

fn held_back() -> Holdback {
    Holdback { weight: weight(10.0), duration: HOUR }
}

fn weight(percent: f64) -> Weight {
    Weight::from_percent(percent).expect("a percentage")
}

pub(super) fn cases() -> Vec<Case> {
    let case = |name, release| Case {
        name,
        release,
        versions: &["v1", "v2"],
        endpoints_vanish: false,
        has_peer: false,
        has_window: false,
        in_place: false,
    };
    let steps = vec![
        Step::Mirror { percent: weight(5.0), duration: Some(HOUR) },
        Step::Hook(hook("tests", 1)),
        Step::SetWeight(weight(5.0)),
        Step::Analyze { max: HOUR },
        Step::Pause(None),
        Step::Match(vec![Rule { strength: Weight::FULL, ..Rule::default() }]),
        Step::SetWeight(Weight::FULL),
        Step::Watch { duration: HOUR },
    ];
    let auto = || vec![Step::Auto { from: None, to: weight(20.0), max: HOUR, within: Some(3 * HOUR) }];
    let with_set = |steps: Vec<Step>, versions: &[&str], holdback| {
        let mut release = release(Strategy::Canary(Canary { steps, holdback, ..Canary::default() }));
        release.analysis.baseline = versions.first().map(|version| (*version).to_owned());
        release
    };
    let short = || vec![Step::SetWeight(weight(5.0)), Step::Pause(Some(HOUR))];
    let canary = |steps| Strategy::Canary(Canary { steps, ..Canary::default() });
    let retire = Retire { drain: HOUR, before: Some(hook("before", 0)), hook: hook("retire", 0) };
    let blue_green = BlueGreen {
        auto_promote: AutoPromote::ByHand,
        before_switch: Some(hook("schema", 0)),
        after_switch: Some(hook("caches", 0)),
        standby: HOUR,
        retire: Some(retire),
        ..BlueGreen::default()
    };
    let rolling = Rolling {
        batch: Portion::Count(1),
        max_unavailable: None,
        drain: HOUR,
        update: Update::Hook(hook("agent", 0)),
        health: None,
        analyze: None,
        canary: None,
        on_failure: Default::default(),
    };
    let waves = vec![Wave::Regions(vec!["eu".into()]), Wave::All];
    let retry = RetryPolicy { limit: 1, backoff: HOUR };
    let window = DenyWindow {
        time_zone: "UTC".into(),
        when: When::Dates { from: "2026-01-02".parse().expect("a date"), to: "2026-01-02".parse().expect("a date") },
        reason: None,
    };
    let candidates = vec![Candidate { version: "v2".into(), weight: weight(5.0) }];
    let experiment = Experiment { name: "colours".into(), candidates, duration: HOUR };
    vec![
        case("every kind of step", release(canary(steps))),
        Case { versions: &["v1", "v2", "v3"], ..case("a third version", release(canary(short()))) },
        Case { endpoints_vanish: true, ..case("endpoints that vanish", release(canary(short()))) },
        Case {
            ..case(
                "a return over a time, tried again",
                Release {
                    rollback: Rollback { window: 2, over: Some(3 * HOUR), retry: Some(retry) },
                    ..release(canary(short()))
                },
            )
        },
        case("blue, green and a phoenix", release(Strategy::BlueGreen(blue_green))),
        Case { in_place: true, ..case("endpoints in place", release(Strategy::Rolling(rolling.clone()))) },
        case("endpoints one for one", release(Strategy::Rolling(Rolling { update: Update::Running, ..rolling }))),
        case("region after region", Release { regions: waves, ..release(canary(short())) }),
        Case {
            has_peer: true,
            ..case("together", Release { together: Some("sale".into()), ..release(canary(short())) })
        },
        Case {
            has_peer: true,
            ..case("dependent", Release { depends_on: vec!["other".into()], ..release(canary(short())) })
        },
        Case { has_window: true, ..case("windows", Release { windows: vec![window], ..release(canary(short())) }) },
        case("auto and a holdback", with_set(auto(), &[], Some(held_back()))),
        Case { endpoints_vanish: true, ..case("a baseline of its own", with_set(short(), &["v3"], None)) },
        case("an experiment", Release { experiment: Some(experiment), ..release(canary(short())) }),
    ]
}
