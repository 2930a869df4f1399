//! PURE: how far other releases are, for those that depend on them or go together with them.

use super::state::{Rollout, Stage, State};
use crate::model::Release;

/// Another release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub release: String,
    /// The word that it shares with those that go together with it.
    pub together: Option<String>,
    /// How far it is.
    pub standing: Standing,
}

/// How far a release is with what it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has it.
    Done,
    /// It has not begun, or is on its way.
    OnItsWay,
    /// All its steps are done: it waits for the others.
    AtGate,
    /// All traffic goes there; not every proxy has it.
    Promoting,
    /// All traffic goes there, and every proxy has it.
    Settled,
    /// It went back.
    Back {
        /// Why.
        reason: String,
    },
}

impl Standing {
    /// Of a rollout.
    pub fn of(rollout: &Rollout, release: &Release) -> Self {
        match &rollout.state {
            State::Healthy | State::Experimenting(_) | State::Retiring(_) if rollout.stable == release.version => {
                Standing::Done
            }
            State::Healthy | State::Experimenting(_) | State::Retiring(_) => Standing::OnItsWay,
            State::Progressing(progress) if progress.stage == Stage::Gate => Standing::AtGate,
            State::Progressing(_) => Standing::OnItsWay,
            State::Promoting { settled: false, .. } => Standing::Promoting,
            State::Promoting { settled: true, .. } => Standing::Settled,
            State::Reverting(back) => Standing::Back { reason: back.reason.clone() },
            State::Reverted { canary, reason, .. } if *canary == release.version => {
                Standing::Back { reason: reason.clone() }
            }
            // Another version is wanted by now.
            State::Reverted { .. } => Standing::OnItsWay,
        }
    }

    /// Whether it has what it wants.
    pub fn is_done(&self) -> bool {
        *self == Standing::Done
    }

    /// Whether it has been given all the traffic for good.
    pub fn is_settled(&self) -> bool {
        matches!(self, Standing::Done | Standing::Settled)
    }

    /// Whether it has nothing more to prove.
    pub fn is_through(&self) -> bool {
        matches!(self, Standing::Done | Standing::Settled | Standing::Promoting | Standing::AtGate)
    }

    /// Why it went back, if it did.
    pub fn went_back(&self) -> Option<&str> {
        match self {
            Standing::Back { reason } => Some(reason),
            _ => None,
        }
    }
}
