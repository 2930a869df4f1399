//! Which gRPC method asks for what (behaviour 35). Sources: `envoy/service/*/v3/*.proto`.

use crate::xds::ResourceType;

/// What one gRPC method serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Method {
    /// The one type of the service; `None` on the aggregated one.
    pub only: Option<ResourceType>,
    pub form: Form,
}

/// How a method answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Stream,
    Delta,
    Fetch,
}

/// A service: its full name, its type, and its methods `Stream…`, `Delta…` and `Fetch…`, as far as it has them.
type Service = (&'static str, Option<ResourceType>, [Option<&'static str>; 3]);

const SERVICES: [Service; 10] = [
    (
        "envoy.service.discovery.v3.AggregatedDiscoveryService",
        None,
        [Some("StreamAggregatedResources"), Some("DeltaAggregatedResources"), None],
    ),
    (
        "envoy.service.cluster.v3.ClusterDiscoveryService",
        Some(ResourceType::Cluster),
        [Some("StreamClusters"), Some("DeltaClusters"), Some("FetchClusters")],
    ),
    (
        "envoy.service.endpoint.v3.EndpointDiscoveryService",
        Some(ResourceType::Endpoint),
        [Some("StreamEndpoints"), Some("DeltaEndpoints"), Some("FetchEndpoints")],
    ),
    (
        "envoy.service.listener.v3.ListenerDiscoveryService",
        Some(ResourceType::Listener),
        [Some("StreamListeners"), Some("DeltaListeners"), Some("FetchListeners")],
    ),
    (
        "envoy.service.route.v3.RouteDiscoveryService",
        Some(ResourceType::Route),
        [Some("StreamRoutes"), Some("DeltaRoutes"), Some("FetchRoutes")],
    ),
    (
        "envoy.service.route.v3.ScopedRoutesDiscoveryService",
        Some(ResourceType::ScopedRoute),
        [Some("StreamScopedRoutes"), Some("DeltaScopedRoutes"), Some("FetchScopedRoutes")],
    ),
    (
        "envoy.service.route.v3.VirtualHostDiscoveryService",
        Some(ResourceType::VirtualHost),
        [None, Some("DeltaVirtualHosts"), None],
    ),
    (
        "envoy.service.secret.v3.SecretDiscoveryService",
        Some(ResourceType::Secret),
        [Some("StreamSecrets"), Some("DeltaSecrets"), Some("FetchSecrets")],
    ),
    (
        "envoy.service.runtime.v3.RuntimeDiscoveryService",
        Some(ResourceType::Runtime),
        [Some("StreamRuntime"), Some("DeltaRuntime"), Some("FetchRuntime")],
    ),
    (
        "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
        Some(ResourceType::ExtensionConfig),
        [Some("StreamExtensionConfigs"), Some("DeltaExtensionConfigs"), Some("FetchExtensionConfigs")],
    ),
];

/// The full names of all discovery services.
pub const SERVICE_NAMES: [&str; 10] = {
    let mut names = [""; 10];
    let mut at = 0;
    while at < names.len() {
        names[at] = SERVICES[at].0;
        at += 1;
    }
    names
};

impl Method {
    /// Of a request's path, `/service/method`.
    pub(super) fn of(path: &str) -> Option<Self> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        let (_, only, methods) = SERVICES.iter().find(|(name, ..)| *name == service)?;
        let at = methods.iter().position(|name| *name == Some(method))?;
        Some(Self { only: *only, form: [Form::Stream, Form::Delta, Form::Fetch][at] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors;

    #[test]
    fn xds_35_every_service_and_method_is_envoys_own() {
        for (name, only, methods) in SERVICES {
            let service = descriptors::pool().get_service_by_name(name).expect(name);
            let known: Vec<String> = service.methods().map(|method| method.name().to_owned()).collect();
            let ours: Vec<&str> = methods.iter().flatten().copied().collect();
            assert_eq!(known.len(), ours.len(), "{name}: {known:?}");
            for method in ours {
                assert!(known.iter().any(|name| name == method), "{name}/{method}: {known:?}");
                assert_eq!(Method::of(&format!("/{name}/{method}")).map(|method| method.only), Some(only));
            }
        }
        assert_eq!(Method::of("/envoy.service.route.v3.VirtualHostDiscoveryService/Stream"), None);
        assert_eq!(Method::of("nonsense"), None);
    }
}
