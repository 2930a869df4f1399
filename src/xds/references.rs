//! What resources refer to, found inside their messages.
//!
//! PURE. Only what comes over the stream that the resource itself came over (`ads`, `self`, or no source said) counts:
//! what a file or another server brings is nothing that a snapshot could hold.

use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster};
use envoy_types::pb::envoy::config::core::v3::{
    ConfigSource, TransportSocket, config_source::ConfigSourceSpecifier, transport_socket,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, Listener, filter};
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteList, ScopedRouteConfiguration, route, route_action,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier, http_filter, scoped_routes,
};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, UpstreamTlsContext,
    common_tls_context::ValidationContextType,
};
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::xds::r#type::matcher::v3::Matcher;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::{MatcherType, OnMatch, matcher_tree::TreeType, on_match};
use prost::Message;

use super::resource::Reference;
use super::{ResourceError, ResourceType};

/// Of a cluster: its endpoints, and the secrets of its TLS.
pub(super) fn of_cluster(cluster: &Cluster) -> Result<Vec<Reference>, ResourceError> {
    let mut found = Vec::new();
    let eds = cluster::DiscoveryType::Eds as i32;
    let is_eds = matches!(cluster.cluster_discovery_type, Some(cluster::ClusterDiscoveryType::Type(t)) if t == eds);
    let config = cluster.eds_cluster_config.as_ref();
    if is_eds && is_ours(config.and_then(|config| config.eds_config.as_ref())) {
        let name = config.map(|config| config.service_name.as_str()).filter(|name| !name.is_empty());
        found.push((ResourceType::Endpoint, name.unwrap_or(&cluster.name).into()));
    }
    let reading = Reading { resource_type: ResourceType::Cluster, name: &cluster.name };
    let sockets = cluster.transport_socket.iter();
    for socket in sockets.chain(cluster.transport_socket_matches.iter().filter_map(|m| m.transport_socket.as_ref())) {
        reading.secrets(socket, &mut found)?;
    }
    Ok(found)
}

/// Of a listener: routes, clusters, filters and secrets.
pub(super) fn of_listener(listener: &Listener) -> Result<Vec<Reference>, ResourceError> {
    let mut found = Vec::new();
    let reading = Reading { resource_type: ResourceType::Listener, name: &listener.name };
    if let Some(api) = listener.api_listener.as_ref().and_then(|api| api.api_listener.as_ref()) {
        reading.filter(api, &mut found)?;
    }
    for chain in listener.filter_chains.iter().chain(&listener.default_filter_chain) {
        for Filter { name, config_type } in &chain.filters {
            match config_type {
                Some(filter::ConfigType::TypedConfig(any)) => reading.filter(any, &mut found)?,
                Some(filter::ConfigType::ConfigDiscovery(source)) if is_ours(source.config_source.as_ref()) => {
                    found.push((ResourceType::ExtensionConfig, name.as_str().into()));
                }
                Some(filter::ConfigType::ConfigDiscovery(_)) | None => {}
            }
        }
        if let Some(socket) = &chain.transport_socket {
            reading.secrets(socket, &mut found)?;
        }
    }
    Ok(found)
}

/// Of a route configuration: every cluster that it may send a request to.
pub(super) fn of_routes(config: &RouteConfiguration) -> Result<Vec<Reference>, ResourceError> {
    let reading = Reading { resource_type: ResourceType::Route, name: &config.name };
    let mut in_trees = Vec::new();
    for tree in config.virtual_hosts.iter().filter_map(|virtual_host| virtual_host.matcher.as_ref()) {
        reading.routes_in(tree, &mut in_trees)?;
    }
    let mut names: Vec<&str> = Vec::new();
    names.extend(config.request_mirror_policies.iter().map(|policy| policy.cluster.as_str()));
    names.extend(in_trees.iter().map(String::as_str));
    for virtual_host in &config.virtual_hosts {
        names.extend(virtual_host.request_mirror_policies.iter().map(|policy| policy.cluster.as_str()));
        virtual_host.routes.iter().for_each(|route| names_in_route(route, &mut names));
    }
    // Thousands of hosts may lead to a few clusters.
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().filter(|name| !name.is_empty()).map(|name| (ResourceType::Cluster, name.into())).collect())
}

/// Of a scope: its route configuration.
pub(super) fn of_scope(scope: &ScopedRouteConfiguration) -> Vec<Reference> {
    let name = Some(scope.route_configuration_name.as_str()).filter(|name| !name.is_empty());
    name.map(|name| (ResourceType::Route, name.into())).into_iter().collect()
}

fn names_in_route<'a>(route: &'a Route, names: &mut Vec<&'a str>) {
    if let Some(route::Action::Route(action)) = &route.action {
        names_in_action(action, names);
    }
}

fn names_in_action<'a>(action: &'a RouteAction, names: &mut Vec<&'a str>) {
    use route_action::ClusterSpecifier;
    match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => names.push(name),
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            names.extend(weighted.clusters.iter().map(|cluster| cluster.name.as_str()));
        }
        // Chosen at run time by a header or a plugin: nothing to check beforehand.
        Some(
            ClusterSpecifier::ClusterHeader(_)
            | ClusterSpecifier::ClusterSpecifierPlugin(_)
            | ClusterSpecifier::InlineClusterSpecifierPlugin(_),
        )
        | None => {}
    }
    names.extend(action.request_mirror_policies.iter().map(|policy| policy.cluster.as_str()));
}

fn is_ours(source: Option<&ConfigSource>) -> bool {
    let source = source.and_then(|source| source.config_source_specifier.as_ref());
    source.is_none_or(|source| matches!(source, ConfigSourceSpecifier::Ads(_) | ConfigSourceSpecifier::Self_(_)))
}

/// The resource that is being read, for errors.
struct Reading<'a> {
    resource_type: ResourceType,
    name: &'a str,
}

impl Reading<'_> {
    /// The message in an `Any`, if it is of that type.
    fn inside<M: Message + Default>(&self, any: &Any, what: &'static str) -> Result<Option<M>, ResourceError> {
        if any.type_url.rsplit('/').next() != Some(what) {
            return Ok(None);
        }
        M::decode(any.value.as_slice()).map(Some).map_err(|error| ResourceError::Inside {
            resource_type: self.resource_type,
            name: self.name.to_owned(),
            what,
            message: error.to_string(),
        })
    }

    fn filter(&self, any: &Any, found: &mut Vec<Reference>) -> Result<(), ResourceError> {
        const MANAGER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
        const TCP_PROXY: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
        if let Some(manager) = self.inside::<HttpConnectionManager>(any, MANAGER)? {
            in_manager(&manager, found)?;
        }
        if let Some(proxy) = self.inside::<TcpProxy>(any, TCP_PROXY)? {
            let cluster = |name: &str| (ResourceType::Cluster, Arc::from(name));
            match &proxy.cluster_specifier {
                Some(tcp_proxy::ClusterSpecifier::Cluster(name)) => found.push(cluster(name)),
                Some(tcp_proxy::ClusterSpecifier::WeightedClusters(weighted)) => {
                    found.extend(weighted.clusters.iter().map(|weight| cluster(&weight.name)));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// The clusters of the routes that a matcher tree may end in.
    fn routes_in(&self, tree: &Matcher, names: &mut Vec<String>) -> Result<(), ResourceError> {
        let mut ends: Vec<&OnMatch> = tree.on_no_match.iter().map(|end| &**end).collect();
        match &tree.matcher_type {
            Some(MatcherType::MatcherList(list)) => {
                ends.extend(list.matchers.iter().filter_map(|m| m.on_match.as_ref()))
            }
            Some(MatcherType::MatcherTree(tree)) => match &tree.tree_type {
                Some(TreeType::ExactMatchMap(map) | TreeType::PrefixMatchMap(map)) => ends.extend(map.map.values()),
                // What an extension ends in is its own affair.
                Some(TreeType::CustomMatch(_)) | None => {}
            },
            None => {}
        }
        for end in ends {
            match &end.on_match {
                Some(on_match::OnMatch::Matcher(tree)) => self.routes_in(tree, names)?,
                Some(on_match::OnMatch::Action(action)) => {
                    let Some(any) = &action.typed_config else { continue };
                    let one = self.inside::<Route>(any, "envoy.config.route.v3.Route")?;
                    let list = self.inside::<RouteList>(any, "envoy.config.route.v3.RouteList")?;
                    let mut found = Vec::new();
                    let routes = one.iter().chain(list.iter().flat_map(|list| &list.routes));
                    routes.for_each(|route| names_in_route(route, &mut found));
                    names.extend(found.into_iter().map(str::to_owned));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn secrets(&self, socket: &TransportSocket, found: &mut Vec<Reference>) -> Result<(), ResourceError> {
        const UPSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
        const DOWNSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
        let Some(transport_socket::ConfigType::TypedConfig(any)) = &socket.config_type else { return Ok(()) };
        let up = self.inside::<UpstreamTlsContext>(any, UPSTREAM)?.and_then(|context| context.common_tls_context);
        let down = self.inside::<DownstreamTlsContext>(any, DOWNSTREAM)?.and_then(|context| context.common_tls_context);
        for context in up.iter().chain(&down) {
            in_tls(context, found);
        }
        Ok(())
    }
}

fn in_manager(manager: &HttpConnectionManager, found: &mut Vec<Reference>) -> Result<(), ResourceError> {
    let route = |name: &str| (ResourceType::Route, Arc::from(name));
    match &manager.route_specifier {
        Some(RouteSpecifier::Rds(rds)) if is_ours(rds.config_source.as_ref()) => {
            found.push(route(&rds.route_config_name));
        }
        Some(RouteSpecifier::RouteConfig(config)) => found.extend(of_routes(config)?),
        Some(RouteSpecifier::ScopedRoutes(scoped)) => {
            if let Some(scoped_routes::ConfigSpecifier::ScopedRouteConfigurationsList(list)) = &scoped.config_specifier
            {
                found.extend(list.scoped_route_configurations.iter().flat_map(of_scope));
            }
        }
        Some(RouteSpecifier::Rds(_)) | None => {}
    }
    for filter in &manager.http_filters {
        if let Some(http_filter::ConfigType::ConfigDiscovery(source)) = &filter.config_type
            && is_ours(source.config_source.as_ref())
        {
            found.push((ResourceType::ExtensionConfig, filter.name.as_str().into()));
        }
    }
    Ok(())
}

fn in_tls(context: &CommonTlsContext, found: &mut Vec<Reference>) {
    let mut secret = |config: &SdsSecretConfig| {
        // Without a source the secret is one of the bootstrap's.
        if config.sds_config.is_some() && is_ours(config.sds_config.as_ref()) {
            found.push((ResourceType::Secret, config.name.as_str().into()));
        }
    };
    context.tls_certificate_sds_secret_configs.iter().for_each(&mut secret);
    match &context.validation_context_type {
        Some(ValidationContextType::ValidationContextSdsSecretConfig(config)) => secret(config),
        Some(ValidationContextType::CombinedValidationContext(combined)) => {
            combined.validation_context_sds_secret_config.iter().for_each(&mut secret);
        }
        Some(_) | None => {}
    }
}
