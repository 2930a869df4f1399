//! In small: what each change makes anew, and what it shares.

use serin::translate::translator::Groups;
use serin::xds::Resource;

use super::*;

const SMALL: Size = Size { fleets: 3, services: 20, versions: 3, endpoints: 2 };

/// A world that is built, with all to the first versions.
fn built(size: Size) -> (Translator, Arc<serin::model::World>, serin::translate::translator::Plans) {
    let (mut translator, world) = (Translator::new(), world(size));
    let plans = plans(&world);
    translator.build(&world, &plans).expect("a world without faults");
    (translator, world, plans)
}

/// How many resources of these groups are not, to the very bytes in memory, those of the others.
fn not_shared(groups: &Groups, others: &Groups) -> usize {
    let bytes = |resource: &Resource| resource.body().as_ptr();
    let all = |groups: &Groups| -> std::collections::BTreeSet<*const u8> {
        groups.values().flat_map(|snapshot| snapshot.iter().map(bytes).collect::<Vec<_>>()).collect()
    };
    all(groups).difference(&all(others)).count()
}

fn work(clusters: usize, virtual_hosts: usize, routes: usize, listeners: usize, snapshots: usize) -> Work {
    Work { clusters, virtual_hosts, routes, listeners, snapshots }
}

#[test]
fn a_full_build_makes_everything_once_for_all_dialects() {
    let (translator, ..) = built(SMALL);
    assert_eq!(translator.work(), work(60 * 6, 60, 3, 6, 6));
}

#[test]
fn a_step_makes_one_virtual_host_and_one_route_configuration() {
    for size in [SMALL, Size { fleets: 1, services: 60, ..SMALL }] {
        let (mut translator, world, mut now) = built(size);
        let mut before = translator.build(&world, &now).expect("the same again").clone();
        assert_eq!(translator.work(), Work::default());
        for number in 0..5 {
            now = step(&now, number);
            let after = translator.build(&world, &now).expect("a step").clone();
            assert_eq!(translator.work(), work(0, 1, 1, 0, 2));
            assert_eq!(not_shared(&after, &before), 1, "both dialects have the same one");
            before = after;
        }
    }
}

#[test]
fn a_spec_that_changes_makes_its_service_and_nothing_else() {
    let (mut translator, world, now) = built(SMALL);
    let before = translator.build(&world, &now).expect("the same again").clone();
    let moved = with_endpoint_moved(&world, 3);
    let after = translator.build(&moved, &now).expect("another endpoint").clone();
    assert_eq!(translator.work(), work(6, 1, 0, 0, 2));
    assert_eq!(not_shared(&after, &before), 1, "its endpoints");

    let (more, now) = with_service_added(&moved, SMALL, &now);
    let before = after;
    let after = translator.build(&more, &now).expect("a service more").clone();
    assert_eq!(translator.work(), work(6, 1, 1, 2, 2));
    assert_eq!(not_shared(&after, &before), 7, "its own, and the route configuration");

    // Read again, it is equal, and nothing is to be done.
    translator.build(&Arc::new((*more).clone()), &now).expect("the same again");
    assert_eq!(translator.work(), Work::default());
}

#[test]
fn fleets_with_the_same_services_share_everything() {
    let (mut translator, world, now) = built(SMALL);
    let before = translator.build(&world, &now).expect("the same again").clone();
    let doubled = with_fleets_doubled(&world);
    let after = translator.build(&doubled, &now).expect("twice the fleets").clone();
    assert_eq!(not_shared(&after, &before), 0);
    assert!(before.iter().all(|(group, snapshot)| Arc::ptr_eq(snapshot, &after[group])));
    assert_eq!(after.len(), 12);

    let next = step(&now, 1);
    translator.build(&doubled, &next).expect("a step");
    assert_eq!(translator.work(), work(0, 1, 1, 0, 4), "one route configuration for both fleets");
}
