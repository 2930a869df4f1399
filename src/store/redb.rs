//! SHELL: the embedded store, one file.
//!
//! Values are JSON, so that a person can read them and a newer version can add fields; resource bodies are kept once,
//! by their hash. Every commit is one transaction that reaches the disk before it returns.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{Batch, History, JournalEntry, Saved, SnapshotRecord, Store, StoreError};
use crate::rollout::{Record, Rollout};
use crate::xds::{Resource, ResourceType, ResourceVersion, Snapshot};

/// The layout of what is written. A store of a greater number was written by a newer Serin and is not touched.
const FORMAT: u64 = 1;
/// How many snapshots are kept of each group.
const SNAPSHOTS_KEPT: usize = 50;
/// How many journal entries are kept of each release.
const JOURNAL_KEPT: u64 = 20_000;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const ROLLOUTS: TableDefinition<&str, &[u8]> = TableDefinition::new("rollouts");
const JOURNAL: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("journal");
/// By group and order of publication.
const SNAPSHOTS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("snapshots");
/// Encoded resources by the 32 digits of their hash.
const BODIES: TableDefinition<&str, &[u8]> = TableDefinition::new("bodies");

/// A [`Store`] in one redb file, opened by one process at a time.
pub struct RedbStore {
    open: Box<Open>,
    /// `None` after a failure: redb refuses everything after an I/O error, until it is opened again.
    database: Mutex<Option<Arc<Database>>>,
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

#[derive(Serialize, Deserialize)]
struct Published {
    version: String,
    at: Timestamp,
    /// Type URL, name, hash.
    resources: Vec<(String, String, String)>,
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
        let store = Self { open: Box::new(open), database: Mutex::new(None) };
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
            write.open_table(SNAPSHOTS).while_doing(doing)?;
            write.open_table(BODIES).while_doing(doing)?;
        }
        write.commit().while_doing(doing)
    }

    fn read_published(&self, group: Option<&str>) -> Result<Vec<(String, Published)>> {
        let doing = "reading the snapshots";
        let read = self.database()?.begin_read().while_doing(doing)?;
        let table = read.open_table(SNAPSHOTS).while_doing(doing)?;
        let mut found = Vec::new();
        for row in table.iter().while_doing(doing)? {
            let (key, value) = row.while_doing(doing)?;
            if group.is_none_or(|group| group == key.value().0) {
                found.push((key.value().0.to_owned(), decode::<Published>(value.value(), doing)?));
            }
        }
        Ok(found)
    }

    fn assemble(&self, published: &Published) -> Result<Arc<Snapshot>> {
        let doing = "reading a snapshot's resources";
        let read = self.database()?.begin_read().while_doing(doing)?;
        let bodies = read.open_table(BODIES).while_doing(doing)?;
        let mut builder = Snapshot::builder();
        for (url, name, hash) in &published.resources {
            let missing = || StoreError::new(doing, format!("{url} {name} {hash} is not there"));
            let resource_type = ResourceType::from_type_url(url).ok_or_else(missing)?;
            let body = bodies.get(hash.as_str()).while_doing(doing)?.ok_or_else(missing)?;
            builder.add(Resource::decode(resource_type, name, body.value()).while_doing(doing)?);
        }
        Ok(Arc::new(builder.build_unchecked()))
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
        let mut newest = std::collections::BTreeMap::new();
        for (group, published) in self.read_published(None)? {
            newest.insert(group, published);
        }
        let snapshots =
            newest.into_iter().map(|(group, p)| Ok((group, self.assemble(&p)?))).collect::<Result<Vec<_>>>()?;
        Ok(Saved { world, rollouts, snapshots })
    }

    fn commit(&self, batch: &Batch) -> Result<()> {
        self.write(batch).inspect_err(|_| self.let_go())
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
        for (group, snapshot) in &batch.snapshots {
            keep_snapshot(&write, group, snapshot, batch.at)?;
        }
        write.commit().while_doing(doing)
    }
}

/// Writes the journal's new lines and drops its oldest.
fn append(write: &WriteTransaction, batch: &Batch) -> Result<()> {
    let doing = "writing the journal";
    let mut journal = write.open_table(JOURNAL).while_doing(doing)?;
    for (release, record) in &batch.records {
        let newest =
            journal.range((release.as_str(), 0)..=(release.as_str(), u64::MAX)).while_doing(doing)?.next_back();
        let sequence = newest.transpose().while_doing(doing)?.map_or(0, |(key, _)| key.value().1) + 1;
        let entry = encode(&Entry { at: batch.at, record: record.clone() }, doing)?;
        journal.insert((release.as_str(), sequence), entry.as_slice()).while_doing(doing)?;
        if let Some(old) = sequence.checked_sub(JOURNAL_KEPT) {
            journal.remove((release.as_str(), old)).while_doing(doing)?;
        }
    }
    Ok(())
}

/// Writes a snapshot as its group's newest, and drops the oldest with the bodies that nothing else needs.
fn keep_snapshot(write: &WriteTransaction, group: &str, snapshot: &Snapshot, at: Timestamp) -> Result<()> {
    let doing = "keeping a snapshot";
    let mut snapshots = write.open_table(SNAPSHOTS).while_doing(doing)?;
    let mut bodies = write.open_table(BODIES).while_doing(doing)?;
    let mut resources = Vec::with_capacity(snapshot.len());
    for resource in snapshot.iter() {
        let hash = resource.version().to_string();
        if bodies.get(hash.as_str()).while_doing(doing)?.is_none() {
            bodies.insert(hash.as_str(), &resource.body()[..]).while_doing(doing)?;
        }
        resources.push((resource.resource_type().type_url().to_owned(), resource.name().to_string(), hash));
    }
    let mut kept = Vec::new();
    for row in snapshots.range((group, 0)..=(group, u64::MAX)).while_doing(doing)? {
        let (key, value) = row.while_doing(doing)?;
        kept.push((key.value().1, decode::<Published>(value.value(), doing)?));
    }
    let version = snapshot.version().to_string();
    let next = kept.last().map_or(0, |(number, _)| *number) + 1;
    // The same content published again is the same snapshot, newer.
    let surplus = (kept.len() + 1).saturating_sub(SNAPSHOTS_KEPT);
    let mut unused = BTreeSet::new();
    for (at, (number, published)) in kept.iter().enumerate() {
        if at < surplus || published.version == version {
            snapshots.remove((group, *number)).while_doing(doing)?;
            unused.extend(published.resources.iter().map(|(.., hash)| hash.clone()));
        }
    }
    let published = Published { version, at, resources };
    snapshots.insert((group, next), encode(&published, doing)?.as_slice()).while_doing(doing)?;
    if unused.is_empty() {
        return Ok(());
    }
    for row in snapshots.iter().while_doing(doing)? {
        let published = decode::<Published>(row.while_doing(doing)?.1.value(), doing)?;
        for (.., hash) in &published.resources {
            unused.remove(hash);
        }
    }
    for hash in unused {
        bodies.remove(hash.as_str()).while_doing(doing)?;
    }
    Ok(())
}

impl History for RedbStore {
    fn journal(&self, release: &str, after: u64, limit: usize) -> Result<Vec<JournalEntry>> {
        let doing = "reading the journal";
        let read = self.database()?.begin_read().while_doing(doing)?;
        let journal = read.open_table(JOURNAL).while_doing(doing)?;
        let rows = journal.range((release, after.saturating_add(1))..=(release, u64::MAX)).while_doing(doing)?;
        let mut entries = Vec::new();
        for row in rows.take(limit) {
            let (key, value) = row.while_doing(doing)?;
            let Entry { at, record } = decode(value.value(), doing)?;
            entries.push(JournalEntry {
                sequence: key.value().1,
                at,
                kind: record.kind().to_owned(),
                message: record.message(),
                json: serde_json::to_string(&record).while_doing(doing)?,
            });
        }
        Ok(entries)
    }

    fn snapshots(&self, group: Option<&str>) -> Result<Vec<SnapshotRecord>> {
        let mut found: Vec<SnapshotRecord> = Vec::new();
        for (group, published) in self.read_published(group)? {
            let snapshot = self.assemble(&published)?;
            let types = ResourceType::ALL.map(|t| (t, snapshot.version_of(t), snapshot.of_type(t).len()));
            found.push(SnapshotRecord {
                group,
                version: snapshot.version(),
                published_at: published.at,
                types: types.to_vec(),
            });
        }
        found.sort_by(|a, b| b.published_at.cmp(&a.published_at).then_with(|| a.group.cmp(&b.group)));
        Ok(found)
    }

    fn snapshot(&self, group: &str, version: ResourceVersion) -> Result<Option<Arc<Snapshot>>> {
        let wanted = version.to_string();
        let found = self.read_published(Some(group))?.into_iter().find(|(_, p)| p.version == wanted);
        found.map(|(_, published)| self.assemble(&published)).transpose()
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
