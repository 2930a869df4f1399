//! What becomes of all that a plan says of requests.

use std::collections::BTreeMap;
use std::time::Duration;

use serin::model::{
    GrpcMethod, Mirrored, NamedRoute, Requests, Retries, Routing, Rule, Service, Sticky, StickyCookie, Targeted,
    TextMatch, TrafficPlan, UserKey, Users, Weight,
};
use serin::translate::Dialect;

use super::{Case, checkout, fleet};

/// What a plan may say of requests beside how they are shared out.
pub(super) fn cases() -> Vec<Case> {
    let text = |name: &str, of: TextMatch| BTreeMap::from([(name.to_owned(), of)]);
    let ranges = |all: &[&str]| all.iter().map(|range| range.parse().unwrap()).collect();
    let at_5 = || Routing::split("v2", Weight::from_hundredths(500), "v1");
    let case = |name, about, service: Service, routing: Routing| Case {
        name,
        about,
        fleet: fleet(&["checkout"]),
        services: vec![service],
        plans: vec![TrafficPlan::routed("checkout", routing, Vec::new()).unwrap()],
        dialect: Dialect::MODERN,
    };
    let rule = |rule: Rule| Targeted { version: "v2".into(), rule: Rule { strength: Weight::FULL, ..rule } };
    let half =
        |rule: Rule| Targeted { version: "v2".into(), rule: Rule { strength: Weight::from_hundredths(5_000), ..rule } };
    let users = Users { key: UserKey::Header("x-user".into()), ids: vec!["a.b".into(), "c".into()] };
    let internal = rule(Rule { headers: text("x-internal", TextMatch::Exact("true".into())), ..Rule::default() });
    let rules = vec![
        internal.clone(),
        rule(Rule { cookies: text("group", TextMatch::Prefix("beta".into())), ..Rule::default() }),
        rule(Rule { query: text("new", TextMatch::Present(true)), methods: vec!["GET".into()], ..Rule::default() }),
        half(Rule { users: Some(users), ..Rule::default() }),
        half(Rule { path: Some(TextMatch::Suffix(".css".into())), ..Rule::default() }),
    ];
    let callers = vec![
        rule(Rule { source_ip: ranges(&["10.8.0.0/16", "fd00::/8"]), ..Rule::default() }),
        rule(Rule { headers: text("x-internal", TextMatch::Present(false)), ..Rule::default() }),
        rule(Rule { source_ip: ranges(&["10.8.7.0/24"]), ..Rule::default() }),
    ];
    let cookie = StickyCookie {
        name: "uid".into(),
        ttl: Some(Duration::from_secs(86_400)),
        path: Some("/".into()),
        attributes: [("SameSite".to_owned(), "Lax".to_owned())].into(),
    };
    let mut flagged = checkout();
    flagged.versions.get_mut("v2").unwrap().feature_flags = [("dark-mode".to_owned(), "dim".to_owned())].into();
    flagged.retries = Some(Retries {
        attempts: 2,
        on: vec!["connect-failure".into(), "reset".into()],
        per_try_timeout: Some(Duration::from_secs(3)),
    });
    let mut named = checkout();
    named.retries = flagged.retries.clone();
    let orders = GrpcMethod { service: "shop.Orders".into(), method: None };
    named.routes = [
        ("pay", Requests::Prefix("/pay".into())),
        ("cart", Requests::Path("/cart".into())),
        ("orders", Requests::Grpc(orders)),
    ]
    .map(|(name, requests)| NamedRoute { name: name.into(), requests })
    .into();
    let mirror = Some(Mirrored { version: "v2".into(), percent: Weight::from_hundredths(150) });
    let hosts = vec!["preview.shop.example.com".to_owned()];
    let mut preview = case(
        "preview",
        "A preview by host, and by a listener that shows what comes.",
        checkout(),
        Routing { preview: Some("v2".into()), preview_hosts: hosts, ..Routing::all_to("v1") },
    );
    preview.fleet.listeners[0].preview = true;
    vec![
        case(
            "rules",
            "Requests that are chosen, in order, before all others.",
            checkout(),
            Routing { rules, ..at_5() },
        ),
        case(
            "callers",
            "Requests that are chosen by the caller's address, too.",
            checkout(),
            Routing { rules: callers, ..at_5() },
        ),
        case(
            "sticky",
            "Users stay by a cookie, which is issued.",
            checkout(),
            Routing { sticky: Some(Sticky::Cookie(cookie.clone())), ..at_5() },
        ),
        case(
            "flags-and-mirror",
            "Features of a version, copies of requests, retries.",
            flagged,
            Routing { mirror: mirror.clone(), ..at_5() },
        ),
        case(
            "named-routes",
            "Routes that are told apart, behind a rule, with users who stay by a cookie that is issued, and with copies.",
            named,
            Routing { rules: vec![internal], sticky: Some(Sticky::Cookie(cookie.clone())), mirror, ..at_5() },
        ),
        preview,
    ]
}
