//! A configuration resource: its type, its name, its bytes, the hash of them, and what it refers to.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::{RouteAction, RouteConfiguration, route, route_action};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier,
};
use prost::Message;
use serde::Serialize;

/// The types that a client may subscribe to, in the order in which they are sent (make before break).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceType {
    /// `envoy.config.cluster.v3.Cluster` (CDS).
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment` (EDS).
    Endpoint,
    /// `envoy.config.listener.v3.Listener` (LDS).
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration` (RDS).
    Route,
}

impl ResourceType {
    /// All of them, in sending order.
    pub const ALL: [ResourceType; 4] = [Self::Cluster, Self::Endpoint, Self::Listener, Self::Route];

    /// The type URL, as in `Any` and in discovery requests.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// The type of a type URL, if it is one that this server knows.
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.type_url() == url)
    }

    /// The service's short name: CDS, EDS, LDS, RDS.
    pub fn short(self) -> &'static str {
        match self {
            Self::Cluster => "CDS",
            Self::Endpoint => "EDS",
            Self::Listener => "LDS",
            Self::Route => "RDS",
        }
    }

    /// Whether it belongs to the side that is made before anything names it, and broken after.
    pub fn is_cluster_side(self) -> bool {
        matches!(self, Self::Cluster | Self::Endpoint)
    }

    /// Whether a state-of-the-world response lists the full state, so that what is missing from it is deleted.
    pub fn is_full_state(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// The version of a resource, or of a set of them: a 128-bit hash of content (XXH3), written as 32 hex digits. The
/// same content has the same version on every stream, after every restart and on every replica.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceVersion(u128);

impl ResourceVersion {
    /// Of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128(bytes))
    }

    /// Of a set of named versions. The order in which they are given counts; give them sorted by name.
    pub fn of_set<'a>(members: impl IntoIterator<Item = (&'a str, ResourceVersion)>) -> Self {
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        for (name, version) in members {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(&version.0.to_le_bytes());
        }
        Self(hasher.digest128())
    }

    /// From its 32 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
    }

    /// The first 12 of its 32 digits, for people.
    pub fn short(self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ResourceVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One resource: encoded once, shared by every stream that sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    resource_type: ResourceType,
    name: Arc<str>,
    version: ResourceVersion,
    body: Bytes,
    refers_to: Arc<[(ResourceType, Arc<str>)]>,
}

/// Why a message is no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// It has no name.
    #[error("a {0} resource has an empty name")]
    Unnamed(ResourceType),
    /// Something inside it could not be decoded.
    #[error("listener {listener}: its HTTP connection manager cannot be decoded: {message}")]
    ConnectionManager {
        /// The listener's name.
        listener: String,
        /// What prost said.
        message: String,
    },
    /// Stored bytes could not be decoded.
    #[error("the bytes of {resource_type} {name} cannot be decoded: {message}")]
    Decode {
        /// The type.
        resource_type: ResourceType,
        /// The name.
        name: String,
        /// What prost said.
        message: String,
    },
}

impl Resource {
    /// A cluster. With `type: EDS` it refers to its load assignment.
    ///
    /// # Errors
    /// When it has no name.
    pub fn cluster(cluster: &Cluster) -> Result<Self, ResourceError> {
        let mut refers_to = Vec::new();
        if matches!(cluster.cluster_discovery_type, Some(cluster::ClusterDiscoveryType::Type(t)) if t == cluster::DiscoveryType::Eds as i32)
        {
            let eds_name =
                cluster.eds_cluster_config.as_ref().map(|c| c.service_name.as_str()).filter(|n| !n.is_empty());
            refers_to.push((ResourceType::Endpoint, eds_name.unwrap_or(&cluster.name).into()));
        }
        Self::new(ResourceType::Cluster, &cluster.name, cluster.encode_to_vec(), refers_to)
    }

    /// The endpoints of a cluster.
    ///
    /// # Errors
    /// When it has no name.
    pub fn endpoint(assignment: &ClusterLoadAssignment) -> Result<Self, ResourceError> {
        Self::new(ResourceType::Endpoint, &assignment.cluster_name, assignment.encode_to_vec(), Vec::new())
    }

    /// A listener. Its HTTP connection managers refer to the route configurations they ask for, and to the clusters
    /// of those they carry inline.
    ///
    /// # Errors
    /// When it has no name, or a connection manager in it cannot be decoded.
    pub fn listener(listener: &Listener) -> Result<Self, ResourceError> {
        let mut refers_to = Vec::new();
        let chains = listener.filter_chains.iter().chain(&listener.default_filter_chain);
        for filter in chains.flat_map(|chain| &chain.filters) {
            let Some(any) = typed_config(filter) else { continue };
            let manager = HttpConnectionManager::decode(any).map_err(|e| ResourceError::ConnectionManager {
                listener: listener.name.clone(),
                message: e.to_string(),
            })?;
            match &manager.route_specifier {
                Some(RouteSpecifier::Rds(rds)) => {
                    refers_to.push((ResourceType::Route, rds.route_config_name.as_str().into()));
                }
                Some(RouteSpecifier::RouteConfig(config)) => refers_to.extend(clusters_of(config)),
                Some(RouteSpecifier::ScopedRoutes(_)) | None => {}
            }
        }
        Self::new(ResourceType::Listener, &listener.name, listener.encode_to_vec(), refers_to)
    }

    /// A route configuration. It refers to every cluster it may send a request to.
    ///
    /// # Errors
    /// When it has no name.
    pub fn route(config: &RouteConfiguration) -> Result<Self, ResourceError> {
        Self::new(ResourceType::Route, &config.name, config.encode_to_vec(), clusters_of(config))
    }

    /// From stored bytes, with all that the typed constructors check.
    ///
    /// # Errors
    /// When the bytes are no message of that type, or the message has no name.
    pub fn decode(resource_type: ResourceType, name: &str, body: &[u8]) -> Result<Self, ResourceError> {
        let broken = |e: prost::DecodeError| ResourceError::Decode {
            resource_type,
            name: name.to_owned(),
            message: e.to_string(),
        };
        match resource_type {
            ResourceType::Cluster => Self::cluster(&Cluster::decode(body).map_err(broken)?),
            ResourceType::Endpoint => Self::endpoint(&ClusterLoadAssignment::decode(body).map_err(broken)?),
            ResourceType::Listener => Self::listener(&Listener::decode(body).map_err(broken)?),
            ResourceType::Route => Self::route(&RouteConfiguration::decode(body).map_err(broken)?),
        }
    }

    fn new(
        resource_type: ResourceType,
        name: &str,
        body: Vec<u8>,
        mut refers_to: Vec<(ResourceType, Arc<str>)>,
    ) -> Result<Self, ResourceError> {
        if name.is_empty() {
            return Err(ResourceError::Unnamed(resource_type));
        }
        refers_to.sort();
        refers_to.dedup();
        Ok(Self {
            resource_type,
            name: name.into(),
            version: ResourceVersion::of(&body),
            body: body.into(),
            refers_to: refers_to.into(),
        })
    }

    /// Its type.
    pub fn resource_type(&self) -> ResourceType {
        self.resource_type
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The hash of its bytes.
    pub fn version(&self) -> ResourceVersion {
        self.version
    }

    /// The encoded message: what goes into `Any.value`.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// What it needs to be there before it is of use, sorted, each once.
    pub fn refers_to(&self) -> &[(ResourceType, Arc<str>)] {
        &self.refers_to
    }
}

/// The bytes of an HTTP connection manager, if that is what the filter is.
fn typed_config(filter: &envoy_types::pb::envoy::config::listener::v3::Filter) -> Option<&[u8]> {
    use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
    const MANAGER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) if any.type_url.ends_with(MANAGER) => Some(&any.value),
        _ => None,
    }
}

fn clusters_of(config: &RouteConfiguration) -> Vec<(ResourceType, Arc<str>)> {
    let mut names: Vec<&str> = Vec::new();
    for virtual_host in &config.virtual_hosts {
        for policy in &virtual_host.request_mirror_policies {
            names.push(&policy.cluster);
        }
        for route in &virtual_host.routes {
            if let Some(route::Action::Route(action)) = &route.action {
                names_in_action(action, &mut names);
            }
        }
    }
    names.into_iter().filter(|n| !n.is_empty()).map(|n| (ResourceType::Cluster, n.into())).collect()
}

fn names_in_action<'a>(action: &'a RouteAction, names: &mut Vec<&'a str>) {
    use route_action::ClusterSpecifier;
    match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => names.push(name),
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            names.extend(weighted.clusters.iter().map(|c| c.name.as_str()));
        }
        // Chosen at run time by a header or a plugin: nothing to check beforehand.
        Some(
            ClusterSpecifier::ClusterHeader(_)
            | ClusterSpecifier::ClusterSpecifierPlugin(_)
            | ClusterSpecifier::InlineClusterSpecifierPlugin(_),
        )
        | None => {}
    }
    names.extend(action.request_mirror_policies.iter().map(|p| p.cluster.as_str()));
}
