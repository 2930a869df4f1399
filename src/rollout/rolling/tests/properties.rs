//! What holds in any order of events.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    Time { seconds: u64, busy: BTreeSet<u8>, settled: bool },
    Batch(usize),
    Answer { which: usize, good: bool },
    Late { key: usize, attempt: u32 },
    Retry,
    Edit { from: BTreeSet<u8>, to: BTreeSet<u8> },
    TurnBack,
}

fn some_endpoints(least: usize) -> impl Strategy<Value = BTreeSet<u8>> {
    proptest::collection::btree_set(1_u8..10, least..7)
}

fn any_event() -> impl Strategy<Value = Event> {
    let time = (0_u64..8, some_endpoints(0), proptest::bool::weighted(0.8));
    prop_oneof![
        12 => time.prop_map(|(seconds, busy, settled)| Event::Time { seconds, busy, settled }),
        3 => (0_usize..5).prop_map(Event::Batch),
        10 => (0_usize..5, proptest::bool::weighted(0.8)).prop_map(|(which, good)| Event::Answer { which, good }),
        1 => (0_usize..30, 1_u32..4).prop_map(|(key, attempt)| Event::Late { key, attempt }),
        1 => Just(Event::Retry),
        1 => (some_endpoints(1), some_endpoints(0)).prop_map(|(from, to)| Event::Edit { from, to }),
        1 => Just(Event::TurnBack),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let updates = prop_oneof![
        2 => Just(hook()),
        1 => Just(Update::Running),
        1 => Just(Update::Registration { within: Duration::from_secs(20) }),
    ];
    let unavailable = proptest::option::of((1_u32..4).prop_map(Portion::Count));
    (updates, any::<bool>(), unavailable, 1_u32..5).prop_map(|(update, probed, max_unavailable, batch)| Policy {
        max_unavailable,
        batch: Portion::Count(batch),
        ..policy(update, probe().filter(|_| probed))
    })
}

fn listed(
    version: &Version,
    told: &BTreeMap<String, crate::model::EndpointStates>,
    name: &str,
) -> BTreeSet<SocketAddr> {
    let silent = told.get(name).cloned().unwrap_or_default();
    version.endpoints.iter().map(|one| one.address).filter(|address| !silent.contains_key(address)).collect()
}

/// What must be so at all times, of what the proxies are told. `edited`: the specs changed on the way, so that everybody
/// who served may have been struck off.
fn check(scene: &Scene, edited: bool) -> Result<(), TestCaseError> {
    let told = scene.rolling.endpoints(&NAMES);
    let (olds, news) = (listed(&scene.from, &told, "v1"), listed(&scene.to, &told, "v2"));
    prop_assert!(olds.is_disjoint(&news), "never both: {olds:?} {news:?}");
    let weight = scene.rolling.weight();
    if !edited {
        prop_assert!(!olds.is_empty() || !news.is_empty(), "somebody serves: {}", scene.said());
    }
    if !olds.is_empty() || !news.is_empty() {
        prop_assert!(weight == Weight::ZERO || !news.is_empty(), "{weight} and nobody: {}", scene.said());
        prop_assert!(weight == Weight::FULL || !olds.is_empty(), "{weight} and nobody left: {}", scene.said());
    }
    if !scene.rolling.is_returning() && !edited {
        let out = scene.rolling.instances().iter().filter(|one| one.is_out()).count();
        let most = scene.policy.max_unavailable.map_or(usize::MAX, |portion| portion.of(scene.rolling.total()));
        prop_assert!(out <= most, "{out} of {most} are out: {}", scene.said());
    }
    let calls = scene.calls();
    let keys: BTreeSet<_> = calls.iter().map(|call| &call.key).collect();
    prop_assert_eq!(keys.len(), calls.len(), "each call has its own key");
    Ok(())
}

/// Whoever is waited for registers: what the agents do that nobody calls. Somebody else may be where they were.
fn register(scene: &mut Scene) {
    for (at, one) in scene.rolling.instances().to_vec().into_iter().enumerate() {
        let (State::Registering { .. }, Some(home)) = (&one.state, one.home) else { continue };
        let is_taken = scene.from.endpoints.iter().chain(&scene.to.endpoints).any(|one| one.address == home);
        let free = if is_taken { address(100 + at as u8) } else { home };
        let version = if one.way == Way::Forward { &mut scene.to } else { &mut scene.from };
        version.endpoints.push(Endpoint::at(free));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens(
        from in some_endpoints(1),
        to in some_endpoints(0),
        policy in any_policy(),
        may_edit in any::<bool>(),
        story in proptest::collection::vec(any_event(), 0..80),
    ) {
        let numbers = |set: &BTreeSet<u8>| set.iter().copied().collect::<Vec<_>>();
        let mut scene = Scene::new(&numbers(&from), &numbers(&to), policy);
        let (mut edited, mut asked) = (false, BTreeMap::<String, u32>::new());
        for event in story {
            match event {
                Event::Time { seconds, busy, settled } => {
                    scene.busy = busy.iter().map(|&n| address(n)).collect();
                    scene.settled = settled;
                    scene.pass(seconds);
                }
                Event::Batch(count) if !scene.rolling.is_returning() => scene.rolling.enter_batch(count),
                Event::Answer { which, good } => {
                    let calls = scene.calls();
                    let Some(Call { key, attempt, .. }) = calls.get(which).cloned() else { continue };
                    let outcome = if good { Ok(String::new()) } else { Err("503".into()) };
                    let answer = Answer { key, attempt, outcome };
                    prop_assert!(scene.rolling.answered(&answer, &NAMES, &scene.policy));
                    prop_assert!(!scene.rolling.answered(&answer, &NAMES, &scene.policy), "once");
                }
                Event::Late { key, attempt } => {
                    let Some((key, last)) = asked.iter().nth(key) else { continue };
                    let answer = Answer { key: key.clone(), attempt: attempt.min(*last), outcome: Ok(String::new()) };
                    let waited = scene.calls().iter().any(|c| c.key == answer.key && c.attempt == answer.attempt);
                    prop_assert_eq!(scene.rolling.answered(&answer, &NAMES, &scene.policy), waited);
                }
                Event::Retry => scene.rolling.try_again(&scene.policy),
                Event::Edit { from, to } if may_edit => {
                    edited = true;
                    (scene.from, scene.to) = (version(&numbers(&from)), version(&numbers(&to)));
                    scene.rolling.follow(&scene.from, &scene.to);
                }
                Event::TurnBack => scene.rolling.turn_back(&scene.policy),
                Event::Batch(_) | Event::Edit { .. } => {}
            }
            for call in scene.calls() {
                let last = asked.entry(call.key).or_default();
                prop_assert!(call.attempt >= *last, "tries count up");
                *last = call.attempt;
            }
            check(&scene, edited)?;
        }
        scene.rolling.turn_back(&scene.policy);
        (scene.settled, scene.busy) = (true, BTreeSet::new());
        for _ in 0..60 {
            check(&scene, edited)?;
            scene.rolling.try_again(&scene.policy);
            register(&mut scene);
            scene.pass(1);
            scene.agree();
        }
        // An edit may leave one endpoint in place that nothing can stand in for.
        let lone = scene.rolling.instances().iter().filter(|one| one.serves()).count() == 1 && edited;
        prop_assert!(scene.rolling.is_back() || lone, "{} {:?}", scene.said(), scene.rolling);
        prop_assert!(lone || scene.rolling.batch_state() == BatchState::Done);
    }
}
