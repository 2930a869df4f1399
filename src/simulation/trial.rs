//! One release at a given weight, without the machine around it: what the judge alone would do, and what peers are shown.

use super::defect::Defect;
use super::durations::{histogram, quantile};
use super::source::Source;
use super::traffic::Traffic;
use crate::analysis::{Counts, Judge, Verdict};
use crate::model::{AnalysisPolicy, Cause, Weight};

/// How one release ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What was decided.
    pub decision: Decision,
    /// When, in seconds from the first traffic on; the end of the simulation when nothing was.
    pub seconds: u64,
    /// How many requests to the canary failed, or were slowed down, by its defect.
    pub harmed: u64,
    /// At which step (from 0) and share of the canary it waits for a person; `None` when it does not, or has no steps.
    pub waits_at: Option<(usize, Weight)>,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The canary was taken back.
    Reverted,
    /// It went on; for a whole release: it was promoted.
    Advanced,
    /// Nothing was proven in time, and somebody is asked.
    Inconclusive,
    /// Nothing was decided yet.
    Held,
}

/// The share of the canary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shares {
    /// Always this (0 to 1).
    Fixed(f64),
    /// From one to the other, evenly over the trial.
    Rising(f64, f64),
}

/// A release at a given weight.
#[derive(Debug, Clone)]
pub struct Trial<'a> {
    /// What is asked.
    pub traffic: &'a Traffic,
    /// What is wrong.
    pub defect: &'a Defect,
    /// The canary's share.
    pub shares: Shares,
    /// How many seconds it is looked at.
    pub seconds: u64,
    /// The time in seconds from a decision to no request any more: the statistics' way and the proxies' acknowledgement.
    pub reaction: f64,
    /// Whether durations are judged.
    pub with_latency: bool,
    /// Whether it ends, too, when the canary is proven good.
    pub may_advance: bool,
}

/// What both versions did in one interval, as a metrics server tells it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// The canary.
    pub canary: Counts,
    /// What it is compared with.
    pub baseline: Counts,
    /// The 99th percentile of the canary's durations in milliseconds, where there were any.
    pub canary_p99: Option<f64>,
    /// The same of the baseline.
    pub baseline_p99: Option<f64>,
    /// How many of the canary's requests were harmed by its defect.
    pub harmed: u64,
}

impl Trial<'_> {
    fn share(&self, second: u64) -> f64 {
        match self.shares {
            Shares::Fixed(share) => share,
            Shares::Rising(from, to) => from + (to - from) * second as f64 / self.seconds as f64,
        }
    }

    /// What the judge decides under a policy.
    pub fn judge(&self, policy: &AnalysisPolicy, seed: u64) -> Outcome {
        let mut source = Source::new(self.traffic, self.defect, self.with_latency, seed);
        let mut judge = Judge::default();
        judge.begin_step();
        let mut harmed = 0;
        for second in 0..self.seconds {
            let share = self.share(second);
            let seen = source.next(share, 1.0 - share);
            harmed += seen.harmed;
            judge.observe(&seen.window, policy);
            let decision = match judge.verdict(policy) {
                Verdict::Fail { .. } => Decision::Reverted,
                Verdict::Pass { .. } if self.may_advance => Decision::Advanced,
                Verdict::Pass { .. } | Verdict::Undecided { .. } | Verdict::NoData { .. } | Verdict::Error { .. } => {
                    continue;
                }
            };
            let mut left = self.reaction;
            while decision == Decision::Reverted && left > 0.0 {
                harmed += (source.next(share, 1.0 - share).harmed as f64 * left.min(1.0)).round() as u64;
                left -= 1.0;
            }
            return Outcome { decision, seconds: second + 1, harmed, waits_at: None };
        }
        Outcome { decision: Decision::Held, seconds: self.seconds, harmed, waits_at: None }
    }

    /// What a metrics server would tell of the same seconds, at each of these intervals (in seconds).
    pub fn points<const N: usize>(&self, intervals: [u64; N], seed: u64) -> [Vec<Point>; N] {
        let mut source = Source::new(self.traffic, self.defect, self.with_latency, seed);
        let mut sums: [Sum; N] = std::array::from_fn(|_| Sum::default());
        let mut points: [Vec<Point>; N] = std::array::from_fn(|_| Vec::new());
        for second in 0..self.seconds {
            let share = self.share(second);
            let seen = source.next(share, 1.0 - share);
            for ((sum, points), interval) in sums.iter_mut().zip(&mut points).zip(intervals) {
                sum.add(&seen);
                if (second + 1).is_multiple_of(interval) {
                    points.push(std::mem::take(sum).point());
                }
            }
        }
        points
    }
}

/// What an interval has come to so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Sum {
    point: Point,
    durations: [Vec<u64>; 2],
}

impl Sum {
    pub(super) fn add(&mut self, second: &super::source::Second) {
        let window = &second.window;
        let causes = Cause::all();
        self.point.canary = self.point.canary.plus(window.canary.counts(&causes));
        self.point.baseline = self.point.baseline.plus(window.baseline.counts(&causes));
        self.point.harmed += second.harmed;
        for (sum, arm) in self.durations.iter_mut().zip([&window.canary, &window.baseline]) {
            let Some(histogram) = &arm.latency else { continue };
            sum.resize(histogram.counts.len(), 0);
            sum.iter_mut().zip(&histogram.counts).for_each(|(sum, more)| *sum += more);
        }
    }

    pub(super) fn point(self) -> Point {
        let [canary_p99, baseline_p99] = self.durations.map(|counts| quantile(&histogram(counts), 0.99));
        Point { canary_p99, baseline_p99, ..self.point }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClusterSize, ErrorsMetric};

    fn policy() -> AnalysisPolicy {
        let errors =
            ErrorsMetric { tolerate_ratio: 1.0, cluster_size: ClusterSize::Given(1.0), ..ErrorsMetric::default() };
        AnalysisPolicy { errors: Some(errors), ..AnalysisPolicy::default() }
    }

    fn trial<'a>(traffic: &'a Traffic, defect: &'a Defect) -> Trial<'a> {
        let shares = Shares::Fixed(0.1);
        Trial { traffic, defect, shares, seconds: 600, reaction: 1.1, with_latency: false, may_advance: true }
    }

    #[test]
    fn a_bad_canary_is_reverted_and_a_good_one_advances() {
        let traffic = Traffic { rps: 1000.0, ..Traffic::default() };
        let bad = Defect::errors(10.0);
        let reverted = trial(&traffic, &bad).judge(&policy(), 1);
        assert_eq!(reverted.decision, Decision::Reverted);
        assert!(reverted.seconds <= 5 && reverted.harmed > 0, "{reverted:?}");
        let good = Defect::default();
        let advanced = trial(&traffic, &good).judge(&policy(), 1);
        assert_eq!((advanced.decision, advanced.harmed), (Decision::Advanced, 0));
        let looked_at = Trial { may_advance: false, ..trial(&traffic, &good) }.judge(&policy(), 1);
        assert_eq!((looked_at.decision, looked_at.seconds), (Decision::Held, 600));
    }

    #[test]
    fn the_way_to_the_proxies_costs_requests_too() {
        let (traffic, defect) = (Traffic { rps: 1000.0, ..Traffic::default() }, Defect::errors(10.0));
        let at_once = Trial { reaction: 0.0, ..trial(&traffic, &defect) }.judge(&policy(), 1);
        let later = Trial { reaction: 3.0, ..trial(&traffic, &defect) }.judge(&policy(), 1);
        assert_eq!(at_once.seconds, later.seconds);
        assert!(later.harmed >= at_once.harmed + 6, "{at_once:?} {later:?}");
    }

    #[test]
    fn points_are_sums_of_the_same_seconds() {
        let (traffic, defect) = (Traffic::default(), Defect { stuck: 0.5, ..Defect::default() });
        let trial = Trial { with_latency: true, ..trial(&traffic, &defect) };
        let [tens, minutes] = trial.points([10, 60], 1);
        assert_eq!((tens.len(), minutes.len()), (60, 10));
        let requests = |points: &[Point]| points.iter().map(|point| point.canary.requests).sum::<u64>();
        let harmed = |points: &[Point]| points.iter().map(|point| point.harmed).sum::<u64>();
        assert_eq!((requests(&tens), harmed(&tens)), (requests(&minutes), harmed(&minutes)));
        assert!(minutes[0].canary_p99.is_some_and(|p99| p99 > 10_000.0), "{:?}", minutes[0]);
        assert!(minutes[0].baseline_p99.is_some_and(|p99| p99 < 500.0), "{:?}", minutes[0]);
    }
}
