//! What counts as evidence, and how sure to be before acting on it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Cause;

/// What counts as evidence, and how sure to be before acting on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisPolicy {
    /// The accepted chances of being wrong.
    pub risk: Risk,
    /// The error-rate metric.
    pub errors: Option<ErrorsMetric>,
    /// The latency metric.
    #[serde(default)]
    pub latency: Option<LatencyMetric>,
    /// The ejection metric.
    pub ejections: Option<EjectionsMetric>,
    /// Metrics that others measure, each with a name of its own.
    #[serde(default)]
    pub measured: Vec<MeasuredMetric>,
    /// The version that the canary is compared with: endpoints of the old version that were started for it, and get as
    /// much traffic as the canary does (as far as there is enough). The stable version when absent.
    #[serde(default)]
    pub baseline: Option<String>,
    /// The share (0 to 1) of the proxies with the weight in force that may be silent. With more, what the others
    /// report is no data: nothing advances.
    #[serde(default = "silent_limit")]
    pub silent_limit: f64,
    /// What to do in an `analyze` step without evidence (nobody reports, or the canary has no requests).
    pub on_no_data: OnNoData,
    /// What to do when an `analyze` step ends without proof.
    pub on_inconclusive: OnInconclusive,
}

fn silent_limit() -> f64 {
    0.2
}

impl Default for AnalysisPolicy {
    /// What holds when nothing is written: errors and ejections, at a risk of 1 % and 5 %.
    fn default() -> Self {
        Self {
            risk: Risk { false_revert: 0.01, false_advance: 0.05 },
            errors: Some(ErrorsMetric::default()),
            latency: None,
            ejections: Some(EjectionsMetric::default()),
            measured: Vec::new(),
            baseline: None,
            silent_limit: silent_limit(),
            on_no_data: OnNoData::Hold,
            on_inconclusive: OnInconclusive::Pause,
        }
    }
}

impl AnalysisPolicy {
    /// The causes of failure that count as errors; all without an errors metric.
    pub fn causes(&self) -> BTreeSet<Cause> {
        self.errors.as_ref().map_or_else(Cause::all, |metric| metric.causes.clone())
    }

    /// Whether a deciding metric can prove a version good. Without one, an `analyze` step can only ask that nothing fails.
    pub fn can_prove(&self) -> bool {
        self.errors.as_ref().is_some_and(|metric| !metric.dry_run)
            || self.latency.as_ref().is_some_and(|metric| !metric.dry_run)
            || self.measured.iter().any(|metric| !metric.dry_run)
    }
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorsMetric {
    /// r0: up to this ratio of error rates the canary counts as good. At least 1.
    pub tolerate_ratio: f64,
    /// r1: from this ratio on it counts as bad. Greater than `tolerate_ratio`.
    pub reject_ratio: f64,
    /// An error rate below this share (0 to 1) is harmless whatever the ratio: what proves a canary whose baseline
    /// has no errors either.
    pub harmless_rate: f64,
    /// How many errors one cause makes at once.
    pub cluster_size: ClusterSize,
    /// The error rate (0 to 1) that the canary may not exceed, whatever the baseline does.
    #[serde(default)]
    pub max: Option<f64>,
    /// Which failures count.
    #[serde(default = "Cause::all")]
    pub causes: BTreeSet<Cause>,
    /// Shown, and decides nothing.
    #[serde(default)]
    pub dry_run: bool,
}

impl Default for ErrorsMetric {
    fn default() -> Self {
        Self {
            tolerate_ratio: 1.1,
            reject_ratio: 2.0,
            harmless_rate: 0.001,
            cluster_size: ClusterSize::Estimated,
            max: None,
            causes: Cause::all(),
            dry_run: false,
        }
    }
}

/// How many errors one cause makes at once (m): the evidence is tempered by 1/m.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClusterSize {
    /// So many, at least 1.
    Given(f64),
    /// As the spread of the errors over endpoints, proxies and time says.
    #[default]
    Estimated,
}

/// The canary's latency against the baseline's, as the callers saw it, by histograms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyMetric {
    /// r0: the odds of being slower than any bound may be this many times the baseline's. At least 1.
    pub tolerate_ratio: f64,
    /// r1: from this ratio of the odds on, at the bound that a tenth of the baseline's requests exceed, it counts as bad.
    /// Greater than `tolerate_ratio`.
    pub reject_ratio: f64,
    /// What the canary may not exceed, whatever the baseline does.
    #[serde(default)]
    pub max: Vec<QuantileLimit>,
    /// Shown, and decides nothing.
    #[serde(default)]
    pub dry_run: bool,
}

impl Default for LatencyMetric {
    fn default() -> Self {
        Self { tolerate_ratio: 1.05, reject_ratio: 2.0, max: Vec::new(), dry_run: false }
    }
}

/// A limit to one quantile of the durations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QuantileLimit {
    /// Which, in (0, 1): 0.99 is the 99th percentile.
    pub quantile: f64,
    /// The longest duration that it may be.
    pub limit: Duration,
}

/// Canary endpoints that the proxies took out of rotation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EjectionsMetric {
    /// Fails when the ejected share of the canary's endpoints exceeds the baseline's by more than this (0 to 1).
    pub max_excess: f64,
    /// Shown, and decides nothing.
    #[serde(default)]
    pub dry_run: bool,
}

impl Default for EjectionsMetric {
    fn default() -> Self {
        Self { max_excess: 0.2, dry_run: false }
    }
}

/// A number that somebody else measures, at an interval, and that has limits. That it could not be measured is neither
/// bad nor good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasuredMetric {
    /// What tells it from the others of its policy.
    pub name: String,
    /// Who is asked, and for what.
    pub source: MetricSource,
    /// The number may not be below.
    #[serde(default)]
    pub min: Option<f64>,
    /// The number may not exceed.
    #[serde(default)]
    pub max: Option<f64>,
    /// The time between two measurements.
    pub interval: Duration,
    /// The time after the canary's first traffic before the first one.
    pub initial_delay: Duration,
    /// The longest wait for an answer.
    pub timeout: Duration,
    /// How many measurements within the limits an `analyze` step takes to be left; at least 1.
    pub count: u32,
    /// How many measurements beyond a limit are let pass: one more fails.
    pub failure_limit: u32,
    /// How many measurements running may fail to be made: with one more the verdict is an error, until one is made.
    pub consecutive_error_limit: u32,
    /// Shown, and decides nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Who is asked for a number. In texts, `{{service}}`, `{{release}}`, `{{canary}}` and `{{baseline}}` (versions),
/// `{{canaryCluster}}` and `{{baselineCluster}}` (Envoy's cluster names) and `{{window}}` (the interval, as `60s`) are
/// filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MetricSource {
    /// An instant query of Prometheus's HTTP API, whose answer is one number.
    Prometheus {
        /// The server, as `http://prometheus:9090`; the one that `serin serve` was told of when absent.
        address: Option<String>,
        /// PromQL.
        query: String,
        /// The name of the secret with the value of the header `Authorization`, as `Bearer …` or `Basic …`.
        #[serde(default)]
        secret: Option<String>,
    },
    /// A POST of JSON to a URL that answers with JSON.
    Webhook {
        /// Where.
        url: String,
        /// Where in the answer the number is: names and indices, from the outside in. The answer itself when empty.
        path: Vec<String>,
        /// The name of the secret that it is signed with, as for hooks.
        secret: Option<String>,
    },
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
