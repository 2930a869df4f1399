//! Raw Envoy configuration (`envoy:` in the specs): which messages it may be merged into, and what in them is Serin's.
//!
//! PURE. Owns the limits of a patch: with any patch a proxy still asks Serin for its routes and endpoints, and a route
//! still leads where the release says. Must not know where patches come from, nor how the messages are built.

use crate::descriptors::merge::{self, Fault, Terms};
use crate::descriptors::{DescriptorError, Violation, check};
use crate::model::PatchTarget;
use serde_json::Value;

const NAMED: &str = "it is named by the spec";
const PLAN: &str = "where requests go is what releases decide";
const EDS: &str = "Serin gives the endpoints; list them in `versions`";
const RDS: &str = "Serin gives the routes of the `services`";

/// The message that a patch is merged into, by its full name.
pub fn message(target: PatchTarget) -> &'static str {
    match target {
        PatchTarget::Listener => "envoy.config.listener.v3.Listener",
        PatchTarget::FilterChain => "envoy.config.listener.v3.FilterChain",
        PatchTarget::ConnectionManager => {
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
        }
        PatchTarget::RouteConfiguration => "envoy.config.route.v3.RouteConfiguration",
        PatchTarget::Cluster => "envoy.config.cluster.v3.Cluster",
        PatchTarget::Route => "envoy.config.route.v3.Route",
        PatchTarget::VirtualHost => "envoy.config.route.v3.VirtualHost",
    }
}

/// What of it is Serin's. A list that ends in what takes every request or connection keeps its end.
fn terms(target: PatchTarget) -> Terms {
    let (owned, before_last): (&[_], &[_]) = match target {
        PatchTarget::Listener => (&[("name", NAMED), ("address", "write it as `bind`")], &[]),
        PatchTarget::FilterChain => (&[], &["filters"]),
        PatchTarget::ConnectionManager => {
            (&[("rds", RDS), ("route_config", RDS), ("scoped_routes", RDS)], &["http_filters"])
        }
        PatchTarget::RouteConfiguration => (
            &[
                ("name", NAMED),
                ("virtual_hosts", RDS),
                ("vhds", RDS),
                ("validate_clusters", "without it a route to nowhere would count as in force"),
            ],
            &[],
        ),
        PatchTarget::Cluster => (
            &[
                ("name", NAMED),
                ("type", EDS),
                ("cluster_type", EDS),
                ("eds_cluster_config", EDS),
                ("load_assignment", EDS),
            ],
            &[],
        ),
        PatchTarget::Route => (
            &[
                ("match", "the release counts on all of the service's requests"),
                ("redirect", PLAN),
                ("direct_response", PLAN),
                ("filter_action", PLAN),
                ("non_forwarding_action", PLAN),
                ("route.cluster", PLAN),
                ("route.cluster_header", PLAN),
                ("route.weighted_clusters", PLAN),
                ("route.cluster_specifier_plugin", PLAN),
                ("route.inline_cluster_specifier_plugin", PLAN),
            ],
            &[],
        ),
        PatchTarget::VirtualHost => {
            (&[("name", NAMED), ("domains", "write them as `hosts`"), ("matcher", PLAN)], &["routes"])
        }
    };
    // A router of one's own, with other settings, is still a router; a connection manager need not ask for routes.
    Terms { owned, before_last, replaced_by_name: &["http_filters"] }
}

/// Everything that is wrong with a patch by itself.
pub fn faults(target: PatchTarget, patch: &Value) -> Vec<Fault> {
    merge::faults(message(target), patch, terms(target)).expect("a message of the API, which a test looks up")
}

/// A message with a patch merged into it.
#[derive(Debug, Clone, PartialEq)]
pub struct Patched {
    /// Encoded; the same input gives the same bytes.
    pub bytes: Vec<u8>,
    /// The rules of Envoy's API that only the patch has made it break.
    pub violations: Vec<Violation>,
}

/// Merges a patch into an encoded message.
///
/// # Errors
/// When the patch has [`faults`], or what comes of it is nested too deep to be read.
pub fn apply(target: PatchTarget, bytes: &[u8], patch: &Value) -> Result<Patched, DescriptorError> {
    let name = message(target);
    let merged = merge::merge(name, bytes, patch, terms(target))?;
    let mut violations = check(name, &merged)?;
    if !violations.is_empty() {
        let before = check(name, bytes)?;
        violations.retain(|violation| !before.contains(violation));
    }
    Ok(Patched { bytes: merged, violations })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::descriptors::pool;

    const ALL: [PatchTarget; 7] = [
        PatchTarget::Listener,
        PatchTarget::FilterChain,
        PatchTarget::ConnectionManager,
        PatchTarget::RouteConfiguration,
        PatchTarget::Cluster,
        PatchTarget::Route,
        PatchTarget::VirtualHost,
    ];

    #[test]
    fn what_is_owned_exists() {
        for target in ALL {
            let message = pool().get_message_by_name(message(target)).expect("a message of the API");
            for (path, _) in terms(target).owned {
                let mut within = Some(message.clone());
                for name in path.split('.') {
                    let field = within.and_then(|m| m.get_field_by_name(name)).unwrap_or_else(|| panic!("{path}"));
                    within = field.kind().as_message().cloned();
                }
            }
            for name in terms(target).before_last {
                assert!(message.get_field_by_name(name).is_some_and(|field| field.is_list()), "{name}");
            }
        }
    }

    /// When Envoy's API grows another way to route, it is to be thought about.
    #[test]
    fn every_way_to_route_is_owned() {
        for (target, path, group) in [
            (PatchTarget::Route, "", "action"),
            (PatchTarget::Route, "route.", "cluster_specifier"),
            (PatchTarget::ConnectionManager, "", "route_specifier"),
            (PatchTarget::Cluster, "", "cluster_discovery_type"),
        ] {
            let mut message = pool().get_message_by_name(message(target)).expect("a message of the API");
            if path == "route." {
                let field = message.get_field_by_name("route").expect("a field");
                message = field.kind().as_message().expect("a message").clone();
            }
            let oneof = message.oneofs().find(|oneof| oneof.name() == group).expect("a group");
            let ways: BTreeSet<String> = oneof.fields().map(|field| format!("{path}{}", field.name())).collect();
            let owned: BTreeSet<String> = terms(target).owned.iter().map(|(path, _)| (*path).to_owned()).collect();
            let open: Vec<&String> = ways.difference(&owned).filter(|way| *way != "route").collect();
            assert!(open.is_empty(), "{open:?}");
        }
    }

    #[test]
    fn only_what_the_patch_has_broken_is_its_fault() {
        use serde_json::json;
        // Nameless already.
        let patched = apply(PatchTarget::Cluster, b"", &json!({"lb_policy": 99})).expect("it fits");
        let paths: Vec<&str> = patched.violations.iter().map(|violation| violation.path.as_str()).collect();
        assert_eq!(paths, ["lb_policy"]);
        assert!(apply(PatchTarget::Cluster, b"", &json!({"name": "a"})).is_err());
    }
}
