//! Which kinds of resources there are, and the order in which they go.

use std::fmt;

use serde::Serialize;

/// A type of resource, in the order in which they are sent (make before break).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// `envoy.config.cluster.v3.Cluster` (CDS).
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment` (EDS).
    Endpoint,
    /// `envoy.extensions.transport_sockets.tls.v3.Secret` (SDS).
    Secret,
    /// `envoy.service.runtime.v3.Runtime` (RTDS).
    Runtime,
    /// `envoy.config.core.v3.TypedExtensionConfig` (ECDS).
    ExtensionConfig,
    /// Any other type, by its URL: served as it is, by name or by wildcard, before what may refer to it.
    Other(&'static str),
    /// `envoy.config.listener.v3.Listener` (LDS).
    Listener,
    /// `envoy.config.route.v3.ScopedRouteConfiguration` (SRDS).
    ScopedRoute,
    /// `envoy.config.route.v3.RouteConfiguration` (RDS).
    Route,
    /// `envoy.config.route.v3.VirtualHost` (VHDS).
    VirtualHost,
}

impl ResourceType {
    /// The four that make a request find its way, in sending order.
    pub const CORE: [ResourceType; 4] = [Self::Cluster, Self::Endpoint, Self::Listener, Self::Route];

    /// All that have a name here, in sending order.
    pub const ALL: [ResourceType; 9] = [
        Self::Cluster,
        Self::Endpoint,
        Self::Secret,
        Self::Runtime,
        Self::ExtensionConfig,
        Self::Listener,
        Self::ScopedRoute,
        Self::Route,
        Self::VirtualHost,
    ];

    /// The type URL, as in `Any` and in discovery requests.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Runtime => "type.googleapis.com/envoy.service.runtime.v3.Runtime",
            Self::ExtensionConfig => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Self::Other(url) => url,
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::ScopedRoute => "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::VirtualHost => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
        }
    }

    /// The type of a type URL, if it is one of [`ResourceType::ALL`].
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.type_url() == url)
    }

    /// The service's short name: CDS, EDS, LDS, RDS, …; of another type the last word of its URL.
    pub fn short(self) -> &'static str {
        match self {
            Self::Cluster => "CDS",
            Self::Endpoint => "EDS",
            Self::Secret => "SDS",
            Self::Runtime => "RTDS",
            Self::ExtensionConfig => "ECDS",
            Self::Other(url) => url.rsplit(['.', '/']).next().unwrap_or(url),
            Self::Listener => "LDS",
            Self::ScopedRoute => "SRDS",
            Self::Route => "RDS",
            Self::VirtualHost => "VHDS",
        }
    }

    /// Whether it decides where requests go, and so comes after what it may name, and goes before it.
    pub fn is_routing(self) -> bool {
        matches!(self, Self::Listener | Self::ScopedRoute | Self::Route | Self::VirtualHost)
    }

    /// Whether a state-of-the-world response lists the full state, so that what is missing from it is deleted. The
    /// protocol's text names clusters and listeners; Envoy treats scoped routes alike.
    pub fn is_full_state(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener | Self::ScopedRoute)
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

impl Serialize for ResourceType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Cluster => "cluster",
            Self::Endpoint => "endpoint",
            Self::Secret => "secret",
            Self::Runtime => "runtime",
            Self::ExtensionConfig => "extensionconfig",
            Self::Other(url) => url,
            Self::Listener => "listener",
            Self::ScopedRoute => "scopedroute",
            Self::Route => "route",
            Self::VirtualHost => "virtualhost",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_url_and_sent_in_order() {
        for resource_type in ResourceType::ALL {
            assert_eq!(ResourceType::from_type_url(resource_type.type_url()), Some(resource_type));
        }
        assert!(ResourceType::ALL.is_sorted() && ResourceType::CORE.is_sorted());
        assert_eq!(ResourceType::from_type_url("type.googleapis.com/no.Such"), None);
        assert_eq!(ResourceType::Other("type.googleapis.com/a.b.C").short(), "C");
    }
}
