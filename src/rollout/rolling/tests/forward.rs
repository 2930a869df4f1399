//! The way to the new version.

use super::*;

#[test]
fn endpoints_are_drained_updated_and_probed_in_place() {
    let mut scene = Scene::new(&[1, 2, 3, 4], &[1, 2, 3, 4], policy(hook(), probe()));
    scene.pass(1);
    assert_eq!(scene.told(), "v2: 1 absent, 2 absent, 3 absent, 4 absent");
    assert_eq!((scene.said().as_str(), scene.percent()), ("0 of 4 endpoints run v2", 0.0));
    scene.rolling.enter_batch(2);
    scene.busy = [address(2)].into();
    assert!(scene.pass(1).changed);
    assert_eq!(scene.told(), "v1: 1 draining, 2 draining; v2: 1 absent, 2 absent, 3 absent, 4 absent");
    assert!(scene.calls().is_empty());
    scene.pass(1);
    assert_eq!(scene.told(), "v1: 1 absent, 2 draining; v2: 1 absent, 2 absent, 3 absent, 4 absent");
    assert_eq!(scene.said(), "0 of 4 endpoints run v2; 10.0.0.1:80 is updated, 10.0.0.2:80 drains for 1s");
    assert!(!scene.pass(1).changed, "only time passed");
    assert_eq!(scene.asked(), ["1:80/update#1"]);
    let Question::Hook { about, .. } = &scene.calls()[0].question else { panic!("a hook") };
    assert_eq!((about.purpose.as_str(), about.version.as_str(), about.stable.as_str()), ("update", "v2", "v1"));
    assert_eq!(about.endpoints, [address(1)]);
    assert!(scene.answer("1:80/update", 1, Ok("done")));
    assert_eq!(scene.asked(), ["1:80/probe#1"]);
    assert!(scene.answer("1:80/probe", 1, Ok("healthy")));
    assert_eq!((scene.percent(), scene.rolling.batch_state()), (33.33, BatchState::Doing));
    // The second one never gets idle: its time ends.
    scene.pass(8);
    assert_eq!(scene.asked(), ["2:80/update#1"]);
    scene.run();
    assert_eq!((scene.percent(), scene.rolling.batch_state()), (50.0, BatchState::Done));
    assert_eq!(scene.told(), "v1: 1 absent, 2 absent; v2: 3 absent, 4 absent");
    assert_eq!((scene.rolling.done(), scene.rolling.total(), scene.rolling.waiting()), (2, 4, 2));
    scene.rolling.enter_batch(2);
    scene.run();
    assert_eq!((scene.rolling.weight(), scene.rolling.batch_state()), (Weight::FULL, BatchState::Done));
    assert_eq!(scene.said(), "4 of 4 endpoints run v2");
}

#[test]
fn drains_end_early_only_when_the_proxies_have_been_told() {
    let mut scene = Scene::new(&[1, 2], &[1, 2], policy(hook(), None));
    scene.rolling.enter_batch(1);
    scene.pass(1);
    scene.settled = false;
    scene.pass(9);
    assert!(scene.asked().is_empty());
    scene.pass(1);
    assert_eq!(scene.asked(), ["1:80/update#1"], "the longest wait is over");
}

#[test]
fn endpoints_at_other_addresses_replace_the_old_ones_and_what_is_left_over_comes_last() {
    let mut scene = Scene::new(&[1, 2, 9], &[2, 11, 12, 13], policy(Update::Running, None));
    // In place: 2. 1 is followed by 11, 9 by 12; 13 is only added.
    scene.rolling.enter_batch(2);
    scene.run();
    assert_eq!(scene.told(), "v1: 1 absent, 2 absent; v2: 12 absent, 13 absent");
    assert_eq!(scene.percent(), 66.66);
    scene.rolling.enter_batch(2);
    scene.run();
    assert_eq!(scene.told(), "v1: 1 absent, 2 absent, 9 absent");
    assert_eq!((scene.rolling.weight(), scene.rolling.total()), (Weight::FULL, 4));

    let mut scene = Scene::new(&[1, 2, 3], &[11], policy(hook(), None));
    scene.rolling.enter_batch(3);
    scene.pass(1);
    scene.pass(1);
    assert_eq!(scene.asked(), ["11:80/update#1"], "what is only removed needs no update");
    scene.run();
    assert_eq!((scene.rolling.weight(), scene.rolling.done()), (Weight::FULL, 3));
}

#[test]
fn endpoints_register_themselves_with_the_new_version() {
    let update = Update::Registration { within: Duration::from_secs(30) };
    let mut scene = Scene::new(&[1, 2, 3], &[], policy(update, probe()));
    scene.rolling.enter_batch(2);
    scene.pass(1);
    scene.busy = [address(2)].into();
    scene.pass(1);
    assert_eq!(
        scene.said(),
        "0 of 3 endpoints run v2; the successor of 10.0.0.1:80 is waited for since 0s, 10.0.0.2:80 drains for 1s"
    );
    scene.busy.clear();
    scene.pass(5);
    // Both have left the old version. One comes to its own address, one to another; the second waits less long.
    (scene.from, scene.to) = (version(&[3]), version(&[8, 2]));
    scene.pass(1);
    let pairs: Vec<_> = scene.rolling.instances().iter().map(|one| one.new).collect();
    assert_eq!(pairs, [Some(address(8)), Some(address(2)), None]);
    assert_eq!(scene.asked(), ["8:80/probe#1", "2:80/probe#1"]);
    scene.run();
    assert_eq!((scene.percent(), scene.rolling.batch_state()), (66.66, BatchState::Done));
    scene.rolling.enter_batch(1);
    scene.pass(1);
    scene.from = version(&[]);
    scene.pass(1);
    scene.pass(30);
    let reason = "10.0.0.3:80: it did not register itself with the other version in time";
    assert_eq!(scene.rolling.batch_state(), BatchState::Failed(reason.into()));
    scene.to = version(&[8, 2, 3]);
    scene.rolling.try_again(&scene.policy);
    scene.run();
    assert_eq!((scene.rolling.weight(), scene.rolling.batch_state()), (Weight::FULL, BatchState::Done));
}

#[test]
fn a_hook_that_fails_is_called_again_and_waits_twice_as_long_each_time() {
    let mut scene = Scene::new(&[1, 2], &[1, 2], policy(hook(), probe()));
    scene.rolling.enter_batch(1);
    scene.pass(1);
    scene.pass(1);
    assert!(scene.answer("1:80/update", 1, Err("503")));
    assert!(scene.asked().is_empty(), "it waits");
    assert_eq!(scene.said(), "0 of 2 endpoints run v2; 10.0.0.1:80 waits 2s to be updated (try 2)");
    scene.pass(1);
    assert!(scene.pass(1).changed, "the wait is over");
    assert_eq!(scene.asked(), ["1:80/update#2"]);
    assert!(!scene.answer("1:80/update", 1, Ok("late")), "an old try's answer");
    assert!(!scene.answer("2:80/update", 2, Ok("")), "nobody asked that");
    assert!(scene.answer("1:80/update", 2, Err("503")));
    scene.pass(3);
    assert!(scene.asked().is_empty());
    scene.pass(1);
    assert!(scene.answer("1:80/update", 3, Err("503")));
    let reason = "10.0.0.1:80: the update failed at try 3: 503";
    assert_eq!(scene.rolling.batch_state(), BatchState::Failed(reason.into()));
    assert_eq!((scene.told().as_str(), scene.percent()), ("v1: 1 absent; v2: 1 absent, 2 absent", 0.0));
    scene.rolling.try_again(&scene.policy);
    assert_eq!(scene.asked(), ["1:80/update/2#1"], "another call than the one that failed");
    scene.run();
    assert_eq!(scene.rolling.batch_state(), BatchState::Done);
}

#[test]
fn a_probe_that_fails_fails_the_batch_and_nobody_else_is_taken_out() {
    let policy = Policy { max_unavailable: Some(Portion::Count(1)), ..policy(Update::Running, probe()) };
    let mut scene = Scene::new(&[1, 2, 3], &[1, 2, 3], policy);
    scene.rolling.enter_batch(2);
    scene.pass(1);
    scene.pass(1);
    assert!(scene.answer("1:80/probe", 1, Err("connection refused")));
    scene.run();
    let reason = "10.0.0.1:80: the probe failed: connection refused";
    assert_eq!(scene.rolling.batch_state(), BatchState::Failed(reason.into()));
    assert_eq!(scene.told(), "v1: 1 absent; v2: 1 absent, 2 absent, 3 absent");
}

#[test]
fn no_more_than_allowed_are_out_of_service_at_a_time() {
    let policy = Policy { max_unavailable: Some(Portion::Percent(40)), ..policy(hook(), None) };
    let mut scene = Scene::new(&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5], policy);
    scene.rolling.enter_batch(4);
    scene.pass(1);
    scene.pass(1);
    assert_eq!(scene.asked(), ["1:80/update#1", "2:80/update#1"]);
    scene.answer("1:80/update", 1, Ok("done"));
    scene.settled = false;
    scene.pass(1);
    assert!(!scene.told().contains("draining"), "the proxies do not know yet of the one that is back");
    scene.settled = true;
    scene.pass(1);
    assert!(scene.told().starts_with("v1: 1 absent, 2 absent, 3 draining; v2"));
    scene.run();
    assert_eq!(scene.rolling.batch_state(), BatchState::Done);
}

#[test]
fn the_last_one_that_serves_is_never_taken_out() {
    let mut scene = Scene::new(&[1], &[1], policy(hook(), None));
    scene.rolling.enter_batch(1);
    scene.run();
    let reason = "the only endpoint cannot be updated in place without an outage; add another";
    assert_eq!(scene.rolling.batch_state(), BatchState::Failed(reason.into()));
    assert_eq!((scene.told().as_str(), scene.rolling.done()), ("v2: 1 absent", 0));
    assert_eq!(scene.said(), format!("0 of 1 endpoint runs v2; {reason}"));
    // Its cure.
    (scene.from, scene.to) = (version(&[1, 2]), version(&[1, 2]));
    scene.run();
    assert_eq!((scene.rolling.batch_state(), scene.percent()), (BatchState::Done, 50.0));

    // Another one that is to come anyway comes first.
    let mut scene = Scene::new(&[1], &[1, 2, 3], policy(hook(), None));
    scene.rolling.enter_batch(1);
    scene.run();
    assert_eq!((scene.told().as_str(), scene.percent()), ("v1: 1 absent; v2: 3 absent", 100.0));

    // With both in one batch, one goes after the other.
    let mut scene = Scene::new(&[1, 2], &[1, 2], policy(hook(), None));
    scene.rolling.enter_batch(2);
    scene.pass(1);
    assert_eq!(scene.told(), "v1: 1 draining; v2: 1 absent, 2 absent");
    scene.run();
    assert_eq!(scene.rolling.weight(), Weight::FULL);
}

#[test]
fn the_only_one_with_a_successor_elsewhere_leaves_when_that_has_come() {
    for update in [hook(), Update::Running, Update::Registration { within: DRAIN }] {
        let mut scene = Scene::new(&[1], &[2], policy(update, probe()));
        scene.rolling.enter_batch(1);
        scene.pass(1);
        assert_eq!((scene.told().as_str(), scene.percent()), ("v2: 2 absent", 0.0));
        scene.agree();
        scene.agree();
        assert_eq!((scene.told().as_str(), scene.percent()), ("", 50.0));
        scene.pass(1);
        assert_eq!((scene.told().as_str(), scene.percent()), ("v1: 1 draining", 100.0));
        scene.run();
        assert_eq!((scene.told().as_str(), scene.rolling.batch_state()), ("v1: 1 absent", BatchState::Done));
        scene.rolling.turn_back(&scene.policy);
        scene.run();
        assert_eq!((scene.told().as_str(), scene.rolling.is_back()), ("v2: 2 absent", true));
    }
}
