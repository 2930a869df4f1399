//! What goes on while the store fails: the guard watches, and reverts are published. Nothing else.

use jiff::Timestamp;

use super::Desk;
use super::turn::{self, Decision};
use crate::analysis::Window;
use crate::model::Release;

/// How many journal lines wait for the store. Further windows are judged, but not told.
const UNKEPT_RECORDS: usize = 10_000;

impl Desk {
    /// Nothing can be kept, so nothing advances. The guard watches on all the same: what a turn saw would be forgotten
    /// otherwise, and a canary that only many windows prove bad never reverted.
    pub(super) fn watch(&mut self, windows: Vec<(&Release, Window)>) {
        for (release, window) in windows {
            let Some(rollout) = self.rollouts.get_mut(&release.name) else { continue };
            let Some(record) = rollout.watch(window, release) else { continue };
            let rollout = rollout.clone();
            self.unkept.rollouts.retain(|other| other.release != rollout.release);
            self.unkept.rollouts.push(rollout);
            if self.unkept.records.len() < UNKEPT_RECORDS {
                self.unkept.records.push((release.name.clone(), record));
            }
        }
    }

    /// Publishes the reverts in a decision that could not be kept, and nothing else of it. Returns whether there was
    /// nothing else.
    pub(super) fn revert_unkept(&mut self, decision: &Decision, now: Timestamp) -> bool {
        let reverts = decision.reverts(&self.rollouts);
        let Some(world) = self.world.clone().filter(|_| !reverts.is_empty()) else { return false };
        let built = match self.build(&world, turn::with_plans_of(&self.plans, &reverts.rollouts)) {
            Ok(built) => built,
            Err(refusals) => {
                tracing::error!("a revert cannot be published: {}", turn::join(&refusals));
                return false;
            }
        };
        tracing::warn!("a revert is published although it could not be kept");
        self.unkept = reverts.batch(&self.unkept, built.snapshots.clone(), now);
        let whole = decision.world.is_none() && decision.rollouts.len() == reverts.rollouts.len();
        self.adopt(reverts, built, now);
        whole
    }
}
