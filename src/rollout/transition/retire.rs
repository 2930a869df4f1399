//! The end of a version that is not kept: its last requests, the hook before, the hook that throws it away.

use std::time::Duration;

use super::super::Record;
use super::super::call::Answer;
use super::super::state::{Calling, RetireStage, Retiring, State};
use super::hook::Outcome;
use super::{Applying, Observation};
use crate::model::Retire;

impl Applying<'_> {
    pub(super) fn begin_retirement(&mut self, version: String, retire: Retire) {
        self.records.push(Record::Retiring { version: version.clone() });
        let known = self.context.version(&version).map_or(&[][..], |version| &version.endpoints);
        let endpoints = known.iter().map(|endpoint| endpoint.address).collect();
        let stage = RetireStage::Draining { spent: Duration::ZERO };
        self.enter(State::Retiring(Retiring { version, endpoints, retire, stage }));
    }

    pub(super) fn observe_retirement(&mut self, mut retiring: Retiring, seen: &Observation) {
        match &mut retiring.stage {
            RetireStage::Draining { spent } => {
                if self.is_held() || !seen.fleet.is_settled() {
                    return self.rollout.state = State::Retiring(retiring);
                }
                *spent += seen.elapsed;
                if seen.in_progress != Some(0) && *spent < retiring.retire.drain {
                    return self.rollout.state = State::Retiring(retiring);
                }
                self.throw(retiring, false);
            }
            RetireStage::Before(calling) | RetireStage::Throwing(calling) => {
                calling.wait = calling.wait.saturating_sub(seen.elapsed);
                self.rollout.state = State::Retiring(retiring);
            }
        }
    }

    /// The next hook. `prepared` tells whether the one before has said yes.
    fn throw(&mut self, mut retiring: Retiring, prepared: bool) {
        let stage = match retiring.retire.before.as_ref().filter(|_| !prepared) {
            Some(before) => RetireStage::Before(Calling::new(before, "beforeRetire")),
            None => RetireStage::Throwing(Calling::new(&retiring.retire.hook, "retire")),
        };
        if matches!(stage, RetireStage::Throwing(_)) {
            // From here on there is nothing to come back to.
            self.rollout.former.retain(|former| *former != retiring.version);
        }
        retiring.stage = stage;
        self.enter(State::Retiring(retiring));
    }

    pub(super) fn retirement_answered(&mut self, mut retiring: Retiring, answer: &Answer) {
        let (calling, is_last) = match retiring.stage.clone() {
            RetireStage::Draining { .. } => return,
            RetireStage::Before(calling) => (calling, false),
            RetireStage::Throwing(calling) => (calling, true),
        };
        match self.weigh(calling, answer) {
            Outcome::Yes if is_last => {
                self.records.push(Record::Retired { version: retiring.version });
                self.enter(State::Healthy);
            }
            Outcome::Yes => self.throw(retiring, true),
            Outcome::Again(calling) => {
                retiring.stage = if is_last { RetireStage::Throwing(calling) } else { RetireStage::Before(calling) };
                self.rollout.state = State::Retiring(retiring);
            }
            Outcome::No(reason) => {
                let version = retiring.version;
                self.records.push(Record::Kept { version, reason });
                self.enter(State::Healthy);
            }
        }
    }
}
