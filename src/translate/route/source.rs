//! Routes by the caller's address. PURE.
//!
//! A route of Envoy knows no addresses, and its matcher tree, before the routes of a virtual host, may look at headers
//! alone. So it looks at `x-envoy-external-address`: the address that a listener believes to be the caller's, which Envoy
//! sets itself, over whatever the caller wrote there.

use std::cmp::Reverse;

use envoy_types::pb::envoy::config::core::v3::CidrRange;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteList};
use envoy_types::pb::envoy::extensions::matching::input_matchers::ip::v3::Ip;
use envoy_types::pb::envoy::r#type::matcher::v3::HttpRequestHeaderMatchInput;
use envoy_types::pb::google::protobuf::UInt32Value;
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3::Matcher;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::predicate::{
    MatchType, SinglePredicate, single_predicate,
};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::{FieldMatcher, Predicate};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::{MatcherList, MatcherType, OnMatch, on_match};
use ipnet::IpNet;

use crate::translate::packed;

const CALLER: &str = "x-envoy-external-address";

/// A route, and the ranges that the caller's address must lie in; none is any.
pub(super) type Ranged<'a> = (&'a [IpNet], Route);

/// A tree that asks for the routes in their order, each for its callers alone. None, where all are for any caller.
pub(super) fn tree(routes: &[Ranged<'_>]) -> Option<Matcher> {
    let mut ranges: Vec<IpNet> = routes.iter().flat_map(|(ranges, _)| *ranges).map(IpNet::trunc).collect();
    // The first that fits decides: one range lies within another, or beside it.
    ranges.sort_unstable_by_key(|range| (Reverse(range.prefix_len()), *range));
    ranges.dedup();
    let mut matchers: Vec<(Vec<usize>, Vec<IpNet>)> = Vec::new();
    for range in ranges {
        let open = |(of, _): &Ranged<'_>| of.is_empty() || of.iter().any(|other| other.trunc().contains(&range));
        let open: Vec<usize> = (0..routes.len()).filter(|at| open(&routes[*at])).collect();
        match matchers.last_mut() {
            Some((same, ranges)) if *same == open => ranges.push(range),
            _ => matchers.push((open, vec![range])),
        }
    }
    if matchers.is_empty() {
        return None;
    }
    let matchers = matchers.into_iter().map(|(open, ranges)| FieldMatcher {
        predicate: Some(lies_in(&ranges)),
        on_match: Some(list(open.into_iter().map(|at| &routes[at].1))),
    });
    let rest = list(routes.iter().filter(|(ranges, _)| ranges.is_empty()).map(|(_, route)| route));
    Some(Matcher {
        matcher_type: Some(MatcherType::MatcherList(MatcherList { matchers: matchers.collect() })),
        on_no_match: Some(Box::new(rest)),
    })
}

fn lies_in(ranges: &[IpNet]) -> Predicate {
    let caller = HttpRequestHeaderMatchInput { header_name: CALLER.to_owned() };
    let range = |range: &IpNet| CidrRange {
        address_prefix: range.network().to_string(),
        prefix_len: Some(UInt32Value { value: range.prefix_len().into() }),
    };
    let ranges = Ip { cidr_ranges: ranges.iter().map(range).collect(), stat_prefix: "caller".to_owned() };
    Predicate {
        match_type: Some(MatchType::SinglePredicate(SinglePredicate {
            input: Some(extension("caller", packed(&caller))),
            matcher: Some(single_predicate::Matcher::CustomMatch(extension("ranges", packed(&ranges)))),
        })),
    }
}

fn list<'a>(routes: impl Iterator<Item = &'a Route>) -> OnMatch {
    let routes = RouteList { routes: routes.cloned().collect() };
    OnMatch { on_match: Some(on_match::OnMatch::Action(extension("routes", packed(&routes)))), ..Default::default() }
}

fn extension(name: &str, config: envoy_types::pb::google::protobuf::Any) -> TypedExtensionConfig {
    TypedExtensionConfig { name: name.to_owned(), typed_config: Some(config) }
}
