//! PURE: which of the proxies' counts are evidence for a release's present weight, and their sum.
//!
//! A report counts when its whole window lies after the proxy came to have the present weight in force: what happened
//! while the weight moved belongs to no weight. It counts once, and not when it tells of more than a minute in one sum:
//! that is what is left of an outage, and such a lump would outweigh what is seen now.
//!
//! Invariant: the order in which proxies report within a window changes nothing.

mod counted;
mod places;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use crate::analysis::{Arm, Counts, Spread, Spreads, Window};
use crate::model::{Cause, Endpoint, Histogram};
use crate::telemetry::NodeReport;
use counted::{Counted, Part};
use places::Places;

/// A proxy that has not reported for longer than this is silent.
pub const SILENT_AFTER: Duration = Duration::from_secs(5);
/// The least time between two windows, while some proxies have not reported since the last one.
const WINDOW: Duration = Duration::from_secs(1);
/// The most endpoints that are told apart in a window.
const ENDPOINT_LIMIT: usize = 10_000;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Basis {
    /// Requests that were shared out by weight, as their callers saw them.
    #[default]
    Shared,
    /// Tries towards the endpoints, of whatever request: where the canary has no share, but is shown or copied to.
    Tries,
    /// Tries towards the endpoints, without those of requests that were chosen: where only copies are to be judged.
    Copies,
}

/// What the counts of a window are read by.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The failures that count as errors.
    pub causes: &'a BTreeSet<Cause>,
    /// The canary's endpoints, as they are listed.
    pub canary: &'a [Endpoint],
    /// The baseline's.
    pub baseline: &'a [Endpoint],
}

/// What one side has.
#[derive(Debug, Default)]
struct Side {
    latency: Option<Histogram>,
    /// Tries by endpoint.
    endpoints: BTreeMap<SocketAddr, Counts>,
}

/// Sums up the reports for one release.
#[derive(Debug, Default)]
pub struct Collector {
    basis: Basis,
    /// In the order in which it was told of them.
    proxies: IndexMap<Arc<str>, Counted>,
    /// How many of them have reported since the last window.
    reporters: usize,
    canary: Side,
    baseline: Side,
    /// From when to when the reports since the last window reach.
    span: Option<(Instant, Instant)>,
    /// Up to when time was counted.
    covered: Option<Instant>,
    /// When the last window was given.
    given: Option<Instant>,
    spreads: [Spreads; 2],
    places: Places,
}

impl Collector {
    /// One that has seen nothing.
    pub fn of(basis: Basis) -> Self {
        Self { basis, ..Self::default() }
    }

    /// Forgets everything but where canary requests have failed: another weight was published, or something else is to
    /// be looked at.
    pub fn restart(&mut self, basis: Basis) {
        *self = Self { places: std::mem::take(&mut self.places), ..Self::of(basis) };
    }

    /// A proxy of a region has had the present weight in force since then. Said again, it changes nothing.
    pub fn in_force(&mut self, node: &str, region: &str, since: Instant) {
        if !self.proxies.contains_key(node) {
            self.proxies.insert(node.into(), Counted::new(region, since));
        }
    }

    /// Only the connected proxies count: one that has gone tells nothing any more, and one that comes back begins anew.
    pub fn keep_only(&mut self, is_connected: impl Fn(&str) -> bool) {
        self.proxies.retain(|node, _| is_connected(node));
        self.reporters = self.proxies.values().filter(|proxy| proxy.has_reported()).count();
    }

    /// Adds a report, as far as it counts. `canary` and `baseline` are the names of their clusters.
    pub fn add(&mut self, report: &NodeReport, canary: &str, baseline: &str) {
        let Some(proxy) = self.proxies.get_mut(&*report.node) else { return };
        let (canary, baseline) = (report.clusters.get(canary), report.clusters.get(baseline));
        let is_told = [canary, baseline].into_iter().flatten().any(|delta| !delta.endpoint_tries.is_empty());
        if is_told && proxy.takes_tries(report) {
            for (side, delta) in [(&mut self.canary, canary), (&mut self.baseline, baseline)] {
                let tries = delta.into_iter().flat_map(|delta| &delta.endpoint_tries);
                tries.for_each(|(address, tries)| side.add_tries(*address, counts(*tries)));
            }
        }
        if report.is_of_now() || !proxy.takes(report) {
            return;
        }
        self.reporters += usize::from(!proxy.has_reported());
        proxy.add(canary, baseline, self.basis);
        if self.basis == Basis::Shared {
            for (side, delta) in [(&mut self.canary, canary), (&mut self.baseline, baseline)] {
                delta.and_then(|delta| delta.latency.as_ref()).into_iter().for_each(|more| side.add_latency(more));
            }
        }
        let (since, until) = self.span.unwrap_or((report.since, report.until));
        self.span = Some((since.min(report.since), until.max(report.until)));
    }

    /// The sum since the last time, when a second is over or every proxy has reported that is not silent. Also without a
    /// report, as long as somebody should have reported and is silent: or nobody learns that the data stopped.
    pub fn take(&mut self, now: Instant, terms: Terms<'_>) -> Option<Window> {
        let is_over = now.saturating_duration_since(*self.given.get_or_insert(now)) >= WINDOW;
        if self.proxies.is_empty() || (self.reporters == 0 && !is_over) {
            return None;
        }
        let silent = self.proxies.values().filter(|proxy| proxy.is_silent(now)).count();
        let accounted = self.reporters + silent;
        if accounted == 0 || (!is_over && accounted < self.proxies.len()) {
            return None;
        }
        self.given = Some(now);
        let length = self.take_length(now);
        let proxies = std::mem::take(&mut self.reporters);
        let places = self.places.of(&self.proxies, [&self.canary.endpoints, &self.baseline.endpoints], terms);
        let [canary, baseline] = [Part::Canary, Part::Baseline].map(|part| self.arm(part, terms.causes));
        self.proxies.values_mut().for_each(Counted::begin_window);
        Some(Window { canary, baseline, proxies, silent, length, places, readings: Vec::new() })
    }

    /// How much more time is covered by what was reported since the last window; without any, that passed in silence.
    fn take_length(&mut self, now: Instant) -> Duration {
        let begun = || self.proxies.values().map(Counted::since).min().unwrap_or(now);
        let (since, until) = self.span.take().unwrap_or_else(|| (self.covered.unwrap_or_else(begun), now));
        // Proxies report at different moments of the same second: time that one has covered is not counted again.
        let from = self.covered.map_or(since, |covered| covered.max(since));
        self.covered = Some(self.covered.map_or(until, |covered| covered.max(until)));
        until.saturating_duration_since(from)
    }

    fn arm(&mut self, part: Part, causes: &BTreeSet<Cause>) -> Arm {
        let side = match part {
            Part::Canary => std::mem::take(&mut self.canary),
            Part::Baseline => std::mem::take(&mut self.baseline),
        };
        let mut arm = Arm { latency: side.latency, ..Arm::default() };
        for proxy in self.proxies.values() {
            let counted = proxy.of(part);
            arm.requests = arm.requests.saturating_add(counted.requests);
            arm.failures = arm.failures.plus(counted.failures);
            arm.ejected = arm.ejected.saturating_add(counted.ejected);
            arm.endpoints = arm.endpoints.saturating_add(counted.endpoints);
        }
        let reporters = self.proxies.values().filter(|proxy| proxy.has_reported());
        let by_proxy = Spread::across(reporters.map(|proxy| proxy.of(part).counts(causes)));
        let by_endpoint = Spread::across(side.endpoints.values().copied());
        arm.spread = self.spreads[part as usize].wider(by_proxy, by_endpoint);
        arm
    }
}

impl Side {
    fn add_tries(&mut self, address: SocketAddr, tries: Counts) {
        if self.endpoints.len() < ENDPOINT_LIMIT || self.endpoints.contains_key(&address) {
            let sum = self.endpoints.entry(address).or_default();
            *sum = sum.plus(tries);
        }
    }

    fn add_latency(&mut self, more: &Histogram) {
        self.latency.get_or_insert_default().merge(more);
    }
}

fn counts(of: crate::telemetry::Outcomes) -> Counts {
    Counts { requests: of.requests, errors: of.errors }
}
