//! Clients that behave as proxies do, in any order of events, without time or sockets: here one stream, in [`fleet`]
//! many proxies of a group.
//!
//! A client answers late and out of order across types, says no to what is bad, goes away and comes back. Whatever
//! happens: it never holds a route to a cluster that it lacks; what it said no to is not sent to it again on the stream;
//! no name comes twice; and in the end it has exactly what is intended.

mod client;
mod fleet;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::fixtures::Clock;
use super::{Resource, ResourceType, Snapshot};
use ResourceType::{Cluster, Endpoint, Listener, Route};
use client::{Applies, Client, Manner};

/// A cluster of this edition is refused by the client.
const BAD: u64 = 13;

#[derive(Debug, Clone)]
enum Event {
    /// Clusters (index, edition) that exist, and which of them the route names.
    Publish(Vec<(usize, u64)>, Vec<usize>),
    /// The server sends what is due, if anything.
    Send,
    /// The client answers the oldest response of a type.
    Answer(ResourceType),
    /// A second passes.
    Wait,
    /// The stream ends, and the client opens another.
    Reconnect,
}

fn any_event() -> impl Strategy<Value = Event> {
    let edition = prop_oneof![8 => 1_u64..3, 1 => Just(BAD)];
    let clusters = proptest::collection::vec((0_usize..4, edition), 1..4);
    let publish = (clusters, proptest::collection::vec(0_usize..4, 1..3));
    prop_oneof![
        2 => publish.prop_map(|(clusters, routes)| Event::Publish(clusters, routes)),
        6 => Just(Event::Send),
        6 => (0_usize..4).prop_map(|t| Event::Answer(ResourceType::CORE[t])),
        2 => Just(Event::Wait),
        1 => Just(Event::Reconnect),
    ]
}

fn world(clusters: &[(usize, u64)], routes: &[usize]) -> Arc<Snapshot> {
    let clusters: BTreeMap<usize, u64> = clusters.iter().copied().collect();
    let mut builder = Snapshot::builder();
    for (index, edition) in &clusters {
        let name = format!("c{index}");
        builder.add(world::resource(Cluster, &name, *edition, &[(Endpoint, &name)]));
        builder.add(world::resource(Endpoint, &name, *edition, &[]));
    }
    let names: Vec<String> = clusters.keys().map(|index| format!("c{index}")).collect();
    let named: BTreeSet<&str> = routes.iter().map(|r| names[r % names.len()].as_str()).collect();
    let named: Vec<(ResourceType, &str)> = named.into_iter().map(|name| (Cluster, name)).collect();
    builder.add(world::resource(Listener, "http", 1, &[(Route, "http")]));
    builder.add(world::resource(Route, "http", 1, &named));
    Arc::new(builder.build().expect("a consistent snapshot"))
}

struct Simulation {
    client: Client,
    clock: Clock,
    history: Vec<Arc<Snapshot>>,
}

impl Simulation {
    fn new(delta: bool) -> Self {
        let client = Client::new(Manner { delta, apart: false }, [(Cluster, BAD)]);
        let mut simulation = Self { client, clock: Clock::new(), history: vec![world(&[(0, 1)], &[0])] };
        simulation.connect();
        simulation
    }

    fn connect(&mut self) {
        let (target, previous) = self.history.split_last().expect("a snapshot");
        let previous: Vec<_> = previous.iter().rev().take(8).cloned().collect();
        self.client.connect(target, &previous, self.clock.0);
        self.deliver();
    }

    fn deliver(&mut self) {
        while self.client.deliver(self.clock.0) {}
    }

    fn answer(&mut self, resource_type: ResourceType) -> bool {
        let answered = self.client.answer(resource_type, Applies::All).is_some();
        let dangling = self.client.dangling();
        assert!(dangling.is_empty(), "a route to {dangling:?}, which the client lacks");
        self.deliver();
        answered
    }

    fn publish(&mut self, snapshot: Arc<Snapshot>) {
        self.history.push(Arc::clone(&snapshot));
        self.client.stream(Cluster).aim(snapshot, Vec::new(), self.clock.0);
    }

    fn happens(&mut self, event: &Event) {
        match event {
            Event::Publish(clusters, routes) => self.publish(world(clusters, routes)),
            Event::Send => drop(self.client.send(self.clock.0)),
            Event::Answer(resource_type) => drop(self.answer(*resource_type)),
            Event::Wait => self.clock.pass(Duration::from_secs(1)),
            Event::Reconnect => self.connect(),
        }
    }

    /// Nothing new comes: everything is sent, answered, and drained.
    fn come_to_rest(&mut self) {
        for _ in 0..100 {
            let mut moved = self.client.send(self.clock.0).is_some();
            for resource_type in ResourceType::CORE {
                moved |= self.answer(resource_type);
            }
            if !moved {
                self.clock.pass(Duration::from_secs(2));
                if self.client.send(self.clock.0).is_none() {
                    return;
                }
            }
        }
        panic!("it never comes to rest");
    }
}

/// The same stories in every run, so that a change is judged and not the dice. `PROPTEST_CASES=40000` tells more of them,
/// `PROPTEST_RNG_SEED=7` others.
fn stories(cases: u32) -> ProptestConfig {
    let given = |name: &str| std::env::var_os(name).is_some();
    let mut config = ProptestConfig::default();
    if !given("PROPTEST_CASES") {
        config.cases = cases;
    }
    if !given("PROPTEST_RNG_SEED") {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}

proptest! {
    #![proptest_config(stories(1500))]

    #[test]
    fn whatever_happens(is_delta in any::<bool>(), story in proptest::collection::vec(any_event(), 0..60)) {
        let mut simulation = Simulation::new(is_delta);
        let mut published = 0;
        for event in &story {
            // Only so many snapshots are remembered for those that come back.
            published += usize::from(matches!(event, Event::Publish(..)));
            if published <= 7 || !matches!(event, Event::Publish(..)) {
                simulation.happens(event);
            }
        }
        let last = world(&[(0, 2), (3, 1)], &[0, 1]);
        simulation.publish(Arc::clone(&last));
        simulation.come_to_rest();
        for resource_type in ResourceType::CORE {
            let intended: BTreeMap<String, Resource> =
                last.of_type(resource_type).iter().map(|(name, r)| (name.to_string(), r.clone())).collect();
            prop_assert_eq!(&simulation.client.held[&resource_type], &intended, "{}", resource_type);
            let in_force = simulation.client.stream(resource_type).channel(resource_type).status().in_force.map(|(version, _)| version);
            prop_assert_eq!(in_force, Some(last.version_of(resource_type)), "{}", resource_type);
        }
    }
}
