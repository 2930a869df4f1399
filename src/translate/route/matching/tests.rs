use std::collections::BTreeMap;

use super::*;
use crate::model::Users;

/// Whether a `cookie` header fits, as RE2 decides it: the whole of it.
fn fits(matcher: &HeaderMatcher, cookies: Option<&str>) -> bool {
    let Some(HeaderMatchSpecifier::StringMatch(StringMatcher { match_pattern: Some(pattern), .. })) =
        &matcher.header_match_specifier
    else {
        panic!("no pattern: {matcher:?}")
    };
    let MatchPattern::SafeRegex(pattern) = pattern else { panic!("no expression: {pattern:?}") };
    let whole = regex::Regex::new(&format!("^(?:{})$", pattern.regex)).expect("an expression");
    match cookies {
        None if !matcher.treat_missing_header_as_empty => false,
        cookies => whole.is_match(cookies.unwrap_or_default()) != matcher.invert_match,
    }
}

#[test]
fn a_cookie_is_found_among_the_others() {
    let exact = |text: &str| TextMatch::Exact(text.into());
    let regex = |text: &str| TextMatch::Regex(text.into());
    for (text, cookies, expected) in [
        (exact("a.b"), "uid=a.b", true),
        (exact("a.b"), "x=1; uid=a.b; y=2", true),
        (exact("a.b"), "x=1;uid=a.b;y=2", true),
        (exact("a.b"), "x=1; uid=\"a.b\"", true),
        (exact("a.b"), "uid=a-b", false),
        (exact("a.b"), "xuid=a.b", false),
        (exact("a.b"), "x=uid=a.b", false),
        (exact("a.b"), "uid=a.bc", false),
        (exact("a.b"), "uid=ca.b", false),
        (exact("a.b"), "", false),
        (TextMatch::Prefix("a".into()), "x=1; uid=abc; y=2", true),
        (TextMatch::Prefix("a".into()), "uid=cab", false),
        (TextMatch::Suffix("c".into()), "x=1; uid=abc; y=2", true),
        (TextMatch::Suffix("c".into()), "uid=ab; y=c", false),
        (TextMatch::Contains("b".into()), "uid=abc; y=2", true),
        (TextMatch::Contains("b".into()), "uid=a; y=b", false),
        (regex("^[ab]+$"), "x=1; uid=aba; y=2", true),
        (regex("[ab]+|c"), "uid=c", true),
        (regex("[ab]+"), "uid=abc", false),
        (regex("a\\$"), "uid=a$", true),
        (TextMatch::Present(true), "x=1; uid=", true),
        (TextMatch::Present(true), "x=uid", false),
        (TextMatch::Present(false), "x=1; uid=7", false),
        (TextMatch::Present(false), "x=1; xuid=7", true),
    ] {
        assert_eq!(fits(&cookie("uid", &text), Some(cookies)), expected, "{text} in {cookies:?}");
    }
    for (text, expected) in [(exact("a"), false), (TextMatch::Present(true), false), (TextMatch::Present(false), true)]
    {
        assert_eq!(fits(&cookie("uid", &text), None), expected, "{text} without any cookie");
    }
}

#[test]
fn users_are_told_by_all_of_their_id() {
    let rule = |ids: &[&str]| Rule {
        users: Some(Users { key: UserKey::Cookie("uid".into()), ids: ids.iter().map(|id| (*id).to_owned()).collect() }),
        ..Rule::default()
    };
    for (ids, cookies, expected) in [
        (&["7", "a|b"][..], "uid=7", true),
        (&["7", "a|b"], "uid=a|b", true),
        (&["7", "a|b"], "uid=a", false),
        (&["7", "a|b"], "uid=77", false),
        (&[".*"], "uid=x", false),
        (&[], "uid=x", true),
        (&[], "uid=", false),
        (&[], "x=1", false),
    ] {
        let [of] = <[_; 1]>::try_from(for_envoy(&rule(ids))).expect("one pattern");
        assert_eq!(fits(&of.headers[0], Some(cookies)), expected, "{ids:?} in {cookies:?}");
    }
}

#[test]
fn many_users_are_several_patterns() {
    let ids: Vec<String> = (0..200).map(|n| format!("user.{n}")).collect();
    let key = UserKey::Cookie("uid".into());
    let of = for_envoy(&Rule { users: Some(Users { key, ids: ids.clone() }), ..Rule::default() });
    assert!(of.len() > 20, "{}", of.len());
    for (id, expected) in ids.iter().map(|id| (id.as_str(), 1)).chain([("user.200", 0), ("user.", 0)]) {
        let cookies = format!("x=1; uid={id}");
        assert_eq!(of.iter().filter(|of| fits(&of.headers[0], Some(&cookies))).count(), expected, "{id}");
    }
}

#[test]
fn a_path_and_a_call_must_both_fit() {
    let call = |method: Option<&str>| GrpcMethod { service: "shop.v1.Cart".into(), method: method.map(Into::into) };
    let path = |of: RouteMatch| of.path_specifier.expect("a path");
    let for_envoy = |rule: &Rule| for_envoy(rule).pop();
    let one = for_envoy(&Rule { grpc: Some(call(Some("Add"))), ..Rule::default() }).expect("requests");
    assert!(one.grpc.is_some());
    assert_eq!(path(one), route_match::PathSpecifier::Path("/shop.v1.Cart/Add".into()));
    let all = for_envoy(&Rule { grpc: Some(call(None)), ..Rule::default() }).expect("requests");
    assert_eq!(path(all), route_match::PathSpecifier::Prefix("/shop.v1.Cart/".into()));
    let both = Rule { grpc: Some(call(None)), path: Some(TextMatch::Suffix("d".into())), ..Rule::default() };
    let of = for_envoy(&both).expect("requests");
    let expected = MatchPattern::Prefix("/shop.v1.Cart/".into());
    assert_eq!(of.headers, [header(":path", HeaderMatchSpecifier::StringMatch(fitting(expected)))]);
    let pattern = RegexMatcher { regex: ".*d".into(), ..Default::default() };
    assert_eq!(path(of), route_match::PathSpecifier::SafeRegex(pattern));
    assert_eq!(for_envoy(&Rule { path: Some(TextMatch::Present(false)), ..Rule::default() }), None);
}

#[test]
fn a_grpc_client_is_told_what_it_can_tell() {
    let text = || BTreeMap::from([("x".to_owned(), TextMatch::Exact("1".into()))]);
    let by_header = Rule { headers: text(), methods: vec!["GET".into(), "POST".into()], ..Rule::default() };
    let for_grpc = |rule: &Rule| for_grpc(rule).pop();
    let of = for_grpc(&by_header).expect("calls");
    assert_eq!(of.headers.iter().map(|of| of.name.as_str()).collect::<Vec<_>>(), ["x"]);
    let call = GrpcMethod { service: "a".into(), method: None };
    assert_eq!(for_grpc(&Rule { grpc: Some(call), ..Rule::default() }).expect("calls").grpc, None);
    let users = Users { key: UserKey::Cookie("uid".into()), ids: Vec::new() };
    for rule in [
        Rule { cookies: text(), ..Rule::default() },
        Rule { query: text(), ..Rule::default() },
        Rule { users: Some(users), ..Rule::default() },
        Rule { methods: vec!["GET".into()], ..Rule::default() },
        Rule { source_ip: vec!["10.0.0.0/8".parse().expect("a range")], ..Rule::default() },
    ] {
        assert_eq!(for_grpc(&rule), None, "{rule}");
    }
}
