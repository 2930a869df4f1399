//! Times to live, and what else hangs on what a client can do.

use prost::Message as _;

use super::super::super::wire::DeltaResource;
use super::*;

const ENVELOPE: &str = "type.googleapis.com/envoy.service.discovery.v3.Resource";

/// A client that understands times to live, or not, and a snapshot whose endpoints have one.
fn mortal(understands: bool) -> (Talk, DiscoveryResponse) {
    let snapshot = loose([endpoint("a", 1).with_ttl(Duration::from_secs(10))]);
    let abilities = Abilities { ttl_in_sotw: understands, ..Abilities::default() };
    let mut talk = Talk { stream: Stream::new(Pace::default(), abilities), clock: Clock::new() };
    talk.aim(&snapshot);
    talk.asks(Endpoint, &["a"]);
    let response = talk.next().expect("a response");
    talk.acks(&response, &["a"]);
    (talk, response)
}

fn opened(response: &DiscoveryResponse) -> DeltaResource {
    let [envelope] = response.resources.as_slice() else { panic!("one resource") };
    assert_eq!(envelope.type_url, ENVELOPE);
    DeltaResource::decode(envelope.value.clone()).expect("an envelope")
}

#[test]
fn xds_18_a_time_to_live_comes_in_an_envelope_to_those_who_open_it() {
    let (mut talk, response) = mortal(true);
    let resource = opened(&response);
    assert_eq!((resource.name.as_str(), resource.ttl.map(|ttl| ttl.seconds)), ("a", Some(10)));
    assert_eq!(resource.resource.expect("a body").type_url, Endpoint.type_url());
    // Half of the time later it is told that it is still so: the same version, and no body.
    talk.hears_nothing();
    talk.clock.pass(Duration::from_secs(5));
    assert_eq!(talk.stream.deadline(), Some(talk.clock.0.now));
    let beat = talk.next().expect("a heartbeat");
    assert_eq!((beat.version_info.as_str(), opened(&beat).resource), (response.version_info.as_str(), None));
    talk.clock.pass(Duration::from_secs(50));
    assert_eq!(talk.stream.deadline(), None, "one at a time");
    talk.hears_nothing();
    talk.acks(&beat, &["a"]);
    assert!(opened(&talk.next().expect("a heartbeat")).resource.is_none());
}

#[test]
fn xds_18_others_get_the_resource_as_it_is() {
    let (mut talk, response) = mortal(false);
    assert_eq!(heard(&response), (Endpoint, vec!["a".to_owned()]));
    talk.clock.pass(Duration::from_secs(60));
    talk.hears_nothing();
}

#[test]
fn xds_12_nothing_beyond_what_was_asked_for_is_sent() {
    let mut talk = Talk::new(&world(&[("a", 1), ("b", 1)], &["a"]));
    talk.asks(Cluster, &["a"]);
    let response = talk.hears(Cluster, &["a"]);
    talk.acks(&response, &["a"]);
    talk.aim(&world(&[("a", 1), ("b", 2)], &["a"]));
    talk.hears_nothing();
}

#[test]
fn a_callers_version_is_what_clients_see() {
    let labelled = |edition: u64, version: &str| {
        let mut builder = Snapshot::builder();
        builder.add(cluster("a", edition).with_version(version)).version(Cluster, version);
        Arc::new(builder.build_unchecked())
    };
    let mut talk = Talk::new(&labelled(1, "v1"));
    talk.asks(Cluster, &[]);
    let response = talk.hears(Cluster, &["a"]);
    assert_eq!(response.version_info, "v1");
    talk.acks(&response, &[]);
    talk.aim(&labelled(2, "v2"));
    assert_eq!(talk.hears(Cluster, &["a"]).version_info, "v2");
}
