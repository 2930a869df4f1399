//! From weight to weight within an `auto` step.

use std::time::Duration;

use super::super::Record;
use super::super::state::{Progress, Stage, State};
use super::Applying;
use crate::model::{Friendly, Step, Weight};

impl Applying<'_> {
    /// The first weight: the given one, that which is reached already, or what can be proven in time.
    pub(super) fn begin_climb(&self, progress: &mut Progress, from: Option<Weight>) {
        progress.climb.begin();
        let reached = Some(progress.weight).filter(|weight| *weight > Weight::ZERO);
        let first = from.max(reached).unwrap_or_else(|| {
            progress.climb.blind = progress.proof(&self.release.analysis).is_none();
            self.chosen_first(progress)
        });
        (progress.weight, progress.mirror) = (first, Weight::ZERO);
    }

    /// The first weight that the traffic allows to be proven in time; 1 % where nothing is known of it.
    fn chosen_first(&self, progress: &Progress) -> Weight {
        let Some(Step::Auto { to, .. }) = progress.steps.get(progress.step) else { return progress.weight };
        let least = Weight::from_hundredths(100).min(*to);
        progress.pace(&self.release.analysis).map_or(least, |pace| pace.first())
    }

    /// Goes up from a first weight that was chosen blindly, and says why.
    pub(super) fn begin_higher(&mut self, progress: Progress, weight: Weight) {
        let proof = progress.proof(&self.release.analysis).unwrap_or_default();
        let (rate, low) = (progress.climb.requests_per_second(), progress.weight);
        let why = format!(", because a proof at {low} of {rate:.1} requests/s takes about {}", Friendly(proof));
        self.climb(progress, weight, &why);
    }

    /// A first weight that was chosen before anything was known, and is too low to be proven in time.
    pub(super) fn higher_first(&self, progress: &Progress) -> Option<Weight> {
        let sees = matches!(progress.steps.get(progress.step), Some(Step::Auto { .. })) && progress.climb.sees_again();
        let first = sees.then(|| self.chosen_first(progress))?;
        (first > progress.weight).then_some(first)
    }

    /// What is proven, or let go on by hand, goes on: with the next weight, or with the next step.
    pub(super) fn onward(&mut self, progress: Progress) {
        match progress.next_weight(&self.release.analysis) {
            Some(weight) => self.climb(progress, weight, ""),
            None => self.next(progress),
        }
    }

    /// Goes up to a weight within the step.
    fn climb(&mut self, mut progress: Progress, weight: Weight, why: &str) {
        let Some(step) = progress.steps.get(progress.step) else { return self.next(progress) };
        let what = format!("{step}: {weight}{why}");
        (progress.weight, progress.stage) = (weight, Stage::Settling);
        progress.stalled = Duration::ZERO;
        progress.climb.blind = false;
        progress.climb.age();
        self.records.push(Record::StepBegun { step: progress.step, what, weight, explanation: None });
        self.enter(State::Progressing(progress));
    }

    /// Whether the time of all weights of the step is over.
    pub(super) fn is_late(&self, progress: &Progress) -> bool {
        match progress.steps.get(progress.step) {
            Some(Step::Auto { within: Some(within), .. }) => progress.climb.spent >= *within,
            _ => false,
        }
    }

    /// What could be done about a weight that was not proven in time.
    pub(super) fn with_advice(&self, progress: &Progress, reason: String) -> String {
        let Some(proof) = progress.proof(&self.release.analysis) else { return reason };
        let rate = progress.climb.requests_per_second();
        let (weight, proof) = (progress.weight, Friendly(proof));
        let cure = "begin higher (`from`) or take more time (`analyze`, `within`)";
        format!("{reason}; a proof at {weight} of {rate:.1} requests/s takes about {proof}: {cure}")
    }
}
