//! SHELL: tells the sinks of each release what happened to it.
//!
//! Owns who has been told how far. Must not decide anything, nor hold up anybody who does: it follows the journal, which is
//! kept before anything is done.
//!
//! Invariants: a sink is told of everything that it wants and in order, at least once, also when the server crashes
//! meanwhile; unless it took none of many tries. One sink waits for no other. A new sink is told of what happens from
//! when it is first seen, not of what is past; so is one that was away.

mod follower;
mod message;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use self::follower::Follower;
use crate::http::{Client, Secrets, Tally};
use crate::model::{Sink, World};
use crate::rollout::engine::Worlds;
use crate::store::{Store, StoreError};

/// The time before the store is asked again, after it failed.
const AGAIN: Duration = Duration::from_secs(1);

/// Follows the journals of all releases that have sinks.
#[derive(Debug)]
pub struct Notifier {
    office: Office,
    /// By the key of their place in the journal.
    followers: BTreeMap<String, Running>,
}

/// What all followers work with.
#[derive(Clone)]
struct Office {
    store: Arc<dyn Store>,
    client: Client,
    secrets: Arc<Secrets>,
    tally: Tally,
}

impl fmt::Debug for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Office").field("tally", &self.tally).finish_non_exhaustive()
    }
}

/// Of which release who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    release: String,
    service: String,
    sink: Sink,
}

/// A follower at work. It ends, in good order, when this is dropped.
#[derive(Debug)]
struct Running {
    line: Line,
    _stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn end(self) {
        let Self { _stop: stop, task, .. } = self;
        drop(stop);
        if task.await.is_err() {
            tracing::error!("a notifier failed");
        }
    }
}

impl Notifier {
    /// One that follows nothing yet.
    pub fn new(store: Arc<dyn Store>, secrets: Arc<Secrets>) -> Self {
        let office = Office { store, client: Client::new(), secrets, tally: Tally::default() };
        Self { office, followers: BTreeMap::new() }
    }

    /// How many notifications were delivered, and how many were given up.
    pub fn tally(&self) -> Tally {
        self.office.tally.clone()
    }

    /// Follows the specs in force until it is time to stop. Each change of `hints`, whatever is in it, lets the journals be
    /// looked at soon; they are looked at now and then without.
    pub async fn run<H>(mut self, mut worlds: Worlds, hints: watch::Receiver<H>, mut stop: watch::Receiver<bool>)
    where
        H: Send + Sync + 'static,
    {
        loop {
            let world = worlds.borrow_and_update().clone();
            let done = match &world {
                Some(world) => self.conduct(world, &hints).await,
                None => Ok(()),
            };
            if let Err(error) = &done {
                tracing::warn!("notifications wait for the store: {error}");
            }
            tokio::select! {
                // Whoever could say so is gone: that is time, too.
                _ = stop.wait_for(|stop| *stop) => break,
                changed = worlds.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(AGAIN), if done.is_err() => {}
            }
        }
        end(self.followers.into_values()).await;
    }

    /// Sees to it that exactly the sinks of these specs have followers.
    async fn conduct<H>(&mut self, world: &World, hints: &watch::Receiver<H>) -> Result<(), StoreError>
    where
        H: Send + Sync + 'static,
    {
        let wanted = lines(world);
        let running = std::mem::take(&mut self.followers).into_iter();
        let (kept, ended): (BTreeMap<_, _>, _) = running.partition(|(key, at)| wanted.get(key) == Some(&at.line));
        self.followers = kept;
        // Each writes down how far it came.
        end(ended.into_values()).await;
        let cursors = self.office.with_store(|store| store.notified()).await?;
        let gone: Vec<String> = cursors.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
        for key in gone {
            self.office.with_store(move |store| store.set_notified(&key, None)).await?;
        }
        for (key, line) in wanted {
            if self.followers.contains_key(&key) {
                continue;
            }
            let cursor = match cursors.get(&key) {
                Some(cursor) => *cursor,
                None => self.office.first_seen(&key, &line.release).await?,
            };
            let (stop, stopped) = oneshot::channel();
            let follower = Follower::new(self.office.clone(), key.clone(), line.clone(), cursor, hints.clone());
            let task = tokio::spawn(follower.run(stopped));
            self.followers.insert(key, Running { line, _stop: stop, task });
        }
        Ok(())
    }
}

async fn end(followers: impl Iterator<Item = Running>) {
    for follower in followers {
        follower.end().await;
    }
}

impl Office {
    /// Begins where the journal ends, and keeps that: a crash must not lose what comes next.
    async fn first_seen(&self, key: &str, release: &str) -> Result<u64, StoreError> {
        let (key, release) = (key.to_owned(), release.to_owned());
        self.with_store(move |store| {
            let end = store.journal_end(&release)?;
            store.set_notified(&key, Some(end)).map(|()| end)
        })
        .await
    }

    /// Uses the store off the runtime's own threads.
    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || work(&*store)).await;
        done.map_err(|e| StoreError::new("notifying", e)).and_then(|done| done)
    }
}

/// Who is to be told of what, by the key under which the store keeps how far: release and URL, and a number when a release
/// names one URL again.
fn lines(world: &World) -> BTreeMap<String, Line> {
    let mut lines = BTreeMap::new();
    for release in world.releases.values() {
        for sink in &release.notify {
            let line = Line { release: release.name.clone(), service: release.service.clone(), sink: sink.clone() };
            let mut key = format!("{} {}", release.name, sink.url);
            let mut number = 1;
            while lines.contains_key(&key) {
                number += 1;
                key = format!("{} {} {number}", release.name, sink.url);
            }
            lines.insert(key, line);
        }
    }
    lines
}
