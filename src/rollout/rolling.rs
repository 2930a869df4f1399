//! PURE: the endpoints of a service on their way from one version to the other, a few at a time, and back.
//!
//! Owns where each endpoint stands. What the proxies are told ([`Rolling::endpoints`], [`Rolling::weight`]) and who is asked
//! ([`Rolling::calls`]) is derived from that, so that after a crash both are what they were. Which batch comes when, and
//! whether it was good, is not decided here.
//!
//! Invariants: as long as any endpoint serves, a version with traffic has one that serves it; nothing is taken out of
//! service that is the last to serve; no address serves both versions; going forward, no more than `maxUnavailable` are out
//! of service at a time.

mod calls;
mod follow;
mod instance;
mod observe;
mod show;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::model::{Rolling as Policy, Version};

pub use instance::{Instance, State, Way};
pub use observe::{Progressed, Seen};

/// Where the endpoints of a rolling update stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rolling {
    /// In the order in which they are updated: those with a successor, those that are only added, those only removed.
    instances: Vec<Instance>,
    /// Where the whole is going.
    way: Way,
    /// Why nothing goes on, though no hook and no probe is waited for.
    #[serde(default)]
    stuck: Option<String>,
}

/// What people call what is updated.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The release.
    pub release: &'a str,
    /// The service.
    pub service: &'a str,
    /// The old version.
    pub from: &'a str,
    /// The new version.
    pub to: &'a str,
    /// What the keys of calls begin with: never used for another update.
    pub key_prefix: &'a str,
}

/// How far a batch is; on the way back, how far that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchState {
    /// It is not done.
    Doing,
    /// All of it arrived.
    Done,
    /// It will not get done by itself.
    Failed(String),
}

impl Rolling {
    /// Everything is old. Nothing happens before [`Rolling::enter_batch`].
    pub fn begin(from: &Version, to: &Version) -> Self {
        let mut rolling = Self { instances: Vec::new(), way: Way::Forward, stuck: None };
        rolling.append(follow::addresses(from), follow::addresses(to), State::Old);
        rolling
    }

    /// The next `count` old instances are the present batch.
    pub fn enter_batch(&mut self, count: usize) {
        self.stuck = None;
        let mut left = count;
        for instance in &mut self.instances {
            instance.chosen = instance.state == State::Old && left > 0;
            left -= usize::from(instance.chosen);
        }
    }

    /// Everything goes back to the old version, the last first.
    pub fn turn_back(&mut self, policy: &Policy) {
        self.way = Way::Back;
        self.stuck = None;
        for instance in &mut self.instances {
            instance.chosen = false;
            instance.turn_back(policy);
        }
    }

    /// Cuts off what grows without an end.
    #[cfg(test)]
    pub(super) fn cut_rounds(&mut self) {
        self.instances.iter_mut().for_each(|one| one.round = one.round.min(2));
    }

    /// Tries again what failed, at the order of a person: with calls of its own.
    pub fn try_again(&mut self, policy: &Policy) {
        self.stuck = None;
        for instance in &mut self.instances {
            if matches!(instance.state, State::Failed { .. }) {
                // One that goes back without ever having been taken out has had no round: its first calls were of round 1.
                instance.round = instance.round.max(1) + 1;
                instance.work(policy);
            }
        }
    }

    /// How far the present batch is, or the way back.
    pub fn batch_state(&self) -> BatchState {
        let failed = match self.way {
            Way::Forward => self.failure(),
            // The others are brought back all the same, as far as that goes.
            Way::Back => {
                let goes_on = self.instances.iter().any(|one| one.is_moving() || one.state == State::New);
                self.failure().filter(|_| !goes_on)
            }
        };
        let is_done = match self.way {
            // One that was on its way when the batch was begun anew is finished with it.
            Way::Forward => {
                self.instances.iter().all(|one| one.state == State::New || (!one.chosen && !one.is_moving()))
            }
            Way::Back => self.is_back(),
        };
        match failed.or_else(|| self.stuck.clone()) {
            Some(reason) => BatchState::Failed(reason),
            None if is_done => BatchState::Done,
            None => BatchState::Doing,
        }
    }

    /// Every instance.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// How many instances are done: serve the new version, or were removed.
    pub fn done(&self) -> usize {
        self.instances.iter().filter(|one| one.state == State::New).count()
    }

    /// How many instances there are.
    pub fn total(&self) -> usize {
        self.instances.len()
    }

    /// How many are in no batch yet.
    pub fn waiting(&self) -> usize {
        self.instances.iter().filter(|one| one.state == State::Old && !one.chosen).count()
    }

    /// Whether it goes back.
    pub fn is_returning(&self) -> bool {
        self.way == Way::Back
    }

    /// Whether everything is old.
    pub fn is_back(&self) -> bool {
        self.instances.iter().all(|one| one.state == State::Old)
    }

    /// What failed first, by the order of the instances.
    fn failure(&self) -> Option<String> {
        self.instances.iter().find_map(|one| {
            let State::Failed { reason } = &one.state else { return None };
            let address = one.target().or(one.origin()).or(one.home);
            Some(address.map_or_else(|| reason.clone(), |address| format!("{address}: {reason}")))
        })
    }
}
