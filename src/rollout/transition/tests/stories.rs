//! Stories that went wrong once.

use std::net::SocketAddr;

use super::*;
use crate::model::{
    Endpoint, OnDeadline, OnInconclusive, Portion, ProgressDeadline, RetryPolicy, Rollback, Rolling, Update, Wave,
};
use crate::rollout::Standing;
use crate::rollout::state::{Failed, Stage};
use crate::rollout::status::{Recent, ReleaseStatus};

const SECOND: Duration = Duration::from_secs(1);

fn settled() -> FleetState {
    FleetState { proxies: 2, in_force: 2, ready: 2, ..FleetState::default() }
}

fn share(percent: f64) -> Step {
    Step::SetWeight(Weight::from_percent(percent).expect("a weight"))
}

fn stable() -> Rollout {
    Rollout::adopt("checkout", "checkout", "v1", Timestamp::UNIX_EPOCH)
}

fn after(rollout: Rollout, event: Event, context: Context<'_>) -> Transition {
    rollout.apply(event, context, Timestamp::UNIX_EPOCH).expect("it is taken")
}

fn sees(rollout: Rollout, seen: Observation, context: Context<'_>) -> Transition {
    after(rollout, Event::Observed(seen), context)
}

fn second() -> Observation {
    Observation { elapsed: SECOND, fleet: settled(), ..Observation::default() }
}

fn seconds(mut rollout: Rollout, count: usize, context: Context<'_>) -> Rollout {
    for _ in 0..count {
        rollout = sees(rollout, second(), context).rollout;
    }
    rollout
}

fn abort() -> Event {
    Event::Ordered(Command::Abort { reason: String::new() })
}

fn window(errors: u64, baseline: u64) -> Window {
    Window {
        canary: Counts { requests: 100, errors }.into(),
        baseline: Counts { requests: baseline, errors: 0 }.into(),
        proxies: 2,
        length: SECOND,
        ..Window::default()
    }
}

fn service(hosts: &[(&str, &[u8])]) -> Service {
    let mut service = Service::named("checkout");
    for (version, hosts) in hosts {
        let at = |host: &u8| Endpoint::at(SocketAddr::from(([10, 0, 0, *host], 80)));
        let version_of = Version { endpoints: hosts.iter().map(at).collect(), ..Version::default() };
        service.versions.insert((*version).into(), version_of);
    }
    service
}

#[test]
fn what_a_person_aborted_is_not_tried_again_by_itself() {
    let retry = Some(RetryPolicy { limit: 3, backoff: SECOND });
    let wanted = Release {
        rollback: Rollback { retry, ..Rollback::default() },
        ..release("v2", vec![share(5.0), Step::Pause(None)])
    };
    let context = Context::of(&wanted);
    // It has failed once, and is on its way for the second time.
    let failed = Some(Failed { version: "v2".into(), times: 1 });
    let rollout = seconds(Rollout { failed, ..stable() }, 3, context);
    let aborted = after(rollout, abort(), context).rollout;
    let later = seconds(aborted, 60, context);
    assert!(matches!(later.state, State::Reverted { .. }), "{:?}", later.state);
    assert!(later.is_at_rest(&wanted));
}

#[test]
fn releases_that_went_back_together_begin_together_with_other_versions() {
    let wanted = |name: &str| Release {
        name: name.into(),
        together: Some("sale".into()),
        ..release("v3", vec![share(5.0), Step::Pause(None)])
    };
    let wanted = [wanted("a"), wanted("b")];
    let state = State::Reverted { canary: "v2".into(), reason: "it failed".into(), waited: Duration::ZERO };
    let mut rollouts = ["a", "b"].map(|name| Rollout { release: name.into(), state: state.clone(), ..stable() });
    for at in [0, 1, 0, 1] {
        let other = 1 - at;
        let standing = Standing::of(&rollouts[other], &wanted[other]);
        let peers = [Peer { release: wanted[other].name.clone(), together: wanted[other].together.clone(), standing }];
        let context = Context { peers: &peers, ..Context::of(&wanted[at]) };
        rollouts[at] = sees(rollouts[at].clone(), second(), context).rollout;
    }
    for rollout in &rollouts {
        assert!(matches!(rollout.state, State::Progressing(_)), "{:?}: {:?}", rollout.state, rollout.waits);
    }
}

#[test]
fn what_a_newer_version_waits_for_is_told_once() {
    let pause = vec![share(5.0), Step::Pause(None)];
    let rollout = seconds(stable(), 3, Context::of(&release("v2", pause.clone())));
    let newer = Release { depends_on: vec!["database".into()], ..release("v3", pause) };
    let peers = [Peer { release: "database".into(), together: None, standing: Standing::OnItsWay }];
    let context = Context { peers: &peers, ..Context::of(&newer) };
    let (mut rollout, mut told) = (rollout, 0);
    for _ in 0..10 {
        let done = sees(rollout, second(), context);
        told += done.records.iter().filter(|record| matches!(record, Record::Held { .. })).count();
        rollout = done.rollout;
        assert!(rollout.waits.as_deref().is_some_and(|waits| waits.contains("database")), "{:?}", rollout.waits);
    }
    assert_eq!(told, 1);
}

fn rolling() -> Plan {
    Plan::Rolling(Rolling {
        batch: Portion::Count(1),
        max_unavailable: None,
        drain: 5 * SECOND,
        update: Update::Running,
        health: None,
        analyze: None,
        canary: None,
        on_failure: Default::default(),
    })
}

#[test]
fn an_endpoint_that_is_half_done_is_finished_while_the_release_is_held() {
    let service = service(&[("v1", &[1, 2]), ("v2", &[3, 4])]);
    let wanted = Release { strategy: rolling(), ..release("v2", Vec::new()) };
    let context = Context { service: Some(&service), ..Context::of(&wanted) };
    let mut rollout = stable();
    for _ in 0..10 {
        rollout = if is_draining(&rollout) { rollout } else { seconds(rollout, 1, context) };
    }
    assert!(is_draining(&rollout));
    let held = Release { paused: true, ..wanted };
    let context = Context { service: Some(&service), ..Context::of(&held) };
    let later = seconds(rollout, 60, context);
    assert!(!is_draining(&later), "{:?}", later.plan().endpoints);
    assert_eq!(later.rolling().map(|(rolling, _)| rolling.done()), Some(1), "no other one leaves");
}

fn is_draining(rollout: &Rollout) -> bool {
    let draining = |state: &crate::model::EndpointState| *state == crate::model::EndpointState::Draining;
    rollout.plan().endpoints.values().flat_map(|states| states.values()).any(draining)
}

#[test]
fn an_endpoint_that_comes_while_the_last_batch_is_looked_at_is_replaced_too() {
    let before = service(&[("v1", &[1, 2]), ("v2", &[1, 2])]);
    let Plan::Rolling(rolling) = rolling() else { panic!("another strategy") };
    let rolling = Plan::Rolling(Rolling { analyze: Some(5 * SECOND), ..rolling });
    let on_inconclusive = OnInconclusive::Advance;
    let wanted = release("v2", Vec::new());
    let analysis = AnalysisPolicy { on_inconclusive, errors: None, ..wanted.analysis.clone() };
    let wanted = Release { strategy: rolling, analysis, ..wanted };
    let more = service(&[("v1", &[1, 2, 3]), ("v2", &[1, 2, 3])]);
    let (mut rollout, mut replaced) = (stable(), 0);
    for _ in 0..200 {
        let service = if replaced < 2 { &before } else { &more };
        let context = Context { service: Some(service), ..Context::of(&wanted) };
        let replacing = matches!(&rollout.state, State::Progressing(progress) if progress.stage == Stage::Replacing);
        let window = (!replacing && rollout.plan().weight_of("v2") > Weight::ZERO).then(|| window(0, 100));
        rollout = sees(rollout, Observation { window, ..second() }, context).rollout;
        replaced = replaced.max(rollout.rolling().map_or(0, |(rolling, _)| rolling.done()));
        if let Some(addresses) = rollout.rolling().map(|(rolling, _)| rolling.total()) {
            assert!(addresses == service.versions["v1"].endpoints.len(), "all are known at once");
        }
    }
    assert_eq!((replaced, rollout.stable.as_str()), (3, "v2"));
}

#[test]
fn an_analysis_that_has_data_is_no_lack_of_progress() {
    let deadline = ProgressDeadline { after: 10 * SECOND, action: OnDeadline::Revert };
    let wanted = Release {
        progress_deadline: Some(deadline),
        ..release("v2", vec![share(5.0), Step::Analyze { max: 3_600 * SECOND }])
    };
    let context = Context::of(&wanted);
    let mut rollout = seconds(stable(), 3, context);
    for turn in 0..240 {
        // A report for every fourth turn.
        let window =
            (turn % 4 == 0).then(|| Window { canary: Counts { requests: 1, errors: 0 }.into(), ..window(0, 20) });
        let seen = Observation { elapsed: SECOND / 4, window, ..second() };
        rollout = sees(rollout, seen, context).rollout;
    }
    assert!(matches!(rollout.state, State::Progressing(_)), "{:?}", rollout.state);
    // One without any is.
    let blind = seconds(rollout, 30, context);
    assert!(!matches!(blind.state, State::Progressing(_)), "{:?}", blind.state);
}

fn waves() -> Vec<Wave> {
    vec![Wave::Regions(vec!["eu".into()]), Wave::All]
}

#[test]
fn a_region_that_is_done_is_not_left_with_a_version_that_runs_nowhere() {
    let wanted = Release { regions: waves(), ..release("v2", vec![share(100.0)]) };
    let there = service(&[("v1", &[1]), ("v2", &[2])]);
    let context = Context { service: Some(&there), ..Context::of(&wanted) };
    let mut rollout = stable();
    for _ in 0..10 {
        let is_there = matches!(&rollout.state, State::Progressing(progress) if progress.wave == 1);
        rollout = if is_there { rollout } else { seconds(rollout, 1, context) };
    }
    assert!(matches!(&rollout.state, State::Progressing(progress) if progress.wave == 1));
    let gone = service(&[("v1", &[1]), ("v2", &[])]);
    let context = Context { service: Some(&gone), ..Context::of(&wanted) };
    assert!(all_to_stable(&seconds(rollout, 10, context)));
}

#[test]
fn every_region_is_watched_before_the_next_one() {
    let watch = Step::Watch { duration: 10 * SECOND };
    let wanted = Release { regions: waves(), ..release("v2", vec![share(100.0), watch]) };
    let context = Context::of(&wanted);
    let mut rollout = seconds(stable(), 2, context);
    for _ in 0..20 {
        let full = matches!(&rollout.state, State::Progressing(progress) if progress.weight == Weight::FULL);
        let seen = Observation { window: full.then(|| window(30, 0)), ..second() };
        rollout = sees(rollout, seen, context).rollout;
        assert!(!matches!(&rollout.state, State::Progressing(progress) if progress.wave == 1), "it goes on");
    }
    assert!(all_to_stable(&rollout));
}

#[test]
fn one_proxy_that_lags_does_not_keep_a_return_over_a_time_from_ending() {
    let rollback = Rollback { over: Some(10 * SECOND), ..Rollback::default() };
    let wanted = Release { rollback, ..release("v2", vec![share(50.0), Step::Pause(None)]) };
    let context = Context::of(&wanted);
    let rollout = seconds(stable(), 4, context);
    assert_eq!(rollout.plan().weight_of("v2").percent(), 50.0);
    let mut rollout = after(rollout, abort(), context).rollout;
    for _ in 0..20 {
        let fleet = FleetState { in_force: 1, ..settled() };
        rollout = sees(rollout, Observation { fleet, ..second() }, context).rollout;
    }
    assert!(all_to_stable(&rollout), "{:?}", rollout.state);
}

#[test]
fn a_version_that_waits_for_others_with_all_the_traffic_goes_back_when_it_runs_nowhere() {
    let wanted = Release { together: Some("sale".into()), ..release("v2", Vec::new()) };
    let state = State::Promoting { canary: "v2".into(), settled: true, rolling: None };
    let gone = service(&[("v1", &[1]), ("v2", &[])]);
    let other = Peer { release: "b".into(), together: wanted.together.clone(), standing: Standing::OnItsWay };
    let context = Context { release: &wanted, service: Some(&gone), peers: &[other] };
    assert!(all_to_stable(&sees(Rollout { state, ..stable() }, second(), context).rollout));
}

#[test]
fn how_long_a_proof_takes_is_told_also_where_nothing_fails() {
    let weight = |percent: f64| Weight::from_percent(percent).expect("a weight");
    let max = 3_600 * SECOND;
    let auto = Step::Auto { from: Some(weight(10.0)), to: weight(10.0), max, within: None };
    let mut wanted = release("v2", vec![auto]);
    let estimated = ErrorsMetric { harmless_rate: 0.001, ..ErrorsMetric::default() };
    wanted.analysis = AnalysisPolicy { errors: Some(estimated), ejections: None, ..AnalysisPolicy::default() };
    let context = Context::of(&wanted);
    let mut rollout = stable();
    let (mut told, mut took) = (None, 0.0);
    while !matches!(rollout.state, State::Promoting { .. }) {
        let analyzes =
            matches!(&rollout.state, State::Progressing(progress) if matches!(progress.stage, Stage::Analyzing { .. }));
        let seen = Observation { window: analyzes.then(|| window(0, 900)), ..second() };
        rollout = sees(rollout, seen, context).rollout;
        took += if analyzes { 1.0 } else { 0.0 };
        if let State::Progressing(progress) = &rollout.state {
            told = progress.proof(&wanted.analysis).or(told);
        }
    }
    let told = told.expect("the traffic was seen").as_secs_f64();
    assert!((0.7 * took..1.5 * took).contains(&told), "it took {took} s, and {told} s were told");
}

/// A switch at once from a version of which 1 in 100 requests fail to one whose failures are so many in 100; without a
/// first look when there is no traffic before.
fn switched(failing: u64, steps: Vec<Step>) -> (Rollout, usize) {
    let mut wanted = release("v2", steps);
    wanted.analysis.errors = Some(ErrorsMetric { harmless_rate: 0.001, ..ErrorsMetric::default() });
    let context = Context::of(&wanted);
    let counts = |errors| Counts { requests: 1_000, errors }.into();
    let (mut rollout, mut before) = (stable(), 0);
    for _ in 0..120 {
        let weight = rollout.plan().weight_of("v2");
        let all = Window { canary: counts(10 * failing), baseline: Counts::default().into(), ..window(0, 0) };
        let none = Window { canary: Counts::default().into(), baseline: counts(10), ..window(0, 0) };
        let seen = if weight == Weight::FULL { all } else { none };
        let transition = sees(rollout, Observation { window: Some(seen), ..second() }, context);
        rollout = transition.rollout;
        let is_measured = transition.records.iter().any(|record| matches!(record, Record::Measured { .. }));
        before += usize::from(is_measured && rollout.plan().weight_of("v2") == Weight::ZERO);
    }
    (rollout, before)
}

#[test]
fn a_switch_at_once_knows_what_its_predecessor_was_like() {
    let steps = || vec![share(100.0), Step::Watch { duration: 60 * SECOND }];
    let (as_good, looked) = switched(1, steps());
    assert_eq!((as_good.stable.as_str(), &as_good.state), ("v2", &State::Healthy));
    // As much of it is in the journal as was looked at.
    assert_eq!(looked, 5);
    let (worse, _) = switched(3, steps());
    assert!(matches!(&worse.state, State::Reverted { canary, .. } if canary == "v2"), "{:?}", worse.state);
    // What is compared side by side learns it on the way.
    let (_, looked) = switched(1, vec![share(5.0), Step::Pause(Some(SECOND))]);
    assert_eq!(looked, 0);
}

#[test]
fn what_waits_to_switch_is_not_looked_at_for_ever() {
    let wanted = release("v2", vec![share(100.0), Step::Watch { duration: 60 * SECOND }]);
    let gone = service(&[("v1", &[1]), ("v2", &[])]);
    let context = Context { service: Some(&gone), ..Context::of(&wanted) };
    let mut rollout = stable();
    for _ in 0..60 {
        let transition = sees(rollout, Observation { window: Some(window(0, 900)), ..second() }, context);
        assert!(!transition.records.iter().any(|record| matches!(record, Record::Measured { .. })));
        rollout = transition.rollout;
    }
}

#[test]
fn what_is_good_enough_says_what_it_waits_for() {
    let pause = |time: Option<u64>| Step::Pause(time.map(Duration::from_secs));
    let look = Step::Analyze { max: 600 * SECOND };
    for (paused, steps, evidence, message) in [
        (false, vec![share(5.0), look.clone(), pause(Some(60))], "the end of `pause 1m`", "pause 1m, "),
        (false, vec![share(5.0), look.clone(), pause(None)], "a person (`promote`)", "a pause without an end: "),
        (true, vec![share(5.0), look], "its spec (`paused: true`)", "paused by its spec; "),
    ] {
        let mut wanted = release("v2", steps);
        let mut rollout = stable();
        let mut told = Vec::new();
        for _ in 0..30 {
            let has_traffic = rollout.plan().weight_of("v2") > Weight::ZERO;
            let seen = Observation { window: has_traffic.then(|| window(0, 900)), ..second() };
            let transition = sees(rollout, seen, Context::of(&wanted));
            rollout = transition.rollout;
            told.extend(transition.records.into_iter().filter(|record| matches!(record, Record::Waiting { .. })));
            wanted.paused = paused && rollout.plan().weight_of("v2") > Weight::ZERO;
        }
        let status = ReleaseStatus::of(&rollout, Context::of(&wanted), &settled(), |_| Recent::default());
        let said = status.explanation.expect("there was something to look at").evidence;
        assert!(said.ends_with(&format!(": good enough, but waits for {evidence}")), "{said}");
        assert!(status.message.starts_with(message) && !status.message.contains("advances"), "{}", status.message);
        let told = told.iter().filter_map(Record::explanation).all(|why| why.evidence.ends_with("but it waits"));
        assert!(told, "what is decided does not say the contrary of what is done");
    }
}
