//! How soon it is seen, and how often without cause.
//!
//! The law that gives the reference's delays: log-normal durations with a median of 50 ms, whose logarithm has a
//! standard deviation of 0.8; stuck requests take a second more. 500 requests/s, a tenth to the canary, by chance.

use super::fixture::*;
use super::*;

const BASE: Law = Law { median: 50.0, spread: 0.8, stuck: (0.0, 0.0) };
const SINGLE: ClusterSize = ClusterSize::Given(1.0);

/// The hosts of both versions, and how they pause.
#[derive(Clone, Copy)]
struct Hosts {
    count: usize,
    /// How many of them are the canary's.
    canary: usize,
    /// Each second, the chance of each of them to pause for so many seconds.
    pauses: (f64, f64),
}

const TEN: Hosts = Hosts { count: 10, canary: 1, pauses: (0.0, 0.0) };

/// One second of 500 requests, by chance shared out over the hosts.
fn second(random: &mut Random, canary: Law, baseline: Law, hosts: Hosts) -> Window {
    let (chance, length) = hosts.pauses;
    let pauses: Vec<Option<f64>> = (0..hosts.count).map(|_| (random.next() < chance).then(|| random.next())).collect();
    let mut durations = [Vec::new(), Vec::new()];
    for _ in 0..500 {
        let host = (random.next() * hosts.count as f64) as usize;
        let is_baseline = host >= hosts.canary;
        let law = if is_baseline { baseline } else { canary };
        let mut duration = law.draw(random);
        if let Some(begin) = pauses[host] {
            // Requests that come during a pause wait for its end.
            let (at, end) = (random.next(), begin + length);
            if (begin..end).contains(&at) {
                duration += 1000.0 * (end - at);
            }
        }
        durations[usize::from(is_baseline)].push(duration);
    }
    let [canary, baseline] = durations.map(histogram);
    window(canary, baseline)
}

/// The sorted seconds at which `crosses` says so, of those runs in which it does within `looks`.
fn crossings(
    runs: u64,
    looks: u64,
    size: ClusterSize,
    traffic: impl Fn(&mut Random, u64) -> Window,
    crosses: impl Fn(&Latency) -> bool,
) -> Vec<u64> {
    let metric = LatencyMetric { tolerate_ratio: 1.0, ..LatencyMetric::default() };
    let mut random = Random(11);
    let mut at = Vec::new();
    for _ in 0..runs {
        let mut latency = Latency::default();
        at.extend((1..=looks).find(|look| {
            latency.observe_clustered(&traffic(&mut random, *look), &metric, size);
            crosses(&latency)
        }));
    }
    at.sort_unstable();
    at
}

/// What the reference has, with the median and the 95th percentile in seconds.
const DEFECTS: [(&str, Law, u64, u64); 5] = [
    ("+10 %", Law { median: 55.0, ..BASE }, 31, 63),
    ("+25 %", Law { median: 62.5, ..BASE }, 6, 13),
    ("×2", Law { median: 100.0, ..BASE }, 1, 2),
    ("2 % stuck", Law { stuck: (0.02, 1000.0), ..BASE }, 7, 12),
    ("0.2 % stuck", Law { stuck: (0.002, 1000.0), ..BASE }, 77, 143),
];

fn delays(runs: u64, size: ClusterSize, canary: Law) -> (u64, u64) {
    let at = crossings(
        runs,
        1000,
        size,
        |random, _| second(random, canary, BASE, TEN),
        |latency| latency.revert().reaches(0.01),
    );
    assert_eq!(at.len() as u64, runs, "every run is reverted");
    (at[at.len() / 2], at[at.len() * 19 / 20])
}

#[test]
fn defects_are_seen_as_fast_as_the_reference_says() {
    // Tolerance for 40 runs: a fifth for the median, a third for the 95th percentile, and a second.
    for (name, canary, median, late) in DEFECTS {
        let runs = if median > 50 { 10 } else { 40 };
        let (got, got_late) = delays(runs, SINGLE, canary);
        assert!(got * 5 <= median * 6 + 5, "{name}: median {got} s, not {median} s");
        assert!(got_late * 3 <= late * 4 + 3, "{name}: 95th {got_late} s, not {late} s");
    }
}

/// Traffic of two versions that are the same.
const NULLS: [(&str, Hosts, bool); 5] = [
    ("steady", TEN, false),
    ("slow together, 5 s of 60", TEN, true),
    ("each host pauses for 200 ms every 20 s", Hosts { pauses: (0.05, 0.2), ..TEN }, false),
    ("each host pauses for a second every 200 s", Hosts { pauses: (0.005, 1.0), ..TEN }, false),
    ("two of 40 hosts, pauses of 500 ms", Hosts { count: 40, canary: 2, pauses: (0.05, 0.5) }, false),
];

fn false_reverts(runs: u64, looks: u64, hosts: Hosts, shared: bool) -> usize {
    let traffic = |random: &mut Random, look: u64| {
        let law = if shared && look % 60 < 5 { Law { median: 100.0, ..BASE } } else { BASE };
        second(random, law, law, hosts)
    };
    crossings(runs, looks, ClusterSize::Estimated, traffic, |latency| latency.revert().reaches(0.05)).len()
}

#[test]
fn equal_versions_are_rarely_reverted() {
    // Promise: at most alpha = 5 %. Pauses are worst while they are new.
    for (name, hosts, shared) in NULLS {
        let reverted = false_reverts(60, 40, hosts, shared);
        assert!(reverted <= 3, "{name}: {reverted} of 60");
    }
}

#[test]
fn a_good_canary_advances_and_a_bad_one_does_not() {
    let advances = |canary: Law| {
        let traffic = move |random: &mut Random, _| second(random, canary, BASE, TEN);
        crossings(40, 60, ClusterSize::Estimated, traffic, |latency| latency.good().reaches(0.05))
    };
    let good = advances(BASE);
    assert!(good.len() >= 38 && good[20] <= 20, "{good:?}");
    // Twice the odds at the tail is about half as slow again. Promise: at most beta = 5 % of 40.
    let bad = advances(Law { median: 80.0, ..BASE });
    assert!(bad.len() <= 2, "{bad:?}");
}

/// `cargo test --release --lib latency::tests::reference::all -- --ignored --nocapture`
#[test]
#[ignore = "minutes long"]
fn all_delays_and_risks() {
    for (name, canary, median, late) in DEFECTS {
        let (single, estimated) = (delays(300, SINGLE, canary), delays(300, ClusterSize::Estimated, canary));
        println!("{name}: {single:?} s, {estimated:?} s where clumps are estimated; reference {median}/{late} s");
    }
    for (name, hosts, shared) in NULLS {
        let reverted = false_reverts(1000, 600, hosts, shared);
        println!("{name}: {reverted} of 1000");
        assert!(reverted <= 50, "{name}");
    }
}
