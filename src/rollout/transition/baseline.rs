//! The version that was started to compare with: taken up before the canary has a share, given up when it runs nowhere.

use super::super::Record;
use super::super::state::State;
use super::Applying;
use crate::model::{Strategy, Weight};

impl Applying<'_> {
    /// Brings the baseline set in line with what the spec names and what serves. One that comes later than the canary's
    /// traffic waits for the next wave: its cluster may not be with every proxy.
    pub(super) fn follow_baseline(&mut self) {
        let State::Progressing(progress) = &self.rollout.state else { return };
        let wanted = self.wanted_baseline(&progress.canary);
        let served = wanted.filter(|version| self.context.is_served(version)).cloned();
        if served == progress.baseline {
            return;
        }
        let may_begin = progress.has_no_share() && progress.rolling.is_none();
        let (canary, stable) = (progress.canary.clone(), self.rollout.stable.clone());
        let next = match &progress.baseline {
            // What has no endpoint itself cannot take its traffic.
            Some(_) if progress.weight > Weight::ZERO && !self.context.is_served(&stable) => return,
            Some(lost) => {
                let why = if wanted == Some(lost) { "has lost its last endpoint" } else { "is not named any more" };
                let reason = format!("the baseline {lost} {why}: {canary} is compared with {stable}");
                self.records.push(Record::Held { reason, explanation: None });
                served.filter(|_| may_begin)
            }
            None if may_begin => served,
            None => return,
        };
        if let State::Progressing(progress) = &mut self.rollout.state {
            progress.baseline = next;
        }
    }

    /// The version that the spec names, where it is neither of the two that are compared.
    fn wanted_baseline(&self, canary: &str) -> Option<&String> {
        let is_canary = matches!(self.release.strategy, Strategy::Canary(_));
        let is_other = |version: &&String| *version != canary && **version != self.rollout.stable;
        self.release.analysis.baseline.as_ref().filter(|_| is_canary).filter(is_other)
    }

    /// Tells of a canary that begins without the baseline that its spec names.
    pub(super) fn tell_missing_baseline(&mut self, canary: &str) {
        let missing = self.wanted_baseline(canary).filter(|version| !self.context.is_served(version));
        if let Some(version) = missing {
            let stable = &self.rollout.stable;
            let reason = format!("the baseline {version} has no endpoint: {canary} is compared with {stable}");
            self.records.push(Record::Held { reason, explanation: None });
        }
    }
}
