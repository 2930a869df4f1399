//! What a judge took in, as it is kept: all that is needed to judge it again.
//!
//! PURE. Invariant: a judge that takes in the same measurements in the same order comes to the same evidence, bit for bit.
//! So whatever changes a judge is a mark or a window. The oldest measurements may be gone: every so often a mark holds
//! the judge as it was, and judging again may begin there.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Evidence, Judge, Window};
use crate::model::AnalysisPolicy;

/// Which way of judging this is. Another number, whenever the same counts may come to other evidence than before: what
/// another one judged may come out otherwise, and nothing is wrong with that.
pub const ANALYSIS: u32 = 1;

/// After how many windows a judge is kept whole again.
const KEPT_EVERY: u64 = 1_000;

/// One window with what it came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What happened to the judge since the window before, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// The counts.
    pub window: Window,
    /// What they came to, with everything before them.
    pub evidence: Evidence,
}

/// What happens to a judge between two windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::large_enum_variant, reason = "there are few")]
pub enum Mark {
    /// It is at the beginning, or as it was at this moment: judging again may start here.
    State(Box<Judge>),
    /// It is judged in this way from now on: [`ANALYSIS`].
    Analysis(u32),
    /// This is asked from now on.
    Policy(AnalysisPolicy),
    /// An `analyze` step was begun.
    Step,
    /// The canary was given all the traffic, and is watched for a higher error rate than this.
    Watch {
        /// The highest that is as good as the predecessor's.
        ceiling: f64,
    },
    /// It was given all but what is held back for its predecessor, to be looked at for so many windows.
    Holdback {
        /// How many.
        ticks: u64,
    },
    /// It has not all the traffic any more, or nothing is held back any more.
    EndWatch,
}

impl Measurement {
    /// Whether judging again may begin with it.
    pub fn is_beginning(&self) -> bool {
        self.marks.iter().any(|mark| matches!(mark, Mark::State(_)))
    }
}

impl Judge {
    /// Judges again what was judged: the same evidence, bit for bit, if this judge is as that one was before it.
    pub fn replay(&mut self, measurement: &Measurement) -> Evidence {
        for mark in &measurement.marks {
            match mark {
                Mark::State(judge) => *self = (**judge).clone(),
                Mark::Analysis(analysis) => self.analysis = *analysis,
                Mark::Policy(policy) => self.ask(policy),
                Mark::Step => self.begin_step(),
                Mark::Watch { ceiling } => self.errors.begin_watch(*ceiling),
                // A window is a second.
                Mark::Holdback { ticks } => self.begin_holdback(Duration::from_secs(*ticks)),
                Mark::EndWatch => self.end_watch(),
            }
        }
        self.marks.clear();
        let policy = self.policy();
        self.take_in(&measurement.window, &policy);
        self.evidence(&policy)
    }

    /// What was asked with the newest window; the default before the first.
    pub fn policy(&self) -> AnalysisPolicy {
        self.asked.clone().unwrap_or_default()
    }

    /// How many windows it has taken in.
    pub fn windows(&self) -> u64 {
        self.windows
    }

    /// The [`ANALYSIS`] by which it has judged; 0 before its first window.
    pub fn analysis(&self) -> u32 {
        self.analysis
    }

    /// What goes with the next window, and with the first and every so many the judge itself, as it is before it.
    pub(super) fn take_marks(&mut self) -> Vec<Mark> {
        if self.analysis != ANALYSIS {
            self.analysis = ANALYSIS;
            self.marks.push(Mark::Analysis(ANALYSIS));
        }
        let mut marks = std::mem::take(&mut self.marks);
        if self.windows.is_multiple_of(KEPT_EVERY) {
            // It holds what the marks before it did.
            marks = vec![Mark::State(Box::new(self.clone()))];
        }
        marks
    }
}

#[cfg(test)]
mod tests;
