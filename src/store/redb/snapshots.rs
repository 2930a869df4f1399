//! SHELL: the snapshots in the store. A snapshot that is kept costs what it changes, not what it holds.
//!
//! Snapshots of a group are numbered in order of publication. A resource is one row for as long as it stays the same:
//! since which number, and until which (exclusive). Its body is kept once, by its hash, and goes with its last row.

use std::sync::Arc;

use imbl::ordmap::DiffItem;
use jiff::Timestamp;
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{Context, Result, decode, encode};
use crate::store::{SnapshotRecord, StoreError};
use crate::xds::{Resource, ResourceType, ResourceVersion, Snapshot};

/// How many snapshots are kept of each group.
pub(super) const KEPT: usize = 50;

/// Format 1: by group and number, each with all of its resources.
const WHOLE: TableDefinition<Number<'_>, &[u8]> = TableDefinition::new("snapshots");
/// By group and number.
const PUBLISHED: TableDefinition<Number<'_>, &[u8]> = TableDefinition::new("published");
/// By group, type URL, name and the number of the first snapshot that has it.
const HELD: TableDefinition<Row<'_>, &[u8]> = TableDefinition::new("held");
/// The rows of those that are no more, by group, the first number without it, type URL, name: the number of the first
/// with it.
const ENDED: TableDefinition<Ended<'_>, u64> = TableDefinition::new("ended");
/// Encoded resources by the 32 digits of their hash.
pub(super) const BODIES: TableDefinition<&str, &[u8]> = TableDefinition::new("bodies");
/// How many rows have a body, by its hash.
const USES: TableDefinition<&str, u64> = TableDefinition::new("uses");

type Number<'a> = (&'a str, u64);
type Row<'a> = (&'a str, &'a str, &'a str, u64);
type Ended<'a> = (&'a str, u64, &'a str, &'a str);

/// A snapshot without its resources.
#[derive(Serialize, Deserialize)]
struct Published {
    version: String,
    at: Timestamp,
    /// Type URL, hash, how many.
    types: Vec<(String, String, usize)>,
}

#[derive(Serialize, Deserialize)]
struct Held {
    hash: String,
    /// The number of the first snapshot that does not have it any more.
    until: Option<u64>,
}

/// The tables, open for a decision to be kept.
pub(super) struct Tables<'a> {
    published: Table<'a, Number<'static>, &'static [u8]>,
    held: Table<'a, Row<'static>, &'static [u8]>,
    ended: Table<'a, Ended<'static>, u64>,
    bodies: Table<'a, &'static str, &'static [u8]>,
    uses: Table<'a, &'static str, u64>,
}

const KEEPING: &str = "keeping a snapshot";
const READING: &str = "reading the snapshots";

impl<'a> Tables<'a> {
    /// Opens them, and makes those that are not there.
    pub(super) fn open(write: &'a WriteTransaction) -> Result<Self> {
        Ok(Self {
            published: write.open_table(PUBLISHED).while_doing(KEEPING)?,
            held: write.open_table(HELD).while_doing(KEEPING)?,
            ended: write.open_table(ENDED).while_doing(KEEPING)?,
            bodies: write.open_table(BODIES).while_doing(KEEPING)?,
            uses: write.open_table(USES).while_doing(KEEPING)?,
        })
    }

    /// Keeps a snapshot as its group's newest, after `before`, which is the newest so far. Drops the oldest.
    pub(super) fn keep(&mut self, group: &str, before: &Snapshot, snapshot: &Snapshot, at: Timestamp) -> Result<()> {
        let kept = self.kept(group)?;
        let number = kept.last().map_or(0, |(number, _)| *number) + 1;
        let mut types: Vec<ResourceType> = before.types().chain(snapshot.types()).collect();
        types.sort_unstable();
        types.dedup();
        for of in types {
            for difference in before.of_type(of).diff(snapshot.of_type(of)) {
                match difference {
                    DiffItem::Add(_, new) => self.begin(group, number, new)?,
                    DiffItem::Remove(_, old) => self.end(group, number, old)?,
                    DiffItem::Update { old: (_, old), new: (_, new) } => {
                        self.end(group, number, old)?;
                        self.begin(group, number, new)?;
                    }
                }
            }
        }
        let version = snapshot.version().to_string();
        let types = ResourceType::CORE
            .map(|of| (of.type_url().to_owned(), snapshot.version_of(of).to_string(), snapshot.of_type(of).len()));
        let published = Published { version, at, types: types.into() };
        // The same content published again is the same snapshot, newer.
        let surplus = (kept.len() + 1).saturating_sub(KEPT);
        let mut oldest = number;
        for (place, (other, old)) in kept.into_iter().enumerate() {
            if place < surplus || old.version == published.version {
                self.published.remove((group, other)).while_doing(KEEPING)?;
            } else {
                oldest = oldest.min(other);
            }
        }
        self.published.insert((group, number), encode(&published, KEEPING)?.as_slice()).while_doing(KEEPING)?;
        self.forget(group, oldest)
    }

    fn kept(&self, group: &str) -> Result<Vec<(u64, Published)>> {
        let mut kept = Vec::new();
        for row in self.published.range((group, 0)..=(group, u64::MAX)).while_doing(KEEPING)? {
            let (key, value) = row.while_doing(KEEPING)?;
            kept.push((key.value().1, decode(value.value(), KEEPING)?));
        }
        Ok(kept)
    }

    fn begin(&mut self, group: &str, number: u64, resource: &Resource) -> Result<()> {
        let hash = resource.version().to_string();
        let uses = self.uses.get(hash.as_str()).while_doing(KEEPING)?.map_or(0, |uses| uses.value());
        if uses == 0 {
            self.bodies.insert(hash.as_str(), resource.body()).while_doing(KEEPING)?;
        }
        self.uses.insert(hash.as_str(), uses + 1).while_doing(KEEPING)?;
        let key = (group, resource.resource_type().type_url(), &**resource.name(), number);
        let held = encode(&Held { hash, until: None }, KEEPING)?;
        self.held.insert(key, held.as_slice()).while_doing(KEEPING)?;
        Ok(())
    }

    fn end(&mut self, group: &str, number: u64, resource: &Resource) -> Result<()> {
        let (url, name) = (resource.resource_type().type_url(), &**resource.name());
        let missing = || StoreError::new(KEEPING, format!("{url} {name} of {group} is not there"));
        // In a block of its own: what was read must be let go before its page is written.
        let (since, hash) = {
            let mut rows =
                self.held.range((group, url, name, 0)..=(group, url, name, u64::MAX)).while_doing(KEEPING)?;
            let (key, value) = rows.next_back().ok_or_else(missing)?.while_doing(KEEPING)?;
            (key.value().3, decode::<Held>(value.value(), KEEPING)?.hash)
        };
        let held = encode(&Held { hash, until: Some(number) }, KEEPING)?;
        self.held.insert((group, url, name, since), held.as_slice()).while_doing(KEEPING)?;
        self.ended.insert((group, number, url, name), since).while_doing(KEEPING)?;
        Ok(())
    }

    /// Forgets what was no more when the oldest snapshot that is kept was published.
    fn forget(&mut self, group: &str, oldest: u64) -> Result<()> {
        let gone = self.ended.extract_from_if((group, 0, "", "")..(group, oldest + 1, "", ""), |_, _| true);
        for row in gone.while_doing(KEEPING)? {
            let (key, since) = row.while_doing(KEEPING)?;
            let (group, _, url, name) = key.value();
            let Some(held) = self.held.remove((group, url, name, since.value())).while_doing(KEEPING)? else {
                continue;
            };
            let hash = decode::<Held>(held.value(), KEEPING)?.hash;
            let uses = self.uses.get(hash.as_str()).while_doing(KEEPING)?.map_or(0, |uses| uses.value());
            if uses > 1 {
                self.uses.insert(hash.as_str(), uses - 1).while_doing(KEEPING)?;
            } else {
                self.uses.remove(hash.as_str()).while_doing(KEEPING)?;
                self.bodies.remove(hash.as_str()).while_doing(KEEPING)?;
            }
        }
        Ok(())
    }
}

/// Takes over the snapshots of format 1, and leaves none of it behind.
pub(super) fn take_over(write: &WriteTransaction, tables: &mut Tables<'_>) -> Result<()> {
    #[derive(Deserialize)]
    struct Whole {
        at: Timestamp,
        /// Type URL, name, hash.
        resources: Vec<(String, String, String)>,
    }
    const DOING: &str = "taking over the snapshots of an older store";
    let mut newest: Option<(String, Snapshot)> = None;
    let whole = write.open_table(WHOLE).while_doing(DOING)?;
    for row in whole.iter().while_doing(DOING)? {
        let (key, value) = row.while_doing(DOING)?;
        let Whole { at, resources } = decode(value.value(), DOING)?;
        let mut builder = Snapshot::builder();
        for (url, name, hash) in &resources {
            let missing = || StoreError::new(DOING, format!("{url} {name} {hash} is not there"));
            let resource_type = ResourceType::from_type_url(url).ok_or_else(missing)?;
            let body = tables.bodies.get(hash.as_str()).while_doing(DOING)?.ok_or_else(missing)?;
            builder.add(Resource::decode(resource_type, name, body.value()).while_doing(DOING)?);
        }
        let (group, snapshot) = (key.value().0.to_owned(), builder.build_unchecked());
        let before = newest.take().filter(|(other, _)| *other == group).map(|(_, before)| before);
        let before = before.unwrap_or_else(|| Snapshot::builder().build_unchecked());
        tables.keep(&group, &before, &snapshot, at)?;
        newest = Some((group, snapshot));
    }
    drop(whole);
    write.delete_table(WHOLE).while_doing(DOING)?;
    Ok(())
}

/// The kept snapshots of a group or of all, with their numbers, oldest first.
pub(super) fn records(read: &ReadTransaction, group: Option<&str>) -> Result<Vec<(u64, SnapshotRecord)>> {
    let table = read.open_table(PUBLISHED).while_doing(READING)?;
    let rows = match group {
        Some(group) => table.range((group, 0)..=(group, u64::MAX)),
        None => table.range::<Number<'_>>(..),
    };
    let mut found = Vec::new();
    for row in rows.while_doing(READING)? {
        let (key, value) = row.while_doing(READING)?;
        let (group, number) = key.value();
        let Published { version, at, types } = decode(value.value(), READING)?;
        let unreadable = || StoreError::new(READING, format!("the record of {group} {number} cannot be read"));
        let types = types.into_iter().map(|(url, version, resources)| {
            Some((ResourceType::from_type_url(&url)?, ResourceVersion::parse(&version)?, resources))
        });
        let record = SnapshotRecord {
            group: group.to_owned(),
            version: ResourceVersion::parse(&version).ok_or_else(unreadable)?,
            published_at: at,
            types: types.collect::<Option<_>>().ok_or_else(unreadable)?,
        };
        found.push((number, record));
    }
    Ok(found)
}

/// A snapshot with its resources.
pub(super) fn assemble(read: &ReadTransaction, group: &str, number: u64) -> Result<Arc<Snapshot>> {
    let held = read.open_table(HELD).while_doing(READING)?;
    let bodies = read.open_table(BODIES).while_doing(READING)?;
    let mut builder = Snapshot::builder();
    for row in held.range((group, "", "", 0)..).while_doing(READING)? {
        let (key, value) = row.while_doing(READING)?;
        let (of, url, name, since) = key.value();
        if of != group {
            break;
        }
        let Held { hash, until } = decode(value.value(), READING)?;
        if since > number || until.is_some_and(|until| until <= number) {
            continue;
        }
        let missing = || StoreError::new(READING, format!("{url} {name} {hash} is not there"));
        let resource_type = ResourceType::from_type_url(url).ok_or_else(missing)?;
        let body = bodies.get(hash.as_str()).while_doing(READING)?.ok_or_else(missing)?;
        builder.add(Resource::decode(resource_type, name, body.value()).while_doing(READING)?);
    }
    Ok(Arc::new(builder.build_unchecked()))
}

/// How many rows of resources there are, and how many bodies are used.
#[cfg(test)]
pub(super) fn rows(read: &ReadTransaction) -> (usize, usize) {
    let held = read.open_table(HELD).expect("the table").iter().expect("rows").count();
    (held, read.open_table(USES).expect("the table").iter().expect("rows").count())
}
