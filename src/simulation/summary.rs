//! What many releases came to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::trial::{Decision, Outcome};
use crate::model::Weight;

/// What many releases came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// How many there were.
    pub runs: usize,
    /// Those that were taken back.
    pub reverted: Part,
    /// Those that went on to the end.
    pub advanced: Part,
    /// Those that proved nothing in time.
    pub inconclusive: Part,
    /// Those that were still on their way when the simulation ended.
    pub held: Part,
    /// How many users' requests the bad version failed or slowed down, on average.
    pub harmed_mean: f64,
    /// The median of that.
    pub harmed_median: u64,
    /// The 95th percentile of that.
    pub harmed_p95: u64,
    /// Where most of those that proved nothing in time wait; `None` when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inconclusive_at: Option<Stop>,
}

/// Where some wait.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// The step, from 1.
    pub step: usize,
    /// The canary's share, in percent.
    pub weight: Weight,
    /// How many wait there.
    pub count: usize,
}

/// Those that ended in one way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// How many.
    pub count: usize,
    /// Their share of all, 0 to 1.
    pub share: f64,
    /// The 95 % confidence interval of the share, after Wilson.
    pub interval: (f64, f64),
    /// After how many seconds half of them had ended; `None` when there are none.
    pub median_seconds: Option<u64>,
    /// After how many seconds 95 % of them had.
    pub p95_seconds: Option<u64>,
}

impl Summary {
    /// Of these releases.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let part = |decision: Decision| {
            let mut seconds: Vec<u64> =
                outcomes.iter().filter(|outcome| outcome.decision == decision).map(|outcome| outcome.seconds).collect();
            seconds.sort_unstable();
            let count = seconds.len();
            Part {
                count,
                share: count as f64 / outcomes.len().max(1) as f64,
                interval: wilson(count, outcomes.len()),
                median_seconds: rank(&seconds, 0.5),
                p95_seconds: rank(&seconds, 0.95),
            }
        };
        let mut harmed: Vec<u64> = outcomes.iter().map(|outcome| outcome.harmed).collect();
        harmed.sort_unstable();
        Self {
            runs: outcomes.len(),
            reverted: part(Decision::Reverted),
            advanced: part(Decision::Advanced),
            inconclusive: part(Decision::Inconclusive),
            held: part(Decision::Held),
            harmed_mean: harmed.iter().sum::<u64>() as f64 / outcomes.len().max(1) as f64,
            harmed_median: rank(&harmed, 0.5).unwrap_or(0),
            harmed_p95: rank(&harmed, 0.95).unwrap_or(0),
            inconclusive_at: most_inconclusive(outcomes),
        }
    }
}

/// Where most of those wait that proved nothing in time; the first of several such steps.
fn most_inconclusive(outcomes: &[Outcome]) -> Option<Stop> {
    let mut stops: BTreeMap<(usize, Weight), usize> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.decision == Decision::Inconclusive) {
        *stops.entry(outcome.waits_at?).or_default() += 1;
    }
    let (&(step, weight), &count) = stops.iter().rev().max_by_key(|(_, count)| **count)?;
    Some(Stop { step: step + 1, weight, count })
}

/// The smallest value that a share of the values (sorted) does not exceed.
fn rank(sorted: &[u64], share: f64) -> Option<u64> {
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.max(1) - 1).copied()
}

/// The 95 % confidence interval of a share of which `count` in `of` were seen (Wilson 1927).
pub fn wilson(count: usize, of: usize) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    const Z: f64 = 1.959_964;
    let (n, p) = (of as f64, count as f64 / of as f64);
    let scale = 1.0 + Z * Z / n;
    let centre = (p + Z * Z / (2.0 * n)) / scale;
    let reach = Z / scale * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((centre - reach).max(0.0), (centre + reach).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_ranks() {
        let outcome = |decision, seconds, harmed| Outcome { decision, seconds, harmed, waits_at: None };
        let mut outcomes: Vec<Outcome> = (1..=19).map(|at| outcome(Decision::Reverted, at, at * 2)).collect();
        outcomes.push(outcome(Decision::Advanced, 100, 1_000));
        let summary = Summary::of(&outcomes);
        assert_eq!((summary.runs, summary.reverted.count, summary.advanced.count, summary.held.count), (20, 19, 1, 0));
        assert_eq!((summary.reverted.median_seconds, summary.reverted.p95_seconds), (Some(10), Some(19)));
        assert_eq!((summary.held.median_seconds, summary.harmed_median, summary.harmed_p95), (None, 20, 38));
        assert!((summary.harmed_mean - 69.0).abs() < 1e-9);
        assert_eq!(Summary::of(&[]).runs, 0);
    }

    #[test]
    fn where_most_prove_nothing_in_time() {
        let weight = |percent| Weight::from_percent(percent).expect("a weight");
        let outcome = |decision, step, percent| {
            let waits_at = Some((step, weight(percent)));
            Outcome { decision, seconds: 1, harmed: 0, waits_at }
        };
        let (inconclusive, held) = (Decision::Inconclusive, Decision::Held);
        let outcomes = [
            outcome(held, 5, 50.0),
            outcome(held, 5, 50.0),
            outcome(inconclusive, 3, 5.0),
            outcome(inconclusive, 1, 1.0),
        ];
        let stop = Summary::of(&outcomes).inconclusive_at;
        assert_eq!(stop, Some(Stop { step: 2, weight: weight(1.0), count: 1 }));
        assert_eq!(Summary::of(&outcomes[..2]).inconclusive_at, None);
    }

    #[test]
    fn the_interval_of_the_books() {
        // Newcombe 1998, table I, method 3: 81 of 263.
        let (low, high) = wilson(81, 263);
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4, "{low} {high}");
        let (low, high) = wilson(0, 20);
        assert!(low == 0.0 && (high - 0.1611).abs() < 1e-4, "{high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }
}
