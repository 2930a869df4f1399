//! What came of a load, by the version that answered.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::{Latencies, Outcome, Record, Seen};

/// How many different causes of failure are told apart; further ones are counted with the last.
const MAX_CAUSES: usize = 32;

/// Requests and failures by the version that answered.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// By version; under `None` what no version answered: transport errors, and proxies' own answers.
    pub versions: BTreeMap<Option<String>, VersionSummary>,
    /// Failures that no version answered for, by cause: `503 without a version`, `connect: refused`.
    pub causes: BTreeMap<String, u64>,
    /// Scheduled requests that were not sent because too many were unanswered.
    pub overload: u64,
    /// Which versions each user saw.
    pub seen: Seen,
}

/// One version's requests.
#[derive(Debug, Clone, Default)]
pub struct VersionSummary {
    /// All.
    pub requests: u64,
    /// Those answered 5xx or not at all.
    pub failures: u64,
    /// When the first failure was seen by its caller.
    pub first_failure: Option<Instant>,
    /// From the scheduled time, of answered requests.
    pub latencies: Latencies,
}

impl VersionSummary {
    /// The 50th and the 99th percentile of the latency.
    pub fn p50_p99(&self) -> (Option<Duration>, Option<Duration>) {
        (self.latencies.quantile(0.5), self.latencies.quantile(0.99))
    }
}

impl Summary {
    /// Counts one record.
    pub fn add(&mut self, record: &Record) {
        if let (Some(user), Some(version)) = (record.user, record.outcome.version()) {
            self.seen.add(user, version);
        }
        let version = self.versions.entry(record.outcome.version().map(str::to_owned)).or_default();
        version.requests += 1;
        match &record.outcome {
            Outcome::Answered { .. } => version.latencies.add(record.latency()),
            Outcome::Failed(_) => {}
        }
        if !record.outcome.is_failure() {
            return;
        }
        version.failures += 1;
        if version.first_failure.is_none_or(|first| record.finished < first) {
            version.first_failure = Some(record.finished);
        }
        let cause = match &record.outcome {
            Outcome::Answered { version: Some(_), .. } => return,
            Outcome::Answered { status, version: None, .. } => format!("{status} without a version"),
            Outcome::Failed(cause) => cause.clone(),
        };
        let cause =
            if self.causes.len() < MAX_CAUSES || self.causes.contains_key(&cause) { cause } else { "others".into() };
        *self.causes.entry(cause).or_default() += 1;
    }

    /// One version's counts, zero when it answered nothing.
    pub fn version(&self, version: &str) -> VersionSummary {
        self.versions.get(&Some(version.to_owned())).cloned().unwrap_or_default()
    }

    /// All requests that were sent.
    pub fn requests(&self) -> u64 {
        self.versions.values().map(|version| version.requests).sum()
    }

    /// All failures.
    pub fn failures(&self) -> u64 {
        self.versions.values().map(|version| version.failures).sum()
    }

    /// Failures that this version did not answer.
    pub fn failures_not_of(&self, version: &str) -> u64 {
        self.failures() - self.version(version).failures
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<14} {:>9} {:>9} {:>8} {:>8}", "version", "requests", "failures", "p50 ms", "p99 ms")?;
        let ms = |latency: Option<Duration>| {
            latency.map_or_else(|| "-".into(), |latency| format!("{:.1}", latency.as_secs_f64() * 1e3))
        };
        for (name, version) in &self.versions {
            let name = name.as_deref().unwrap_or("(no version)");
            let (p50, p99) = version.p50_p99();
            writeln!(f, "{name:<14} {:>9} {:>9} {:>8} {:>8}", version.requests, version.failures, ms(p50), ms(p99))?;
        }
        for (cause, count) in &self.causes {
            writeln!(f, "{count} × {cause}")?;
        }
        if self.overload > 0 {
            writeln!(f, "OVERLOAD: {} scheduled requests were not sent, too many were unanswered", self.overload)?;
        }
        Ok(())
    }
}
