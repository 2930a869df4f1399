use super::super::fixtures::{cluster, world};
use super::*;

const WALL: SystemTime = SystemTime::UNIX_EPOCH;

fn peer(id: &str, zone: &str) -> Peer {
    let locality = Locality { zone: zone.into(), ..Locality::default() };
    Peer { id: id.into(), locality, connects: 1, errors: 0, in_force: false }
}

fn peers() -> Vec<Peer> {
    vec![peer("a1", "a"), peer("a2", "a"), peer("a3", "a"), peer("b1", "b"), peer("b2", "b")]
}

fn have(mut peers: Vec<Peer>, ids: &[&str]) -> Vec<Peer> {
    peers.iter_mut().for_each(|peer| peer.in_force = ids.contains(&peer.id.as_str()));
    peers
}

/// A group that serves `world(a1)`, with new snapshots going to two proxies first.
fn careful(quiet: u64) -> (Group, Arc<Snapshot>, Arc<Snapshot>) {
    let (old, new) = (world(&[("a", 1)], &["a"]), world(&[("a", 2)], &["a"]));
    let mut group = Group::default();
    let canary = Canary { size: CanarySize::Count(2), quiet: Duration::from_secs(quiet), tolerated_5xx: 2 };
    group.set_canary(Some(canary));
    assert!(group.publish(Arc::clone(&old), false));
    assert_eq!(
        served(&group, "a1"),
        old.version(),
        "the first snapshot is everybody's: there is nothing to fall back on"
    );
    (group, old, new)
}

fn served(group: &Group, node: &str) -> super::super::ResourceVersion {
    group.published().expect("a snapshot").of(node).version()
}

#[test]
fn the_same_snapshot_again_is_no_change() {
    let mut group = Group::default();
    assert!(group.publish(world(&[("a", 1)], &["a"]), false));
    assert!(!group.publish(world(&[("a", 1)], &["a"]), false));
}

#[test]
fn what_was_rejected_is_sent_to_no_one_and_the_next_good_one_is() {
    let [one, two, three] = [1, 2, 3].map(|edition| world(&[("a", edition)], &["a"]));
    let mut group = Group::default();
    group.publish(Arc::clone(&one), false);
    group.publish(two, false);
    assert!(group.reject(&[cluster("a", 2)], "edge-1", "bad", WALL));
    assert_eq!(served(&group, "any"), one.version());
    assert_eq!(group.parked()[0].text, "bad");
    assert!(group.publish(Arc::clone(&three), false));
    assert_eq!(served(&group, "any"), three.version());
}

#[test]
fn a_few_go_first_across_localities_and_the_rest_follow_when_they_have_it() {
    let (mut group, old, new) = careful(0);
    let now = Instant::now();
    assert!(group.publish(Arc::clone(&new), false));
    assert_eq!(served(&group, "a1"), old.version(), "nobody is chosen yet");
    assert!(group.observe(&peers(), now));
    assert_eq!(group.held(), Some(Held::Trial(vec!["a1".into(), "b1".into()])));
    assert_eq!((served(&group, "a1"), served(&group, "a2")), (new.version(), old.version()));
    assert!(!group.observe(&have(peers(), &["a1"]), now), "one of two");
    assert!(group.observe(&have(peers(), &["a1", "b1"]), now));
    assert_eq!((served(&group, "a2"), group.held()), (new.version(), None));
}

#[test]
fn the_rest_wait_for_a_quiet_time() {
    let (mut group, old, new) = careful(10);
    let now = Instant::now();
    group.publish(Arc::clone(&new), false);
    group.observe(&peers(), now);
    let mut seen = have(peers(), &["a1", "b1"]);
    assert!(!group.observe(&seen, now));
    assert_eq!(group.deadline(), Some(now + Duration::from_secs(10)));
    seen[0].errors = 2;
    assert!(!group.observe(&seen, now + Duration::from_secs(9)));
    assert_eq!(served(&group, "a2"), old.version());
    assert!(group.observe(&seen, now + Duration::from_secs(10)));
    assert_eq!(served(&group, "a2"), new.version());
}

#[test]
fn trouble_at_the_first_stops_it_until_there_is_another() {
    type Trouble = fn(&mut Peer);
    let troubles: [(Trouble, &str); 2] = [
        (|peer| peer.errors = 3, "3 answers of class 5xx from a1, b1 since then"),
        (|peer| peer.connects = 2, "a1 connected anew after it was given the snapshot"),
    ];
    for (trouble, words) in troubles {
        let (mut group, old, new) = careful(10);
        let now = Instant::now();
        group.publish(Arc::clone(&new), false);
        group.observe(&peers(), now);
        let mut seen = have(peers(), &["a1", "b1"]);
        trouble(&mut seen[0]);
        assert!(group.observe(&seen, now));
        assert_eq!(served(&group, "a1"), old.version(), "the first are given back what they had");
        assert_eq!(group.held(), Some(Held::Stopped(words.into())));
        assert!(!group.publish(Arc::clone(&new), false) && served(&group, "a1") == old.version());
        let third = world(&[("a", 3)], &["a"]);
        assert!(group.publish(third, false) && group.on_trial().is_some());
        // And by hand.
        let (mut group, ..) = careful(10);
        group.publish(Arc::clone(&new), false);
        group.observe(&peers(), now);
        group.observe(&seen, now);
        assert!(!group.release() || group.on_trial().is_some());
    }
}

#[test]
fn what_cannot_wait_and_what_is_known_goes_everywhere_at_once() {
    let (mut group, old, new) = careful(10);
    group.publish(Arc::clone(&new), true);
    assert_eq!(served(&group, "a2"), new.version());
    // The way back: all of it was accepted before.
    group.accept(&old.iter().cloned().collect::<Vec<_>>());
    assert!(group.publish(Arc::clone(&old), false));
    assert_eq!((served(&group, "a2"), group.on_trial()), (old.version(), None));
}

#[test]
fn a_newer_one_in_mid_way_goes_to_the_same_first() {
    let (mut group, old, new) = careful(0);
    let now = Instant::now();
    group.publish(new, false);
    group.observe(&peers(), now);
    let third = world(&[("a", 3)], &["a"]);
    assert!(group.publish(Arc::clone(&third), false));
    assert_eq!((served(&group, "a1"), served(&group, "a2")), (third.version(), old.version()));
}

#[test]
fn a_first_that_goes_is_no_obstacle() {
    let (mut group, _, new) = careful(0);
    let now = Instant::now();
    group.publish(Arc::clone(&new), false);
    group.observe(&peers(), now);
    let left: Vec<Peer> = peers().into_iter().filter(|peer| peer.id != "a1" && peer.id != "b1").collect();
    // It may be back soon; and it may have crashed, so that nobody else is tried meanwhile.
    assert!(!group.observe(&left, now));
    assert_eq!(group.deadline(), Some(now + PATIENCE));
    assert!(group.observe(&left, now + PATIENCE));
    assert_eq!(group.held(), Some(Held::Trial(vec!["a2".into(), "b2".into()])));
    // Too few to make a difference: they are all first.
    let (mut group, _, new) = careful(0);
    group.publish(Arc::clone(&new), false);
    assert!(group.observe(&peers()[..2], now));
    assert_eq!(served(&group, "a3"), new.version());
}

#[test]
fn what_was_stopped_is_forgotten_when_it_is_not_wanted_any_more() {
    for urgent in [false, true] {
        let (mut group, old, new) = careful(10);
        let now = Instant::now();
        group.publish(new, false);
        group.observe(&peers(), now);
        let mut seen = have(peers(), &["a1", "b1"]);
        seen[0].errors = 3;
        group.observe(&seen, now);
        assert!(matches!(group.held(), Some(Held::Stopped(_))));
        group.publish(Arc::clone(&old), urgent);
        assert_eq!((served(&group, "a1"), group.held()), (old.version(), None));
    }
}

#[test]
fn a_first_that_goes_and_does_not_come_back_stops_what_was_to_be_quiet() {
    let (mut group, old, new) = careful(10);
    let now = Instant::now();
    group.publish(new, false);
    group.observe(&peers(), now);
    let left: Vec<Peer> = have(peers(), &["b1"]).into_iter().filter(|peer| peer.id != "a1").collect();
    assert!(!group.observe(&left, now) && !group.observe(&[], now + PATIENCE / 2));
    assert!(group.observe(&left, now + PATIENCE));
    assert_eq!(group.held(), Some(Held::Stopped("a1 went away after it was given the snapshot".into())));
    assert_eq!(served(&group, "b1"), old.version());
}

#[test]
fn a_first_that_does_not_take_it_stops_it_in_the_end() {
    let (mut group, _, new) = careful(0);
    let now = Instant::now();
    group.publish(new, false);
    group.observe(&peers(), now);
    let seen = have(peers(), &["b1"]);
    assert!(!group.observe(&seen, now + PATIENCE / 2));
    assert!(group.observe(&seen, now + PATIENCE));
    assert_eq!(group.held(), Some(Held::Stopped("a1 has not come to have it in force in 120 s".into())));
}

#[test]
fn a_rejection_ends_the_trial_of_what_was_rejected() {
    let (mut group, old, new) = careful(0);
    let now = Instant::now();
    group.publish(new, false);
    group.observe(&peers(), now);
    assert!(group.reject(&[cluster("a", 2)], "a1", "bad", WALL));
    assert_eq!((served(&group, "a1"), group.on_trial()), (old.version(), None));
}

#[test]
fn what_is_rejected_of_what_the_rest_have_is_taken_from_them_whatever_is_on_trial() {
    let (mut group, _, new) = careful(0);
    // The first are given the newest; the rest have something that nobody has seen yet.
    group.publish(Arc::clone(&new), true);
    let third = world(&[("a", 2), ("b", 1)], &["a"]);
    group.publish(Arc::clone(&third), false);
    group.observe(&peers(), Instant::now());
    assert_eq!((served(&group, "a1"), served(&group, "a2")), (third.version(), new.version()));
    assert!(group.reject(&[cluster("a", 2)], "a2", "bad", WALL));
    for node in ["a1", "a2"] {
        let published = group.published().expect("a snapshot");
        assert_eq!(published.of(node).get(super::super::ResourceType::Cluster, "a"), Some(&cluster("a", 1)), "{node}");
    }
    assert!(group.on_trial().is_some(), "the rest of it is still to be tried");
}

#[test]
fn sizes_are_at_least_one() {
    assert_eq!(CanarySize::Count(0).of(5), 1);
    assert_eq!(
        (CanarySize::Percent(1).of(5), CanarySize::Percent(50).of(5), CanarySize::Percent(100).of(5)),
        (1, 3, 5)
    );
}
