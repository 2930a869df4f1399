//! Which requests a rule chooses, as Envoy and gRPC clients are told. PURE.
//!
//! Without a caller's address: that is no part of a route ([`super::source`]).

use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, QueryParameterMatcher, RouteMatch, header_matcher::HeaderMatchSpecifier,
    query_parameter_matcher::QueryParameterMatchSpecifier, route_match,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher::MatchPattern};

use crate::model::{GrpcMethod, Requests, Rule, TextMatch, UserKey, Users};

/// Every request.
pub(in crate::translate) fn everything() -> RouteMatch {
    of_path(route_match::PathSpecifier::Prefix("/".to_owned()))
}

/// The requests of a route that the service names.
pub(super) fn named(requests: &Requests) -> RouteMatch {
    match requests {
        Requests::Prefix(text) => of_path(route_match::PathSpecifier::Prefix(text.clone())),
        Requests::Path(text) => of_path(route_match::PathSpecifier::Path(text.clone())),
        Requests::Grpc(grpc) => {
            RouteMatch { grpc: Some(route_match::GrpcRouteMatchOptions {}), ..of_path(called(grpc)) }
        }
    }
}

/// What Envoy is told of a rule: any of these; nothing when no request can fit it.
pub(super) fn for_envoy(rule: &Rule) -> Vec<RouteMatch> {
    let Some(of) = without_users(rule) else { return Vec::new() };
    let with = |user: HeaderMatcher| RouteMatch { headers: [&of.headers[..], &[user]].concat(), ..of.clone() };
    match &rule.users {
        None => vec![of],
        Some(users) => of_users(users).map(with).collect(),
    }
}

fn without_users(rule: &Rule) -> Option<RouteMatch> {
    let mut of = match (&rule.path, &rule.grpc) {
        (Some(text), _) => of_path(path(text)?),
        (None, Some(grpc)) => of_path(called(grpc)),
        (None, None) => everything(),
    };
    if let Some(grpc) = &rule.grpc {
        of.grpc = Some(route_match::GrpcRouteMatchOptions {});
        if rule.path.is_some() {
            let pattern = match called(grpc) {
                route_match::PathSpecifier::Path(path) => MatchPattern::Exact(path),
                _ => MatchPattern::Prefix(format!("/{}/", grpc.service)),
            };
            of.headers.push(header(":path", HeaderMatchSpecifier::StringMatch(fitting(pattern))));
        }
    }
    of.headers.extend(rule.headers.iter().map(|(name, text)| of_header(name, text)));
    of.headers.extend(rule.cookies.iter().map(|(name, text)| cookie(name, text)));
    of.headers.extend(methods(&rule.methods));
    of.query_parameters.extend(rule.query.iter().map(|(name, text)| QueryParameterMatcher {
        name: name.clone(),
        query_parameter_match_specifier: Some(match pattern(text) {
            Ok(pattern) => QueryParameterMatchSpecifier::StringMatch(fitting(pattern)),
            Err(present) => QueryParameterMatchSpecifier::PresentMatch(present),
        }),
    }));
    Some(of)
}

/// The size of a compiled pattern that Envoy takes at most, unless its runtime says otherwise
/// (`re2.max_program_size.error_level`). A byte is about one; what stands around them is a dozen.
const LARGEST_PATTERN: usize = 100;

/// Any of these are users: as few patterns as Envoy takes.
fn of_users(Users { key, ids }: &Users) -> impl Iterator<Item = HeaderMatcher> {
    // A pattern that finds a cookie among others is some thirty by itself.
    let room = match key {
        UserKey::Header(_) => LARGEST_PATTERN - 12,
        UserKey::Cookie(name) => (LARGEST_PATTERN - 34).saturating_sub(name.len()),
    };
    let mut lists: Vec<&[String]> = Vec::new();
    let (mut begins, mut size) = (0, 0);
    for (at, id) in ids.iter().enumerate() {
        if at > begins && size + id.len() + 1 > room {
            lists.push(&ids[begins..at]);
            (begins, size) = (at, 0);
        }
        size += id.len() + 1;
    }
    lists.push(&ids[begins..]);
    lists.into_iter().map(move |ids| match (key, ids) {
        (UserKey::Header(name), []) => with_header(name),
        (UserKey::Header(name), [id]) => of_header(name, &TextMatch::Exact(id.clone())),
        (UserKey::Header(name), ids) => header(name, HeaderMatchSpecifier::StringMatch(fitting(regex(one_of(ids))))),
        (UserKey::Cookie(name), []) => in_cookies(name, SOME_ID),
        (UserKey::Cookie(name), ids) => in_cookies(name, &one_of(ids)),
    })
}

/// What a gRPC client without a proxy is told of a rule; nothing when none of its calls fits, or when it could not tell:
/// such a client knows headers and paths alone (gRFC A28), and rejects or passes over what asks for more.
pub(in crate::translate) fn for_grpc(rule: &Rule) -> Vec<RouteMatch> {
    let by_cookie = rule.users.as_ref().is_some_and(|users| matches!(users.key, UserKey::Cookie(_)));
    let is_post = rule.methods.is_empty() || rule.methods.iter().any(|method| method == "POST");
    let both = rule.path.is_some() && rule.grpc.is_some();
    if both || by_cookie || !is_post || !rule.cookies.is_empty() || !rule.query.is_empty() || !rule.source_ip.is_empty()
    {
        return Vec::new();
    }
    // All of its calls are POST.
    let of = for_envoy(&Rule { methods: Vec::new(), ..rule.clone() });
    of.into_iter().map(|of| RouteMatch { grpc: None, ..of }).collect()
}

fn of_path(specifier: route_match::PathSpecifier) -> RouteMatch {
    RouteMatch { path_specifier: Some(specifier), ..Default::default() }
}

fn path(text: &TextMatch) -> Option<route_match::PathSpecifier> {
    use route_match::PathSpecifier::{Path, Prefix, SafeRegex};
    let matching = |text: String| SafeRegex(RegexMatcher { regex: text, ..Default::default() });
    Some(match text {
        TextMatch::Exact(text) => Path(text.clone()),
        TextMatch::Prefix(text) => Prefix(text.clone()),
        TextMatch::Suffix(text) => matching(format!(".*{}", regex::escape(text))),
        TextMatch::Contains(text) => matching(format!(".*{}.*", regex::escape(text))),
        TextMatch::Regex(text) => matching(text.clone()),
        TextMatch::Present(true) => Prefix("/".to_owned()),
        // Every request has one.
        TextMatch::Present(false) => return None,
    })
}

fn called(GrpcMethod { service, method }: &GrpcMethod) -> route_match::PathSpecifier {
    match method {
        Some(method) => route_match::PathSpecifier::Path(format!("/{service}/{method}")),
        None => route_match::PathSpecifier::Prefix(format!("/{service}/")),
    }
}

fn methods(methods: &[String]) -> Option<HeaderMatcher> {
    let pattern = match methods {
        [] => return None,
        [one] => MatchPattern::Exact(one.clone()),
        several => regex(one_of(several)),
    };
    Some(header(":method", HeaderMatchSpecifier::StringMatch(fitting(pattern))))
}

fn of_header(name: &str, text: &TextMatch) -> HeaderMatcher {
    match pattern(text) {
        Ok(pattern) => header(name, HeaderMatchSpecifier::StringMatch(fitting(pattern))),
        Err(present) => {
            HeaderMatcher { invert_match: !present, ..header(name, HeaderMatchSpecifier::PresentMatch(true)) }
        }
    }
}

/// By a pattern on the whole `cookie` header: not every Envoy that is supported has the
/// matcher for single cookies (1.36 does not), and one that is sent it over xDS takes the route without that condition.
fn cookie(name: &str, text: &TextMatch) -> HeaderMatcher {
    match text {
        TextMatch::Exact(text) => in_cookies(name, &regex::escape(text)),
        TextMatch::Prefix(text) => in_cookies(name, &format!("{}[^;]*", regex::escape(text))),
        TextMatch::Suffix(text) => in_cookies(name, &format!("[^;]*{}", regex::escape(text))),
        TextMatch::Contains(text) => in_cookies(name, &format!("[^;]*{}[^;]*", regex::escape(text))),
        TextMatch::Regex(text) => in_cookies(name, &format!("(?:{})", unanchored(text))),
        TextMatch::Present(true) => in_cookies(name, "[^;]*"),
        TextMatch::Present(false) => absent(in_cookies(name, "[^;]*")),
    }
}

/// Who has no cookie of that name, or an empty one.
pub(super) fn without_cookie(name: &str) -> HeaderMatcher {
    absent(in_cookies(name, SOME_ID))
}

fn absent(of: HeaderMatcher) -> HeaderMatcher {
    // Else it would fit no request without any cookies.
    HeaderMatcher { invert_match: true, treat_missing_header_as_empty: true, ..of }
}

/// Who has a header.
pub(super) fn with_header(name: &str) -> HeaderMatcher {
    header(name, HeaderMatchSpecifier::PresentMatch(true))
}

/// The value of a cookie that says who somebody is: an empty one is nobody's.
const SOME_ID: &str = "[^;\"]+";

/// A cookie of that name, somewhere among the others, whose value fits a pattern, with or without quotes around it.
fn in_cookies(name: &str, value: &str) -> HeaderMatcher {
    let name = regex::escape(name);
    let text = format!("(?:.*;)?\\s*{name}=\"?{value}\"?\\s*(?:;.*)?");
    header("cookie", HeaderMatchSpecifier::StringMatch(fitting(regex(text))))
}

/// A pattern that is for the whole of a text, without the anchors that say so once more: in the midst of another pattern
/// they would fit nothing.
fn unanchored(pattern: &str) -> &str {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    match pattern.strip_suffix('$') {
        Some(rest) if rest.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0 => rest,
        _ => pattern,
    }
}

/// Any of these texts.
fn one_of(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| regex::escape(text)).collect();
    format!("(?:{})", texts.join("|"))
}

fn fitting(pattern: MatchPattern) -> StringMatcher {
    StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}

fn header(name: &str, specifier: HeaderMatchSpecifier) -> HeaderMatcher {
    HeaderMatcher { name: name.to_owned(), header_match_specifier: Some(specifier), ..Default::default() }
}

fn regex(text: String) -> MatchPattern {
    MatchPattern::SafeRegex(RegexMatcher { regex: text, ..Default::default() })
}

/// The pattern of a text, or whether it must be there at all.
fn pattern(text: &TextMatch) -> Result<MatchPattern, bool> {
    match text {
        TextMatch::Exact(text) => Ok(MatchPattern::Exact(text.clone())),
        TextMatch::Prefix(text) => Ok(MatchPattern::Prefix(text.clone())),
        TextMatch::Suffix(text) => Ok(MatchPattern::Suffix(text.clone())),
        TextMatch::Contains(text) => Ok(MatchPattern::Contains(text.clone())),
        TextMatch::Regex(text) => Ok(regex(text.clone())),
        TextMatch::Present(present) => Err(*present),
    }
}

#[cfg(test)]
mod tests;
