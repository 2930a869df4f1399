//! PURE: what the proxies have against what they were given, which releases that concerns, and what cannot wait for a few
//! proxies to try it first.

use std::collections::BTreeSet;

use super::Desk;
use super::turn::Decision;
use crate::model::{ConfigCanary, Portion, World};
use crate::rollout::{FleetState, Part, Refusal, Rollout, Spread, State};
use crate::translate::{all_groups, cluster_name};
use crate::xds::group::CanarySize;
use crate::xds::{Canary, Held, Parked, ProxyStatus, ResourceType, Snapshot};

/// How much of a proxy's words is shown.
const WORDS: usize = 500;

/// What the proxies of one group have against its snapshot.
#[derive(Debug, Default)]
pub(super) struct Objections {
    /// What is given to none of them, because one said no.
    parked: Vec<Parked>,
    /// What single ones said no to: each thing once, with the first who did.
    said: Vec<Said>,
    /// How far the snapshot was given out.
    spread: Spread,
}

/// A rejection that stands at a proxy.
#[derive(Debug)]
struct Said {
    node: String,
    resource_type: ResourceType,
    /// Of what; nothing when that is not known.
    names: Vec<String>,
    text: String,
}

/// What a release needs of a snapshot.
struct Needs {
    /// The clusters of the versions on their way.
    canaries: Vec<String>,
    /// Of those beside them: the stable version, and what was started to compare with.
    others: Vec<String>,
}

impl Needs {
    fn of(rollout: &Rollout) -> Self {
        let versions = match &rollout.state {
            State::Promoting { canary, .. } => vec![canary.as_str()],
            _ => rollout.judged(),
        };
        Self {
            canaries: versions.into_iter().map(|version| cluster_name(&rollout.service, version)).collect(),
            others: [rollout.stable.as_str()]
                .into_iter()
                .chain(rollout.baseline_set())
                .map(|version| cluster_name(&rollout.service, version))
                .collect(),
        }
    }

    /// What a resource is to it. Routes and listeners are the whole fleet's: what one of them lacks, a release may need.
    fn part(&self, resource_type: ResourceType, name: &str) -> Option<Part> {
        match resource_type {
            ResourceType::Cluster | ResourceType::Endpoint if self.canaries.iter().any(|own| own == name) => {
                Some(Part::Canary)
            }
            ResourceType::Cluster | ResourceType::Endpoint => {
                self.others.iter().any(|own| own == name).then_some(Part::Surroundings)
            }
            ResourceType::Listener => Some(Part::Surroundings),
            other => other.is_routing().then_some(Part::Routes),
        }
    }
}

impl Objections {
    /// Of a group that is to have a snapshot.
    pub(super) fn of(parked: Vec<Parked>, held: Option<Held>, snapshot: &Snapshot) -> Self {
        let is_intended = |parked: &Parked| {
            let resource = &parked.resource;
            snapshot.get(resource.resource_type(), resource.name()) == Some(resource)
        };
        let spread = match held {
            None => Spread::Everywhere,
            Some(Held::Trial(first)) => Spread::First(first.len()),
            Some(Held::Stopped(reason)) => Spread::Stopped(reason),
        };
        Self { parked: parked.into_iter().filter(is_intended).collect(), said: Vec::new(), spread }
    }

    /// Takes note of what a proxy says no to.
    pub(super) fn hear(&mut self, proxy: &ProxyStatus) {
        for (resource_type, status) in &*proxy.types {
            let Some(rejection) = &status.rejection else { continue };
            let same = |said: &Said| said.resource_type == *resource_type && said.names == rejection.resources;
            if !self.said.iter().any(same) {
                self.said.push(Said {
                    node: proxy.node.id.clone(),
                    resource_type: *resource_type,
                    names: rejection.resources.clone(),
                    text: rejection.text.clone(),
                });
            }
        }
    }

    /// How far the snapshot was given out.
    pub(super) fn spread(&self) -> &Spread {
        &self.spread
    }

    /// Whether any of it is about anything.
    pub(super) fn first(&self) -> Option<String> {
        let parked = self.parked.first().map(refused);
        parked.or_else(|| self.said.first().map(Said::words))
    }

    fn refusal(&self, needs: &Needs) -> Option<Refusal> {
        let part = |parked: &Parked| needs.part(parked.resource.resource_type(), parked.resource.name());
        let needed = self.parked.iter().filter_map(|parked| Some((part(parked)?, parked)));
        let (part, parked) = needed.min_by_key(|(part, _)| *part)?;
        Some(Refusal { part, text: refused(parked) })
    }

    fn rejection(&self, needs: &Needs) -> Option<String> {
        let concerns = |said: &&Said| {
            let is_needed = |name: &String| needs.part(said.resource_type, name).is_some();
            said.names.is_empty() || said.names.iter().any(is_needed)
        };
        self.said.iter().find(concerns).map(Said::words)
    }
}

impl Said {
    fn words(&self) -> String {
        format!("{} rejected {}: {}", self.node, self.resource_type, shortened(&self.text))
    }
}

fn refused(parked: &Parked) -> String {
    let what = match parked.resource.resource_type() {
        ResourceType::Cluster => "cluster",
        ResourceType::Endpoint => "endpoint assignment",
        ResourceType::Listener => "listener",
        ResourceType::Route => "route configuration",
        other => other.short(),
    };
    format!("{what} {} was rejected by {}: {}", parked.resource.name(), parked.node, shortened(&parked.text))
}

fn shortened(text: &str) -> String {
    let line = text.trim().replace('\n', " ");
    match line.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Whether a proxy can be sent a route to a cluster: it has it as the snapshot has it, with endpoints, or it does not ask
/// for clusters that no route of its own names.
pub(super) fn can_take(proxy: &ProxyStatus, snapshot: &Snapshot, cluster: &str) -> bool {
    let Some(wanted) = snapshot.get(ResourceType::Cluster, cluster) else { return true };
    let Some(clusters) = proxy.types.get(&ResourceType::Cluster) else { return true };
    if !clusters.subscription.is_wildcard() {
        return true;
    }
    let has_endpoints =
        |name: &str| proxy.types.get(&ResourceType::Endpoint).is_some_and(|t| t.held.contains_key(name));
    let mut endpoints = wanted.refers_to().iter().filter(|(t, _)| *t == ResourceType::Endpoint);
    clusters.held.get(cluster) == Some(wanted) && endpoints.all(|(_, name)| has_endpoints(name))
}

/// Whether a proxy has the endpoints of a cluster as the snapshot has them, or does not ask for them.
pub(super) fn has_endpoints(proxy: &ProxyStatus, snapshot: &Snapshot, cluster: &str) -> bool {
    let Some(wanted) = snapshot.get(ResourceType::Endpoint, cluster) else { return true };
    let Some(endpoints) = proxy.types.get(&ResourceType::Endpoint) else { return true };
    endpoints.held.get(cluster).is_none_or(|held| held == wanted)
}

impl Desk {
    /// How far the proxies of a release are, and what they have against it.
    pub(super) fn fleet_of(&self, release: &str) -> FleetState {
        let mut fleet = self.audiences.fleet(release);
        let Some(rollout) = self.rollouts.get(release) else { return fleet };
        fleet.ready = self.ready.get(release).copied().unwrap_or(fleet.proxies);
        fleet.in_force = self.placed.get(release).map_or(fleet.in_force, |placed| fleet.in_force.min(*placed));
        let needs = Needs::of(rollout);
        let groups = || self.audiences.groups_of(release).iter().filter_map(|group| self.objections.get(group));
        fleet.refusal = groups().filter_map(|of| of.refusal(&needs)).min_by_key(|refusal| refusal.part);
        fleet.rejection = groups().find_map(|of| of.rejection(&needs));
        fleet
    }

    /// Who of each fleet is given new configuration first.
    pub(super) fn set_canaries(&self, world: &World) {
        for group in all_groups(world) {
            self.cache.set_canary(&group.name(), group.fleet.config_canary.as_ref().map(canary));
        }
    }

    /// The groups for which a decision cannot wait: traffic goes back to where it was.
    pub(super) fn in_a_hurry(&self, decision: &Decision, world: &World) -> BTreeSet<String> {
        // Each part of a return over a time, too.
        let moves = |before: &Rollout, rollout: &Rollout| !goes_back(before) || before.plan() != rollout.plan();
        let begins = |rollout: &&Rollout| self.rollouts.get(&rollout.release).is_some_and(|b| moves(b, rollout));
        let back = decision.rollouts.values().filter(|rollout| goes_back(rollout)).filter(begins);
        let services: BTreeSet<&str> = back.map(|rollout| rollout.service.as_str()).collect();
        if services.is_empty() {
            return BTreeSet::new();
        }
        let carries = |services_of: Vec<&str>| services_of.iter().any(|service| services.contains(service));
        all_groups(world)
            .into_iter()
            .filter(|group| carries(group.fleet.services()))
            .map(|group| group.name())
            .collect()
    }

    /// Gives what was rejected, or stopped at the first proxies, another chance with the proxies of a release.
    pub(super) fn try_again(&self, release: &str) {
        for group in self.audiences.groups_of(release) {
            self.cache.release(group);
        }
    }
}

/// On the way to a version that had all the traffic before.
fn goes_back(rollout: &Rollout) -> bool {
    match &rollout.state {
        State::Reverting(_) => true,
        State::Promoting { canary, .. } => rollout.former.contains(canary),
        State::Healthy
        | State::Progressing(_)
        | State::Reverted { .. }
        | State::Retiring(_)
        | State::Experimenting(_) => false,
    }
}

fn canary(of: &ConfigCanary) -> Canary {
    let size = match of.proxies {
        Portion::Count(count) => CanarySize::Count(count as usize),
        Portion::Percent(percent) => CanarySize::Percent(percent),
    };
    Canary { size, quiet: of.quiet, tolerated_5xx: of.max_5xx.into() }
}
