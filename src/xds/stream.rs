//! One stream without I/O: what both variants of the protocol share.
//!
//! PURE. Owns the channels of all types and the transition that they take part in. The variants ([`super::sotw`],
//! [`super::delta`]) read requests into it and write responses out of it. Time is an argument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::channel::{Answer, Channel, Due};
use super::transition::{Advanced, Client, Pace, Transition};
use super::wire::Status;
use super::{Rejection, ResourceType, Snapshot, TypeStatus};

/// The moment at which something happens: monotonic for deadlines, wall-clock for people.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For deadlines.
    pub now: Instant,
    /// For people.
    pub wall: SystemTime,
}

/// Something worth telling to an operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The client said no.
    Rejected(ResourceType, Rejection),
    /// Routes were released although these clusters were not acknowledged in time.
    Overdue(Vec<Arc<str>>),
}

/// What both variants share.
#[derive(Debug)]
pub struct Stream {
    channels: Channels,
    transition: Option<Transition>,
    pace: Pace,
    notices: Vec<Notice>,
}

#[derive(Debug)]
struct Channels(BTreeMap<ResourceType, Channel>);

impl Client for Channels {
    fn takes_clusters(&self) -> bool {
        self.0[&ResourceType::Cluster].subscription.is_wildcard()
    }

    fn has_cluster(&self, name: &str, transition: &Transition) -> bool {
        let Some(cluster) = transition.get(ResourceType::Cluster, name) else { return true };
        let endpoints = &self.0[&ResourceType::Endpoint];
        self.0[&ResourceType::Cluster].holds(name)
            && cluster.refers_to().iter().all(|(_, endpoint)| {
                endpoints.is_current(endpoint, transition) || endpoints.is_refused(endpoint, transition)
            })
    }

    fn rejects_cluster(&self, name: &str, transition: &Transition) -> bool {
        let offered = transition.get(ResourceType::Cluster, name);
        offered.is_some_and(|cluster| self.0[&ResourceType::Cluster].rejects(cluster))
    }

    fn relies_on(&self, old: &Snapshot, target: &Snapshot) -> bool {
        self.0[&ResourceType::Cluster].relies_on(old, target)
    }

    fn is_synced(&self, resource_type: ResourceType, transition: &Transition) -> bool {
        self.0[&resource_type].is_synced(transition)
    }
}

impl Stream {
    /// A stream on which nothing was said yet.
    pub fn new(pace: Pace) -> Self {
        let channels = ResourceType::ALL.into_iter().map(|t| (t, Channel::new(t))).collect();
        Self { channels: Channels(channels), transition: None, pace, notices: Vec::new() }
    }

    /// There is a (newer) snapshot for the client. `previous` are older ones that it may hold parts of, newest first;
    /// they count only the first time.
    pub fn aim(&mut self, target: Arc<Snapshot>, previous: Vec<Arc<Snapshot>>, at: Moment) {
        match &mut self.transition {
            Some(transition) => transition.aim(target, at.now),
            None => self.transition = Some(Transition::start(target, previous, self.pace, at.now)),
        }
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
        if answer != Answer::Current || !channel.is_waiting() {
            return answer;
        }
        match error {
            Some(status) => {
                if let Some(rejection) = channel.reject(&status.message, at.wall).cloned() {
                    self.notices.push(Notice::Rejected(resource_type, rejection));
                }
            }
            None => {
                // What was rejected for want of a cluster may be right now that one has come.
                if channel.acknowledge() && resource_type == ResourceType::Cluster {
                    self.channel(ResourceType::Listener).reconsider();
                    self.channel(ResourceType::Route).reconsider();
                }
            }
        }
        answer
    }

    /// The channel of a type.
    pub fn channel(&mut self, resource_type: ResourceType) -> &mut Channel {
        self.channels.0.get_mut(&resource_type).expect("there is a channel for every type")
    }

    /// A channel together with the transition, when there is a snapshot.
    pub fn offer(&mut self, resource_type: ResourceType) -> Option<(&mut Channel, &mut Transition)> {
        Some((self.channels.0.get_mut(&resource_type)?, self.transition.as_mut()?))
    }

    /// What is due of a type, when it may be sent now: nothing while a response is on its way, and no listeners or routes
    /// before their clusters are there.
    pub fn due(&mut self, resource_type: ResourceType) -> Option<(&mut Channel, &Transition, Due)> {
        let (channel, transition) = self.offer(resource_type)?;
        let withheld = !resource_type.is_cluster_side() && !transition.may_remove(resource_type);
        if channel.is_waiting() || !channel.subscription.is_active() || withheld {
            return None;
        }
        let due = channel.due(transition);
        Some((channel, transition, due))
    }

    /// After a changed cluster its endpoints are sent again, and after a changed listener its routes, or they would warm
    /// until a timeout (behaviour 32).
    pub fn send_children_again(&mut self, parents: &[super::Resource]) {
        for (child_type, child) in parents.iter().flat_map(super::Resource::refers_to) {
            if matches!(child_type, ResourceType::Endpoint | ResourceType::Route) {
                self.channel(*child_type).send_again(child);
            }
        }
    }

    /// When to call `advance` again although nothing happened.
    pub fn deadline(&self) -> Option<Instant> {
        self.transition.as_ref().and_then(Transition::deadline)
    }

    /// Nothing could be done at the deadline: waits for another one.
    pub fn disarm(&mut self, at: Moment) {
        if let Some(transition) = &mut self.transition {
            transition.disarm(at.now);
        }
    }

    /// What there is to tell since the last time.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Brings the status up to date; returns it when it is another one than the last time.
    pub fn refresh(&mut self, at: Moment) -> Option<BTreeMap<ResourceType, TypeStatus>> {
        let mut changed = false;
        for channel in self.channels.0.values_mut().filter(|channel| channel.subscription.is_active()) {
            changed |= channel.refresh(self.transition.as_ref(), at.now, at.wall);
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
