//! PURE: what the proxies last said of the endpoints of each version: how many get requests, and what is under way.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::telemetry::{ClusterDelta, NodeReport};

/// The newest of each proxy. What is asked is asked of one cluster, at every turn; so that is how it is kept.
#[derive(Debug, Default)]
pub struct Health {
    proxies: HashMap<Arc<str>, Proxy>,
    /// By cluster, then by proxy.
    clusters: HashMap<Arc<str>, HashMap<Arc<str>, Said>>,
}

/// What one proxy's reports have in common.
#[derive(Debug, Clone, Copy)]
struct Proxy {
    /// When the window of its newest report began.
    since: Instant,
    /// Whether it has ever told of anything that is under way.
    tells_in_progress: bool,
}

/// The newest that one proxy said of one cluster.
#[derive(Debug, Default)]
struct Said {
    total: Option<u64>,
    healthy: Option<u64>,
    in_progress: Option<u64>,
    by_endpoint: Option<Vec<(SocketAddr, u64)>>,
}

impl Said {
    fn update(&mut self, delta: &ClusterDelta) {
        self.total = delta.endpoints.or(self.total);
        self.healthy = delta.healthy.or(self.healthy);
        self.in_progress = delta.in_progress.or(self.in_progress);
        if let Some(endpoints) = &delta.endpoints_in_progress {
            let own = self.by_endpoint.get_or_insert_default();
            own.clear();
            own.extend(endpoints.iter().map(|(address, count)| (*address, *count)));
        }
    }

    /// At most this many, where it does not tell its endpoints apart.
    fn at(&self, address: SocketAddr) -> Option<u64> {
        match (self.in_progress?, &self.by_endpoint) {
            (0, _) => Some(0),
            (_, Some(endpoints)) => {
                Some(endpoints.iter().find(|(one, _)| *one == address).map_or(0, |(_, count)| *count))
            }
            (all, None) => Some(all),
        }
    }
}

impl Health {
    /// Takes in a report.
    pub fn add(&mut self, report: &NodeReport) {
        let NodeReport { node, since, .. } = report;
        let new = || Proxy { since: *since, tells_in_progress: false };
        let proxy = self.proxies.entry(Arc::clone(node)).or_insert_with(new);
        proxy.since = *since;
        proxy.tells_in_progress |= report.others.tells_in_progress;
        for (cluster, delta) in &report.clusters {
            proxy.tells_in_progress |= delta.in_progress.is_some();
            let known = match self.clusters.get_mut(cluster) {
                Some(known) => known,
                None => self.clusters.entry(Arc::clone(cluster)).or_default(),
            };
            match known.get_mut(node) {
                Some(said) => said.update(delta),
                None => known.entry(Arc::clone(node)).or_default().update(delta),
            }
        }
    }

    /// Forgets the proxies that are gone: what they had under way has ended with them.
    pub fn keep_only(&mut self, is_connected: impl Fn(&str) -> bool) {
        let before = self.proxies.len();
        self.proxies.retain(|node, _| is_connected(node));
        if self.proxies.len() < before {
            let proxies = &self.proxies;
            retain(&mut self.clusters, |_, node, _| proxies.contains_key(node));
        }
    }

    /// Forgets what is under way at other clusters than these: nobody tells of them any more.
    pub fn forget_progress(&mut self, is_told: impl Fn(&str) -> bool) {
        retain(&mut self.clusters, |cluster, _, said| {
            if !is_told(cluster) {
                (said.in_progress, said.by_endpoint) = (None, None);
            }
            said.total.is_some() || said.healthy.is_some() || said.in_progress.is_some()
        });
    }

    /// The lowest number of endpoints of a cluster that get requests at any proxy; `None` when no proxy tells.
    pub fn healthy(&self, cluster: &str) -> Option<u64> {
        self.said(cluster).filter_map(|said| said.healthy).min()
    }

    /// The endpoints of a cluster, `(healthy, all)`, at the proxy at which the fewest get requests; `None` when no proxy
    /// tells both.
    pub fn worst(&self, cluster: &str) -> Option<(u64, u64)> {
        self.said(cluster).filter_map(|said| said.healthy.zip(said.total)).min()
    }

    /// How many requests, or connections of a TCP service, all proxies together have under way at a cluster; `None` when
    /// no proxy tells of anything that is under way anywhere, or one of those that do has not told since then.
    pub fn in_progress(&self, cluster: &str, since: Instant) -> Option<u64> {
        self.sum(cluster, since, |said| said.in_progress)
    }

    /// The same at one endpoint of the cluster. Of proxies that do not tell endpoints apart, what they have under way at
    /// any of them counts.
    pub fn in_progress_at(&self, cluster: &str, address: SocketAddr, since: Instant) -> Option<u64> {
        self.sum(cluster, since, |said| said.at(address))
    }

    fn said(&self, cluster: &str) -> impl Iterator<Item = &Said> {
        self.clusters.get(cluster).into_iter().flat_map(HashMap::values)
    }

    /// A proxy that tells of some clusters has nothing under way at the others.
    fn sum(&self, cluster: &str, since: Instant, of: impl Fn(&Said) -> Option<u64>) -> Option<u64> {
        let mut told = self.proxies.values().filter(|proxy| proxy.tells_in_progress).peekable();
        told.peek()?;
        if told.any(|proxy| proxy.since < since) {
            return None;
        }
        Some(self.said(cluster).filter_map(of).fold(0, u64::saturating_add))
    }
}

/// Of each cluster and proxy, what was said, if it is to be kept.
fn retain(
    clusters: &mut HashMap<Arc<str>, HashMap<Arc<str>, Said>>,
    mut is_kept: impl FnMut(&str, &str, &mut Said) -> bool,
) {
    clusters.retain(|cluster, known| {
        known.retain(|node, said| is_kept(cluster, node, said));
        known.shrink_to_fit();
        !known.is_empty()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(node: &str, clusters: &[(&str, ClusterDelta)]) -> NodeReport {
        let clusters = clusters.iter().map(|(name, delta)| ((*name).into(), delta.clone())).collect();
        let now = Instant::now();
        NodeReport { node: node.into(), since: now, until: now, clusters, partial: false, others: Default::default() }
    }

    fn members(healthy: u64, endpoints: u64) -> ClusterDelta {
        ClusterDelta { healthy: Some(healthy), endpoints: Some(endpoints), ..ClusterDelta::default() }
    }

    fn busy(all: u64, endpoints: Option<&[(SocketAddr, u64)]>) -> ClusterDelta {
        let endpoints_in_progress = endpoints.map(|endpoints| endpoints.iter().copied().collect());
        ClusterDelta { in_progress: Some(all), endpoints_in_progress, ..ClusterDelta::default() }
    }

    #[test]
    fn the_proxy_that_sees_the_fewest_counts() {
        let mut health = Health::default();
        assert_eq!((health.healthy("a/v2"), health.worst("a/v2")), (None, None));
        health.add(&report("edge-1", &[("a/v2", members(3, 4)), ("a/v1", members(1, 1))]));
        health.add(&report("edge-2", &[("a/v2", members(2, 4))]));
        assert_eq!((health.healthy("a/v2"), health.worst("a/v2")), (Some(2), Some((2, 4))));
        // The newest of each, also where it says nothing new of its endpoints.
        health.add(&report("edge-2", &[("a/v2", members(4, 4))]));
        health.add(&report("edge-2", &[("a/v2", ClusterDelta::default())]));
        assert_eq!(health.healthy("a/v2"), Some(3));
        health.keep_only(|node| node == "edge-2");
        assert_eq!(health.healthy("a/v2"), Some(4));
        health.keep_only(|_| false);
        assert_eq!(health.healthy("a/v2"), None);
    }

    #[test]
    fn what_is_under_way_is_summed() {
        let start = Instant::now();
        let [one, two] = [1, 2].map(|n| SocketAddr::from(([10, 0, 0, n], 80)));
        let mut health = Health::default();
        health.add(&report("edge-1", &[("a/v1", members(2, 2))]));
        assert_eq!((health.in_progress("a/v1", start), health.in_progress_at("a/v1", one, start)), (None, None));
        health.add(&report("edge-1", &[("a/v1", busy(5, Some(&[(one, 4), (two, 1)])))]));
        health.add(&report("edge-2", &[("a/v1", busy(3, Some(&[(one, 3)])))]));
        assert_eq!(health.in_progress("a/v1", start), Some(8));
        assert_eq!([one, two].map(|at| health.in_progress_at("a/v1", at, start)), [Some(7), Some(1)]);
        // Who tells of some cluster tells of all.
        assert_eq!((health.in_progress("a/v2", start), health.in_progress_at("a/v2", one, start)), (Some(0), Some(0)));
        // A count without endpoints leaves what is known of them, until it is none.
        health.add(&report("edge-2", &[("a/v1", busy(2, None))]));
        assert_eq!(health.in_progress_at("a/v1", one, start), Some(7));
        health.add(&report("edge-2", &[("a/v1", busy(0, None))]));
        assert_eq!(health.in_progress_at("a/v1", one, start), Some(4));
        // Who does not tell endpoints apart may have all of it at this one.
        health.add(&report("edge-3", &[("a/v1", busy(6, None))]));
        assert_eq!([one, two].map(|at| health.in_progress_at("a/v1", at, start)), [Some(10), Some(7)]);
        health.keep_only(|node| node == "edge-1");
        assert_eq!(health.in_progress("a/v1", start), Some(5));
        // What nobody tells of by itself any more: a proxy that tells of others has nothing there.
        health.forget_progress(|cluster| cluster == "a/v2");
        assert_eq!((health.in_progress("a/v1", start), health.worst("a/v1")), (Some(0), Some((2, 2))));
        let others = crate::telemetry::Others { errors: 0, tells_in_progress: true };
        health.add(&NodeReport { others, ..report("edge-4", &[]) });
        health.keep_only(|node| node == "edge-4");
        assert_eq!(health.in_progress("a/v1", start), Some(0));
        health.add(&report("edge-1", &[("a/v1", busy(5, None))]));
        // What was told before then says nothing of what has come since.
        assert_eq!(health.in_progress("a/v1", Instant::now() + std::time::Duration::from_secs(1)), None);
    }
}
