//! Translation that remembers what it built: a change costs what it changes, not the world.
//!
//! PURE. What is built depends on the input alone, never on the way to it: [`Translator::build`] gives what
//! [`snapshot_of`] gives of the same world and plans, resource by resource, and so may be asked for anything at any time,
//! for what is decided and then not kept as well. What it remembers only makes that cheap:
//! - the clusters and endpoints of a service are made once, and are the same resources in every fleet, dialect and version;
//! - its virtual hosts are encoded once for each routing of its plan (one, but where regions are told apart, and where a
//!   listener shows what comes), and put into their place in the route configurations that carry them;
//! - route configurations of one name, region and the same services are one, in whatever fleets;
//! - gRPC clients have resources of their own, by the service, and one snapshot in all fleets that name the same services;
//! - a group's snapshot is an edit of the one before, that of a new group an edit of one with the same services.
//!
//! A build that fails leaves no trace.

mod edit;
mod groups;
mod layout;
mod proxyless;
mod state;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;

use self::state::State;
use super::{TranslateError, all_groups, snapshot_of};
use crate::model::{TrafficPlan, World};
use crate::xds::Snapshot;

/// The traffic of every service, by its name. A copy that was changed a little is told from the original at little cost.
pub type Plans = OrdMap<String, TrafficPlan>;

/// What every group is given, by its name.
pub type Groups = OrdMap<String, Arc<Snapshot>>;

/// Builds snapshots, and remembers what it built. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Translator {
    state: State,
}

/// How much the last build made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Clusters and their endpoints: resources encoded.
    pub clusters: usize,
    /// Virtual hosts encoded.
    pub virtual_hosts: usize,
    /// Route configurations put together.
    pub routes: usize,
    /// Listeners encoded.
    pub listeners: usize,
    /// Snapshots edited.
    pub snapshots: usize,
}

impl Translator {
    /// One that has built nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What all groups of the world are given under these plans (of services that no fleet carries they are ignored).
    ///
    /// The world is compared with the one before unless it is the same `Arc`; plans that were made from those before
    /// are compared at the cost of what differs.
    ///
    /// # Errors
    /// Those of [`snapshot_of`] for each group, each once. Then it is as if nothing had been asked.
    pub fn build(&mut self, world: &Arc<World>, plans: &Plans) -> Result<&Groups, Vec<TranslateError>> {
        match self.state.advance(world, plans) {
            Ok(state) => self.state = state,
            Err(first) => return Err(explain(world, plans, first)),
        }
        Ok(&self.state.groups)
    }

    /// What the last build that did not fail made anew.
    pub fn work(&self) -> Work {
        self.state.work
    }
}

/// Every group's error, from the beginning: who mends specs wants to see all of them, in the order of the specs.
fn explain(world: &World, plans: &Plans, first: TranslateError) -> Vec<TranslateError> {
    let plans: BTreeMap<String, TrafficPlan> = plans.iter().map(|(name, plan)| (name.clone(), plan.clone())).collect();
    let groups = all_groups(world).into_iter();
    let of_group = |group| snapshot_of(group, &world.services, &plans).err();
    let mut errors: Vec<TranslateError> = groups.filter_map(of_group).collect();
    errors.dedup();
    if errors.is_empty() { vec![first] } else { errors }
}

#[cfg(test)]
mod tests;
