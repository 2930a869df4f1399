//! From counts to verdicts, with a stated chance of being wrong.
//!
//! PURE. Owns the tests that may be looked at after every report and stopped at any time, and still keep their promise
//! (e-processes; Ville's inequality), and the [`Judge`] that runs them for one rollout. Must not know Envoy, telemetry,
//! rollouts, clocks or any runtime: the caller says which proxies count, by what it puts into a [`Window`].
//!
//! Invariants: no number ever is NaN or infinite to the outside; missing data are never a pass; a judge that was
//! stored and read back goes on bit for bit.

pub mod absolute;
mod clusters;
pub mod detector;
mod ejections;
mod errors;
pub mod evidence;
mod explain;
mod histogram;
mod holdback;
mod judge;
mod latency;
mod measurement;
pub mod pace;
mod parts;
mod place;
mod proof;
#[cfg(test)]
mod random;
pub mod ratio;
mod reading;
mod spread;
pub mod watch;
mod words;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Cause, Failures, Histogram};

pub use clusters::Size;
pub use detector::Detector;
pub use evidence::LogE;
pub use explain::{Compared, Explanation};
pub use judge::{Judge, NO_DATA_AFTER};
pub use measurement::{ANALYSIS, Mark, Measurement};
pub use place::{Finding, Place, PlaceCounts, PlaceKind, Places};
pub use reading::{Outcome, Reading};
pub use spread::{Spread, Spreads};
pub use words::e_value;

/// Requests and how many of them failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that ended.
    pub requests: u64,
    /// How many of them failed; more than `requests` counts as all of them.
    pub errors: u64,
}

impl Counts {
    /// The same with no more errors than requests.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self { errors: self.errors.min(self.requests), ..self }
    }

    /// The sum, which stops at the largest number there is.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            errors: self.errors.saturating_add(other.errors),
        }
    }

    /// The share of the requests that failed, 0 to 1; 0 without requests.
    pub fn error_rate(self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.clamped().errors as f64 / self.requests as f64 }
    }
}

/// One version's part of a window.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Arm {
    /// Requests that ended.
    pub requests: u64,
    /// How many of them failed, by cause.
    pub failures: Failures,
    /// Their durations, when they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Histogram>,
    /// How the failures are spread over proxies, and over endpoints.
    pub spread: Spread,
    /// Endpoints that are out of rotation: a gauge, summed over the counted proxies.
    pub ejected: u64,
    /// Endpoints that exist, summed likewise; 0 when nobody tells.
    pub endpoints: u64,
}

impl Arm {
    /// Requests, with those failures that count.
    pub fn counts(&self, causes: &BTreeSet<Cause>) -> Counts {
        Counts { requests: self.requests, errors: self.failures.counted(causes) }.clamped()
    }
}

impl From<Counts> for Arm {
    /// Failures of which nobody tells more than that the version answered so.
    fn from(counts: Counts) -> Self {
        let failures = Failures::of(Cause::Answer, counts.errors);
        Self { requests: counts.requests, failures, ..Self::default() }
    }
}

/// One tick: canary and baseline side by side, over the same time and on the same proxies.
///
/// The caller has already left out every proxy that did not have the step's weight in force for the whole window, and
/// all requests that were not shared out at random (those that a header or an address sent to the canary).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Window {
    /// The canary.
    pub canary: Arm,
    /// What it is compared with.
    pub baseline: Arm,
    /// How many proxies were counted. With none, the window is without data whatever the counts say.
    pub proxies: usize,
    /// How many others have the weight in force as well, are connected, and have not reported for a while.
    pub silent: usize,
    /// How long it was.
    pub length: Duration,
    /// The same counts by place, of those places that are followed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<PlaceCounts>,
    /// What others have measured since the window before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Reading>,
}

impl Window {
    /// Whether it says anything about how the canary answers.
    pub fn has_data(&self) -> bool {
        self.proxies > 0 && self.canary.requests > 0
    }

    /// Whether it holds nothing but what others have measured: it says nothing of what the proxies report.
    pub fn is_readings_only(&self) -> bool {
        !self.readings.is_empty() && self.proxies == 0 && self.silent == 0 && self.length.is_zero()
    }

    /// The share of the proxies that should have reported and did not; 0 when there are none.
    pub fn silent_share(&self) -> f64 {
        let all = self.proxies.saturating_add(self.silent);
        if all == 0 { 0.0 } else { self.silent as f64 / all as f64 }
    }
}

/// What is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// The error rate.
    Errors,
    /// The durations.
    Latency,
    /// Endpoints out of rotation.
    Ejections,
    /// A number that somebody else measures, by its name.
    Measured(String),
}

/// What the evidence so far allows to do. Each reason is one plain sentence with its counts, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Proven worse than tolerated: revert.
    Fail {
        /// By what.
        metric: Metric,
        /// Why.
        reason: String,
    },
    /// Proven good enough: the `analyze` step may be left.
    Pass {
        /// Why.
        reason: String,
    },
    /// Neither is proven yet.
    Undecided {
        /// How far it is.
        reason: String,
    },
    /// Nothing to judge by: no request to the canary in this step yet, none for [`NO_DATA_AFTER`], or too many proxies
    /// are silent. Never a pass.
    NoData {
        /// What is missing.
        reason: String,
    },
    /// Something that is to be measured could not be, too often running. Never a pass, and no failure.
    Error {
        /// What, and in which words.
        reason: String,
    },
}

impl Verdict {
    /// The sentence for people.
    pub fn reason(&self) -> &str {
        match self {
            Verdict::Fail { reason, metric: _ }
            | Verdict::Pass { reason }
            | Verdict::Undecided { reason }
            | Verdict::NoData { reason }
            | Verdict::Error { reason } => reason,
        }
    }
}

/// What the judgement stands on, for display.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The canary's requests in this rollout.
    pub canary_requests: u64,
    /// How many of them failed.
    pub canary_errors: u64,
    /// The baseline's, in the same windows on the same proxies.
    pub baseline_requests: u64,
    /// How many of them failed.
    pub baseline_errors: u64,
    /// The e-value of all deciding tests against "no worse than tolerated" together, over the whole rollout.
    pub revert_evidence: f64,
    /// 1 / alpha.
    pub revert_bound: f64,
    /// The e-value against "bad" (for errors by ratio or by rate) in this step: the smallest of the deciding metrics'.
    pub advance_evidence: f64,
    /// 1 / beta.
    pub advance_bound: f64,
    /// How many proxies were counted in the newest window.
    pub proxies: usize,
    /// How many others were silent.
    #[serde(default)]
    pub silent: usize,
    /// How many errors one cause is taken to make at once, given or estimated.
    #[serde(default)]
    pub cluster_size: f64,
    /// Each metric for itself, also those that decide nothing.
    #[serde(default)]
    pub metrics: Vec<MetricEvidence>,
    /// For how long evidence has been collected: the windows that had data, together.
    pub observed: Duration,
    /// The verdict in words.
    pub verdict: String,
}

/// How one metric stands, for display.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricEvidence {
    /// Which.
    pub metric: Metric,
    /// Whether it decides nothing (`dryRun`).
    pub dry_run: bool,
    /// What it says by itself.
    pub standing: Standing,
    /// What was compared, with counts, rates and evidence, in a sentence.
    pub said: String,
}

/// What one metric says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// Worse than tolerated.
    Fail,
    /// Good enough.
    Pass,
    /// Neither yet.
    Undecided,
    /// Nothing to judge by.
    NoData,
    /// It could not be measured.
    Error,
}
