//! The rules, in a time of our own.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::model::Service;

const SECOND: Duration = Duration::from_secs(1);

fn at(address: &str) -> Endpoint {
    Endpoint::at(address.parse().unwrap())
}

fn draining(address: &str) -> Endpoint {
    Endpoint { draining: true, ..at(address) }
}

fn dns() -> EndpointSource {
    EndpointSource::Dns { host: "checkout.internal".into(), port: 80, interval: 5 * SECOND }
}

fn registered() -> EndpointSource {
    EndpointSource::Registered { ttl: 15 * SECOND, drain: 60 * SECOND }
}

/// A service `checkout` with these versions: where each comes from, and what the world says of it.
fn world(versions: &[(&str, Option<EndpointSource>, &[Endpoint])]) -> World {
    let mut service = Service::named("checkout");
    for (name, source, endpoints) in versions {
        let version = Version { source: source.clone(), endpoints: endpoints.to_vec(), ..Version::default() };
        service.versions.insert((*name).to_owned(), version);
    }
    World { services: [("checkout".to_owned(), service)].into(), ..World::default() }
}

fn key(version: &str) -> Key {
    ("checkout".into(), version.into())
}

fn resolved(inventory: &Inventory, world: &World, version: &str) -> Vec<Endpoint> {
    find(&inventory.resolve(world), "checkout", version).unwrap().endpoints.clone()
}

#[test]
fn what_a_source_says_is_in_the_world_and_what_has_gone_is_drained_first() {
    let specs = world(&[("v1", Some(dns()), &[]), ("v2", None, &[at("10.0.9.1:80")])]);
    let (mut inventory, start) = (Inventory::default(), Instant::now());
    inventory.follow(None, &specs, start);
    assert!(inventory.has_unread());
    assert_eq!(inventory.sources().collect::<Vec<_>>(), [(&key("v1"), &dns())]);
    assert!(matches!(inventory.resolve(&specs), Cow::Borrowed(_)), "nothing is known yet");

    let both = vec![at("10.0.0.1:80"), at("10.0.0.2:80")];
    assert!(inventory.read(&key("v1"), &dns(), Ok(both.clone()), start));
    assert!(!inventory.has_unread());
    assert_eq!(resolved(&inventory, &specs, "v1"), both);
    assert_eq!(resolved(&inventory, &specs, "v2"), [at("10.0.9.1:80")]);
    assert!(!inventory.read(&key("v1"), &dns(), Ok(both.clone()), start + SECOND), "the same again is no news");

    assert!(inventory.read(&key("v1"), &dns(), Ok(vec![at("10.0.0.2:80")]), start + 10 * SECOND));
    assert_eq!(resolved(&inventory, &specs, "v1"), [draining("10.0.0.1:80"), at("10.0.0.2:80")]);
    assert!(!inventory.read(&key("v1"), &dns(), Ok(vec![at("10.0.0.2:80")]), start + 30 * SECOND));
    assert!(!inventory.expire(start + 10 * SECOND + DRAIN - SECOND), "it is drained from when it went");
    assert!(inventory.expire(start + 10 * SECOND + DRAIN));
    assert_eq!(resolved(&inventory, &specs, "v1"), [at("10.0.0.2:80")]);
}

#[test]
fn one_that_comes_back_serves_again() {
    let specs = world(&[("v1", Some(dns()), &[])]);
    let (mut inventory, start) = (Inventory::default(), Instant::now());
    inventory.follow(None, &specs, start);
    let one = vec![at("10.0.0.1:80")];
    inventory.read(&key("v1"), &dns(), Ok([one.clone(), vec![at("10.0.0.2:80")]].concat()), start);
    inventory.read(&key("v1"), &dns(), Ok(vec![at("10.0.0.2:80")]), start + SECOND);
    assert!(inventory.read(&key("v1"), &dns(), Ok(one), start + 2 * SECOND));
    assert!(!inventory.expire(start + SECOND + DRAIN), "its end was called off");
    assert_eq!(resolved(&inventory, &specs, "v1"), [at("10.0.0.1:80"), draining("10.0.0.2:80")]);
}

#[test]
fn a_source_that_fails_takes_nothing_away() {
    let specs = world(&[("v1", Some(dns()), &[])]);
    let (mut inventory, start) = (Inventory::default(), Instant::now());
    inventory.follow(None, &specs, start);
    inventory.read(&key("v1"), &dns(), Ok(vec![at("10.0.0.1:80")]), start);
    assert!(!inventory.read(&key("v1"), &dns(), Err("no such host".into()), start + SECOND));
    assert_eq!(inventory.error(&key("v1")), Some("no such host"));
    assert!(!inventory.expire(start + 100 * DRAIN));
    assert_eq!(resolved(&inventory, &specs, "v1"), [at("10.0.0.1:80")]);
    inventory.read(&key("v1"), &dns(), Ok(vec![at("10.0.0.1:80")]), start + 2 * SECOND);
    assert_eq!(inventory.error(&key("v1")), None);
}

#[test]
fn one_that_registers_is_believed_for_its_time_and_then_drained() {
    let specs = world(&[("v1", Some(registered()), &[])]);
    let (mut inventory, start) = (Inventory::default(), Instant::now());
    inventory.follow(None, &specs, start);
    assert!(!inventory.has_unread(), "nobody looks there");
    let one = Endpoint { zone: Some("eu-1a".into()), weight: 3, ..at("10.0.0.1:80") };
    let register = |inventory: &mut Inventory, after| inventory.register(&specs, &key("v1"), &one, start + after);
    assert_eq!(register(&mut inventory, Duration::ZERO), Ok((15 * SECOND, true)));
    assert_eq!(register(&mut inventory, 10 * SECOND), Ok((15 * SECOND, false)), "a heartbeat is no news");
    assert!(!inventory.expire(start + 24 * SECOND));
    assert_eq!(resolved(&inventory, &specs, "v1"), std::slice::from_ref(&one));
    assert!(inventory.expire(start + 25 * SECOND));
    assert_eq!(resolved(&inventory, &specs, "v1"), [Endpoint { draining: true, ..one.clone() }]);
    assert_eq!(register(&mut inventory, 26 * SECOND), Ok((15 * SECOND, true)), "it is back");
    assert_eq!(inventory.deregister(&specs, &key("v1"), one.address, start + 30 * SECOND), Ok(true));
    assert_eq!(inventory.deregister(&specs, &key("v1"), one.address, start + 40 * SECOND), Ok(false));
    assert!(!inventory.expire(start + 89 * SECOND), "drained for 60 s, as its source says");
    assert!(inventory.expire(start + 90 * SECOND));
    assert_eq!(resolved(&inventory, &specs, "v1"), []);
}

#[test]
fn one_that_registers_for_another_version_moves() {
    let specs = world(&[("v1", Some(registered()), &[]), ("v2", Some(registered()), &[]), ("v3", Some(dns()), &[])]);
    let (mut inventory, start) = (Inventory::default(), Instant::now());
    inventory.follow(None, &specs, start);
    let one = at("10.0.0.1:80");
    inventory.read(&key("v3"), &dns(), Ok(vec![one.clone()]), start);
    inventory.register(&specs, &key("v1"), &one, start).unwrap();
    inventory.register(&specs, &key("v2"), &one, start).unwrap();
    assert_eq!(resolved(&inventory, &specs, "v1"), [draining("10.0.0.1:80")]);
    assert_eq!(resolved(&inventory, &specs, "v2"), std::slice::from_ref(&one));
    assert_eq!(resolved(&inventory, &specs, "v3"), [one], "DNS is asked, not told");
}

#[test]
fn after_a_restart_what_was_known_stands_until_there_is_news() {
    let kept = world(&[
        ("v1", Some(dns()), &[at("10.0.0.1:80"), draining("10.0.0.2:80")]),
        ("v2", Some(registered()), &[at("10.0.1.1:80"), at("10.0.1.2:80")]),
    ]);
    let specs = world(&[("v1", Some(dns()), &[]), ("v2", Some(registered()), &[])]);
    let (mut inventory, start) = (Inventory::default(), Instant::now());
    inventory.follow(Some(&kept), &kept, start);
    inventory.follow(Some(&kept), &specs, start + SECOND);
    assert_eq!(*inventory.resolve(&specs), kept);
    inventory.read(&key("v1"), &dns(), Err("no such host".into()), start + SECOND);
    inventory.register(&specs, &key("v2"), &at("10.0.1.1:80"), start + 14 * SECOND).unwrap();
    assert!(inventory.expire(start + 15 * SECOND));
    assert_eq!(resolved(&inventory, &specs, "v1"), [at("10.0.0.1:80"), draining("10.0.0.2:80")]);
    assert_eq!(resolved(&inventory, &specs, "v2"), [at("10.0.1.1:80"), draining("10.0.1.2:80")]);
    assert!(inventory.expire(start + DRAIN));
    assert_eq!(resolved(&inventory, &specs, "v1"), [at("10.0.0.1:80")]);
}

#[test]
fn another_source_takes_over_what_is_known() {
    let listed = world(&[("v1", None, &[at("10.0.0.1:80")])]);
    let (mut inventory, start) = (Inventory::default(), Instant::now());
    inventory.follow(None, &listed, start);
    let specs = world(&[("v1", Some(dns()), &[])]);
    inventory.follow(Some(&listed), &specs, start);
    assert_eq!(resolved(&inventory, &specs, "v1"), [at("10.0.0.1:80")], "until DNS has answered");
    inventory.read(&key("v1"), &dns(), Ok(vec![at("10.0.0.1:80")]), start);

    let later = world(&[("v1", Some(registered()), &[])]);
    inventory.follow(Some(&specs), &later, start + SECOND);
    assert!(!inventory.read(&key("v1"), &dns(), Ok(vec![]), start + SECOND), "a late answer is of no interest");
    assert_eq!(resolved(&inventory, &later, "v1"), [at("10.0.0.1:80")]);
    assert!(inventory.expire(start + 16 * SECOND), "it did not register in time");
    assert_eq!(resolved(&inventory, &later, "v1"), [draining("10.0.0.1:80")]);

    inventory.follow(Some(&later), &listed, start + 17 * SECOND);
    assert_eq!(inventory, Inventory::default(), "what has no source is not known here");
}

#[test]
fn a_version_that_is_the_same_as_another_has_its_endpoints() {
    let mut specs = world(&[("v1", Some(dns()), &[]), ("v2", Some(dns()), &[])]);
    let same = |world: &mut World| {
        let version = world.services.get_mut("checkout").unwrap().versions.get_mut("v2").unwrap();
        version.same_as = Some("v1".into());
    };
    same(&mut specs);
    let (mut inventory, start) = (Inventory::default(), Instant::now());
    inventory.follow(None, &specs, start);
    assert_eq!(inventory.sources().count(), 1, "it is looked up once");
    inventory.read(&key("v1"), &dns(), Ok(vec![at("10.0.0.1:80")]), start);
    assert_eq!(resolved(&inventory, &specs, "v2"), [at("10.0.0.1:80")]);
    let shown = inventory.list(&specs, Some("checkout"), start).unwrap();
    assert_eq!(shown.iter().map(|of| of.from.as_str()).collect::<Vec<_>>(), ["dns checkout.internal:80", "version v1"]);
    assert_eq!(shown[0].endpoints, shown[1].endpoints);
}

#[test]
fn who_may_not_register_is_told_what_to_do() {
    let mut specs = world(&[("v1", Some(registered()), &[]), ("v2", None, &[]), ("v3", Some(registered()), &[])]);
    specs.services.get_mut("checkout").unwrap().versions.get_mut("v3").unwrap().same_as = Some("v1".into());
    let (mut inventory, now) = (Inventory::default(), Instant::now());
    inventory.follow(None, &specs, now);
    let mut refused = |service: &str, version: &str| {
        let key = (service.to_owned(), version.to_owned());
        inventory.register(&specs, &key, &at("10.0.0.1:80"), now).unwrap_err()
    };
    assert_eq!(refused("cart", "v1").to_string(), "there is no service named cart");
    let known = ["v1", "v2", "v3"].map(str::to_owned).to_vec();
    let (service, version) = ("checkout".to_owned(), "v9".to_owned());
    assert_eq!(refused("checkout", "v9"), RegistryError::UnknownVersion { service, version, known });
    assert_eq!(
        refused("checkout", "v2").to_string(),
        "nothing registers for version v2 of checkout, whose endpoints come from the spec: write `registered: {}` for \
         this version in the service's spec"
    );
    assert!(refused("checkout", "v3").to_string().ends_with("come from version v1: register it for version v1"));
    let absent = inventory.deregister(&specs, &key("v1"), at("10.0.0.1:80").address, now).unwrap_err();
    assert_eq!(absent.to_string(), "10.0.0.1:80 is not registered for version v1 of checkout");
}

#[test]
fn registrations_have_a_bound() {
    let specs = world(&[("v1", Some(registered()), &[])]);
    let (mut inventory, now) = (Inventory::default(), Instant::now());
    inventory.follow(None, &specs, now);
    let number = |n: usize| Endpoint::at(([10, 0, (n >> 8) as u8, n as u8], 80).into());
    for n in 0..MOST_REGISTERED {
        inventory.register(&specs, &key("v1"), &number(n), now).unwrap();
    }
    let full = inventory.register(&specs, &key("v1"), &number(MOST_REGISTERED), now);
    assert!(matches!(full, Err(RegistryError::TooMany { .. })), "{full:?}");
    assert!(inventory.register(&specs, &key("v1"), &number(0), now).is_ok(), "a heartbeat needs no room");
}

#[test]
fn what_is_shown_says_where_from_for_how_long_and_what_is_wrong() {
    let specs = world(&[
        ("v1", None, &[at("10.0.0.1:80")]),
        ("v2", Some(registered()), &[]),
        ("v3", Some(EndpointSource::File { path: "v3.json".into() }), &[]),
    ]);
    let (mut inventory, start) = (Inventory::default(), Instant::now());
    inventory.follow(None, &specs, start);
    inventory.register(&specs, &key("v2"), &at("10.0.1.1:80"), start).unwrap();
    let file = EndpointSource::File { path: "v3.json".into() };
    inventory.read(&key("v3"), &file, Err("it is empty".into()), start);
    let [one, two, three] = inventory.list(&specs, None, start + SECOND).unwrap().try_into().unwrap();
    let listed = |address, left| vec![ListedEndpoint { endpoint: at(address), left }];
    assert_eq!((one.from.as_str(), one.endpoints), ("the spec", listed("10.0.0.1:80", None)));
    assert_eq!((two.from.as_str(), two.endpoints), ("registered", listed("10.0.1.1:80", Some(14 * SECOND))));
    assert_eq!((three.from.as_str(), three.error.as_deref()), ("file v3.json", Some("it is empty")));
    assert!(inventory.list(&specs, Some("cart"), start).is_err());
}
