//! What should be live, and how to get there.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AnalysisPolicy, DenyWindow, Sink, Strategy, Weight};

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
    /// How the way back goes.
    #[serde(default)]
    pub rollback: Rollback,
    /// Held by its author: no step is taken while true.
    pub paused: bool,
    /// Where first, by the region of the proxies' locality: each wave takes all the steps before the next. Everywhere
    /// at once when empty.
    #[serde(default)]
    pub regions: Vec<Wave>,
    /// When no step is taken. A way back is never denied.
    #[serde(default)]
    pub windows: Vec<DenyWindow>,
    /// Releases, by name, that must be at rest with what they want before this one begins.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Releases with the same word here are one: all are promoted, or all go back.
    #[serde(default)]
    pub together: Option<String>,
    /// How long one step may take of the time that nobody held it.
    #[serde(default)]
    pub progress_deadline: Option<ProgressDeadline>,
    /// Candidates that are tried side by side while the live version stays.
    #[serde(default)]
    pub experiment: Option<Experiment>,
    /// Who is told.
    #[serde(default)]
    pub notify: Vec<Sink>,
}

impl Release {
    /// A release that holds nothing back and tells nobody.
    pub fn new(
        name: impl Into<String>,
        service: impl Into<String>,
        version: impl Into<String>,
        strategy: Strategy,
        analysis: AnalysisPolicy,
    ) -> Self {
        Self {
            name: name.into(),
            service: service.into(),
            version: version.into(),
            strategy,
            analysis,
            auto_rollback: true,
            on_rejected: OnRejected::default(),
            rollback: Rollback::default(),
            paused: false,
            regions: Vec::new(),
            windows: Vec::new(),
            depends_on: Vec::new(),
            together: None,
            progress_deadline: None,
            experiment: None,
            notify: Vec::new(),
        }
    }
}

/// Some regions of the proxies' locality.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wave {
    /// These.
    Regions(Vec<String>),
    /// All that are left. Always the last wave.
    All,
}

/// How the way back goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rollback {
    /// Among how many of the former stable versions, the newest first, one returns without steps; at least 1.
    pub window: usize,
    /// The time over which traffic returns, so that what it returns to is not flooded; at once when absent.
    pub over: Option<Duration>,
    /// Whether, and how often, what failed is tried again by itself.
    pub retry: Option<RetryPolicy>,
}

impl Default for Rollback {
    fn default() -> Self {
        Self { window: 1, over: None, retry: None }
    }
}

/// How a version that was reverted by its evidence is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// How many times.
    pub limit: u32,
    /// The time before the first further try; each next one waits twice as long.
    pub backoff: Duration,
}

/// How long one step may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressDeadline {
    /// Of time that nobody held the release, and no pause or analysis of the spec's own took.
    pub after: Duration,
    /// What is done then.
    pub action: OnDeadline,
}

/// What a release does that makes no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDeadline {
    /// Says so, and waits.
    #[default]
    Hold,
    /// Goes back to the stable version.
    Revert,
}

/// Several versions side by side with the live one, without a promotion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Experiment {
    /// What tells it from others: another name is another experiment.
    pub name: String,
    /// The versions that are tried, each with its share.
    pub candidates: Vec<Candidate>,
    /// For how long, in attended time.
    pub duration: Duration,
}

/// A version that is tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The version.
    pub version: String,
    /// Its share.
    pub weight: Weight,
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
