use proptest::prelude::*;

use super::super::fixtures::{cluster, endpoint, listener, route, world};
use super::*;
use ResourceType::{Cluster, Endpoint, Listener, Route};

fn dangling(from_type: ResourceType, from: &str, to_type: ResourceType, to: &str) -> Inconsistency {
    Inconsistency::Dangling { from_type, from: from.into(), to_type, to: to.into() }
}

#[test]
fn every_dangling_reference_is_named() {
    let mut builder = Snapshot::builder();
    builder.add(cluster("a", 1)).add(listener("http", "routes")).add(route("r", &["a", "b"]));
    assert_eq!(
        builder.build().expect_err("a fault"),
        [
            dangling(Cluster, "a", Endpoint, "a"),
            dangling(Listener, "http", Route, "routes"),
            dangling(Route, "r", Cluster, "b"),
        ]
    );
}

#[test]
fn two_of_one_name_are_refused() {
    let mut builder = Snapshot::builder();
    builder.add(endpoint("a", 1)).add(endpoint("a", 2));
    assert_eq!(
        builder.build().expect_err("a fault"),
        [Inconsistency::Duplicate { resource_type: Endpoint, name: "a".into() }]
    );
}

#[test]
fn an_edit_is_checked_where_it_touches() {
    let before = world(&[("a", 1), ("b", 1)], &["a"]);
    let mut edit = before.edit();
    edit.remove(Cluster, "b").remove(Endpoint, "b").remove(Cluster, "never there");
    let after = edit.build().expect("nothing refers to b");
    assert_eq!(after, *world(&[("a", 1)], &["a"]));

    let mut edit = before.edit();
    edit.remove(Cluster, "a");
    assert_eq!(edit.build().expect_err("a fault"), [dangling(Route, "http", Cluster, "a")]);

    let mut edit = before.edit();
    edit.remove(Cluster, "a").remove(Endpoint, "a").add(route("http", &["b"]));
    assert!(edit.build().is_ok());
}

#[test]
fn a_callers_version_lasts_until_the_next_change() {
    let mut builder = Snapshot::builder();
    builder.add(endpoint("a", 1)).version(Endpoint, "v1");
    let snapshot = builder.build().expect("a snapshot");
    assert_eq!(snapshot.label_of(Endpoint), Some("v1"));
    assert_eq!(snapshot.edit().build_unchecked().label_of(Endpoint), Some("v1"));
    let mut edit = snapshot.edit();
    edit.add(endpoint("b", 1));
    assert_eq!(edit.build_unchecked().label_of(Endpoint), None);
}

#[test]
fn aliases_find_their_resource() {
    let mut builder = Snapshot::builder();
    builder.add(endpoint("a", 1).with_aliases(["x"]));
    let snapshot = builder.build().expect("a snapshot");
    assert_eq!(snapshot.find(Endpoint, "x"), snapshot.get(Endpoint, "a"));
    assert!(snapshot.get(Endpoint, "x").is_none());
    let mut edit = snapshot.edit();
    edit.add(endpoint("a", 2));
    assert!(edit.build_unchecked().find(Endpoint, "x").is_none());
}

#[test]
fn a_body_is_put_together_once() {
    let snapshot = world(&[("a", 1)], &["a"]);
    let version = snapshot.version_of(Cluster);
    let first = snapshot.body(true, version, || Bytes::from_static(b"x"));
    assert_eq!(snapshot.body(true, version, || unreachable!("it is remembered")), first);
    assert_eq!(snapshot.body(false, version, || Bytes::from_static(b"y")), Bytes::from_static(b"y"));
}

proptest! {
    /// However a snapshot came about, it is the one that has just these resources.
    #[test]
    fn the_way_does_not_show(steps in proptest::collection::vec((0_u8..6, 0_u64..3), 0..40)) {
        let mut edited = Snapshot::builder().build_unchecked();
        let mut plain = BTreeMap::new();
        for (name, edition) in steps {
            let name = format!("c{name}");
            let mut edit = edited.edit();
            match edition {
                0 => {
                    edit.remove(Cluster, &name);
                    plain.remove(&name);
                }
                edition => {
                    edit.add(cluster(&name, edition));
                    plain.insert(name, edition);
                }
            }
            edited = edit.build_unchecked();
        }
        let mut builder = Snapshot::builder();
        for (name, edition) in &plain {
            builder.add(cluster(name, *edition));
        }
        let built = builder.build_unchecked();
        prop_assert_eq!(built.version(), edited.version());
        prop_assert_eq!(built.of_type(Cluster), edited.of_type(Cluster));
        prop_assert_eq!(&built.referrers, &edited.referrers);
    }
}
