//! Who is asked for the instances on their way, and what the answers do to them.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Instance, Names, Rolling, State, Way};
use crate::model::{Hook, Rolling as Policy, Update};
use crate::rollout::call::{About, Answer, Call, Question};

impl Rolling {
    /// What is to be asked now. A call whose answer got lost in a crash is asked again, the same.
    pub fn calls(&self, names: &Names<'_>, policy: &Policy) -> Vec<Call> {
        self.instances.iter().filter_map(|one| one.call(names, policy)).collect()
    }

    /// Takes an answer. Returns whether it was about a call that is waited for.
    ///
    /// A hook that failed is called again after its backoff, twice as long each time; after its last try, or when a probe
    /// failed, the endpoint has failed, and with it the batch.
    pub fn answered(&mut self, answer: &Answer, names: &Names<'_>, policy: &Policy) -> bool {
        let is_about = |one: &&mut Instance| {
            one.call(names, policy).is_some_and(|call| call.key == answer.key && call.attempt == answer.attempt)
        };
        let Some(instance) = self.instances.iter_mut().find(is_about) else { return false };
        instance.answered(&answer.outcome, policy);
        if self.way == Way::Back && instance.way == Way::Forward {
            // Turned around while its agent was at work: whatever that did is undone.
            instance.return_now(policy);
        }
        true
    }
}

impl Instance {
    fn call(&self, names: &Names<'_>, policy: &Policy) -> Option<Call> {
        let address = self.target()?;
        let (what, attempt, question) = match (&self.state, &policy.update, &policy.health, self.way) {
            (State::Updating { attempt, wait }, Update::Hook(hook), _, way) if wait.is_zero() => {
                let what = if way == Way::Forward { "update" } else { "back" };
                (what, *attempt, Question::Hook { hook: hook.clone(), about: self.about(names, address) })
            }
            (State::Probing { attempt }, _, Some(probe), way) => {
                let what = if way == Way::Forward { "probe" } else { "probe-back" };
                (what, *attempt, Question::Probe { probe: probe.clone(), address })
            }
            _ => return None,
        };
        let again = if self.round > 1 { format!("/{}", self.round) } else { String::new() };
        let key = format!("{}/{address}/{what}{again}", names.key_prefix);
        Some(Call { key, attempt, question })
    }

    fn about(&self, names: &Names<'_>, address: SocketAddr) -> About {
        let version = match self.way {
            Way::Forward => names.to,
            Way::Back => names.from,
        };
        About {
            release: names.release.into(),
            service: names.service.into(),
            version: version.into(),
            stable: names.from.into(),
            purpose: "update".into(),
            endpoints: vec![address],
        }
    }

    fn answered(&mut self, outcome: &Result<String, String>, policy: &Policy) {
        self.state = match (&self.state, outcome, &policy.update) {
            (State::Updating { .. }, Ok(_), _) => self.updated(policy),
            (State::Updating { attempt, .. }, Err(_), Update::Hook(hook)) if *attempt <= hook.retries => {
                State::Updating { attempt: attempt + 1, wait: backoff(hook, *attempt) }
            }
            (State::Updating { attempt, .. }, Err(why), _) => {
                State::Failed { reason: format!("the update failed at try {attempt}: {why}") }
            }
            (State::Probing { .. }, Ok(_), _) => self.arrived(),
            (State::Probing { .. }, Err(why), _) => State::Failed { reason: format!("the probe failed: {why}") },
            (state, _, _) => state.clone(),
        };
    }
}

/// The wait after a try that failed.
fn backoff(hook: &Hook, attempt: u32) -> Duration {
    hook.backoff.saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX))
}
