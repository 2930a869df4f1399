//! PURE: what somebody outside is to be asked for a release, and what they answered.
//!
//! Calls are derived from the state ([`super::Rollout::calls`]), like the traffic: the engine sees to it that exactly those
//! are on their way, starts what is new and drops what is no longer wanted. A call is kept before it is made, so that one
//! that a crash interrupts is made again, under the same key and with a higher number, and whoever is asked can tell.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Record;
use crate::model::{Hook, Probe};

/// Something to ask. Two with the same key and number are the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What makes it this one: the same for all its tries, and never used again. Sent as `Idempotency-Key`.
    pub key: String,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// What is asked.
    pub question: Question,
}

impl Call {
    /// What the journal says of it; probes are many, and are told by their answers.
    pub(super) fn record(&self) -> Option<Record> {
        let Question::Hook { hook, about } = &self.question else { return None };
        let (hook, purpose) = (hook.name.clone(), about.purpose.clone());
        Some(Record::Called { hook, purpose, key: self.key.clone(), attempt: self.attempt })
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// A hook is called, once.
    Hook {
        /// Which.
        hook: Hook,
        /// What it is told.
        about: About,
    },
    /// An endpoint is probed, until it is healthy or [`Probe::within`] is over.
    Probe {
        /// How.
        probe: Probe,
        /// Which.
        address: SocketAddr,
    },
}

/// What a hook is told: the JSON body of its request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// The release.
    pub release: String,
    /// The service that it releases.
    pub service: String,
    /// The version that the hook is about: the one on its way; for `update` the one that the endpoints are to run.
    pub version: String,
    /// The version that traffic returns to.
    pub stable: String,
    /// What the hook is for: `step`, `beforeSwitch`, `afterSwitch`, `update`, `beforeRetire`, `retire`.
    pub purpose: String,
    /// The endpoints that it is about; empty where it is not about some.
    pub endpoints: Vec<SocketAddr>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of which call.
    pub key: String,
    /// Of which of its tries.
    pub attempt: u32,
    /// What was said, or why nothing was: in a few words.
    pub outcome: Result<String, String>,
}
