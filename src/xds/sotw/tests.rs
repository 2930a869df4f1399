//! Behaviours of `xds-protocol`, by number, against the core.

mod lifetime;

use std::sync::Arc;
use std::time::Duration;

use super::super::fixtures::{Clock, cluster, endpoint, listener, loose, read, route, world};
use super::super::stream::{Abilities, Notice, Stream};
use super::super::transition::{Pace, Phase};
use super::super::wire::{self, DiscoveryRequest, DiscoveryResponse};
use super::super::{Resource, ResourceType, Snapshot, SyncState};
use super::*;
use ResourceType::{Cluster, Endpoint, Listener, Route};

/// A client that says what the test makes it say.
struct Talk {
    stream: Stream,
    clock: Clock,
}

impl Talk {
    fn new(snapshot: &Arc<Snapshot>) -> Self {
        Self::after(snapshot, Vec::new())
    }

    fn after(snapshot: &Arc<Snapshot>, previous: Vec<Arc<Snapshot>>) -> Self {
        let mut talk = Self { stream: Stream::new(Pace::default(), Abilities::default()), clock: Clock::new() };
        talk.stream.aim(Arc::clone(snapshot), previous, talk.clock.0);
        talk
    }

    fn aim(&mut self, snapshot: &Arc<Snapshot>) {
        self.stream.aim(Arc::clone(snapshot), Vec::new(), self.clock.0);
    }

    fn says(&mut self, resource_type: ResourceType, version: &str, names: &[&str], nonce: &str) {
        let request = DiscoveryRequest {
            version_info: version.to_owned(),
            resource_names: names.iter().map(ToString::to_string).collect(),
            type_url: resource_type.type_url().to_owned(),
            response_nonce: nonce.to_owned(),
            ..DiscoveryRequest::default()
        };
        on_request(&mut self.stream, resource_type, &request, self.clock.0);
    }

    fn asks(&mut self, resource_type: ResourceType, names: &[&str]) {
        self.says(resource_type, "", names, "");
    }

    fn acks(&mut self, response: &DiscoveryResponse, names: &[&str]) {
        let resource_type = ResourceType::from_type_url(&response.type_url).expect("a type");
        self.says(resource_type, &response.version_info, names, &response.nonce);
    }

    fn nacks(&mut self, response: &DiscoveryResponse, names: &[&str], text: &str) {
        let request = DiscoveryRequest {
            resource_names: names.iter().map(ToString::to_string).collect(),
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: Some(wire::Status { code: 13, message: text.to_owned() }),
            ..DiscoveryRequest::default()
        };
        let resource_type = ResourceType::from_type_url(&response.type_url).expect("a type");
        on_request(&mut self.stream, resource_type, &request, self.clock.0);
    }

    fn next(&mut self) -> Option<DiscoveryResponse> {
        self.stream.advance(self.clock.0);
        let response = next_response(&mut self.stream, self.clock.0).map(|response| read(&response));
        self.stream.refresh(self.clock.0);
        response
    }

    fn hears(&mut self, resource_type: ResourceType, names: &[&str]) -> DiscoveryResponse {
        let response = self.next().expect("a response");
        assert_eq!(heard(&response), (resource_type, names.iter().map(ToString::to_string).collect()));
        response
    }

    fn hears_nothing(&mut self) {
        let response = self.next();
        assert!(response.is_none(), "{:?}", response.map(|r| heard(&r)));
    }

    /// Connects as Envoy does and takes everything.
    fn settles(&mut self, clusters: &[&str]) {
        self.asks(Cluster, &[]);
        let response = self.hears(Cluster, clusters);
        self.asks(Endpoint, clusters);
        let endpoints = self.hears(Endpoint, clusters);
        self.acks(&endpoints, clusters);
        self.acks(&response, &[]);
        self.asks(Listener, &[]);
        let response = self.hears(Listener, &["http"]);
        self.acks(&response, &[]);
        self.asks(Route, &["http"]);
        let response = self.hears(Route, &["http"]);
        self.acks(&response, &["http"]);
        self.hears_nothing();
    }

    fn phase(&self) -> Phase {
        self.stream.transition().expect("a snapshot").phase()
    }
}

fn heard(response: &DiscoveryResponse) -> (ResourceType, Vec<String>) {
    let resource_type = ResourceType::from_type_url(&response.type_url).expect("a type");
    let name =
        |any: &wire::Any| Resource::decode(resource_type, "", &any.value).expect("a resource").name().to_string();
    (resource_type, response.resources.iter().map(name).collect())
}

#[test]
fn xds_03_nonces_differ_and_belong_to_a_type_on_a_stream() {
    let (one, two) = (world(&[("a", 1)], &["a"]), world(&[("a", 2)], &["a"]));
    let mut talk = Talk::new(&one);
    talk.asks(Cluster, &[]);
    let first = talk.hears(Cluster, &["a"]);
    talk.acks(&first, &[]);
    talk.aim(&two);
    let second = talk.hears(Cluster, &["a"]);
    assert_ne!(first.nonce, second.nonce);
}

#[test]
fn xds_04_a_version_is_the_same_on_every_stream_and_after_a_restart() {
    let version = || {
        let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
        talk.asks(Cluster, &[]);
        talk.hears(Cluster, &["a"]).version_info
    };
    assert_eq!(version(), version());
}

#[test]
fn xds_05_a_nack_is_told_by_its_error_and_not_by_its_version() {
    let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
    talk.asks(Cluster, &[]);
    let response = talk.hears(Cluster, &["a"]);
    // The version of an acknowledgement, with an error.
    let request = DiscoveryRequest {
        version_info: response.version_info.clone(),
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        error_detail: Some(wire::Status { code: 13, message: "no".into() }),
        ..DiscoveryRequest::default()
    };
    on_request(&mut talk.stream, Cluster, &request, talk.clock.0);
    assert!(
        matches!(&talk.stream.notices()[..], [Notice::Rejected { resource_type: Cluster, rejection, .. }] if rejection.text == "no")
    );
}

#[test]
fn xds_06_an_ack_is_not_answered_and_a_rejected_version_never_sent_again() {
    let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
    talk.settles(&["a"]);
    let bad = world(&[("a", 2)], &["a"]);
    talk.aim(&bad);
    let response = talk.hears(Cluster, &["a"]);
    let endpoints = talk.hears(Endpoint, &["a"]);
    talk.acks(&endpoints, &["a"]);
    for _ in 0..3 {
        talk.nacks(&response, &[], "Error adding/updating cluster(s) a: bad");
        talk.hears_nothing();
        talk.aim(&bad);
        talk.hears_nothing();
    }
    let status = talk.stream.channel(Cluster).status();
    assert_eq!(status.state, SyncState::Nacked);
    assert_eq!(status.rejection.expect("a rejection").resources, ["a"]);
    // Something better comes.
    talk.aim(&world(&[("a", 3)], &["a"]));
    let response = talk.hears(Cluster, &["a"]);
    talk.acks(&response, &[]);
    talk.next();
    assert_eq!(talk.stream.channel(Cluster).status().rejection, None);
}

#[test]
fn xds_07_latest_wins_while_a_response_is_on_its_way() {
    let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
    talk.asks(Cluster, &[]);
    let first = talk.hears(Cluster, &["a"]);
    for edition in 2..10 {
        talk.aim(&world(&[("a", edition)], &["a"]));
        talk.hears_nothing();
    }
    talk.acks(&first, &[]);
    let second = talk.hears(Cluster, &["a"]);
    talk.acks(&second, &[]);
    talk.hears_nothing();
}

#[test]
fn xds_09_missing_names_are_sent_once_they_exist() {
    let mut talk = Talk::new(&loose([endpoint("a", 1)]));
    talk.asks(Endpoint, &["a", "b"]);
    let response = talk.hears(Endpoint, &["a"]);
    talk.acks(&response, &["a", "b"]);
    talk.hears_nothing();
    talk.aim(&loose([endpoint("a", 1), endpoint("b", 1)]));
    talk.hears(Endpoint, &["b"]);
}

#[test]
fn xds_13_a_newly_requested_resource_is_sent_even_if_unchanged() {
    let mut talk = Talk::new(&loose([endpoint("a", 1), endpoint("b", 1)]));
    talk.asks(Endpoint, &["a"]);
    let response = talk.hears(Endpoint, &["a"]);
    talk.acks(&response, &["a"]);
    talk.says(Endpoint, &response.version_info, &["b"], &response.nonce);
    let response = talk.hears(Endpoint, &["b"]);
    talk.acks(&response, &["b"]);
    talk.says(Endpoint, &response.version_info, &["a", "b"], &response.nonce);
    talk.hears(Endpoint, &["a"]);
}

#[test]
fn xds_14_clusters_and_listeners_come_whole_and_an_empty_response_deletes_all() {
    let mut talk = Talk::new(&loose([cluster("a", 1), cluster("b", 1)]));
    talk.asks(Cluster, &[]);
    let response = talk.hears(Cluster, &["a", "b"]);
    talk.acks(&response, &[]);
    talk.aim(&loose([cluster("a", 2), cluster("b", 1)]));
    let response = talk.hears(Cluster, &["a", "b"]);
    talk.acks(&response, &[]);
    talk.aim(&loose([]));
    talk.hears_nothing();
    talk.clock.pass(Pace::default().draining);
    talk.hears(Cluster, &[]);
}

#[test]
fn xds_15_of_other_types_only_what_changed_comes_and_nothing_when_something_vanishes() {
    let mut talk = Talk::new(&loose([endpoint("a", 1), endpoint("b", 1)]));
    talk.asks(Endpoint, &["a", "b"]);
    let response = talk.hears(Endpoint, &["a", "b"]);
    talk.acks(&response, &["a", "b"]);
    talk.aim(&loose([endpoint("a", 1), endpoint("b", 2)]));
    let response = talk.hears(Endpoint, &["b"]);
    talk.acks(&response, &["a", "b"]);
    talk.aim(&loose([endpoint("a", 1)]));
    talk.clock.pass(Pace::default().draining);
    talk.hears_nothing();
    talk.clock.pass(Pace::default().draining);
    talk.hears_nothing();
}

#[test]
fn xds_16_a_stale_nonce_gets_no_answer() {
    let mut talk = Talk::new(&loose([endpoint("a", 1), endpoint("b", 1)]));
    talk.asks(Endpoint, &["a"]);
    let first = talk.hears(Endpoint, &["a"]);
    talk.acks(&first, &["a"]);
    talk.aim(&loose([endpoint("a", 2), endpoint("b", 1)]));
    let second = talk.hears(Endpoint, &["a"]);
    talk.says(Endpoint, "", &["a", "b"], &first.nonce);
    talk.hears_nothing();
    talk.says(Endpoint, &second.version_info, &["a", "b"], &second.nonce);
    talk.hears(Endpoint, &["b"]);
}

#[test]
fn xds_17_a_client_that_comes_back_is_sent_everything_under_the_version_that_it_has() {
    let snapshot = world(&[("a", 1)], &["a"]);
    let mut talk = Talk::new(&snapshot);
    let version = |t: ResourceType| snapshot.version_of(t).to_string();
    talk.says(Cluster, &version(Cluster), &[], "from an earlier stream");
    let clusters = talk.hears(Cluster, &["a"]);
    talk.says(Endpoint, &version(Endpoint), &["a"], "");
    talk.says(Listener, &version(Listener), &[], "");
    talk.says(Route, &version(Route), &["http"], "");
    let endpoints = talk.hears(Endpoint, &["a"]);
    talk.acks(&endpoints, &["a"]);
    talk.hears_nothing();
    talk.acks(&clusters, &[]);
    let listeners = talk.hears(Listener, &["http"]);
    let routes = talk.hears(Route, &["http"]);
    for (response, resource_type) in
        [(&clusters, Cluster), (&endpoints, Endpoint), (&listeners, Listener), (&routes, Route)]
    {
        assert_eq!(response.version_info, version(resource_type));
    }
    talk.acks(&routes, &["http"]);
    talk.acks(&listeners, &[]);
    talk.hears_nothing();
    let in_force = talk.stream.channel(Route).status().in_force.expect("in force");
    assert_eq!(in_force.0, snapshot.version_of(Route));
}

#[test]
fn xds_17_a_client_that_comes_back_with_an_older_version_loses_nothing_before_its_routes_have_moved() {
    let (old, new) = (world(&[("a", 1)], &["a"]), world(&[("b", 1)], &["b"]));
    let mut talk = Talk::after(&new, vec![Arc::clone(&old)]);
    talk.says(Cluster, &old.version_of(Cluster).to_string(), &[], "");
    talk.says(Endpoint, &old.version_of(Endpoint).to_string(), &["a"], "");
    talk.says(Listener, &old.version_of(Listener).to_string(), &[], "");
    talk.says(Route, &old.version_of(Route).to_string(), &["http"], "");
    let clusters = talk.hears(Cluster, &["a", "b"]);
    let endpoints = talk.hears(Endpoint, &["a"]);
    talk.acks(&endpoints, &["a", "b"]);
    let endpoints = talk.hears(Endpoint, &["b"]);
    talk.acks(&endpoints, &["a", "b"]);
    talk.hears_nothing();
    talk.acks(&clusters, &[]);
    let listeners = talk.hears(Listener, &["http"]);
    let routes = talk.hears(Route, &["http"]);
    talk.acks(&routes, &["http"]);
    talk.acks(&listeners, &[]);
    talk.hears_nothing();
    talk.clock.pass(Pace::default().draining);
    talk.hears(Cluster, &["b"]);
}

#[test]
fn xds_27_the_first_answer_to_a_wildcard_is_sent_even_when_empty() {
    let mut talk = Talk::new(&loose([]));
    talk.asks(Cluster, &[]);
    talk.hears(Cluster, &[]);
    talk.hears_nothing();
    talk.asks(Listener, &[]);
    talk.hears(Listener, &[]);
    talk.hears_nothing();
}

#[test]
fn xds_31_new_clusters_first_then_routes_then_the_stale_clusters_go() {
    let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
    talk.settles(&["a"]);
    talk.aim(&world(&[("b", 1)], &["b"]));
    let clusters = talk.hears(Cluster, &["a", "b"]);
    talk.hears_nothing();
    talk.says(Endpoint, "", &["a", "b"], "0");
    let endpoints = talk.hears(Endpoint, &["b"]);
    talk.hears_nothing();
    talk.acks(&endpoints, &["a", "b"]);
    talk.hears_nothing();
    talk.acks(&clusters, &[]);
    let routes = talk.hears(Route, &["http"]);
    talk.hears_nothing();
    talk.acks(&routes, &["http"]);
    talk.hears_nothing();
    talk.clock.pass(Duration::from_secs(1));
    let clusters = talk.hears(Cluster, &["b"]);
    talk.acks(&clusters, &[]);
    talk.hears_nothing();
    assert_eq!(talk.phase(), Phase::Settled);
}

#[test]
fn xds_32_after_a_changed_cluster_its_endpoints_come_again_and_after_a_changed_listener_its_routes() {
    let one = loose([cluster("a", 1), endpoint("a", 1), listener("http", "http"), route("http", &["a"])]);
    let mut talk = Talk::new(&one);
    talk.settles(&["a"]);
    talk.aim(&loose([cluster("a", 2), endpoint("a", 1), listener("http", "http"), route("http", &["a"])]));
    let clusters = talk.hears(Cluster, &["a"]);
    let endpoints = talk.hears(Endpoint, &["a"]);
    talk.acks(&endpoints, &["a"]);
    talk.acks(&clusters, &[]);
    talk.hears_nothing();
    let other = loose([
        cluster("a", 2),
        endpoint("a", 1),
        listener("http", "http"),
        listener("more", "http"),
        route("http", &["a"]),
    ]);
    talk.aim(&other);
    let listeners = talk.hears(Listener, &["http", "more"]);
    let routes = talk.hears(Route, &["http"]);
    talk.acks(&routes, &["http"]);
    talk.acks(&listeners, &[]);
    talk.hears_nothing();
}

#[test]
fn xds_33_endpoints_are_not_held_back_until_the_clusters_are_acknowledged() {
    let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
    talk.asks(Cluster, &[]);
    talk.hears(Cluster, &["a"]);
    talk.asks(Endpoint, &["a"]);
    talk.hears(Endpoint, &["a"]);
}

#[test]
fn a_revert_waits_for_nobodys_warming() {
    let stable = world(&[("a", 1)], &["a"]);
    let mut talk = Talk::new(&stable);
    talk.settles(&["a"]);
    talk.aim(&world(&[("a", 1), ("b", 1)], &["a", "b"]));
    let clusters = talk.hears(Cluster, &["a", "b"]);
    talk.says(Endpoint, "", &["a", "b"], "0");
    let endpoints = talk.hears(Endpoint, &["b"]);
    talk.acks(&endpoints, &["a", "b"]);
    talk.acks(&clusters, &[]);
    let routes = talk.hears(Route, &["http"]);
    talk.acks(&routes, &["http"]);
    // A third version begins to warm and never ends; the way back does not wait for it.
    talk.aim(&world(&[("a", 1), ("b", 1), ("c", 1)], &["a", "c"]));
    talk.hears(Cluster, &["a", "b", "c"]);
    talk.aim(&stable);
    talk.hears(Route, &["http"]);
}

#[test]
fn what_a_shown_route_names_is_never_withdrawn_while_snapshots_pile_up() {
    let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
    talk.settles(&["a"]);
    for edition in 0..50_u64 {
        talk.aim(&world(&[("never warm", edition)], &["never warm"]));
    }
    let transition = talk.stream.transition().expect("a snapshot");
    assert!(transition.offer(Cluster).get("a").is_some());
    assert!(transition.versions(Cluster, "a").count() <= 20);
}

#[test]
fn routes_go_out_at_the_deadline_when_clusters_stay_unanswered_but_not_when_they_were_rejected() {
    let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
    talk.settles(&["a"]);
    talk.aim(&world(&[("a", 1), ("b", 1)], &["b"]));
    let clusters = talk.hears(Cluster, &["a", "b"]);
    talk.clock.pass(Pace::default().warming);
    talk.hears(Route, &["http"]);
    assert!(talk.stream.notices().contains(&Notice::Overdue(vec!["b".into()])));

    let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
    talk.settles(&["a"]);
    talk.aim(&world(&[("a", 1), ("b", 1)], &["b"]));
    let rejected = talk.hears(Cluster, &["a", "b"]);
    assert_eq!(rejected.version_info, clusters.version_info);
    talk.nacks(&rejected, &[], "Error adding/updating cluster(s) b: no");
    talk.clock.pass(Pace::default().warming * 3);
    talk.hears_nothing();
    talk.stream.disarm(talk.clock.0);
    assert!(talk.stream.deadline().is_some_and(|deadline| deadline > talk.clock.0.now));
}

#[test]
fn a_route_that_was_rejected_for_want_of_a_cluster_is_offered_again_when_one_comes() {
    let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
    talk.settles(&["a"]);
    talk.aim(&world(&[("a", 1), ("b", 1)], &["b"]));
    let clusters = talk.hears(Cluster, &["a", "b"]);
    talk.clock.pass(Pace::default().warming);
    let routes = talk.hears(Route, &["http"]);
    talk.nacks(&routes, &["http"], "route: unknown cluster 'b'");
    talk.hears_nothing();
    talk.acks(&clusters, &[]);
    let routes = talk.hears(Route, &["http"]);
    talk.acks(&routes, &["http"]);
    assert_eq!(talk.phase(), Phase::Shifting);
    talk.hears_nothing();
    assert!(matches!(talk.phase(), Phase::Draining { .. }));
}

#[test]
fn the_last_good_version_of_what_was_rejected_outlives_the_draining() {
    let mut talk = Talk::new(&world(&[("a", 1), ("b", 1)], &["a", "b"]));
    talk.settles(&["a", "b"]);
    talk.aim(&world(&[("a", 2)], &["a"]));
    let clusters = talk.hears(Cluster, &["a", "b"]);
    talk.nacks(&clusters, &[], "Error adding/updating cluster(s) a: no");
    let takes_all = |talk: &mut Talk| {
        let mut clusters = Vec::new();
        for _ in 0..3 {
            while let Some(response) = talk.next() {
                let (resource_type, names) = heard(&response);
                match resource_type {
                    Cluster => {
                        assert!(names.contains(&"a".to_owned()), "the route still names a: {names:?}");
                        clusters = names;
                        talk.acks(&response, &[]);
                    }
                    Endpoint => talk.acks(&response, &["a", "b"]),
                    Listener => talk.acks(&response, &[]),
                    _ => talk.acks(&response, &["http"]),
                }
            }
            talk.clock.pass(Duration::from_secs(2));
        }
        clusters
    };
    takes_all(&mut talk);
    // Once there is a better one, the old ones go.
    talk.aim(&world(&[("a", 3)], &["a"]));
    assert_eq!(takes_all(&mut talk), ["a"]);
    assert_eq!(talk.phase(), Phase::Settled);
}

#[test]
fn of_a_rejected_full_state_the_good_part_is_sent_with_the_last_good_of_the_bad() {
    let mut talk = Talk::new(&loose([cluster("a", 1), cluster("b", 1)]));
    talk.asks(Cluster, &[]);
    let response = talk.hears(Cluster, &["a", "b"]);
    talk.acks(&response, &[]);
    let bad = loose([cluster("a", 2), cluster("b", 2)]);
    talk.aim(&bad);
    let response = talk.hears(Cluster, &["a", "b"]);
    talk.nacks(&response, &[], "Error adding/updating cluster(s) b: no");
    let response = talk.hears(Cluster, &["a", "b"]);
    let bodies: Vec<_> = response.resources.iter().map(|any| any.value.clone()).collect();
    assert_eq!(bodies, [cluster("a", 2).body(), cluster("b", 1).body()]);
    talk.acks(&response, &[]);
    talk.hears_nothing();
    assert_eq!(talk.stream.channel(Cluster).status().state, SyncState::Nacked);
}

#[test]
fn a_client_that_came_back_loses_what_it_has_in_place_of_a_rejected_one_that_is_gone() {
    let mut talk = Talk::new(&loose([cluster("a", 2)]));
    // From an earlier stream, and unknown here: a in an older edition.
    talk.says(Cluster, "some", &[], "");
    let response = talk.hears(Cluster, &["a"]);
    talk.nacks(&response, &[], "Error adding/updating cluster(s) a: no");
    talk.hears_nothing();
    talk.aim(&loose([]));
    talk.hears_nothing();
    talk.clock.pass(Pace::default().draining);
    talk.hears(Cluster, &[]);
}

#[test]
fn an_endpoint_request_that_repeats_itself_is_not_answered() {
    let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
    talk.settles(&["a"]);
    for _ in 0..3 {
        talk.says(Endpoint, "", &["a"], "0");
        talk.hears_nothing();
    }
}
