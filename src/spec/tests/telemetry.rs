//! Routes that are told apart, and proxies that are asked for their statistics.

use super::*;
use crate::model::{GrpcMethod, NamedRoute, Poll, Requests};

/// A service with these routes.
fn routes(text: &str) -> String {
    set(&SERVICE.replacen('{', &format!("{{routes: {text}, "), 1), STEPS)
}

/// A fleet with this telemetry.
fn telemetry(text: &str) -> String {
    set(SERVICE, STEPS).replacen("listeners:", &format!("telemetry: {text}, listeners:"), 1)
}

#[test]
fn routes_reach_the_model_in_their_order() {
    let text = "[{name: pay, prefix: /pay}, {name: Cart-2, path: /cart}, {name: orders, grpc: {service: shop.Orders}}]";
    let grpc = GrpcMethod { service: "shop.Orders".into(), method: None };
    let expected = [
        ("pay", Requests::Prefix("/pay".into())),
        ("Cart-2", Requests::Path("/cart".into())),
        ("orders", Requests::Grpc(grpc)),
    ];
    let expected = expected.map(|(name, requests)| NamedRoute { name: name.into(), requests });
    assert_eq!(accept(&routes(text)).world.services["checkout"].routes, expected);
    assert_eq!(accept(&set(SERVICE, STEPS)).world.services["checkout"].routes, []);
}

#[test]
fn routes_that_tell_nothing_apart_are_refused() {
    let many: Vec<String> = (0..21).map(|n| format!("{{name: r{n}, path: /r{n}}}")).collect();
    let many = format!("[{}]", many.join(", "));
    let cases = [
        ("{pay: /pay}", "expected a list", "name: pay"),
        ("[{prefix: /pay}]", "`name` is missing", "name: pay"),
        ("[{name: pay}]", "needs `prefix`, `path` or `grpc`", "prefix: /pay"),
        ("[{name: pay, prefix: /pay, path: /pay}]", "exclude each other", "keep one"),
        ("[{name: pay/2, prefix: /pay}]", "cannot be a route's name", "letters, digits"),
        ("[{name: pay, prefix: pay}]", "no leading slash", "`/pay`"),
        ("[{name: pay, path: '/pay?x=1'}]", "has a query", "`/pay`"),
        ("[{name: pay, grpc: {method: Pay}}]", "`service` is missing", "shop.v1.Checkout"),
        ("[{name: pay, prefix: /a}, {name: pay, prefix: /b}]", "two routes are named", "rename"),
        ("[{name: all, prefix: /}, {name: pay, prefix: /pay}]", "`pay` gets no request: `all`", "put it first"),
        (&many, "too many", "at most 20"),
    ];
    refused(&cases.map(|(text, said, help)| (routes(text), said, help)));
    let tcp = SERVICE.replacen('{', "{protocol: tcp, routes: [{name: pay, prefix: /pay}], ", 1);
    let tcp = set(&tcp, STEPS).replace("hosts: [shop.example.com], ", "");
    refused(&[(tcp, "a TCP service has no `routes`", "remove it")]);
}

#[test]
fn proxies_are_asked_where_the_fleet_says_so() {
    let poll = |text: &str| accept(&telemetry(text)).world.fleets["edge"].poll.clone();
    let admin = vec!["http://10.0.0.7:9901".to_owned(), "http://envoy.internal:9901".to_owned()];
    let expected = Poll { admin, interval: Duration::from_millis(500) };
    let text = "{poll: {admin: ['http://10.0.0.7:9901/', 'http://envoy.internal:9901'], interval: 500ms}}";
    assert_eq!(poll(text), Some(expected));
    assert_eq!(poll("{poll: {admin: ['http://a:1']}}").map(|poll| poll.interval), Some(Duration::from_secs(1)));
    assert_eq!(accept(&set(SERVICE, STEPS)).world.fleets["edge"].poll, None);
    let cases = [
        ("{}", "`poll` is missing", "admin"),
        ("{poll: {}}", "`admin` is missing", "9901"),
        ("{poll: {admin: []}}", "nobody is asked", "9901"),
        ("{poll: {admin: ['10.0.0.7:9901']}}", "not a", "https://"),
        ("{poll: {admin: ['http://a:1/stats']}}", "is a page", "`http://a:1`"),
        ("{poll: {admin: ['http://a:1', 'http://a:1/']}}", "listed twice", "remove"),
        ("{poll: {admin: ['http://a:1'], interval: 10ms}}", "more often", "100ms"),
    ];
    refused(&cases.map(|(text, said, help)| (telemetry(text), said, help)));
}
