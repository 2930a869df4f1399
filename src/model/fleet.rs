//! Which proxies there are, and what they listen on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigCanary, DownstreamTls, Patches};

/// A group of proxies that are given the same configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// `metadata.name`, unique among fleets.
    pub name: String,
    /// Which proxies belong to it.
    pub nodes: NodeSelector,
    /// Listeners that Serin owns. Empty where the bootstrap owns them.
    pub listeners: Vec<Listener>,
    /// Route configurations for listeners that the bootstrap owns (RDS only).
    pub route_configs: Vec<RouteConfig>,
    /// Whether new configuration goes to a few proxies first; to all at once when absent.
    #[serde(default)]
    pub config_canary: Option<ConfigCanary>,
    /// Proxies whose statistics are asked for, because their bootstrap does not send them.
    #[serde(default)]
    pub poll: Option<Poll>,
}

/// How proxies are asked for their statistics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// Their admin interfaces, as `http://10.0.0.7:9901`.
    pub admin: Vec<String>,
    /// The time between two questions, and for an answer.
    pub interval: Duration,
}

impl Fleet {
    /// The names of the services that this fleet routes to, each once, sorted.
    pub fn services(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .listeners
            .iter()
            .flat_map(|l| &l.services)
            .chain(self.route_configs.iter().flat_map(|r| &r.services))
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Chooses proxies by what they say in their xDS `node`. All of what is given must match; nothing given matches all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeSelector {
    /// `node.cluster`, exactly.
    pub cluster: Option<String>,
    /// `node.id`, by pattern.
    pub id: Option<Pattern>,
    /// `node.locality.region`, exactly.
    pub region: Option<String>,
    /// `node.locality.zone`, exactly.
    pub zone: Option<String>,
    /// Top-level string fields of `node.metadata`, exactly.
    pub metadata: BTreeMap<String, String>,
}

impl NodeSelector {
    /// How many conditions it states. A node that fits several fleets goes to the one with the most conditions, and
    /// among equals to the first by name.
    pub fn specificity(&self) -> usize {
        usize::from(self.cluster.is_some())
            + usize::from(self.id.is_some())
            + usize::from(self.region.is_some())
            + usize::from(self.zone.is_some())
            + self.metadata.len()
    }
}

/// A name pattern in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(pub String);

impl Pattern {
    /// Whether `text` fits, in time linear in `text` for each `*`.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
            return false;
        };
        if !self.0.contains('*') {
            return rest.is_empty();
        }
        let mut parts = parts.peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.is_empty()
    }
}

/// A listener that the fleet's proxies open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Unique within the fleet.
    pub name: String,
    /// The address each proxy binds.
    pub bind: SocketAddr,
    /// The services whose hosts are routed here, by name. A TCP service is the only one of its listener.
    pub services: Vec<String>,
    /// Whether it speaks TLS to its callers.
    #[serde(default)]
    pub tls: Option<DownstreamTls>,
    /// How many proxies in front of it are trusted to say who called them (`x-forwarded-for`): who connects is the
    /// caller when 0.
    #[serde(default)]
    pub trusted_hops: u32,
    /// Whether it shows the preview of what is released, and at other times the stable version.
    #[serde(default)]
    pub preview: bool,
    /// Raw configuration for it, its filter chain, its connection manager and its route configuration.
    #[serde(default, skip_serializing_if = "Patches::is_empty")]
    pub envoy: Patches,
}

/// A route configuration that the bootstrap's own listeners ask for by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteConfig {
    /// What the bootstrap calls it (`route_config_name`).
    pub name: String,
    /// The services whose hosts are routed by it, by name.
    pub services: Vec<String>,
    /// Raw configuration for it.
    #[serde(default, skip_serializing_if = "Patches::is_empty")]
    pub envoy: Patches,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, text, fits) in [
            ("edge-1", "edge-1", true),
            ("edge-1", "edge-12", false),
            ("edge-*", "edge-12", true),
            ("edge-*", "edge-", true),
            ("*-eu", "edge-1-eu", true),
            ("*-eu", "edge-1-eux", false),
            ("e*1*u", "edge-1-eu", true),
            ("e*2*u", "edge-1-eu", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Pattern(pattern.into()).matches(text), fits, "{pattern} against {text}");
        }
    }
}
