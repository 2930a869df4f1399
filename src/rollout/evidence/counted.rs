//! What one proxy that has the present weight in force has counted since the last window. PURE.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Basis, SILENT_AFTER, counts};
use crate::analysis::Counts;
use crate::model::{Cause, Failures};
use crate::telemetry::{ClusterDelta, NodeReport};

/// A report over a longer time than this is what is left of an outage.
const LONGEST: Duration = Duration::from_secs(60);
/// By how much the times of two reports that follow each other may overlap: one is measured by the proxy's clock, and
/// sent by a network that takes now more time, now less.
const JITTER: Duration = Duration::from_millis(250);

/// One of the two that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Canary,
    Baseline,
}

/// A proxy.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) region: Arc<str>,
    /// Since when it has the weight in force.
    since: Instant,
    /// When it last reported, whether that counted or not.
    heard: Option<Instant>,
    /// Up to when its requests are counted, and the tries by endpoint.
    until: [Option<Instant>; 2],
    has_reported: bool,
    parts: [Sum; 2],
    /// The canary's and the baseline's by named route.
    pub(super) routes: BTreeMap<Arc<str>, [Counts; 2]>,
    /// Of the canary, since the last restart: all tries, the chosen requests among them, and what was told of the rest.
    /// An answer that is on its way is a try before it is a chosen request.
    tried: [Counts; 3],
}

/// What it counted of one part.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) requests: u64,
    pub(super) failures: Failures,
    /// The newest gauges.
    pub(super) ejected: u64,
    pub(super) endpoints: u64,
}

impl Sum {
    pub(super) fn counts(&self, causes: &BTreeSet<Cause>) -> Counts {
        Counts { requests: self.requests, errors: self.failures.counted(causes) }.clamped()
    }

    fn add(&mut self, requests: u64, failures: Failures) {
        self.requests = self.requests.saturating_add(requests);
        self.failures = self.failures.plus(failures);
    }

    fn update(&mut self, delta: &ClusterDelta) {
        self.ejected = delta.ejected.unwrap_or(self.ejected);
        self.endpoints = delta.endpoints.unwrap_or(self.endpoints);
    }
}

impl Counted {
    pub(super) fn new(region: &str, since: Instant) -> Self {
        Self {
            region: region.into(),
            since,
            heard: None,
            until: [None; 2],
            has_reported: false,
            parts: Default::default(),
            routes: BTreeMap::new(),
            tried: Default::default(),
        }
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn of(&self, part: Part) -> &Sum {
        &self.parts[part as usize]
    }

    pub(super) fn has_reported(&self) -> bool {
        self.has_reported
    }

    /// Whether it should have reported.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        let last = self.heard.map_or(self.since, |heard| heard.max(self.since));
        now.saturating_duration_since(last) > SILENT_AFTER
    }

    /// Whether the requests of a report count. Said to be heard of it is in any case.
    pub(super) fn takes(&mut self, report: &NodeReport) -> bool {
        self.heard = self.heard.max(Some(report.until));
        is_new(report, self.since, &mut self.until[0])
    }

    /// Whether the tries by endpoint of a report count.
    pub(super) fn takes_tries(&mut self, report: &NodeReport) -> bool {
        is_new(report, self.since, &mut self.until[1])
    }

    pub(super) fn add(&mut self, canary: Option<&ClusterDelta>, baseline: Option<&ClusterDelta>, basis: Basis) {
        self.has_reported = true;
        for (part, delta) in [canary, baseline].into_iter().enumerate() {
            let Some(delta) = delta else { continue };
            let (requests, failures) = match basis {
                Basis::Shared => (delta.requests, failures(delta)),
                Basis::Copies if part == Part::Canary as usize => of_tries(copies(&mut self.tried, delta)),
                Basis::Tries | Basis::Copies => of_tries(counts(delta.tries.unwrap_or_default())),
            };
            self.parts[part].add(requests, failures);
            self.parts[part].update(delta);
            for (route, outcomes) in delta.routes.iter().filter(|_| basis == Basis::Shared) {
                let sum = &mut self.routes.entry(Arc::clone(route)).or_default()[part];
                *sum = sum.plus(counts(*outcomes));
            }
        }
    }

    /// What it counted is told; the gauges stay.
    pub(super) fn begin_window(&mut self) {
        self.has_reported = false;
        self.routes.clear();
        for sum in &mut self.parts {
            (sum.requests, sum.failures) = (0, Failures::default());
        }
    }
}

/// Whether the whole time of a report, if it has any, lies after `since`, and was not counted before.
fn is_new(report: &NodeReport, since: Instant, until: &mut Option<Instant>) -> bool {
    let length = report.until.saturating_duration_since(report.since);
    let overlap = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(report.since));
    let is_new = report.since >= since && !length.is_zero() && length <= LONGEST && overlap <= JITTER.min(length / 2);
    if is_new {
        *until = (*until).max(Some(report.until));
    }
    is_new
}

/// A source that does not tell causes, or not of all, leaves the rest unexplained.
fn failures(delta: &ClusterDelta) -> Failures {
    let mut failures = delta.failures;
    failures.add(Cause::Other, delta.errors.saturating_sub(failures.total()));
    failures
}

/// Of tries nobody tells more than that they were answered so.
fn of_tries(tries: Counts) -> (u64, Failures) {
    (tries.requests, Failures::of(Cause::Answer, tries.errors))
}

/// What is new of the tries that are no chosen requests.
fn copies([tried, chosen, told]: &mut [Counts; 3], delta: &ClusterDelta) -> Counts {
    *tried = tried.plus(counts(delta.tries.unwrap_or_default()));
    *chosen = chosen.plus(counts(delta.chosen));
    let new = |tried: u64, chosen: u64, told: &mut u64| {
        let new = tried.saturating_sub(chosen).saturating_sub(*told);
        *told += new;
        new
    };
    let requests = new(tried.requests, chosen.requests, &mut told.requests);
    Counts { requests, errors: new(tried.errors, chosen.errors, &mut told.errors) }
}
