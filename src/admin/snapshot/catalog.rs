//! Which snapshots there are: what history kept, and what is current.
//!
//! Invariant: newest first; in one group's catalog the current snapshot is the first.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::admin::error::AdminError;
use crate::admin::{convert, proto};
use crate::rollout::engine::View;
use crate::store::{History, SnapshotRecord, StoreError};
use crate::xds::{ResourceType, Snapshot};

/// A snapshot that there is.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: SnapshotRecord,
    /// The snapshot itself when it is its group's current one.
    pub(super) live: Option<Arc<Snapshot>>,
}

impl Entry {
    pub(super) fn to_proto(&self) -> proto::Snapshot {
        convert::snapshot(&self.record, self.live.is_some())
    }
}

/// The snapshots of one group or of all.
#[derive(Debug)]
pub(super) struct Catalog {
    entries: Vec<Entry>,
}

impl Catalog {
    /// Only what is current.
    pub(super) fn of_view(view: &View, group: Option<&str>) -> Self {
        let current = view.groups.iter().filter(|(name, _)| group.is_none_or(|group| group == *name));
        let entries = current.map(|(group, (snapshot, published_at))| Entry {
            record: SnapshotRecord {
                group: group.clone(),
                version: snapshot.version(),
                published_at: *published_at,
                types: ResourceType::CORE.map(|t| (t, snapshot.version_of(t), snapshot.of_type(t).len())).to_vec(),
            },
            live: Some(Arc::clone(snapshot)),
        });
        Self { entries: entries.collect() }
    }

    /// All that there is. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn read(view: &View, history: &dyn History, group: Option<&str>) -> Result<Self, StoreError> {
        let Self { mut entries } = Self::of_view(view, group);
        let kept = history.snapshots(group)?;
        let is_current = |record: &SnapshotRecord| {
            view.groups.get(&record.group).is_some_and(|(snapshot, _)| snapshot.version() == record.version)
        };
        let others = kept.into_iter().filter(|record| !is_current(record));
        entries.extend(others.map(|record| Entry { record, live: None }));
        // Within a group the current one is the newest, whatever the clock said meanwhile.
        entries.sort_by_key(|entry| (group.is_some() && entry.live.is_none(), Reverse(entry.record.published_at)));
        Ok(Self { entries })
    }

    /// Newest first.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Their versions, as people know them.
    pub(super) fn versions(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.record.version.short()).collect()
    }

    /// The place of a group's snapshot whose version begins so; of the current one when `prefix` is empty. The catalog
    /// must be the group's.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(super) fn find(&self, view: &View, group: &str, prefix: &str) -> Result<usize, AdminError> {
        if self.entries.is_empty() {
            let known = view.groups.keys().cloned().collect();
            return Err(AdminError::UnknownGroup { group: group.to_owned(), known });
        }
        if prefix.is_empty() {
            let current = self.entries.iter().position(|entry| entry.live.is_some());
            return current.ok_or_else(|| AdminError::NotCurrent { group: group.to_owned(), known: self.versions() });
        }
        let prefix = prefix.to_ascii_lowercase();
        if prefix.len() > 32 || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(AdminError::NotAVersion(prefix));
        }
        let fits = |entry: &Entry| entry.record.version.to_string().starts_with(&prefix);
        let mut found = self.entries.iter().enumerate().filter(|(_, entry)| fits(entry)).map(|(at, _)| at);
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(AdminError::UnknownVersion { group: group.to_owned(), prefix, known: self.versions() }),
            (Some(_), Some(_)) => {
                let candidates = self.entries.iter().filter(|entry| fits(entry));
                let candidates = candidates.map(|entry| entry.record.version.to_string()).collect();
                Err(AdminError::AmbiguousVersion { group: group.to_owned(), prefix, candidates })
            }
        }
    }

    /// The place of the snapshot that was published before the one at this place.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn before(&self, place: usize) -> Result<usize, AdminError> {
        if place + 1 < self.entries.len() {
            return Ok(place + 1);
        }
        let record = &self.entries[place].record;
        Err(AdminError::NothingBefore { group: record.group.clone(), version: record.version.short() })
    }
}
