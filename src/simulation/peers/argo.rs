//! An AnalysisRun of Argo Rollouts.
//!
//! By its documentation (argo-rollouts.readthedocs.io: "Analysis & Progressive Delivery"): `count` measurements, one each
//! `interval`; `successCondition: result[0] >= 0.95` on the success rate; the run fails when more than `failureLimit` (0 by
//! default) measurements failed, and is an error when more than `consecutiveErrorLimit` (4) running could not be made,
//! as with an empty result. Either aborts the rollout. It succeeds after `count` measurements.

use super::{Peer, Ruling};
use crate::simulation::trial::Point;

/// An AnalysisRun with its settings.
#[derive(Debug, Clone)]
pub struct Argo {
    /// Seconds between measurements.
    pub interval: u64,
    /// The least share (0 to 1) of requests that succeed.
    pub min_success: f64,
    /// The longest 99th percentile in milliseconds; `None` when durations are not looked at.
    pub max_p99: Option<f64>,
    /// How many measurements may fail.
    pub failure_limit: u32,
    /// How many running may be errors.
    pub consecutive_error_limit: u32,
    /// How many measurements a step takes.
    pub count: u32,
    /// How many there were in this step, failed, and errors running.
    pub seen: (u32, u32, u32),
}

impl Default for Argo {
    /// The conditions and limits as in the documentation's examples.
    fn default() -> Self {
        Self {
            interval: 60,
            min_success: 0.95,
            max_p99: None,
            failure_limit: 3,
            consecutive_error_limit: 4,
            count: 5,
            seen: (0, 0, 0),
        }
    }
}

impl Peer for Argo {
    fn name(&self) -> &'static str {
        "Argo Rollouts"
    }

    fn interval(&self) -> u64 {
        self.interval
    }

    fn see(&mut self, point: &Point) -> Ruling {
        let (count, failed, errors) = &mut self.seen;
        *count += 1;
        if point.canary.requests == 0 {
            *errors += 1;
        } else {
            *errors = 0;
            let succeeds = 1.0 - point.canary.error_rate() >= self.min_success;
            let is_fast = self.max_p99.is_none_or(|max| point.canary_p99.is_none_or(|p99| p99 <= max));
            *failed += u32::from(!(succeeds && is_fast));
        }
        if *failed > self.failure_limit || *errors > self.consecutive_error_limit {
            return Ruling::Revert;
        }
        if *count >= self.count {
            // Each step has a run of its own.
            *count = 0;
            *failed = 0;
            return Ruling::Next;
        }
        Ruling::Stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Counts;

    fn rulings(mut argo: Argo, seen: &[(u64, u64)]) -> Vec<Ruling> {
        let point = |errors, requests| Point { canary: Counts { requests, errors }, ..Point::default() };
        seen.iter().map(|(errors, requests)| argo.see(&point(*errors, *requests))).collect()
    }

    #[test]
    fn one_more_than_the_limit_fails() {
        let argo = || Argo { failure_limit: 1, count: 3, ..Argo::default() };
        use Ruling::{Next, Revert, Stay};
        assert_eq!(rulings(argo(), &[(5, 100), (6, 100), (6, 100)]), [Stay, Stay, Revert]);
        assert_eq!(rulings(argo(), &[(6, 100), (0, 100), (0, 100), (6, 100)]), [Stay, Stay, Next, Stay]);
    }

    #[test]
    fn five_errors_running_abort() {
        let mut seen = vec![(0, 0); 5];
        assert_eq!(rulings(Argo { count: 99, ..Argo::default() }, &seen).last(), Some(&Ruling::Revert));
        seen[2] = (0, 1);
        assert_eq!(rulings(Argo { count: 99, ..Argo::default() }, &seen).last(), Some(&Ruling::Stay));
    }
}
