//! Endpoints that are being replaced, together with the rules by which they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Rollout;
use crate::model::{EndpointStates, Rolling as Policy, Version, Weight};
use crate::rollout::call::{Answer, Call};
use crate::rollout::rolling::{BatchState, Names, Rolling, Seen};

/// A rolling update, there or back. Its rules are those that it was begun with: what is half done is finished as it was
/// begun, whatever the spec says by then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replacement {
    policy: Policy,
    rolling: Rolling,
}

impl Replacement {
    /// Everything is old.
    pub fn begin(policy: &Policy, from: &Version, to: &Version) -> Self {
        Self { policy: policy.clone(), rolling: Rolling::begin(from, to) }
    }

    /// Its rules.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The next so many endpoints are a batch.
    pub fn enter_batch(&mut self, endpoints: usize) {
        self.rolling.enter_batch(endpoints);
    }

    /// Everything goes back.
    pub fn turn_back(&mut self) {
        self.rolling.turn_back(&self.policy);
    }

    /// Cuts off what grows without an end.
    #[cfg(test)]
    pub(in crate::rollout) fn cut_rounds(&mut self) {
        self.rolling.cut_rounds();
    }

    /// Tries again what failed.
    pub fn try_again(&mut self) {
        self.rolling.try_again(&self.policy);
    }

    /// Lets time pass.
    pub fn observe(&mut self, seen: &Seen<'_>) {
        self.rolling.observe(seen, &self.policy);
    }

    /// Lets time pass, and takes no other endpoint out.
    pub fn finish(&mut self, seen: &Seen<'_>) {
        self.rolling.finish(seen, &self.policy);
    }

    /// Takes an answer. Returns whether it was waited for.
    pub fn answered(&mut self, answer: &Answer, names: &Names<'_>) -> bool {
        self.rolling.answered(answer, names, &self.policy)
    }

    /// What is to be asked now.
    pub fn calls(&self, names: &Names<'_>) -> Vec<Call> {
        self.rolling.calls(names, &self.policy)
    }

    /// The endpoints that do not serve, by version.
    pub fn endpoints(&self, names: &Names<'_>) -> BTreeMap<String, EndpointStates> {
        self.rolling.endpoints(names)
    }

    /// The new version's share of the traffic.
    pub fn weight(&self) -> Weight {
        self.rolling.weight()
    }

    /// How far the batch is, or the way back.
    pub fn batch_state(&self) -> BatchState {
        self.rolling.batch_state()
    }

    /// How many endpoints are done.
    pub fn done(&self) -> usize {
        self.rolling.done()
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.rolling.total()
    }

    /// Whether everything is old.
    pub fn is_back(&self) -> bool {
        self.rolling.is_back()
    }

    /// How far it is, in words.
    pub fn describe(&self, names: &Names<'_>) -> String {
        self.rolling.describe(names)
    }
}

impl Rollout {
    /// What the keys of calls begin with.
    pub(in crate::rollout) fn key_prefix(&self) -> String {
        format!("{}/{}", self.release, self.generation)
    }

    /// What calls for a rolling update to `canary` are named by.
    pub(in crate::rollout) fn names<'a>(&'a self, canary: &'a str, key_prefix: &'a str) -> Names<'a> {
        Names { release: &self.release, service: &self.service, from: &self.stable, to: canary, key_prefix }
    }
}
