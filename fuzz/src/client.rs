//! A client of one stream that believes nothing: it checks every response, keeps what it was given, and says in the end
//! whether that is what it should have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use prost::Message;
use serin::xds::stream::{Abilities, Moment, Notice, Stream};
use serin::xds::transition::Pace;
use serin::xds::wire::{
    Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DeltaResource, DiscoveryRequest, DiscoveryResponse,
};
use serin::xds::{Outgoing, Resource, ResourceType, ResourceVersion, delta, sotw};

use crate::world::snapshot;

/// How many names a client may make the server remember, per type.
const NAMES: usize = 100;

/// A request of either variant.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// State of the world.
    Sotw(DiscoveryRequest),
    /// Incremental.
    Delta(DeltaDiscoveryRequest),
}

impl Request {
    fn nonce(&self) -> &str {
        match self {
            Self::Sotw(request) => &request.response_nonce,
            Self::Delta(request) => &request.response_nonce,
        }
    }
}

/// The client, and the server's end of its stream.
pub struct Client {
    delta: bool,
    stream: Stream,
    at: Moment,
    target: u8,
    /// Nonces of responses that were not answered.
    unanswered: BTreeMap<ResourceType, u64>,
    /// By name: the body.
    has: BTreeMap<ResourceType, BTreeMap<String, Vec<u8>>>,
    accepted: BTreeSet<(ResourceType, String, ResourceVersion)>,
    refused: BTreeSet<(ResourceType, String, Vec<u8>)>,
    /// Whether it ever said no, or claimed to have what it has not: then what it ends with is not known.
    odd: bool,
    full: bool,
}

impl Client {
    /// A client that has connected to a server with snapshot 0.
    pub fn new(delta: bool, ttl: bool) -> Self {
        let abilities = Abilities { ttl, ttl_in_sotw: ttl };
        let at = Moment { now: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        let mut stream = Stream::new(Pace::default(), abilities);
        stream.aim(snapshot(0), vec![snapshot(1), snapshot(2)], at);
        Self {
            delta,
            stream,
            at,
            target: 0,
            unanswered: BTreeMap::new(),
            has: BTreeMap::new(),
            accepted: BTreeSet::new(),
            refused: BTreeSet::new(),
            odd: false,
            full: false,
        }
    }

    /// The server is given another snapshot.
    pub fn aim(&mut self, at: u8) {
        self.target = at;
        self.stream.aim(snapshot(at), Vec::new(), self.at);
    }

    /// Time goes on.
    pub fn pass(&mut self, time: Duration) {
        self.at = Moment { now: self.at.now + time, wall: self.at.wall + time };
        self.stream.advance(self.at);
        self.stream.disarm(self.at);
    }

    /// The nonce of the response of a type that waits for its answer.
    pub fn nonce(&self, of: ResourceType) -> Option<u64> {
        self.unanswered.get(&of).copied()
    }

    /// The server takes a request.
    pub fn request(&mut self, of: ResourceType, request: &Request) {
        if self.full {
            return;
        }
        let answered = request.nonce().parse().is_ok_and(|nonce: u64| self.unanswered.get(&of) == Some(&nonce));
        if answered {
            self.unanswered.remove(&of);
        }
        match request {
            Request::Sotw(request) => {
                self.odd |= request.error_detail.is_some();
                sotw::on_request(&mut self.stream, of, request, self.at);
            }
            Request::Delta(request) => {
                self.odd |= request.error_detail.is_some() || !request.initial_resource_versions.is_empty();
                delta::on_request(&mut self.stream, of, request, self.at);
            }
        }
        let channel = self.stream.channel(of);
        self.full = channel.remembered() > 2 * NAMES;
        // What is not asked for any more is let go of, so that it has to be sent when it is asked for again.
        let subscription = &channel.subscription;
        let target = snapshot(self.target);
        let covers = |name: &str| match target.get(of, name) {
            Some(resource) => subscription.covers(resource),
            None => subscription.covers_name(name),
        };
        self.has.entry(of).or_default().retain(|name, _| covers(name));
        self.listen();
    }

    fn listen(&mut self) {
        for notice in self.stream.notices() {
            match notice {
                Notice::Accepted(resources) => {
                    // What was rejected for want of something may be right now.
                    if resources.iter().any(|r| r.resource_type() == ResourceType::Cluster) {
                        self.refused.retain(|(t, ..)| !t.is_routing());
                    }
                    let key = |r: Resource| (r.resource_type(), r.name().to_string(), r.version());
                    self.accepted.extend(resources.into_iter().map(key));
                }
                Notice::Rejected { resources, .. } => {
                    let new = |r: &&Resource| {
                        !self.accepted.contains(&(r.resource_type(), r.name().to_string(), r.version()))
                    };
                    let key = |r: &Resource| (r.resource_type(), r.name().to_string(), r.body().to_vec());
                    self.refused.extend(resources.iter().filter(new).map(key));
                }
                Notice::Overdue(_) => {}
            }
        }
    }

    /// Takes everything that the server sends now. Returns how many responses came.
    pub fn read(&mut self) -> usize {
        let mut read = 0;
        loop {
            self.stream.advance(self.at);
            let response = match self.delta {
                true => delta::next_response(&mut self.stream, self.at),
                false => sotw::next_response(&mut self.stream, self.at),
            };
            self.listen();
            self.stream.refresh(self.at);
            let Some(response) = response else { return read };
            read += 1;
            assert!(read <= 2 * (ResourceType::ALL.len() + 1), "more responses than types, and none was answered");
            self.check(&response);
        }
    }

    fn check(&mut self, response: &Outgoing) {
        let of = response.resource_type;
        let bytes = [&response.head[..], &response.resources].concat();
        let (nonce, type_url, resources, removed) = match self.delta {
            true => {
                let response = DeltaDiscoveryResponse::decode(&bytes[..]).expect("a response");
                let resources = response.resources.into_iter().map(|r| (r.name, r.resource.map(|any| any.value)));
                (response.nonce, response.type_url, resources.collect::<Vec<_>>(), response.removed_resources)
            }
            false => {
                let response = DiscoveryResponse::decode(&bytes[..]).expect("a response");
                let resources = response.resources.iter().map(unwrap).collect();
                (response.nonce, response.type_url, resources, Vec::new())
            }
        };
        assert_eq!(type_url, of.type_url());
        assert_eq!((resources.len(), removed.len()), (response.carried, if self.delta { response.removed } else { 0 }));
        let nonce = nonce.parse().expect("a number");
        assert_eq!(self.unanswered.insert(of, nonce), None, "{of}: two responses are on their way");
        let mut names = BTreeSet::new();
        for name in resources.iter().map(|(name, _)| name).chain(&removed) {
            assert!(names.insert(name), "{of}: {name} comes twice");
        }
        let has = self.has.entry(of).or_default();
        if !self.delta && of.is_full_state() && resources.iter().all(|(_, body)| body.is_some()) {
            has.clear();
        }
        for (name, body) in resources {
            let Some(body) = body else { continue };
            let refused = self.refused.contains(&(of, name.clone(), body.to_vec()));
            assert!(!refused, "{of}: {name} was rejected and comes again");
            has.insert(name, body.to_vec());
        }
        removed.iter().for_each(|name| drop(has.remove(name)));
    }

    /// Says yes to everything until nothing comes any more, and compares what it has with what it asked for.
    pub fn come_to_rest(&mut self) {
        if self.full {
            return;
        }
        for _ in 0..3 {
            let mut rounds = 0;
            while self.read() > 0 || !self.unanswered.is_empty() {
                rounds += 1;
                assert!(rounds < 40, "it never comes to rest");
                for (of, nonce) in std::mem::take(&mut self.unanswered) {
                    self.unanswered.insert(of, nonce);
                    let request = self.yes(of, nonce);
                    self.request(of, &request);
                    if self.full {
                        return;
                    }
                }
            }
            self.pass(Duration::from_secs(25));
        }
        if !self.odd {
            self.compare();
        }
    }

    /// The answer that takes a response.
    pub fn yes(&mut self, of: ResourceType, nonce: u64) -> Request {
        let (type_url, response_nonce) = (of.type_url().to_owned(), nonce.to_string());
        if self.delta {
            return Request::Delta(DeltaDiscoveryRequest { type_url, response_nonce, ..Default::default() });
        }
        let subscription = &self.stream.channel(of).subscription;
        let mut resource_names: Vec<String> = subscription.names().iter().map(ToString::to_string).collect();
        if subscription.is_wildcard() {
            resource_names.push("*".to_owned());
        }
        Request::Sotw(DiscoveryRequest { type_url, response_nonce, resource_names, ..Default::default() })
    }

    fn compare(&mut self) {
        let target = snapshot(self.target);
        for of in self.stream.active() {
            let channel = self.stream.channel(of);
            let wanted = target.of_type(of).values().filter(|r| channel.subscription.covers(r));
            let wanted: BTreeMap<String, Vec<u8>> = wanted.map(|r| (r.name().to_string(), r.body().to_vec())).collect();
            let has = self.has.entry(of).or_default();
            // State of the world has no word for what is gone, and what is referred to is never removed (behaviour 34).
            let is_kept = !of.is_full_state() && !self.delta
                || matches!(of, ResourceType::Secret | ResourceType::ExtensionConfig);
            if is_kept {
                has.retain(|name, _| wanted.contains_key(name));
            }
            assert_eq!(*has, wanted, "{of}");
        }
    }
}

/// A resource of state of the world: in an envelope, or bare.
fn unwrap(any: &Any) -> (String, Option<bytes::Bytes>) {
    if any.type_url.ends_with("envoy.service.discovery.v3.Resource") {
        let envelope = DeltaResource::decode(any.value.clone()).expect("an envelope");
        return (envelope.name, envelope.resource.map(|any| any.value));
    }
    let text = std::str::from_utf8(&any.value).expect("a body");
    let (name, _) = text.split_once('\n').expect("a name");
    (name.to_owned(), Some(any.value.clone()))
}
