//! Several tests with one promise.
//!
//! PURE. Each deciding test against "no worse than tolerated" is an e-process. Their average with fixed weights (stakes) is
//! one again, whatever they have to do with each other, so one bound holds for all of them: the chance that it ever
//! reaches `1/falseRevert` is at most `falseRevert` (Ville). A test that has not begun stands at 1 and keeps its stake.
//!
//! A policy that is edited may stop a test, begin one, or begin one anew. What such a test has won is given up then, and
//! what it has lost stays lost ([`Stakes::move_to`]): what is left of all together is shared out among the tests that
//! there are from then on. So an edit never adds evidence, nothing fails by an edit itself, and the promise is for the
//! whole rollout, however often its policy is edited.
//!
//! Nothing of this kind is needed to advance: who passes must have proven every claim, so the chance to pass while one
//! of them is false is at most `falseAdvance` already.

use serde::{Deserialize, Serialize};

use super::words::e_value;
use super::{LogE, Metric, evidence};

/// The stake of a comparison with the baseline.
pub(super) const RELATIVE: f64 = 9.0;
/// The stake of a limit.
pub(super) const LIMIT: f64 = 3.0;
/// The stake of the watch after the switch: it sees all the traffic, and can do with little.
pub(super) const WATCH: f64 = 1.0;

/// Which test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Test {
    /// Of the error rate against the baseline's.
    Errors,
    /// Of the error rate against a limit.
    ErrorsMax,
    /// After the switch.
    Watch,
    /// With a share held back.
    Holdback,
    /// Of the durations against the baseline's.
    Latency,
    /// Of the durations against limits.
    LatencyMax,
}

/// One test.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// Which.
    pub(super) test: Test,
    /// What it judges.
    pub(super) metric: Metric,
    /// Its weight in the average; positive.
    pub(super) stake: f64,
    /// Its e-value.
    pub(super) evidence: LogE,
    /// What it compares, with counts and rates.
    pub(super) said: String,
}

/// What each test's e-value is multiplied by since the policy was edited; nothing before that, when each has its own
/// [`Part::stake`] of 1.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Stakes {
    laid: Vec<(Test, LogE)>,
    /// What all came to when there was no test any more.
    saved: Option<LogE>,
}

impl Stakes {
    /// The e-value of all tests together; 1 without any.
    pub(super) fn together(&self, parts: &[Part]) -> LogE {
        match parts {
            [] => LogE::ONE,
            _ if self.laid.is_empty() => LogE::average(parts.iter().map(|part| (part.stake, part.evidence))),
            _ => sum(&self.held(parts)),
        }
    }

    /// What fails at this risk, and why: in the words of the test that contributes most.
    pub(super) fn failure(&self, parts: &[Part], risk: f64) -> Option<(Metric, String)> {
        let all = self.together(parts);
        if !all.reaches(risk) {
            return None;
        }
        let held = self.held(parts);
        let (most, _) = parts.iter().zip(held).max_by(|(_, a), (_, b)| a.ln().total_cmp(&b.ln()))?;
        let (value, bound) = (e_value(all.value()), e_value(evidence::bound(risk)));
        Some((most.metric.clone(), format!("{}: evidence {value} ≥ {bound}, reverts", most.said)))
    }

    /// Other tests from now on, or the same ones begun anew: all together are worth no more than they were. Those that go on
    /// keep their part of it, less what those get that begin.
    pub(super) fn move_to(&mut self, before: &[Part], now: &[Part]) {
        let goes_on = |part: &&Part| now.iter().any(|one| one.test == part.test && one.evidence == part.evidence);
        let kept =
            |(part, (held, stake)): (&Part, (LogE, LogE))| if goes_on(&part) || held < stake { held } else { stake };
        let worth = match before {
            [] => self.saved.unwrap_or(LogE::ONE),
            _ => sum(&before
                .iter()
                .zip(self.held(before).into_iter().zip(self.stakes(before)))
                .map(kept)
                .collect::<Vec<_>>()),
        };
        if now.is_empty() {
            return *self = Self { laid: Vec::new(), saved: Some(worth) };
        }
        let went_on = |part: &Part| before.iter().find(|one| one.test == part.test && one.evidence == part.evidence);
        let staked: f64 = now.iter().map(|part| part.stake).sum();
        let begun: f64 = now.iter().filter(|part| went_on(part).is_none()).map(|part| part.stake).sum();
        let was = self.held(before);
        let held = |part: &Part| {
            before.iter().zip(&was).find(|(one, _)| one.test == part.test).map_or(LogE::ONE, |(_, held)| *held)
        };
        let going: Vec<LogE> = now.iter().filter(|part| went_on(part).is_some()).map(held).collect();
        let going = if going.is_empty() { LogE::ONE } else { sum(&going) };
        let laid = now.iter().map(|part| {
            let holds = match went_on(part) {
                Some(_) if going.ln().is_finite() => {
                    held(part).times(worth.ln() - going.ln()).times((1.0 - begun / staked).ln())
                }
                _ => worth.times((part.stake / staked).ln()),
            };
            // What a test that is lost holds stays lost.
            let factor = if part.evidence.ln().is_finite() { holds.times(-part.evidence.ln()) } else { LogE::ONE };
            (part.test, factor)
        });
        *self = Self { laid: laid.collect(), saved: None };
    }

    /// What each test holds of the whole.
    fn held(&self, parts: &[Part]) -> Vec<LogE> {
        parts.iter().zip(self.stakes(parts)).map(|(part, stake)| part.evidence.times(stake.ln())).collect()
    }

    /// What each test had to begin with.
    fn stakes(&self, parts: &[Part]) -> Vec<LogE> {
        let staked: f64 = parts.iter().map(|part| part.stake).sum();
        let stake = |part: &Part| {
            let laid = self.laid.iter().find(|(test, _)| *test == part.test).map(|(_, laid)| *laid);
            laid.unwrap_or_else(|| LogE::from_ln((part.stake / staked).ln()))
        };
        parts.iter().map(stake).collect()
    }
}

fn sum(of: &[LogE]) -> LogE {
    LogE::average(of.iter().map(|one| (1.0, *one))).times((of.len() as f64).ln())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn part(metric: Metric, stake: f64, ln: f64) -> Part {
        let test = if metric == Metric::Latency { Test::Latency } else { Test::Errors };
        let said = format!("{metric:?}");
        Part { test, metric, stake, evidence: LogE::from_ln(ln), said }
    }

    #[test]
    fn one_bound_for_all() {
        let stakes = Stakes::default();
        assert_eq!((stakes.together(&[]), stakes.failure(&[], 0.5)), (LogE::ONE, None));
        // Neither alone is enough for its share, both together are.
        let half = |ln: f64| [part(Metric::Errors, 1.0, ln), part(Metric::Latency, 1.0, ln + 0.1)];
        assert_eq!(stakes.failure(&half(99_f64.ln() - 0.1), 0.01), None);
        let (metric, reason) = stakes.failure(&half(100_f64.ln()), 0.01).expect("both are beyond the bound");
        assert_eq!((metric, reason.as_str()), (Metric::Latency, "Latency: evidence 105 ≥ 100, reverts"));
        // A test that is lost does not stop another; the stake counts in who is named.
        let lost = [part(Metric::Errors, 9.0, f64::NEG_INFINITY), part(Metric::Latency, 1.0, 1_001_f64.ln())];
        assert_eq!(stakes.failure(&lost, 0.01).expect("a tenth of 1001").0, Metric::Latency);
        let staked = [part(Metric::Errors, 9.0, 6.0), part(Metric::Latency, 1.0, 7.0)];
        assert_eq!(stakes.failure(&staked, 0.01).expect("beyond").0, Metric::Errors);
    }

    proptest! {
        /// Tests come, go and begin anew.
        #[test]
        fn an_edit_never_adds_evidence(
            edits in vec((0..4_usize, -900.0..900.0_f64, -900.0..900.0_f64), 1..12)
        ) {
            let (mut stakes, mut now) = (Stakes::default(), Vec::new());
            for (tests, errors, latency) in edits {
                let next: Vec<Part> = [part(Metric::Errors, 10.0, errors), part(Metric::Latency, 9.0, latency)]
                    .into_iter()
                    .enumerate()
                    .filter(|(at, _)| tests >> at & 1 == 1)
                    .map(|(_, part)| part)
                    .collect();
                let worth = if now.is_empty() { stakes.saved.unwrap_or(LogE::ONE) } else { stakes.together(&now) };
                stakes.move_to(&now, &next);
                let after = if next.is_empty() { stakes.saved.unwrap_or(LogE::ONE) } else { stakes.together(&next) };
                prop_assert!(after.ln() <= worth.ln() + 1e-6, "{worth:?} {after:?} {stakes:?}");
                now = next;
            }
        }
    }

    #[test]
    fn what_goes_on_keeps_its_part_and_what_is_lost_stays_lost() {
        let mut stakes = Stakes::default();
        let (errors, latency) = (part(Metric::Errors, 1.0, 3.0), part(Metric::Latency, 1.0, 50.0));
        // What a metric has won while it decided nothing does not count; what it wins from then on does.
        stakes.move_to(std::slice::from_ref(&errors), &[errors.clone(), latency]);
        assert!(
            (stakes.together(&[errors, part(Metric::Latency, 1.0, 51.0)]).ln()
                - (3.0 + f64::ln(0.5 + 0.5 * 1_f64.exp())))
            .abs()
                < 1e-9
        );
        let lost = [part(Metric::Errors, 1.0, f64::NEG_INFINITY)];
        let mut stakes = Stakes::default();
        stakes.move_to(&lost, &lost);
        assert_eq!(stakes.together(&lost), LogE::from_ln(f64::NEG_INFINITY));
        stakes.move_to(&lost, &[part(Metric::Errors, 1.0, 0.0)]);
        assert_eq!(stakes.together(&[part(Metric::Errors, 1.0, 9.0)]), LogE::from_ln(f64::NEG_INFINITY));
    }
}
