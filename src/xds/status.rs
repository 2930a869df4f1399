//! How far each proxy has come: what was sent to it, what it acknowledged, what it rejected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use dashmap::DashMap;
use imbl::OrdMap;
use serde::Serialize;
use tokio::sync::watch;

use super::subscription::Subscription;
use super::{Node, Resource, ResourceSet, ResourceType, ResourceVersion};

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
    /// How often it has connected since the server started.
    pub connects: u64,
    /// Per type that it subscribes to.
    pub types: Arc<BTreeMap<ResourceType, TypeStatus>>,
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
    /// What it asks for.
    pub subscription: Subscription,
    /// What it has acknowledged, as far as it is known.
    pub held: ResourceSet,
    /// What it was sent and has not answered.
    pub on_its_way: Arc<[Resource]>,
    /// What it rejected on this stream, by name and version, and in what words.
    pub rejected: OrdMap<(Arc<str>, ResourceVersion), Arc<Rejection>>,
}

/// `istioctl proxy-status` in a word. In order: the later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SyncState {
    /// It acknowledged all that there is for it.
    Synced,
    /// Nothing was sent yet: there is nothing of this type for it, or it must wait for its clusters.
    #[default]
    NotSent,
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

/// What an Envoy calls itself.
const ENVOY: &str = "envoy";
/// How many proxies that are gone are remembered, and for how long.
const GONE_KEPT: usize = 10_000;
const GONE_KEPT_FOR: Duration = Duration::from_secs(3600);
/// At every so many farewells they are looked for.
const FAREWELLS: u64 = 64;

/// All proxies that are or were connected: written by the streams, read by everybody. A cloneable handle.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_id: DashMap<String, Entry>,
    streams: AtomicU64,
    farewells: AtomicU64,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Entry {
    /// Its open streams, oldest first. Of an Envoy, which has one of a kind, a newer one takes the place of an older one,
    /// which may end later and must not speak for the proxy then. A gRPC client has one for each of its targets.
    streams: BTreeMap<u64, Part>,
    status: ProxyStatus,
}

/// What one stream tells of its proxy.
#[derive(Debug)]
struct Part {
    /// The one type that it serves; `None` for an aggregated stream.
    only: Option<ResourceType>,
    types: Arc<BTreeMap<ResourceType, TypeStatus>>,
}

impl Entry {
    /// What all streams together tell.
    fn gather(&mut self) {
        let mut parts = self.streams.values();
        if let (Some(only), None) = (parts.next(), parts.next()) {
            self.status.types = Arc::clone(&only.types);
            return;
        }
        let mut types: BTreeMap<ResourceType, TypeStatus> = BTreeMap::new();
        for (of, status) in self.streams.values().flat_map(|part| &*part.types) {
            match types.get_mut(of) {
                Some(other) => other.join(status),
                None => drop(types.insert(*of, status.clone())),
            }
        }
        self.status.types = types.into();
    }
}

impl TypeStatus {
    /// Together with what another stream of the same proxy tells of the type: the one that is worse off speaks, and in
    /// force is what is in force on both.
    fn join(&mut self, other: &TypeStatus) {
        let in_force = match (self.in_force, other.in_force) {
            (Some((a, since)), Some((b, later))) if a == b => Some((a, since.max(later))),
            _ => None,
        };
        let subscription = self.subscription.joined(&other.subscription);
        let held = self.held.clone().union(other.held.clone());
        let on_its_way = self.on_its_way.iter().chain(&*other.on_its_way).cloned().collect();
        let rejected = self.rejected.clone().union(other.rejected.clone());
        let worse = if other.state > self.state { other } else { &*self }.clone();
        *self = Self { in_force, subscription, held, on_its_way, rejected, ..worse };
    }
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

    pub(super) fn connect(
        &self,
        node: Arc<Node>,
        variant: Variant,
        only: Option<ResourceType>,
        address: Option<SocketAddr>,
    ) -> Seat {
        let stream = self.inner.streams.fetch_add(1, Ordering::Relaxed);
        let id = node.id.clone();
        {
            let mut entry = self.inner.by_id.entry(id.clone()).or_insert_with(|| Entry {
                streams: BTreeMap::new(),
                status: ProxyStatus {
                    node: Arc::clone(&node),
                    group: None,
                    variant,
                    address,
                    connected_at: SystemTime::now(),
                    disconnected_at: None,
                    connects: 0,
                    types: Arc::default(),
                },
            });
            let is_envoy = node.user_agent == ENVOY;
            if is_envoy {
                entry.streams.retain(|_, part| only.is_some() || part.only.is_some());
            }
            // One for each type, or each target, of the same process is no new start of it.
            let starts = entry.streams.is_empty() || (is_envoy && only.is_none());
            if entry.streams.is_empty() {
                entry.status.group = None;
            }
            entry.streams.insert(stream, Part { only, types: Arc::default() });
            entry.gather();
            let status = &mut entry.status;
            (status.node, status.variant, status.address) = (node, variant, address);
            (status.connected_at, status.disconnected_at) = (SystemTime::now(), None);
            status.connects += u64::from(starts);
        }
        self.changed();
        Seat { proxies: self.clone(), id, stream }
    }

    fn changed(&self) {
        self.inner.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Forgets proxies that have been gone for long, and the longest gone when there are too many.
    fn forget_the_gone(&self, now: SystemTime) {
        // A storm of farewells does not look through all proxies at each of them.
        let due = self.inner.farewells.fetch_add(1, Ordering::Relaxed).is_multiple_of(FAREWELLS);
        if due {
            self.look_for_the_gone(now);
        }
    }

    fn look_for_the_gone(&self, now: SystemTime) {
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
    /// Changes the entry, if this stream still speaks for its proxy.
    pub(super) fn update(&self, change: impl FnOnce(&mut ProxyStatus)) {
        self.with(|entry| change(&mut entry.status));
    }

    /// How far the proxy has come with what this stream serves.
    pub(super) fn tell(&self, types: BTreeMap<ResourceType, TypeStatus>) {
        self.with(|entry| {
            entry.streams.entry(self.stream).and_modify(|part| part.types = types.into());
            entry.gather();
        });
    }

    /// Whether this stream still speaks for its proxy.
    pub(super) fn is_current(&self) -> bool {
        self.proxies.inner.by_id.get(&self.id).is_some_and(|entry| entry.streams.contains_key(&self.stream))
    }

    fn with(&self, change: impl FnOnce(&mut Entry)) {
        let entry = self.proxies.inner.by_id.get_mut(&self.id);
        if let Some(mut entry) = entry.filter(|entry| entry.streams.contains_key(&self.stream)) {
            change(&mut entry);
        }
        self.proxies.changed();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = SystemTime::now();
        self.with(|entry| {
            let gone = entry.streams.remove(&self.stream);
            if entry.streams.is_empty() {
                // What it had when it went is of interest for as long as it is remembered.
                let types = gone.map(|part| part.types).unwrap_or_default();
                let at_rest = |status| TypeStatus { on_its_way: Arc::default(), ..status };
                let types = types.iter().map(|(t, status)| (*t, at_rest(status.clone())));
                entry.status.types = Arc::new(types.collect());
                entry.status.disconnected_at = Some(now);
            } else {
                entry.gather();
            }
        });
        self.proxies.forget_the_gone(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str) -> Arc<Node> {
        Arc::new(Node { id: id.to_owned(), user_agent: ENVOY.to_owned(), ..Node::default() })
    }

    #[test]
    fn an_older_stream_that_ends_later_does_not_speak_for_the_proxy() {
        let proxies = Proxies::default();
        let old = proxies.connect(node("edge-1"), Variant::Sotw, None, None);
        let new = proxies.connect(node("edge-1"), Variant::Delta, None, None);
        old.update(|status| status.group = Some("wrong".into()));
        drop(old);
        let seen = proxies.get("edge-1").expect("the proxy");
        assert!(seen.is_connected() && seen.variant == Variant::Delta && seen.group.is_none());
        assert_eq!(seen.connects, 2);
        drop(new);
        assert!(!proxies.get("edge-1").expect("the proxy").is_connected());
    }

    #[test]
    fn a_grpc_client_has_a_stream_for_each_of_its_targets() {
        let proxies = Proxies::default();
        let node = Arc::new(Node { id: "app-1".to_owned(), ..Node::default() });
        let [one, two] = [1, 2].map(|_| proxies.connect(Arc::clone(&node), Variant::Sotw, None, None));
        let (version, now) = (ResourceVersion::of(b"v"), Instant::now());
        let status = |state, in_force| TypeStatus { state, in_force, ..TypeStatus::default() };
        let tell = |seat: &Seat, status| seat.tell(BTreeMap::from([(ResourceType::Route, status)]));
        let seen = || proxies.get("app-1").expect("the client");
        tell(&one, status(SyncState::Nacked, None));
        tell(&two, status(SyncState::Synced, Some((version, now))));
        assert_eq!(seen().types[&ResourceType::Route].state, SyncState::Nacked);
        assert_eq!(seen().in_force_since(ResourceType::Route, version), None);
        tell(&one, status(SyncState::Synced, Some((version, now))));
        assert_eq!(seen().in_force_since(ResourceType::Route, version), Some(now));
        drop(two);
        assert!(seen().is_connected() && one.is_current());
        drop(one);
        assert!(!seen().is_connected());
    }

    #[test]
    fn nothing_is_on_its_way_to_who_is_gone() {
        let proxies = Proxies::default();
        let seat = proxies.connect(node("edge-1"), Variant::Sotw, None, None);
        let cluster = super::super::fixtures::cluster("a", 1);
        let status =
            TypeStatus { on_its_way: [cluster].into(), sent: Some(ResourceVersion::NOTHING), ..Default::default() };
        seat.tell([(ResourceType::Cluster, status)].into());
        drop(seat);
        let gone = proxies.get("edge-1").expect("the proxy").types[&ResourceType::Cluster].clone();
        assert!(gone.on_its_way.is_empty() && gone.sent.is_some());
    }

    #[test]
    fn the_long_gone_are_forgotten() {
        let proxies = Proxies::default();
        let _here = proxies.connect(node("here"), Variant::Sotw, None, None);
        drop(proxies.connect(node("gone"), Variant::Sotw, None, None));
        proxies.look_for_the_gone(SystemTime::now() + GONE_KEPT_FOR + Duration::from_secs(1));
        assert!(proxies.get("gone").is_none() && proxies.get("here").is_some());
    }
}
