//! PURE: what others are to measure of a release now, and what they answered.
//!
//! Measurements are derived from the state ([`Rollout::measurements`]), like calls and the traffic: a shell sees to it
//! that exactly those are going on. They go on as long as a version that is judged has traffic, in pauses and held, too:
//! the guard stands in every step.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Observation, Progress, Rollout, Stage, State};
use crate::analysis::Outcome;
use crate::model::{AnalysisPolicy, MeasuredMetric, MetricSource, Release, Weight, fill_in};
use crate::translate::cluster_name;

/// Something to measure, again and again. Two that are equal are the same measurement going on.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasureRequest {
    /// What tells it from the others of its release: which rollout, version and metric it is for.
    pub key: String,
    /// What it is about.
    pub about: MeasureAbout,
    /// Who is asked, and for what, with everything filled in.
    pub source: MetricSource,
    /// The time between two measurements.
    pub interval: Duration,
    /// The longest wait for an answer.
    pub timeout: Duration,
}

/// What a measurement is about: the JSON body of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeasureAbout {
    /// The release.
    pub release: String,
    /// The service that it releases.
    pub service: String,
    /// The version that is judged.
    pub canary: String,
    /// The version that it is compared with.
    pub baseline: String,
    /// The metric's name.
    pub metric: String,
    /// Over how long it is measured: the interval, as `60s`.
    pub window: String,
}

/// What came of one measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Of which.
    pub request: MeasureRequest,
    /// What was measured, or why nothing was.
    pub outcome: Outcome,
}

impl Progress {
    /// Whether the canary gets requests: a share, or chosen or copied ones.
    pub(super) fn has_traffic(&self) -> bool {
        let is_sent = self.weight > Weight::ZERO || self.mirror > Weight::ZERO || !self.rules.is_empty();
        self.stage != Stage::Preparing && (is_sent || self.judges_preview)
    }

    /// Counts the time that it has traffic, up to the longest initial delay.
    pub(super) fn expose(&mut self, policy: &AnalysisPolicy, seen: &Observation) {
        let Some(longest) = policy.measured.iter().map(|metric| metric.initial_delay).max() else { return };
        let (begun, waits) = (!self.exposed.is_zero(), self.exposed < longest);
        if self.has_traffic() && if begun { waits } else { seen.fleet.is_settled() } {
            self.exposed += seen.elapsed;
        }
    }
}

impl Rollout {
    /// What others are to measure now, as the release asks for it.
    pub fn measurements(&self, release: &Release) -> Vec<MeasureRequest> {
        let metrics = &release.analysis.measured;
        // Each version with the time for which it has had traffic.
        let versions: Vec<(&str, Duration)> = match &self.state {
            _ if metrics.is_empty() => Vec::new(),
            State::Progressing(progress) if progress.has_traffic() => vec![(&progress.canary, progress.exposed)],
            State::Experimenting(trial) if trial.ready => {
                let running = trial.arms.iter().filter(|arm| arm.stopped.is_none());
                running.map(|arm| (arm.version.as_str(), trial.spent)).collect()
            }
            State::Progressing(_)
            | State::Experimenting(_)
            | State::Healthy
            | State::Promoting { .. }
            | State::Retiring(_)
            | State::Reverting(_)
            | State::Reverted { .. } => Vec::new(),
        };
        let is_due =
            |metric: &&MeasuredMetric, exposed: Duration| !exposed.is_zero() && exposed >= metric.initial_delay;
        let of_version = |(version, exposed)| {
            metrics
                .iter()
                .filter(move |metric| is_due(metric, exposed))
                .map(move |metric| self.measurement(metric, version))
        };
        versions.into_iter().flat_map(of_version).collect()
    }

    fn measurement(&self, metric: &MeasuredMetric, canary: &str) -> MeasureRequest {
        let about = MeasureAbout {
            release: self.release.clone(),
            service: self.service.clone(),
            canary: canary.to_owned(),
            baseline: self.baseline().to_owned(),
            metric: metric.name.clone(),
            window: window(metric.interval),
        };
        let key = format!("{}/{}/{canary}", self.key_prefix(), metric.name);
        let source = about.filled_in(&metric.source);
        MeasureRequest { key, about, source, interval: metric.interval, timeout: metric.timeout }
    }
}

impl MeasureAbout {
    fn filled_in(&self, source: &MetricSource) -> MetricSource {
        let clusters = [&self.canary, &self.baseline].map(|version| cluster_name(&self.service, version));
        let value = |name: &str| match name {
            "service" => Some(&*self.service),
            "release" => Some(&*self.release),
            "canary" => Some(&*self.canary),
            "baseline" => Some(&*self.baseline),
            "canaryCluster" => Some(&*clusters[0]),
            "baselineCluster" => Some(&*clusters[1]),
            "window" => Some(&*self.window),
            _ => None,
        };
        match source {
            MetricSource::Prometheus { address, query, secret } => MetricSource::Prometheus {
                address: address.as_deref().map(|address| fill_in(address, value)),
                query: fill_in(query, value),
                secret: secret.clone(),
            },
            MetricSource::Webhook { url, path, secret } => MetricSource::Webhook {
                url: fill_in(url, value),
                path: path.iter().map(|step| fill_in(step, value)).collect(),
                secret: secret.clone(),
            },
        }
    }
}

/// A length of time as Prometheus reads it.
fn window(interval: Duration) -> String {
    match interval.subsec_millis() {
        0 => format!("{}s", interval.as_secs().max(1)),
        _ => format!("{}ms", interval.as_millis()),
    }
}

#[cfg(test)]
mod tests;
