//! Hooks on their way, and what is made of their answers.

use std::time::Duration;

use super::super::Record;
use super::super::call::{Answer, Call};
use super::super::state::{Calling, Progress, RetireStage, Retiring, Stage, State};
use super::Applying;
use crate::model::OnHookFailure;

/// What a hook's answer comes to.
pub(super) enum Outcome {
    /// It said yes.
    Yes,
    /// It is tried again.
    Again(Calling),
    /// It said no for the last time.
    No(String),
}

impl Applying<'_> {
    /// Takes in an answer, when it is one to what is asked now.
    pub(super) fn answer(&mut self, answer: &Answer) {
        match self.rollout.state.clone() {
            State::Progressing(mut progress) => {
                if let Stage::Calling(calling) = progress.stage.clone() {
                    if self.rollout.is_answer(&answer.key, answer.attempt) {
                        self.step_answered(progress, calling, answer);
                    }
                } else if let Some(rolling) = &mut progress.rolling {
                    let done = rolling.done();
                    if !rolling.answered(answer, &self.rollout.names(&progress.canary, &self.rollout.key_prefix())) {
                        return;
                    }
                    let (endpoints, of, weight) = (rolling.done(), rolling.total(), rolling.weight());
                    self.tell_answer(answer);
                    if endpoints != done {
                        self.records.push(Record::Replaced { endpoints, of, weight });
                    }
                    self.stay(progress);
                }
            }
            State::Reverting(mut back) => {
                if let Some(rolling) = &mut back.rolling
                    && rolling.answered(answer, &self.rollout.names(&back.canary, &self.rollout.key_prefix()))
                {
                    self.tell_answer(answer);
                    self.rollout.state = State::Reverting(back);
                }
            }
            State::Retiring(retiring) if self.rollout.is_answer(&answer.key, answer.attempt) => {
                self.retirement_answered(retiring, answer);
            }
            _ => {}
        }
    }

    fn tell_answer(&mut self, answer: &Answer) {
        let (ok, said) = match &answer.outcome {
            Ok(said) => (true, said.clone()),
            Err(said) => (false, said.clone()),
        };
        self.records.push(Record::Answered { key: answer.key.clone(), attempt: answer.attempt, ok, said });
    }

    fn step_answered(&mut self, mut progress: Progress, calling: Calling, answer: &Answer) {
        match self.weigh(calling.clone(), answer) {
            Outcome::Yes => self.next(progress),
            Outcome::Again(calling) => {
                progress.stage = Stage::Calling(calling);
                self.stay(progress);
            }
            Outcome::No(reason) => match calling.hook.on_failure {
                OnHookFailure::Revert => self.fail_back(progress.canary, reason),
                OnHookFailure::Pause => self.wait(progress, format!("{reason}: promote goes on without it")),
                OnHookFailure::Continue => self.next(progress),
            },
        }
    }

    /// What an answer comes to; it is told.
    pub(super) fn weigh(&mut self, mut calling: Calling, answer: &Answer) -> Outcome {
        self.tell_answer(answer);
        let Err(said) = &answer.outcome else { return Outcome::Yes };
        calling.failures += 1;
        if calling.failures > calling.hook.retries {
            return Outcome::No(format!("hook {} failed: {said}", calling.hook.name));
        }
        calling.wait = calling.hook.backoff.saturating_mul(1 << (calling.failures - 1).min(16));
        calling.attempt += 1;
        Outcome::Again(calling)
    }

    pub(super) fn wait_for_call(&mut self, mut progress: Progress, mut calling: Calling, elapsed: Duration) {
        calling.wait = calling.wait.saturating_sub(elapsed);
        progress.stage = Stage::Calling(calling);
        self.stay(progress);
    }
}

impl super::Rollout {
    /// The process that made its calls has ended: what was on its way is asked again, under the same key. A hook of the
    /// steps is told so by a higher number; and the journal tells of all of them.
    pub fn interrupted(&mut self) -> Vec<Record> {
        let is_on_its_way = |calling: &&mut Calling| calling.wait == Duration::ZERO;
        let calling = match &mut self.state {
            State::Progressing(Progress { stage: Stage::Calling(calling), .. }) => Some(calling),
            State::Retiring(Retiring {
                stage: RetireStage::Before(calling) | RetireStage::Throwing(calling), ..
            }) => Some(calling),
            _ => None,
        };
        calling.filter(is_on_its_way).into_iter().for_each(|calling| calling.attempt += 1);
        self.calls().iter().filter_map(Call::record).collect()
    }
}
