//! The tasks that look at sources: one for each version that has one to look at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::inventory::{Inventory, Key};
use super::{Resolver, dns, file};
use crate::model::{Endpoint, EndpointSource};

/// What a source says now, or why it says nothing.
pub(super) struct News {
    pub(super) key: Key,
    /// The one that was looked at.
    pub(super) source: EndpointSource,
    pub(super) read: Result<Vec<Endpoint>, String>,
}

/// Who looks at what. Dropped, all end.
pub(super) struct Readers {
    directory: Arc<Path>,
    resolver: Resolver,
    news: mpsc::Sender<News>,
    tasks: JoinSet<()>,
    running: BTreeMap<Key, (EndpointSource, AbortHandle)>,
}

impl Readers {
    pub(super) fn new(directory: PathBuf, resolver: Resolver, news: mpsc::Sender<News>) -> Self {
        Self { directory: directory.into(), resolver, news, tasks: JoinSet::new(), running: BTreeMap::new() }
    }

    /// Begins to look at sources that are new, and ends with those that are no more.
    pub(super) fn follow(&mut self, inventory: &Inventory) {
        let mut before = std::mem::take(&mut self.running);
        for (key, source) in inventory.sources() {
            let same = before.remove(key).filter(|(looked_at, handle)| {
                let is_same = looked_at == source;
                if !is_same {
                    handle.abort();
                }
                is_same
            });
            let running = same.unwrap_or_else(|| (source.clone(), self.look_at(key, source)));
            self.running.insert(key.clone(), running);
        }
        before.into_values().for_each(|(_, handle)| handle.abort());
        while self.tasks.try_join_next().is_some() {}
    }

    fn look_at(&mut self, key: &Key, source: &EndpointSource) -> AbortHandle {
        let (news, key, of) = (self.news.clone(), key.clone(), source.clone());
        let tell = move |read| {
            let (news, key, source) = (news.clone(), key.clone(), of.clone());
            async move { news.send(News { key, source, read }).await.is_ok() }
        };
        match source.clone() {
            EndpointSource::Dns { host, port, interval } => {
                self.tasks.spawn(dns::follow(Arc::clone(&self.resolver), (host, port), interval, tell))
            }
            EndpointSource::File { path } => self.tasks.spawn(file::follow(Arc::clone(&self.directory), path, tell)),
            // It is not looked at, and `Inventory::sources` does not have it.
            EndpointSource::Registered { .. } => self.tasks.spawn(std::future::ready(())),
        }
    }
}
