//! What others do who release by watching numbers, re-implemented from what they publish.
//!
//! Each is shown the same seconds as Serin, summed up over its interval, and says what it does. Kinder to them than life:
//! their metrics server is never late and never fails.

pub mod argo;
pub mod flagger;
pub mod kayenta;

pub use argo::Argo;
pub use flagger::Flagger;
pub use kayenta::Kayenta;

use super::trial::{Decision, Outcome, Point};

/// What a peer does after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// Looks on.
    Stay,
    /// Takes the next step.
    Next,
    /// Gives the canary all the traffic.
    Promote,
    /// Takes the canary back.
    Revert,
}

/// One that looks at numbers at an interval. [`Clone`] one that has seen nothing for each release.
pub trait Peer: std::fmt::Debug {
    /// As it is called.
    fn name(&self) -> &'static str;
    /// The seconds from one look to the next.
    fn interval(&self) -> u64;
    /// Takes in the newest interval.
    fn see(&mut self, point: &Point) -> Ruling;
}

/// What a peer that stays at one weight does with these points: it looks on until it reverts, or there are no more.
pub fn at_one_weight(peer: &mut dyn Peer, points: &[Point], reaction: f64) -> Outcome {
    let interval = peer.interval();
    let mut harmed = 0;
    for (at, point) in points.iter().enumerate() {
        harmed += point.harmed;
        if peer.see(point) == Ruling::Revert {
            let next = points.get(at + 1).map_or(0, |next| next.harmed);
            harmed += (next as f64 * (reaction / interval as f64).min(1.0)).round() as u64;
            return Outcome {
                decision: Decision::Reverted,
                seconds: (at as u64 + 1) * interval,
                harmed,
                waits_at: None,
            };
        }
    }
    Outcome { decision: Decision::Held, seconds: points.len() as u64 * interval, harmed, waits_at: None }
}

/// The most sensitive of the settings `0..1` (more is less sensitive) that reverts at most `allowed` of the releases, by
/// bisection between these bounds; the upper bound when even that reverts more.
pub fn tuned(reverts: impl Fn(f64) -> usize, allowed: usize, bounds: (f64, f64)) -> f64 {
    let (mut low, mut high) = bounds;
    for _ in 0..20 {
        let middle = f64::midpoint(low, high);
        if reverts(middle) > allowed { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Counts;

    #[test]
    fn a_setting_is_found_by_what_it_lets_pass() {
        let worst = [0.1, 0.2, 0.3, 0.4];
        let reverts = |limit: f64| worst.iter().filter(|rate| **rate > limit).count();
        let found = tuned(reverts, 1, (0.0, 1.0));
        assert!((found - 0.3).abs() < 1e-5, "{found}");
    }

    #[test]
    fn the_cost_goes_on_until_nobody_is_sent_there() {
        let point = Point { canary: Counts { requests: 100, errors: 50 }, harmed: 50, ..Point::default() };
        let mut flagger = Flagger { threshold: 1, interval: 10, ..Flagger::default() };
        let outcome = at_one_weight(&mut flagger, &[point; 5], 1.0);
        assert_eq!(outcome, Outcome { decision: Decision::Reverted, seconds: 20, harmed: 105, waits_at: None });
    }
}
