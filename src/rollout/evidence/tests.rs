//! Reports in virtual time, and the windows that come of them.

use proptest::prelude::*;

use super::*;
use crate::analysis::PlaceKind;
use crate::model::Failures;
use crate::telemetry::{ClusterDelta, Outcomes};

mod told;

const CANARY: &str = "a/v2";
const BASELINE: &str = "a/v1";

/// A collector, and a clock that begins at 0.
struct Scene {
    start: Instant,
    collector: Collector,
    causes: BTreeSet<Cause>,
    listed: [Vec<Endpoint>; 2],
}

impl Scene {
    /// These proxies have the weight in force from the beginning.
    fn with(nodes: &[&str]) -> Self {
        let (start, collector) = (Instant::now(), Collector::default());
        let mut scene = Self { start, collector, causes: Cause::all(), listed: Default::default() };
        nodes.iter().for_each(|node| scene.in_force(node, 0.0));
        // The engine looks from the beginning.
        assert_eq!(scene.take(0.0), None);
        scene
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    fn in_force(&mut self, node: &str, since: f64) {
        let region = node.split('-').next().unwrap_or_default();
        self.collector.in_force(node, region, self.at(since));
    }

    /// A proxy reports these failed/total requests of canary and baseline.
    fn report(&mut self, node: &str, time: (f64, f64), canary: (u64, u64), baseline: (u64, u64)) {
        self.add(node, time, delta(canary), delta(baseline));
    }

    fn add(&mut self, node: &str, (since, until): (f64, f64), canary: ClusterDelta, baseline: ClusterDelta) {
        let report = self.made(node, (since, until), canary, baseline);
        self.collector.add(&report, CANARY, BASELINE);
    }

    fn made(&self, node: &str, time: (f64, f64), canary: ClusterDelta, baseline: ClusterDelta) -> NodeReport {
        let (since, until) = (self.at(time.0), self.at(time.1));
        let clusters = [(CANARY.into(), canary), (BASELINE.into(), baseline)].into();
        NodeReport { node: node.into(), since, until, clusters, partial: false, others: Default::default() }
    }

    fn take(&mut self, now: f64) -> Option<Window> {
        let now = self.at(now);
        let [canary, baseline] = &self.listed;
        self.collector.take(now, Terms { causes: &self.causes, canary, baseline })
    }

    /// The requests of canary and baseline, how many proxies counted, and how many were silent.
    fn taken(&mut self, now: f64) -> Option<(u64, u64, usize, usize)> {
        let window = self.take(now)?;
        Some((window.canary.requests, window.baseline.requests, window.proxies, window.silent))
    }
}

fn delta((errors, requests): (u64, u64)) -> ClusterDelta {
    let failures = Failures::of(Cause::Answer, errors);
    ClusterDelta { requests, errors, failures, ejected: Some(errors), endpoints: Some(4), ..ClusterDelta::default() }
}

#[test]
fn only_windows_that_lie_wholly_after_the_weight_came_into_force_count_and_once() {
    let mut scene = Scene::with(&[]);
    scene.in_force("eu-1", 1.0);
    scene.in_force("eu-1", 5.0);
    for (why, node, time, counts) in [
        ("begins before the weight was in force", "eu-1", (0.0, 2.0), false),
        ("of nobody", "eu-2", (2.0, 3.0), false),
        ("good", "eu-1", (2.0, 3.0), true),
        ("the same again", "eu-1", (2.0, 3.0), false),
        ("late: most of its time was counted", "eu-1", (2.4, 3.4), false),
        ("overlaps by the jitter of its way", "eu-1", (2.9, 3.9), true),
        ("more than a minute in one sum", "eu-1", (4.0, 64.5), false),
        ("a minute", "eu-1", (4.5, 64.5), true),
        ("without time", "eu-1", (65.0, 65.0), false),
        ("not overlapping, and out of order", "eu-1", (10.0, 11.0), false),
        ("after a gap", "eu-1", (70.0, 71.0), true),
    ] {
        scene.report(node, time, (1, 20), (2, 380));
        let window = scene.take(time.1);
        assert_eq!(window.is_some(), counts, "{why}");
        if let Some(window) = window {
            assert_eq!((window.canary.failures.total(), window.canary.requests), (1, 20), "{why}");
            assert_eq!((window.baseline.requests, window.proxies, window.silent), (380, 1, 0), "{why}");
            assert_eq!((window.canary.ejected, window.canary.endpoints), (1, 4), "{why}");
        }
    }
    scene.collector.restart(Basis::Shared);
    scene.report("eu-1", (72.0, 73.0), (1, 20), (2, 380));
    assert_eq!(scene.take(73.0), None);
}

#[test]
fn a_window_comes_when_all_have_reported_or_a_second_is_over() {
    let mut scene = Scene::with(&["eu-1", "eu-2"]);
    scene.report("eu-1", (0.0, 0.5), (0, 1), (0, 10));
    assert_eq!(scene.taken(0.5), None);
    scene.report("eu-2", (0.0, 0.6), (0, 2), (0, 20));
    assert_eq!(scene.taken(0.6), Some((3, 30, 2, 0)));
    scene.report("eu-1", (0.5, 1.5), (0, 1), (0, 10));
    assert_eq!(scene.taken(1.55), None);
    assert_eq!(scene.taken(1.6), Some((1, 10, 1, 0)));
    // Nobody has anything to say, and nobody is silent yet.
    for now in [2.0, 2.6, 4.0, 5.5] {
        assert_eq!(scene.taken(now), None, "{now}");
    }
}

#[test]
fn those_who_stop_reporting_are_told_as_silent_and_come_back() {
    let mut scene = Scene::with(&["eu-1", "eu-2", "eu-3", "eu-4"]);
    let mut told = Vec::new();
    for second in 1..=20_u32 {
        let until = f64::from(second);
        // The fourth is cut off for a while, later all of them are.
        for node in ["eu-1", "eu-2", "eu-3", "eu-4"] {
            let is_cut = (node == "eu-4" && (4..11).contains(&second)) || second > 13;
            if !is_cut {
                scene.report(node, (until - 1.0, until), (0, 1), (0, 9));
            }
        }
        told.push(scene.take(until).map(|window| (window.canary.requests, window.silent, window.length.as_secs())));
    }
    let all = Some((4, 0, 1));
    let three = |silent| Some((3, silent, 1));
    let dark = |length| Some((0, 4, length));
    assert_eq!(told[..3], [all; 3]);
    // Silent once it has been so for more than five seconds.
    assert_eq!(told[3..10], [three(0), three(0), three(0), three(0), three(0), three(1), three(1)]);
    assert_eq!(told[10..13], [all; 3]);
    // Nothing is known yet; then each second says that nobody reports, the first all the time that has passed.
    assert_eq!(told[13..], [None, None, None, None, None, dark(6), dark(1)]);
    // What is told late of that time is told, and no time.
    scene.report("eu-1", (13.0, 20.5), (0, 5), (0, 45));
    let window = scene.take(21.0).expect("a window");
    assert_eq!((window.canary.requests, window.silent, window.length), (5, 3, Duration::from_millis(500)));
}

#[test]
fn who_reports_only_what_does_not_count_is_not_silent_and_who_tells_of_endpoints_only_is() {
    let mut scene = Scene::with(&["eu-1", "eu-2"]);
    // Flushes of more than a minute.
    scene.report("eu-1", (0.0, 61.0), (0, 1), (0, 1));
    let now = scene.made("eu-2", (60.0, 61.0), delta((0, 1)), delta((0, 1)));
    scene.collector.add(&NodeReport { partial: true, ..now }, CANARY, BASELINE);
    assert_eq!(scene.taken(61.0), Some((0, 0, 0, 1)));
}

#[test]
fn what_a_proxy_that_has_gone_said_is_forgotten() {
    let mut scene = Scene::with(&["eu-1", "eu-2"]);
    for node in ["eu-1", "eu-2"] {
        scene.report(node, (1.0, 2.0), (4, 20), (0, 380));
    }
    assert_eq!(scene.take(2.0).map(|window| window.canary.ejected), Some(8));
    scene.report("eu-2", (2.0, 3.0), (9, 20), (0, 380));
    scene.collector.keep_only(|node| node == "eu-1");
    scene.report("eu-1", (2.0, 3.0), (0, 20), (0, 380));
    let window = scene.take(3.0).expect("a window");
    assert_eq!((window.canary.ejected, window.canary.endpoints, window.proxies), (0, 4, 1));
    // Nobody misses it.
    scene.report("eu-1", (8.0, 9.0), (0, 20), (0, 380));
    assert_eq!(scene.taken(9.0), Some((20, 380, 1, 0)));
    // Back again: what it counted before it had the weight in force again is not of this weight for sure.
    scene.in_force("eu-2", 9.0);
    scene.report("eu-2", (3.0, 10.0), (9, 9), (9, 9));
    assert_eq!(scene.taken(11.0), None);
}

#[test]
fn time_that_several_proxies_cover_counts_once() {
    let mut scene = Scene::with(&["eu-1", "eu-2"]);
    let mut total = Duration::ZERO;
    for second in 0..10_u32 {
        for (node, shift) in [("eu-1", 0.0), ("eu-2", 0.4)] {
            let since = f64::from(second) + shift;
            scene.report(node, (since, since + 1.0), (0, 1), (0, 1));
            total += scene.take(since + 1.0).map_or(Duration::ZERO, |window| window.length);
        }
    }
    assert_eq!(total, Duration::from_secs(10));
    assert_eq!(scene.take(11.0).map(|window| window.length), Some(Duration::from_millis(400)));
}

#[test]
fn without_a_share_all_tries_count() {
    for (basis, expected) in [(Basis::Tries, (20, 2, 120)), (Basis::Shared, (0, 0, 100))] {
        let mut scene = Scene::with(&[]);
        scene.collector.restart(basis);
        scene.in_force("eu-1", 0.0);
        let tried = |of, requests| ClusterDelta { tries: Some(Outcomes { requests, errors: 2 }), ..delta(of) };
        scene.add("eu-1", (1.0, 2.0), tried((0, 0), 20), tried((1, 100), 120));
        let window = scene.take(2.0).expect("a window");
        assert_eq!((window.canary.requests, window.canary.failures.total(), window.baseline.requests), expected);
        assert_eq!(window.length, Duration::from_secs(1));
    }
}

#[test]
fn copies_are_the_tries_that_nobody_chose_also_when_the_choice_is_told_later() {
    let mut scene = Scene::with(&[]);
    scene.collector.restart(Basis::Copies);
    scene.in_force("eu-1", 0.0);
    let told = |tries, chosen| ClusterDelta {
        tries: Some(Outcomes { requests: tries, errors: 0 }),
        chosen: Outcomes { requests: chosen, errors: 0 },
        ..ClusterDelta::default()
    };
    for (second, (tries, chosen), new) in [(1.0, (10, 2), 8), (2.0, (10, 14), 0), (3.0, (10, 0), 6)] {
        scene.add("eu-1", (second - 1.0, second), told(tries, chosen), told(100, 0));
        assert_eq!(scene.taken(second).map(|taken| (taken.0, taken.1)), Some((new, 100)), "{second}");
    }
}
