//! Every event in every state, for small specs: a search through all that can be reached.
//!
//! What is continuous is made finite: time passes by the hour or not at all, so that whatever is waited for comes in one
//! step; evidence is none, enough to fail, or enough to pass, and is forgotten after the event. A crash may come between
//! any two events: the state is written, read, and told that it was interrupted.

mod cases;

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use cases::{Case, cases};

use super::*;
use crate::analysis::{Counts, Judge};
use crate::model::Endpoint;
use crate::rollout::state::{Stage, State};
use crate::rollout::{ReleaseStatus, Standing};

const HOUR: Duration = Duration::from_secs(3600);
/// More states than any of the specs here has: the search ends.
const LIMIT: usize = 60_000;

/// What else than the rollout may change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    wanted: &'static str,
    paused: bool,
    /// Whether v1, v2 and v3 have endpoints.
    served: [bool; 3],
    peer: Standing,
    /// In a window that denies steps.
    denied: bool,
}

impl std::hash::Hash for Standing {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        format!("{self:?}").hash(state);
    }
}

struct Explorer<'a> {
    case: &'a Case,
    /// States, in a world, that are known to come to rest.
    restful: RefCell<HashSet<String>>,
}

impl Explorer<'_> {
    fn now(&self, world: &World) -> Timestamp {
        let day = if world.denied { "2026-01-02" } else { "2026-01-01" };
        format!("{day}T12:00:00Z").parse().expect("a timestamp")
    }

    fn release(&self, world: &World) -> Release {
        Release { version: world.wanted.into(), paused: world.paused, ..self.case.release.clone() }
    }

    fn service(&self, world: &World) -> Service {
        let mut service = Service::named("checkout");
        for (at, name) in ["v1", "v2", "v3"].into_iter().enumerate() {
            let host = |n: u8| if self.case.in_place { [10, 0, 0, n] } else { [10, 0, at as u8, n] };
            let count = if world.served[at] { 2 } else { 0 };
            let endpoints = (1..=2).take(count).map(|n| Endpoint::at((host(n), 80).into())).collect();
            service.versions.insert(name.into(), Version { endpoints, ..Version::default() });
        }
        service
    }

    fn peers(&self, world: &World) -> Vec<Peer> {
        let together = self.case.release.together.clone();
        let peer = Peer { release: "other".into(), together, standing: world.peer.clone() };
        if self.case.has_peer { vec![peer] } else { Vec::new() }
    }

    fn apply(&self, rollout: &Rollout, world: &World, event: Event) -> Result<Transition, CommandError> {
        let (release, service, peers) = (self.release(world), self.service(world), self.peers(world));
        let context = Context { release: &release, service: Some(&service), peers: &peers };
        let mut done = rollout.clone().apply(event, context, self.now(world))?;
        self.shows(&done.rollout, context);
        canonical(&mut done.rollout);
        Ok(done)
    }

    /// Whatever state it is in, it can be told.
    fn shows(&self, rollout: &Rollout, context: Context<'_>) {
        let status = ReleaseStatus::of(rollout, context, &FleetState::default(), |_| Default::default());
        assert!(!status.message.is_empty(), "{}: {rollout:?} says nothing", self.case.name);
    }

    fn events(&self, rollout: &Rollout) -> Vec<Event> {
        let unsettled = FleetState { proxies: 2, in_force: 1, ready: 1, ..FleetState::default() };
        let mut events = vec![observed(settled(), None), observed(unsettled, None)];
        events.extend([(0, 50_000), (50_000, 50_000)].map(|counts| observed(settled(), Some(window(counts)))));
        events.extend(rollout.calls().into_iter().flat_map(|call| {
            [Ok("yes".to_owned()), Err("no".to_owned())]
                .map(|outcome| Event::Answered(Answer { key: call.key.clone(), attempt: call.attempt, outcome }))
        }));
        // Of another time.
        events.push(Event::Answered(Answer { key: "old".into(), attempt: 1, outcome: Ok("yes".into()) }));
        let orders = [
            Command::Promote { full: false },
            Command::Promote { full: true },
            Command::Pause,
            Command::Resume,
            Command::Abort { reason: String::new() },
            Command::Undo { to: None },
            Command::Retry,
        ];
        events.extend(orders.map(Event::Ordered));
        events
    }

    fn worlds(&self, world: &World) -> Vec<World> {
        let mut worlds: Vec<World> =
            self.case.versions.iter().map(|wanted| World { wanted, ..world.clone() }).collect();
        worlds.push(World { paused: !world.paused, ..world.clone() });
        if self.case.endpoints_vanish {
            // What becomes of a canary without endpoints is explored without a baseline of its own.
            let vanishing = if self.case.release.analysis.baseline.is_some() { [0, 2] } else { [0, 1] };
            for at in vanishing {
                let mut served = world.served;
                served[at] = !served[at];
                worlds.push(World { served, ..world.clone() });
            }
        }
        if self.case.has_peer {
            let back = Standing::Back { reason: "it failed".into() };
            let all =
                [Standing::Done, Standing::OnItsWay, Standing::AtGate, Standing::Promoting, Standing::Settled, back];
            worlds.extend(all.map(|peer| World { peer, ..world.clone() }));
        }
        if self.case.has_window {
            worlds.push(World { denied: !world.denied, ..world.clone() });
        }
        worlds
    }

    /// The rules that hold for every event.
    fn check(&self, before: &Rollout, world: &World, event: &Event, after: &Transition) {
        let (name, service) = (self.case.name, self.service(world));
        let plan = after.rollout.plan();
        for routing in plan.routings() {
            let sum: u32 = routing.shares.iter().map(|share| share.weight.hundredths()).sum();
            assert_eq!(sum, Weight::FULL.hundredths(), "{name}: {plan:?}");
        }
        let was = before.plan();
        for version in plan.versions() {
            let is_served = serves(&service, &plan, version);
            let grew = plan.weight_of(version) > was.weight_of(version) || !was.versions().contains(&version);
            assert!(is_served || !grew, "{name}: {event:?} moves traffic to {version} without endpoints: {plan:?}");
        }
        let advanced = after.rollout.canary() == before.canary()
            && after.rollout.canary().is_some_and(|canary| plan.weight_of(canary) > was.weight_of(canary));
        if let (true, Event::Observed(seen)) = (advanced, event) {
            // Where endpoints are replaced, the share follows those that serve: their clusters come before the routes.
            let follows = after.rollout.replaces_endpoints();
            assert!(seen.fleet.is_settled() || follows, "{name}: advances before it is in force");
            assert!(!world.denied, "{name}: advances in a window that denies it");
        }
    }

    /// `abort` reaches the stable version, whatever it is that goes on.
    fn check_abort(&self, rollout: &Rollout, world: &World) {
        let name = self.case.name;
        let world = World { served: [true; 3], paused: false, denied: false, ..world.clone() };
        let stable = rollout.stable.clone();
        let abort = Event::Ordered(Command::Abort { reason: String::new() });
        let mut now = match self.apply(rollout, &world, abort) {
            Ok(done) => done.rollout,
            Err(refusal) => {
                // Said why: nothing is going on, or there is nothing to go back to any more.
                let text = refusal.to_string();
                assert!(text.contains("nothing"), "{name}: {text}");
                return;
            }
        };
        if matches!(now.state, State::Progressing(_) | State::Experimenting(_)) {
            return;
        }
        let stable = if matches!(rollout.state, State::Retiring(_)) { now.stable.clone() } else { stable };
        for _ in 0..60 {
            if matches!(now.state, State::Reverted { .. } | State::Healthy) {
                assert_eq!(now.plan(), crate::model::TrafficPlan::all_to("checkout", &stable), "{name}: {rollout:?}");
                return;
            }
            now = self.best(&now, &world);
            if matches!(now.state, State::Reverting(_)) && now.waits.is_some() {
                // An agent has failed at an endpoint, which is told. What can be back is back; one that is the last to
                // serve is not taken out.
                let (plan, canary) = (now.plan(), now.canary().unwrap_or_default());
                let is_last = !serves(&self.service(&world), &plan, &stable);
                assert!(plan.weight_of(canary) == Weight::ZERO || is_last, "{name}: {now:?}");
                return;
            }
            // All traffic was back; a spec that wants something else than what was refused has begun with that.
            if matches!(now.state, State::Progressing(_) | State::Promoting { .. }) {
                assert_eq!(now.stable, stable, "{name}: {rollout:?}");
                return;
            }
        }
        panic!("{name}: abort of {rollout:?} in {world:?} ends in {now:?}");
    }

    /// What comes when everything is well and everybody says yes.
    fn best(&self, rollout: &Rollout, world: &World) -> Rollout {
        let mut now = rollout.clone();
        for call in now.calls() {
            let answer = Answer { key: call.key, attempt: call.attempt, outcome: Ok("yes".into()) };
            now = self.apply(&now, world, Event::Answered(answer)).expect("an answer").rollout;
        }
        let seen = observed(settled(), Some(window((0, 50_000))));
        self.apply(&now, world, seen).expect("an observation").rollout
    }

    /// When all is well it comes to rest, or says what it waits for.
    fn check_stuck(&self, rollout: &Rollout, world: &World) {
        let release = self.release(world);
        let (mut now, mut path) = (rollout.clone(), Vec::new());
        for _ in 0..80 {
            let key = format!("{world:?} {}", serde_json::to_string(&now).expect("a rollout as JSON"));
            let next = self.best(&now, world);
            let known = self.restful.borrow().contains(&key);
            path.push(key);
            if known {
                return self.restful.borrow_mut().extend(path);
            }
            if next == now {
                let waits = match &now.state {
                    State::Progressing(progress) => matches!(progress.stage, Stage::Waiting { .. } | Stage::Gate),
                    State::Promoting { settled, .. } => *settled,
                    _ => false,
                };
                let told = waits || now.held || release.paused || now.waits.is_some();
                let is_done = matches!(now.state, State::Healthy | State::Reverted { .. });
                assert!(told || is_done, "{}: stuck in {now:?} in {world:?}", self.case.name);
                return self.restful.borrow_mut().extend(path);
            }
            now = next;
        }
        panic!("{}: {rollout:?} in {world:?} never comes to rest: {now:?}", self.case.name);
    }

    fn explore(&self) -> usize {
        let peer = if self.case.has_peer { Standing::OnItsWay } else { Standing::Done };
        let world = World { wanted: "v1", paused: false, served: [true; 3], peer, denied: false };
        let mut first = Rollout::adopt("checkout", "checkout", "v1", Timestamp::UNIX_EPOCH);
        canonical(&mut first);
        let (mut seen, mut queue) = (HashSet::new(), VecDeque::from([(first, world)]));
        while let Some((rollout, world)) = queue.pop_front() {
            let key = (serde_json::to_string(&rollout).expect("a rollout as JSON"), world.clone());
            let kept: Rollout = serde_json::from_str(&key.0).expect("the same rollout");
            assert_eq!(kept, rollout, "{}: a crash changes nothing", self.case.name);
            if !seen.insert(key) {
                continue;
            }
            assert!(seen.len() < LIMIT, "{}: more than {LIMIT} states; the newest: {rollout:?}", self.case.name);
            self.check_abort(&rollout, &world);
            self.check_stuck(&rollout, &world);
            for event in self.events(&rollout) {
                let Ok(after) = self.apply(&rollout, &world, event.clone()) else {
                    assert!(matches!(event, Event::Ordered(_)), "{}: only orders are refused", self.case.name);
                    continue;
                };
                self.check(&rollout, &world, &event, &after);
                queue.push_back((after.rollout, world.clone()));
            }
            let mut interrupted = kept;
            interrupted.interrupted();
            canonical(&mut interrupted);
            queue.push_back((interrupted, world.clone()));
            queue.extend(self.worlds(&world).into_iter().map(|other| (rollout.clone(), other)));
        }
        seen.len()
    }
}

/// Whether an endpoint of a version takes requests under a plan.
fn serves(service: &Service, plan: &crate::model::TrafficPlan, version: &str) -> bool {
    let away = plan.endpoints.get(version);
    service.versions.get(version).is_some_and(|of| {
        of.endpoints.iter().any(|end| !end.draining && away.is_none_or(|away| !away.contains_key(&end.address)))
    })
}

fn settled() -> FleetState {
    FleetState { proxies: 2, in_force: 2, ready: 2, ..FleetState::default() }
}

fn window((errors, requests): (u64, u64)) -> Window {
    Window {
        canary: Counts { requests, errors }.into(),
        baseline: Counts { requests: 50_000, errors: 0 }.into(),
        proxies: 2,
        length: HOUR,
        ..Window::default()
    }
}

fn observed(fleet: FleetState, window: Option<Window>) -> Event {
    let arms = window.iter().map(|window| ("v2".to_owned(), window.clone())).collect();
    let in_progress = Some(0);
    Event::Observed(Observation { elapsed: HOUR, fleet, window, arms, in_progress, ..Observation::default() })
}

/// The same state with what grows without an end cut off.
fn canonical(rollout: &mut Rollout) {
    if rollout.replaces_endpoints() {
        let mut kept = serde_json::to_value(&*rollout).expect("a rollout as JSON");
        cut_rounds(&mut kept);
        *rollout = serde_json::from_value(kept).expect("a rollout");
    }
    (rollout.started_at, rollout.changed_at) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    rollout.generation = 0;
    if let Some(failed) = &mut rollout.failed {
        failed.times = failed.times.min(2);
    }
    let cut = |calling: &mut crate::rollout::state::Calling| calling.attempt = calling.attempt.min(2);
    match &mut rollout.state {
        State::Progressing(progress) => {
            progress.judge = Judge::default();
            progress.stalled = Duration::ZERO;
            progress.climb = Default::default();
            progress.rolling.iter_mut().for_each(crate::rollout::state::Replacement::cut_rounds);
            match &mut progress.stage {
                Stage::Analyzing { spent, blind } => (*spent, *blind) = (Duration::ZERO, Duration::ZERO),
                Stage::Calling(calling) => cut(calling),
                Stage::Waiting { reason } => reason.truncate(20),
                _ => {}
            }
        }
        State::Experimenting(trial) => {
            trial.arms.iter_mut().for_each(|arm| arm.judge = Judge::default());
        }
        State::Retiring(retiring) => match &mut retiring.stage {
            crate::rollout::state::RetireStage::Draining { .. } => {}
            crate::rollout::state::RetireStage::Before(calling)
            | crate::rollout::state::RetireStage::Throwing(calling) => {
                cut(calling);
            }
        },
        State::Reverting(back) => {
            back.reason = String::new();
            back.rolling.iter_mut().for_each(crate::rollout::state::Replacement::cut_rounds);
        }
        State::Reverted { reason, waited, .. } => {
            *reason = String::new();
            *waited = Duration::ZERO;
        }
        State::Healthy | State::Promoting { .. } => {}
    }
}

/// How often an endpoint was tried again.
fn cut_rounds(kept: &mut serde_json::Value) {
    match kept {
        serde_json::Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| match value.as_u64() {
            Some(round) if name == "round" => *value = round.min(2).into(),
            _ => cut_rounds(value),
        }),
        serde_json::Value::Array(items) => items.iter_mut().for_each(cut_rounds),
        _ => {}
    }
}

/// Explores the cases whose number has this rest: the test runner does several at once.
fn explore(rest: usize) {
    for (_, case) in cases().into_iter().enumerate().filter(|(at, _)| at % 4 == rest) {
        let states = Explorer { case: &case, restful: RefCell::default() }.explore();
        eprintln!("{}: {states} states", case.name);
        assert!(states > 20, "{}: only {states} states", case.name);
    }
}

#[test]
fn every_event_in_every_state_1() {
    explore(0);
}

#[test]
fn every_event_in_every_state_2() {
    explore(1);
}

#[test]
fn every_event_in_every_state_3() {
    explore(2);
}

#[test]
fn every_event_in_every_state_4() {
    explore(3);
}
