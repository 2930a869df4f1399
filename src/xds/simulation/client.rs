//! A client that behaves as a proxy does, and the server's ends of its streams.
//!
//! It asks for what the things it has refer to, applies of a bad response what is good (or a part of that), says no in
//! words that name the culprit or do not, and keeps what it has when a stream ends. Requests and responses are on their
//! way until somebody takes them. What must hold of every response, whoever the client is, is checked here.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::super::fixtures;
use super::super::stream::{Abilities, Moment, Stream};
use super::super::transition::Pace;
use super::super::wire::{
    Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DeltaResource, DiscoveryRequest, DiscoveryResponse, Status,
};
use super::super::{Outgoing, Resource, ResourceType, Snapshot, delta, sotw};
use super::world::{self, Edition};
use ResourceType::{Cluster, Endpoint, ExtensionConfig, Listener, Route, Secret};

/// Types that a client asks for by name, when something that it has refers to them.
const CHILDREN: [ResourceType; 4] = [Endpoint, Secret, ExtensionConfig, Route];

/// The types that a client takes.
pub(super) const TYPES: [ResourceType; 6] = [Cluster, Endpoint, Secret, ExtensionConfig, Listener, Route];

/// What a client speaks, and over how many streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    /// Incremental, or state of the world.
    pub delta: bool,
    /// Each type on a stream of its own: then no order between types is promised.
    pub apart: bool,
}

/// A response as both variants mean it.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub resource_type: ResourceType,
    pub resources: Vec<Resource>,
    removed: Vec<String>,
    /// What is not in it is gone.
    whole: bool,
    version: String,
    nonce: String,
}

#[derive(Debug)]
enum Request {
    Sotw(DiscoveryRequest),
    Delta(DeltaDiscoveryRequest),
}

/// How much a client applies of what is good in a bad response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applies {
    /// All of it.
    All,
    /// What comes before the first bad one. Never so of clusters and listeners, which Envoy takes one by one.
    UpToTheBad,
}

pub(super) struct Client {
    pub manner: Manner,
    /// By what they serve; one for all types under `None`.
    streams: BTreeMap<Option<ResourceType>, Stream>,
    /// Responses that it has not read.
    waiting: BTreeMap<ResourceType, Message>,
    /// Requests that the server has not read.
    uplink: VecDeque<(ResourceType, Request)>,
    pub held: BTreeMap<ResourceType, BTreeMap<String, Resource>>,
    /// Of state of the world: the version last accepted.
    accepted: BTreeMap<ResourceType, String>,
    /// What it has asked for.
    pub subscribed: BTreeMap<ResourceType, BTreeSet<String>>,
    /// What it said no to on the streams that it has now.
    refused: BTreeSet<(ResourceType, u128)>,
    /// Editions that are bad for it.
    pub dislikes: BTreeSet<(ResourceType, Edition)>,
}

impl Client {
    /// A client that has nothing and is not connected.
    pub(super) fn new(manner: Manner, dislikes: impl IntoIterator<Item = (ResourceType, Edition)>) -> Self {
        Self {
            manner,
            streams: BTreeMap::new(),
            waiting: BTreeMap::new(),
            uplink: VecDeque::new(),
            held: TYPES.into_iter().map(|t| (t, BTreeMap::new())).collect(),
            accepted: BTreeMap::new(),
            subscribed: BTreeMap::new(),
            refused: BTreeSet::new(),
            dislikes: dislikes.into_iter().collect(),
        }
    }

    /// Its streams end; what was on its way is lost.
    pub(super) fn disconnect(&mut self) {
        self.streams.clear();
        self.waiting.clear();
        self.uplink.clear();
        self.refused.clear();
    }

    pub(super) fn is_connected(&self) -> bool {
        !self.streams.is_empty()
    }

    /// Opens new streams and says what it has; the server gives it `target`.
    pub(super) fn connect(&mut self, target: &Arc<Snapshot>, previous: &[Arc<Snapshot>], at: Moment) {
        self.disconnect();
        let keys = if self.manner.apart { TYPES.map(Some).to_vec() } else { vec![None] };
        for key in keys {
            let mut stream = Stream::new(Pace::default(), Abilities::default());
            stream.aim(Arc::clone(target), previous.to_vec(), at);
            self.streams.insert(key, stream);
        }
        let mut known = std::mem::take(&mut self.subscribed);
        known.insert(Cluster, BTreeSet::new());
        for (resource_type, names) in known {
            // An empty list would ask for everything.
            if !names.is_empty() || !CHILDREN.contains(&resource_type) {
                self.ask(resource_type, &names);
                self.subscribed.insert(resource_type, names);
            }
        }
        // A stream begins for the server when it has read the first request.
        self.deliver(at);
    }

    /// The server's ends of its streams.
    pub(super) fn streams(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.streams.values_mut()
    }

    pub(super) fn stream(&mut self, of: ResourceType) -> &mut Stream {
        let key = self.manner.apart.then_some(of);
        self.streams.get_mut(&key).expect("it is connected")
    }

    /// The first request of a type on a stream.
    fn ask(&mut self, of: ResourceType, names: &BTreeSet<String>) {
        let names = names.iter().cloned().collect();
        let request = if self.manner.delta {
            let versions = self.held[&of].iter();
            Request::Delta(DeltaDiscoveryRequest {
                resource_names_subscribe: names,
                initial_resource_versions: versions.map(|(n, r)| (n.clone(), r.version().to_string())).collect(),
                ..Default::default()
            })
        } else {
            Request::Sotw(DiscoveryRequest {
                version_info: self.accepted.get(&of).cloned().unwrap_or_default(),
                resource_names: names,
                ..Default::default()
            })
        };
        self.uplink.push_back((of, request));
    }

    /// What the client asks for follows from what it has, as in Envoy.
    fn follow_references(&mut self) {
        if let Entry::Vacant(listeners) = self.subscribed.entry(Listener) {
            listeners.insert(BTreeSet::new());
            self.ask(Listener, &BTreeSet::new());
        }
        for child in CHILDREN {
            let parents = self.held.values().flat_map(BTreeMap::values);
            let references = parents.flat_map(Resource::refers_to).filter(|(t, _)| *t == child);
            let wanted: BTreeSet<String> = references.map(|(_, name)| name.to_string()).collect();
            let before = self.subscribed.get(&child).cloned();
            if before.as_ref() == Some(&wanted) || (before.is_none() && wanted.is_empty()) {
                continue;
            }
            self.subscribed.insert(child, wanted.clone());
            let Some(before) = before else {
                self.ask(child, &wanted);
                continue;
            };
            self.held.get_mut(&child).expect("the type").retain(|name, _| wanted.contains(name));
            let request = if self.manner.delta {
                Request::Delta(DeltaDiscoveryRequest {
                    resource_names_subscribe: wanted.difference(&before).cloned().collect(),
                    resource_names_unsubscribe: before.difference(&wanted).cloned().collect(),
                    ..Default::default()
                })
            } else {
                let resource_names = wanted.into_iter().collect();
                Request::Sotw(DiscoveryRequest { resource_names, ..Default::default() })
            };
            self.uplink.push_back((child, request));
        }
    }

    /// The server reads the oldest request, if there is one.
    pub(super) fn deliver(&mut self, at: Moment) -> bool {
        let Some((of, request)) = self.uplink.pop_front() else { return false };
        let stream = self.stream(of);
        match request {
            Request::Sotw(request) => sotw::on_request(stream, of, &request, at),
            Request::Delta(request) => delta::on_request(stream, of, &request, at),
        }
        true
    }

    /// The server sends what is due, one response at most.
    pub(super) fn send(&mut self, at: Moment) -> Option<&Message> {
        let delta = self.manner.delta;
        let sent = self.streams.values_mut().find_map(|stream| {
            stream.advance(at);
            let sent = match delta {
                true => delta::next_response(stream, at),
                false => sotw::next_response(stream, at),
            };
            stream.refresh(at);
            sent
        });
        let message = Message::read(&sent?, delta);
        let mut names = BTreeSet::new();
        for resource in &message.resources {
            assert!(names.insert(&**resource.name()), "{resource:?} comes twice");
            let refused = (message.resource_type, resource.key());
            assert!(!self.refused.contains(&refused), "{resource:?} was refused and comes again");
        }
        for name in &message.removed {
            assert!(names.insert(name), "{name} comes and goes in one response: {message:?}");
        }
        let of = message.resource_type;
        assert!(self.waiting.insert(of, message).is_none(), "one response at a time");
        self.waiting.get(&of)
    }

    /// Reads the response of a type, applies it, and answers. Returns what it took of it, and what it did not.
    pub(super) fn answer(&mut self, of: ResourceType, applies: Applies) -> Option<(Vec<Resource>, Vec<Resource>)> {
        let message = self.waiting.remove(&of)?;
        let is_bad = |r: &Resource| self.dislikes.contains(&(of, world::edition(r)));
        let first_bad = message.resources.iter().position(is_bad);
        let (bad, good): (Vec<Resource>, Vec<Resource>) = message.resources.iter().cloned().partition(is_bad);
        let upto = match applies {
            Applies::UpToTheBad if !of.is_full_state() => first_bad.unwrap_or(good.len()),
            Applies::UpToTheBad | Applies::All => good.len(),
        };
        // What was asked for when it was sent, and is not any more, is ignored.
        let subscribed = self.subscribed.get(&of);
        let wanted = |r: &&Resource| !CHILDREN.contains(&of) || subscribed.is_some_and(|s| s.contains(&**r.name()));
        let held = self.held.get_mut(&of).expect("the type");
        held.extend(good[..upto].iter().filter(wanted).map(|r| (r.name().to_string(), r.clone())));
        if message.whole {
            held.retain(|name, _| message.resources.iter().any(|r| **r.name() == **name));
        }
        if bad.is_empty() || of.is_full_state() {
            message.removed.iter().for_each(|name| drop(held.remove(name)));
        }
        let error_detail = (!bad.is_empty()).then(|| complaint(of, &bad));
        self.refused.extend(bad.iter().map(|r| (of, r.key())));
        if bad.is_empty() {
            self.accepted.insert(of, message.version.clone());
            if of == Cluster {
                // A cluster that was missing may have come: then what needs it may come again.
                self.refused.retain(|(t, _)| !t.is_routing());
            }
        }
        let response_nonce = message.nonce;
        let request = if self.manner.delta {
            Request::Delta(DeltaDiscoveryRequest { response_nonce, error_detail, ..Default::default() })
        } else {
            let names = self.subscribed.get(&of).cloned().unwrap_or_default();
            let resource_names = names.into_iter().collect();
            Request::Sotw(DiscoveryRequest { resource_names, response_nonce, error_detail, ..Default::default() })
        };
        self.uplink.push_back((of, request));
        self.follow_references();
        let taken = if bad.is_empty() { good } else { Vec::new() };
        Some((taken, bad))
    }

    /// Clusters that something it has names, and that it lacks.
    pub(super) fn dangling(&self) -> BTreeSet<String> {
        let routing = self.held.iter().filter(|(t, _)| t.is_routing()).flat_map(|(_, held)| held.values());
        let named =
            routing.flat_map(Resource::refers_to).filter(|(t, _)| *t == Cluster).map(|(_, name)| name.to_string());
        named.filter(|name| !self.held[&Cluster].contains_key(name)).collect()
    }
}

/// What it says of what is bad: names, as Envoy does, for clusters and listeners only.
fn complaint(of: ResourceType, bad: &[Resource]) -> Status {
    let names: Vec<String> = bad.iter().map(|r| format!("{}: bad", r.name())).collect();
    let message = match of.is_full_state() {
        true => format!("Error adding/updating {of} {}", names.join(", ")),
        false => "Proto constraint validation failed: value out of range".to_owned(),
    };
    Status { code: 13, message }
}

impl Message {
    fn read(sent: &Outgoing, is_delta: bool) -> Self {
        let of = sent.resource_type;
        let resource = |any: &Any| world::read(of, &any.value);
        if is_delta {
            let response: DeltaDiscoveryResponse = fixtures::read(sent);
            let body = |r: &DeltaResource| resource(r.resource.as_ref().expect("a body"));
            return Self {
                resource_type: of,
                resources: response.resources.iter().map(body).collect(),
                removed: response.removed_resources,
                whole: false,
                version: response.system_version_info,
                nonce: response.nonce,
            };
        }
        let response: DiscoveryResponse = fixtures::read(sent);
        Self {
            resource_type: of,
            resources: response.resources.iter().map(resource).collect(),
            removed: Vec::new(),
            whole: of.is_full_state(),
            version: response.version_info,
            nonce: response.nonce,
        }
    }
}
