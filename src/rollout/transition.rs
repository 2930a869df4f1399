//! PURE: the state machine. (rollout, event, wanted release, now) → (rollout, records).
//!
//! Nothing is done here: the caller keeps the new rollout together with its records, and only then publishes what
//! [`Rollout::plan`] says. The same event given twice does no harm: a weight that is in force is in force again.
//!
//! Invariants: `abort` reaches the stable version from every state; no traffic moves to a version that some proxy has not
//! accepted; nothing advances without a proxy that has the weight in force, or while something that the release needs is
//! rejected; no data is never a pass; time counts only while it was attended.

use std::time::Duration;

use jiff::Timestamp;

use super::fleet::FleetState;
use super::state::{Progress, Rollout, Stage, State};
use super::{Command, CommandError, Record};
use crate::analysis::{Judge, Verdict, Window};
use crate::model::{OnInconclusive, OnNoData, OnRejected, Release, Step, Weight};

/// For how long an `analyze` step may be blind before `onNoData: revert` acts.
const BLIND_LIMIT: Duration = Duration::from_secs(30);

/// The longest time between two windows of evidence that still counts as looking.
const REPORT_GAP: Duration = Duration::from_secs(5);

/// What a release waits for when it may not go back by itself.
const AUTO_OFF: &str = "rollback.auto is off: abort or promote";

/// What can happen to a rollout.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Time passed, and this was seen.
    Observed(Observation),
    /// A person gave an order.
    Ordered(Command),
}

/// What was seen since the last observation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observation {
    /// Monotonic time since the last observation.
    pub elapsed: Duration,
    /// How far the fleet is with what is published.
    pub fleet: FleetState,
    /// The counts of the proxies that had the present weight in force, when there are any.
    pub window: Option<Window>,
}

/// The outcome of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The rollout after it.
    pub rollout: Rollout,
    /// What is to be said of it, in order. Empty when nothing worth keeping happened.
    pub records: Vec<Record>,
}

impl Rollout {
    /// Carries out an event.
    ///
    /// # Errors
    /// When an order makes no sense in the present state. Observations never fail.
    pub fn apply(self, event: Event, release: &Release, now: Timestamp) -> Result<Transition, CommandError> {
        let mut step = Applying { rollout: self, release, now, records: Vec::new() };
        let published = step.rollout.plan();
        step.reconcile();
        match event {
            // The spec has just moved the traffic: what was seen was seen of another plan.
            Event::Observed(_) if step.rollout.plan() != published => {}
            Event::Observed(observation) => step.observe(observation),
            Event::Ordered(command) => step.order(command)?,
        }
        step.reconcile();
        Ok(Transition { rollout: step.rollout, records: step.records })
    }
}

impl Rollout {
    /// Takes a window into the judgement without deciding anything, for when no decision could be kept.
    pub fn watch(&mut self, window: Window, release: &Release) -> Option<Record> {
        let State::Progressing(progress) = &mut self.state else { return None };
        progress.judge.observe(&window, &release.analysis);
        Some(Record::Measured { window, evidence: progress.judge.evidence(&release.analysis) })
    }
}

struct Applying<'a> {
    rollout: Rollout,
    release: &'a Release,
    now: Timestamp,
    records: Vec<Record>,
}

impl Applying<'_> {
    /// Brings the state in line with what the spec wants.
    fn reconcile(&mut self) {
        let wanted = self.release.version.clone();
        let stable = self.rollout.stable.clone();
        match self.rollout.state.clone() {
            State::Healthy if wanted == stable => {}
            // A version that is paused from the start gets no first step, either.
            State::Healthy | State::Reverted { .. } if self.release.paused && wanted != stable => {}
            State::Healthy => self.start(wanted),
            State::Reverted { .. } if wanted == stable => self.enter(State::Healthy),
            State::Reverted { canary, .. } if wanted == canary => {}
            State::Reverted { .. } => self.start(wanted),
            State::Progressing(Progress { canary, .. }) | State::Promoting { canary } if wanted == stable => {
                self.revert(canary, format!("the spec went back to {stable}"));
            }
            // A newer version in a paused spec moves nothing, either: what is on its way stays where it is.
            State::Progressing(Progress { canary, .. }) | State::Promoting { canary }
                if wanted != canary && !self.release.paused =>
            {
                self.records.push(Record::Superseded { canary, by: wanted.clone() });
                self.start(wanted);
            }
            // The way there or back is not finished: what is wanted then is looked at then. Edited steps are followed
            // when a step may be taken at all.
            State::Progressing(_) | State::Promoting { .. } | State::Reverting { .. } => {}
        }
    }

    fn start(&mut self, to: String) {
        let from = self.rollout.stable.clone();
        self.rollout.started_at = self.now;
        self.rollout.held = false;
        self.rollout.actual = Weight::ZERO;
        self.records.push(Record::Started { from, to: to.clone() });
        if self.rollout.former.last() == Some(&to) {
            // Going back to what served before is a rollback: at once, whatever the steps are.
            return self.promote(to, Some("it was the stable version before".into()));
        }
        self.begin(to);
    }

    fn begin(&mut self, canary: String) {
        let steps = self.release.strategy.steps().to_vec();
        let (stage, weight, judge) = (Stage::Preparing, Weight::ZERO, Judge::default());
        self.enter(State::Progressing(Progress { canary, steps, step: 0, stage, weight, judge }));
    }

    /// Enters a step, or promotes when there is none left.
    fn enter_step(&mut self, mut progress: Progress, step: usize) {
        let Some(what) = progress.steps.get(step).cloned() else {
            return self.promote(progress.canary, None);
        };
        progress.step = step;
        progress.stage = match &what {
            Step::SetWeight(weight) => {
                progress.weight = *weight;
                Stage::Settling
            }
            Step::Pause(Some(_)) => Stage::Pausing { spent: Duration::ZERO },
            Step::Pause(None) => Stage::Waiting { reason: "a pause without an end: promote to go on".into() },
            Step::Analyze { .. } => {
                progress.judge.begin_step();
                Stage::Analyzing { spent: Duration::ZERO, blind: Duration::ZERO }
            }
        };
        self.records.push(Record::StepBegun { step, what: what.to_string(), weight: progress.weight });
        if let Stage::Waiting { reason } = &progress.stage {
            self.records.push(Record::Waiting { reason: reason.clone() });
        }
        self.enter(State::Progressing(progress));
    }

    fn is_edited(&self, progress: &Progress) -> bool {
        progress.steps != self.release.strategy.steps()
    }

    /// When the steps were edited: goes on after the last weight that is not above the present one. Weights never fall
    /// by an edit.
    fn follow_steps(&mut self, mut progress: Progress) {
        let wanted = self.release.strategy.steps();
        let reached = |step: &Step| matches!(step, Step::SetWeight(weight) if *weight <= progress.weight);
        let next = wanted.iter().rposition(reached).map_or(0, |at| at + 1);
        progress.steps = wanted.to_vec();
        self.records.push(Record::StrategyChanged { step: next });
        self.enter_step(progress, next);
    }

    fn promote(&mut self, canary: String, reason: Option<String>) {
        self.records.push(Record::Promoting { canary: canary.clone(), reason });
        self.enter(State::Promoting { canary });
    }

    fn revert(&mut self, canary: String, reason: String) {
        self.rollout.held = false;
        let stable = self.rollout.stable.clone();
        self.records.push(Record::Reverting { canary: canary.clone(), stable, reason: reason.clone() });
        self.enter(State::Reverting { canary, reason });
    }

    fn wait(&mut self, mut progress: Progress, reason: String) {
        self.records.push(Record::Waiting { reason: reason.clone() });
        progress.stage = Stage::Waiting { reason };
        self.enter(State::Progressing(progress));
    }

    fn enter(&mut self, state: State) {
        self.rollout.state = state;
        self.rollout.changed_at = self.now;
    }

    fn observe(&mut self, seen: Observation) {
        if seen.fleet.is_settled() {
            self.rollout.actual = match self.rollout.canary() {
                Some(canary) => self.rollout.plan().weight_of(canary),
                None => Weight::ZERO,
            };
        }
        self.tell_obstacle(&seen.fleet);
        match self.rollout.state.clone() {
            State::Healthy | State::Reverted { .. } => {}
            State::Progressing(progress) => self.observe_progress(progress, seen),
            State::Promoting { canary } => {
                if let Some(reason) = self.sends_back(&seen.fleet, true) {
                    return self.revert(canary, reason);
                }
                if seen.fleet.is_settled() && seen.fleet.obstacle().is_none() {
                    self.rollout.settle_on(canary.clone());
                    self.rollout.actual = Weight::ZERO;
                    self.records.push(Record::Promoted { version: canary });
                    self.enter(State::Healthy);
                }
            }
            State::Reverting { canary, reason } => {
                if seen.fleet.is_settled() {
                    self.records.push(Record::Reverted { canary: canary.clone(), proxies: seen.fleet.proxies });
                    self.enter(State::Reverted { canary, reason });
                }
            }
        }
    }

    /// Tells once what the proxies have against it.
    fn tell_obstacle(&mut self, fleet: &FleetState) {
        let on_its_way = matches!(self.rollout.state, State::Progressing(_) | State::Promoting { .. });
        let obstacle = fleet.obstacle().filter(|_| on_its_way);
        if let Some(reason) = obstacle.clone().filter(|_| obstacle != self.rollout.obstacle) {
            self.records.push(Record::Held { reason });
        }
        self.rollout.obstacle = obstacle;
    }

    /// Why a rejection sends the release back, if it does.
    fn sends_back(&self, fleet: &FleetState, moving: bool) -> Option<String> {
        let refusal = fleet.refusal.as_ref().filter(|_| self.release.on_rejected == OnRejected::Revert)?;
        refusal.is_own(moving).then(|| refusal.text.clone())
    }

    fn observe_progress(&mut self, mut progress: Progress, seen: Observation) {
        let policy = &self.release.analysis;
        // Of a version without traffic nothing can be seen.
        let window = seen.window.filter(|_| progress.stage != Stage::Preparing);
        let has_data = window.as_ref().is_some_and(Window::has_data);
        if let Some(window) = window {
            progress.judge.observe(&window, policy);
            self.records.push(Record::Measured { window, evidence: progress.judge.evidence(policy) });
        }
        let verdict = progress.judge.verdict(policy);
        // The guard stands in every step, held or not: a pause that does not watch is how bad versions stay.
        if let Verdict::Fail { reason, .. } = &verdict {
            return self.fail(progress, reason.clone());
        }
        if let Some(reason) = self.sends_back(&seen.fleet, progress.stage == Stage::Settling) {
            return self.revert(progress.canary, reason);
        }
        let settled = match progress.stage {
            Stage::Preparing => seen.fleet.is_ready(),
            Stage::Settling | Stage::Pausing { .. } | Stage::Analyzing { .. } | Stage::Waiting { .. } => {
                seen.fleet.is_settled()
            }
        };
        // A proxy that rejects what is needed is not as intended, even where the routes are in force.
        let attended = !self.is_held() && settled && seen.fleet.is_unhindered();
        self.rollout.state = State::Progressing(progress.clone());
        if !attended {
            return;
        }
        if self.is_edited(&progress) {
            return self.follow_steps(progress);
        }
        let present = progress.steps.get(progress.step).cloned();
        match (progress.stage.clone(), present) {
            (Stage::Preparing, _) => self.enter_step(progress, 0),
            (Stage::Settling, _) => {
                self.records.push(Record::Settled { weight: progress.weight, proxies: seen.fleet.proxies });
                self.next(progress);
            }
            (Stage::Pausing { spent }, Some(Step::Pause(Some(duration)))) => {
                let spent = spent + seen.elapsed;
                if spent >= duration {
                    return self.next(progress);
                }
                self.stay(progress, Stage::Pausing { spent });
            }
            (Stage::Analyzing { spent, blind }, Some(Step::Analyze { max })) => {
                // Reports come less often than observations: a short gap between two of them is attended time too.
                let (spent, blind) = if has_data {
                    (spent + seen.elapsed + blind.min(REPORT_GAP), Duration::ZERO)
                } else {
                    (spent, blind + seen.elapsed)
                };
                self.judge(progress, verdict, Analysis { spent, blind, max, has_data });
            }
            (Stage::Waiting { .. } | Stage::Pausing { .. } | Stage::Analyzing { .. }, _) => {}
        }
    }

    fn is_held(&self) -> bool {
        self.rollout.held || self.release.paused
    }

    fn judge(&mut self, progress: Progress, verdict: Verdict, time: Analysis) {
        let policy = &self.release.analysis;
        let over = time.spent >= time.max;
        let blind = time.blind >= BLIND_LIMIT && policy.on_no_data == OnNoData::Revert;
        match verdict {
            // A proof that was reached while nobody could act on it takes fresh data to be acted on.
            Verdict::Pass { reason } if time.has_data => {
                self.records.push(Record::Judged { verdict: "pass".into(), reason });
                self.next(progress);
            }
            Verdict::Pass { .. } | Verdict::NoData { .. } | Verdict::Undecided { .. } if blind => {
                let reason = format!("no evidence for {} s, and onNoData is revert", time.blind.as_secs());
                self.records.push(Record::Judged { verdict: "noData".into(), reason: reason.clone() });
                self.revert(progress.canary, reason);
            }
            // Nothing could prove it good, so that nothing spoke against it is all that can be asked.
            Verdict::Undecided { .. } if over && policy.errors.is_none() => {
                let reason = "nothing failed for the whole step (no errors metric is set)".to_owned();
                self.records.push(Record::Judged { verdict: "pass".into(), reason });
                self.next(progress);
            }
            Verdict::Undecided { reason } if over => {
                self.records.push(Record::Judged { verdict: "inconclusive".into(), reason: reason.clone() });
                match policy.on_inconclusive {
                    OnInconclusive::Pause => {
                        self.wait(progress, format!("the analysis was inconclusive: {reason}"));
                    }
                    OnInconclusive::Revert => {
                        self.revert(progress.canary, format!("the analysis was inconclusive: {reason}"));
                    }
                    OnInconclusive::Advance => self.next(progress),
                }
            }
            Verdict::Pass { .. } | Verdict::Fail { .. } | Verdict::Undecided { .. } | Verdict::NoData { .. } => {
                self.stay(progress, Stage::Analyzing { spent: time.spent, blind: time.blind });
            }
        }
    }

    fn fail(&mut self, progress: Progress, reason: String) {
        if self.release.auto_rollback {
            self.records.push(Record::Judged { verdict: "fail".into(), reason: reason.clone() });
            return self.revert(progress.canary, reason);
        }
        // Said once: the counts in the reason go on growing.
        if matches!(&progress.stage, Stage::Waiting { reason } if reason.ends_with(AUTO_OFF)) {
            self.rollout.state = State::Progressing(progress);
            return;
        }
        self.records.push(Record::Judged { verdict: "fail".into(), reason: reason.clone() });
        self.wait(progress, format!("{reason}; {AUTO_OFF}"));
    }

    fn stay(&mut self, mut progress: Progress, stage: Stage) {
        progress.stage = stage;
        self.rollout.state = State::Progressing(progress);
    }

    fn next(&mut self, progress: Progress) {
        let step = progress.step + 1;
        self.enter_step(progress, step);
    }

    fn order(&mut self, command: Command) -> Result<(), CommandError> {
        let refused = |why: &str| Err(CommandError::Refused(format!("release {}: {why}", self.release.name)));
        let before = self.records.len();
        match (command.clone(), self.rollout.state.clone()) {
            (Command::Abort { reason }, State::Progressing(Progress { canary, .. }) | State::Promoting { canary }) => {
                let why = if reason.is_empty() { "aborted".into() } else { format!("aborted: {reason}") };
                self.revert(canary, why);
            }
            // Already back, or on the way: what was asked for is so.
            (Command::Abort { .. }, State::Reverting { .. } | State::Reverted { .. }) => return Ok(()),
            (Command::Abort { .. }, State::Healthy) => {
                return refused("nothing is in progress; to go back, change version in its spec");
            }
            (Command::Promote { .. }, State::Progressing(Progress { stage: Stage::Preparing, .. })) => {
                return refused("not every proxy has accepted its cluster yet, so no traffic can be sent there");
            }
            (Command::Promote { full: true }, State::Progressing(progress)) => {
                self.rollout.held = false;
                self.promote(progress.canary, Some("promoted by hand".into()));
            }
            (Command::Promote { full: false }, State::Progressing(progress)) => {
                if progress.stage == Stage::Settling {
                    return refused("the weight is not yet in force on every proxy; --full skips all steps");
                }
                self.rollout.held = false;
                match self.is_edited(&progress) {
                    true => self.follow_steps(progress),
                    false => self.next(progress),
                }
            }
            (Command::Promote { .. }, _) => {
                return refused("no rollout is in progress, so there is nothing to promote");
            }
            (Command::Pause, State::Progressing(_)) => self.rollout.held = true,
            (Command::Pause, _) => return refused("no rollout is in progress, so there is nothing to pause"),
            (Command::Resume, _) if self.rollout.held => self.rollout.held = false,
            (Command::Resume, _) if self.release.paused => {
                return refused("its spec says paused: true; change it there");
            }
            (Command::Resume, _) => return refused("it was not paused by hand; `promote` ends the pause of a step"),
            (Command::Retry, State::Reverted { .. }) if self.release.paused => {
                return refused("its spec says paused: true; change it there");
            }
            (Command::Retry, State::Reverted { canary, .. }) => {
                let from = self.rollout.stable.clone();
                self.rollout.started_at = self.now;
                self.records.push(Record::Started { from, to: canary.clone() });
                self.begin(canary);
            }
            // The engine gives what was rejected another chance.
            (Command::Retry, State::Progressing(_) | State::Promoting { .. }) if self.rollout.obstacle.is_some() => {
                self.rollout.obstacle = None;
            }
            (Command::Retry, _) => return refused("its version was not reverted, so there is nothing to try again"),
        }
        self.records.insert(before, Record::Ordered { command });
        Ok(())
    }
}

/// The times of an `analyze` step.
struct Analysis {
    spent: Duration,
    blind: Duration,
    max: Duration,
    /// Whether this very observation had something to look at.
    has_data: bool,
}

#[cfg(test)]
mod tests;
