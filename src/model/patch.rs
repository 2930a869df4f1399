//! Configuration that is not Serin's: what people want merged into the messages that proxies get.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What of a proxy's configuration can be merged into. In files it is a field of `envoy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PatchTarget {
    /// A listener.
    Listener,
    /// The one filter chain of a listener.
    FilterChain,
    /// The HTTP connection manager of a listener.
    ConnectionManager,
    /// The route configuration of a listener, or one for the bootstrap's own listeners.
    RouteConfiguration,
    /// Each version's cluster.
    Cluster,
    /// The route of a service.
    Route,
    /// The virtual host of a service.
    VirtualHost,
}

impl PatchTarget {
    /// As it is written below `envoy:`.
    pub fn name(self) -> &'static str {
        match self {
            PatchTarget::Listener => "listener",
            PatchTarget::FilterChain => "filterChain",
            PatchTarget::ConnectionManager => "connectionManager",
            PatchTarget::RouteConfiguration => "routeConfiguration",
            PatchTarget::Cluster => "cluster",
            PatchTarget::Route => "route",
            PatchTarget::VirtualHost => "virtualHost",
        }
    }
}

/// What to merge, as an object of Envoy's JSON that `spec` has checked, by what to merge it into.
pub type Patches = BTreeMap<PatchTarget, serde_json::Value>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RouteConfig;

    #[test]
    fn what_was_stored_before_there_were_patches_is_read() {
        let old = r#"{"name": "a", "services": []}"#;
        let config: RouteConfig = serde_json::from_str(old).expect("an older one");
        assert_eq!(config.envoy, Patches::new());
        assert_eq!(serde_json::to_string(&config).expect("JSON"), old.replace(": ", ":").replace(", ", ","));
    }

    #[test]
    fn a_patch_is_stored_by_the_name_it_is_written_with() {
        for target in [
            PatchTarget::Listener,
            PatchTarget::FilterChain,
            PatchTarget::ConnectionManager,
            PatchTarget::RouteConfiguration,
            PatchTarget::Cluster,
            PatchTarget::Route,
            PatchTarget::VirtualHost,
        ] {
            let patches = Patches::from([(target, serde_json::json!({"a": 1}))]);
            let stored = serde_json::to_value(&patches).expect("JSON");
            assert_eq!(stored, serde_json::json!({target.name(): {"a": 1}}));
            assert_eq!(serde_json::from_value::<Patches>(stored).expect("patches"), patches);
        }
    }
}
