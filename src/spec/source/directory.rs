//! SHELL: a directory that is watched.
//!
//! Owns when to read and when to judge. File events are hints only: the whole directory is read on each, and every few
//! seconds besides, so that nothing is lost on file systems without events. A set is judged only when it reads the same
//! twice in a row, so that one that is being written is left alone. What was good stays until something better comes: a
//! broken, vanished or unreadable directory changes nothing but what is said.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{debug, info, warn};
use xxhash_rust::xxh3::Xxh3;

use super::{Loaded, read_directory};
use crate::spec::{Outcome, Settings, SourceFile, diagnostic, parse};

/// How long a set must stay the same before it is judged.
const QUIET: Duration = Duration::from_millis(50);
/// How many times that is waited for in a row.
const PATIENCE: u32 = 40;

/// Watches a directory of specs.
#[derive(Debug)]
pub struct DirectorySource {
    root: PathBuf,
    rescan: Duration,
    settings: Settings,
    events: bool,
}

impl DirectorySource {
    /// How often a directory is read without any event.
    pub const RESCAN: Duration = Duration::from_secs(5);

    /// Watches until all receivers are gone. The first value is empty, with generation 0; a value follows as soon as the
    /// directory was read, and on each change. Must be called within a tokio runtime.
    pub fn watch(root: impl Into<PathBuf>, rescan: Duration, settings: Settings) -> watch::Receiver<Loaded> {
        Self { root: root.into(), rescan, settings, events: true }.start()
    }

    fn start(self) -> watch::Receiver<Loaded> {
        let (sender, receiver) = watch::channel(Loaded::default());
        tokio::spawn(self.run(sender));
        receiver
    }

    async fn run(self, sender: watch::Sender<Loaded>) {
        let (hint, mut hints) = mpsc::channel(1);
        let mut watcher = None;
        let mut judged = None;
        while !sender.is_closed() {
            if watcher.is_none() && self.events {
                watcher = listen(self.root.clone(), hint.clone()).await;
            }
            match settle(|| read(self.root.clone()), judged).await {
                Settled::Unchanged => {}
                Settled::Changed(read) => {
                    judged = Some(read.hash);
                    if read.files.is_err() {
                        // Its events end with it: listen anew to what takes its place.
                        watcher = None;
                    }
                    let before = sender.borrow().clone();
                    sender.send_replace(judge(&self.root, self.settings, before, read).await);
                }
                Settled::Restless => {
                    judged = None;
                    sender.send_if_modified(|loaded| fail(&self.root, loaded, "its files keep changing"));
                }
            }
            tokio::select! {
                () = sender.closed() => {}
                _ = hints.recv() => {}
                () = sleep(self.rescan) => {}
            }
        }
    }
}

/// Asks the system for events. Without, there is still the clock.
async fn listen(root: PathBuf, hint: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let listening = tokio::task::spawn_blocking(move || -> notify::Result<RecommendedWatcher> {
        // Links may lead anywhere; what is behind them is found by the clock.
        let config = notify::Config::default().with_follow_symlinks(false);
        let on_event = move |event| {
            if is_hint(&event) {
                // Full is as good: a hint is waiting.
                let _ = hint.try_send(());
            }
        };
        let mut watcher = RecommendedWatcher::new(on_event, config)?;
        watcher.watch(&root, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    match listening.await {
        Ok(Ok(watcher)) => Some(watcher),
        Ok(Err(error)) => {
            debug!(%error, "no file events: specs are read by the clock");
            None
        }
        Err(_) => None,
    }
}

/// Our own reading makes events as well: answering those would never end.
fn is_hint(event: &notify::Result<notify::Event>) -> bool {
    event.as_ref().map_or(true, |event| !event.kind.is_access())
}

/// The directory as it was read once.
struct Read {
    /// Of everything that was read, or of why it was not.
    hash: u64,
    files: Result<Vec<SourceFile>, String>,
}

impl Read {
    fn new(files: Result<Vec<SourceFile>, String>) -> Self {
        let mut hash = Xxh3::new();
        let mut add = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        match &files {
            Ok(files) => files.iter().for_each(|file| {
                add(file.path.as_bytes());
                add(&file.bytes);
            }),
            Err(error) => {
                add(b"error");
                add(error.as_bytes());
            }
        }
        Self { hash: hash.digest(), files }
    }
}

async fn read(root: PathBuf) -> Read {
    let reading = tokio::task::spawn_blocking(move || Read::new(read_directory(&root).map_err(|e| e.to_string())));
    reading.await.unwrap_or_else(|error| Read::new(Err(format!("cannot read the specs: {error}"))))
}

enum Settled {
    /// As it was judged.
    Unchanged,
    /// Read the same twice in a row.
    Changed(Read),
    /// Changes all the time.
    Restless,
}

/// Reads until it reads the same twice in a row.
async fn settle<F: Future<Output = Read>>(mut read: impl FnMut() -> F, judged: Option<u64>) -> Settled {
    let mut last = read().await;
    for _ in 0..PATIENCE {
        if Some(last.hash) == judged {
            return Settled::Unchanged;
        }
        sleep(QUIET).await;
        let next = read().await;
        if next.hash == last.hash {
            return Settled::Changed(next);
        }
        last = next;
    }
    Settled::Restless
}

/// Parses what was read; keeps what was good if it is not.
async fn judge(root: &Path, settings: Settings, mut loaded: Loaded, read: Read) -> Loaded {
    let files = match read.files {
        Ok(files) => files,
        Err(error) => {
            fail(root, &mut loaded, &error);
            return loaded;
        }
    };
    let count = files.len();
    let parsing = tokio::task::spawn_blocking(move || parse(&files, settings));
    let outcome: Outcome = match parsing.await {
        Ok(outcome) => outcome,
        Err(error) => {
            fail(root, &mut loaded, &format!("the specs could not be judged: {error}"));
            return loaded;
        }
    };
    loaded.generation += 1;
    loaded.read_error = None;
    match outcome {
        Ok(specs) => {
            let world = &specs.world;
            let (fleets, services, releases) = (world.fleets.len(), world.services.len(), world.releases.len());
            info!(files = count, fleets, services, releases, "specs read");
            for warning in &specs.warnings {
                warn!("specs: {warning}");
            }
            loaded.specs = Some(Arc::new(specs));
            loaded.diagnostics = Vec::new();
        }
        Err(diagnostics) => {
            let kept = if loaded.specs.is_some() { "the last good ones stay in force" } else { "nothing is in force" };
            warn!("the specs have {}: {kept}", diagnostic::summary(&diagnostics));
            loaded.diagnostics = diagnostics;
        }
    }
    loaded
}

/// Says why nothing could be read; tells whether that is news.
fn fail(root: &Path, loaded: &mut Loaded, error: &str) -> bool {
    let kept = if loaded.specs.is_some() { "; the last good specs stay in force" } else { "" };
    let error = format!("the specs in {} cannot be read: {error}{kept}", root.display());
    if loaded.read_error.as_ref() == Some(&error) {
        return false;
    }
    warn!("{error}");
    loaded.read_error = Some(error);
    loaded.generation += 1;
    true
}

#[cfg(test)]
mod tests;
