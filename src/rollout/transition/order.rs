//! Orders of a person.

use super::super::state::{Progress, RetireStage, Retiring, Return, Stage, State};
use super::super::{Command, CommandError, Record};
use super::Applying;

/// Why traffic returns at the order `undo`.
const UNDONE: &str = "undone by hand";

impl Applying<'_> {
    /// Carries out an order.
    pub(super) fn order(&mut self, command: Command) -> Result<(), CommandError> {
        let before = self.records.len();
        match command.clone() {
            Command::Abort { reason } => {
                if !self.abort(&reason)? {
                    return Ok(());
                }
            }
            Command::Undo { to } => self.take_back(to)?,
            Command::Promote { full } => self.promote_by_hand(full)?,
            Command::Pause => match self.rollout.state {
                State::Progressing(_) | State::Experimenting(_) | State::Retiring(_) => self.rollout.held = true,
                _ => return self.refused("no rollout is in progress, so there is nothing to pause"),
            },
            Command::Resume if self.rollout.held => self.rollout.held = false,
            Command::Resume if self.release.paused => {
                return self.refused("its spec says paused: true; change it there");
            }
            Command::Resume => return self.refused("it was not paused by hand; `promote` ends the pause of a step"),
            Command::Retry => self.retry()?,
        }
        self.records.insert(before, Record::Ordered { command });
        Ok(())
    }

    fn refused(&self, why: &str) -> Result<(), CommandError> {
        Err(CommandError::Refused(format!("release {}: {why}", self.release.name)))
    }

    /// Returns whether there was anything to do.
    fn abort(&mut self, reason: &str) -> Result<bool, CommandError> {
        let why = if reason.is_empty() { "aborted".into() } else { format!("aborted: {reason}") };
        // What a person has stopped is not tried again by itself.
        let tries_again = self.rollout.tries_again(self.release);
        self.rollout.failed = None;
        match self.rollout.state.clone() {
            State::Progressing(Progress { canary, .. }) | State::Promoting { canary, .. } => self.revert(canary, why),
            // On the way back already; what returns over a time returns at once.
            State::Reverting(back) => {
                let hurries = back.rolling.is_none()
                    && back.weight.hundredths() > 0
                    && self.context.is_served(&self.rollout.stable);
                if !hurries {
                    return Ok(tries_again);
                }
                self.rollout.state = State::Reverting(Return { weight: Default::default(), ..back });
            }
            State::Reverted { .. } => return Ok(tries_again),
            State::Experimenting(trial) => self.conclude(trial, &why),
            State::Retiring(Retiring { stage: RetireStage::Before(_) | RetireStage::Throwing(_), version, .. }) => {
                let why = format!("{version} is being thrown away: there is nothing to go back to");
                return self.refused(&why).map(|()| false);
            }
            State::Retiring(Retiring { version, .. }) => {
                self.undo(Some(version), why)?;
            }
            State::Healthy => {
                let why =
                    "nothing is in progress; `undo` goes back to what was stable before, or change version in its spec";
                return self.refused(why).map(|()| false);
            }
        }
        Ok(true)
    }

    fn take_back(&mut self, to: Option<String>) -> Result<(), CommandError> {
        match self.rollout.state.clone() {
            State::Progressing(Progress { canary, .. }) | State::Promoting { canary, .. } => match to {
                Some(to) if to != self.rollout.stable => self.refused(&format!(
                    "{canary} is on its way, and goes back to {}: abort it first",
                    self.rollout.stable
                )),
                _ => {
                    self.revert(canary, UNDONE.into());
                    self.rollout.failed = None;
                    Ok(())
                }
            },
            State::Reverting(_) => self.refused("it is on its way back; wait for that"),
            State::Experimenting(_) => self.refused("an experiment is on its way: abort it first"),
            State::Retiring(Retiring { stage: RetireStage::Before(_) | RetireStage::Throwing(_), .. }) => {
                self.refused("the version before is being thrown away; wait for that")
            }
            State::Healthy | State::Reverted { .. } | State::Retiring(_) => self.undo(to, UNDONE.into()),
        }
    }

    fn promote_by_hand(&mut self, full: bool) -> Result<(), CommandError> {
        let State::Progressing(mut progress) = self.rollout.state.clone() else {
            return self.refused("no rollout is in progress, so there is nothing to promote");
        };
        if let Some(denied) = self.denied() {
            return self.refused(&format!("{denied}; take the window out of its spec to go on all the same"));
        }
        match &progress.stage {
            Stage::Preparing if !progress.looked.is_zero() && progress.wave == 0 => {
                let stable = &self.rollout.stable;
                return self.refused(&format!("it looks at what {stable} is like first, for a few seconds: try again"));
            }
            Stage::Preparing => {
                return self.refused("not every proxy has accepted its cluster yet, so no traffic can be sent there");
            }
            Stage::Replacing => {
                return self.refused("endpoints are being replaced, which cannot be skipped; wait for it, or abort");
            }
            _ if full && progress.rolling.as_ref().is_some_and(|rolling| rolling.done() < rolling.total()) => {
                return self.refused("not all endpoints run the new version yet; promote ends the present step alone");
            }
            _ if !self.context.is_served(&progress.canary) => {
                return self.refused(&format!("{} has no endpoint", progress.canary));
            }
            Stage::Settling if !full => {
                return self.refused("the weight is not yet in force on every proxy; --full skips all steps");
            }
            _ => {}
        }
        self.rollout.held = false;
        match (full || progress.stage == Stage::Gate, self.is_edited(&progress)) {
            (true, _) => self.promote(progress.canary, Some("promoted by hand".into())),
            (false, true) if !self.keep_step(&mut progress) => self.follow_steps(progress),
            (false, _) => self.onward(progress),
        }
        Ok(())
    }

    fn retry(&mut self) -> Result<(), CommandError> {
        match self.rollout.state.clone() {
            State::Reverted { .. } if self.release.paused => {
                return self.refused("its spec says paused: true; change it there");
            }
            State::Reverted { canary, .. } => {
                if canary != self.release.version {
                    return self.refused("its spec wants another version by now");
                }
                if let Some(why) = self.why_not_begin(&canary) {
                    return self.refused(&why);
                }
                self.restart(canary);
            }
            // The engine gives what was rejected another chance.
            State::Progressing(_) | State::Promoting { .. } if self.rollout.obstacle.is_some() => {
                self.rollout.obstacle = None;
            }
            // An endpoint that was not put back is tried again.
            State::Reverting(mut back) if back.rolling.is_some() && self.rollout.waits.is_some() => {
                if let Some(rolling) = &mut back.rolling {
                    rolling.try_again();
                }
                self.enter(State::Reverting(back));
            }
            // A batch that failed is tried again.
            State::Progressing(mut progress)
                if matches!(progress.stage, Stage::Waiting { .. }) && progress.rolling.is_some() =>
            {
                if let Some(rolling) = &mut progress.rolling {
                    rolling.try_again();
                }
                progress.stage = Stage::Replacing;
                self.enter(State::Progressing(progress));
            }
            _ => return self.refused("its version was not reverted, so there is nothing to try again"),
        }
        Ok(())
    }
}
