//! PURE: what an operator has written at a moment, as specs for the server, and as what every Envoy must then have.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// The weights that a rollout stops at, in percent; a person promotes after each.
pub(super) const WEIGHTS: [u32; 3] = [10, 40, 75];

/// A set of endpoints by its number: which addresses they have is known to who starts them.
pub(super) type SetId = u32;

/// What is written, and how far the rollouts were driven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct World {
    /// Services with a release and a load, by name.
    pub(super) services: BTreeMap<&'static str, Service>,
    /// A service without a release that the listeners may route to, too.
    pub(super) extra: Option<SetId>,
    /// Whether the listeners are bound to all addresses, rather than to the one that the load goes to.
    pub(super) wildcard: bool,
    /// The next set of endpoints.
    next_set: SetId,
}

/// A service with its release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    /// The endpoints of each version, by the version's number.
    pub(super) versions: BTreeMap<u32, SetId>,
    /// The version that has the traffic, or the rest of it.
    pub(super) stable: u32,
    /// The version that is being released.
    pub(super) rollout: Option<Rollout>,
    /// In seconds.
    pub(super) connect_timeout: u32,
    /// Whether failing endpoints are taken out.
    pub(super) outlier_detection: bool,
    next_version: u32,
}

/// A rollout that waits in a pause (or is on its way there).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rollout {
    pub(super) canary: u32,
    /// Of [`WEIGHTS`].
    pub(super) step: usize,
}

/// The name of the service without a release.
pub(super) const EXTRA: &str = "extra";

/// The host that a service answers to.
pub(super) fn host(service: &str) -> String {
    format!("{service}.example.com")
}

/// What the upstreams of a service's version say they are.
pub(super) fn label(service: &str, version: u32) -> String {
    format!("{service}-v{version}")
}

/// The cluster of a service's version.
pub(super) fn cluster(service: &str, version: u32) -> String {
    format!("{service}/v{version}")
}

impl World {
    /// Services of these names, each with its first version live.
    pub(super) fn new(names: &[&'static str]) -> Self {
        let mut world = Self { services: BTreeMap::new(), extra: None, wildcard: false, next_set: 0 };
        for name in names {
            let service = Service {
                versions: BTreeMap::from([(1, world.new_set())]),
                stable: 1,
                rollout: None,
                connect_timeout: 5,
                outlier_detection: false,
                next_version: 2,
            };
            world.services.insert(name, service);
        }
        world
    }

    /// The number of a set of endpoints that nobody has yet.
    pub(super) fn new_set(&mut self) -> SetId {
        self.next_set += 1;
        self.next_set
    }

    /// All sets that stand in the specs, and what their upstreams say they are.
    pub(super) fn sets(&self) -> BTreeMap<SetId, String> {
        let services = self.services.iter();
        let mut sets: BTreeMap<SetId, String> = services
            .flat_map(|(name, service)| service.versions.iter().map(|(version, set)| (*set, label(name, *version))))
            .collect();
        sets.extend(self.extra.map(|set| (set, label(EXTRA, 1))));
        sets
    }

    /// The specs. Each of `proxies` (name, and the port of its listener) is a fleet of its own.
    pub(super) fn specs(&self, proxies: &[(&str, u16)], addresses: &BTreeMap<SetId, Vec<SocketAddr>>) -> String {
        let mut text = String::new();
        let names: Vec<&str> = self.services.keys().copied().chain(self.extra.map(|_| EXTRA)).collect();
        for (name, port) in proxies {
            let bind = self.bind(*port);
            let _ = write!(
                text,
                "apiVersion: serin.dev/v1\nkind: Fleet\nmetadata: {{name: {name}}}\nspec:\n  nodes: {{cluster: {name}}}\n  \
                 listeners: [{{name: http, bind: \"{bind}\", services: [{}]}}]\n---\n",
                names.join(", ")
            );
        }
        for (name, service) in &self.services {
            text += &service.specs(name, addresses);
        }
        if let Some(set) = self.extra {
            text += &head("Service", EXTRA);
            let _ = write!(text, "spec:\n  hosts: [{}]\n  versions:\n    v1: {}\n", host(EXTRA), list(set, addresses));
        }
        text
    }

    /// Where a listener with this port is bound.
    pub(super) fn bind(&self, port: u16) -> SocketAddr {
        SocketAddr::from((if self.wildcard { [0, 0, 0, 0] } else { [127, 0, 0, 1] }, port))
    }

    /// What an Envoy has when all of this is in force at it.
    pub(super) fn picture(&self, port: u16, addresses: &BTreeMap<SetId, Vec<SocketAddr>>) -> Picture {
        let endpoints = |set: &SetId| addresses.get(set).into_iter().flatten().copied().collect();
        let mut picture = Picture { bind: Some(self.bind(port)), ..Picture::default() };
        for (name, service) in &self.services {
            for (version, set) in &service.versions {
                let shown = Cluster {
                    connect_timeout: format!("{}s", service.connect_timeout),
                    outlier_detection: service.outlier_detection,
                    endpoints: endpoints(set),
                };
                picture.clusters.insert(cluster(name, *version), shown);
            }
            picture.routes.insert((*name).to_owned(), service.weights(name));
        }
        if let Some(set) = &self.extra {
            let shown = Cluster { connect_timeout: "1s".into(), outlier_detection: false, endpoints: endpoints(set) };
            picture.clusters.insert(cluster(EXTRA, 1), shown);
            picture.routes.insert(EXTRA.into(), BTreeMap::from([(cluster(EXTRA, 1), 10_000)]));
        }
        picture
    }
}

impl Service {
    /// A version that was never there, with these endpoints.
    pub(super) fn add_version(&mut self, set: SetId) -> u32 {
        let version = self.next_version;
        self.next_version += 1;
        self.versions.insert(version, set);
        version
    }

    /// The version that the release wants.
    pub(super) fn wanted(&self) -> u32 {
        self.rollout.map_or(self.stable, |rollout| rollout.canary)
    }

    /// The versions that have traffic.
    pub(super) fn in_use(&self) -> Vec<u32> {
        std::iter::once(self.stable).chain(self.rollout.map(|rollout| rollout.canary)).collect()
    }

    /// Hundredths of a percent by cluster.
    fn weights(&self, name: &str) -> BTreeMap<String, u32> {
        match self.rollout {
            None => BTreeMap::from([(cluster(name, self.stable), 10_000)]),
            Some(Rollout { canary, step }) => BTreeMap::from([
                (cluster(name, canary), WEIGHTS[step] * 100),
                (cluster(name, self.stable), (100 - WEIGHTS[step]) * 100),
            ]),
        }
    }

    fn specs(&self, name: &str, addresses: &BTreeMap<SetId, Vec<SocketAddr>>) -> String {
        let mut text = head("Service", name);
        let _ = write!(text, "spec:\n  hosts: [{}]\n  connectTimeout: {}s\n", host(name), self.connect_timeout);
        if self.outlier_detection {
            text += "  outlierDetection: {consecutive5xx: 5}\n";
        }
        text += "  versions:\n";
        for (version, set) in &self.versions {
            let _ = writeln!(text, "    v{version}: {}", list(*set, addresses));
        }
        let steps: Vec<String> =
            WEIGHTS.iter().map(|weight| format!("{{setWeight: {weight}}}, {{pause: {{}}}}")).collect();
        let _ = write!(
            text,
            "---\n{}spec:\n  service: {name}\n  version: v{}\n  strategy: {{canary: {{steps: [{}]}}}}\n---\n",
            head("Release", name),
            self.wanted(),
            steps.join(", ")
        );
        text
    }
}

fn head(kind: &str, name: &str) -> String {
    format!("apiVersion: serin.dev/v1\nkind: {kind}\nmetadata: {{name: {name}}}\n")
}

fn list(set: SetId, addresses: &BTreeMap<SetId, Vec<SocketAddr>>) -> String {
    let listed: Vec<String> = addresses.get(&set).into_iter().flatten().map(|addr| format!("\"{addr}\"")).collect();
    format!("{{endpoints: [{}]}}", listed.join(", "))
}

/// What an Envoy has, as far as it matters to requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picture {
    /// The listener's address.
    pub(super) bind: Option<SocketAddr>,
    /// By name.
    pub(super) clusters: BTreeMap<String, Cluster>,
    /// By virtual host: hundredths of a percent by cluster.
    pub(super) routes: BTreeMap<String, BTreeMap<String, u32>>,
}

/// A cluster that is warm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cluster {
    /// As Envoy prints it.
    pub(super) connect_timeout: String,
    pub(super) outlier_detection: bool,
    pub(super) endpoints: BTreeSet<SocketAddr>,
}

impl Picture {
    /// Whether all that is wanted is there, whatever else there still is of clusters.
    pub(super) fn has(&self, wanted: &Picture) -> bool {
        self.bind == wanted.bind
            && self.routes == wanted.routes
            && wanted.clusters.iter().all(|(name, cluster)| self.clusters.get(name) == Some(cluster))
    }
}
