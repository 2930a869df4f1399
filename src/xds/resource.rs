//! A configuration resource: its type, its name, its bytes, the hash of them, and what it refers to.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, ScopedRouteConfiguration};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::service::runtime::v3::Runtime;
use prost::Message;

use super::outgoing::entry;
use super::{ResourceType, ResourceVersion, name, references};

/// What something needs to be there before it is of use.
pub type Reference = (ResourceType, Arc<str>);

/// One resource: encoded once, shared by every snapshot that holds it and every stream that sends it. Cheap to clone.
///
/// Two resources are equal when type, name, version and time to live are.
#[derive(Clone)]
pub struct Resource(Arc<Inner>);

struct Inner {
    resource_type: ResourceType,
    name: Arc<str>,
    aliases: Box<[Arc<str>]>,
    version: ResourceVersion,
    /// As the caller gave it, where it is no hash.
    label: Option<Box<str>>,
    key: u128,
    ttl: Option<Duration>,
    /// A `resources` field of a `DeltaDiscoveryResponse`, in which the one of a `DiscoveryResponse` is the end, and the
    /// body the end of that.
    entry: Bytes,
    any_at: usize,
    body_at: usize,
    refers_to: Box<[Reference]>,
}

/// Why a message is no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// It has no name.
    #[error("a {0} resource has an empty name")]
    Unnamed(ResourceType),
    /// Its name is one that asks for many.
    #[error("a {0} resource is named {1}, which stands for many")]
    Wildcard(ResourceType, String),
    /// Something inside it could not be decoded.
    #[error("{resource_type} {name}: its {what} cannot be decoded: {message}")]
    Inside {
        /// The type.
        resource_type: ResourceType,
        /// The name.
        name: String,
        /// The message inside.
        what: &'static str,
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
    /// A cluster. With `type: EDS` over ADS it refers to its load assignment; with TLS secrets over ADS, to those.
    ///
    /// # Errors
    /// When it has no name, or its TLS context cannot be decoded.
    pub fn cluster(cluster: &Cluster) -> Result<Self, ResourceError> {
        Self::new(ResourceType::Cluster, &cluster.name, cluster.encode_to_vec(), references::of_cluster(cluster)?)
    }

    /// The endpoints of a cluster.
    ///
    /// # Errors
    /// When it has no name.
    pub fn endpoint(assignment: &ClusterLoadAssignment) -> Result<Self, ResourceError> {
        Self::new(ResourceType::Endpoint, &assignment.cluster_name, assignment.encode_to_vec(), Vec::new())
    }

    /// A listener. It refers to the route configurations that its HTTP connection managers ask for over ADS, to the
    /// clusters of those they carry inline and of its TCP proxies, and to the filters and secrets that come over ADS.
    ///
    /// # Errors
    /// When it has no name, or a part of it that may refer to something cannot be decoded.
    pub fn listener(listener: &Listener) -> Result<Self, ResourceError> {
        Self::new(ResourceType::Listener, &listener.name, listener.encode_to_vec(), references::of_listener(listener)?)
    }

    /// A route configuration. It refers to every cluster it may send a request to.
    ///
    /// # Errors
    /// When it has no name, or a matcher tree of it ends in routes that cannot be decoded.
    pub fn route(config: &RouteConfiguration) -> Result<Self, ResourceError> {
        Self::new(ResourceType::Route, &config.name, config.encode_to_vec(), references::of_routes(config)?)
    }

    /// Any resource, from its encoded message and what is known of its references.
    ///
    /// # Errors
    /// When the name is empty, or one that stands for many.
    pub fn new(
        resource_type: ResourceType,
        name: &str,
        body: Vec<u8>,
        refers_to: Vec<Reference>,
    ) -> Result<Self, ResourceError> {
        let name = name::canonical(name);
        if name.is_empty() {
            return Err(ResourceError::Unnamed(resource_type));
        }
        if name == "*" || name::Glob::parse(&name).is_some() {
            return Err(ResourceError::Wildcard(resource_type, name.into_owned()));
        }
        let version = ResourceVersion::of(&body);
        Ok(Self::assemble(resource_type, name.into(), Box::default(), (version, None), None, &body, refers_to))
    }

    /// From encoded bytes, which stay as they are, with all that the typed constructors check.
    ///
    /// # Errors
    /// When the bytes are no message of that type, or the message has no name.
    pub fn decode(resource_type: ResourceType, name: &str, body: &[u8]) -> Result<Self, ResourceError> {
        fn read<M: Message + Default>(of: ResourceType, name: &str, body: &[u8]) -> Result<M, ResourceError> {
            M::decode(body).map_err(|error| ResourceError::Decode {
                resource_type: of,
                name: name.to_owned(),
                message: error.to_string(),
            })
        }
        let of = resource_type;
        let (name, refers_to) = match resource_type {
            ResourceType::Cluster => {
                let cluster = read::<Cluster>(of, name, body)?;
                let refers_to = references::of_cluster(&cluster)?;
                (cluster.name, refers_to)
            }
            ResourceType::Listener => {
                let listener = read::<Listener>(of, name, body)?;
                let refers_to = references::of_listener(&listener)?;
                (listener.name, refers_to)
            }
            ResourceType::Route => {
                let config = read::<RouteConfiguration>(of, name, body)?;
                let refers_to = references::of_routes(&config)?;
                (config.name, refers_to)
            }
            ResourceType::ScopedRoute => {
                let scope = read::<ScopedRouteConfiguration>(of, name, body)?;
                let refers_to = references::of_scope(&scope);
                (scope.name, refers_to)
            }
            ResourceType::Endpoint => (read::<ClusterLoadAssignment>(of, name, body)?.cluster_name, Vec::new()),
            ResourceType::Secret => (read::<Secret>(of, name, body)?.name, Vec::new()),
            ResourceType::Runtime => (read::<Runtime>(of, name, body)?.name, Vec::new()),
            ResourceType::ExtensionConfig => (read::<TypedExtensionConfig>(of, name, body)?.name, Vec::new()),
            ResourceType::VirtualHost | ResourceType::Other(_) => (name.to_owned(), Vec::new()),
        };
        // Encoded anew, a map may come out in another order, and the resource with another version.
        Self::new(of, &name, body.to_vec(), refers_to)
    }

    /// With a version of the caller's own instead of the hash. The same version must always mean the same content.
    #[must_use]
    pub fn with_version(self, version: &str) -> Self {
        let label = ResourceVersion::parse(version).is_none().then(|| version.into());
        let (of, inner) = (ResourceVersion::read(version), &self.0);
        let refers_to = inner.refers_to.to_vec();
        let (name, aliases) = (Arc::clone(&inner.name), inner.aliases.clone());
        Self::assemble(inner.resource_type, name, aliases, (of, label), inner.ttl, self.body(), refers_to)
    }

    /// With further names that clients may ask for it by.
    #[must_use]
    pub fn with_aliases<'a>(self, aliases: impl IntoIterator<Item = &'a str>) -> Self {
        let aliases = aliases.into_iter().map(|alias| name::canonical(alias).into()).collect();
        let inner = &self.0;
        let (name, version, refers_to) = (Arc::clone(&inner.name), inner.version, inner.refers_to.to_vec());
        let version = (version, inner.label.clone());
        Self::assemble(inner.resource_type, name, aliases, version, inner.ttl, self.body(), refers_to)
    }

    /// With a time after which a client that has lost its server is to forget it.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        let inner = &self.0;
        let (name, aliases, refers_to) = (Arc::clone(&inner.name), inner.aliases.clone(), inner.refers_to.to_vec());
        let version = (inner.version, inner.label.clone());
        Self::assemble(inner.resource_type, name, aliases, version, Some(ttl), self.body(), refers_to)
    }

    fn assemble(
        resource_type: ResourceType,
        name: Arc<str>,
        aliases: Box<[Arc<str>]>,
        (version, label): (ResourceVersion, Option<Box<str>>),
        ttl: Option<Duration>,
        body: &[u8],
        mut refers_to: Vec<Reference>,
    ) -> Self {
        for (_, to) in &mut refers_to {
            if let Cow::Owned(canonical) = name::canonical(to) {
                *to = canonical.into();
            }
        }
        refers_to.sort();
        refers_to.dedup();
        let text = label.as_deref().map_or_else(|| version.to_string(), str::to_owned);
        let (entry, any_at) = entry(resource_type.type_url(), &name, &text, &aliases, body);
        let body_at = entry.len() - body.len();
        let refers_to = refers_to.into();
        let key = version.key(resource_type.type_url(), &name);
        Self(Arc::new(Inner {
            resource_type,
            name,
            aliases,
            version,
            label,
            key,
            ttl,
            entry,
            any_at,
            body_at,
            refers_to,
        }))
    }

    /// Its type.
    pub fn resource_type(&self) -> ResourceType {
        self.0.resource_type
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Further names that it answers to.
    pub fn aliases(&self) -> &[Arc<str>] {
        &self.0.aliases
    }

    /// The hash of its bytes, or of the version that its maker gave it.
    pub fn version(&self) -> ResourceVersion {
        self.0.version
    }

    /// The version as clients see it.
    pub fn version_text(&self) -> String {
        self.0.label.as_deref().map_or_else(|| self.0.version.to_string(), str::to_owned)
    }

    /// How long clients may keep it without hearing of it.
    pub fn ttl(&self) -> Option<Duration> {
        self.0.ttl
    }

    /// Its part in the version of a set: another one with the same content but another time to live is sent anew.
    pub(super) fn mark(&self) -> ResourceVersion {
        match self.0.ttl {
            None => self.0.version,
            Some(ttl) => ResourceVersion::NOTHING.with(&format!("{}", ttl.as_nanos()), self.0.version),
        }
    }

    /// Tells it from every other resource, of whatever type.
    pub(super) fn key(&self) -> u128 {
        self.0.key
    }

    /// The encoded message: what goes into `Any.value`.
    pub fn body(&self) -> &[u8] {
        &self.0.entry[self.0.body_at..]
    }

    /// Field 2 (`resources`) of a `DeltaDiscoveryResponse`, without time to live.
    pub(super) fn delta_entry(&self) -> Bytes {
        self.0.entry.clone()
    }

    /// Field 2 (`resources`) of a `DiscoveryResponse`.
    pub(super) fn sotw_entry(&self) -> Bytes {
        self.0.entry.slice(self.0.any_at..)
    }

    /// What it needs to be there before it is of use, sorted, each once.
    pub fn refers_to(&self) -> &[Reference] {
        &self.0.refers_to
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        let key = |r: &Inner| (r.version, r.ttl, r.resource_type);
        Arc::ptr_eq(&self.0, &other.0) || (key(&self.0) == key(&other.0) && self.0.name == other.0.name)
    }
}

impl Eq for Resource {}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}@{}", self.0.resource_type, self.0.name, self.0.version.short())
    }
}

#[cfg(test)]
mod tests;
