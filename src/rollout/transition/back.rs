//! Ways back: begun by evidence, by hand or by the spec; at once or over a time; and what comes after.

use std::time::Duration;

use super::super::rolling::{BatchState, Seen};
use super::super::state::{Failed, Progress, Replacement, Return, State};
use super::super::{CommandError, Record};
use super::{Applying, Observation};
use crate::model::{Version, Weight};

/// In how many parts traffic returns that returns over a time.
const PARTS: u32 = 10;

impl Applying<'_> {
    /// Begins the way back because the version failed: that it did is counted.
    pub(super) fn fail_back(&mut self, canary: String, reason: String) {
        let before = self.rollout.failed.take().filter(|failed| failed.version == canary);
        let times = before.map_or(0, |failed| failed.times) + 1;
        let failed = Failed { version: canary.clone(), times };
        self.revert(canary, reason);
        self.rollout.failed = Some(failed);
    }

    /// Begins the way back. What goes back for another reason than its own failure is not tried again by itself.
    pub(super) fn revert(&mut self, canary: String, reason: String) {
        self.rollout.held = false;
        self.rollout.failed = None;
        let stable = self.rollout.stable.clone();
        let wanted_sticky = || self.release.strategy.sticky().cloned();
        let (weight, rolling, waves, sticky) = match &self.rollout.state {
            // The regions that are done have all of their traffic there.
            State::Progressing(Progress { weight, rolling, waves, wave, sticky, .. }) => {
                let weight = if *wave > 0 { Weight::FULL } else { *weight };
                (weight, rolling.clone(), !waves.is_empty(), sticky.clone())
            }
            State::Promoting { rolling, .. } => (Weight::FULL, rolling.clone(), false, wanted_sticky()),
            State::Healthy | State::Reverted { .. } | State::Retiring(_) => {
                (Weight::FULL, None, false, wanted_sticky())
            }
            State::Reverting(_) | State::Experimenting(_) => (Weight::ZERO, None, false, None),
        };
        let rolling = rolling.map(|mut rolling| {
            rolling.turn_back();
            rolling
        });
        let is_served = self.context.is_served(&stable);
        let at_once = is_served && (self.release.rollback.over.is_none() || waves);
        let weight = match &rolling {
            Some(rolling) => rolling.weight(),
            None if at_once => Weight::ZERO,
            None => weight,
        };
        let baseline = self.rollout.baseline_set().filter(|_| weight > Weight::ZERO).map(str::to_owned);
        self.records.push(Record::Reverting {
            canary: canary.clone(),
            stable: stable.clone(),
            reason: reason.clone(),
            explanation: None,
        });
        self.tell_wait((!is_served && rolling.is_none()).then(|| unserved(&stable)));
        let spent = Duration::ZERO;
        self.enter(State::Reverting(Return {
            canary,
            reason,
            weight,
            from: weight,
            spent,
            sticky,
            baseline,
            rolling,
            refused: None,
        }));
    }

    pub(super) fn observe_return(&mut self, mut back: Return, seen: &Observation) {
        if let Some(rolling) = &mut back.rolling {
            let was_back = rolling.is_back();
            self.roll(rolling, &back.canary.clone(), seen);
            back.weight = rolling.weight();
            // Who has just come back is not known to the proxies yet.
            if !was_back || !rolling.is_back() {
                let stuck = match rolling.batch_state() {
                    BatchState::Failed(reason) => {
                        Some(format!("an endpoint is not put back: {reason}; `retry` tries again"))
                    }
                    BatchState::Doing | BatchState::Done => None,
                };
                self.tell_wait(stuck);
                self.rollout.state = State::Reverting(back);
                return;
            }
        } else if back.weight > Weight::ZERO {
            // It has traffic until the stable version can take it.
            let is_served = self.context.is_served(&self.rollout.stable);
            back.baseline = back.baseline.filter(|baseline| !is_served || self.context.is_served(baseline));
            self.tell_wait((!is_served).then(|| unserved(&self.rollout.stable)));
            if is_served {
                // One proxy that lags must not keep all others at what failed.
                back.spent += seen.elapsed;
                back.weight = left(back.from, back.spent, self.release.rollback.over);
            }
            self.rollout.state = State::Reverting(back);
            return;
        }
        if seen.fleet.is_settled() {
            self.tell_wait(None);
            self.records.push(Record::Reverted { canary: back.canary.clone(), proxies: seen.fleet.proxies });
            let Return { canary, reason, refused, .. } = back;
            let refused = refused.filter(|_| canary != self.release.version).unwrap_or(canary);
            self.enter(State::Reverted { canary: refused, reason, waited: Duration::ZERO });
        } else {
            self.rollout.state = State::Reverting(back);
        }
    }

    /// What failed is tried again, when its spec says so and its time has come.
    pub(super) fn observe_reverted(&mut self, canary: String, reason: String, waited: Duration) {
        let times = self.rollout.failed.as_ref().map_or(0, |failed| failed.times);
        let again = self.release.rollback.retry.filter(|_| self.rollout.tries_again(self.release));
        let Some(policy) = again.filter(|_| canary == self.release.version) else { return };
        let wait = policy.backoff.saturating_mul(1 << (times - 1).min(16));
        self.rollout.state = State::Reverted { canary: canary.clone(), reason, waited };
        if waited >= wait && self.why_not_begin(&canary).is_none() {
            self.records.push(Record::TriedAgain { version: canary.clone(), failures: times });
            self.restart(canary);
        }
    }

    /// Begins with a version that was reverted.
    pub(super) fn restart(&mut self, canary: String) {
        let from = self.rollout.stable.clone();
        self.rollout.started_at = self.now;
        self.records.push(Record::Started { from, to: canary.clone() });
        self.begin(canary);
    }

    /// Goes back to a version that was stable, from rest. What the spec wants is not begun again by itself after that.
    pub(super) fn undo(&mut self, to: Option<String>, reason: String) -> Result<(), CommandError> {
        let name = &self.release.name;
        let Some(target) = to.or_else(|| self.rollout.former.last().cloned()) else {
            return Err(CommandError::Refused(format!("release {name}: no other version was stable before")));
        };
        if self.is_in_place() {
            let why =
                "its endpoints are updated in place: change version in its spec, and they are put back a few at a time";
            return Err(CommandError::Refused(format!("release {name}: {why}")));
        }
        let known = self.rollout.former.contains(&target) || self.rollout.left.contains(&target);
        if target == self.rollout.stable {
            return Err(CommandError::Refused(format!("release {name}: {target} has all the traffic already")));
        }
        if !known {
            let all = self.rollout.former.iter().rev().chain(self.rollout.left.iter().rev());
            let former: Vec<&str> = all.map(String::as_str).collect();
            let which =
                if former.is_empty() { "none was".into() } else { format!("these were: {}", former.join(", ")) };
            return Err(CommandError::Refused(format!("release {name}: {target} was never stable before; {which}")));
        }
        if !self.context.is_served(&target) {
            return Err(CommandError::Refused(format!("release {name}: {target} has no endpoint to go back to")));
        }
        let left = self.rollout.stable.clone();
        self.rollout.former.retain(|former| *former != target);
        self.rollout.left.retain(|left| *left != target);
        self.rollout.leave(left.clone());
        self.rollout.stable = target;
        self.rollout.actual = Weight::FULL;
        self.rollout.started_at = self.now;
        self.revert(left, reason);
        if let State::Reverting(back) = &mut self.rollout.state {
            let wanted = self.release.version.clone();
            back.refused = Some(wanted).filter(|wanted| *wanted != self.rollout.stable);
        }
        self.rollout.failed = None;
        Ok(())
    }

    /// Lets the endpoints that are replaced go on.
    pub(super) fn roll(&self, rolling: &mut Replacement, canary: &str, seen: &Observation) {
        self.look(canary, seen, |seen| rolling.observe(seen));
    }

    /// Finishes what is half done, and takes no other endpoint out, whatever holds the release.
    pub(super) fn finish_moving(&mut self, progress: &mut Progress, seen: &Observation) {
        let Some(mut rolling) = progress.rolling.take() else { return };
        let done = rolling.done();
        self.look(&progress.canary, seen, |seen| rolling.finish(seen));
        progress.weight = rolling.weight();
        if rolling.done() != done {
            let (endpoints, of) = (rolling.done(), rolling.total());
            self.records.push(Record::Replaced { endpoints, of, weight: progress.weight });
        }
        progress.rolling = Some(rolling);
    }

    fn look(&self, canary: &str, seen: &Observation, at: impl FnOnce(&Seen<'_>)) {
        let none = Version::default();
        let version = |name: &str| self.context.version(name).unwrap_or(&none);
        let in_progress = |address| seen.in_progress_at.get(&address).copied();
        at(&Seen {
            elapsed: seen.elapsed,
            in_progress: &in_progress,
            from: version(&self.rollout.stable),
            to: version(canary),
            settled: seen.fleet.is_settled(),
        });
    }
}

fn unserved(stable: &str) -> String {
    format!("traffic cannot return: {stable} has no endpoint")
}

/// What is left of a share after some of the time over which it goes, in parts.
fn left(from: Weight, spent: Duration, over: Option<Duration>) -> Weight {
    let Some(over) = over.filter(|over| spent < *over) else { return Weight::ZERO };
    let gone = (spent.as_secs_f64() / over.as_secs_f64() * f64::from(PARTS)) as u32 + 1;
    Weight::from_hundredths(from.hundredths() / PARTS * PARTS.saturating_sub(gone))
}
