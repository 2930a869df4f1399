//! What must outlive the process: the specs in force, the rollouts, their journal, the snapshots that were published.
//!
//! One [`Batch`] is one decision: it is kept whole or not at all, and nothing of it is published before it is kept.
//! Must not know how anything is decided.

mod decision;
pub mod redb;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

pub use decision::told;

use crate::model::World;
use crate::rollout::{Record, Rollout};
use crate::xds::{ResourceType, ResourceVersion, Snapshot};

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
#[error("{context}: {cause}")]
pub struct StoreError {
    /// What was being done.
    pub context: String,
    /// Why it failed.
    /// (Part of the text, and so not its `source()`: it would be told twice.)
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// An error in doing something.
    pub fn new(context: impl Into<String>, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { context: context.into(), cause: cause.into() }
    }
}

/// A decision to be kept.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// When it was made.
    pub at: Timestamp,
    /// The specs that are in force from now on.
    pub world: Option<Arc<World>>,
    /// Rollouts as they are from now on.
    pub rollouts: Vec<Rollout>,
    /// Releases that are no more. Their journals stay.
    pub removed: Vec<String>,
    /// What to write into whose journal, in order.
    pub records: Vec<(String, Record)>,
    /// What is about to be published to which group.
    pub snapshots: Vec<(String, Arc<Snapshot>)>,
}

impl Batch {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.world.is_none()
            && self.rollouts.is_empty()
            && self.removed.is_empty()
            && self.records.is_empty()
            && self.snapshots.is_empty()
    }
}

/// What was kept, as the engine takes it up again.
#[derive(Debug, Clone, Default)]
pub struct Saved {
    /// The specs that were in force.
    pub world: Option<World>,
    /// All rollouts.
    pub rollouts: Vec<Rollout>,
    /// Per group, what was published last.
    pub snapshots: Vec<(String, Arc<Snapshot>)>,
}

/// Keeps decisions. Blocking: call it off the runtime's own threads.
pub trait Store: History {
    /// Reads what was kept.
    ///
    /// # Errors
    /// When it cannot be read, or was written by a newer version.
    fn load(&self) -> Result<Saved, StoreError>;

    /// Keeps a decision, durably and whole.
    ///
    /// # Errors
    /// When it was not kept. Then nothing of it was.
    fn commit(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Who has been told of which journal how far: by a key of the notifier's own, the sequence of the last entry.
    ///
    /// # Errors
    /// When it cannot be read.
    fn notified(&self) -> Result<BTreeMap<String, u64>, StoreError>;

    /// Keeps how far somebody has been told, durably; `None` forgets them.
    ///
    /// # Errors
    /// When it was not kept.
    fn set_notified(&self, key: &str, sequence: Option<u64>) -> Result<(), StoreError>;

    /// The sequence of the last entry of a release's journal; 0 when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn journal_end(&self, release: &str) -> Result<u64, StoreError>;
}

/// A line of a release's journal.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalEntry {
    /// Ascending without gaps within the release, from 1.
    pub sequence: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// A word for its kind.
    pub kind: String,
    /// What happened, in a sentence.
    pub message: String,
    /// The whole entry as JSON.
    pub json: String,
}

/// A kept snapshot without its resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRecord {
    /// The group.
    pub group: String,
    /// The hash of all of its content.
    pub version: ResourceVersion,
    /// When it was last published.
    pub published_at: Timestamp,
    /// Per type in sending order: the hash of its content and how many resources it has.
    pub types: Vec<(ResourceType, ResourceVersion, usize)>,
}

/// Reads history. Blocking: call it off the runtime's own threads.
pub trait History: Send + Sync {
    /// Journal entries of a release with a greater sequence, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn journal(&self, release: &str, after: u64, limit: usize) -> Result<Vec<JournalEntry>, StoreError>;

    /// Journal entries of a release up to this sequence, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn journal_back(&self, release: &str, last: u64, limit: usize) -> Result<Vec<JournalEntry>, StoreError>;

    /// The kept snapshots, newest first; of one group or of all.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn snapshots(&self, group: Option<&str>) -> Result<Vec<SnapshotRecord>, StoreError>;

    /// One kept snapshot with its resources.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn snapshot(&self, group: &str, version: ResourceVersion) -> Result<Option<Arc<Snapshot>>, StoreError>;
}
