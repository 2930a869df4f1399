//! PURE: judging what a journal holds by another policy: what it would have said, and when.
//!
//! The counts are those that the policy of then has made: a release that would have gone on sooner would have had other
//! traffic from there on. So what is said after the first difference is about the traffic as it was.

use std::collections::{BTreeMap, BTreeSet};

use super::Record;
use crate::analysis::{Judge, Mark, Measurement, Verdict};
use crate::model::AnalysisPolicy;

/// Judges a journal by another policy, entry by entry.
#[derive(Debug)]
pub struct Rehearsal {
    policy: AnalysisPolicy,
    judges: BTreeMap<String, Judged>,
    /// The version that was measured last.
    newest: String,
    /// Whether the step looks for proof.
    analyzing: bool,
    /// Whether a step was begun since the newest window.
    begun: bool,
    /// How many measurements were judged.
    pub measurements: usize,
    /// How many were not: the beginning is not in the journal.
    pub skipped: usize,
    /// What came to be, by this policy and as it was.
    pub tallies: [Tally; 2],
}

/// How often it came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Steps that were passed.
    pub passes: usize,
    /// Versions that failed.
    pub failures: usize,
}

/// A version's judge, and what it has decided.
#[derive(Debug, Default)]
struct Judged {
    judge: Judge,
    has_failed: bool,
    /// In this step.
    has_passed: bool,
}

/// The metrics of a policy that others measure, and of which a journal has no number.
pub fn unmeasured<'p>(policy: &'p AnalysisPolicy, records: &[Record]) -> Vec<&'p str> {
    let readings = records.iter().flat_map(|record| match record {
        Record::Measured { measurement, .. } => measurement.window.readings.as_slice(),
        _ => &[],
    });
    let known: BTreeSet<&str> = readings.map(|reading| reading.metric.as_str()).collect();
    policy.measured.iter().map(|metric| metric.name.as_str()).filter(|name| !known.contains(name)).collect()
}

impl Rehearsal {
    /// By this policy.
    pub fn new(policy: AnalysisPolicy) -> Self {
        Self {
            policy,
            judges: BTreeMap::new(),
            newest: String::new(),
            analyzing: false,
            begun: false,
            measurements: 0,
            skipped: 0,
            tallies: <[Tally; 2]>::default(),
        }
    }

    /// Takes in an entry. What is to be told of it: whose verdict it is, which, and why, a line each.
    pub fn take(&mut self, record: &Record) -> Vec<String> {
        match record {
            Record::Started { to, .. } => {
                self.judges.remove(to);
            }
            Record::StepBegun { what, .. } => {
                self.begun = true;
                self.analyzing = ["analyze", "auto"].iter().any(|word| what.starts_with(word));
            }
            Record::Measured { version, measurement } => {
                return self.measure(version, measurement).into_iter().collect();
            }
            Record::Judged { verdict, reason, .. } => return self.judged(verdict, reason),
            // Whoever waits for a person looks for no proof any more.
            Record::Waiting { .. } => self.analyzing = false,
            _ => {}
        }
        Vec::new()
    }

    fn measure(&mut self, version: &str, measurement: &Measurement) -> Option<String> {
        self.newest = version.to_owned();
        if measurement.is_beginning() {
            self.judges.entry(version.to_owned()).or_default();
        }
        let begun = std::mem::take(&mut self.begun);
        let Some(one) = self.judges.get_mut(version) else {
            self.skipped += 1;
            return None;
        };
        for mark in &measurement.marks {
            match mark {
                Mark::Step => one.begin_step(),
                // It took the place of the marks before it.
                Mark::State(_) if begun => one.begin_step(),
                Mark::Watch { .. } => one.judge.begin_watch(&self.policy),
                Mark::Holdback { ticks } => one.judge.begin_holdback(std::time::Duration::from_secs(*ticks)),
                Mark::EndWatch => one.judge.end_watch(),
                Mark::State(_) | Mark::Policy(_) | Mark::Analysis(_) => {}
            }
        }
        one.judge.observe(&measurement.window, &self.policy);
        self.measurements += 1;
        if one.has_failed {
            return None;
        }
        let tally = &mut self.tallies[0];
        match one.judge.verdict(&self.policy) {
            Verdict::Fail { reason, .. } => {
                one.has_failed = true;
                tally.failures += 1;
                Some(format!("{version}: by this policy: fail: {reason}"))
            }
            Verdict::Pass { reason } if self.analyzing && !one.has_passed => {
                one.has_passed = true;
                tally.passes += 1;
                Some(format!("{version}: by this policy: pass: {reason}"))
            }
            _ => None,
        }
    }

    /// A verdict of then, and what stands by this policy where it has decided nothing.
    fn judged(&mut self, verdict: &str, reason: &str) -> Vec<String> {
        let version = &self.newest;
        let tally = &mut self.tallies[1];
        match verdict {
            "pass" => tally.passes += 1,
            "fail" => tally.failures += 1,
            _ => {}
        }
        let mut said = vec![format!("{version}: as it was: {verdict}: {reason}")];
        let Some(one) = self.judges.get(version).filter(|one| !one.has_failed) else { return said };
        // A step that was passed may be long over when a version fails.
        let stands = if verdict == "fail" { "no revert" } else { "undecided" };
        if verdict == "fail" || !one.has_passed {
            let reason = one.judge.verdict(&self.policy).reason().to_owned();
            said.push(format!("{version}: by this policy: {stands}: {reason}"));
        }
        said
    }
}

impl Judged {
    fn begin_step(&mut self) {
        self.judge.begin_step();
        self.has_passed = false;
    }
}
