//! From counts to verdicts, with a stated chance of being wrong.
//!
//! PURE. Owns the tests that may be looked at after every report and stopped at any time, and still keep their promise
//! (e-processes; Ville's inequality), and the [`Judge`] that runs them for one rollout. Must not know Envoy, telemetry,
//! rollouts, clocks or any runtime: the caller says which proxies count, by what it puts into a [`Window`].
//!
//! Invariants: no number ever is NaN or infinite to the outside; missing data are never a pass; a judge that was
//! stored and read back goes on bit for bit.

pub mod absolute;
mod ejections;
pub mod evidence;
mod judge;
pub mod ratio;
pub mod watch;
mod words;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use evidence::LogE;
pub use judge::{Judge, NO_DATA_AFTER};
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

/// One tick: canary and baseline side by side, over the same time and on the same proxies.
///
/// The caller has already left out every proxy that did not have the step's weight in force for the whole window, and
/// all requests that were not shared out at random (those that a header or an address sent to the canary).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Window {
    /// The canary's requests.
    pub canary: Counts,
    /// The baseline's.
    pub baseline: Counts,
    /// Canary endpoints that are out of rotation: a gauge, summed over the counted proxies.
    pub canary_ejected: u64,
    /// Canary endpoints that exist, summed likewise; 0 when nobody tells.
    pub canary_endpoints: u64,
    /// Baseline endpoints that are out of rotation.
    pub baseline_ejected: u64,
    /// Baseline endpoints that exist.
    pub baseline_endpoints: u64,
    /// How many proxies were counted. With none, the window is without data whatever the counts say.
    pub proxies: usize,
    /// How long it was.
    pub length: Duration,
}

impl Window {
    /// Whether it says anything about how the canary answers.
    pub fn has_data(&self) -> bool {
        self.proxies > 0 && self.canary.requests > 0
    }
}

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// The error rate.
    Errors,
    /// Endpoints out of rotation.
    Ejections,
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
    /// Nothing to judge by: no request to the canary in this step yet, or none for [`NO_DATA_AFTER`]. Never a pass.
    NoData {
        /// What is missing.
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
            | Verdict::NoData { reason } => reason,
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
    /// The e-value against "at most `tolerate_ratio` times the baseline's error rate", over the whole rollout.
    pub revert_evidence: f64,
    /// 1 / alpha.
    pub revert_bound: f64,
    /// The e-value against "bad" (see [`absolute`]) in this step.
    pub advance_evidence: f64,
    /// 1 / beta.
    pub advance_bound: f64,
    /// How many proxies were counted in the newest window.
    pub proxies: usize,
    /// For how long evidence has been collected: the windows that had data, together.
    pub observed: Duration,
    /// The verdict in words.
    pub verdict: String,
}
