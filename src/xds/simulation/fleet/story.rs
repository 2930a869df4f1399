//! What may happen in a fleet, and the worlds that are published to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::super::group::{Canary, CanarySize};
use super::super::super::{Resource, ResourceType, Snapshot};
use super::super::client::{Applies, Manner, TYPES};
use super::super::world::{Edition, resource};
use ResourceType::{Cluster, Endpoint, ExtensionConfig, Listener, Route, Secret};

/// Every proxy says no to this edition, of whatever.
pub(super) const BAD: Edition = 13;
/// Proxies with a trouble of their own say no to this edition, each of one type.
pub(super) const LOCAL: Edition = 7;

/// Proxies are numbers below this, modulo how many there are.
const PROXIES: usize = 6;

/// What happens to whom, in this order.
#[derive(Clone)]
pub(super) struct Story {
    pub natures: Vec<Nature>,
    pub events: Vec<Event>,
}

/// A line for each event: a failing story is read by people.
impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let natures = self.natures.iter().enumerate().map(|(at, nature)| format!("{at}: {nature:?}"));
        let events = self.events.iter().map(|event| format!("{event:?}"));
        natures.chain(events).try_for_each(|line| write!(f, "\n  {line}"))
    }
}

pub(super) fn any_story() -> impl Strategy<Value = Story> {
    let natures = proptest::collection::vec(any_nature(), 2..=PROXIES);
    let events = proptest::collection::vec(any_event(), 0..150);
    (natures, events).prop_map(|(natures, events)| Story { natures, events })
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    /// There is a newer snapshot; one that cannot wait, perhaps.
    Publish(Plan, bool),
    /// The server sends a proxy what is due, one response at most.
    Send(usize),
    /// The server reads a proxy's oldest request.
    Read(usize),
    /// A proxy's stream takes note of what its group is given.
    Look(usize),
    /// A proxy answers the response of a type.
    Answer(usize, ResourceType, Applies),
    /// So many seconds pass.
    Wait(u64),
    /// A proxy loses its streams.
    Disconnect(usize),
    /// A proxy opens new ones.
    Connect(usize),
    /// A proxy starts anew, with nothing.
    Crash(usize),
    /// A proxy answers its users with so many errors.
    Errors(usize, u64),
    /// The server starts anew, with the snapshot that is intended and no memory of who said what.
    Restart,
    /// New snapshots go to a few first, or not.
    Canary(Option<Canary>),
    /// Somebody looks how the first proxies fare.
    Observe,
    /// An operator gives everything another chance.
    Release,
}

/// A proxy: what it speaks, and for which type it has a trouble of its own.
pub(super) type Nature = (Manner, Option<ResourceType>);

fn any_nature() -> impl Strategy<Value = Nature> {
    let manner = (any::<bool>(), proptest::bool::weighted(0.15)).prop_map(|(delta, apart)| Manner { delta, apart });
    let trouble = prop_oneof![3 => Just(None), 2 => proptest::sample::select(&TYPES[..]).prop_map(Some)];
    (manner, trouble)
}

/// A world: clusters with their endpoints, listeners and routes that lead to them, a secret, a filter.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Index, edition, edition of its endpoints.
    clusters: Vec<(usize, Edition, Edition)>,
    /// Which of the clusters the route leads to, modulo their number.
    routes: Vec<usize>,
    route: Edition,
    listener: Edition,
    /// Cluster 1 and the listener need it.
    secret: Option<Edition>,
    /// The listener needs it.
    filter: Option<Edition>,
    /// Whether another listener leads to a cluster by itself.
    tcp: bool,
}

fn any_edition() -> impl Strategy<Value = Edition> {
    prop_oneof![10 => 1_u64..4, 1 => Just(BAD), 1 => Just(LOCAL)]
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let clusters = proptest::collection::vec((0_usize..4, any_edition(), any_edition()), 1..4);
    let routes = proptest::collection::vec(0_usize..4, 1..3);
    let other = || proptest::option::weighted(0.4, any_edition());
    let rest = (any_edition(), any_edition(), other(), other(), any::<bool>());
    (clusters, routes, rest).prop_map(|(clusters, routes, (route, listener, secret, filter, tcp))| Plan {
        clusters,
        routes,
        route,
        listener,
        secret,
        filter,
        tcp,
    })
}

impl Plan {
    /// With editions that nobody has seen before, and that are good.
    pub(super) fn last() -> Self {
        Self {
            clusters: vec![(0, 99, 99), (3, 99, 99)],
            routes: vec![0, 1],
            route: 99,
            listener: 99,
            secret: Some(99),
            filter: None,
            tcp: true,
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        let clusters: BTreeMap<String, (Edition, Edition)> =
            self.clusters.iter().map(|(index, of, endpoints)| (format!("c{index}"), (*of, *endpoints))).collect();
        let names: Vec<&str> = clusters.keys().map(String::as_str).collect();
        let secret = self.secret.map(|_| (Secret, "tls"));
        let mut all: Vec<Resource> = Vec::new();
        for (name, (of, endpoints)) in &clusters {
            let mut to = vec![(Endpoint, name.as_str())];
            to.extend(secret.filter(|_| name == "c1"));
            all.push(resource(Cluster, name, *of, &to));
            all.push(resource(Endpoint, name, *endpoints, &[]));
        }
        all.extend(self.secret.map(|edition| resource(Secret, "tls", edition, &[])));
        all.extend(self.filter.map(|edition| resource(ExtensionConfig, "filter", edition, &[])));
        let mut to = vec![(Route, "http")];
        to.extend(secret);
        to.extend(self.filter.map(|_| (ExtensionConfig, "filter")));
        all.push(resource(Listener, "http", self.listener, &to));
        if self.tcp {
            all.push(resource(Listener, "tcp", 1, &[(Cluster, names[0])]));
        }
        let leads_to: BTreeSet<&str> = self.routes.iter().map(|at| names[at % names.len()]).collect();
        let leads_to: Vec<(ResourceType, &str)> = leads_to.into_iter().map(|name| (Cluster, name)).collect();
        all.push(resource(Route, "http", self.route, &leads_to));
        let mut builder = Snapshot::builder();
        for resource in all {
            builder.add(resource);
        }
        Arc::new(builder.build().expect("a consistent snapshot"))
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let proxy = 0..PROXIES;
    let one_type = proptest::sample::select(&TYPES[..]);
    let applies = prop_oneof![2 => Just(Applies::All), 1 => Just(Applies::UpToTheBad)];
    let canary = (1_usize..3, prop_oneof![Just(0), Just(4)]).prop_map(|(count, quiet)| Canary {
        size: CanarySize::Count(count),
        quiet: Duration::from_secs(quiet),
        tolerated_5xx: 1,
    });
    prop_oneof![
        6 => (any_plan(), proptest::bool::weighted(0.1)).prop_map(|(plan, urgent)| Event::Publish(plan, urgent)),
        30 => proxy.clone().prop_map(Event::Send),
        30 => proxy.clone().prop_map(Event::Read),
        12 => proxy.clone().prop_map(Event::Look),
        40 => (proxy.clone(), one_type, applies).prop_map(|(proxy, of, applies)| Event::Answer(proxy, of, applies)),
        6 => prop_oneof![4 => Just(1), 1 => Just(25)].prop_map(Event::Wait),
        2 => proxy.clone().prop_map(Event::Disconnect),
        3 => proxy.clone().prop_map(Event::Connect),
        1 => proxy.clone().prop_map(Event::Crash),
        1 => (proxy, 1_u64..3).prop_map(|(proxy, errors)| Event::Errors(proxy, errors)),
        1 => Just(Event::Restart),
        2 => proptest::option::weighted(0.7, canary).prop_map(Event::Canary),
        4 => Just(Event::Observe),
        1 => Just(Event::Release),
    ]
}
