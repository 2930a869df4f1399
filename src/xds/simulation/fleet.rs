//! Many proxies of one group, in virtual time: the group's rules, every proxy's streams, and all that happens between.
//!
//! Of each story it is asserted:
//!
//! - A proxy never comes to hold a route (or a listener) to a cluster that it lacks. Excepted are clusters of which the server
//!   gave notice that it did not wait for them any longer, clusters that no snapshot has that the server knows when the
//!   proxy connects (an edition of them that it has), and proxies with a stream for each type, to which no order is promised.
//! - Once the server has read a no to a resource (to its content: another edition is another one), no stream that has
//!   looked at what the group is given since is sent it, unless some proxy said yes to it since the server started, or
//!   says yes later: it was on its way then. A no is for the stream that said it alone when the proxy lacks a cluster
//!   that the resource refers to. A restart of the server, and an operator's release, begin anew.
//! - Who said no is not sent it again on the same stream, whatever others say, unless it is a route or a listener and a
//!   cluster has come since.
//! - No name comes twice in a response, nobody has two responses of a type on their way, and after the last event it
//!   takes a bounded number of responses until none comes any more, for a minute and more.
//! - Then each proxy has exactly what the group serves it, apart from what it said no to itself; the group serves what is
//!   intended, apart from what is parked (or stopped at the first proxies) and what refers to that; and a last snapshot
//!   that is all good ends up everywhere, whole and in force.

mod ledger;
mod story;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::fixtures::Clock;
use super::super::group::{Group, Held, Peer};
use super::super::stream::Notice;
use super::super::{Locality, Resource, ResourceType, Snapshot};
use super::client::{Applies, Client, TYPES};
use super::stories;
use ResourceType::{Cluster, Secret};
use ledger::{Key, Ledger};
use story::{BAD, Event, LOCAL, Nature, Plan, any_story};

struct Proxy {
    id: String,
    client: Client,
    connects: u64,
    errors: u64,
    /// The group is given something that its streams have not looked at.
    behind: bool,
    /// What was rejected when they did.
    barred: BTreeSet<Key>,
    /// What it ever said yes to.
    yes: BTreeSet<Key>,
    /// What it said no to, that the server has not read.
    complaints: BTreeMap<ResourceType, VecDeque<Vec<Resource>>>,
    /// What the server took its noes for, on the streams that it has now.
    suspects: BTreeSet<Key>,
    /// Clusters that it may lack.
    excused: BTreeSet<String>,
}

struct Fleet {
    group: Group,
    ledger: Ledger,
    proxies: Vec<Proxy>,
    clock: Clock,
}

impl Fleet {
    fn new(natures: &[Nature]) -> Self {
        let proxy = |(at, (manner, trouble)): (usize, &Nature)| {
            let local = trouble.map(|of| (of, LOCAL));
            Proxy {
                id: format!("proxy-{at}"),
                client: Client::new(*manner, TYPES.map(|of| (of, BAD)).into_iter().chain(local)),
                connects: 0,
                errors: 0,
                behind: false,
                barred: BTreeSet::new(),
                yes: BTreeSet::new(),
                complaints: BTreeMap::new(),
                suspects: BTreeSet::new(),
                excused: BTreeSet::new(),
            }
        };
        let proxies = natures.iter().enumerate().map(proxy).collect();
        Self { group: Group::default(), ledger: Ledger::default(), proxies, clock: Clock::new() }
    }

    /// Changes the group; streams hear of it later.
    fn change(&mut self, change: impl FnOnce(&mut Group) -> bool) -> bool {
        let intended = self.group.intended().cloned();
        let changed = change(&mut self.group) || self.group.intended() != intended.as_ref();
        if changed {
            self.proxies.iter_mut().for_each(|proxy| proxy.behind = true);
        }
        changed
    }

    fn connect(&mut self, at: usize) {
        let Some(published) = self.group.published() else { return };
        let proxy = &mut self.proxies[at];
        proxy.connects += 1;
        proxy.suspects.clear();
        proxy.complaints.clear();
        let target = published.of(&proxy.id);
        proxy.client.connect(target, &published.previous, self.clock.0);
        for stream in proxy.client.streams() {
            stream.bar(&published.barred, &published.kept);
            if target.version() != published.intended.version() {
                stream.intend(Arc::clone(&published.intended));
            }
        }
        (proxy.behind, proxy.barred) = (false, self.ledger.rejected());
        let known = |name: &str| {
            let Some(held) = proxy.client.held[&Cluster].get(name) else { return false };
            published.previous.iter().chain([target]).any(|snapshot| snapshot.get(Cluster, name) == Some(held))
        };
        let routing = proxy.client.held.iter().filter(|(t, _)| t.is_routing()).flat_map(|(_, held)| held.values());
        let named = routing.flat_map(Resource::refers_to).map(|(_, name)| name.to_string());
        proxy.excused = named.filter(|name| !known(name)).collect();
    }

    /// A proxy's streams take note of what the group is given.
    fn look(&mut self, at: usize) -> bool {
        let (proxy, Some(published)) = (&mut self.proxies[at], self.group.published()) else { return false };
        if !std::mem::take(&mut proxy.behind) || !proxy.client.is_connected() {
            return false;
        }
        let target = published.of(&proxy.id);
        for stream in proxy.client.streams() {
            stream.aim(Arc::clone(target), Vec::new(), self.clock.0);
            stream.bar(&published.barred, &published.kept);
            if target.version() != published.intended.version() {
                stream.intend(Arc::clone(&published.intended));
            }
        }
        proxy.barred = self.ledger.rejected();
        true
    }

    fn send(&mut self, at: usize) -> bool {
        let proxy = &mut self.proxies[at];
        let sent = proxy.client.send(self.clock.0);
        for resource in sent.iter().flat_map(|message| &message.resources) {
            let barred = proxy.barred.contains(&resource.key()) && self.ledger.is_rejected(resource);
            assert!(!barred, "{} is sent {resource:?}, which was rejected", proxy.id);
        }
        let sent = sent.is_some();
        self.tell(at);
        sent
    }

    /// What a proxy's streams have to say reaches the group.
    fn tell(&mut self, at: usize) {
        let notices: Vec<Notice> = self.proxies[at].client.streams().flat_map(|stream| stream.notices()).collect();
        for notice in notices {
            let proxy = &mut self.proxies[at];
            match notice {
                Notice::Accepted(resources) => {
                    let invented = resources.iter().find(|r| !proxy.yes.contains(&r.key()));
                    assert!(invented.is_none(), "{} never said yes to {invented:?}", proxy.id);
                    self.ledger.accept(&resources);
                    self.change(|group| group.accept(&resources));
                }
                Notice::Rejected { resource_type, rejection, resources, lacking } => {
                    let bad = proxy.complaints.get_mut(&resource_type).and_then(VecDeque::pop_front);
                    let missed = bad.iter().flatten().find(|bad| !resources.contains(bad));
                    assert!(missed.is_none(), "{} said no to {missed:?}", proxy.id);
                    proxy.suspects.extend(resources.iter().map(Resource::key));
                    if !lacking {
                        self.ledger.reject(&resources);
                        let node = proxy.id.clone();
                        self.change(|group| group.reject(&resources, &node, &rejection.text, rejection.at));
                    }
                }
                Notice::Overdue(clusters) => proxy.excused.extend(clusters.iter().map(ToString::to_string)),
            }
        }
        self.ledger.check(&self.group.parked());
    }

    fn answer(&mut self, at: usize, of: ResourceType, applies: Applies) -> bool {
        let proxy = &mut self.proxies[at];
        let Some((taken, bad)) = proxy.client.answer(of, applies) else { return false };
        proxy.yes.extend(taken.iter().map(Resource::key));
        for resource in taken.iter().filter(|resource| resource.resource_type() == Cluster) {
            proxy.excused.remove(&**resource.name());
        }
        if !bad.is_empty() {
            proxy.complaints.entry(of).or_default().push_back(bad);
        }
        let dangling = proxy.client.dangling();
        let lacks: Vec<&String> = dangling.difference(&proxy.excused).collect();
        assert!(lacks.is_empty() || proxy.client.manner.apart, "{} has a route to {lacks:?} and lacks it", proxy.id);
        true
    }

    fn observe(&mut self) -> bool {
        let Some(snapshot) = self.group.on_trial().cloned() else { return false };
        let connected = self.proxies.iter_mut().enumerate().filter(|(_, proxy)| proxy.client.is_connected());
        let peers: Vec<Peer> = connected.map(|(at, proxy)| proxy.peer(at, &snapshot)).collect();
        let now = self.clock.0.now;
        self.change(|group| group.observe(&peers, now))
    }

    fn restart(&mut self) {
        let Some(intended) = self.group.intended().cloned() else { return };
        (self.group, self.ledger) = (Group::default(), Ledger::default());
        self.group.publish(intended, false);
        self.proxies.iter_mut().for_each(|proxy| proxy.client.disconnect());
    }

    fn happens(&mut self, event: &Event) {
        let of = |at: &usize| at % self.proxies.len();
        match event {
            Event::Publish(plan, urgent) => {
                self.change(|group| group.publish(plan.snapshot(), *urgent));
            }
            Event::Send(at) => drop(self.send(of(at))),
            Event::Read(at) => {
                let at = of(at);
                self.proxies[at].client.deliver(self.clock.0);
            }
            Event::Look(at) => drop(self.look(of(at))),
            Event::Answer(at, resource_type, applies) => drop(self.answer(of(at), *resource_type, *applies)),
            Event::Wait(seconds) => self.clock.pass(Duration::from_secs(*seconds)),
            Event::Disconnect(at) => {
                let at = of(at);
                self.proxies[at].client.disconnect();
            }
            Event::Connect(at) => self.connect(of(at)),
            Event::Crash(at) => {
                let proxy = of(at);
                self.proxies[proxy].crash();
                self.connect(proxy);
            }
            Event::Errors(at, errors) => {
                let at = of(at);
                self.proxies[at].errors += errors;
            }
            Event::Restart => self.restart(),
            Event::Canary(canary) => self.group.set_canary(*canary),
            Event::Observe => drop(self.observe()),
            Event::Release => {
                self.ledger.release();
                self.change(Group::release);
            }
        }
    }

    /// Nothing new comes: everybody is there, everything is read, sent and answered, and drained.
    fn come_to_rest(&mut self) {
        let mut quiet = 0;
        for _ in 0..400 {
            let mut moved = false;
            for at in 0..self.proxies.len() {
                if !self.proxies[at].client.is_connected() {
                    self.connect(at);
                }
                moved |= self.look(at);
                while self.proxies[at].client.deliver(self.clock.0) {}
                while self.send(at) {
                    moved = true;
                }
                for resource_type in TYPES {
                    moved |= self.answer(at, resource_type, Applies::All);
                }
            }
            moved |= self.observe();
            quiet = if moved { 0 } else { quiet + 1 };
            if quiet > 20 {
                return;
            }
            if !moved {
                self.clock.pass(Duration::from_secs(3));
            }
        }
        panic!("it never comes to rest");
    }

    /// Everybody has what the group serves.
    fn compare(&mut self) {
        let published = self.group.published().expect("a snapshot");
        let (served, intended) = (Arc::clone(&published.snapshot), Arc::clone(&published.intended));
        if self.group.held().is_none() {
            self.compare_served(&served, &intended);
        } else {
            assert!(self.is_held(), "a trial without end");
        }
        for resource in served.iter() {
            assert!(!self.ledger.is_rejected(resource), "{resource:?} was rejected and is served");
            let missing = resource.refers_to().iter().find(|(t, name)| served.get(*t, name).is_none());
            assert!(missing.is_none(), "{resource:?} is served without {missing:?}");
        }
        self.proxies.iter_mut().for_each(|proxy| proxy.compare(published.of(&proxy.id.clone())));
    }

    /// Whether the rest wait for a reason: trouble at the first, or one of them said no to what others took.
    fn is_held(&self) -> bool {
        let (Some(held), trial) = (self.group.held(), self.group.on_trial()) else { return false };
        let said_no = |id: &String| {
            let proxy = self.proxies.iter().find(|proxy| proxy.id == *id);
            let (Some(proxy), Some(trial)) = (proxy, trial) else { return false };
            trial.iter().any(|resource| proxy.suspects.contains(&resource.key()))
        };
        match held {
            Held::Stopped(_) => true,
            Held::Trial(first) => first.iter().any(said_no),
        }
    }

    fn compare_served(&self, served: &Snapshot, intended: &Snapshot) {
        for wanted in intended.iter() {
            let is_served = served.get(wanted.resource_type(), wanted.name()) == Some(wanted);
            let lost = |(t, name): &&(ResourceType, Arc<str>)| served.get(*t, name).is_none();
            let excused = self.ledger.is_rejected(wanted) || wanted.refers_to().iter().any(|to| lost(&to));
            assert!(is_served || excused, "{wanted:?} is intended, and nothing speaks against it");
        }
        if intended.iter().all(|wanted| !self.ledger.is_rejected(wanted)) {
            assert_eq!(served, intended);
        }
    }
}

impl Proxy {
    fn crash(&mut self) {
        let nothing = Client::new(self.client.manner, []);
        let before = std::mem::replace(&mut self.client, nothing);
        self.client.dislikes = before.dislikes;
        self.yes.clear();
        self.excused.clear();
    }

    fn peer(&mut self, at: usize, snapshot: &Snapshot) -> Peer {
        let has = |of: ResourceType, client: &mut Client| {
            let status = client.stream(of).channel(of).status();
            !status.subscription.is_active() || status.in_force.is_some_and(|(v, _)| v == snapshot.version_of(of))
        };
        let in_force = TYPES.into_iter().all(|of| has(of, &mut self.client));
        let locality = Locality { zone: format!("{}", at % 2), ..Locality::default() };
        Peer { id: self.id.clone(), locality, connects: self.connects, errors: self.errors, in_force }
    }

    /// It has exactly what it is served, apart from what it said no to.
    fn compare(&mut self, served: &Snapshot) {
        // It keeps what it has in place of a cluster that it will not take, and the routes that go with it.
        let is_stuck = served.of_type(Cluster).values().any(|r| self.suspects.contains(&r.key()));
        // Of a route, too: and what the one that it has in its place leads to is left to it.
        let may_keep = served.iter().any(|r| self.suspects.contains(&r.key()));
        for of in TYPES {
            if is_stuck && of.is_routing() {
                continue;
            }
            let client = &self.client;
            let asked = |name: &str| match client.subscribed.get(&of) {
                Some(names) => of.is_full_state() || names.contains(name),
                None => false,
            };
            let held = &client.held[&of];
            for wanted in served.of_type(of).values().filter(|wanted| asked(wanted.name())) {
                if self.suspects.contains(&wanted.key()) {
                    continue;
                }
                assert_eq!(held.get(&**wanted.name()), Some(wanted), "{} has not got what it is served", self.id);
            }
            if !may_keep {
                let extra: Vec<&Resource> = held.values().filter(|r| served.get(of, r.name()).is_none()).collect();
                assert!(extra.is_empty(), "{} has what it is not served: {extra:?}", self.id);
            }
        }
    }

    /// All of a snapshot is in force.
    fn has_in_force(&mut self, snapshot: &Snapshot) {
        for of in TYPES {
            let status = self.client.stream(of).channel(of).status();
            if status.subscription.is_active() {
                let in_force = status.in_force.map(|(version, _)| version);
                assert_eq!(in_force, Some(snapshot.version_of(of)), "{} has not got {of} in force", self.id);
            }
            let held: Vec<&Resource> = self.client.held[&of].values().collect();
            let all: Vec<&Resource> = snapshot.of_type(of).values().collect();
            assert!(held == all || of == Secret, "{} has {held:?} of {all:?}", self.id);
        }
    }
}

proptest! {
    #![proptest_config(stories(600))]

    #[test]
    fn a_fleet_converges(story in any_story()) {
        let mut fleet = Fleet::new(&story.natures);
        story.events.iter().for_each(|event| fleet.happens(event));
        let last = Plan::last().snapshot();
        if fleet.group.intended().is_some() {
            fleet.come_to_rest();
            fleet.compare();
        }
        fleet.change(|group| group.publish(Arc::clone(&last), false));
        fleet.come_to_rest();
        assert_eq!(fleet.group.held(), None);
        fleet.compare();
        fleet.proxies.iter_mut().for_each(|proxy| proxy.has_in_force(&last));
    }
}
