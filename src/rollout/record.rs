//! The journal of a rollout: what happened and what was decided, in the order in which it was.

use serde::{Deserialize, Serialize};

use super::Command;
use crate::analysis::{Explanation, Measurement, e_value};
use crate::model::Weight;

/// One line of a release's journal. Events are told in the past tense.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Record {
    /// The service's very first version became stable at once.
    Adopted {
        /// The version.
        version: String,
    },
    /// A rollout was begun.
    Started {
        /// The stable version.
        from: String,
        /// The canary.
        to: String,
    },
    /// A newer version took the canary's place.
    Superseded {
        /// The version that was on its way.
        canary: String,
        /// The version that is wanted now.
        by: String,
    },
    /// The steps were edited in mid-rollout.
    StrategyChanged {
        /// The step it goes on with, from 0.
        step: usize,
        /// Whether that is the one that it was in, which goes on as it was.
        #[serde(default)]
        kept: bool,
    },
    /// The steps were begun in the regions of a wave.
    WaveBegun {
        /// Its index, from 0.
        wave: usize,
        /// How many there are.
        of: usize,
        /// Which regions, in words.
        regions: String,
    },
    /// Endpoints were replaced, or put back.
    Replaced {
        /// How many run the canary.
        endpoints: usize,
        /// Of how many.
        of: usize,
        /// The canary's published share.
        weight: Weight,
    },
    /// A hook was called, or is called again.
    Called {
        /// Its name.
        hook: String,
        /// What it is for.
        purpose: String,
        /// What makes the call this one.
        key: String,
        /// Which try it is, from 1.
        attempt: u32,
    },
    /// A hook or a probe has answered.
    Answered {
        /// The key of the call.
        key: String,
        /// Which try it was.
        attempt: u32,
        /// Whether it said yes.
        ok: bool,
        /// In which words.
        said: String,
    },
    /// A version that was reverted is tried again by itself, as its spec says.
    TriedAgain {
        /// The version.
        version: String,
        /// How often it has failed.
        failures: u32,
    },
    /// What was stable before is on its way to be thrown away.
    Retiring {
        /// The version.
        version: String,
    },
    /// It was thrown away.
    Retired {
        /// The version.
        version: String,
    },
    /// It was not thrown away after all.
    Kept {
        /// The version.
        version: String,
        /// Why.
        reason: String,
    },
    /// An experiment was begun.
    ExperimentBegun {
        /// What it is called.
        name: String,
        /// The candidates, in words.
        versions: String,
    },
    /// A candidate of an experiment has lost its traffic.
    ArmStopped {
        /// The version.
        version: String,
        /// Why.
        reason: String,
        /// What it stands on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        explanation: Option<Box<Explanation>>,
    },
    /// An experiment has ended.
    Concluded {
        /// What it is called.
        name: String,
        /// Why.
        why: String,
        /// How each candidate did.
        results: String,
    },
    /// A step was begun.
    StepBegun {
        /// Its index, from 0.
        step: usize,
        /// The step in words.
        what: String,
        /// The canary's published share.
        weight: Weight,
        /// What it stands on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        explanation: Option<Box<Explanation>>,
    },
    /// Every connected proxy had the canary's share in force.
    Settled {
        /// The share.
        weight: Weight,
        /// How many proxies.
        proxies: usize,
    },
    /// A window of evidence was judged. Holds all that is needed to judge it again.
    Measured {
        /// The version that was judged.
        #[serde(default)]
        version: String,
        /// What its judge took in, and what it came to.
        #[serde(flatten)]
        measurement: Box<Measurement>,
    },
    /// The proxies rejected what the release needs, or the first of them had trouble with it.
    Held {
        /// What, who, and in which words.
        reason: String,
        /// What it stands on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        explanation: Option<Box<Explanation>>,
    },
    /// The release waits for a person.
    Waiting {
        /// What for.
        reason: String,
        /// What it stands on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        explanation: Option<Box<Explanation>>,
    },
    /// An analysis gave its answer.
    Judged {
        /// `pass`, `fail` or `inconclusive`.
        verdict: String,
        /// What was compared, and how it came out.
        reason: String,
        /// What it stands on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        explanation: Option<Box<Explanation>>,
    },
    /// A person gave an order.
    Ordered {
        /// The order.
        command: Command,
    },
    /// All traffic was given to the canary.
    Promoting {
        /// The canary.
        canary: String,
        /// Why without (the rest of) the steps, if so.
        reason: Option<String>,
        /// What it stands on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        explanation: Option<Box<Explanation>>,
    },
    /// The canary became the stable version.
    Promoted {
        /// The version.
        version: String,
    },
    /// All traffic was given back to the stable version.
    Reverting {
        /// The version that is left.
        canary: String,
        /// The stable version.
        stable: String,
        /// Why.
        reason: String,
        /// What it stands on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        explanation: Option<Box<Explanation>>,
    },
    /// Every connected proxy sends its traffic to the stable version again.
    Reverted {
        /// The version that was left.
        canary: String,
        /// How many proxies.
        proxies: usize,
    },
}

impl Record {
    /// A word for its kind, as in its JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Record::Adopted { .. } => "adopted",
            Record::Started { .. } => "started",
            Record::Superseded { .. } => "superseded",
            Record::StrategyChanged { .. } => "strategyChanged",
            Record::WaveBegun { .. } => "waveBegun",
            Record::Replaced { .. } => "replaced",
            Record::Called { .. } => "called",
            Record::Answered { .. } => "answered",
            Record::TriedAgain { .. } => "triedAgain",
            Record::Retiring { .. } => "retiring",
            Record::Retired { .. } => "retired",
            Record::Kept { .. } => "kept",
            Record::ExperimentBegun { .. } => "experimentBegun",
            Record::ArmStopped { .. } => "armStopped",
            Record::Concluded { .. } => "concluded",
            Record::StepBegun { .. } => "stepBegun",
            Record::Settled { .. } => "settled",
            Record::Measured { .. } => "measured",
            Record::Held { .. } => "held",
            Record::Waiting { .. } => "waiting",
            Record::Judged { .. } => "judged",
            Record::Ordered { .. } => "ordered",
            Record::Promoting { .. } => "promoting",
            Record::Promoted { .. } => "promoted",
            Record::Reverting { .. } => "reverting",
            Record::Reverted { .. } => "reverted",
        }
    }

    /// What it stands on, where it is a decision.
    pub fn explanation(&self) -> Option<&Explanation> {
        match self {
            Record::Judged { explanation, .. }
            | Record::Held { explanation, .. }
            | Record::Waiting { explanation, .. }
            | Record::ArmStopped { explanation, .. }
            | Record::StepBegun { explanation, .. }
            | Record::Promoting { explanation, .. }
            | Record::Reverting { explanation, .. } => explanation.as_deref(),
            _ => None,
        }
    }

    /// Says what it stands on, if it is a decision of which that was not said.
    pub(super) fn explain(&mut self, why: &Explanation) {
        match self {
            Record::Judged { explanation, .. }
            | Record::StepBegun { explanation, .. }
            | Record::Promoting { explanation, .. }
            | Record::Reverting { explanation, .. } => {
                explanation.get_or_insert_with(|| Box::new(why.clone()));
            }
            Record::Held { explanation, .. } | Record::Waiting { explanation, .. } => {
                explanation.get_or_insert_with(|| Box::new(why.clone().but("it waits")));
            }
            _ => {}
        }
    }

    /// What happened, in a sentence.
    pub fn message(&self) -> String {
        match self {
            Record::Adopted { version } => format!("{version} is the first version: stable at once"),
            Record::Started { from, to } => format!("rollout from {from} to {to} begun"),
            Record::Superseded { canary, by } => format!("{canary} superseded by {by}"),
            Record::StrategyChanged { step, kept: true } => {
                format!("the steps were edited: step {} goes on as it was", step + 1)
            }
            Record::StrategyChanged { step, kept: false } => {
                format!("the steps were edited: goes on with step {}", step + 1)
            }
            Record::WaveBegun { wave, of, regions } => format!("wave {} of {of}: {regions}", wave + 1),
            Record::Replaced { endpoints, of, weight } => format!("{endpoints} of {of} endpoints run it: {weight}"),
            Record::Called { hook, purpose, key, attempt } => {
                format!("hook {hook} ({purpose}) is called, try {attempt}: {key}")
            }
            Record::Answered { key, ok: true, said, .. } => format!("{key}: yes: {said}"),
            Record::Answered { key, ok: false, attempt, said } => format!("{key}: no, try {attempt}: {said}"),
            Record::TriedAgain { version, failures } => format!("{version} is tried again after {failures} failures"),
            Record::Retiring { version } => format!("{version} is on its way out: its last requests are waited for"),
            Record::Retired { version } => format!("{version} was thrown away"),
            Record::Kept { version, reason } => format!("{version} is kept: {reason}"),
            Record::ExperimentBegun { name, versions } => format!("experiment {name} begun: {versions}"),
            Record::ArmStopped { version, reason, .. } => format!("{version} has no traffic any more: {reason}"),
            Record::Concluded { name, why, results } => format!("experiment {name} ended, because {why}: {results}"),
            Record::StepBegun { step, what, .. } => format!("step {}: {what}", step + 1),
            Record::Settled { weight, proxies } => format!("{weight} in force on {}", counted(*proxies)),
            Record::Measured { measurement, .. } => measured(measurement),
            Record::Held { reason, .. } => format!("held: {reason}"),
            Record::Waiting { reason, .. } => format!("waits: {reason}"),
            Record::Judged { verdict, reason, .. } => format!("{verdict}: {reason}"),
            Record::Ordered { command } => format!("ordered: {}", command.describe()),
            Record::Promoting { canary, reason: None, .. } => format!("all steps done: all traffic to {canary}"),
            Record::Promoting { canary, reason: Some(reason), .. } => format!("all traffic to {canary}: {reason}"),
            Record::Promoted { version } => format!("{version} is stable"),
            Record::Reverting { canary, stable, reason, .. } => {
                format!("all traffic back from {canary} to {stable}: {reason}")
            }
            Record::Reverted { canary, proxies } => format!("{canary} has no traffic on any of {}", counted(*proxies)),
        }
    }
}

fn measured(Measurement { window, evidence, .. }: &Measurement) -> String {
    format!(
        "canary {}/{} failed, baseline {}/{}, {}: revert evidence {} of {}, advance evidence {} of {}",
        window.canary.failures.total(),
        window.canary.requests,
        window.baseline.failures.total(),
        window.baseline.requests,
        counted(window.proxies),
        e_value(evidence.revert_evidence),
        e_value(evidence.revert_bound),
        e_value(evidence.advance_evidence),
        e_value(evidence.advance_bound),
    )
}

/// `1 proxy`, `4 proxies`.
fn counted(proxies: usize) -> String {
    format!("{proxies} {}", if proxies == 1 { "proxy" } else { "proxies" })
}
