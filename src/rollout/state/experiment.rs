//! Candidates that are tried side by side.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::analysis::Judge;
use crate::model::Weight;

/// An experiment on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What it is called in the spec.
    pub name: String,
    /// What is tried.
    pub arms: Vec<Arm>,
    /// Whether every proxy has accepted the candidates' clusters; before that they have no traffic.
    pub ready: bool,
    /// For how long they have had their traffic.
    pub spent: Duration,
}

/// One candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// The version.
    pub version: String,
    /// The share that it was given.
    pub weight: Weight,
    /// The judgement of it against the stable version.
    pub judge: Judge,
    /// Why it has no traffic any more.
    pub stopped: Option<String>,
}

impl Arm {
    /// The share that it has now.
    pub fn share(&self) -> Weight {
        if self.stopped.is_some() { Weight::ZERO } else { self.weight }
    }
}
