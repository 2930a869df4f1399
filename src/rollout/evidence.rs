//! PURE: which of the proxies' counts are evidence for a release's present weight, and their sum.
//!
//! A report counts when its whole window lies after the proxy came to have the present weight in force: what happened
//! while the weight moved belongs to no weight.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::analysis::{Counts, Window};
use crate::telemetry::{ClusterDelta, NodeReport};

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Basis {
    /// Requests that were shared out by weight, as their callers saw them.
    #[default]
    Shared,
    /// Tries towards the endpoints, of whatever request: where the canary has no share, but is shown or copied to.
    Tries,
    /// Tries towards the endpoints, without those of requests that were chosen: where only copies are to be judged.
    Copies,
}

/// Sums up the reports for one release.
#[derive(Debug, Default)]
pub struct Collector {
    basis: Basis,
    proxies: BTreeMap<Arc<str>, Counted>,
    reporters: BTreeSet<Arc<str>>,
    canary: Counts,
    baseline: Counts,
    /// Of the canary, since the last restart: all tries, the chosen requests among them, and what was told of the rest. An
    /// answer that is on its way is a try before it is a chosen request.
    tried: [Counts; 3],
    /// Up to when time was counted.
    covered: Option<Instant>,
    length: Duration,
}

/// What is kept of a proxy that has the present weight in force.
#[derive(Debug)]
struct Counted {
    since: Instant,
    canary: Gauges,
    baseline: Gauges,
}

/// The newest gauges of a cluster at one proxy.
#[derive(Debug, Default)]
struct Gauges {
    ejected: u64,
    endpoints: u64,
}

impl Gauges {
    fn update(&mut self, delta: &ClusterDelta) {
        self.ejected = delta.ejected.unwrap_or(self.ejected);
        self.endpoints = delta.endpoints.unwrap_or(self.endpoints);
    }
}

impl Collector {
    /// One that has seen nothing.
    pub fn of(basis: Basis) -> Self {
        Self { basis, ..Self::default() }
    }

    /// Forgets everything: another weight was published, or something else is to be looked at.
    pub fn restart(&mut self, basis: Basis) {
        *self = Self::of(basis);
    }

    /// A proxy has had the present weight in force since then. Said again, it changes nothing.
    pub fn in_force(&mut self, node: &str, since: Instant) {
        if !self.proxies.contains_key(node) {
            let counted = Counted { since, canary: Gauges::default(), baseline: Gauges::default() };
            self.proxies.insert(node.into(), counted);
        }
    }

    /// Only the connected proxies count: the gauges of one that has gone tell nothing any more, and one that comes back
    /// begins anew.
    pub fn keep_only(&mut self, is_connected: impl Fn(&str) -> bool) {
        self.proxies.retain(|node, _| is_connected(node));
    }

    /// Adds a report, if it counts.
    pub fn add(&mut self, report: &NodeReport, canary: &str, baseline: &str) {
        if report.is_of_now() {
            return;
        }
        let basis = self.basis;
        let Some(proxy) = self.proxies.get_mut(&*report.node).filter(|proxy| report.since >= proxy.since) else {
            return;
        };
        if let Some(delta) = report.clusters.get(canary) {
            match basis {
                Basis::Copies => self.canary = self.canary.plus(copies(&mut self.tried, delta)),
                Basis::Shared | Basis::Tries => add(&mut self.canary, delta, basis),
            }
            proxy.canary.update(delta);
        }
        if let Some(delta) = report.clusters.get(baseline) {
            add(&mut self.baseline, delta, basis);
            proxy.baseline.update(delta);
        }
        self.reporters.insert(Arc::clone(&report.node));
        // Proxies report at different moments of the same second: time that one has covered is not counted again.
        let from = self.covered.map_or(report.since, |covered| covered.max(report.since));
        self.length += report.until.saturating_duration_since(from);
        self.covered = Some(self.covered.map_or(report.until, |covered| covered.max(report.until)));
    }

    /// The sum since the last time, when any proxy reported.
    pub fn take(&mut self) -> Option<Window> {
        if self.reporters.is_empty() {
            return None;
        }
        let proxies = std::mem::take(&mut self.reporters);
        let gauges = |of: fn(&Counted) -> u64| self.proxies.values().map(of).fold(0, u64::saturating_add);
        Some(Window {
            canary_ejected: gauges(|p| p.canary.ejected),
            canary_endpoints: gauges(|p| p.canary.endpoints),
            baseline_ejected: gauges(|p| p.baseline.ejected),
            baseline_endpoints: gauges(|p| p.baseline.endpoints),
            canary: std::mem::take(&mut self.canary),
            baseline: std::mem::take(&mut self.baseline),
            proxies: proxies.len(),
            length: std::mem::take(&mut self.length),
        })
    }
}

fn add(counts: &mut Counts, delta: &ClusterDelta, basis: Basis) {
    let more = match basis {
        Basis::Shared => Counts { requests: delta.requests, errors: delta.errors },
        Basis::Tries | Basis::Copies => {
            let tries = delta.tries.unwrap_or_default();
            Counts { requests: tries.requests, errors: tries.errors }
        }
    };
    *counts = counts.plus(more);
}

/// What is new of the tries that are no chosen requests.
fn copies([tried, chosen, told]: &mut [Counts; 3], delta: &ClusterDelta) -> Counts {
    let tries = delta.tries.unwrap_or_default();
    *tried = tried.plus(Counts { requests: tries.requests, errors: tries.errors });
    *chosen = chosen.plus(Counts { requests: delta.chosen.requests, errors: delta.chosen.errors });
    let new = |tried: u64, chosen: u64, told: &mut u64| {
        let new = tried.saturating_sub(chosen).saturating_sub(*told);
        *told += new;
        new
    };
    let requests = new(tried.requests, chosen.requests, &mut told.requests);
    Counts { requests, errors: new(tried.errors, chosen.errors, &mut told.errors) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Outcomes;

    fn report(node: &str, since: Instant, until: Instant, canary: (u64, u64), baseline: (u64, u64)) -> NodeReport {
        let delta = |(errors, requests): (u64, u64)| ClusterDelta {
            requests,
            errors,
            ejected: Some(errors),
            endpoints: Some(4),
            ..ClusterDelta::default()
        };
        let clusters = [("a/v2".into(), delta(canary)), ("a/v1".into(), delta(baseline))].into();
        NodeReport { node: node.into(), since, until, clusters }
    }

    #[test]
    fn only_windows_that_lie_wholly_after_the_weight_came_into_force_count() {
        let start = Instant::now();
        let second = |n: u64| start + Duration::from_secs(n);
        let mut collector = Collector::default();
        collector.in_force("edge-1", second(1));
        collector.in_force("edge-1", second(5));
        collector.add(&report("edge-1", second(0), second(2), (9, 9), (9, 9)), "a/v2", "a/v1");
        collector.add(&report("nobody", second(2), second(3), (9, 9), (9, 9)), "a/v2", "a/v1");
        assert_eq!(collector.take(), None);
        collector.add(&report("edge-1", second(2), second(3), (1, 20), (2, 380)), "a/v2", "a/v1");
        let window = collector.take().expect("a window");
        assert_eq!((window.canary.errors, window.canary.requests, window.baseline.requests), (1, 20, 380));
        assert_eq!((window.canary_ejected, window.canary_endpoints, window.proxies), (1, 4, 1));
        assert_eq!(collector.take(), None);
        collector.restart(Basis::Shared);
        collector.add(&report("edge-1", second(3), second(4), (1, 20), (2, 380)), "a/v2", "a/v1");
        assert_eq!(collector.take(), None);
    }

    #[test]
    fn what_a_proxy_that_has_gone_last_said_of_its_endpoints_is_forgotten() {
        let start = Instant::now();
        let second = |n: u64| start + Duration::from_secs(n);
        let mut collector = Collector::default();
        for node in ["edge-1", "edge-2"] {
            collector.in_force(node, start);
            collector.add(&report(node, second(1), second(2), (4, 20), (0, 380)), "a/v2", "a/v1");
        }
        assert_eq!(collector.take().map(|window| window.canary_ejected), Some(8));
        collector.keep_only(|node| node == "edge-1");
        collector.add(&report("edge-1", second(2), second(3), (0, 20), (0, 380)), "a/v2", "a/v1");
        assert_eq!(collector.take().map(|window| (window.canary_ejected, window.canary_endpoints)), Some((0, 4)));
        // Back again: what it counted before it had the weight in force again is not of this weight for sure.
        collector.in_force("edge-2", second(9));
        collector.add(&report("edge-2", second(3), second(10), (9, 9), (9, 9)), "a/v2", "a/v1");
        assert_eq!(collector.take(), None);
    }

    #[test]
    fn without_a_share_all_tries_count() {
        let start = Instant::now();
        let second = |n: u64| start + Duration::from_secs(n);
        let with_tries = |number: u64| {
            let mut report = report("edge-1", second(number), second(number + 1), (0, 0), (1, 100));
            for (cluster, requests) in [("a/v2", 20), ("a/v1", 120)] {
                let delta = report.clusters.get_mut(cluster).expect("it");
                delta.tries = Some(Outcomes { requests, errors: 2 });
            }
            report
        };
        let mut collector = Collector::default();
        for (basis, expected) in [(Basis::Tries, (20, 2, 120)), (Basis::Shared, (0, 0, 100))] {
            collector.restart(basis);
            collector.in_force("edge-1", start);
            collector.add(&with_tries(1), "a/v2", "a/v1");
            // What is under way now is no evidence, and takes no time.
            let now = NodeReport { since: second(9), until: second(9), ..with_tries(1) };
            collector.add(&now, "a/v2", "a/v1");
            let window = collector.take().expect("a window");
            assert_eq!((window.canary.requests, window.canary.errors, window.baseline.requests), expected);
            assert_eq!(window.length, Duration::from_secs(1));
        }
    }

    #[test]
    fn time_that_several_proxies_cover_counts_once() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let mut collector = Collector::default();
        let mut total = Duration::ZERO;
        for node in ["edge-1", "edge-2"] {
            collector.in_force(node, start);
        }
        for second in 0..10 {
            for (node, shift) in [("edge-1", 0), ("edge-2", 400)] {
                let since = at(second * 1000 + shift);
                collector.add(&report(node, since, since + Duration::from_secs(1), (0, 1), (0, 1)), "a/v2", "a/v1");
                total += collector.take().expect("a window").length;
            }
        }
        assert_eq!(total, Duration::from_millis(10_400));
    }
}
