//! From step to step, and from wave to wave.

use std::time::Duration;

use super::super::Record;
use super::super::rolling::BatchState;
use super::super::state::{Calling, Progress, Stage, State};
use super::{Applying, Observation};
use crate::model::{OnBatchFailure, Rule, Step, Strategy, Wave, Weight};

impl Applying<'_> {
    /// Enters a step, or goes on to the next wave, or promotes, when there is none left.
    pub(super) fn enter_step(&mut self, mut progress: Progress, step: usize) {
        let Some(what) = progress.steps.get(step).cloned() else {
            return self.finish(progress);
        };
        if step == 0 {
            self.tell_wave(&progress);
        }
        progress.step = step;
        progress.stalled = Duration::ZERO;
        // One that was given a time has ended, and a share of the traffic itself takes the place of copies.
        progress.stage = match &what {
            Step::SetWeight(weight) => {
                (progress.weight, progress.mirror) = (*weight, Weight::ZERO);
                Stage::Settling
            }
            Step::Auto { from, .. } => {
                self.begin_climb(&mut progress, *from);
                Stage::Settling
            }
            Step::Holdback(holdback) => {
                // Weights never fall: with all the traffic already there is nothing to hold back.
                (progress.weight, progress.mirror) = (holdback.weight.rest().max(progress.weight), Weight::ZERO);
                Stage::Settling
            }
            Step::Mirror { percent, .. } => {
                progress.mirror = *percent;
                Stage::Settling
            }
            Step::Match(rules) => {
                progress.rules.clone_from(rules);
                Stage::Settling
            }
            Step::Pause(Some(_)) | Step::StandBy(_) => Stage::Pausing { spent: Duration::ZERO },
            Step::Pause(None) => Stage::Waiting { reason: "a pause without an end: promote to go on".into() },
            Step::Analyze { .. } | Step::Watch { .. } => {
                progress.judge.begin_step();
                Stage::Analyzing { spent: Duration::ZERO, blind: Duration::ZERO }
            }
            Step::Hook(hook) => Stage::Calling(Calling::new(hook, self.purpose(&progress, step))),
            Step::Batch { endpoints } => {
                if let Some(rolling) = &mut progress.rolling {
                    rolling.enter_batch(*endpoints);
                }
                Stage::Replacing
            }
        };
        let weight = progress.weight;
        let what = if matches!(what, Step::Auto { .. }) { format!("{what}: {weight}") } else { what.to_string() };
        self.records.push(Record::StepBegun { step, what, weight, explanation: None });
        if let Stage::Waiting { reason } = &progress.stage {
            self.records.push(Record::Waiting { reason: reason.clone(), explanation: None });
        }
        self.enter(State::Progressing(progress));
    }

    /// What a hook among the steps is for, as it is told.
    fn purpose(&self, progress: &Progress, step: usize) -> &'static str {
        let Strategy::BlueGreen(blue_green) = &self.release.strategy else { return "step" };
        let is_own = |hook: &Option<_>| {
            hook.as_ref().map(|hook| Step::Hook(Clone::clone(hook))) == progress.steps.get(step).cloned()
        };
        let switched = progress.weight == Weight::FULL;
        match switched {
            false if is_own(&blue_green.before_switch) => "beforeSwitch",
            true if is_own(&blue_green.after_switch) => "afterSwitch",
            _ => "step",
        }
    }

    fn tell_wave(&mut self, progress: &Progress) {
        let Some(wave) = progress.waves.get(progress.wave) else { return };
        let regions = match wave {
            Wave::Regions(regions) => regions.join(", "),
            Wave::All => "all other regions".into(),
        };
        self.records.push(Record::WaveBegun { wave: progress.wave, of: progress.waves.len(), regions });
    }

    /// After the last step.
    fn finish(&mut self, mut progress: Progress) {
        if progress.rolling.as_ref().is_some_and(|rolling| rolling.done() < rolling.total()) {
            // Some came after the last batch was begun.
            progress.stage = Stage::Replacing;
            let wanted = self.wanted_steps(&progress);
            return self.take_up_steps(progress, wanted);
        }
        if !progress.is_last_wave() {
            progress.wave += 1;
            progress.weight = Weight::ZERO;
            progress.mirror = Weight::ZERO;
            progress.step = 0;
            progress.rules = self.release.strategy.rules().to_vec();
            progress.judge.begin_step();
            progress.judge.end_watch();
            // The next regions' proxies have had the version's cluster from the beginning, but may have come since.
            progress.stage = Stage::Preparing;
            return self.enter(State::Progressing(progress));
        }
        if self.release.together.is_some() && !self.mates_are(|peer| peer.standing.is_through()) {
            progress.step = progress.steps.len();
            progress.stage = Stage::Gate;
            let waits: Vec<&str> =
                self.mates().filter(|peer| !peer.standing.is_through()).map(|peer| &*peer.release).collect();
            let reason = format!("all steps done: waits for {}", waits.join(" and "));
            self.records.push(Record::Waiting { reason, explanation: None });
            return self.enter(State::Progressing(progress));
        }
        self.promote(progress.canary, None);
    }

    pub(super) fn next(&mut self, mut progress: Progress) {
        if let Some(Step::Mirror { duration: Some(_), .. }) = progress.steps.get(progress.step) {
            progress.mirror = Weight::ZERO;
        }
        let step = progress.step + 1;
        self.enter_step(progress, step);
    }

    /// Endpoints are replaced; the canary has their part of the traffic.
    pub(super) fn replace(&mut self, mut progress: Progress, seen: &Observation) {
        let Some(mut rolling) = progress.rolling.take() else { return self.next(progress) };
        let (before, done) = (rolling.weight(), rolling.done());
        self.roll(&mut rolling, &progress.canary, seen);
        progress.weight = rolling.weight();
        let (state, total, on_failure) = (rolling.batch_state(), rolling.total(), rolling.policy().on_failure);
        if rolling.done() != done {
            self.records.push(Record::Replaced { endpoints: rolling.done(), of: total, weight: progress.weight });
        }
        progress.rolling = Some(rolling);
        match state {
            // Its traffic is on its way: the batch is done when that is in force.
            BatchState::Done if progress.weight == before && seen.fleet.is_settled() => {
                if progress.weight == Weight::FULL {
                    progress.judge.begin_watch(&self.release.analysis);
                }
                self.next(progress);
            }
            BatchState::Done | BatchState::Doing => self.stay(progress),
            BatchState::Failed(reason) => match on_failure {
                OnBatchFailure::Stop => self.wait(progress, format!("{reason}; onFailure is stop: abort or retry")),
                OnBatchFailure::Rollback => self.fail_back(progress.canary, reason),
            },
        }
    }

    fn wanted_steps(&self, progress: &Progress) -> Vec<Step> {
        let in_batch = |step: &Step| if let Step::Batch { endpoints } = step { *endpoints } else { 0 };
        // Endpoints that come or go are no edit: they are looked at when endpoints are replaced.
        let endpoints = match &progress.rolling {
            Some(rolling) if progress.stage == Stage::Replacing => rolling.total(),
            Some(_) => progress.steps.iter().map(in_batch).sum(),
            None => 0,
        };
        self.release.strategy.steps(endpoints)
    }

    pub(super) fn is_edited(&self, progress: &Progress) -> bool {
        // What is tried beyond the last step has nothing to follow.
        progress.stage != Stage::Gate
            && (progress.steps != self.wanted_steps(progress) || progress.rules != self.rules_now(progress))
    }

    /// The requests that are chosen where it stands; before the first step, what that chooses is still to come.
    fn rules_now(&self, progress: &Progress) -> Vec<Rule> {
        match progress.stage {
            Stage::Preparing => self.release.strategy.rules().to_vec(),
            _ => self.rules_at(&progress.steps, progress.step),
        }
    }

    /// The requests that are chosen when a step is reached.
    fn rules_at(&self, steps: &[Step], step: usize) -> Vec<Rule> {
        let told = steps.iter().take(step + 1).rev().find_map(|step| match step {
            Step::Match(rules) => Some(rules.clone()),
            _ => None,
        });
        told.unwrap_or_else(|| self.release.strategy.rules().to_vec())
    }

    /// When the steps were edited: the present one goes on where nothing up to its end was; otherwise it goes on after the
    /// last weight that is not above the present one. Weights never fall by an edit.
    pub(super) fn follow_steps(&mut self, mut progress: Progress) {
        if self.keep_step(&mut progress) {
            return self.stay(progress);
        }
        let wanted = self.wanted_steps(&progress);
        self.take_up_steps(progress, wanted);
    }

    /// Takes up edited steps and rules that leave the present step as it was, with its clock and its proof. Returns whether
    /// they do.
    pub(super) fn keep_step(&mut self, progress: &mut Progress) -> bool {
        let (step, wanted) = (progress.step, self.wanted_steps(progress));
        if wanted != progress.steps {
            let is_as_it_was = progress.stage != Stage::Preparing
                && wanted.get(..=step).is_some_and(|done| progress.steps.get(..=step) == Some(done));
            let falls = |step: &Step| step.weight().is_some_and(|weight| weight < progress.weight);
            if !is_as_it_was || wanted.iter().skip(step + 1).any(falls) {
                return false;
            }
        }
        progress.steps = wanted;
        progress.rules = self.rules_now(progress);
        self.records.push(Record::StrategyChanged { step, kept: true });
        true
    }

    /// Goes on with other steps, after what is reached of them.
    fn take_up_steps(&mut self, mut progress: Progress, wanted: Vec<Step>) {
        let mut replaced = 0;
        let done = progress.rolling.as_ref().map_or(0, |rolling| rolling.done());
        let mut reached = |step: &Step| match step {
            Step::Batch { endpoints } => {
                replaced += endpoints;
                replaced <= done
            }
            other => other.weight().is_some_and(|weight| weight <= progress.weight),
        };
        let reached: Vec<bool> = wanted.iter().map(&mut reached).collect();
        let next = reached.iter().rposition(|reached| *reached).map_or(0, |at| at + 1);
        self.rollout.generation += 1;
        if matches!(progress.steps.get(progress.step), Some(Step::Holdback(_))) {
            progress.judge.end_watch();
        }
        progress.steps = wanted;
        self.records.push(Record::StrategyChanged { step: next, kept: false });
        if progress.stage == Stage::Preparing {
            progress.rules = self.rules_now(&progress);
            return self.stay(progress);
        }
        progress.rules = self.rules_at(&progress.steps, next);
        self.enter_step(progress, next);
    }
}
