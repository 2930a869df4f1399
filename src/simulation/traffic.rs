//! What is asked of a service, and what is usual there: the surroundings of a release, which both versions share.

use serde::Serialize;

use super::durations::{Chances, Law};

/// Seconds of a day.
const DAY: f64 = 86_400.0;
/// No burst makes more than this share fail.
const HIGHEST: f64 = 0.9;

/// Requests and the errors of a version that is as good as ever. Times in seconds, shares from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Requests per second on average, of both versions.
    pub rps: f64,
    /// By which part the number of requests is higher by day and lower by night; 0 is steady.
    pub daily: f64,
    /// How many proxies share them, at least 1.
    pub proxies: usize,
    /// How many endpoints each version has, at least 1.
    pub endpoints: usize,
    /// The share that fails.
    pub errors: f64,
    /// How many times that it has become after `drift_over`.
    pub drift: f64,
    /// The time of the drift.
    pub drift_over: f64,
    /// The mean time between bursts of errors that hit both versions; 0 for none.
    pub bursts: f64,
    /// How many times as many fail in a burst.
    pub burst_factor: f64,
    /// How long a burst is.
    pub burst_length: f64,
    /// How many errors one cause makes at once, on one version and at one proxy and endpoint; at least 1.
    pub groups: f64,
    /// The mean time between two restarts of one endpoint, of either version; 0 for none.
    pub restarts: f64,
    /// How long a restart is felt.
    pub restart_length: f64,
    /// The share that fails meanwhile of what the endpoint gets.
    pub restart_errors: f64,
    /// The median of the durations, in milliseconds.
    pub latency: f64,
    /// The standard deviation of their logarithm.
    pub sigma: f64,
    /// What was measured, second by second, over and over: it takes the place of `rps`, `daily`, `errors` and `drift`, and where
    /// durations were measured, of `latency`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<Recorded>,
}

/// One second that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recorded {
    /// Requests to both versions.
    pub requests: u64,
    /// The share of the baseline's that failed.
    pub errors: f64,
    /// How the baseline's durations were spread over the buckets.
    pub durations: Option<Chances>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            rps: 100.0,
            daily: 0.0,
            proxies: 4,
            endpoints: 4,
            errors: 0.005,
            drift: 1.0,
            drift_over: 1800.0,
            bursts: 0.0,
            burst_factor: 10.0,
            burst_length: 10.0,
            groups: 1.0,
            restarts: 0.0,
            restart_length: 2.0,
            restart_errors: 0.5,
            latency: 50.0,
            sigma: 0.7,
            recorded: Vec::new(),
        }
    }
}

impl Traffic {
    /// What was measured at this second.
    pub fn recorded_at(&self, second: u64) -> Option<&Recorded> {
        let length = self.recorded.len();
        (length > 0).then(|| &self.recorded[(second % length as u64) as usize])
    }

    /// The mean number of requests at this second, of both versions.
    pub fn rate(&self, second: u64) -> f64 {
        self.rps * (1.0 + self.daily * (second as f64 * std::f64::consts::TAU / DAY).sin())
    }

    /// The share that fails at this second, in a burst or not.
    pub fn error_rate(&self, second: u64, in_burst: bool) -> f64 {
        let usual = match self.recorded_at(second) {
            Some(recorded) => recorded.errors,
            None => {
                let part = if self.drift_over > 0.0 { (second as f64 / self.drift_over).min(1.0) } else { 1.0 };
                self.errors * (1.0 + (self.drift - 1.0) * part)
            }
        };
        let rate = if in_burst { usual * self.burst_factor } else { usual };
        rate.clamp(0.0, HIGHEST.max(usual).min(1.0))
    }

    /// The law of the usual durations.
    pub fn law(&self) -> Law {
        Law { median: self.latency, sigma: self.sigma, factor: 1.0, plus: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_and_the_drift() {
        let traffic = Traffic { daily: 0.5, drift: 3.0, ..Traffic::default() };
        assert!((traffic.rate(21_600) - 150.0).abs() < 1e-9 && (traffic.rate(64_800) - 50.0).abs() < 1e-9);
        assert!((traffic.error_rate(0, false) - 0.005).abs() < 1e-12);
        assert!((traffic.error_rate(900, false) - 0.01).abs() < 1e-12);
        assert!((traffic.error_rate(9_000, false) - 0.015).abs() < 1e-12);
        assert!((traffic.error_rate(9_000, true) - 0.15).abs() < 1e-12);
        assert_eq!(Traffic { errors: 0.5, ..Traffic::default() }.error_rate(0, true), HIGHEST);
    }

    #[test]
    fn what_was_recorded_comes_again_and_again() {
        let second = |requests| Recorded { requests, errors: 0.0, durations: None };
        let traffic = Traffic { recorded: vec![second(1), second(2)], ..Traffic::default() };
        let requests: Vec<u64> = (0..4).filter_map(|at| traffic.recorded_at(at)).map(|of| of.requests).collect();
        assert_eq!(requests, [1, 2, 1, 2]);
    }
}
