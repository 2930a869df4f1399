//! A canary on its way: the guard that stands in every step, and what each stage waits for.

use std::time::Duration;

use super::super::Record;
use super::super::fleet::FleetState;
use super::super::state::{Progress, Stage, State};
use super::{AUTO_OFF, Applying, Observation};
use crate::analysis::{Verdict, Window};
use crate::model::{Holdback, OnDeadline, OnInconclusive, OnNoData, Step, Weight};

/// For how long an `analyze` step may be blind before `onNoData: revert` acts.
const BLIND_LIMIT: Duration = Duration::from_secs(30);

/// The longest time between two windows of evidence that still counts as looking.
const REPORT_GAP: Duration = Duration::from_secs(5);

/// For how long the proxies may see no healthy endpoint of a version with traffic: a health check may be late.
const DEAD_LIMIT: Duration = Duration::from_secs(5);

/// The times of an analysis.
struct Analysis {
    spent: Duration,
    blind: Duration,
    max: Duration,
    /// Whether this very observation had something to look at.
    has_data: bool,
}

impl Applying<'_> {
    pub(super) fn observe_progress(&mut self, mut progress: Progress, seen: Observation) {
        let policy = &self.release.analysis;
        progress.expose(policy, &seen);
        if let Some(window) = seen.window.as_ref().filter(|_| progress.has_auto()) {
            let share = progress.compared(&self.rollout.stable);
            progress.climb.observe(window, share, policy);
        }
        let window = self.evidence_of(&progress, &seen);
        let window = window.as_deref();
        let speaks = |window: &Window| window.has_data() && window.silent_share() <= policy.silent_limit;
        let has_data = window.is_some_and(speaks);
        if let Some(window) = window {
            let measurement = Box::new(progress.judge.observe(window, policy));
            self.records.push(Record::Measured { version: progress.canary.clone(), measurement });
        }
        let verdict = progress.judge.verdict(progress.judge.asked(policy));
        self.explanation = self.rollout.explain(&progress, policy);
        // The guard stands in every step, held or not: a pause that does not watch is how bad versions stay.
        if let Verdict::Fail { reason, .. } = &verdict {
            return self.fail(progress, reason.clone());
        }
        if let Some(reason) = self.sends_back(&seen.fleet, progress.stage == Stage::Settling) {
            return self.revert(progress.canary, reason);
        }
        if let Some(reason) = self.mate_went_back() {
            return self.revert(progress.canary, reason);
        }
        if let Some(reason) = self.death(&mut progress, &seen) {
            return self.fail_back(progress.canary, reason);
        }
        let settled = match progress.stage {
            // It looks for itself.
            Stage::Replacing => true,
            _ if progress.has_no_share() => seen.fleet.is_ready(),
            _ => seen.fleet.is_settled(),
        };
        let denied = self.denied();
        let waits = denied.clone().or_else(|| self.unready(&progress));
        self.tell_wait(waits.or_else(|| self.newer_waits(&progress.canary)));
        // A proxy that rejects what is needed is not as intended, even where the routes are in force.
        let is_intended = settled && seen.fleet.is_unhindered();
        let attended = !self.is_held() && is_intended && denied.is_none();
        let looks = is_intended && has_data;
        if !self.is_held() && denied.is_none() && self.overdue(&mut progress, seen.elapsed, looks, is_intended) {
            return self.revert(progress.canary, "it made no progress within its progressDeadline".into());
        }
        if !attended || progress.stage != Stage::Replacing {
            self.finish_moving(&mut progress, &seen);
        }
        self.stay(progress.clone());
        if !attended {
            return;
        }
        if self.is_edited(&progress) {
            return self.follow_steps(progress);
        }
        self.go_on(progress, verdict, has_data, &seen);
    }

    /// What a stage does with attended time.
    fn go_on(&mut self, mut progress: Progress, verdict: Verdict, has_data: bool, seen: &Observation) {
        let present = progress.steps.get(progress.step).cloned();
        if matches!(present, Some(Step::Auto { .. })) {
            progress.climb.spent += seen.elapsed;
        }
        match (progress.stage.clone(), present) {
            (Stage::Preparing, _) if self.context.is_served(&progress.canary) => {
                self.prepared(progress, seen.elapsed);
            }
            (Stage::Settling, present) => self.settled(progress, present, seen.fleet.proxies),
            (
                Stage::Pausing { spent },
                Some(
                    Step::Pause(Some(duration))
                    | Step::StandBy(duration)
                    | Step::Mirror { duration: Some(duration), .. },
                ),
            ) => {
                let spent = spent + seen.elapsed;
                if spent >= duration {
                    return self.next(progress);
                }
                progress.stage = Stage::Pausing { spent };
                self.stay(progress);
            }
            (
                Stage::Analyzing { spent, blind },
                Some(
                    Step::Analyze { max }
                    | Step::Auto { max, .. }
                    | Step::Watch { duration: max }
                    | Step::Holdback(Holdback { duration: max, .. }),
                ),
            ) => {
                // Reports come less often than observations: a short gap between two of them is attended time too.
                let (spent, blind) = if has_data {
                    (spent + seen.elapsed + blind.min(REPORT_GAP), Duration::ZERO)
                } else {
                    (spent, blind + seen.elapsed)
                };
                self.judge(progress, verdict, Analysis { spent, blind, max, has_data });
            }
            (Stage::Calling(calling), _) => self.wait_for_call(progress, calling, seen.elapsed),
            (Stage::Replacing, _) => self.replace(progress, seen),
            (Stage::Gate, _) if self.mates_are(|peer| peer.standing.is_through()) => {
                self.promote(progress.canary, None);
            }
            (
                Stage::Preparing
                | Stage::Gate
                | Stage::Waiting { .. }
                | Stage::Pausing { .. }
                | Stage::Analyzing { .. },
                _,
            ) => {}
        }
    }

    /// Why the canary cannot go on serving: it has lost its endpoints.
    fn death(&mut self, progress: &mut Progress, seen: &Observation) -> Option<String> {
        let canary = &progress.canary;
        let has_requests = (progress.stage != Stage::Preparing || progress.wave > 0)
            && self.rollout.plan().versions().contains(&canary.as_str());
        if !has_requests || progress.rolling.is_some() {
            progress.dead = Duration::ZERO;
            return None;
        }
        if !self.context.is_served(canary) {
            return Some(format!("{canary} has lost its last endpoint"));
        }
        progress.dead = match seen.healthy.get(canary) {
            Some(0) => progress.dead + seen.elapsed,
            _ => Duration::ZERO,
        };
        let stable_is_healthy = seen.healthy.get(&self.rollout.stable) != Some(&0);
        (progress.dead >= DEAD_LIMIT && stable_is_healthy)
            .then(|| format!("the proxies have seen no healthy endpoint of {canary} for {} s", DEAD_LIMIT.as_secs()))
    }

    /// What it waits for before its first step, beside the proxies; or that there is nothing to go back to.
    fn unready(&self, progress: &Progress) -> Option<String> {
        let (canary, stable) = (&progress.canary, &self.rollout.stable);
        if progress.stage == Stage::Preparing && !self.context.is_served(canary) {
            return Some(format!("{canary} has no endpoint yet"));
        }
        let is_lost = progress.rolling.is_none() && !self.context.is_served(stable);
        is_lost.then(|| format!("{stable} has lost its last endpoint: no traffic could return"))
    }

    /// Whether it goes back for lack of progress. What may only be waited for is said once. `looks` tells whether there was
    /// something to look at, `is_intended` whether the time of a pause goes on.
    fn overdue(&mut self, progress: &mut Progress, elapsed: Duration, looks: bool, is_intended: bool) -> bool {
        let Some(deadline) = self.release.progress_deadline else { return false };
        let is_its_own = match &progress.stage {
            Stage::Preparing | Stage::Settling | Stage::Calling(_) | Stage::Replacing | Stage::Gate => true,
            // Between two reports it looks, too.
            Stage::Analyzing { blind, .. } => !looks && (!is_intended || *blind >= REPORT_GAP),
            Stage::Pausing { .. } => !is_intended,
            Stage::Waiting { .. } => false,
        };
        if !is_its_own {
            return false;
        }
        let before = progress.stalled;
        progress.stalled = before + elapsed;
        if before < deadline.after && progress.stalled >= deadline.after {
            let reason = format!("no progress for {} s (progressDeadline)", deadline.after.as_secs());
            self.records.push(Record::Held { reason, explanation: None });
        }
        progress.stalled >= deadline.after && deadline.action == OnDeadline::Revert
    }

    /// A change of the routes is in force.
    fn settled(&mut self, mut progress: Progress, present: Option<Step>, proxies: usize) {
        self.records.push(Record::Settled { weight: progress.weight, proxies });
        if progress.weight == Weight::FULL {
            progress.judge.begin_watch(&self.release.analysis);
        }
        if let Some(Step::Mirror { duration: Some(_), .. }) = present {
            progress.stage = Stage::Pausing { spent: Duration::ZERO };
            return self.enter(State::Progressing(progress));
        }
        match present {
            Some(Step::Auto { .. }) => self.look_at_weight(progress),
            Some(Step::Holdback(holdback)) => {
                if progress.weight < Weight::FULL {
                    progress.judge.begin_holdback(holdback.duration);
                }
                self.look_at_weight(progress);
            }
            _ => self.next(progress),
        }
    }

    /// Begins to look at a weight that is in force.
    fn look_at_weight(&mut self, mut progress: Progress) {
        progress.judge.begin_step();
        progress.stage = Stage::Analyzing { spent: Duration::ZERO, blind: Duration::ZERO };
        self.enter(State::Progressing(progress));
    }

    fn judge(&mut self, progress: Progress, verdict: Verdict, time: Analysis) {
        let policy = &self.release.analysis;
        if let (Verdict::Undecided { .. }, Some(higher)) = (&verdict, self.higher_first(&progress)) {
            return self.begin_higher(progress, higher);
        }
        let over = time.spent >= time.max || self.is_late(&progress);
        let held_back = match progress.steps.get(progress.step) {
            Some(Step::Holdback(holdback)) => Some(holdback.weight),
            _ => None,
        };
        let watches = held_back.is_some() || matches!(progress.steps.get(progress.step), Some(Step::Watch { .. }));
        let blind = time.blind >= BLIND_LIMIT && policy.on_no_data == OnNoData::Revert;
        match verdict {
            Verdict::Pass { .. } | Verdict::Undecided { .. } if watches && over => {
                let with = match held_back {
                    Some(weight) => format!("{weight} held back for {}", self.rollout.stable),
                    None => "all the traffic".into(),
                };
                let reason = format!("nothing spoke against it in {} s with {with}", time.spent.as_secs());
                self.records.push(Record::Judged { verdict: "pass".into(), reason, explanation: None });
                self.next(progress);
            }
            // A proof that was reached while nobody could act on it takes fresh data to be acted on.
            Verdict::Pass { reason } if time.has_data && !watches => {
                self.records.push(Record::Judged { verdict: "pass".into(), reason, explanation: None });
                self.onward(progress);
            }
            Verdict::Pass { .. } | Verdict::NoData { .. } | Verdict::Undecided { .. } | Verdict::Error { .. }
                if blind =>
            {
                let reason = format!("no evidence for {} s, and onNoData is revert", time.blind.as_secs());
                self.records.push(Record::Judged {
                    verdict: "noData".into(),
                    reason: reason.clone(),
                    explanation: None,
                });
                self.revert(progress.canary, reason);
            }
            // Nothing could prove it good, so that nothing spoke against it is all that can be asked.
            Verdict::Undecided { .. } if over && !policy.can_prove() => {
                let reason = "nothing failed for the whole step (no metric is set that could prove it good)".to_owned();
                self.records.push(Record::Judged { verdict: "pass".into(), reason, explanation: None });
                self.onward(progress);
            }
            Verdict::Undecided { reason } | Verdict::Error { reason } if over => {
                let reason = self.with_advice(&progress, reason);
                self.inconclusive(progress, reason);
            }
            Verdict::Pass { .. }
            | Verdict::Fail { .. }
            | Verdict::Undecided { .. }
            | Verdict::NoData { .. }
            | Verdict::Error { .. } => {
                let stage = Stage::Analyzing { spent: time.spent, blind: time.blind };
                self.stay(Progress { stage, ..progress });
            }
        }
    }

    fn inconclusive(&mut self, progress: Progress, reason: String) {
        self.records.push(Record::Judged { verdict: "inconclusive".into(), reason: reason.clone(), explanation: None });
        match self.release.analysis.on_inconclusive {
            OnInconclusive::Pause => self.wait(progress, format!("the analysis was inconclusive: {reason}")),
            OnInconclusive::Revert => self.revert(progress.canary, format!("the analysis was inconclusive: {reason}")),
            OnInconclusive::Advance => self.onward(progress),
        }
    }

    fn fail(&mut self, progress: Progress, reason: String) {
        if self.release.auto_rollback {
            self.records.push(Record::Judged { verdict: "fail".into(), reason: reason.clone(), explanation: None });
            return self.fail_back(progress.canary, reason);
        }
        // Said once: the counts in the reason go on growing.
        if matches!(&progress.stage, Stage::Waiting { reason } if reason.ends_with(AUTO_OFF)) {
            return self.stay(progress);
        }
        self.records.push(Record::Judged { verdict: "fail".into(), reason: reason.clone(), explanation: None });
        self.wait(progress, format!("{reason}; {AUTO_OFF}"));
    }

    pub(super) fn wait(&mut self, mut progress: Progress, reason: String) {
        self.records.push(Record::Waiting { reason: reason.clone(), explanation: None });
        progress.stage = Stage::Waiting { reason };
        self.enter(State::Progressing(progress));
    }
}

/// Whether every proxy could take a version that waits for its first traffic.
pub(super) fn is_ready(fleet: &FleetState) -> bool {
    fleet.is_ready() && fleet.is_unhindered()
}
