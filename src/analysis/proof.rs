//! The proof that a canary's errors are harmless: two tests, one stake.
//!
//! PURE. "Bad" is at least `reject_ratio` times the baseline's error rate *and* at least `harmless_rate`. Under it both the
//! [ratio test](Advance) and the [absolute bound](Absolute) are e-processes, so what is laid on them together is one, also
//! when the stake is moved from one to the other: by what was known before the window, never by what is in it. Where the
//! baseline has errors only the ratio can prove anything, and where it has none only the bound can. So both
//! have a part at first, and as soon as the baseline has told which of them can, it gets all.

use serde::{Deserialize, Serialize};

use super::absolute::Absolute;
use super::clusters::Sizes;
use super::ratio::Advance;
use super::{Counts, LogE};
use crate::model::ErrorsMetric;

/// Requests tell of a rate when at least so many errors are to be expected of them.
const TELLING: f64 = 0.5;

/// Evidence against "bad".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Proof {
    /// The hypothesis's ratio and rate: their bits, because they are only ever compared.
    against: [u64; 2],
    advance: Advance,
    absolute: Absolute,
    evidence: LogE,
}

impl Default for Proof {
    fn default() -> Self {
        let (advance, absolute) = (Advance::default(), Absolute::default());
        Self { against: [0; 2], advance, absolute, evidence: LogE::ONE }
    }
}

impl Proof {
    /// Takes in one window. `before` are the baseline's counts before it. A metric with another ratio or rate than before
    /// begins anew.
    pub(super) fn observe(
        &mut self,
        canary: Counts,
        baseline: Counts,
        before: Counts,
        metric: &ErrorsMetric,
        sizes: Sizes,
    ) {
        let against = [metric.reject_ratio.to_bits(), metric.harmless_rate.to_bits()];
        if self.against != against {
            self.begin_anew(against);
        }
        let stake = on_absolute(canary.requests, before, metric.harmless_rate);
        let earlier = (self.advance.evidence(), self.absolute.evidence());
        self.advance.observe(canary, baseline, metric, sizes.better);
        self.absolute.observe(canary, metric, sizes.fewer);
        let of_ratio = self.advance.evidence().times(-earlier.0.ln());
        let of_absolute = self.absolute.evidence().times(-earlier.1.ln());
        let parts = [(1.0 - stake, of_ratio), (stake, of_absolute)];
        let factor = LogE::average(parts.into_iter().filter(|(stake, _)| *stake > 0.0));
        self.evidence = self.evidence.times(factor.ln());
    }

    /// Other failures count: nothing is proven of them yet, and what was lost stays lost.
    pub(super) fn count_anew(&mut self) {
        let evidence = if self.evidence < LogE::ONE { self.evidence } else { LogE::ONE };
        *self = Self { against: self.against, evidence, ..Self::default() };
    }

    /// What is still asked keeps its evidence: half of the stake is on each.
    fn begin_anew(&mut self, against: [u64; 2]) {
        if self.against[0] != against[0] {
            self.advance = Advance::default();
        }
        if self.against[1] != against[1] {
            self.absolute = Absolute::default();
        }
        self.against = against;
        self.evidence = LogE::average([(0.5, self.advance.evidence()), (0.5, self.absolute.evidence())]);
    }

    /// The e-value against "bad".
    pub(super) fn evidence(&self) -> LogE {
        self.evidence
    }

    /// Each test by itself: the ratio, the absolute bound.
    #[cfg(test)]
    pub(super) fn each(&self) -> [LogE; 2] {
        [self.advance.evidence(), self.absolute.evidence()]
    }
}

/// Which part of the stake is on the absolute bound, by what the baseline was like and how many requests the window has.
///
/// The evidence of a canary like its baseline grows faster with the absolute bound up to about half of the harmless rate,
/// and with the ratio from there on. While nothing is known, a small window has little to win from the bound, and most of
/// the stake to lose by one error; a large one may prove the canary good by itself.
fn on_absolute(requests: u64, before: Counts, harmless_rate: f64) -> f64 {
    let is_telling = |requests: u64| requests as f64 * harmless_rate >= TELLING;
    match () {
        () if before.errors > 0 && before.error_rate() > harmless_rate / 2.0 => 0.0,
        () if is_telling(before.requests) => 1.0,
        () if is_telling(requests) => 0.5,
        () => 0.25,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(errors: u64, requests: u64) -> Counts {
        Counts { requests, errors }
    }

    /// The evidence after each of these windows of (canary, baseline), of which the proof knows those before.
    fn after(windows: &[(Counts, Counts)], metric: &ErrorsMetric) -> Vec<LogE> {
        let (mut proof, mut before) = (Proof::default(), Counts::default());
        let each = windows.iter().map(|(canary, baseline)| {
            proof.observe(*canary, *baseline, before, metric, 1.0.into());
            before = before.plus(*baseline);
            proof.evidence()
        });
        each.collect()
    }

    #[test]
    fn the_clean_requests_that_the_whole_mixture_takes() {
        for (harmless_rate, at_once, in_turn) in [(0.001, 3934, 3268), (0.01, 392, 326), (0.05, 77, 65)] {
            let metric = ErrorsMetric { harmless_rate, ..ErrorsMetric::default() };
            // All at once nobody knows beforehand that the baseline has none.
            let proven = |n| after(&[(counts(0, n), counts(0, 9 * n))], &metric)[0].reaches(0.05);
            assert_eq!((1..10_000).find(|n| proven(*n)), Some(at_once), "{harmless_rate}");
            // One after the other, the stake is moved when it is known.
            let windows = vec![(counts(0, 1), counts(0, 9)); at_once as usize];
            let found = after(&windows, &metric).iter().position(|e| e.reaches(0.05)).map(|at| at + 1);
            assert_eq!(found, Some(in_turn), "{harmless_rate}");
        }
    }

    #[test]
    fn with_errors_it_costs_next_to_nothing_beside_the_ratio_alone() {
        let (metric, mut alone) = (ErrorsMetric::default(), Advance::default());
        let windows = [(counts(0, 100), counts(4, 900)), (counts(1, 100), counts(5, 900))].repeat(50);
        for (canary, baseline) in &windows {
            alone.observe(*canary, *baseline, &metric, 1.0);
        }
        let both = after(&windows, &metric);
        let last = both.last().expect("many windows");
        assert!((last.ln() - alone.evidence().ln()).abs() < 0.1, "{last:?} {alone:?}");
    }

    #[test]
    fn is_an_e_value_window_by_window() {
        // Three requests to each side, which fail independently, the canary's twice as often and at the harmless rate.
        let metric = ErrorsMetric { harmless_rate: 0.4, reject_ratio: 2.0, ..ErrorsMetric::default() };
        let chance =
            |p: f64, k: u64| [1.0, 3.0, 3.0, 1.0][k as usize] * p.powi(k as i32) * (1.0 - p).powi(3 - k as i32);
        for (start, before) in [(0, 0), (0, 9), (1, 9), (9, 9)].into_iter().map(|(k, n)| (k, counts(k, n))) {
            for p in [0.2, 0.3] {
                let mut mean = 0.0;
                for (x, y) in (0..4).flat_map(|x| (0..4).map(move |y| (x, y))) {
                    let mut proof = Proof::default();
                    proof.observe(counts(start / 9, 3), counts(1, 3), Counts::default(), &metric, 1.0.into());
                    let from = proof.evidence();
                    proof.observe(counts(x, 3), counts(y, 3), before, &metric, 1.0.into());
                    mean += chance(2.0 * p, x) * chance(p, y) * (proof.evidence().ln() - from.ln()).exp();
                }
                assert!(mean <= 1.0 + 1e-9, "{mean} at {p} after {before:?}");
            }
        }
    }

    #[test]
    fn another_question_begins_anew() {
        let metric = ErrorsMetric::default();
        let mut proof = Proof::default();
        assert_eq!(proof.evidence(), LogE::ONE);
        proof.observe(counts(0, 9_000), counts(0, 9), Counts::default(), &metric, 1.0.into());
        assert!(proof.evidence().reaches(0.05));
        let stricter = ErrorsMetric { harmless_rate: 1e-6, ..metric };
        proof.observe(counts(0, 1), counts(0, 9), counts(0, 9), &stricter, 1.0.into());
        assert!(!proof.evidence().reaches(0.5), "{proof:?}");
    }
}
