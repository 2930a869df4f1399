//! One stream without I/O: what both variants of the protocol share.
//!
//! PURE. Owns the channels of all types and the transition that they take part in. The variants ([`super::sotw`],
//! [`super::delta`]) read requests into it and write responses out of it. Time is an argument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::channel::{Answer, Channel, Due};
use super::transition::{Advanced, Barred, Client, Pace, Transition};
use super::wire::Status;
use super::{Node, Rejection, Resource, ResourceType, Snapshot, TypeStatus};

/// The moment at which something happens: monotonic for deadlines, wall-clock for people.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For deadlines.
    pub now: Instant,
    /// For people.
    pub wall: SystemTime,
}

/// What a client can do beyond the protocol's core, by its `client_features`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// Incremental: it takes times to live (`xds.config.supports-resource-ttl`).
    pub ttl: bool,
    /// State of the world: it takes them, and the envelope around them (`xds.config.supports-resource-in-sotw`).
    pub ttl_in_sotw: bool,
}

impl Abilities {
    /// Of a client.
    pub fn of(node: &Node) -> Self {
        let has = |feature: &str| node.client_features.iter().any(|f| f == feature);
        Self { ttl: has("xds.config.supports-resource-ttl"), ttl_in_sotw: has("xds.config.supports-resource-in-sotw") }
    }
}

/// Something that others than the client should know.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The client said yes to what it did not have before.
    Accepted(Vec<Resource>),
    /// The client said no.
    Rejected {
        /// The type.
        resource_type: ResourceType,
        /// What it said.
        rejection: Rejection,
        /// To what.
        resources: Vec<Resource>,
        /// Whether it may be the client's own trouble: it has not got all that these refer to.
        lacking: bool,
    },
    /// Routes were released although these clusters were not acknowledged in time.
    Overdue(Vec<Arc<str>>),
}

/// What both variants share.
#[derive(Debug)]
pub struct Stream {
    channels: Channels,
    transition: Option<Transition>,
    /// What the client is to have in the end; the transition's target unless that is a part of it.
    intended: Option<Arc<Snapshot>>,
    pace: Pace,
    abilities: Abilities,
    notices: Vec<Notice>,
}

/// By type; those that the client asked for. Boxed, because a map's node has room for eleven.
#[derive(Debug, Default)]
struct Channels(BTreeMap<ResourceType, Box<Channel>>);

impl Client for Channels {
    fn takes_clusters(&self) -> bool {
        self.0.get(&ResourceType::Cluster).is_some_and(|clusters| clusters.subscription.is_wildcard())
    }

    fn has_all(&self, transition: &Transition) -> bool {
        let has_all = |t| self.0.get(&t).is_some_and(|channel| channel.has_all(transition.offer(t)));
        has_all(ResourceType::Cluster) && has_all(ResourceType::Endpoint)
    }

    fn has_cluster(&self, name: &str, transition: &Transition) -> bool {
        let Some(cluster) = transition.offer(ResourceType::Cluster).get(name) else { return true };
        let has_endpoints = |name: &str| {
            let Some(endpoints) = self.0.get(&ResourceType::Endpoint) else { return true };
            endpoints.is_current(name, transition) || endpoints.is_refused(name, transition)
        };
        let endpoints = cluster.refers_to().iter().filter(|(t, _)| *t == ResourceType::Endpoint);
        self.0.get(&ResourceType::Cluster).is_some_and(|clusters| clusters.holds(name))
            && endpoints.into_iter().all(|(_, name)| has_endpoints(name))
    }

    fn rejects_cluster(&self, name: &str, transition: &Transition) -> bool {
        let offered = transition.offer(ResourceType::Cluster).get(name);
        let clusters = self.0.get(&ResourceType::Cluster);
        offered.zip(clusters).is_some_and(|(offered, clusters)| clusters.rejects(offered))
    }

    fn relies_on(&self, old: &Snapshot, target: &Snapshot) -> bool {
        self.0.get(&ResourceType::Cluster).is_some_and(|clusters| clusters.relies_on(old, target))
    }

    fn is_synced(&self, resource_type: ResourceType, transition: &Transition) -> bool {
        self.0.get(&resource_type).is_none_or(|channel| channel.is_synced(transition))
    }
}

impl Stream {
    /// A stream on which nothing was said yet.
    pub fn new(pace: Pace, abilities: Abilities) -> Self {
        let channels = Channels::default();
        Self { channels, transition: None, intended: None, pace, abilities, notices: Vec::new() }
    }

    /// What the client can do.
    pub fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// There is a (newer) snapshot for the client. `previous` are older ones that it may hold parts of, newest first;
    /// they count only the first time.
    pub fn aim(&mut self, target: Arc<Snapshot>, previous: Vec<Arc<Snapshot>>, at: Moment) {
        self.intended = None;
        match &mut self.transition {
            Some(transition) => transition.aim(target, at.now),
            None => self.transition = Some(Transition::start(target, previous, self.pace, at.now)),
        }
    }

    /// Other clients rejected these: of older snapshots they are not sent, either; and of these that are `kept` a client
    /// keeps what it has. To be called after `aim`.
    pub(super) fn bar(&mut self, barred: &Arc<Barred>, kept: &Arc<Barred>) {
        if let Some(transition) = &mut self.transition {
            transition.bar(Arc::clone(barred));
            transition.keep(Arc::clone(kept));
        }
    }

    /// What the client is given is only a part of this: the rest is held back.
    pub fn intend(&mut self, intended: Arc<Snapshot>) {
        self.intended = Some(intended);
    }

    /// Goes as far as the client has come. To be called after every change, and at the deadline.
    pub fn advance(&mut self, at: Moment) {
        if let Some(transition) = &mut self.transition {
            match transition.advance(&self.channels, at.now) {
                Advanced::Not | Advanced::To => {}
                Advanced::Overdue(clusters) => self.notices.push(Notice::Overdue(clusters)),
            }
        }
    }

    /// Takes the part of a request that tells how the last response was received.
    pub fn answer(&mut self, resource_type: ResourceType, nonce: &str, error: Option<&Status>, at: Moment) -> Answer {
        let channel = self.channel(resource_type);
        let answer = channel.classify(nonce);
        if answer != Answer::Current {
            return answer;
        }
        match error {
            Some(status) => {
                if let Some((rejection, outcome)) = channel.reject(&status.message, at.wall) {
                    let lacking = self.lacks_references(&outcome.news);
                    let resources = outcome.news;
                    self.notices.push(Notice::Rejected { resource_type, rejection, resources, lacking });
                }
            }
            None => {
                let Some(outcome) = channel.acknowledge() else { return answer };
                // What was rejected for want of a cluster may be right now that one has come.
                if outcome.gained && resource_type == ResourceType::Cluster {
                    let routing = self.channels.0.iter_mut().filter(|(t, _)| t.is_routing());
                    routing.for_each(|(_, channel)| channel.reconsider());
                }
                if !outcome.news.is_empty() {
                    self.notices.push(Notice::Accepted(outcome.news));
                }
            }
        }
        answer
    }

    /// Whether the client lacks a cluster that any of these refer to.
    fn lacks_references(&self, resources: &[Resource]) -> bool {
        let clusters = self.channels.0.get(&ResourceType::Cluster);
        let clusters = clusters.filter(|clusters| clusters.subscription.is_wildcard());
        let needed = resources.iter().flat_map(Resource::refers_to).filter(|(t, _)| *t == ResourceType::Cluster);
        clusters.is_some_and(|clusters| needed.into_iter().any(|(_, name)| !clusters.holds(name)))
    }

    /// The channel of a type.
    pub fn channel(&mut self, resource_type: ResourceType) -> &mut Channel {
        self.channels.0.entry(resource_type).or_insert_with(|| Box::new(Channel::new(resource_type)))
    }

    /// A channel together with the transition, if there is a snapshot.
    pub fn both(&mut self, resource_type: ResourceType) -> (&mut Channel, Option<&mut Transition>) {
        let channel = self.channels.0.entry(resource_type).or_insert_with(|| Box::new(Channel::new(resource_type)));
        (channel, self.transition.as_mut())
    }

    /// The types that the client asked for, in sending order.
    pub fn active(&self) -> Vec<ResourceType> {
        self.channels.0.keys().copied().collect()
    }

    /// What is due of a type, when it may be sent now: nothing while a response is on its way, and no listeners or routes
    /// before their clusters are there.
    pub fn due(&mut self, resource_type: ResourceType) -> Option<(&mut Channel, &Transition, Due)> {
        let (channel, transition) = self.both(resource_type);
        let transition = transition?;
        let withheld = resource_type.is_routing() && !transition.may_remove(resource_type);
        if channel.is_waiting() || !channel.subscription.is_active() || withheld {
            return None;
        }
        let due = channel.due(transition);
        Some((channel, transition, due))
    }

    /// After a changed cluster its endpoints are sent again, and after a changed listener its routes, or they would warm
    /// until a timeout (behaviour 32). (Secrets and extension configs are shared in Envoy by name, and stay.)
    pub fn send_children_again(&mut self, parents: &[Resource]) {
        for (child_type, child) in parents.iter().flat_map(Resource::refers_to) {
            if matches!(child_type, ResourceType::Endpoint | ResourceType::Route) {
                self.channel(*child_type).send_again(child);
            }
        }
    }

    /// When to call `advance` again although nothing happened.
    pub fn deadline(&self) -> Option<Instant> {
        let beats = self.channels.0.values().filter_map(|channel| channel.heartbeat_at());
        beats.chain(self.transition.as_ref().and_then(Transition::deadline)).min()
    }

    /// Nothing could be done at the deadline: waits for another one.
    pub fn disarm(&mut self, at: Moment) {
        if let Some(transition) = &mut self.transition {
            transition.disarm(at.now);
        }
    }

    /// The client came back and has these: it has accepted them at some time.
    pub(super) fn has_accepted(&mut self, resources: Vec<Resource>) {
        if !resources.is_empty() {
            self.notices.push(Notice::Accepted(resources));
        }
    }

    /// What there is to tell since the last time.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Brings the status up to date; returns it when it is another one than the last time.
    pub fn refresh(&mut self, at: Moment) -> Option<BTreeMap<ResourceType, TypeStatus>> {
        let mut changed = false;
        let way = self.transition.as_ref().map(|way| (way, &**self.intended.as_ref().unwrap_or(way.target())));
        for channel in self.channels.0.values_mut().filter(|channel| channel.subscription.is_active()) {
            changed |= channel.refresh(way, at.now, at.wall);
        }
        changed.then(|| {
            let active = self.channels.0.iter().filter(|(_, channel)| channel.subscription.is_active());
            active.map(|(t, channel)| (*t, channel.status())).collect()
        })
    }

    /// The transition, once there is a snapshot.
    pub fn transition(&self) -> Option<&Transition> {
        self.transition.as_ref()
    }
}

#[cfg(test)]
mod tests;
