//! One place that serves, and where it stands between the two versions.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Rolling as Policy, Update};

/// To which version something is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// To the new one.
    Forward,
    /// To the old one.
    Back,
}

/// One place that serves: an address that changes its version, or two addresses of which one follows the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Where the old version is listed with it; nowhere when it is only added, or has left.
    pub old: Option<SocketAddr>,
    /// Where the new version is listed with it; nowhere when it is only removed, or has not registered yet.
    pub new: Option<SocketAddr>,
    /// Where it last was with the old version, by which it is known again; none when it is only added, or only removed
    /// for the sake of one that was added before.
    pub home: Option<SocketAddr>,
    /// Where it is going, or last went.
    pub way: Way,
    /// How far it is.
    pub state: State,
    /// Whether it is one of the present batch.
    pub chosen: bool,
    /// How many times it has begun: a call that is begun again is another one.
    pub round: u32,
}

/// How far an instance is. Times are of attended time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// Serves the old version (or not yet, when it is only added).
    Old,
    /// Gets no new requests, and finishes those that it has.
    Draining {
        /// For how long already.
        spent: Duration,
    },
    /// A hook makes it run the other version.
    Updating {
        /// Which try it is, from 1.
        attempt: u32,
        /// The time left before that try is made.
        wait: Duration,
    },
    /// It is to register itself with the other version.
    Registering {
        /// For how long it is waited for already.
        spent: Duration,
    },
    /// It is to show that it works.
    Probing {
        /// Which try it is, from 1.
        attempt: u32,
    },
    /// Serves the new version (or no longer, when it is only removed).
    New,
    /// Out of service: neither version was brought to work.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Instance {
    /// One that stands as `state` says, and has not begun anything.
    pub(super) fn at(old: Option<SocketAddr>, new: Option<SocketAddr>, state: State) -> Self {
        Self { old, new, home: old, way: Way::Forward, state, chosen: false, round: 0 }
    }

    /// The address that it is to have when it has arrived.
    pub fn target(&self) -> Option<SocketAddr> {
        match self.way {
            Way::Forward => self.new,
            Way::Back => self.old,
        }
    }

    /// The address that it leaves.
    pub fn origin(&self) -> Option<SocketAddr> {
        match self.way {
            Way::Forward => self.old,
            Way::Back => self.new,
        }
    }

    /// Whether it serves the old version.
    pub fn serves_old(&self) -> bool {
        self.state == State::Old && self.old.is_some()
    }

    /// Whether it serves the new version.
    pub fn serves_new(&self) -> bool {
        self.state == State::New && self.new.is_some()
    }

    /// Whether it serves.
    pub fn serves(&self) -> bool {
        self.serves_old() || self.serves_new()
    }

    /// Whether it is between the versions, and something is still expected of it.
    pub fn is_moving(&self) -> bool {
        !matches!(self.state, State::Old | State::New | State::Failed { .. })
    }

    /// Whether it is out of service for the rollout's sake: what was only added serves no less than before.
    pub fn is_out(&self) -> bool {
        let served = match self.way {
            Way::Forward => self.old.or(self.home),
            Way::Back => self.new.or(self.home),
        };
        !matches!(self.state, State::Old | State::New) && served.is_some()
    }

    /// Leaves where it is.
    pub(super) fn depart(&mut self, way: Way, policy: &Policy) {
        if way == Way::Forward {
            self.round += 1;
        }
        self.way = way;
        match self.origin() {
            Some(_) => self.state = State::Draining { spent: Duration::ZERO },
            None => self.work(policy),
        }
    }

    /// What follows when nothing is left to drain.
    pub(super) fn work(&mut self, policy: &Policy) {
        self.state = match (self.target(), &policy.update) {
            (None, Update::Registration { .. }) if self.home.is_some() => State::Registering { spent: Duration::ZERO },
            (None, _) => self.arrived(),
            (Some(_), Update::Hook(_)) => State::Updating { attempt: 1, wait: Duration::ZERO },
            (Some(_), Update::Registration { .. } | Update::Running) => self.updated(policy),
        };
    }

    /// The state of one that runs the version it is to run.
    pub(super) fn updated(&self, policy: &Policy) -> State {
        match policy.health {
            Some(_) => State::Probing { attempt: 1 },
            None => self.arrived(),
        }
    }

    /// The state at the end of the way.
    pub(super) fn arrived(&self) -> State {
        match self.way {
            Way::Forward => State::New,
            Way::Back => State::Old,
        }
    }

    /// Turns it around where it is. Who serves goes on, and an agent in the middle of an update cannot be stopped: it
    /// turns when that has been answered.
    pub(super) fn turn_back(&mut self, policy: &Policy) {
        match (self.way, &self.state) {
            (Way::Back, _) | (Way::Forward, State::Old | State::New) => {}
            (Way::Forward, State::Updating { wait, .. }) if wait.is_zero() => {}
            (Way::Forward, State::Draining { .. }) if self.old.is_some() => self.state = State::Old,
            (
                Way::Forward,
                State::Draining { .. }
                | State::Updating { .. }
                | State::Registering { .. }
                | State::Probing { .. }
                | State::Failed { .. },
            ) => self.return_now(policy),
        }
    }

    /// Begins the way back with nothing to drain.
    pub(super) fn return_now(&mut self, policy: &Policy) {
        self.way = Way::Back;
        self.work(policy);
    }
}
