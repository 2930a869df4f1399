//! Flagger's canary analysis.
//!
//! By its documentation (docs.flagger.app: "How it works", "Metrics analysis"): every `interval` (10 s at least, 1 min by
//! default) it asks for the success rate in percent (`request-success-rate`, `min: 99`) and the 99th percentile of the
//! durations (`request-duration`, `max: 500` ms). A check that fails halts the advancement and is counted; a metric
//! without a value fails its check, too. When `threshold` checks have failed, the next look rolls back; the count is not
//! reset by a good check. A good check takes the next step of `stepWeight` up to `maxWeight`.

use super::{Peer, Ruling};
use crate::simulation::trial::Point;

/// Flagger with its settings.
#[derive(Debug, Clone)]
pub struct Flagger {
    /// Seconds between checks.
    pub interval: u64,
    /// The least share (0 to 1) of requests that succeed.
    pub min_success: f64,
    /// The longest 99th percentile in milliseconds; `None` when durations are not looked at.
    pub max_p99: Option<f64>,
    /// How many failed checks roll back.
    pub threshold: u32,
    /// How many have failed.
    pub failed: u32,
}

impl Default for Flagger {
    /// As in the documentation's example.
    fn default() -> Self {
        Self { interval: 60, min_success: 0.99, max_p99: None, threshold: 5, failed: 0 }
    }
}

impl Peer for Flagger {
    fn name(&self) -> &'static str {
        "Flagger"
    }

    fn interval(&self) -> u64 {
        self.interval
    }

    fn see(&mut self, point: &Point) -> Ruling {
        if self.failed >= self.threshold {
            return Ruling::Revert;
        }
        let succeeds = point.canary.requests > 0 && 1.0 - point.canary.error_rate() >= self.min_success;
        let is_fast = self.max_p99.is_none_or(|max| point.canary_p99.is_some_and(|p99| p99 <= max));
        if succeeds && is_fast {
            return Ruling::Next;
        }
        self.failed += 1;
        Ruling::Stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Counts;

    fn point(errors: u64, requests: u64) -> Point {
        Point { canary: Counts { requests, errors }, canary_p99: Some(100.0), ..Point::default() }
    }

    #[test]
    fn five_failed_checks_roll_back_at_the_next() {
        let mut flagger = Flagger::default();
        let seen = [(0, 100), (2, 100), (1, 100), (2, 100), (2, 100), (2, 100), (0, 0), (0, 100)];
        let rulings: Vec<Ruling> = seen.map(|(errors, requests)| flagger.see(&point(errors, requests))).into();
        use Ruling::{Next, Revert, Stay};
        assert_eq!(rulings, [Next, Stay, Next, Stay, Stay, Stay, Stay, Revert]);
    }

    #[test]
    fn durations_fail_a_check() {
        let mut flagger = Flagger { max_p99: Some(99.0), threshold: 1, ..Flagger::default() };
        assert_eq!([flagger.see(&point(0, 9)), flagger.see(&point(0, 9))], [Ruling::Stay, Ruling::Revert]);
    }
}
