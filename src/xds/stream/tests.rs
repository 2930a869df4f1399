//! What one proxy said no to, on the stream of another that has not come as far.

use std::collections::BTreeSet;

use super::super::delta;
use super::super::fixtures::{Clock, cluster, listener, loose, read, route};
use super::super::group::Group;
use super::super::wire::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use super::*;
use ResourceType::{Cluster, Listener, Route};

/// A group, and a proxy of it that has all that is served.
struct Scene {
    group: Group,
    stream: Stream,
    clock: Clock,
    /// Versions of what was sent.
    sent: BTreeSet<String>,
}

impl Scene {
    fn new(snapshot: &Arc<Snapshot>) -> Self {
        let stream = Stream::new(Pace::default(), Abilities::default());
        let mut scene = Self { group: Group::default(), stream, clock: Clock::new(), sent: BTreeSet::new() };
        scene.publishes(snapshot);
        for (of, names) in [(Cluster, &[][..]), (Listener, &[]), (Route, &["http"])] {
            let resource_names_subscribe = names.iter().map(ToString::to_string).collect();
            let request = DeltaDiscoveryRequest { resource_names_subscribe, ..Default::default() };
            delta::on_request(&mut scene.stream, of, &request, scene.clock.0);
        }
        scene.hears_all();
        scene
    }

    fn publishes(&mut self, snapshot: &Arc<Snapshot>) {
        self.group.publish(Arc::clone(snapshot), false);
        self.looks();
    }

    fn another_rejects(&mut self, resource: &Resource) {
        assert!(self.group.reject(std::slice::from_ref(resource), "another", "no", self.clock.0.wall));
        self.looks();
    }

    fn looks(&mut self) {
        let published = self.group.published().expect("a snapshot");
        self.stream.aim(Arc::clone(published.of("this")), published.previous.to_vec(), self.clock.0);
        self.stream.bar(&published.barred, &published.kept);
    }

    /// Takes whatever comes, and says yes to none of it before all has come that may.
    fn hears_all(&mut self) {
        loop {
            let mut answers = Vec::new();
            self.stream.advance(self.clock.0);
            while let Some(sent) = delta::next_response(&mut self.stream, self.clock.0) {
                let of = sent.resource_type;
                let response: DeltaDiscoveryResponse = read(&sent);
                self.sent.extend(response.resources.into_iter().map(|resource| resource.version));
                answers.push((of, DeltaDiscoveryRequest { response_nonce: response.nonce, ..Default::default() }));
            }
            if answers.is_empty() {
                return;
            }
            for (of, answer) in answers {
                delta::on_request(&mut self.stream, of, &answer, self.clock.0);
            }
        }
    }

    fn was_sent(&self, resource: &Resource) -> bool {
        self.sent.contains(&resource.version_text())
    }
}

#[test]
fn what_another_rejected_is_not_sent_of_an_older_snapshot() {
    let mut scene = Scene::new(&loose([cluster("a", 1)]));
    let bad = cluster("b", 1);
    scene.publishes(&loose([cluster("a", 1), bad.clone()]));
    scene.another_rejects(&bad);
    scene.hears_all();
    assert!(scene.was_sent(&cluster("a", 1)) && !scene.was_sent(&bad));
}

#[test]
fn a_route_that_another_rejected_is_not_sent_while_the_next_one_waits_for_its_clusters() {
    let [old, bad, next] = [&["a"][..], &["a", "a"], &["b"]].map(|to| route("http", to));
    let all = |route: &Resource| [cluster("a", 1), cluster("b", 1), listener("http", "http"), route.clone()];
    let mut scene = Scene::new(&loose(all(&old).into_iter().filter(|r| **r.name() != *"b")));
    scene.publishes(&loose(all(&bad).into_iter().filter(|r| **r.name() != *"b")));
    // Its clusters are there, so that it is what is shown; another proxy is quicker to see it.
    scene.stream.advance(scene.clock.0);
    scene.another_rejects(&bad);
    scene.publishes(&loose(all(&next)));
    scene.hears_all();
    assert!(scene.was_sent(&old) && scene.was_sent(&next) && !scene.was_sent(&bad));
}
