//! How far each proxy has come: what was sent to it, what it acknowledged, what it rejected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use dashmap::DashMap;
use serde::Serialize;
use tokio::sync::watch;

use super::{Node, ResourceType, ResourceVersion};

/// Which form of the protocol a stream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// State of the world.
    Sotw,
    /// Incremental.
    Delta,
}

/// One proxy, as its newest stream shows it.
#[derive(Debug, Clone)]
pub struct ProxyStatus {
    /// Who it is.
    pub node: Arc<Node>,
    /// The group whose snapshots it is given; `None` when no group takes it.
    pub group: Option<Arc<str>>,
    /// The stream's form of the protocol.
    pub variant: Variant,
    /// The peer's address.
    pub address: Option<SocketAddr>,
    /// When its stream was opened.
    pub connected_at: SystemTime,
    /// When its stream ended; `None` while it is open.
    pub disconnected_at: Option<SystemTime>,
    /// How many streams it has opened since the server started.
    pub connects: u64,
    /// Per type that it subscribes to.
    pub types: BTreeMap<ResourceType, TypeStatus>,
}

impl ProxyStatus {
    /// Whether its stream is open.
    pub fn is_connected(&self) -> bool {
        self.disconnected_at.is_none()
    }

    /// When the proxy came to have in force, of one type, all that it subscribes to of a snapshot whose
    /// [`version_of`](super::Snapshot::version_of) that type is `version`; `None` when it has not (or not any more).
    pub fn in_force_since(&self, resource_type: ResourceType, version: ResourceVersion) -> Option<Instant> {
        let status = self.types.get(&resource_type)?;
        let (synced, since) = status.in_force?;
        (self.is_connected() && synced == version).then_some(since)
    }
}

/// One type's state at one proxy.
#[derive(Debug, Clone, Default)]
pub struct TypeStatus {
    /// In short.
    pub state: SyncState,
    /// `version_of` the snapshot (of this type) that was sent last.
    pub sent: Option<ResourceVersion>,
    /// `version_of` the snapshot (of this type) that the proxy last acknowledged whole, and since when it has it.
    /// Cleared when something else is rejected or when the stream ends.
    pub in_force: Option<(ResourceVersion, Instant)>,
    /// When `state` was last changed.
    pub changed_at: Option<SystemTime>,
    /// The rejection that stands, if any. It is cleared by the next acknowledgement of something newer.
    pub rejection: Option<Rejection>,
    /// How many resources of this type it subscribes to by name, and whether by wildcard.
    pub subscribed: usize,
    /// Whether it subscribes to all of this type.
    pub wildcard: bool,
}

/// `istioctl proxy-status` in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SyncState {
    /// Nothing was sent yet: there is nothing of this type for it, or it must wait for its clusters.
    #[default]
    NotSent,
    /// It acknowledged all that there is for it.
    Synced,
    /// It was sent something that it has not answered, or there is something newer that it has not been sent.
    Stale,
    /// It rejected what it was sent, and nothing newer has come since.
    Nacked,
}

/// What a proxy said no to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// `version_of` the snapshot (of this type) it belonged to.
    pub version: ResourceVersion,
    /// Names of the rejected resources, as far as the text or the response tells.
    pub resources: Vec<String>,
    /// The proxy's own words, at most 4 KiB of them.
    pub text: String,
    /// When.
    pub at: SystemTime,
}

/// How many proxies that are gone are remembered, and for how long.
const GONE_KEPT: usize = 10_000;
const GONE_KEPT_FOR: Duration = Duration::from_secs(3600);

/// All proxies that are or were connected: written by the streams, read by everybody. A cloneable handle.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_id: DashMap<String, Entry>,
    streams: AtomicU64,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Entry {
    /// The newest stream of the proxy: an older one that ends later must not speak for it.
    stream: u64,
    status: ProxyStatus,
}

/// A stream's hand on its proxy's entry. When it is dropped, the proxy counts as disconnected.
#[derive(Debug)]
pub(super) struct Seat {
    proxies: Proxies,
    id: String,
    stream: u64,
}

impl Proxies {
    /// Every proxy, sorted by node id.
    pub fn list(&self) -> Vec<ProxyStatus> {
        let mut all: Vec<ProxyStatus> = self.inner.by_id.iter().map(|entry| entry.status.clone()).collect();
        all.sort_by(|a, b| a.node.id.cmp(&b.node.id));
        all
    }

    /// One proxy by its node id.
    pub fn get(&self, id: &str) -> Option<ProxyStatus> {
        self.inner.by_id.get(id).map(|entry| entry.status.clone())
    }

    /// Wakes after each change of any proxy's state. A hint: read the full state then.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    pub(super) fn connect(&self, node: Arc<Node>, variant: Variant, address: Option<SocketAddr>) -> Seat {
        let stream = self.inner.streams.fetch_add(1, Ordering::Relaxed);
        let id = node.id.clone();
        let connects = self.inner.by_id.get(&id).map_or(0, |entry| entry.status.connects) + 1;
        let status = ProxyStatus {
            node,
            group: None,
            variant,
            address,
            connected_at: SystemTime::now(),
            disconnected_at: None,
            connects,
            types: BTreeMap::new(),
        };
        self.inner.by_id.insert(id.clone(), Entry { stream, status });
        self.tell();
        Seat { proxies: self.clone(), id, stream }
    }

    fn tell(&self) {
        self.inner.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Forgets proxies that have been gone for long, and the longest gone when there are too many.
    fn forget_the_gone(&self, now: SystemTime) {
        let mut gone: Vec<(SystemTime, String)> = self
            .inner
            .by_id
            .iter()
            .filter_map(|entry| Some((entry.status.disconnected_at?, entry.key().clone())))
            .collect();
        gone.sort();
        let surplus = gone.len().saturating_sub(GONE_KEPT);
        for (at, (since, id)) in gone.into_iter().enumerate() {
            let long = now.duration_since(since).is_ok_and(|age| age > GONE_KEPT_FOR);
            if at < surplus || long {
                self.inner.by_id.remove_if(&id, |_, entry| !entry.status.is_connected());
            }
        }
    }
}

impl Seat {
    /// Changes the entry, if this is still the proxy's newest stream.
    pub(super) fn update(&self, change: impl FnOnce(&mut ProxyStatus)) {
        if let Some(mut entry) = self.proxies.inner.by_id.get_mut(&self.id).filter(|entry| entry.stream == self.stream)
        {
            change(&mut entry.status);
        }
        self.proxies.tell();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = SystemTime::now();
        self.update(|status| status.disconnected_at = Some(now));
        self.proxies.forget_the_gone(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str) -> Arc<Node> {
        Arc::new(Node { id: id.to_owned(), ..Node::default() })
    }

    #[test]
    fn an_older_stream_that_ends_later_does_not_speak_for_the_proxy() {
        let proxies = Proxies::default();
        let old = proxies.connect(node("edge-1"), Variant::Sotw, None);
        let new = proxies.connect(node("edge-1"), Variant::Delta, None);
        old.update(|status| status.group = Some("wrong".into()));
        drop(old);
        let seen = proxies.get("edge-1").expect("the proxy");
        assert!(seen.is_connected() && seen.variant == Variant::Delta && seen.group.is_none());
        assert_eq!(seen.connects, 2);
        drop(new);
        assert!(!proxies.get("edge-1").expect("the proxy").is_connected());
    }

    #[test]
    fn the_long_gone_are_forgotten() {
        let proxies = Proxies::default();
        let _here = proxies.connect(node("here"), Variant::Sotw, None);
        drop(proxies.connect(node("gone"), Variant::Sotw, None));
        proxies.forget_the_gone(SystemTime::now() + GONE_KEPT_FOR + Duration::from_secs(1));
        assert!(proxies.get("gone").is_none() && proxies.get("here").is_some());
    }
}
