//! How each proxy's statistics come in, and when the last did: for people.
//!
//! PURE: the time of receipt is an argument. Invariant: no guard of the map leaves it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::proxy::FORGET_AFTER;

/// The most proxies that are remembered.
const LIMIT: usize = 20_000;

/// The way on which a proxy's requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// A metrics stream.
    Metrics,
    /// Its load reports alone.
    Loads,
    /// It is asked at its admin interface.
    Polled,
}

/// The last that was heard of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastReport {
    /// How it came.
    pub channel: Channel,
    /// How long ago.
    pub ago: Duration,
}

/// When each proxy's last load report came, by node id.
#[derive(Debug, Default)]
pub(super) struct LoadsHeard {
    at: DashMap<Arc<str>, Instant>,
}

impl LoadsHeard {
    /// One has come.
    pub(super) fn note(&self, node: &Arc<str>, now: Instant) {
        if let Some(mut at) = self.at.get_mut(node) {
            *at = now;
            return;
        }
        if self.at.len() < LIMIT {
            self.at.insert(Arc::clone(node), now);
        }
    }

    /// When the last came, if that is not too long ago.
    pub(super) fn of(&self, node: &str, now: Instant) -> Option<Instant> {
        self.at.get(node).map(|at| *at).filter(|at| !is_forgotten(*at, now))
    }

    /// Forgets those who have long been silent.
    pub(super) fn sweep(&self, now: Instant) {
        self.at.retain(|_, at| !is_forgotten(*at, now));
    }
}

fn is_forgotten(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) >= FORGET_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_counts_until_it_is_long_ago() {
        let (heard, node, start) = (LoadsHeard::default(), Arc::from("edge-1"), Instant::now());
        let later = start + Duration::from_secs(5);
        assert_eq!(heard.of("edge-1", start), None);
        heard.note(&node, start);
        heard.note(&node, later);
        assert_eq!(heard.of("edge-1", later), Some(later));
        let long_after = later + FORGET_AFTER;
        assert_eq!(heard.of("edge-1", long_after), None);
        heard.sweep(long_after);
        assert!(heard.at.is_empty());
    }
}
