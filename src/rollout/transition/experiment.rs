//! Candidates side by side with the stable version: each judged for itself, none promoted.

use std::time::Duration;

use super::super::Record;
use super::super::state::{Arm, State, Trial};
use super::progress::is_ready;
use super::{Applying, Observation};
use crate::analysis::{Judge, Verdict};

impl Applying<'_> {
    /// Begins the experiment that the spec wants, if it wants another than the last.
    pub(super) fn begin_trial(&mut self) {
        let Some(experiment) = self.release.experiment.as_ref().filter(|_| self.rollout.wants_experiment(self.release))
        else {
            return self.tell_wait(None);
        };
        // What is stable by now needs no trial.
        let stable = self.rollout.stable.clone();
        let candidates = || experiment.candidates.iter().filter(|candidate| candidate.version != stable);
        let unserved = candidates().find(|candidate| !self.context.is_served(&candidate.version));
        let waits = unserved
            .map(|candidate| format!("experiment {}: {} has no endpoint yet", experiment.name, candidate.version));
        let waits = waits.or_else(|| self.denied().map(|denied| format!("experiment {}: {denied}", experiment.name)));
        self.tell_wait(waits.clone());
        if waits.is_some() {
            return;
        }
        let arm = |candidate: &crate::model::Candidate| Arm {
            version: candidate.version.clone(),
            weight: candidate.weight,
            judge: Judge::default(),
            stopped: None,
        };
        let arms: Vec<Arm> = candidates().map(arm).collect();
        self.rollout.generation += 1;
        self.rollout.started_at = self.now;
        let versions =
            arms.iter().map(|arm| format!("{} at {}", arm.version, arm.weight)).collect::<Vec<_>>().join(", ");
        self.records.push(Record::ExperimentBegun { name: experiment.name.clone(), versions });
        let (name, ready, spent) = (experiment.name.clone(), false, Duration::ZERO);
        self.enter(State::Experimenting(Trial { name, arms, ready, spent }));
    }

    /// Ends an experiment that the spec does not want any more.
    pub(super) fn reconcile_trial(&mut self, trial: Trial) {
        let wanted = self.release.experiment.as_ref().is_some_and(|experiment| experiment.name == trial.name);
        if !wanted || self.release.version != self.rollout.stable {
            self.conclude(trial, "its spec does not want it any more");
            self.reconcile();
        }
    }

    pub(super) fn observe_trial(&mut self, mut trial: Trial, mut seen: Observation) {
        if !trial.ready {
            if is_ready(&seen.fleet) && !self.is_held() {
                trial.ready = true;
            }
            return self.rollout.state = State::Experimenting(trial);
        }
        let policy = &self.release.analysis;
        for arm in trial.arms.iter_mut().filter(|arm| arm.stopped.is_none()) {
            if let Some(window) = seen.arms.remove(&arm.version) {
                let measurement = Box::new(arm.judge.observe(&window, policy));
                self.records.push(Record::Measured { version: arm.version.clone(), measurement });
            }
            let reason = match arm.judge.verdict(arm.judge.asked(policy)) {
                Verdict::Fail { reason, .. } => Some(reason),
                _ if !self.context.is_served(&arm.version) => {
                    Some(format!("{} has lost its last endpoint", arm.version))
                }
                _ => None,
            };
            if let Some(reason) = reason {
                self.records.push(Record::ArmStopped {
                    version: arm.version.clone(),
                    reason: reason.clone(),
                    explanation: Some(Box::new(self.rollout.explain_arm(&arm.version, &arm.judge, policy))),
                });
                arm.stopped = Some(reason);
            }
        }
        if !self.is_held() && seen.fleet.is_settled() && seen.fleet.is_unhindered() {
            trial.spent += seen.elapsed;
        }
        let duration = self.release.experiment.as_ref().map_or(Duration::ZERO, |experiment| experiment.duration);
        if trial.arms.iter().all(|arm| arm.stopped.is_some()) {
            return self.conclude(trial, "every candidate failed");
        }
        if trial.spent >= duration {
            return self.conclude(trial, "its time is over");
        }
        self.rollout.state = State::Experimenting(trial);
    }

    /// Ends an experiment: all traffic to the stable version, and what was found to whoever asks.
    pub(super) fn conclude(&mut self, trial: Trial, why: &str) {
        let policy = &self.release.analysis;
        let result = |arm: &Arm| {
            let said =
                arm.stopped.clone().unwrap_or_else(|| arm.judge.verdict(arm.judge.asked(policy)).reason().to_owned());
            format!("{}: {said}", arm.version)
        };
        let results = trial.arms.iter().map(result).collect::<Vec<_>>().join("; ");
        self.records.push(Record::Concluded { name: trial.name.clone(), why: why.into(), results });
        self.rollout.concluded = Some(trial.name);
        self.rollout.held = false;
        self.enter(State::Healthy);
    }
}
