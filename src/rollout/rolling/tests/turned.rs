//! The way back, from wherever it begins.

use super::*;

fn in_place(policy: Policy) -> Scene {
    let mut scene = Scene::new(&[1, 2, 3, 4], &[1, 2, 3, 4], policy);
    scene.rolling.enter_batch(2);
    scene.pass(1);
    scene
}

impl Scene {
    fn turn_back(&mut self) {
        self.rolling.turn_back(&self.policy);
    }

    fn returns(&mut self) {
        self.run();
        assert!(self.rolling.is_back(), "{}", self.said());
        assert_eq!((self.rolling.weight(), self.rolling.batch_state()), (Weight::ZERO, BatchState::Done));
        assert!(!self.told().contains("v1"), "all serve the old version: {}", self.told());
    }
}

#[test]
fn what_drains_serves_again_at_once() {
    let mut scene = in_place(policy(hook(), probe()));
    scene.turn_back();
    assert!(scene.rolling.is_back() && scene.calls().is_empty());
    assert_eq!(scene.told(), "v2: 1 absent, 2 absent, 3 absent, 4 absent");
    scene.returns();
}

#[test]
fn an_update_on_its_way_is_finished_and_then_undone() {
    for outcome in [Ok("done"), Err("503")] {
        let mut scene = in_place(policy(hook(), probe()));
        scene.pass(1);
        assert!(scene.answer("2:80/update", 1, Err("503")));
        scene.turn_back();
        scene.pass(1);
        assert_eq!(scene.asked(), ["1:80/update#1", "2:80/back#1"], "between two tries nothing is to be finished");
        assert_eq!(scene.said(), "2 of 4 endpoints run v1 again; 10.0.0.1:80 is updated, 10.0.0.2:80 is updated back");
        assert!(scene.answer("1:80/update", 1, outcome));
        assert_eq!(scene.asked(), ["1:80/back#1", "2:80/back#1"]);
        let Question::Hook { about, .. } = &scene.calls()[0].question else { panic!("a hook") };
        assert_eq!((about.purpose.as_str(), about.version.as_str()), ("update", "v1"));
        assert!(scene.answer("1:80/back", 1, Ok("done")));
        assert_eq!(scene.asked(), ["1:80/probe-back#1", "2:80/back#1"]);
        assert_eq!(scene.rolling.batch_state(), BatchState::Doing);
        scene.returns();
    }
}

#[test]
fn what_is_probed_or_has_failed_goes_back() {
    let mut scene = in_place(policy(hook(), probe()));
    scene.pass(1);
    scene.agree();
    assert!(scene.answer("1:80/probe", 1, Err("refused")));
    assert_eq!(scene.asked(), ["2:80/probe#1"]);
    scene.turn_back();
    assert_eq!(scene.asked(), ["1:80/back#1", "2:80/back#1"]);
    assert!(!scene.answer("2:80/probe", 1, Ok("healthy")), "no longer asked");
    scene.returns();
}

#[test]
fn what_is_to_register_does_not_or_registers_back() {
    let update = Update::Registration { within: Duration::from_secs(30) };
    let mut scene = Scene::new(&[1, 2, 3], &[], policy(update, None));
    scene.rolling.enter_batch(2);
    scene.pass(1);
    scene.pass(1);
    scene.from = version(&[2, 3]);
    scene.pass(1);
    scene.turn_back();
    assert_eq!(scene.said(), "2 of 3 endpoints run v1 again; the successor of 10.0.0.1:80 is waited for since 0s");
    scene.from = version(&[2, 3, 7]);
    scene.returns();
    assert_eq!(scene.rolling.instances()[0].old, Some(address(7)));
}

#[test]
fn what_registered_goes_back_one_after_the_other() {
    let update = Update::Registration { within: Duration::from_secs(30) };
    let policy = Policy { max_unavailable: Some(Portion::Count(1)), ..policy(update, None) };
    let mut scene = Scene::new(&[1, 2], &[], policy);
    scene.rolling.enter_batch(2);
    for (from, to) in [(&[2][..], &[1][..]), (&[], &[1, 2])] {
        scene.pass(1);
        scene.pass(1);
        (scene.from, scene.to) = (version(from), version(to));
        scene.pass(1);
    }
    scene.run();
    assert_eq!(scene.rolling.weight(), Weight::FULL);
    scene.turn_back();
    scene.pass(1);
    assert_eq!((scene.told().as_str(), scene.percent()), ("v2: 2 draining", 100.0), "the last first");
    scene.pass(1);
    (scene.from, scene.to) = (version(&[2]), version(&[1]));
    scene.pass(1);
    assert_eq!((scene.told().as_str(), scene.percent()), ("", 0.0), "half of them serve the old version");
    scene.pass(1);
    scene.pass(1);
    (scene.from, scene.to) = (version(&[1, 2]), version(&[]));
    scene.returns();
}

#[test]
fn the_bad_version_gets_nothing_as_soon_as_half_serve_the_good_one() {
    let mut scene = in_place(policy(hook(), None));
    scene.run();
    assert_eq!(scene.percent(), 50.0);
    scene.turn_back();
    assert_eq!(scene.percent(), 0.0);
    scene.returns();

    let mut scene = in_place(policy(hook(), None));
    scene.run();
    scene.rolling.enter_batch(1);
    scene.run();
    scene.turn_back();
    assert_eq!(scene.percent(), 75.0);
    scene.pass(1);
    assert_eq!(scene.percent(), 50.0, "two of three leave, the last first");
    assert_eq!(scene.told(), "v1: 1 absent, 2 absent, 3 absent; v2: 2 draining, 3 draining, 4 absent");
    scene.pass(1);
    scene.agree();
    assert_eq!(scene.percent(), 0.0);
    scene.returns();
}

#[test]
fn one_that_cannot_be_brought_back_holds_up_no_more_than_its_place() {
    let mut scene = in_place(policy(hook(), probe()));
    scene.run();
    scene.turn_back();
    scene.pass(1);
    scene.pass(1);
    assert!(scene.answer("1:80/back", 1, Ok("done")));
    assert!(scene.answer("1:80/probe-back", 1, Err("refused")));
    assert_eq!(scene.rolling.batch_state(), BatchState::Doing);
    scene.run();
    let reason = "10.0.0.1:80: the probe failed: refused";
    assert!(
        scene.said().starts_with("3 of 4 endpoints run v1 again; 10.0.0.1:80 failed: the probe failed: refused"),
        "{}",
        scene.said()
    );
    assert_eq!(scene.rolling.batch_state(), BatchState::Failed(reason.into()));
    scene.rolling.try_again(&scene.policy);
    scene.returns();
}

#[test]
fn what_was_added_leaves_and_what_was_removed_serves_again() {
    for (from, to) in [(&[1][..], &[1, 2, 3][..]), (&[1, 2, 3], &[1]), (&[1, 2], &[3, 4])] {
        let mut scene = Scene::new(from, to, policy(Update::Running, probe()));
        scene.rolling.enter_batch(3);
        scene.run();
        assert_eq!(scene.rolling.weight(), Weight::FULL, "{from:?} {to:?} {}", scene.said());
        scene.turn_back();
        scene.returns();
    }
}
