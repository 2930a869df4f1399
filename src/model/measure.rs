//! What proxies measure of requests, in the words that policies and counts share.

mod histogram;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use histogram::Histogram;

/// Why a request failed: what of it is the version's own doing, and what its surroundings'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// An endpoint answered so: a 5xx, or for gRPC a status that is the server's fault.
    Answer,
    /// No endpoint was healthy (Envoy's flag `UH`).
    NoEndpoint,
    /// A circuit breaker was open (`UO`).
    Overflow,
    /// No connection came about (`UF`, `URX` of connections).
    Connect,
    /// No answer came in time (`UT`, `SI`, `DT`).
    Timeout,
    /// The connection was reset or broke (`UC`, `UR`, `LR`, `UPE`).
    Reset,
    /// The proxy failed it otherwise, or does not tell why.
    Other,
}

impl Cause {
    /// All of them, in the order in which they are written.
    pub const ALL: [Cause; 7] =
        [Cause::Answer, Cause::NoEndpoint, Cause::Overflow, Cause::Connect, Cause::Timeout, Cause::Reset, Cause::Other];

    /// As it is written in specs and told to people.
    pub fn word(self) -> &'static str {
        match self {
            Cause::Answer => "answer",
            Cause::NoEndpoint => "noEndpoint",
            Cause::Overflow => "overflow",
            Cause::Connect => "connect",
            Cause::Timeout => "timeout",
            Cause::Reset => "reset",
            Cause::Other => "other",
        }
    }

    /// All of them as a set: every failed request counts.
    pub fn all() -> BTreeSet<Cause> {
        Self::ALL.into()
    }
}

/// How many requests failed, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failures([u64; Cause::ALL.len()]);

impl Failures {
    /// So many of one cause.
    pub fn of(cause: Cause, count: u64) -> Self {
        let mut failures = Self::default();
        failures.add(cause, count);
        failures
    }

    /// Adds so many, up to the largest number there is.
    pub fn add(&mut self, cause: Cause, count: u64) {
        let slot = &mut self.0[cause as usize];
        *slot = slot.saturating_add(count);
    }

    /// How many there are of a cause.
    pub fn count(&self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }

    /// The sum.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        Cause::ALL.into_iter().for_each(|cause| self.add(cause, other.count(cause)));
        self
    }

    /// How many failed, whatever the cause.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How many failed by one of these causes.
    pub fn counted(&self, causes: &BTreeSet<Cause>) -> u64 {
        causes.iter().fold(0, |sum, cause| sum.saturating_add(self.count(*cause)))
    }

    /// Those that there are, with their causes.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> + '_ {
        Cause::ALL.into_iter().map(|cause| (cause, self.count(cause))).filter(|(_, count)| *count > 0)
    }
}
