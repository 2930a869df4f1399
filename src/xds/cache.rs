//! SHELL: what every group is given, for any number of streams.
//!
//! One writer, many readers. Each group is a `watch`, so that a slow stream skips to the newest. Until [`Cache::ready`] was
//! called no stream is served: an empty snapshot never stands in for one that was not restored yet (behaviour 39).
//! What the streams hear from their clients comes back here and decides what the others are given ([`super::group`]).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use dashmap::DashMap;
use tokio::sync::{Notify, watch};

pub use super::group::Published;
use super::group::{Canary, Group, Held, Parked, Peer};
use super::{Proxies, ProxyStatus, Resource, Snapshot};

/// Time that changes of proxies are collected for before a trial is looked at.
const HINT_DELAY: Duration = Duration::from_millis(10);

/// What is given to whom. A cloneable handle.
#[derive(Debug, Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    groups: DashMap<Arc<str>, Arc<Feed>>,
    ready: watch::Sender<bool>,
    /// A trial has begun.
    trials: Notify,
}

#[derive(Debug, Default)]
struct Feed {
    group: RwLock<Group>,
    published: watch::Sender<Option<Published>>,
}

impl Feed {
    fn read<T>(&self, look: impl FnOnce(&Group) -> T) -> T {
        look(&self.group.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the group, and tells the streams when they are to serve something else.
    fn change(&self, change: impl FnOnce(&mut Group) -> bool) -> bool {
        let mut group = self.group.write().unwrap_or_else(PoisonError::into_inner);
        let intended = group.intended().map(|snapshot| snapshot.version());
        let changed = change(&mut group) || group.intended().map(|snapshot| snapshot.version()) != intended;
        if changed {
            // Under the lock, so that an older one is never published last.
            self.published.send_replace(group.published());
        }
        changed
    }
}

impl Default for Cache {
    fn default() -> Self {
        let (groups, ready) = (DashMap::new(), watch::Sender::new(false));
        Self { inner: Arc::new(Inner { groups, ready, trials: Notify::new() }) }
    }
}

impl Cache {
    /// An empty cache that serves nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Streams may be served from now on.
    pub fn ready(&self) {
        self.inner.ready.send_replace(true);
    }

    /// Whether streams may be served.
    pub fn is_ready(&self) -> bool {
        *self.inner.ready.borrow()
    }

    fn feed(&self, group: &str) -> Arc<Feed> {
        if let Some(feed) = self.inner.groups.get(group) {
            return Arc::clone(&feed);
        }
        Arc::clone(&self.inner.groups.entry(group.into()).or_default())
    }

    /// Gives a group a snapshot; to a few of its proxies first where it has a [`Canary`]. The same one given again
    /// changes nothing.
    pub fn publish(&self, group: &str, snapshot: Arc<Snapshot>) {
        self.feed(group).change(|group| group.publish(snapshot, false));
        self.inner.trials.notify_one();
    }

    /// Gives a group what it was given before a restart: its proxies have accepted that, and a sick one that comes back
    /// first must not take it from the others.
    pub fn restore(&self, group: &str, snapshot: Arc<Snapshot>) {
        let all: Vec<Resource> = snapshot.iter().cloned().collect();
        self.feed(group).change(|group| {
            group.accept(&all);
            group.publish(snapshot, false)
        });
    }

    /// Gives a group a snapshot that cannot wait: all proxies at once.
    pub fn publish_at_once(&self, group: &str, snapshot: Arc<Snapshot>) {
        self.feed(group).change(|group| group.publish(snapshot, true));
    }

    /// Lets new snapshots of a group go to a few proxies first. [`Cache::conduct`] has to run for that.
    pub fn set_canary(&self, group: &str, canary: Option<Canary>) {
        self.feed(group).change(|group| {
            group.set_canary(canary);
            false
        });
        self.inner.trials.notify_one();
    }

    /// What a group is to be given in the end.
    pub fn current(&self, group: &str) -> Option<Arc<Snapshot>> {
        self.inner.groups.get(group)?.read(|group| group.intended().cloned())
    }

    /// What of a group's snapshots is not served because some proxy rejected it.
    pub fn parked(&self, group: &str) -> Vec<Parked> {
        self.inner.groups.get(group).map(|feed| feed.read(Group::parked)).unwrap_or_default()
    }

    /// Why a group's newest snapshot is not everywhere yet, apart from what was rejected.
    pub fn held(&self, group: &str) -> Option<Held> {
        self.inner.groups.get(group)?.read(Group::held)
    }

    /// Gives what was rejected, or stopped at the first proxies, another chance. Returns whether there was anything.
    pub fn release(&self, group: &str) -> bool {
        let feed = self.inner.groups.get(group).map(|feed| Arc::clone(&feed));
        let released = feed.is_some_and(|feed| feed.change(Group::release));
        self.inner.trials.notify_one();
        released
    }

    /// What a group is given, and each change of it. The group need not exist yet.
    pub fn subscribe(&self, group: &str) -> watch::Receiver<Option<Published>> {
        self.feed(group).published.subscribe()
    }

    /// A proxy of the group took these.
    pub fn accept(&self, group: &str, resources: &[Resource]) {
        let feed = self.feed(group);
        // Ten thousand say yes to the same.
        if !feed.read(|group| group.knows(resources)) {
            feed.change(|group| group.accept(resources));
        }
    }

    /// A proxy of the group rejected these: unless another one took them, nobody is sent them any more.
    pub fn reject(&self, group: &str, resources: &[Resource], node: &str, text: &str, at: SystemTime) {
        if self.feed(group).change(|group| group.reject(resources, node, text, at)) {
            let names: Vec<String> = resources.iter().map(|resource| format!("{resource:?}")).collect();
            tracing::warn!(
                group,
                node,
                resources = names.join(", "),
                "quarantined: nobody is sent it any more: {text}"
            );
        }
    }

    /// Brings snapshots from the first proxies to the rest, for as long as it is polled. `errors` is how many answers of
    /// class 5xx a proxy (by node id) has given so far.
    pub async fn conduct(self, proxies: Proxies, errors: impl Fn(&str) -> u64) {
        let mut changes = proxies.changes();
        loop {
            let trials: BTreeMap<Arc<str>, Arc<Feed>> = self.on_trial();
            let deadline = trials.values().filter_map(|feed| feed.read(Group::deadline)).min();
            tokio::select! {
                () = self.inner.trials.notified() => {}
                Ok(()) = changes.changed(), if !trials.is_empty() => tokio::time::sleep(HINT_DELAY).await,
                () = reached(deadline) => {}
            }
            changes.mark_unchanged();
            for (name, feed) in self.on_trial() {
                let Some(snapshot) = feed.read(|group| group.on_trial().cloned()) else { continue };
                let all = proxies.list();
                let of_group = all.iter().filter(|p| p.is_connected() && p.group.as_deref() == Some(&*name));
                let peers: Vec<Peer> = of_group.map(|proxy| peer(proxy, &snapshot, &errors)).collect();
                feed.change(|group| group.observe(&peers, Instant::now()));
                match feed.read(Group::held) {
                    Some(Held::Stopped(reason)) => tracing::warn!(group = %name, reason, "not given to the rest"),
                    Some(Held::Trial(_)) => {}
                    None => tracing::info!(group = %name, "given to the rest"),
                }
            }
        }
    }

    fn on_trial(&self) -> BTreeMap<Arc<str>, Arc<Feed>> {
        let feeds = self.inner.groups.iter().map(|entry| (Arc::clone(entry.key()), Arc::clone(entry.value())));
        feeds.filter(|(_, feed)| feed.read(|group| group.on_trial().is_some())).collect()
    }
}

fn peer(proxy: &ProxyStatus, snapshot: &Snapshot, errors: impl Fn(&str) -> u64) -> Peer {
    let in_force = |(t, status): (&super::ResourceType, &super::TypeStatus)| {
        status.in_force.is_some_and(|(version, _)| version == snapshot.version_of(*t))
    };
    Peer {
        id: proxy.node.id.clone(),
        locality: proxy.node.locality.clone(),
        connects: proxy.connects,
        errors: errors(&proxy.node.id),
        in_force: !proxy.types.is_empty() && proxy.types.iter().all(in_force),
    }
}

/// Ends at the deadline; never when there is none.
async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;

    use super::super::Resource;
    use super::*;

    fn snapshot(name: &str) -> Arc<Snapshot> {
        let mut builder = Snapshot::builder();
        let cluster = Cluster { name: name.to_owned(), ..Cluster::default() };
        builder.add(Resource::cluster(&cluster).expect("a cluster"));
        Arc::new(builder.build().expect("a snapshot"))
    }

    #[test]
    fn a_reader_sees_the_newest_and_what_came_before_it() {
        let cache = Cache::new();
        let mut feed = cache.subscribe("edge");
        for name in ["a", "b", "b", "c"] {
            cache.publish("edge", snapshot(name));
        }
        let published = feed.borrow_and_update().clone().expect("a snapshot");
        assert_eq!(published.snapshot, snapshot("c"));
        assert_eq!(*published.previous, [snapshot("b"), snapshot("a")]);
        cache.publish("edge", snapshot("c"));
        assert!(!feed.has_changed().expect("the cache lives"));
        assert!(cache.current("other").is_none());
    }
}
