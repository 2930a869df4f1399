use super::super::fixtures::{cluster, endpoint, listener, loose, route, world};
use super::*;
use ResourceType::{Cluster, Endpoint, Listener, Route};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn refusing(resources: &[Resource]) -> Quarantine {
    let mut quarantine = Quarantine::default();
    assert!(quarantine.reject(resources, "edge-1", "no", NOW));
    quarantine
}

#[test]
fn what_nobody_rejected_is_served_as_it_is() {
    let wanted = world(&[("a", 1)], &["a"]);
    assert!(Arc::ptr_eq(&Quarantine::default().settle(&wanted, &[]), &wanted));
    assert!(Arc::ptr_eq(&refusing(&[cluster("b", 1)]).settle(&wanted, &[]), &wanted));
}

#[test]
fn in_place_of_what_was_rejected_stands_the_last_good_one() {
    let (old, wanted) = (world(&[("a", 1)], &["a"]), world(&[("a", 2), ("b", 1)], &["a", "b"]));
    let served = refusing(&[cluster("a", 2)]).settle(&wanted, &[&old]);
    assert_eq!(served.get(Cluster, "a"), Some(&cluster("a", 1)));
    assert_eq!(served.get(Route, "http"), wanted.get(Route, "http"), "the route is as good as before");
}

#[test]
fn what_needs_what_is_not_served_stays_as_it_was() {
    let (old, wanted) = (world(&[("a", 1)], &["a"]), world(&[("b", 1)], &["b"]));
    let served = refusing(&[cluster("b", 1)]).settle(&wanted, &[&old]);
    assert!(served.get(Cluster, "b").is_none());
    // The old route comes back, and with it all that it needs.
    assert_eq!(served.get(Route, "http"), old.get(Route, "http"));
    assert_eq!(
        (served.get(Cluster, "a"), served.get(Endpoint, "a")),
        (Some(&cluster("a", 1)), Some(&endpoint("a", 1)))
    );
}

#[test]
fn the_newest_version_that_is_good_is_taken() {
    let [one, two, three] = [1, 2, 3].map(|edition| world(&[("a", edition)], &["a"]));
    let quarantine = refusing(&[cluster("a", 3), cluster("a", 2)]);
    assert_eq!(quarantine.settle(&three, &[&two, &one]).get(Cluster, "a"), Some(&cluster("a", 1)));
}

#[test]
fn where_nothing_good_is_known_nothing_is_served() {
    let wanted = world(&[("a", 1)], &["a"]);
    let served = refusing(&[cluster("a", 1)]).settle(&wanted, &[]);
    assert_eq!(served.types().collect::<Vec<_>>(), [Endpoint], "neither the route, nor the listener that asks for it");
    assert!(served.get(Listener, "http").is_none());
}

#[test]
fn what_leads_nowhere_anyway_is_its_makers_business() {
    let wanted = loose([listener("http", "elsewhere"), route("r", &["static"]), cluster("a", 2), endpoint("a", 1)]);
    let before = loose([cluster("a", 1)]);
    let served = refusing(&[cluster("a", 2)]).settle(&wanted, &[&before]);
    assert_eq!(served.len(), wanted.len());
}

#[test]
fn what_somebody_took_is_not_parked_and_what_is_parked_comes_free() {
    let mut quarantine = Quarantine::default();
    let (a, b) = (cluster("a", 1), cluster("b", 1));
    assert!(!quarantine.accept(std::slice::from_ref(&a)));
    assert!(!quarantine.reject(std::slice::from_ref(&a), "edge-1", "port taken", NOW));
    assert!(quarantine.reject(std::slice::from_ref(&b), "edge-1", "no", NOW));
    assert!(!quarantine.reject(std::slice::from_ref(&b), "edge-2", "no", NOW), "the first words are kept");
    assert_eq!(quarantine.parked().map(|parked| parked.node.as_str()).collect::<Vec<_>>(), ["edge-1"]);
    assert!(quarantine.accept(&[b]) && quarantine.parked().count() == 0);
}

#[test]
fn it_does_not_grow_for_ever() {
    let mut quarantine = Quarantine::default();
    for edition in 0..10_000 {
        quarantine.accept(&[cluster("a", edition)]);
        quarantine.reject(&[cluster("b", edition)], "edge-1", "no", NOW);
    }
    quarantine.tidy(&[&*world(&[("a", 9_999)], &["a"])]);
    assert_eq!((quarantine.proven.len(), quarantine.parked.len()), (1, PARKED));
}
