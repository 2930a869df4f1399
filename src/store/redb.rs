//! SHELL: the embedded store, one file.
//!
//! Values are JSON, so that a person can read them and a newer version can add fields; resource bodies are kept once,
//! by their hash. Every commit is one transaction that reaches the disk before it returns, and writes what is decided:
//! of a snapshot, what differs from the one before it.

mod snapshots;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use imbl::OrdMap;
use jiff::Timestamp;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use self::snapshots::Tables;
use super::{Batch, History, JournalEntry, Saved, SnapshotRecord, Store, StoreError};
use crate::rollout::{Record, Rollout};
use crate::xds::{ResourceVersion, Snapshot};

/// The layout of what is written. A store of a greater number was written by a newer Serin and is not touched.
const FORMAT: u64 = 2;
/// How many journal entries are kept of each release.
const JOURNAL_KEPT: u64 = 20_000;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const ROLLOUTS: TableDefinition<&str, &[u8]> = TableDefinition::new("rollouts");
const JOURNAL: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("journal");
const NOTIFIED: TableDefinition<&str, u64> = TableDefinition::new("notified");
/// A [`Store`] in one redb file, opened by one process at a time.
pub struct RedbStore {
    open: Box<Open>,
    /// `None` after a failure: redb refuses everything after an I/O error, until it is opened again.
    database: Mutex<Option<Arc<Database>>>,
    /// The newest snapshots, as they are in the file: what the next ones are compared with.
    newest: Mutex<OrdMap<String, Arc<Snapshot>>>,
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").finish_non_exhaustive()
    }
}

type Open = dyn Fn() -> std::result::Result<Database, DatabaseError> + Send + Sync;

#[derive(Serialize, Deserialize)]
struct Entry {
    at: Timestamp,
    record: Record,
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Gives any error of the database its context.
trait Context<T> {
    fn while_doing(self, context: &str) -> Result<T>;
}

impl<T, E: std::error::Error + Send + Sync + 'static> Context<T> for std::result::Result<T, E> {
    fn while_doing(self, context: &str) -> Result<T> {
        self.map_err(|e| StoreError::new(context, e))
    }
}

impl RedbStore {
    /// Opens the store in a directory, creating both when they are not there.
    ///
    /// # Errors
    /// When the file cannot be opened, another process has it, or a newer Serin wrote it.
    pub fn open(directory: &Path) -> Result<Self> {
        let doing = format!("opening the store in {}", directory.display());
        std::fs::create_dir_all(directory).while_doing(&doing)?;
        let path = directory.join("serin.redb");
        Self::with(move || Database::create(&path)).map_err(|e| StoreError::new(doing, e))
    }

    fn with(open: impl Fn() -> std::result::Result<Database, DatabaseError> + Send + Sync + 'static) -> Result<Self> {
        let store = Self { open: Box::new(open), database: Mutex::new(None), newest: Mutex::default() };
        store.prepare()?;
        Ok(store)
    }

    fn database(&self) -> Result<Arc<Database>> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*database {
            return Ok(Arc::clone(open));
        }
        let opened = (self.open)().map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::new("opening the file", "another serin uses it"),
            other => StoreError::new("opening the file", other),
        })?;
        let opened = Arc::new(opened);
        *database = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// The next one who needs it opens the file again.
    fn let_go(&self) {
        // Nobody knows how far it came.
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn prepare(&self) -> Result<()> {
        let doing = "preparing the tables";
        let write = self.database()?.begin_write().while_doing(doing)?;
        {
            let mut meta = write.open_table(META).while_doing(doing)?;
            let found = meta.get("format").while_doing(doing)?.map(|v| decode::<u64>(v.value(), doing)).transpose()?;
            if let Some(found) = found.filter(|found| *found > FORMAT) {
                let why = format!("it has format {found}, and this version of serin knows formats up to {FORMAT}");
                return Err(StoreError::new(doing, why));
            }
            meta.insert("format", encode(&FORMAT, doing)?.as_slice()).while_doing(doing)?;
            write.open_table(ROLLOUTS).while_doing(doing)?;
            write.open_table(JOURNAL).while_doing(doing)?;
            write.open_table(NOTIFIED).while_doing(doing)?;
            let mut tables = Tables::open(&write)?;
            if found == Some(1) {
                snapshots::take_over(&write, &mut tables)?;
            }
        }
        write.commit().while_doing(doing)
    }
}

impl Store for RedbStore {
    fn load(&self) -> Result<Saved> {
        let doing = "reading what was kept";
        let read = self.database()?.begin_read().while_doing(doing)?;
        let meta = read.open_table(META).while_doing(doing)?;
        let world = meta.get("world").while_doing(doing)?.map(|v| decode(v.value(), doing)).transpose()?;
        let table = read.open_table(ROLLOUTS).while_doing(doing)?;
        let mut rollouts = Vec::new();
        for row in table.iter().while_doing(doing)? {
            rollouts.push(decode::<Rollout>(row.while_doing(doing)?.1.value(), doing)?);
        }
        let records = snapshots::records(&read, None)?.into_iter();
        let newest: OrdMap<String, u64> = records.map(|(number, record)| (record.group, number)).collect();
        let assemble = |(group, number): (String, u64)| {
            let snapshot = snapshots::assemble(&read, &group, number)?;
            Ok::<_, StoreError>((group, snapshot))
        };
        let snapshots = newest.into_iter().map(assemble).collect::<Result<Vec<_>>>()?;
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = snapshots.iter().cloned().collect();
        Ok(Saved { world, rollouts, snapshots })
    }

    fn commit(&self, batch: &Batch) -> Result<()> {
        self.write(batch).inspect_err(|_| self.let_go())
    }

    fn notified(&self) -> Result<BTreeMap<String, u64>> {
        let doing = "reading who was notified";
        let read = self.database()?.begin_read().while_doing(doing)?;
        let table = read.open_table(NOTIFIED).while_doing(doing)?;
        let row = |(key, sequence): (redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, u64>)| {
            (key.value().to_owned(), sequence.value())
        };
        table.iter().while_doing(doing)?.map(|found| found.map(row).while_doing(doing)).collect()
    }

    fn set_notified(&self, key: &str, sequence: Option<u64>) -> Result<()> {
        self.write_notified(key, sequence).inspect_err(|_| self.let_go())
    }

    fn journal_end(&self, release: &str) -> Result<u64> {
        let doing = "reading the journal's end";
        let read = self.database()?.begin_read().while_doing(doing)?;
        newest(&read.open_table(JOURNAL).while_doing(doing)?, release, doing)
    }
}

impl RedbStore {
    fn write(&self, batch: &Batch) -> Result<()> {
        let doing = "keeping a decision";
        let write = self.database()?.begin_write().while_doing(doing)?;
        if let Some(world) = &batch.world {
            let mut meta = write.open_table(META).while_doing(doing)?;
            meta.insert("world", encode(world, doing)?.as_slice()).while_doing(doing)?;
        }
        {
            let mut rollouts = write.open_table(ROLLOUTS).while_doing(doing)?;
            for rollout in &batch.rollouts {
                rollouts.insert(rollout.release.as_str(), encode(rollout, doing)?.as_slice()).while_doing(doing)?;
            }
            for release in &batch.removed {
                rollouts.remove(release.as_str()).while_doing(doing)?;
            }
        }
        append(&write, batch)?;
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (group, snapshot) in &batch.snapshots {
            let before = newest.get(group).cloned().map_or_else(|| self.read_newest(group), Ok)?;
            Tables::open(&write)?.keep(group, &before, snapshot, batch.at)?;
            newest.insert(group.clone(), Arc::clone(snapshot));
        }
        write.commit().while_doing(doing)?;
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = newest;
        Ok(())
    }

    fn write_notified(&self, key: &str, sequence: Option<u64>) -> Result<()> {
        let doing = "keeping who was notified";
        let write = self.database()?.begin_write().while_doing(doing)?;
        {
            let mut table = write.open_table(NOTIFIED).while_doing(doing)?;
            match sequence {
                Some(sequence) => table.insert(key, sequence).while_doing(doing)?,
                None => table.remove(key).while_doing(doing)?,
            };
        }
        write.commit().while_doing(doing)
    }

    /// A group's newest snapshot; one without resources when it has none.
    fn read_newest(&self, group: &str) -> Result<Arc<Snapshot>> {
        let read = self.database()?.begin_read().while_doing("reading a snapshot")?;
        match snapshots::records(&read, Some(group))?.last() {
            Some((number, _)) => snapshots::assemble(&read, group, *number),
            None => Ok(Arc::new(Snapshot::builder().build_unchecked())),
        }
    }
}

/// Writes the journal's new lines and drops its oldest.
fn append(write: &WriteTransaction, batch: &Batch) -> Result<()> {
    let doing = "writing the journal";
    let mut journal = write.open_table(JOURNAL).while_doing(doing)?;
    for (release, record) in &batch.records {
        let sequence = newest(&journal, release, doing)? + 1;
        let entry = encode(&Entry { at: batch.at, record: record.clone() }, doing)?;
        journal.insert((release.as_str(), sequence), entry.as_slice()).while_doing(doing)?;
        if let Some(old) = sequence.checked_sub(JOURNAL_KEPT) {
            journal.remove((release.as_str(), old)).while_doing(doing)?;
        }
    }
    Ok(())
}

type Row<'a> = (redb::AccessGuard<'a, (&'static str, u64)>, redb::AccessGuard<'a, &'static [u8]>);

/// An entry as it is read.
fn line(row: std::result::Result<Row<'_>, redb::StorageError>, doing: &str) -> Result<JournalEntry> {
    let (key, value) = row.while_doing(doing)?;
    let Entry { at, record } = decode(value.value(), doing)?;
    Ok(JournalEntry {
        sequence: key.value().1,
        at,
        kind: record.kind().to_owned(),
        message: record.message(),
        json: serde_json::to_string(&record).while_doing(doing)?,
    })
}

/// The sequence of a journal's last entry; 0 when there is none.
fn newest(journal: &impl ReadableTable<(&'static str, u64), &'static [u8]>, release: &str, doing: &str) -> Result<u64> {
    let newest = journal.range((release, 0)..=(release, u64::MAX)).while_doing(doing)?.next_back();
    Ok(newest.transpose().while_doing(doing)?.map_or(0, |(key, _)| key.value().1))
}

impl History for RedbStore {
    fn journal(&self, release: &str, after: u64, limit: usize) -> Result<Vec<JournalEntry>> {
        let doing = "reading the journal";
        let read = self.database()?.begin_read().while_doing(doing)?;
        let journal = read.open_table(JOURNAL).while_doing(doing)?;
        let rows = journal.range((release, after.saturating_add(1))..=(release, u64::MAX)).while_doing(doing)?;
        rows.take(limit).map(|row| line(row, doing)).collect()
    }

    fn journal_back(&self, release: &str, last: u64, limit: usize) -> Result<Vec<JournalEntry>> {
        let doing = "reading the journal";
        let read = self.database()?.begin_read().while_doing(doing)?;
        let journal = read.open_table(JOURNAL).while_doing(doing)?;
        let rows = journal.range((release, 0)..=(release, last)).while_doing(doing)?;
        rows.rev().take(limit).map(|row| line(row, doing)).collect()
    }

    fn snapshots(&self, group: Option<&str>) -> Result<Vec<SnapshotRecord>> {
        let read = self.database()?.begin_read().while_doing("reading the snapshots")?;
        let records = snapshots::records(&read, group)?.into_iter();
        let mut found: Vec<SnapshotRecord> = records.map(|(_, record)| record).collect();
        found.sort_by(|a, b| b.published_at.cmp(&a.published_at).then_with(|| a.group.cmp(&b.group)));
        Ok(found)
    }

    fn snapshot(&self, group: &str, version: ResourceVersion) -> Result<Option<Arc<Snapshot>>> {
        let read = self.database()?.begin_read().while_doing("reading a snapshot")?;
        let found = snapshots::records(&read, Some(group))?.into_iter().find(|(_, record)| record.version == version);
        found.map(|(number, _)| snapshots::assemble(&read, group, number)).transpose()
    }
}

fn encode<T: Serialize>(value: &T, doing: &str) -> Result<Vec<u8>> {
    serde_json::to_vec(value).while_doing(doing)
}

fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8], doing: &str) -> Result<T> {
    serde_json::from_slice(bytes).while_doing(doing)
}

#[cfg(test)]
mod tests;
