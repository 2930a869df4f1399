use super::super::state::{Calling, RetireStage, Retiring};
use super::*;
use crate::model::{AnalysisPolicy, Canary, Hook, OnHookFailure, Retire, RetryPolicy, Step, Strategy};
use crate::rollout::{Event, Observation};

fn release(version: &str) -> Release {
    Release::new("checkout", "checkout", version, Strategy::Canary(Canary::default()), AnalysisPolicy::default())
}

/// `v2` is stable, after `v0` and `v1`.
fn rollout(state: State) -> Rollout {
    let former = vec!["v0".into(), "v1".into()];
    Rollout { former, state, ..Rollout::adopt("checkout", "checkout", "v2", Timestamp::UNIX_EPOCH) }
}

fn status(rollout: &Rollout, release: &Release) -> ReleaseStatus {
    ReleaseStatus::of(rollout, Context::of(release), &FleetState::default(), |_| Recent::default())
}

fn reverted() -> State {
    State::Reverted { canary: "v3".into(), reason: "errors".into(), waited: Duration::ZERO }
}

#[test]
fn the_way_back_is_as_long_as_the_spec_says() {
    let mut wanted = release("v2");
    assert_eq!(status(&rollout(State::Healthy), &wanted).way_back, ["v1"]);
    wanted.rollback.window = 5;
    assert_eq!(status(&rollout(State::Healthy), &wanted).way_back, ["v1", "v0"]);
    let promoting = State::Promoting { canary: "v3".into(), settled: false, rolling: None };
    wanted.version = "v3".into();
    assert_eq!(status(&rollout(promoting), &wanted).way_back, ["v2", "v1", "v0"], "what it leaves is the nearest");
}

#[test]
fn what_was_reverted_is_degraded_when_that_is_the_end() {
    let shown = |wanted: &Release, failed: Option<Failed>| {
        let rollout = Rollout { failed, ..rollout(reverted()) };
        (status(&rollout, wanted).phase, status(&rollout, wanted).message)
    };
    let times = |times| Some(Failed { version: "v3".into(), times });
    let mut wanted = release("v3");
    assert_eq!(shown(&wanted, times(1)).0, Phase::Degraded);
    wanted.rollback.retry = Some(RetryPolicy { limit: 1, backoff: Duration::from_secs(60) });
    assert_eq!(shown(&wanted, times(1)).0, Phase::Paused, "it is tried again");
    assert_eq!(shown(&wanted, times(2)).0, Phase::Degraded, "not for ever");
    let mut newer = release("v4");
    assert!(shown(&newer, times(1)).1.ends_with("v4 is about to begin"));
    newer.paused = true;
    let (phase, message) = shown(&newer, times(1));
    assert_eq!(phase, Phase::Paused);
    assert!(message.ends_with("v4 is not begun, because its spec says paused: true"), "{message}");
}

#[test]
fn a_version_on_its_way_out_is_told_with_who_is_asked() {
    let hook = Hook {
        name: "delete".into(),
        url: "http://hooks/".into(),
        timeout: Duration::from_secs(1),
        retries: 3,
        backoff: Duration::from_secs(1),
        secret: None,
        headers: Default::default(),
        on_failure: OnHookFailure::Revert,
    };
    let calling = Calling { attempt: 2, ..Calling::new(&hook, "retire") };
    let retire = Retire { drain: Duration::ZERO, before: None, hook };
    let stage = RetireStage::Throwing(calling);
    let shown = status(
        &rollout(State::Retiring(Retiring { version: "v1".into(), endpoints: Vec::new(), retire, stage })),
        &release("v2"),
    );
    assert_eq!((shown.phase, shown.calls), (Phase::Progressing, vec!["hook delete, try 2".to_owned()]));
    assert_eq!(shown.routing, ["rest: v2"]);
}

#[test]
fn what_is_not_begun_has_no_step_behind_it() {
    let mut wanted = release("v3");
    wanted.strategy = Strategy::Canary(Canary { steps: vec![crate::model::Step::Pause(None)], ..Canary::default() });
    let shown = status(&rollout(State::Healthy), &wanted);
    assert_eq!((shown.phase, shown.step, shown.steps.len()), (Phase::Paused, 0, 1));
}

#[test]
fn what_comes_next_is_told_with_what_a_person_can_do() {
    let mut wanted = release("v3");
    let next = |wanted: &Release, failed: Option<Failed>| {
        status(&Rollout { failed, ..rollout(reverted()) }, wanted).next.expect("something")
    };
    assert_eq!(next(&wanted, None), "fix it and release a new version, or `serin retry checkout`");
    wanted.rollback.retry = Some(RetryPolicy { limit: 1, backoff: Duration::from_secs(60) });
    let failed = Some(Failed { version: "v3".into(), times: 1 });
    assert!(next(&wanted, failed).starts_with("it is tried again by itself; `serin retry checkout` does it now"));
    wanted.rollback.retry = None;
    wanted.paused = true;
    assert!(next(&wanted, None).ends_with("or say `paused: false` and `serin retry checkout`"));
    assert_eq!(status(&rollout(State::Healthy), &release("v2")).next, None);
}

#[test]
fn until_when_it_looks_is_told() {
    let mut wanted = release("v3");
    let steps = vec![Step::SetWeight(Weight::from_hundredths(500)), Step::Analyze { max: Duration::from_secs(60) }];
    wanted.strategy = Strategy::Canary(Canary { steps, ..Canary::default() });
    let mut rollout = Rollout::adopt("checkout", "checkout", "v2", Timestamp::UNIX_EPOCH);
    let mut pass = |seconds| {
        for _ in 0..seconds {
            let fleet = FleetState { proxies: 4, in_force: 4, ready: 4, ..FleetState::default() };
            let seen = Observation { elapsed: Duration::from_secs(1), fleet, ..Observation::default() };
            let turn = rollout.clone().apply(Event::Observed(seen), Context::of(&wanted), Timestamp::UNIX_EPOCH);
            rollout = turn.expect("an observation").rollout;
        }
        status(&rollout, &wanted).next.unwrap_or_default()
    };
    let told = "until it is proven, at most 1m more; then it waits for a person (onInconclusive: pause). \
                `serin promote checkout` goes on now, `serin abort checkout` goes back";
    assert_eq!(pass(4), told);
    assert!(pass(10).contains("; that time stands still while there is no evidence"));
}
