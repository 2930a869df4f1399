//! SHELL: the newest snapshot of every group, for any number of streams.
//!
//! One writer, many readers. Each group is a `watch`, so that a slow stream skips to the newest. Until [`Cache::ready`] was
//! called no stream is served: an empty snapshot never stands in for one that was not restored yet (behaviour 39).

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::watch;

use super::Snapshot;

/// How many earlier snapshots of a group are remembered, for clients that come back.
const REMEMBERED: usize = 8;

/// What a group is given. A cloneable handle.
#[derive(Debug, Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    groups: DashMap<Arc<str>, watch::Sender<Option<Published>>>,
    ready: watch::Sender<bool>,
}

/// A group's snapshot and those before it.
#[derive(Debug, Clone)]
pub struct Published {
    /// What the group is given.
    pub snapshot: Arc<Snapshot>,
    /// What it was given before, newest first.
    pub previous: Vec<Arc<Snapshot>>,
}

impl Default for Cache {
    fn default() -> Self {
        Self { inner: Arc::new(Inner { groups: DashMap::new(), ready: watch::Sender::new(false) }) }
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

    /// Gives a group a snapshot. The same one given again changes nothing.
    pub fn publish(&self, group: &str, snapshot: Arc<Snapshot>) {
        let feed = self.inner.groups.entry(group.into()).or_default();
        feed.send_if_modified(|published| {
            let previous = match published.take() {
                Some(same) if same.snapshot.version() == snapshot.version() => {
                    *published = Some(same);
                    return false;
                }
                Some(old) => {
                    let older = old.previous.into_iter().filter(|s| s.version() != old.snapshot.version());
                    std::iter::once(old.snapshot.clone()).chain(older).take(REMEMBERED).collect()
                }
                None => Vec::new(),
            };
            *published = Some(Published { snapshot, previous });
            true
        });
    }

    /// What a group is given now.
    pub fn current(&self, group: &str) -> Option<Arc<Snapshot>> {
        let feed = self.inner.groups.get(group)?;
        feed.borrow().as_ref().map(|published| Arc::clone(&published.snapshot))
    }

    /// What a group is given, and each change of it. The group need not exist yet.
    pub fn subscribe(&self, group: &str) -> watch::Receiver<Option<Published>> {
        self.inner.groups.entry(group.into()).or_default().subscribe()
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
        assert_eq!(published.previous, [snapshot("b"), snapshot("a")]);
        cache.publish("edge", snapshot("c"));
        assert!(!feed.has_changed().expect("the cache lives"));
        assert!(cache.current("other").is_none());
    }
}
