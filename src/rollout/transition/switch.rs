//! A switch at once or within some seconds, which is watched afterwards: nothing is learned of the predecessor on the way, so
//! it is looked at for a moment before. Only then, or the journal would grow for as long as a release waits.

use std::borrow::Cow;
use std::time::Duration;

use super::super::state::{Progress, Stage};
use super::{Applying, Observation};
use crate::analysis::{Arm, Window};
use crate::model::{Step, Weight};

/// For how long.
const LOOK: Duration = Duration::from_secs(5);
/// A switch that takes longer tells enough of the predecessor by itself.
const SOON: Duration = Duration::from_secs(10);

impl Applying<'_> {
    /// What is judged of what was seen. Of a version without traffic nothing can be seen; of its predecessor it can.
    pub(super) fn evidence_of<'a>(&self, progress: &Progress, seen: &'a Observation) -> Option<Cow<'a, Window>> {
        let window = seen.window.as_ref()?;
        match progress.stage {
            Stage::Preparing if self.looks_before(progress) && self.could_begin(progress, seen) => {
                let canary = Arm::default();
                let (places, readings) = (Vec::new(), Vec::new());
                Some(Cow::Owned(Window { canary, places, readings, ..window.clone() }))
            }
            Stage::Preparing => None,
            _ => Some(Cow::Borrowed(window)),
        }
    }

    /// Before the first step: begins with it, unless the predecessor is to be looked at first.
    pub(super) fn prepared(&mut self, mut progress: Progress, elapsed: Duration) {
        if !self.looks_before(&progress) {
            return self.enter_step(progress, 0);
        }
        progress.looked += elapsed;
        self.stay(progress);
    }

    /// Whether what comes after a switch would have nothing to compare with.
    fn looks_before(&self, progress: &Progress) -> bool {
        self.release.analysis.errors.is_some() && progress.looked < LOOK && switches_soon(&progress.steps)
    }

    fn could_begin(&self, progress: &Progress, seen: &Observation) -> bool {
        let is_ready = seen.fleet.is_ready() && seen.fleet.is_unhindered() && self.context.is_served(&progress.canary);
        is_ready && !self.is_held() && self.denied().is_none()
    }
}

/// Whether all the traffic moves so soon that nothing is learned of the predecessor on the way, and is looked at afterwards.
fn switches_soon(steps: &[Step]) -> bool {
    let mut passed = Duration::ZERO;
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::SetWeight(Weight::FULL) => return steps[at + 1..].iter().any(looks),
            Step::SetWeight(_) | Step::Match(_) | Step::Hook(_) => {}
            Step::Pause(Some(length)) if passed + *length <= SOON => passed += *length,
            _ => return false,
        }
    }
    false
}

fn looks(step: &Step) -> bool {
    matches!(step, Step::Watch { .. } | Step::Pause(_) | Step::StandBy(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_moves_all_the_traffic_soon_and_stays() {
        let (all, some) = (Step::SetWeight(Weight::FULL), Step::SetWeight(Weight::from_hundredths(500)));
        let watch = Step::Watch { duration: LOOK };
        for (steps, expected) in [
            (vec![all.clone(), watch.clone()], true),
            (vec![Step::SetWeight(Weight::ZERO), all.clone(), Step::StandBy(LOOK)], true),
            (vec![all.clone()], false),
            (vec![some.clone(), all.clone(), watch.clone()], true),
            (vec![some.clone(), Step::Pause(Some(SOON)), all.clone(), watch.clone()], true),
            (vec![some.clone(), Step::Pause(Some(SOON)), Step::Pause(Some(LOOK)), all.clone(), watch.clone()], false),
            (vec![some.clone(), watch.clone()], false),
            (vec![Step::Pause(None), all.clone(), watch.clone()], false),
            (vec![Step::Analyze { max: LOOK }, all, watch], false),
            (Vec::new(), false),
        ] {
            assert_eq!(switches_soon(&steps), expected, "{steps:?}");
        }
    }
}
