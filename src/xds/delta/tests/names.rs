//! Aliases, collections, times to live, and filters that come apart from their listeners.

use super::super::super::name::Glob;
use super::*;
use ResourceType::{ExtensionConfig, Secret};

fn secret(name: &str, edition: u8) -> Resource {
    Resource::new(Secret, name, vec![0x0a, 1, edition], Vec::new()).expect("a secret")
}

fn filter(name: &str) -> Resource {
    Resource::new(ExtensionConfig, name, Vec::new(), Vec::new()).expect("a filter")
}

#[test]
fn xds_26_names_and_aliases_both_subscribe_and_unsubscribe() {
    let at = |edition| loose([secret("cert", edition).with_aliases(["old-name"])]);
    let mut talk = Talk::new(&at(1));
    talk.subscribes(Secret, &["old-name"]);
    let response = talk.hears(Secret, &["cert"], &[]);
    assert_eq!(response.resources[0].aliases, ["old-name"]);
    talk.acks(&response);
    talk.hears_nothing();
    talk.aim(&at(2));
    let response = talk.hears(Secret, &["cert"], &[]);
    talk.acks(&response);
    // Unsubscribed by the name although it was subscribed by the alias.
    talk.unsubscribes(Secret, &["cert"]);
    talk.aim(&at(3));
    talk.hears_nothing();
    talk.subscribes(Secret, &["cert"]);
    let response = talk.hears(Secret, &["cert"], &[]);
    talk.acks(&response);
    talk.unsubscribes(Secret, &["old-name"]);
    talk.aim(&at(4));
    talk.hears_nothing();
}

#[test]
fn xds_26_an_alias_of_nothing_is_answered_and_followed_when_there_is_something() {
    let mut talk = Talk::new(&loose([secret("other", 1)]));
    talk.subscribes(Secret, &["old-name"]);
    let response = talk.hears(Secret, &[], &["old-name"]);
    talk.acks(&response);
    talk.aim(&loose([secret("cert", 1).with_aliases(["old-name"])]));
    let response = talk.hears(Secret, &["cert"], &[]);
    talk.acks(&response);
    talk.aim(&loose([secret("other", 1)]));
    for _ in 0..2 {
        talk.clock.pass(Duration::from_secs(2));
        talk.next().into_iter().for_each(|response| talk.acks(&response));
    }
    talk.hears_nothing();
    assert!(talk.stream.channel(Secret).held().is_empty());
}

#[test]
fn xds_29_a_heartbeat_has_no_body_and_a_time_to_live_is_cleared_by_sending_without() {
    let abilities = Abilities { ttl: true, ..Abilities::default() };
    let mut talk = Talk { stream: Stream::new(Pace::default(), abilities), clock: Clock::new() };
    talk.aim(&loose([secret("cert", 1).with_ttl(Duration::from_secs(8)), secret("plain", 1)]));
    talk.subscribes(Secret, &["*"]);
    let response = talk.hears(Secret, &["cert", "plain"], &[]);
    let ttls: Vec<_> = response.resources.iter().map(|r| r.ttl.map(|ttl| ttl.seconds)).collect();
    assert_eq!(ttls, [Some(8), None]);
    talk.acks(&response);
    talk.hears_nothing();
    talk.clock.pass(Duration::from_secs(4));
    let beat = talk.hears(Secret, &["cert"], &[]);
    assert_eq!(beat.resources[0].version, response.resources[0].version);
    assert!(beat.resources[0].resource.is_none() && beat.resources[0].ttl.is_some());
    talk.acks(&beat);
    talk.hears_nothing();
    talk.aim(&loose([secret("cert", 1), secret("plain", 1)]));
    let cleared = talk.hears(Secret, &["cert"], &[]);
    assert_eq!(cleared.resources[0].version, response.resources[0].version);
    assert!(cleared.resources[0].resource.is_some() && cleared.resources[0].ttl.is_none());
    talk.acks(&cleared);
    talk.clock.pass(Duration::from_secs(60));
    talk.hears_nothing();
}

#[test]
fn xds_30_the_systems_version_is_for_people() {
    let labelled = |version: &str| {
        let mut builder = Snapshot::builder();
        builder.add(secret("cert", 1)).version(Secret, version);
        Arc::new(builder.build_unchecked())
    };
    let mut talk = Talk::new(&labelled("monday"));
    talk.subscribes(Secret, &["cert"]);
    let response = talk.hears(Secret, &["cert"], &[]);
    assert_eq!(response.system_version_info, "monday");
    talk.acks(&response);
    talk.aim(&labelled("tuesday"));
    talk.hears_nothing();
}

#[test]
fn xds_34_a_filter_that_a_listener_refers_to_is_not_taken_away() {
    let asks_for_filter = |name: &str| {
        let refers_to = vec![(ExtensionConfig, Arc::from(name))];
        Resource::new(Listener, "http", name.as_bytes().to_vec(), refers_to).expect("a listener")
    };
    let mut talk = Talk::new(&loose([asks_for_filter("auth"), filter("auth"), filter("limit")]));
    talk.subscribes(Listener, &["*"]);
    talk.subscribes(ExtensionConfig, &["*"]);
    for (resource_type, names) in [(ExtensionConfig, &["auth", "limit"][..]), (Listener, &["http"])] {
        let response = talk.hears(resource_type, names, &[]);
        talk.acks(&response);
    }
    // Its maker has forgotten both, and the listener still needs one.
    talk.aim(&loose([asks_for_filter("auth")]));
    talk.hears_nothing();
    talk.clock.pass(Duration::from_secs(2));
    let response = talk.hears(ExtensionConfig, &[], &["limit"]);
    talk.acks(&response);
    talk.aim(&loose([asks_for_filter("limit"), filter("limit")]));
    for (resource_type, names) in [(ExtensionConfig, &["limit"]), (Listener, &["http"])] {
        let response = talk.hears(resource_type, names, &[]);
        talk.acks(&response);
    }
    talk.hears_nothing();
    talk.clock.pass(Duration::from_secs(2));
    talk.hears(ExtensionConfig, &[], &["auth"]);
}

#[test]
fn a_collection_is_followed() {
    const SHOP: &str = "xdstp://auth/type/shop/*?env=prod";
    assert!(Glob::parse(SHOP).is_some());
    let member = |id: &str| secret(&format!("xdstp://auth/type/shop/{id}?env=prod"), 1);
    let name = |id: &str| format!("xdstp://auth/type/shop/{id}?env=prod");
    let mut talk = Talk::new(&loose([secret("plain", 1)]));
    talk.subscribes(Secret, &[SHOP]);
    let response = talk.hears(Secret, &[], &[SHOP]);
    talk.acks(&response);
    talk.aim(&loose([member("a"), member("b"), secret("xdstp://auth/type/shop/c?env=test", 1)]));
    let response = talk.hears(Secret, &[&name("a"), &name("b")], &[]);
    talk.acks(&response);
    talk.hears_nothing();
    talk.aim(&loose([member("b")]));
    talk.hears_nothing();
    talk.clock.pass(Duration::from_secs(2));
    let response = talk.hears(Secret, &[], &[&name("a")]);
    talk.acks(&response);
    talk.unsubscribes(Secret, &[SHOP]);
    talk.aim(&loose([member("b"), member("d")]));
    talk.hears_nothing();
}

#[test]
fn the_wildcard_does_not_stand_for_names_with_an_authority() {
    let mut talk = Talk::new(&loose([secret("plain", 1), secret("xdstp://auth/type/a?y=1&x=2", 1)]));
    talk.subscribes(Secret, &["*"]);
    let response = talk.hears(Secret, &["plain"], &[]);
    talk.acks(&response);
    // In whatever order its context is spelled.
    talk.subscribes(Secret, &["xdstp://auth/type/a?x=2&y=1"]);
    talk.hears(Secret, &["xdstp://auth/type/a?x=2&y=1"], &[]);
}
