//! PURE: which of the proxies' counts are evidence for a release's present weight, and their sum.
//!
//! A report counts when its whole window lies after the proxy came to have the present weight in force: what happened
//! while the weight moved belongs to no weight.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::analysis::{Counts, Window};
use crate::telemetry::{ClusterDelta, NodeReport};

/// Sums up the reports for one release.
#[derive(Debug, Default)]
pub struct Collector {
    proxies: BTreeMap<Arc<str>, Counted>,
    reporters: BTreeSet<Arc<str>>,
    canary: Counts,
    baseline: Counts,
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
    /// Forgets everything: another weight was published.
    pub fn restart(&mut self) {
        *self = Self::default();
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
        let Some(proxy) = self.proxies.get_mut(&*report.node).filter(|proxy| report.since >= proxy.since) else {
            return;
        };
        if let Some(delta) = report.clusters.get(canary) {
            add(&mut self.canary, delta);
            proxy.canary.update(delta);
        }
        if let Some(delta) = report.clusters.get(baseline) {
            add(&mut self.baseline, delta);
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

fn add(counts: &mut Counts, delta: &ClusterDelta) {
    *counts = counts.plus(Counts { requests: delta.requests, errors: delta.errors });
}

#[cfg(test)]
mod tests {
    use super::*;

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
        collector.restart();
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
