//! What time and the proxies' reports do to the instances, and who leaves next.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Instance, Rolling, State, Way};
use crate::model::{Rolling as Policy, Update, Version};

/// What is seen of the world.
pub struct Seen<'a> {
    /// Attended time since it was seen last.
    pub elapsed: Duration,
    /// How many requests an endpoint has in progress with the version it drains from, where the proxies tell.
    pub in_progress: &'a dyn Fn(SocketAddr) -> Option<u64>,
    /// The old version as it is now listed.
    pub from: &'a Version,
    /// The new version as it is now listed.
    pub to: &'a Version,
    /// Whether the proxies have what is published.
    pub settled: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progressed {
    /// Something else than times changed: calls, or what the proxies are to be told.
    pub changed: bool,
}

/// Why a batch cannot be done at all.
const ONLY_ONE: &str = "the only endpoint cannot be updated in place without an outage; add another";

impl Rolling {
    /// Lets time pass, and takes the next endpoints out as far as that may be.
    pub fn observe(&mut self, seen: &Seen<'_>, policy: &Policy) -> Progressed {
        let before = self.outline();
        self.finish(seen, policy);
        // Who leaves must be able to rely on those that have just arrived: the proxies have to know of them first.
        if seen.settled && self.outline() == before {
            self.depart(policy);
        }
        Progressed { changed: self.outline() != before }
    }

    /// Lets time pass for those that are on their way, and takes nobody out.
    pub fn finish(&mut self, seen: &Seen<'_>, policy: &Policy) {
        self.follow(seen.from, seen.to);
        for instance in &mut self.instances {
            instance.advance(seen, policy);
            if self.way == Way::Back {
                instance.turn_back(policy);
            }
        }
    }

    /// Everything but how the times went on.
    fn outline(&self) -> (Vec<Instance>, Option<String>) {
        let timeless = |one: &Instance| {
            let state = match &one.state {
                State::Draining { .. } => State::Draining { spent: Duration::ZERO },
                State::Registering { .. } => State::Registering { spent: Duration::ZERO },
                State::Updating { attempt, wait } => {
                    State::Updating { attempt: *attempt, wait: if wait.is_zero() { *wait } else { Duration::MAX } }
                }
                same @ (State::Old | State::Probing { .. } | State::New | State::Failed { .. }) => same.clone(),
            };
            Instance { state, ..one.clone() }
        };
        (self.instances.iter().map(timeless).collect(), self.stuck.clone())
    }

    /// Lets as many leave as may be out of service at a time.
    fn depart(&mut self, policy: &Policy) {
        self.stuck = None;
        if self.way == Way::Forward && self.failure().is_some() {
            return;
        }
        let (limit, due) = (self.limit(policy), self.due());
        let mut blocked = None;
        for &at in &due {
            let out = self.instances.iter().filter(|one| one.is_out()).count();
            let others_serve = self.instances.iter().enumerate().any(|(other, one)| other != at && one.serves());
            let instance = &mut self.instances[at];
            if !instance.serves() {
                instance.depart(self.way, policy);
            } else if !others_serve {
                blocked = blocked.or(Some(at));
            } else if out < limit {
                instance.depart(self.way, policy);
            }
        }
        if self.instances.iter().any(Instance::is_moving) {
            return;
        }
        match (blocked, self.failure()) {
            (_, Some(failure)) => self.stuck = Some(failure),
            (Some(at), None) if self.part(at) || self.bring_forward() => self.depart(policy),
            (Some(_), None) => self.stuck = Some(ONLY_ONE.to_owned()),
            // Those that are not to be moved have arrived.
            (None, None) => {}
        }
    }

    /// Who is to leave, in this order: of the batch; or the last first, and those at the end that were only added, as they
    /// serve while others cannot.
    fn due(&self) -> Vec<usize> {
        let of = |state: State| self.instances.iter().enumerate().filter(move |(_, one)| one.state == state);
        match self.way {
            Way::Forward => of(State::Old).filter(|(_, one)| one.chosen).map(|(at, _)| at).collect(),
            Way::Back => {
                let (added, others): (Vec<_>, Vec<_>) =
                    of(State::New).rev().partition(|(_, one)| one.old.or(one.home).is_none());
                others.into_iter().chain(added).map(|(at, _)| at).collect()
            }
        }
    }

    /// How many may be out of service at a time.
    fn limit(&self, policy: &Policy) -> usize {
        let batch = match self.way {
            Way::Forward => self.instances.iter().filter(|one| one.chosen).count(),
            Way::Back => policy.batch.of(self.total()),
        };
        policy.max_unavailable.map_or(batch, |portion| portion.of(self.total()).min(batch))
    }

    /// Takes one that is only added into the present batch before its time. `false` when there is none.
    fn bring_forward(&mut self) -> bool {
        let waits = |one: &&mut Instance| one.state == State::Old && !one.chosen && one.old.is_none();
        let found = self.instances.iter_mut().find(waits).filter(|_| self.way == Way::Forward);
        found.map(|one| one.chosen = true).is_some()
    }

    /// Makes two of an instance with two addresses, so that one can come before the other leaves. `false` when it has not.
    fn part(&mut self, at: usize) -> bool {
        let instance = &mut self.instances[at];
        let has_two = instance.new.is_some_and(|new| instance.old.is_some_and(|old| old != new));
        if has_two {
            let added = instance.part();
            self.instances.insert(at, added);
        }
        has_two
    }
}

impl Instance {
    /// Lets time pass.
    fn advance(&mut self, seen: &Seen<'_>, policy: &Policy) {
        let later = |spent: Duration| spent.saturating_add(seen.elapsed);
        match (&self.state, self.target()) {
            (State::Draining { spent }, _) => {
                let spent = later(*spent);
                let is_idle = |address| seen.settled && (seen.in_progress)(address) == Some(0);
                if spent >= policy.drain || self.origin().is_none_or(is_idle) {
                    self.work(policy);
                } else {
                    self.state = State::Draining { spent };
                }
            }
            (State::Updating { attempt, wait }, Some(_)) if matches!(policy.update, Update::Hook(_)) => {
                self.state = State::Updating { attempt: *attempt, wait: wait.saturating_sub(seen.elapsed) };
            }
            (State::Registering { spent }, None) => match policy.update {
                Update::Registration { within } if later(*spent) >= within => {
                    let reason = "it did not register itself with the other version in time".to_owned();
                    self.state = State::Failed { reason };
                }
                Update::Registration { .. } => self.state = State::Registering { spent: later(*spent) },
                Update::Hook(_) | Update::Running => self.work(policy),
            },
            (State::Registering { .. }, Some(_)) => self.state = self.updated(policy),
            (State::Probing { .. }, Some(_)) if policy.health.is_some() => {}
            // The specs were edited: what was under way is no longer to be done.
            (State::Updating { .. } | State::Probing { .. }, _) => self.work(policy),
            (State::Old | State::New | State::Failed { .. }, _) => {}
        }
    }
}
