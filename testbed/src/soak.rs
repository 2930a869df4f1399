//! A soak: real Envoys under an open-loop load, and one transition after the other, each in its turn or in the middle of
//! the former. Not one request may fail.
//!
//! The server is driven as operators drive it: specs are written, releases promoted and aborted by its command line.
//! What is in force is what the Envoys say of themselves. Endpoints that were taken out of the specs serve until every
//! Envoy has let go of them, and what they had under way is answered.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::upstream::uniform;

mod look;
mod report;
mod script;
mod stage;
mod upstreams;
mod world;

pub use report::Report;

/// How to soak.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `serin` binary.
    pub binary: PathBuf,
    /// How many transitions.
    pub transitions: usize,
    /// What their order depends on.
    pub seed: u64,
    /// Requests per second, over all services and proxies.
    pub rate: f64,
    /// Where to leave the logs of the server and (in detail) of the Envoys.
    pub logs: Option<PathBuf>,
    /// Whether to print each transition; failures are always printed.
    pub verbose: bool,
}

/// Carries it out.
///
/// # Errors
/// When something cannot be started, the server refuses an order, or a transition is not in force within a minute.
/// Failed requests are no error: they stand in the report.
pub async fn soak(options: &Options) -> Result<Report> {
    stage::play(options).await
}

/// What a transition changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A rollout is promoted to its next weight, or to everything.
    WeightStep,
    /// A version comes into the specs and is released.
    NewVersion,
    /// Another version is released in the middle of a rollout.
    Superseded,
    /// A version without traffic goes from the specs.
    VersionRemoved,
    /// A version with traffic runs elsewhere.
    EndpointsReplaced,
    /// All clusters of a service are changed.
    ClusterChanged,
    /// The listeners are bound to another address.
    ListenerChanged,
    /// The listeners route to one service more, or less.
    ServiceRouted,
    /// A change is begun and taken back while it is under way.
    Reverted,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 9] = [
        Kind::WeightStep,
        Kind::NewVersion,
        Kind::Superseded,
        Kind::VersionRemoved,
        Kind::EndpointsReplaced,
        Kind::ClusterChanged,
        Kind::ListenerChanged,
        Kind::ServiceRouted,
        Kind::Reverted,
    ];

    /// Whether it is done only when something is gone.
    fn removes(self) -> bool {
        match self {
            Kind::VersionRemoved | Kind::ServiceRouted => true,
            Kind::WeightStep
            | Kind::NewVersion
            | Kind::Superseded
            | Kind::EndpointsReplaced
            | Kind::ClusterChanged
            | Kind::ListenerChanged
            | Kind::Reverted => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::WeightStep => "weight step",
            Kind::NewVersion => "new version",
            Kind::Superseded => "version superseded",
            Kind::VersionRemoved => "version removed",
            Kind::EndpointsReplaced => "endpoints replaced",
            Kind::ClusterChanged => "cluster changed",
            Kind::ListenerChanged => "listener changed",
            Kind::ServiceRouted => "service routed",
            Kind::Reverted => "reverted in mid-way",
        })
    }
}

/// Chance that can be had again.
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    seed: u64,
    thrown: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, thrown: 0 }
    }

    /// An evenly spread number in [0, 1).
    fn number(&mut self) -> f64 {
        self.thrown += 1;
        uniform(self.seed, self.thrown)
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.number() < probability
    }

    /// A time from zero to `most`.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.number())
    }

    /// Puts them into any order.
    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            let other = (self.number() * (last + 1) as f64) as usize;
            all.swap(last, other.min(last));
        }
    }

    /// One of some, of which there must be any.
    pub(crate) fn choose<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = (self.number() * of.len() as f64) as usize;
        &of[at.min(of.len() - 1)]
    }
}
