//! PURE: what the engine shows. Only what may have changed is rendered anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::sight::tell;
use super::{Desk, View, turn};
use crate::model::World;
use crate::rollout::{ReleaseStatus, Rollout};
use crate::translate::{cluster_name, parse_cluster_name};

impl Desk {
    /// Sends the view, when it is another one.
    pub(super) fn show(&mut self) {
        self.focus();
        let (calls, measures) = (self.calls(), self.measures());
        tell(&self.asked, calls);
        tell(&self.measuring.wanted, measures);
        let view = self.render();
        tell(&self.view, Arc::new(view));
    }

    fn render(&mut self) -> View {
        let world = self.world.clone().unwrap_or_default();
        let mut others: BTreeSet<String> = self.audiences.take_moved().into_iter().collect();
        others.append(&mut self.unshown);
        others.extend(self.active.iter().cloned());
        let counted = self.recent.take_changed().into_iter().filter_map(|cluster| parse_cluster_name(&cluster));
        others.extend(counted.filter_map(|(service, _)| self.audiences.release_of(&service).cloned()));
        for name in others {
            match self.status(&world, &name) {
                None => drop(self.shown.remove(&name)),
                Some(status) if self.shown.get(&name).is_some_and(|shown| **shown == status) => {}
                Some(status) => drop(self.shown.insert(name, Arc::new(status))),
            }
        }
        View {
            releases: self.shown.clone(),
            groups: self.groups.clone(),
            applied_at: self.applied_at,
            fleets: world.fleets.len(),
            services: world.services.len(),
            diagnostics: self.diagnostics.clone(),
            store_error: self.store_error.clone(),
            journal: self.journal.clone(),
        }
    }

    fn status(&self, world: &World, name: &str) -> Option<ReleaseStatus> {
        let (release, rollout): (_, &Rollout) = (world.releases.get(name)?, self.rollouts.get(name)?);
        let recent = |version: &str| self.recent.of(&cluster_name(&rollout.service, version));
        let context = turn::context(world, &[], release);
        Some(ReleaseStatus::of(rollout, context, &self.fleet_of(name), recent))
    }
}
