//! What a window tells beside the sums: causes, durations, spread and places.

use std::collections::HashSet;

use super::*;

/// A place, and what failed there of how much, on both sides.
type At<'a> = (&'a str, (u64, u64), (u64, u64));

fn places(window: &Window, kind: PlaceKind) -> Vec<At<'_>> {
    let of_kind = window.places.iter().filter(|one| one.place.kind == kind);
    let pair = |counts: Counts| (counts.errors, counts.requests);
    of_kind.map(|one| (one.place.name.as_str(), pair(one.canary), pair(one.baseline))).collect()
}

fn endpoint(last: u8, zone: Option<&str>) -> Endpoint {
    Endpoint { zone: zone.map(str::to_owned), ..Endpoint::at(SocketAddr::from(([10, 0, 0, last], 80))) }
}

fn tried(of: &[(u8, u64, u64)]) -> ClusterDelta {
    let tries = of.iter().map(|(last, errors, requests)| {
        (endpoint(*last, None).address, Outcomes { requests: *requests, errors: *errors })
    });
    ClusterDelta { endpoint_tries: tries.collect(), ..ClusterDelta::default() }
}

#[test]
fn causes_are_summed_and_failures_without_a_cause_are_unexplained() {
    let mut scene = Scene::with(&["eu-1", "eu-2"]);
    let caused = ClusterDelta {
        failures: Failures::of(Cause::Timeout, 2).plus(Failures::of(Cause::Answer, 1)),
        ..delta((3, 10))
    };
    let silent = ClusterDelta { failures: Failures::default(), ..delta((5, 10)) };
    scene.add("eu-1", (0.0, 1.0), caused, ClusterDelta::default());
    scene.add("eu-2", (0.0, 1.0), silent, ClusterDelta::default());
    scene.causes = [Cause::Timeout].into();
    let window = scene.take(1.0).expect("a window");
    let causes: Vec<_> = window.canary.failures.iter().collect();
    assert_eq!(causes, [(Cause::Answer, 1), (Cause::Timeout, 2), (Cause::Other, 5)]);
    // Places know of those that count.
    assert_eq!(places(&window, PlaceKind::Proxy), [("eu-1", (2, 10), (0, 0)), ("eu-2", (0, 10), (0, 0))]);
}

#[test]
fn durations_are_merged() {
    let mut scene = Scene::with(&["eu-1", "eu-2"]);
    let latency = Some(Histogram { bounds: vec![1.0, f64::INFINITY], counts: vec![3, 1] });
    for node in ["eu-1", "eu-2"] {
        scene.add(node, (0.0, 1.0), ClusterDelta { latency: latency.clone(), ..delta((0, 4)) }, delta((0, 4)));
    }
    let window = scene.take(1.0).expect("a window");
    assert_eq!(window.canary.latency.map(|latency| latency.counts), Some(vec![6, 2]));
    assert_eq!(window.baseline.latency, None);
}

#[test]
fn the_spread_is_that_by_which_failures_come_in_larger_groups() {
    for (what, by_proxy, by_endpoint, expected) in [
        ("one bad proxy", [8, 0, 0, 0], None, (48.0, 6.0)),
        ("evenly over proxies", [2, 2, 2, 2], None, (0.0, 6.0)),
        ("one bad endpoint, seen by all", [2, 2, 2, 2], Some([8, 0]), (32.0, 4.0)),
        ("one bad proxy, at all endpoints", [8, 0, 0, 0], Some([4, 4]), (48.0, 6.0)),
    ] {
        let nodes = ["eu-1", "eu-2", "eu-3", "eu-4"];
        let mut scene = Scene::with(&nodes);
        for (node, errors) in nodes.iter().zip(by_proxy) {
            let own = by_endpoint.filter(|_| *node == "eu-1").unwrap_or_default();
            let tries = tried(&[(1, own[0], 100), (2, own[1], 100)]).endpoint_tries;
            scene.add(
                node,
                (0.0, 1.0),
                ClusterDelta { endpoint_tries: tries, ..delta((errors, 100)) },
                delta((0, 100)),
            );
        }
        let spread = scene.take(1.0).expect("a window").canary.spread;
        assert_eq!((spread.squares, spread.expected), expected, "{what}");
    }
}

#[test]
fn places_by_proxy_region_and_route() {
    let mut scene = Scene::with(&["eu-1", "eu-2", "us-1"]);
    let routed = |of: (u64, u64), route: &str| {
        let outcomes = Outcomes { requests: of.1, errors: of.0 };
        ClusterDelta { routes: [(route.into(), outcomes)].into(), ..delta(of) }
    };
    for (node, canary, route) in [("eu-1", (1, 10), "pay"), ("eu-2", (2, 20), "list"), ("us-1", (4, 40), "pay")] {
        scene.add(node, (0.0, 1.0), routed(canary, route), routed((0, 100), route));
    }
    let window = scene.take(1.0).expect("a window");
    let proxies = [("eu-1", (1, 10), (0, 100)), ("eu-2", (2, 20), (0, 100)), ("us-1", (4, 40), (0, 100))];
    assert_eq!(places(&window, PlaceKind::Proxy), proxies);
    assert_eq!(places(&window, PlaceKind::Region), [("eu", (3, 30), (0, 200)), ("us", (4, 40), (0, 100))]);
    assert_eq!(places(&window, PlaceKind::Route), [("list", (2, 20), (0, 100)), ("pay", (5, 50), (0, 200))]);
}

#[test]
fn endpoints_and_zones_are_told_by_reports_that_count_no_requests() {
    let mut scene = Scene::with(&["eu-1"]);
    scene.listed = [
        vec![endpoint(1, Some("a")), endpoint(2, Some("b")), endpoint(3, None)],
        vec![endpoint(11, Some("a")), endpoint(12, Some("c"))],
    ];
    let tries = |scene: &Scene, time| {
        let canary = tried(&[(1, 5, 10), (2, 0, 10), (3, 1, 10)]);
        NodeReport { partial: true, ..scene.made("eu-1", time, canary, tried(&[(11, 0, 50), (12, 2, 70)])) }
    };
    // The second is the first again; and of the third nobody knows when it began.
    for time in [(0.1, 1.1), (0.1, 1.1), (1.1, 1.1)] {
        let report = tries(&scene, time);
        scene.collector.add(&report, CANARY, BASELINE);
    }
    // They wait for the next window.
    assert_eq!(scene.take(1.2), None);
    scene.report("eu-1", (0.5, 1.5), (6, 30), (2, 120));
    let window = scene.take(1.5).expect("a window");
    assert_eq!((window.canary.requests, window.canary.failures.total()), (30, 6));
    let all = (2, 120);
    let endpoints = [("10.0.0.1:80", (5, 10), all), ("10.0.0.2:80", (0, 10), all), ("10.0.0.3:80", (1, 10), all)];
    assert_eq!(places(&window, PlaceKind::Endpoint), endpoints);
    // Where the baseline has nothing in a zone, all of it.
    assert_eq!(places(&window, PlaceKind::Zone), [("a", (5, 10), (0, 50)), ("b", (0, 10), all)]);
    scene.report("eu-1", (1.5, 2.5), (0, 30), (0, 120));
    assert_eq!(places(&scene.take(2.5).expect("a window"), PlaceKind::Endpoint), []);
}

#[test]
fn of_many_places_those_are_followed_that_have_failed_before() {
    let names: Vec<String> = (0..200).map(|n| format!("eu-{n:03}")).collect();
    let mut scene = Scene::with(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut second = 0.0;
    let mut round = |failing: &dyn Fn(usize) -> u64| {
        second += 1.0;
        for (at, name) in names.iter().enumerate() {
            scene.report(name, (second - 1.0, second), (failing(at), 10), (0, 90));
        }
        let window = scene.take(second).expect("a window");
        assert_eq!(places(&window, PlaceKind::Region).len(), 1);
        places(&window, PlaceKind::Proxy).into_iter().map(|(name, ..)| name.to_owned()).collect::<Vec<_>>()
    };
    // What fails in this window is not chosen by it.
    assert_eq!(round(&|at| if at == 7 { 3 } else { 0 }), Vec::<String>::new());
    assert_eq!(round(&|at| if at == 9 { 3 } else { 0 }), ["eu-007"]);
    // Those that fail most come first, and there is an end.
    assert_eq!(round(&|at| if at < 199 { 1 } else { 9 }), ["eu-007", "eu-009"]);
    let followed = round(&|_| 1);
    assert_eq!((followed.len(), followed.last().map(String::as_str)), (32, Some("eu-199")));
    assert_eq!(round(&|_| 0), followed);
}

/// A proxy, an eighth of a second, failed/total requests of canary and baseline, slow requests.
type Told = (u8, u8, (u64, u64), (u64, u64), u64);

fn any_reports() -> impl Strategy<Value = Vec<Told>> {
    let one = (0_u8..4, 0_u8..8, (0_u64..9, 0_u64..50), (0_u64..9, 0_u64..50), 0_u64..9);
    prop::collection::vec(one, 0..12)
}

proptest! {
    /// Within a window it does not matter who comes first.
    #[test]
    fn the_order_of_proxies_does_not_matter(reports in any_reports(), seed in any::<u64>()) {
        let nodes = ["eu-0", "eu-1", "us-2", "us-3"];
        let mut seen = HashSet::new();
        // One each: of one proxy, the order is that in which it sent them.
        let reports: Vec<_> = reports.into_iter().filter(|report| seen.insert(report.0)).collect();
        let mut shuffled = reports.clone();
        shuffled.sort_by_key(|report| (u64::from(report.0) + 1).wrapping_mul(seed | 1));
        let start = Instant::now();
        let [one, other] = [reports, shuffled].map(|reports| {
            let mut scene = Scene { start, ..Scene::with(&[]) };
            nodes.iter().for_each(|node| scene.in_force(node, 0.0));
            for (node, eighth, canary, baseline, slow) in reports {
                let since = f64::from(eighth) / 8.0;
                let latency = Some(Histogram { bounds: vec![1.0, 10.0], counts: vec![slow, 1] });
                let tries = tried(&[(node, slow, slow + 1), (9, 1, 2)]).endpoint_tries;
                let canary = ClusterDelta { latency, endpoint_tries: tries, ..delta(canary) };
                scene.add(nodes[usize::from(node)], (since, since + 1.0), canary, delta(baseline));
            }
            (scene.take(9.0), scene.take(9.5))
        });
        prop_assert_eq!(one, other);
    }
}
