//! How many requests each proxy has seen fail so far.
//!
//! PURE: the time of receipt is the report's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::report::NodeReport;

/// How many proxies are remembered.
const LIMIT: usize = 100_000;

/// By node id.
#[derive(Debug, Default)]
pub(super) struct Tally {
    errors: DashMap<Arc<str>, (u64, Instant)>,
}

impl Tally {
    /// Adds up what a proxy reports.
    pub(super) fn add(&self, report: &NodeReport) {
        let errors = report.clusters.values().map(|delta| delta.errors);
        let errors = errors.fold(report.others.errors, u64::saturating_add);
        // Most proxies see nothing fail for most of the time.
        if errors > 0 && (self.errors.len() < LIMIT || self.errors.contains_key(&report.node)) {
            let mut entry = self.errors.entry(Arc::clone(&report.node)).or_insert((0, report.until));
            *entry = (entry.0.saturating_add(errors), report.until);
        }
    }

    /// So far.
    pub(super) fn of(&self, node: &str) -> u64 {
        self.errors.get(node).map_or(0, |entry| entry.0)
    }

    /// Forgets those that have seen nothing fail for long.
    pub(super) fn forget(&self, now: Instant, after: Duration) {
        self.errors.retain(|_, (_, last)| now.saturating_duration_since(*last) < after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::ClusterDelta;

    #[test]
    fn failures_of_all_clusters_add_up_and_are_forgotten_at_last() {
        let start = Instant::now();
        let report = |node: &str, errors: &[u64]| NodeReport {
            node: node.into(),
            since: start,
            until: start,
            partial: false,
            others: Default::default(),
            clusters: errors
                .iter()
                .enumerate()
                .map(|(at, errors)| (format!("a/v{at}").into(), ClusterDelta { errors: *errors, ..Default::default() }))
                .collect(),
        };
        let tally = Tally::default();
        tally.add(&report("edge-1", &[1, 2]));
        tally.add(&report("edge-1", &[0, 4]));
        tally.add(&report("edge-2", &[0]));
        assert_eq!((tally.of("edge-1"), tally.of("edge-2"), tally.of("nobody")), (7, 0, 0));
        let hour = Duration::from_secs(3600);
        tally.forget(start + hour / 2, hour);
        assert_eq!(tally.of("edge-1"), 7);
        tally.forget(start + hour, hour);
        assert_eq!(tally.of("edge-1"), 0);
    }
}
