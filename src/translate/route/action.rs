//! Where the requests of a route go, and how. PURE.

use std::collections::BTreeSet;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{
    HeaderValue, HeaderValueOption, RuntimeFractionalPercent, header_value_option::HeaderAppendAction,
};
use envoy_types::pb::envoy::config::route::v3::route_action::hash_policy::{
    ConnectionProperties, Cookie, CookieAttribute, Header, PolicySpecifier,
};
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, HashPolicy, RequestMirrorPolicy};
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::{ClusterWeight, RandomValueSpecifier};
use envoy_types::pb::envoy::config::route::v3::{RetryPolicy, Route, RouteAction, RouteMatch, WeightedCluster, route};
use envoy_types::pb::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
use envoy_types::pb::google::protobuf::{BoolValue, UInt32Value};

use super::matching;
use crate::model::{
    LoadBalancing, Mirrored, Retries, Routing, Service, Sticky, StickyCookie, Targeted, UserKey, Weight,
};
use crate::translate::{cluster_name, duration};

/// Versions and their parts of a route's requests, which sum to all of them.
pub(in crate::translate) type Parts<'a> = Vec<(&'a str, Weight)>;

/// How the requests that nobody chose are shared out.
pub(in crate::translate) fn shared(routing: &Routing) -> Parts<'_> {
    routing.shares.iter().map(|share| (share.version.as_str(), share.weight)).collect()
}

/// Where chosen requests go: never less of them to the version than of all others.
pub(in crate::translate) fn chosen<'a>(routing: &'a Routing, of: &'a Targeted) -> Parts<'a> {
    let part = of.rule.strength.max(routing.weight_of(&of.version));
    match routing.stable() {
        Some(stable) if stable != of.version => vec![(of.version.as_str(), part), (stable, part.rest())],
        _ => vec![(of.version.as_str(), Weight::FULL)],
    }
}

/// Where those go that are shown what comes.
pub(super) fn preview(routing: &Routing) -> Parts<'_> {
    let version = routing.preview.as_deref().or_else(|| routing.stable());
    version.map(|version| (version, Weight::FULL)).into_iter().collect()
}

/// What a request's place among the parts is decided by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key<'a> {
    /// By what users stay with what they were given.
    Sticky(&'a Sticky),
    /// By what a user is told from others.
    User(&'a UserKey),
}

/// Routes of the same name for these requests: one, or where a cookie is issued one for those without it before the one
/// for those who have it.
pub(super) fn routes(
    service: &Service,
    name: &str,
    requests: RouteMatch,
    parts: &Parts<'_>,
    key: Option<Key<'_>>,
) -> Vec<Route> {
    let served = parts.iter().filter(|(_, part)| *part > Weight::ZERO).count();
    let mut routes = Vec::new();
    if let Some(Key::Sticky(Sticky::Cookie(cookie @ StickyCookie { ttl: Some(ttl), .. }))) = key
        && served > 1
    {
        // Envoy issues a cookie where it balances the load by it, but not where it chooses a version by it. The id of the
        // request is as good: the value of a header has the same hash as that of a cookie.
        let mut without = requests.clone();
        without.headers.push(matching::without_cookie(&cookie.name));
        without.headers.push(matching::with_header(REQUEST_ID));
        let id = PolicySpecifier::Header(Header { header_name: REQUEST_ID.to_owned(), ..Default::default() });
        let mut issuing = route(service, name, without, parts, Some(id));
        issuing.response_headers_to_add.push(issued(cookie, *ttl));
        routes.push(issuing);
    }
    let key = key.filter(|_| served > 1 || is_by_hash(service.load_balancing)).map(policy);
    routes.push(route(service, name, requests, parts, key));
    routes
}

/// Set by Envoy itself, over whatever a caller from outside wrote there.
const REQUEST_ID: &str = "x-request-id";

/// A route with all that the service's spec says of its requests.
fn route(
    service: &Service,
    name: &str,
    requests: RouteMatch,
    parts: &Parts<'_>,
    key: Option<PolicySpecifier>,
) -> Route {
    let action = RouteAction {
        // Zero is "no limit". Without one, a quiet stream may live as well, which Envoy otherwise cuts after 5 minutes.
        timeout: Some(duration(service.timeout.unwrap_or(Duration::ZERO))),
        idle_timeout: service.timeout.is_none().then(|| duration(Duration::ZERO)),
        // None unless the spec asks for it: a retry that succeeds at the baseline would hide what the canary did wrong.
        retry_policy: service.retries.as_ref().map(retry_policy),
        cluster_specifier: Some(destination(service, parts, key.is_some(), true)),
        hash_policy: key
            .into_iter()
            .map(|of| HashPolicy { policy_specifier: Some(of), ..Default::default() })
            .collect(),
        ..Default::default()
    };
    let (add, remove) = match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(_)) => {
            let only = parts.iter().find(|(_, part)| *part > Weight::ZERO);
            only.map(|(version, _)| features(service, version)).unwrap_or_default()
        }
        _ => Default::default(),
    };
    Route {
        name: name.to_owned(),
        r#match: Some(requests),
        request_headers_to_add: add,
        request_headers_to_remove: remove,
        action: Some(route::Action::Route(action)),
        ..Default::default()
    }
}

/// The cookie that a caller without one is given, as Envoy itself words it.
fn issued(StickyCookie { name, path, attributes, .. }: &StickyCookie, ttl: Duration) -> HeaderValueOption {
    let mut value = format!("{name}=%REQ({REQUEST_ID})%");
    if !ttl.is_zero() {
        value.push_str(&format!("; Max-Age={}", ttl.as_secs()));
    }
    value.extend(path.iter().map(|path| format!("; Path={}", literal(path))));
    for (attribute, set) in attributes {
        value.push_str(&format!("; {}", literal(attribute)));
        if !set.is_empty() {
            value.push_str(&format!("={}", literal(set)));
        }
    }
    value.push_str("; HttpOnly");
    let header = HeaderValue { key: "set-cookie".to_owned(), value, ..Default::default() };
    HeaderValueOption { header: Some(header), ..Default::default() }
}

/// A percent sign begins a command in Envoy's header values.
fn literal(text: &str) -> String {
    text.replace('%', "%%")
}

/// The one version that gets all, or several by weight.
pub(in crate::translate) fn destination(
    service: &Service,
    parts: &[(&str, Weight)],
    by_key: bool,
    with_features: bool,
) -> ClusterSpecifier {
    let served: Vec<(&str, Weight)> = parts.iter().filter(|(_, part)| *part > Weight::ZERO).copied().collect();
    if let [(only, _)] = served.as_slice() {
        return ClusterSpecifier::Cluster(cluster_name(&service.name, only));
    }
    // The plan's order (canary first) and its constant total are kept: Envoy walks the list with `hash % total`, and
    // only so are the users of a small canary among those of a bigger one.
    let weighted = |(version, part): (&str, Weight)| {
        let (add, remove) = if with_features { features(service, version) } else { Default::default() };
        ClusterWeight {
            name: cluster_name(&service.name, version),
            weight: Some(UInt32Value { value: part.hundredths() }),
            request_headers_to_add: add,
            request_headers_to_remove: remove,
            ..Default::default()
        }
    };
    ClusterSpecifier::WeightedClusters(WeightedCluster {
        clusters: served.into_iter().map(weighted).collect(),
        random_value_specifier: by_key.then_some(RandomValueSpecifier::UseHashPolicy(BoolValue { value: true })),
        ..Default::default()
    })
}

/// The headers that a request bears for a version's features: those that it gets, whatever the caller wrote there, and
/// those that it loses.
fn features(service: &Service, version: &str) -> (Vec<HeaderValueOption>, Vec<String>) {
    let header = |name: &str| format!("x-feature-{}", name.to_ascii_lowercase());
    let set = service.versions.get(version).map(|version| &version.feature_flags);
    let mut add = Vec::new();
    for (name, value) in set.into_iter().flatten() {
        let value = HeaderValue { key: header(name), value: literal(value), ..Default::default() };
        add.push(HeaderValueOption {
            header: Some(value),
            append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
            keep_empty_value: true,
            ..Default::default()
        });
    }
    let is_set = |name: &str| add.iter().filter_map(|of| of.header.as_ref()).any(|of| of.key == name);
    let remove: BTreeSet<String> = service.features().into_iter().map(header).filter(|name| !is_set(name)).collect();
    (add, remove.into_iter().collect())
}

fn is_by_hash(load_balancing: LoadBalancing) -> bool {
    match load_balancing {
        LoadBalancing::RingHash | LoadBalancing::Maglev => true,
        LoadBalancing::LeastRequest | LoadBalancing::RoundRobin | LoadBalancing::Random => false,
    }
}

fn policy(key: Key<'_>) -> PolicySpecifier {
    let header = |name: &str| PolicySpecifier::Header(Header { header_name: name.to_owned(), ..Default::default() });
    match key {
        Key::User(UserKey::Header(name)) | Key::Sticky(Sticky::Header(name)) => header(name),
        Key::User(UserKey::Cookie(name)) => {
            PolicySpecifier::Cookie(Cookie { name: name.clone(), ..Default::default() })
        }
        Key::Sticky(Sticky::Cookie(StickyCookie { name, ttl, path, attributes })) => {
            let attribute =
                |(name, value): (&String, &String)| CookieAttribute { name: name.clone(), value: value.clone() };
            PolicySpecifier::Cookie(Cookie {
                name: name.clone(),
                ttl: ttl.map(duration),
                path: path.clone().unwrap_or_default(),
                attributes: attributes.iter().map(attribute).collect(),
            })
        }
        Key::Sticky(Sticky::SourceIp) => {
            PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true })
        }
    }
}

/// Copies to a version, for the host that the request is for.
pub(super) fn mirror(service: &Service, Mirrored { version, percent }: &Mirrored) -> RequestMirrorPolicy {
    RequestMirrorPolicy {
        cluster: cluster_name(&service.name, version),
        runtime_fraction: Some(RuntimeFractionalPercent {
            default_value: Some(FractionalPercent {
                numerator: percent.hundredths(),
                denominator: DenominatorType::TenThousand.into(),
            }),
            ..Default::default()
        }),
        disable_shadow_host_suffix_append: true,
        ..Default::default()
    }
}

fn retry_policy(Retries { attempts, on, per_try_timeout }: &Retries) -> RetryPolicy {
    RetryPolicy {
        retry_on: on.join(","),
        num_retries: Some(UInt32Value { value: *attempts }),
        per_try_timeout: per_try_timeout.map(duration),
        ..Default::default()
    }
}
