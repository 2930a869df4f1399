//! Which requests are meant, and who stays.

use super::*;
use crate::model::{GrpcMethod, Rule, Sticky, StickyCookie, TextMatch, UserKey, Users};

fn with_rule(rule: &str) -> String {
    format!("strategy: {{canary: {{match: [{rule}], steps: [setWeight: 5]}}}}")
}

fn rule(text: &str) -> Rule {
    released(&with_rule(text)).strategy.rules()[0].clone()
}

fn with_sticky(sticky: &str) -> String {
    format!("strategy: {{canary: {{sticky: {sticky}, steps: [setWeight: 5]}}}}")
}

#[test]
fn a_rule_is_all_that_is_written() {
    let whole = Rule { strength: Weight::FULL, ..Rule::default() };
    let texts = |name: &str, text: TextMatch| [(name.to_owned(), text)].into();
    let exact = |text: &str| TextMatch::Exact(text.into());
    let users = |key, ids: &[&str]| Some(Users { key, ids: ids.iter().map(|id| (*id).to_owned()).collect() });
    let header = || UserKey::Header("x-user".into());
    for (text, read) in [
        (
            r#"{headers: {X-Internal: {exact: "true"}}}"#,
            Rule { headers: texts("x-internal", exact("true")), ..whole.clone() },
        ),
        (
            "{cookies: {beta: {suffix: b}}}",
            Rule { cookies: texts("beta", TextMatch::Suffix("b".into())), ..whole.clone() },
        ),
        ("{query: {v: {present: false}}}", Rule { query: texts("v", TextMatch::Present(false)), ..whole.clone() }),
        ("{path: {prefix: /admin}}", Rule { path: Some(TextMatch::Prefix("/admin".into())), ..whole.clone() }),
        (
            "{path: {contains: x}, method: GET}",
            Rule { path: Some(TextMatch::Contains("x".into())), methods: vec!["GET".into()], ..whole.clone() },
        ),
        (
            "{path: {regex: '/a+'}, method: [GET, POST]}",
            Rule {
                path: Some(TextMatch::Regex("/a+".into())),
                methods: vec!["GET".into(), "POST".into()],
                ..whole.clone()
            },
        ),
        (
            "{grpc: {service: shop.v1.Checkout, method: Pay}}",
            Rule {
                grpc: Some(GrpcMethod { service: "shop.v1.Checkout".into(), method: Some("Pay".into()) }),
                ..whole.clone()
            },
        ),
        (
            "{sourceIP: [10.8.0.0/16, 192.0.2.7, 'fd00::1'], strength: 50}",
            Rule {
                source_ip: ["10.8.0.0/16", "192.0.2.7/32", "fd00::1/128"].map(|range| range.parse().unwrap()).into(),
                strength: Weight::from_percent(50.0).unwrap(),
                ..whole.clone()
            },
        ),
        (
            "{users: {header: X-User, ids: [alice, bob]}}",
            Rule { users: users(header(), &["alice", "bob"]), ..whole.clone() },
        ),
        (
            "{users: {cookie: uid, percent: 10}}",
            Rule {
                users: users(UserKey::Cookie("uid".into()), &[]),
                strength: Weight::from_percent(10.0).unwrap(),
                ..whole.clone()
            },
        ),
    ] {
        assert_eq!(rule(text), read, "{text}");
    }
}

#[test]
fn a_rule_that_is_none_is_refused() {
    let cases = [
        ("{}", "chooses every request", "setWeight"),
        ("{strength: 50}", "chooses every request", "setWeight"),
        ("{path: /admin}", "how to compare", "{exact: \"/admin\"}"),
        ("{path: {exact: /a, prefix: /b}}", "exclude each other", "keep one"),
        ("{path: {}}", "`path` needs `exact`", "prefix"),
        ("{path: {regex: '('}}", "not a regular expression", "RE2"),
        ("{headers: {':path': {exact: /}}}", "no header", "path"),
        ("{headers: {x-a: {exact: '1'}, X-A: {exact: '2'}}}", "compared twice", "keep one"),
        ("{headers: {}}", "nothing is compared", "add"),
        ("{cookies: {'a b': {present: true}}}", "cookie's name", "letters"),
        ("{method: get}", "not in capitals", "`GET`"),
        ("{method: []}", "empty", "GET"),
        ("{method: [GET, GET]}", "twice", "remove"),
        ("{grpc: {method: Pay}}", "`service` is missing", "shop.v1"),
        ("{grpc: {service: shop/Pay}}", "no name of a gRPC", ".proto"),
        ("{grpc: {service: a.B}, path: {exact: /}}", "exclude each other", "gRPC call"),
        ("{sourceIP: [10.8.0.0/33]}", "no range of addresses", "10.8.0.0/16"),
        ("{users: {ids: [alice]}}", "`users` needs `header` or `cookie`", "x-user-id"),
        ("{users: {header: x, percent: 5}, strength: 5}", "`strength`, which is given too", "keep one"),
        ("{path: {exact: /}, strength: 0}", "above 0", "percent"),
        ("{headres: {x: {present: true}}}", "unknown field", "`headers`"),
    ];
    let cases: Vec<_> = cases.map(|(rule, said, help)| (set(SERVICE, &with_rule(rule)), said, help)).into();
    refused(&cases);
}

#[test]
fn what_a_user_stays_by() {
    let cookie = |ttl, path: Option<&str>, attributes: &[(&str, &str)]| {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Sticky::Cookie(StickyCookie { name: "uid".into(), ttl, path: path.map(str::to_owned), attributes })
    };
    let day = Some(Duration::from_secs(24 * 3600));
    for (text, read) in [
        ("{cookie: uid}", cookie(None, None, &[])),
        ("{cookie: uid, ttl: 0s}", cookie(Some(Duration::ZERO), None, &[])),
        (
            "{cookie: uid, ttl: 24h, path: /, attributes: {SameSite: Lax, Secure: \"\"}}",
            cookie(day, Some("/"), &[("SameSite", "Lax"), ("Secure", "")]),
        ),
        ("{header: X-User}", Sticky::Header("x-user".into())),
        ("{sourceIP: true}", Sticky::SourceIp),
    ] {
        assert_eq!(released(&with_sticky(text)).strategy.sticky(), Some(&read), "{text}");
    }
    let cases = [
        ("{}", "`sticky` needs", "ttl"),
        ("{cookie: uid, header: x}", "exclude each other", "keep one"),
        ("{sourceIP: false}", "sticks to nothing", "remove"),
        ("{header: x, ttl: 1h}", "only a cookie has `ttl`", "cookie"),
        ("{cookie: uid, path: /}", "has no `path`", "`ttl: 24h`"),
        ("{cookie: uid, ttl: 1h, attributes: {Path: /}}", "field of its own", "`path`"),
        ("{cookie: uid, ttl: 1h, attributes: {a: 'b;c'}}", "attribute of a cookie", "SameSite"),
    ];
    refused(&cases.map(|(sticky, said, help)| (set(SERVICE, &with_sticky(sticky)), said, help)));
}
