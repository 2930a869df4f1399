//! Plans with everything in them, and releases that go through regions.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::SERVICES;
use crate::model::{
    AnalysisPolicy, Canary, Mirrored, Release, Routing, Rule, Sticky, StickyCookie, Strategy as Technique, Targeted,
    TextMatch, TrafficPlan, UserKey, Users, Wave, Weight,
};

const REGIONS: [&str; 3] = ["asia", "eu", "us"];

/// What there mostly is.
fn version() -> impl Strategy<Value = String> {
    prop_oneof![20 => Just("v1"), 20 => Just("v2"), 1 => Just("v9")].prop_map(str::to_owned)
}

fn weight() -> impl Strategy<Value = Weight> {
    (0u32..=4).prop_map(|quarter| Weight::from_hundredths(quarter * 2_500))
}

fn texts(name: &'static str) -> impl Strategy<Value = BTreeMap<String, TextMatch>> {
    let text = prop_oneof![
        Just(TextMatch::Exact("a.b".into())),
        Just(TextMatch::Suffix("b".into())),
        Just(TextMatch::Regex("[ab]+".into())),
        any::<bool>().prop_map(TextMatch::Present),
    ];
    prop::option::weighted(0.3, text)
        .prop_map(move |text| text.map(|text| (name.to_owned(), text)).into_iter().collect())
}

fn rule() -> impl Strategy<Value = Rule> {
    let ranges = prop::sample::subsequence(vec!["10.0.0.0/8", "10.8.0.0/16", "10.8.7.1/16", "fd00::/8"], 0..3);
    let ranges = prop_oneof![2 => Just(Vec::new()), 1 => ranges];
    let users = (any::<bool>(), 0usize..3).prop_map(|(by_header, ids)| Users {
        key: if by_header { UserKey::Header("x-user".into()) } else { UserKey::Cookie("uid".into()) },
        ids: ["7", "8"].into_iter().take(ids).map(str::to_owned).collect(),
    });
    let parts = (texts("x-a"), texts("c"), texts("q"), ranges, prop::option::weighted(0.3, users), weight());
    parts.prop_map(|(headers, cookies, query, ranges, users, strength)| Rule {
        headers,
        cookies,
        query,
        source_ip: ranges.into_iter().map(|range| range.parse().expect("a range")).collect(),
        users,
        strength,
        ..Rule::default()
    })
}

fn sticky() -> impl Strategy<Value = Sticky> {
    let cookie = StickyCookie {
        name: "uid".into(),
        ttl: Some(Duration::ZERO),
        path: Some("/".into()),
        attributes: [("SameSite".to_owned(), "Lax".to_owned())].into(),
    };
    prop_oneof![Just(Sticky::Cookie(cookie)), Just(Sticky::Header("x-user".into())), Just(Sticky::SourceIp)]
}

fn routing() -> impl Strategy<Value = Routing> {
    let rules = prop::collection::vec((rule(), version()), 0..3);
    let mirror = (version(), weight());
    // Some clash with hosts of others.
    let hosts = prop_oneof![
        8 => Just(Vec::new()),
        4 => Just(vec!["Preview.test"]),
        2 => Just(vec!["a.test"]),
        1 => Just(vec!["x.test:81"])
    ];
    let rare = |of| prop::option::weighted(0.2, of);
    let preview = prop::option::weighted(0.3, version());
    (version(), weight(), version(), prop::option::weighted(0.3, sticky()), rules, rare(mirror), preview, hosts)
        .prop_map(|(canary, weight, stable, sticky, rules, mirror, preview, hosts)| Routing {
            sticky,
            rules: rules.into_iter().map(|(rule, version)| Targeted { rule, version }).collect(),
            mirror: mirror.map(|(version, percent)| Mirrored { version, percent }),
            preview,
            preview_hosts: hosts.into_iter().map(str::to_owned).collect(),
            ..Routing::split(&canary, weight, &stable)
        })
}

/// Of any service: of shares alone, of all sorts, or with something else for some regions.
pub(super) fn plan() -> impl Strategy<Value = (&'static str, TrafficPlan)> {
    let plain = (version(), weight(), version())
        .prop_map(|(canary, weight, stable)| (Routing::split(&canary, weight, &stable), Vec::new()));
    let regions = prop::sample::subsequence(REGIONS.to_vec(), 1..3);
    let elsewhere = prop::collection::vec((regions, routing()), 0..3).prop_map(|told| {
        told.into_iter().map(|(regions, routing)| (regions.into_iter().map(str::to_owned).collect(), routing)).collect()
    });
    let of = prop_oneof![1 => plain, 1 => (routing(), elsewhere)];
    (prop::sample::select(&SERVICES[..]), of).prop_map(|(service, (routing, regions))| {
        (service, TrafficPlan::routed(service, routing, regions).expect("shares of everything"))
    })
}

/// Of any service.
pub(super) fn release() -> impl Strategy<Value = Release> {
    let regions = prop::sample::subsequence(REGIONS.to_vec(), 0..3);
    (prop::sample::select(&SERVICES[..]), regions).prop_map(|(service, regions)| {
        let strategy = Technique::Canary(Canary::default());
        let wave = |region: &str| Wave::Regions(vec![region.to_owned()]);
        let regions = regions.into_iter().map(wave).chain([Wave::All]).collect();
        Release { regions, ..Release::new(service, service, "v2", strategy, AnalysisPolicy::default()) }
    })
}
