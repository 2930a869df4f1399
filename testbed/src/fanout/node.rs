//! The node that an Envoy sends with its first request: 61 KB, nearly all of it a list of 516 extensions.

use super::message::put;

/// What Envoy 1.40 has.
const EXTENSIONS: usize = 516;

/// Categories and names like Envoy's; each name stands in each category.
const CATEGORIES: [&str; 22] = [
    "envoy.access_loggers",
    "envoy.bootstrap",
    "envoy.clusters",
    "envoy.common.key_value",
    "envoy.filters.http",
    "envoy.filters.listener",
    "envoy.filters.network",
    "envoy.filters.udp_listener",
    "envoy.formatter",
    "envoy.grpc_credentials",
    "envoy.http.stateful_session",
    "envoy.load_balancing_policies",
    "envoy.matching.network.input",
    "envoy.path.rewrite",
    "envoy.rate_limit_descriptors",
    "envoy.request_id",
    "envoy.resolvers",
    "envoy.resource_monitors",
    "envoy.retry_host_predicates",
    "envoy.stats_sinks",
    "envoy.tls.cert_validator",
    "envoy.tracers",
];
const NAMES: [&str; 24] = [
    "adaptive_concurrency",
    "admission_control",
    "bandwidth_limit",
    "buffer",
    "cluster_provided",
    "connection_limit",
    "cors",
    "csrf",
    "decompressor",
    "dynamic_forward_proxy",
    "ext_authz",
    "fault",
    "grpc_json_transcoder",
    "header_to_metadata",
    "health_check",
    "jwt_authn",
    "local_ratelimit",
    "original_dst",
    "proxy_protocol",
    "rbac",
    "router",
    "set_metadata",
    "tls_inspector",
    "zookeeper_proxy",
];

/// All of a Node (`envoy.config.core.v3.Node`) but its id, encoded: it can be appended to any id.
pub fn without_id() -> Vec<u8> {
    let mut node = Vec::new();
    put(&mut node, 2, b"edge");
    let mut locality = Vec::new();
    put(&mut locality, 1, b"eu-central-1");
    put(&mut locality, 2, b"eu-central-1a");
    put(&mut node, 4, &locality);
    put(&mut node, 6, b"envoy");
    let extensions = CATEGORIES.iter().flat_map(|category| NAMES.iter().map(move |name| extension(category, name)));
    for extension in extensions.take(EXTENSIONS) {
        put(&mut node, 9, &extension);
    }
    for feature in ["envoy.lb.does_not_support_overprovisioning", "envoy.lrs.supports_send_all_clusters"] {
        put(&mut node, 10, feature.as_bytes());
    }
    node
}

/// An `Extension`: its name, category and the type that configures it.
fn extension(category: &str, name: &str) -> Vec<u8> {
    let mut extension = Vec::new();
    put(&mut extension, 1, format!("{category}.{name}").as_bytes());
    put(&mut extension, 2, category.as_bytes());
    let area = category.trim_start_matches("envoy.");
    put(&mut extension, 6, format!("envoy.extensions.{area}.{name}.v3.Config").as_bytes());
    extension
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_large_as_a_real_one() {
        assert!(CATEGORIES.len() * NAMES.len() >= EXTENSIONS);
        let length = without_id().len();
        assert!((60_000..62_000).contains(&length), "{length} bytes");
    }
}
