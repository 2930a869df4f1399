//! Endpoints that come and go in mid-rollout.

use super::*;

#[test]
fn new_ones_wait_for_their_batch_and_vanished_ones_are_dropped() {
    let mut scene = Scene::new(&[1, 2, 3], &[1, 2, 3], policy(hook(), None));
    scene.rolling.enter_batch(1);
    scene.run();
    (scene.from, scene.to) = (version(&[1, 2, 4]), version(&[1, 2, 4, 5]));
    scene.pass(1);
    assert_eq!(scene.told(), "v1: 1 absent; v2: 2 absent, 4 absent");
    assert_eq!((scene.said().as_str(), scene.percent()), ("2 of 4 endpoints run v2", 50.0));
    assert_eq!((scene.rolling.batch_state(), scene.rolling.waiting()), (BatchState::Done, 2));
}

#[test]
fn one_that_vanishes_in_the_middle_is_not_waited_for() {
    for until in 0..3 {
        let mut scene = Scene::new(&[1, 2, 3], &[1, 2, 3], policy(hook(), probe()));
        scene.rolling.enter_batch(1);
        for _ in 0..until {
            scene.pass(1);
        }
        (scene.from, scene.to) = (version(&[2, 3]), version(&[2, 3]));
        scene.run();
        assert_eq!((scene.rolling.batch_state(), scene.rolling.total()), (BatchState::Done, 2), "{until}");
    }
}

#[test]
fn one_that_failed_is_forgotten_with_its_addresses() {
    let mut scene = Scene::new(&[1, 2], &[1, 2], policy(Update::Running, probe()));
    scene.rolling.enter_batch(1);
    scene.pass(1);
    scene.pass(1);
    assert!(scene.answer("1:80/probe", 1, Err("refused")));
    (scene.from, scene.to) = (version(&[2]), version(&[2]));
    scene.pass(1);
    assert_eq!((scene.rolling.batch_state(), scene.rolling.total()), (BatchState::Done, 1));
}

#[test]
fn who_is_listed_with_one_version_only_serves_that() {
    let mut scene = Scene::new(&[1, 2, 3], &[1, 2, 3], policy(hook(), None));
    scene.rolling.enter_batch(1);
    scene.run();
    // 2 is said to run the new version, 1 no longer to: its agent is asked to see to it.
    (scene.from, scene.to) = (version(&[1, 3]), version(&[2, 3]));
    scene.pass(1);
    assert_eq!((scene.told().as_str(), scene.percent()), ("v1: 1 absent; v2: 3 absent", 50.0));
    scene.pass(1);
    assert_eq!(scene.asked(), ["1:80/back#1"]);
    scene.run();
    // Back again, it is of the present batch still, and no longer has a successor: it is removed.
    assert_eq!((scene.told().as_str(), scene.percent()), ("v1: 1 absent; v2: 3 absent", 50.0));
}

#[test]
fn the_last_one_that_drains_goes_on_to_serve_when_the_others_vanish() {
    let mut scene = Scene::new(&[1, 2], &[1, 2], policy(hook(), None));
    scene.busy = [address(1)].into();
    scene.rolling.enter_batch(1);
    scene.pass(1);
    assert_eq!(scene.told(), "v1: 1 draining; v2: 1 absent, 2 absent");
    (scene.from, scene.to) = (version(&[1]), version(&[1]));
    scene.pass(1);
    assert_eq!(scene.told(), "v2: 1 absent");
}

#[test]
fn a_pair_of_which_the_other_version_lists_an_address_becomes_two() {
    // 1 is followed by 2, until 2 is found in the old version, too.
    let mut scene = Scene::new(&[1], &[2], policy(Update::Running, None));
    scene.from = version(&[1, 2]);
    scene.pass(1);
    assert_eq!(scene.told(), "v2: 2 absent");
    let addresses: Vec<_> = scene.rolling.instances().iter().map(|one| (one.old, one.new)).collect();
    assert_eq!(addresses, [(Some(address(1)), None), (Some(address(2)), Some(address(2)))]);
}

#[test]
fn a_strategy_that_is_edited_holds_nobody_up() {
    let mut scene = Scene::new(&[1, 2, 3], &[1, 2, 3], policy(hook(), probe()));
    scene.rolling.enter_batch(2);
    scene.pass(1);
    scene.pass(1);
    assert!(scene.answer("1:80/update", 1, Ok("done")));
    assert_eq!(scene.asked(), ["1:80/probe#1", "2:80/update#1"]);
    (scene.policy.update, scene.policy.health) = (Update::Running, None);
    scene.pass(1);
    assert_eq!((scene.rolling.batch_state(), scene.percent()), (BatchState::Done, 66.66));
}
