//! The state in line with what the spec wants: what begins, what is superseded, what goes back at once.

use super::super::Record;
use super::super::state::{Climb, Progress, Replacement, Return, Stage, State};
use super::Applying;
use crate::analysis::Judge;
use crate::model::{Strategy, Update, Version, Weight};

impl Applying<'_> {
    /// Brings the state in line with what the spec wants.
    pub(super) fn reconcile(&mut self) {
        self.rollout.preview_hosts = match &self.release.strategy {
            Strategy::BlueGreen(blue_green) => blue_green.preview.hosts.clone(),
            Strategy::Canary(_) | Strategy::Rolling(_) => Vec::new(),
        };
        self.follow_baseline();
        let (wanted, stable) = (self.release.version.clone(), self.rollout.stable.clone());
        match self.rollout.state.clone() {
            State::Healthy if wanted == stable => self.begin_trial(),
            // A version that is paused from the start gets no first step, either.
            State::Healthy | State::Reverted { .. } if self.release.paused && wanted != stable => {}
            State::Healthy => self.start(wanted),
            State::Reverted { .. } if wanted == stable => self.enter(State::Healthy),
            State::Reverted { canary, .. } if wanted == canary => {}
            State::Reverted { .. } => self.start(wanted),
            State::Progressing(Progress { canary, .. }) | State::Promoting { canary, .. } if wanted == stable => {
                self.revert(canary, format!("the spec went back to {stable}"));
            }
            // A newer version in a paused spec moves nothing, either: what is on its way stays where it is.
            State::Progressing(Progress { canary, rolling, .. }) if wanted != canary && !self.release.paused => {
                self.supersede(canary, rolling.is_some(), wanted);
            }
            // Where endpoints were replaced, all of them run it by now: the next one begins with it.
            State::Promoting { canary, rolling: None, .. } if wanted != canary && !self.release.paused => {
                self.supersede(canary, false, wanted);
            }
            State::Experimenting(trial) => self.reconcile_trial(trial),
            // The way there or back is not finished: what is wanted then is looked at then. Edited steps are followed
            // when a step may be taken at all.
            State::Progressing(_) | State::Promoting { .. } | State::Reverting(Return { .. }) | State::Retiring(_) => {}
        }
    }

    fn supersede(&mut self, canary: String, replaces_endpoints: bool, by: String) {
        if let Some(waits) = self.why_not_begin(&by) {
            // What is in progress tells what is waited for with all that it waits for itself.
            if !matches!(self.rollout.state, State::Progressing(_)) {
                self.tell_wait(Some(waits));
            }
            return;
        }
        self.records.push(Record::Superseded { canary: canary.clone(), by: by.clone() });
        if replaces_endpoints {
            // What runs the superseded version runs neither of the two others: it is put back first.
            return self.revert(canary, format!("superseded by {by}"));
        }
        self.start(by);
    }

    /// What a newer version than the one on its way waits for.
    pub(super) fn newer_waits(&self, canary: &str) -> Option<String> {
        let wanted = &self.release.version;
        let is_newer = wanted != canary && *wanted != self.rollout.stable && !self.release.paused;
        is_newer.then(|| self.why_not_begin(wanted)).flatten()
    }

    /// Begins the way to a version, unless something speaks against it.
    pub(super) fn start(&mut self, to: String) {
        let waits = self.why_not_begin(&to);
        self.tell_wait(waits.clone());
        if waits.is_some() {
            return;
        }
        let from = self.rollout.stable.clone();
        self.rollout.started_at = self.now;
        self.rollout.held = false;
        self.rollout.actual = Weight::ZERO;
        if self.rollout.failed.as_ref().is_some_and(|failed| failed.version != to) {
            self.rollout.failed = None;
        }
        self.records.push(Record::Started { from, to: to.clone() });
        if self.returns(&to) {
            // Going back to what served before is a rollback: at once, whatever the steps are.
            return self.promote(to, Some("it was the stable version before".into()));
        }
        self.begin(to);
    }

    /// Whether a version was stable so recently that it comes back without steps. Where the same endpoints run one version
    /// after the other, nothing but replacing them brings one back.
    fn returns(&self, to: &str) -> bool {
        if self.is_in_place() {
            return false;
        }
        let window = self.release.rollback.window.max(1);
        self.rollout.former.iter().rev().take(window).any(|former| former == to)
    }

    /// Whether endpoints are updated, so that a version that was stable runs nowhere any more.
    pub(super) fn is_in_place(&self) -> bool {
        matches!(&self.release.strategy, Strategy::Rolling(policy) if policy.update != Update::Running)
    }

    /// Why a version cannot be begun with now. A way back waits for nothing but its endpoints.
    pub(super) fn why_not_begin(&self, to: &str) -> Option<String> {
        if !self.context.is_served(to) {
            return Some(format!("{to} has no endpoint yet"));
        }
        if self.returns(to) {
            return None;
        }
        let unmet: Vec<&str> = self
            .context
            .peers
            .iter()
            .filter(|peer| self.release.depends_on.contains(&peer.release) && !peer.standing.is_done())
            .map(|peer| peer.release.as_str())
            .collect();
        if !unmet.is_empty() {
            return Some(format!("{to} waits until {} has what it wants", unmet.join(" and ")));
        }
        if let Some(mate) = self.mates().find(|peer| peer.standing.went_back().is_some()) {
            let name = &mate.release;
            return Some(format!(
                "{to} goes together with {name}, which went back: release another version of that first"
            ));
        }
        self.denied().map(|denied| format!("{to} is not begun: {denied}"))
    }

    /// Begins with the first step.
    pub(super) fn begin(&mut self, canary: String) {
        self.rollout.generation += 1;
        self.tell_missing_baseline(&canary);
        let strategy = &self.release.strategy;
        let endpoints = self.context.endpoints(&self.rollout.stable, &canary);
        let rolling = match strategy {
            Strategy::Rolling(policy) => {
                let none = Version::default();
                let version = |name| self.context.version(name).unwrap_or(&none);
                Some(Replacement::begin(policy, version(&self.rollout.stable), version(&canary)))
            }
            Strategy::Canary(_) | Strategy::BlueGreen(_) => None,
        };
        self.enter(State::Progressing(Progress {
            steps: strategy.steps(rolling.as_ref().map_or(endpoints, Replacement::total)),
            step: 0,
            stage: Stage::Preparing,
            weight: Weight::ZERO,
            judge: Judge::default(),
            climb: Climb::default(),
            baseline: None,
            sticky: strategy.sticky().cloned(),
            rules: strategy.rules().to_vec(),
            judges_preview: matches!(strategy, Strategy::BlueGreen(_)),
            mirror: Weight::ZERO,
            waves: self.release.regions.clone(),
            wave: 0,
            rolling,
            stalled: std::time::Duration::ZERO,
            looked: std::time::Duration::ZERO,
            dead: std::time::Duration::ZERO,
            exposed: std::time::Duration::ZERO,
            canary,
        }));
    }

    pub(super) fn promote(&mut self, canary: String, reason: Option<String>) {
        self.records.push(Record::Promoting { canary: canary.clone(), reason, explanation: None });
        let rolling = match &mut self.rollout.state {
            State::Progressing(progress) => progress.rolling.take(),
            _ => None,
        };
        self.enter(State::Promoting { canary, settled: false, rolling });
    }
}
