//! Behaviours of `xds-protocol`, by number, against the core.

mod names;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::fixtures::{Clock, cluster, endpoint, listener, loose, read, route, world};
use super::super::stream::{Abilities, Stream};
use super::super::transition::{Pace, Phase};
use super::super::wire::{self, DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use super::super::{ResourceType, Snapshot, SyncState};
use super::*;
use ResourceType::{Cluster, Endpoint, Listener, Route};

/// A client that says what the test makes it say.
struct Talk {
    stream: Stream,
    clock: Clock,
}

impl Talk {
    fn new(snapshot: &Arc<Snapshot>) -> Self {
        let mut talk = Self { stream: Stream::new(Pace::default(), Abilities::default()), clock: Clock::new() };
        talk.aim(snapshot);
        talk
    }

    fn aim(&mut self, snapshot: &Arc<Snapshot>) {
        self.stream.aim(Arc::clone(snapshot), Vec::new(), self.clock.0);
    }

    fn says(&mut self, resource_type: ResourceType, request: DeltaDiscoveryRequest) {
        on_request(&mut self.stream, resource_type, &request, self.clock.0);
    }

    fn subscribes(&mut self, resource_type: ResourceType, names: &[&str]) {
        let resource_names_subscribe = names.iter().map(ToString::to_string).collect();
        self.says(resource_type, DeltaDiscoveryRequest { resource_names_subscribe, ..Default::default() });
    }

    fn unsubscribes(&mut self, resource_type: ResourceType, names: &[&str]) {
        let resource_names_unsubscribe = names.iter().map(ToString::to_string).collect();
        self.says(resource_type, DeltaDiscoveryRequest { resource_names_unsubscribe, ..Default::default() });
    }

    fn comes_back(&mut self, resource_type: ResourceType, names: &[&str], with: &[&Resource]) {
        let initial_resource_versions: HashMap<String, String> =
            with.iter().map(|r| (r.name().to_string(), r.version().to_string())).collect();
        let resource_names_subscribe = names.iter().map(ToString::to_string).collect();
        let request =
            DeltaDiscoveryRequest { resource_names_subscribe, initial_resource_versions, ..Default::default() };
        self.says(resource_type, request);
    }

    fn acks(&mut self, response: &DeltaDiscoveryResponse) {
        let resource_type = ResourceType::from_type_url(&response.type_url).expect("a type");
        self.says(
            resource_type,
            DeltaDiscoveryRequest { response_nonce: response.nonce.clone(), ..Default::default() },
        );
    }

    fn nacks(&mut self, response: &DeltaDiscoveryResponse, text: &str) {
        let resource_type = ResourceType::from_type_url(&response.type_url).expect("a type");
        let error_detail = Some(wire::Status { code: 13, message: text.to_owned() });
        let response_nonce = response.nonce.clone();
        self.says(resource_type, DeltaDiscoveryRequest { response_nonce, error_detail, ..Default::default() });
    }

    fn next(&mut self) -> Option<DeltaDiscoveryResponse> {
        self.stream.advance(self.clock.0);
        let response = next_response(&mut self.stream, self.clock.0).map(|response| read(&response));
        self.stream.refresh(self.clock.0);
        response
    }

    fn hears(&mut self, resource_type: ResourceType, names: &[&str], removed: &[&str]) -> DeltaDiscoveryResponse {
        let response = self.next().expect("a response");
        let heard: Vec<&str> = response.resources.iter().map(|r| r.name.as_str()).collect();
        assert_eq!((response.type_url.as_str(), &heard[..]), (resource_type.type_url(), names));
        assert_eq!(response.removed_resources, removed);
        response
    }

    fn hears_nothing(&mut self) {
        let response = self.next();
        assert!(response.is_none(), "{response:?}");
    }

    fn settles(&mut self, clusters: &[&str]) {
        self.subscribes(Cluster, &[]);
        let response = self.hears(Cluster, clusters, &[]);
        self.subscribes(Endpoint, clusters);
        let endpoints = self.hears(Endpoint, clusters, &[]);
        self.acks(&endpoints);
        self.acks(&response);
        self.subscribes(Listener, &[]);
        let response = self.hears(Listener, &["http"], &[]);
        self.acks(&response);
        self.subscribes(Route, &["http"]);
        let response = self.hears(Route, &["http"], &[]);
        self.acks(&response);
        self.hears_nothing();
    }
}

#[test]
fn xds_06_a_rejected_version_is_never_sent_again() {
    let mut talk = Talk::new(&loose([cluster("a", 1)]));
    talk.subscribes(Cluster, &["*"]);
    let response = talk.hears(Cluster, &["a"], &[]);
    talk.nacks(&response, "no");
    talk.hears_nothing();
    talk.aim(&loose([cluster("a", 1), cluster("b", 1)]));
    talk.hears(Cluster, &["b"], &[]);
}

#[test]
fn xds_08_no_name_twice_in_a_response() {
    let mut talk = Talk::new(&loose([endpoint("a", 1)]));
    talk.subscribes(Endpoint, &["a", "a", "missing", "missing"]);
    talk.hears(Endpoint, &["a"], &["missing"]);
    // The same while clusters are on their way.
    let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
    talk.subscribes(Cluster, &[]);
    talk.hears(Cluster, &["a"], &[]);
    talk.subscribes(Endpoint, &["missing", "missing"]);
    talk.hears(Endpoint, &[], &["missing"]);
}

#[test]
fn xds_19_a_request_without_a_nonce_is_a_change_of_subscription() {
    let mut talk = Talk::new(&loose([endpoint("a", 1), endpoint("b", 1)]));
    talk.subscribes(Endpoint, &["a"]);
    let first = talk.hears(Endpoint, &["a"], &[]);
    talk.subscribes(Endpoint, &["b"]);
    talk.hears_nothing();
    talk.acks(&first);
    talk.hears(Endpoint, &["b"], &[]);
}

#[test]
fn xds_20_a_change_of_subscription_counts_even_with_a_stale_nonce() {
    let mut talk = Talk::new(&loose([endpoint("a", 1), endpoint("b", 1)]));
    talk.subscribes(Endpoint, &["a"]);
    let first = talk.hears(Endpoint, &["a"], &[]);
    talk.says(
        Endpoint,
        DeltaDiscoveryRequest {
            response_nonce: "stale".into(),
            resource_names_subscribe: vec!["b".into()],
            ..Default::default()
        },
    );
    talk.hears_nothing();
    talk.acks(&first);
    talk.hears(Endpoint, &["b"], &[]);
}

#[test]
fn xds_21_what_a_client_that_comes_back_has_is_not_sent_again() {
    let snapshot = world(&[("a", 1)], &["a"]);
    let get = |t, name| snapshot.get(t, name).expect("a resource");
    let mut talk = Talk::new(&snapshot);
    talk.comes_back(Cluster, &[], &[get(Cluster, "a")]);
    talk.comes_back(Endpoint, &["a"], &[get(Endpoint, "a")]);
    talk.comes_back(Listener, &[], &[get(Listener, "http")]);
    talk.comes_back(Route, &["http"], &[get(Route, "http")]);
    talk.hears_nothing();
    let status = talk.stream.channel(Route).status();
    assert_eq!(status.in_force.expect("in force").0, snapshot.version_of(Route));
    assert_eq!(status.state, SyncState::Synced);
    // Later messages do not claim anything.
    talk.comes_back(Endpoint, &["a"], &[get(Endpoint, "a")]);
    talk.hears(Endpoint, &["a"], &[]);
}

#[test]
fn xds_32_the_endpoints_of_a_changed_cluster_come_again_although_the_client_says_later_that_it_has_them() {
    let mut talk = Talk::new(&world(&[("a", 2)], &["a"]));
    let (old, endpoints) = (cluster("a", 1), endpoint("a", 1));
    talk.comes_back(Cluster, &["*"], &[&old]);
    // Sent before the next request was read.
    let clusters = talk.hears(Cluster, &["a"], &[]);
    talk.comes_back(Endpoint, &["a"], &[&endpoints]);
    let again = talk.hears(Endpoint, &["a"], &[]);
    talk.acks(&again);
    talk.acks(&clusters);
}

#[test]
fn xds_21_what_a_client_that_comes_back_has_too_much_goes_after_its_routes_have_moved() {
    let (old, new) = (world(&[("a", 1)], &["a"]), world(&[("b", 1)], &["b"]));
    let get = |t, name| old.get(t, name).expect("a resource");
    let mut talk = Talk::new(&new);
    talk.comes_back(Cluster, &[], &[get(Cluster, "a")]);
    talk.comes_back(Listener, &[], &[get(Listener, "http")]);
    talk.comes_back(Route, &["http"], &[get(Route, "http")]);
    let clusters = talk.hears(Cluster, &["b"], &[]);
    talk.hears_nothing();
    talk.acks(&clusters);
    let routes = talk.hears(Route, &["http"], &[]);
    talk.hears_nothing();
    talk.acks(&routes);
    talk.hears(Cluster, &[], &["a"]);
}

#[test]
fn xds_21_a_client_that_comes_back_is_not_given_what_went_before_it_left() {
    let (old, new) = (world(&[("a", 1), ("b", 1)], &["a", "b"]), world(&[("b", 1)], &["b"]));
    let mut talk = Talk { stream: Stream::new(Pace::default(), Abilities::default()), clock: Clock::new() };
    talk.stream.aim(Arc::clone(&new), vec![old], talk.clock.0);
    talk.comes_back(Cluster, &["*"], &[&cluster("b", 1)]);
    talk.hears_nothing();
}

#[test]
fn a_second_rejection_is_told_too() {
    let mut talk = Talk::new(&loose([cluster("a", 1), cluster("b", 1)]));
    talk.subscribes(Cluster, &["*"]);
    let both = talk.hears(Cluster, &["a", "b"], &[]);
    talk.nacks(&both, "a: no");
    let rest = talk.next().expect("the other one");
    let told = |talk: &mut Talk| {
        let types = talk.stream.refresh(talk.clock.0).expect("news");
        types[&Cluster].rejection.clone().expect("a rejection").resources
    };
    talk.nacks(&rest, "b: no");
    assert_eq!(told(&mut talk), ["b"]);
}

#[test]
fn routes_do_not_wait_for_endpoints_that_were_rejected_when_the_client_has_older_ones() {
    let with = |edition: u32, to: &[&str]| {
        loose([
            cluster("a", 1),
            endpoint("a", edition),
            cluster("b", 1),
            endpoint("b", 1),
            listener("http", "http"),
            route("http", to),
        ])
    };
    let mut talk = Talk::new(&with(1, &["a", "b"]));
    talk.settles(&["a", "b"]);
    talk.aim(&with(2, &["a", "b"]));
    let endpoints = talk.hears(Endpoint, &["a"], &[]);
    talk.nacks(&endpoints, "malformed");
    talk.hears_nothing();
    talk.aim(&with(2, &["a"]));
    talk.hears(Route, &["http"], &[]);
}

#[test]
fn xds_22_every_name_asked_for_is_sent_again() {
    let mut talk = Talk::new(&loose([endpoint("a", 1)]));
    talk.subscribes(Endpoint, &["a"]);
    for _ in 0..3 {
        let response = talk.hears(Endpoint, &["a"], &[]);
        talk.acks(&response);
        talk.hears_nothing();
        talk.subscribes(Endpoint, &["a"]);
    }
}

#[test]
fn xds_23_an_unknown_name_in_an_unsubscribe_is_not_answered() {
    let mut talk = Talk::new(&loose([endpoint("a", 1)]));
    talk.subscribes(Endpoint, &["a"]);
    let response = talk.hears(Endpoint, &["a"], &[]);
    talk.acks(&response);
    talk.unsubscribes(Endpoint, &["nobody"]);
    talk.hears_nothing();
}

#[test]
fn xds_24_a_name_unsubscribed_while_the_wildcard_is_active_is_answered() {
    let mut talk = Talk::new(&loose([cluster("a", 1)]));
    talk.subscribes(Cluster, &["*", "a", "gone"]);
    let response = talk.hears(Cluster, &["a"], &["gone"]);
    talk.acks(&response);
    talk.hears_nothing();
    talk.unsubscribes(Cluster, &["a", "gone"]);
    talk.hears(Cluster, &["a"], &["gone"]);
}

#[test]
fn xds_25_a_name_that_does_not_exist_is_answered_once_and_stays_subscribed() {
    let mut talk = Talk::new(&loose([]));
    talk.subscribes(Endpoint, &["a"]);
    let response = talk.hears(Endpoint, &[], &["a"]);
    talk.acks(&response);
    talk.hears_nothing();
    talk.aim(&loose([endpoint("a", 1)]));
    talk.hears(Endpoint, &["a"], &[]);
}

#[test]
fn xds_27_the_first_answer_to_a_wildcard_is_sent_even_when_empty() {
    let mut talk = Talk::new(&loose([]));
    talk.subscribes(Cluster, &[]);
    talk.hears(Cluster, &[], &[]);
    talk.hears_nothing();
}

#[test]
fn xds_28_a_subscription_may_ride_on_an_ack_and_after_a_nack_the_last_state_stands() {
    let mut talk = Talk::new(&loose([endpoint("a", 1), endpoint("b", 1)]));
    talk.subscribes(Endpoint, &["a"]);
    let response = talk.hears(Endpoint, &["a"], &[]);
    let request = DeltaDiscoveryRequest {
        response_nonce: response.nonce,
        resource_names_subscribe: vec!["b".into()],
        ..Default::default()
    };
    talk.says(Endpoint, request);
    let response = talk.hears(Endpoint, &["b"], &[]);
    talk.nacks(&response, "no");
    talk.aim(&loose([endpoint("a", 1), endpoint("b", 2)]));
    talk.hears(Endpoint, &["b"], &[]);
}

#[test]
fn after_a_nack_what_was_in_the_response_is_unknown() {
    let mut talk = Talk::new(&loose([cluster("a", 1), cluster("b", 1)]));
    talk.subscribes(Cluster, &[]);
    let response = talk.hears(Cluster, &["a", "b"], &[]);
    talk.acks(&response);
    talk.aim(&loose([cluster("a", 2), cluster("b", 2)]));
    let response = talk.hears(Cluster, &["a", "b"], &[]);
    talk.nacks(&response, "Error adding/updating cluster(s) b: no");
    // `a` may have been applied or not: it is sent again, alone.
    let response = talk.hears(Cluster, &["a"], &[]);
    talk.acks(&response);
    talk.hears_nothing();
    // Back to what it had of `b`: that is not certain any more, so it is sent.
    talk.aim(&loose([cluster("a", 2), cluster("b", 1)]));
    talk.hears(Cluster, &["b"], &[]);
}

#[test]
fn xds_31_new_clusters_first_then_routes_then_the_stale_clusters_go() {
    let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
    talk.settles(&["a"]);
    talk.aim(&world(&[("b", 1)], &["b"]));
    let clusters = talk.hears(Cluster, &["b"], &[]);
    talk.hears_nothing();
    talk.subscribes(Endpoint, &["b"]);
    let endpoints = talk.hears(Endpoint, &["b"], &[]);
    talk.acks(&endpoints);
    talk.hears_nothing();
    talk.acks(&clusters);
    let routes = talk.hears(Route, &["http"], &[]);
    talk.hears_nothing();
    talk.acks(&routes);
    talk.hears_nothing();
    talk.clock.pass(Duration::from_secs(1));
    let clusters = talk.hears(Cluster, &[], &["a"]);
    talk.acks(&clusters);
    let endpoints = talk.hears(Endpoint, &[], &["a"]);
    talk.acks(&endpoints);
    talk.unsubscribes(Endpoint, &["a"]);
    talk.hears_nothing();
    assert_eq!(talk.stream.transition().expect("a snapshot").phase(), Phase::Settled);
}

#[test]
fn xds_32_after_a_changed_cluster_its_endpoints_come_again_and_after_a_changed_listener_its_routes() {
    let mut talk = Talk::new(&world(&[("a", 1)], &["a"]));
    talk.settles(&["a"]);
    talk.aim(&world(&[("a", 2)], &["a"]));
    let clusters = talk.hears(Cluster, &["a"], &[]);
    let endpoints = talk.hears(Endpoint, &["a"], &[]);
    talk.acks(&endpoints);
    talk.acks(&clusters);
    talk.hears_nothing();
    let changed = loose([
        cluster("a", 2),
        endpoint("a", 1),
        listener("http", "http"),
        listener("more", "http"),
        route("http", &["a"]),
    ]);
    talk.aim(&changed);
    talk.hears(Listener, &["more"], &[]);
    talk.hears(Route, &["http"], &[]);
    talk.hears_nothing();
}

#[test]
fn the_weight_in_force_is_the_one_that_was_acknowledged() {
    let (one, two) = (world(&[("a", 1), ("b", 1)], &["a"]), world(&[("a", 1), ("b", 1)], &["a", "b"]));
    let mut talk = Talk::new(&one);
    talk.settles(&["a", "b"]);
    let in_force = |talk: &mut Talk| talk.stream.channel(Route).status().in_force.map(|(version, _)| version);
    assert_eq!(in_force(&mut talk), Some(one.version_of(Route)));
    talk.aim(&two);
    let routes = talk.hears(Route, &["http"], &[]);
    assert_eq!(in_force(&mut talk), None, "it may be applied already");
    // Back before the answer came: what is in force is known only when the way back was acknowledged.
    talk.aim(&one);
    talk.hears_nothing();
    talk.acks(&routes);
    let routes = talk.hears(Route, &["http"], &[]);
    assert_eq!(in_force(&mut talk), None);
    talk.acks(&routes);
    talk.hears_nothing();
    assert_eq!(in_force(&mut talk), Some(one.version_of(Route)));
}

#[test]
fn what_does_not_concern_a_client_is_in_force_at_once() {
    let mut talk = Talk::new(&loose([route("mine", &[])]));
    talk.subscribes(Route, &["mine"]);
    let response = talk.hears(Route, &["mine"], &[]);
    talk.acks(&response);
    talk.hears_nothing();
    let next = loose([route("mine", &[]), route("other", &[])]);
    talk.aim(&next);
    talk.hears_nothing();
    let in_force = talk.stream.channel(Route).status().in_force.expect("in force");
    assert_eq!(in_force.0, next.version_of(Route));
}
