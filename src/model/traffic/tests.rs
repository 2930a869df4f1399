use std::collections::BTreeMap;

use super::*;
use crate::model::{StickyCookie, TextMatch, UserKey, Users};

fn percent(of: u32) -> Weight {
    Weight::from_hundredths(of * 100)
}

fn to(version: &str, rule: Rule) -> Targeted {
    Targeted { rule, version: version.into() }
}

fn internal() -> Rule {
    let headers = BTreeMap::from([("x-internal".to_owned(), TextMatch::Exact("true".into()))]);
    Rule { headers, strength: Weight::FULL, ..Rule::default() }
}

#[test]
fn what_decides_first_is_told_first() {
    let cookie = StickyCookie { name: "uid".into(), ttl: None, path: None, attributes: BTreeMap::new() };
    let users = Users { key: UserKey::Header("x-user".into()), ids: vec!["7".into()] };
    let office = Rule { source_ip: vec!["10.8.0.0/16".parse().expect("a range")], ..Rule::default() };
    let routing = Routing {
        sticky: Some(Sticky::Cookie(cookie)),
        rules: vec![
            to("v2", internal()),
            to("v2", Rule { users: Some(users), strength: percent(50), ..Rule::default() }),
            // Never less than the version's own share.
            to("v2", office),
            to("v1", Rule { methods: vec!["GET".into()], ..Rule::default() }),
        ],
        mirror: Some(Mirrored { version: "v2".into(), percent: percent(1) }),
        preview: Some("v2".into()),
        preview_hosts: vec!["preview.shop.example.com".into()],
        ..Routing::split("v2", percent(5), "v1")
    };
    assert_eq!(
        routing.precedence(),
        [
            "preview hosts preview.shop.example.com: v2",
            "header x-internal exact \"true\": v2",
            "user 7 by header x-user: v2 50%, v1 50%, by header x-user",
            "source 10.8.0.0/16: v2 5%, v1 95%, by cookie uid",
            "method GET: v1",
            "preview listeners: v2",
            "rest: v2 5%, v1 95%, by cookie uid",
            "copied: 1% of the rest to v2",
        ]
    );
}

#[test]
fn what_does_not_matter_is_not_told() {
    let at_rest = Routing {
        sticky: Some(Sticky::SourceIp),
        mirror: Some(Mirrored { version: "v2".into(), percent: Weight::ZERO }),
        ..Routing::split("v2", Weight::ZERO, "v1")
    };
    assert_eq!(at_rest.precedence(), ["rest: v1"]);
    let hosts = Routing { preview_hosts: vec!["p".into()], ..Routing::all_to("v1") };
    assert_eq!(hosts.precedence(), ["preview hosts p: v1", "rest: v1"]);
    let full = Routing { rules: vec![to("v2", internal())], ..Routing::all_to("v2") };
    assert_eq!(full.precedence(), ["header x-internal exact \"true\": v2", "rest: v2"]);
    let random = Routing {
        rules: vec![to("v2", Rule { strength: percent(20), ..Rule::default() })],
        ..Routing::split("v2", percent(10), "v1")
    };
    assert_eq!(random.precedence(), ["every request: v2 20%, v1 80%", "rest: v2 10%, v1 90%"]);
}

#[test]
fn what_some_regions_do_comes_first() {
    let five = Weight::from_percent(5.0).expect("a percentage");
    let plan = TrafficPlan::routed(
        "checkout",
        Routing::split("v2", Weight::ZERO, "v1"),
        vec![
            (vec!["eu-west".into(), "eu-north".into()], Routing::all_to("v2")),
            (vec!["us-east".into()], Routing::split("v2", five, "v1")),
        ],
    );
    let expected = ["in eu-west, eu-north: rest: v2", "in us-east: rest: v2 5%, v1 95%", "elsewhere: rest: v1"];
    assert_eq!(plan.expect("a plan").precedence(), expected);
    assert_eq!(TrafficPlan::all_to("checkout", "v1").precedence(), ["rest: v1"]);
}
