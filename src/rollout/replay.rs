//! PURE: judging again what a journal holds. Each version's judge is built up from its measurements; each evidence must be
//! what was recorded, bit for bit, and each verdict must follow from it.
//!
//! Time is not in a journal: verdicts that a step's end gave can be judged again only so far as nothing spoke against them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Record;
use crate::analysis::{ANALYSIS, Evidence, Judge, Measurement, Verdict};

/// The analysis by which it is judged again.
pub const OWN: u32 = ANALYSIS;

/// Judges a journal again, entry by entry.
#[derive(Debug, Default)]
pub struct Replay {
    judges: BTreeMap<String, Judge>,
    /// The version that was measured last.
    newest: String,
    /// How many measurements came out the same.
    pub measurements: usize,
    /// How many verdicts did.
    pub verdicts: usize,
    /// How many measurements could not be judged again: the judge's beginning, and any later state of it, is not there.
    pub skipped: usize,
    /// The entry with which judging again began.
    pub from: Option<u64>,
    /// Another analysis than this one, by which some of it was judged.
    pub other_analysis: Option<u32>,
}

/// A verdict that came out the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Same {
    /// Whose.
    pub version: String,
    /// What was judged, and why.
    pub said: String,
}

/// What came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {recorded} was recorded, and judged again it is {again}")]
pub struct Difference {
    /// What differs.
    pub what: String,
    /// As it was recorded.
    pub recorded: String,
    /// As it came out.
    pub again: String,
}

impl Replay {
    /// Takes in an entry. `Some` for a verdict that is the same again.
    ///
    /// # Errors
    /// When it comes out otherwise. What comes after it says nothing any more.
    pub fn take(&mut self, sequence: u64, record: &Record) -> Result<Option<Same>, Difference> {
        match record {
            Record::Measured { version, measurement } => self.measure(sequence, version, measurement).map(|()| None),
            Record::Judged { verdict, reason, .. } => {
                let version = self.newest.clone();
                self.judged(&version, verdict, reason)
            }
            Record::ArmStopped { version, reason, .. } => self.stopped(version, reason),
            // Whoever begins has not been measured yet.
            Record::Started { to, .. } => {
                self.judges.remove(to);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn measure(&mut self, sequence: u64, version: &str, measurement: &Measurement) -> Result<(), Difference> {
        self.newest = version.to_owned();
        if measurement.is_beginning() {
            self.from.get_or_insert(sequence);
            self.judges.insert(version.to_owned(), Judge::default());
        }
        let Some(judge) = self.judges.get_mut(version) else {
            self.skipped += 1;
            return Ok(());
        };
        let again = judge.replay(measurement);
        if judge.analysis() != ANALYSIS {
            self.other_analysis = Some(judge.analysis());
        }
        match difference(&measurement.evidence, &again) {
            Some(difference) => Err(difference),
            None => {
                self.measurements += 1;
                Ok(())
            }
        }
    }

    fn judged(&mut self, version: &str, verdict: &str, reason: &str) -> Result<Option<Same>, Difference> {
        let Some(judge) = self.judges.get(version) else { return Ok(None) };
        let again = judge.verdict(&judge.policy());
        let is_same = match (verdict, &again) {
            ("fail", Verdict::Fail { reason: again, .. }) => again == reason,
            // A step that has nothing to prove ends with its time, whatever is known by then.
            ("pass", Verdict::Pass { reason: again }) => again == reason || is_by_time(reason),
            ("pass", Verdict::Undecided { .. }) => is_by_time(reason),
            ("inconclusive", Verdict::Undecided { reason: again } | Verdict::Error { reason: again }) => {
                again == reason
            }
            ("noData", verdict) => !matches!(verdict, Verdict::Fail { .. }),
            _ => false,
        };
        if !is_same {
            let recorded = format!("{verdict} ({reason})");
            let again = format!("{} ({})", word(&again), again.reason());
            return Err(Difference { what: format!("the verdict on {version}"), recorded, again });
        }
        self.verdicts += 1;
        Ok(Some(Same { version: version.to_owned(), said: format!("{verdict}: {reason}") }))
    }

    /// A candidate of an experiment that failed; one that has lost its endpoints is no matter of evidence.
    fn stopped(&mut self, version: &str, reason: &str) -> Result<Option<Same>, Difference> {
        let verdict = self.judges.get(version).map(|judge| judge.verdict(&judge.policy()));
        match verdict {
            Some(Verdict::Fail { .. }) => self.judged(version, "fail", reason),
            _ => Ok(None),
        }
    }
}

/// What an `analyze` or a watching step says that its time ended.
fn is_by_time(reason: &str) -> bool {
    ["nothing spoke against it", "nothing failed for the whole step"].iter().any(|words| reason.starts_with(words))
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Fail { .. } => "fail",
        Verdict::Pass { .. } => "pass",
        Verdict::Undecided { .. } => "undecided",
        Verdict::NoData { .. } => "noData",
        Verdict::Error { .. } => "error",
    }
}

/// The first number or word of the evidence that differs. Numbers are compared as they are written, which is all of their
/// bits.
fn difference(recorded: &Evidence, again: &Evidence) -> Option<Difference> {
    let (Ok(Value::Object(recorded)), Ok(Value::Object(again))) =
        (serde_json::to_value(recorded), serde_json::to_value(again))
    else {
        return None;
    };
    let text = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    // Counts first: all else follows from them.
    let is_count = |what: &str| what.ends_with("_requests") || what.ends_with("_errors");
    let (counts, others): (Vec<_>, Vec<_>) = recorded.iter().partition(|(what, _)| is_count(what));
    counts.into_iter().chain(others).find_map(|(what, value)| {
        let (recorded, again) = (text(Some(value)), text(again.get(what)));
        (recorded != again).then(|| Difference { what: format!("evidence.{what}"), recorded, again })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::analysis::{Counts, Window};
    use crate::model::{AnalysisPolicy, ClusterSize, ErrorsMetric};

    fn window(errors: u64) -> Window {
        let counts = |requests, errors| Counts { requests, errors };
        Window {
            canary: counts(100, errors).into(),
            baseline: counts(900, 1).into(),
            proxies: 2,
            length: Duration::from_secs(1),
            ..Window::default()
        }
    }

    /// A version that fails, and the verdict on it.
    fn journal() -> Vec<Record> {
        let errors = ErrorsMetric { cluster_size: ClusterSize::Given(1.0), ..ErrorsMetric::default() };
        let policy = AnalysisPolicy { errors: Some(errors), ..AnalysisPolicy::default() };
        let mut judge = Judge::default();
        let mut records: Vec<Record> = [0, 1, 9, 40]
            .map(|errors| {
                let measurement = Box::new(judge.observe(&window(errors), &policy));
                Record::Measured { version: "v2".into(), measurement }
            })
            .into();
        let reason = judge.verdict(&policy).reason().to_owned();
        records.push(Record::Judged { verdict: "fail".into(), reason, explanation: None });
        records
    }

    fn play(records: &[Record]) -> Result<Replay, (u64, Difference)> {
        let mut replay = Replay::default();
        for (sequence, record) in (1..).zip(records) {
            replay.take(sequence, record).map_err(|difference| (sequence, difference))?;
        }
        Ok(replay)
    }

    #[test]
    fn the_same_again() {
        let replay = play(&journal()).expect("the same");
        assert_eq!((replay.measurements, replay.verdicts, replay.skipped, replay.from), (4, 1, 0, Some(1)));
        assert_eq!(replay.other_analysis, None);
    }

    #[test]
    fn without_its_beginning_nothing_can_be_judged_again() {
        let replay = play(&journal()[1..]).expect("nothing to compare");
        assert_eq!((replay.measurements, replay.verdicts, replay.skipped, replay.from), (0, 0, 3, None));
    }

    #[test]
    fn what_was_changed_is_found_where_it_was() {
        let mut counts = journal();
        let Record::Measured { measurement, .. } = &mut counts[2] else { panic!("a measurement") };
        measurement.window.baseline.requests -= 1;
        let (sequence, difference) = play(&counts).expect_err("it differs");
        assert_eq!((sequence, difference.what.as_str()), (3, "evidence.baseline_requests"));
        assert_eq!((difference.recorded.as_str(), difference.again.as_str()), ("2700", "2699"));

        let mut verdict = journal();
        verdict[4] = Record::Judged { verdict: "pass".into(), reason: "all is well".into(), explanation: None };
        let (sequence, difference) = play(&verdict).expect_err("it differs");
        assert_eq!((sequence, difference.what.as_str()), (5, "the verdict on v2"));
        assert!(
            difference.to_string().contains("pass (all is well) was recorded, and judged again it is fail (errors:")
        );
        // What ends with its time must not have failed.
        verdict[4] = Record::Judged {
            verdict: "pass".into(),
            reason: "nothing spoke against it in 30 s with all the traffic".into(),
            explanation: None,
        };
        assert_eq!(play(&verdict).expect_err("it differs").0, 5);
    }
}
