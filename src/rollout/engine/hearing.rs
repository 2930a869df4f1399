//! PURE: which clusters the proxies are listened to for, one by one: those of the releases that are on their way. The
//! others' requests come as a sum, for people.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::Desk;
use crate::telemetry::Focus;
use crate::translate::cluster_name;

/// What was asked for, and of whom.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// `None` where every cluster is told of.
    focus: Option<Focus>,
    /// By cluster that is asked for: since when, as far as a turn has seen it.
    clusters: HashMap<Arc<str>, Option<Instant>>,
}

impl Hearing {
    /// Since when a cluster is told of by itself, when that is known.
    pub(super) fn since(&self, cluster: &str) -> Option<Instant> {
        self.clusters.get(cluster).copied().flatten()
    }
}

impl Desk {
    /// Listens from now on only for what is needed.
    pub fn listen(&mut self, focus: Focus) {
        focus.set(HashSet::new());
        self.hearing.focus = Some(focus);
        self.focus();
    }

    /// Asks for the clusters of the releases that are on their way, if they are others than before.
    pub(super) fn focus(&mut self) {
        let Some(focus) = &self.hearing.focus else { return };
        let mut wanted = HashMap::new();
        for rollout in self.active.iter().filter_map(|name| self.rollouts.get(name)) {
            let service = self.world.as_ref().and_then(|world| world.services.get(&rollout.service));
            let versions = service.into_iter().flat_map(|service| service.versions.keys().map(String::as_str));
            let own = rollout.judged().into_iter().chain([rollout.stable.as_str(), rollout.baseline()]);
            for version in versions.chain(own).chain(rollout.draining()) {
                let cluster: Arc<str> = cluster_name(&rollout.service, version).into();
                let since = self.hearing.clusters.get(&cluster).copied().flatten();
                wanted.insert(cluster, since);
            }
        }
        let is_same = wanted.len() == self.hearing.clusters.len()
            && wanted.keys().all(|cluster| self.hearing.clusters.contains_key(cluster));
        if !is_same {
            focus.set(wanted.keys().cloned().collect());
            self.health.forget_progress(|cluster| wanted.contains_key(cluster));
            self.hearing.clusters = wanted;
        }
    }

    /// Takes in what was told of all other clusters.
    pub(super) fn hear_others(&mut self, now: Instant) {
        self.hearing.clusters.values_mut().for_each(|since| *since = since.or(Some(now)));
        for (cluster, sum) in self.hearing.focus.iter().flat_map(Focus::take_others) {
            self.recent.add_sum(&cluster, &sum, now);
        }
    }
}
