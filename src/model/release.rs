//! What should be live, and how to get there.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Weight;

/// What should be live for a service, and how to get there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// `metadata.name`, unique among releases.
    pub name: String,
    /// The service it releases. A service has at most one release.
    pub service: String,
    /// The version that should be live.
    pub version: String,
    /// How to get there.
    pub strategy: Strategy,
    /// What counts as evidence, and how sure to be.
    pub analysis: AnalysisPolicy,
    /// Whether failing evidence reverts by itself (`rollback.auto`). When false it pauses instead.
    pub auto_rollback: bool,
    /// What to do when a proxy rejects what this release needs.
    #[serde(default)]
    pub on_rejected: OnRejected,
    /// Held by its author: no step is taken while true.
    pub paused: bool,
}

/// How the live version is replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Strategy {
    /// A growing share of the traffic, in steps. After the last step the version gets all of it.
    Canary {
        /// Carried out in order; weights never fall.
        steps: Vec<Step>,
    },
}

impl Strategy {
    /// The steps of the strategy, in order.
    pub fn steps(&self) -> &[Step] {
        match self {
            Strategy::Canary { steps } => steps,
        }
    }
}

/// One step of a canary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Gives the canary this share, and goes on when the fleet has acknowledged it.
    SetWeight(Weight),
    /// Waits for the duration (of time in which the control plane watched), or until promoted when `None`.
    Pause(Option<Duration>),
    /// Goes on as soon as the canary is proven good enough; `max` is when it gives up and is inconclusive.
    Analyze {
        /// The longest time to look.
        max: Duration,
    },
}

/// What counts as evidence, and how sure to be before acting on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisPolicy {
    /// The accepted chances of being wrong.
    pub risk: Risk,
    /// The error-rate metric; judged by test T1.
    pub errors: Option<ErrorsMetric>,
    /// The ejection metric.
    pub ejections: Option<EjectionsMetric>,
    /// What to do in an `analyze` step without evidence (nobody reports, or the canary has no requests).
    pub on_no_data: OnNoData,
    /// What to do when an `analyze` step ends without proof.
    pub on_inconclusive: OnInconclusive,
}

/// The accepted chances of being wrong, each in (0, 1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Risk {
    /// alpha: the chance that a release as good as its baseline is ever reverted.
    pub false_revert: f64,
    /// beta: the chance that one at least `reject_ratio` times worse is ever advanced.
    pub false_advance: f64,
}

/// The canary's error rate against the baseline's, both as the caller saw them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ErrorsMetric {
    /// r0: up to this ratio of error rates the canary counts as good. At least 1.
    pub tolerate_ratio: f64,
    /// r1: from this ratio on it counts as bad. Greater than `tolerate_ratio`.
    pub reject_ratio: f64,
    /// An error rate below this share (0 to 1) is harmless whatever the ratio: what proves a canary whose baseline
    /// has no errors either.
    pub harmless_rate: f64,
    /// How many errors one cause is expected to make at once (m, at least 1): the evidence is tempered by 1/m.
    pub cluster_size: f64,
}

/// Canary endpoints that the proxies took out of rotation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EjectionsMetric {
    /// Fails when the ejected share of the canary's endpoints exceeds the baseline's by more than this (0 to 1).
    pub max_excess: f64,
}

/// What an `analyze` step does without evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnNoData {
    /// Stays where it is; the step's clock stands still.
    Hold,
    /// Goes back to the stable version.
    Revert,
}

/// What an `analyze` step does when its time is over without proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnInconclusive {
    /// Waits for a person.
    Pause,
    /// Goes back to the stable version.
    Revert,
    /// Takes the next step all the same.
    Advance,
}

/// What a release does when a proxy rejects a resource that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRejected {
    /// Stays where it is, until the specs are mended or the resource is taken after all. The last good one serves, so
    /// nobody is hurt by waiting, and a rejection is often the trouble of one proxy and not of the version.
    #[default]
    Hold,
    /// Goes back to the stable version.
    Revert,
}

impl fmt::Display for Step {
    /// As in the spec: `setWeight 5%`, `pause 10m`, `pause until promoted`, `analyze at most 10m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::SetWeight(weight) => write!(f, "setWeight {weight}"),
            Step::Pause(Some(duration)) => write!(f, "pause {}", Friendly(*duration)),
            Step::Pause(None) => f.write_str("pause until promoted"),
            Step::Analyze { max } => write!(f, "analyze at most {}", Friendly(*max)),
        }
    }
}

struct Friendly(Duration);

impl fmt::Display for Friendly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printer = jiff::fmt::friendly::SpanPrinter::new();
        match printer.unsigned_duration_to_string(&self.0) {
            text if text.is_empty() => f.write_str("0s"),
            text => f.write_str(&text),
        }
    }
}
