use std::sync::atomic::{AtomicBool, Ordering};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;

use super::*;
use crate::model::World;
use crate::xds::Resource;

fn snapshot(names: &[&str]) -> Arc<Snapshot> {
    let mut builder = Snapshot::builder();
    for name in names {
        let cluster = Cluster { name: (*name).to_owned(), ..Cluster::default() };
        builder.add(Resource::cluster(&cluster).expect("a cluster"));
    }
    Arc::new(builder.build().expect("a snapshot"))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn publish(store: &RedbStore, second: i64, snapshot: &Arc<Snapshot>) {
    let snapshots = vec![("edge".to_owned(), Arc::clone(snapshot))];
    store.commit(&Batch { at: at(second), snapshots, ..Batch::default() }).expect("kept");
}

fn bodies(store: &RedbStore) -> usize {
    let read = store.database().expect("open").begin_read().expect("a transaction");
    let table = read.open_table(snapshots::BODIES).expect("the table");
    table.iter().expect("rows").count()
}

#[test]
fn what_was_kept_is_there_after_the_process_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let rollout = Rollout::adopt("checkout", "checkout", "v1", at(1));
    let record = Record::Adopted { version: "v1".into() };
    {
        let store = RedbStore::open(directory.path()).expect("a store");
        assert!(store.load().expect("an empty store").rollouts.is_empty());
        let batch = Batch {
            at: at(1),
            world: Some(Arc::new(World::default())),
            rollouts: vec![rollout.clone()],
            removed: Vec::new(),
            records: vec![("checkout".into(), record.clone()), ("checkout".into(), record.clone())],
            snapshots: vec![("edge".into(), snapshot(&["a", "b"]))],
        };
        store.commit(&batch).expect("kept");
    }
    let store = RedbStore::open(directory.path()).expect("the store again");
    let saved = store.load().expect("what was kept");
    assert_eq!(saved.world, Some(World::default()));
    assert_eq!(saved.rollouts, vec![rollout]);
    assert_eq!(saved.snapshots, vec![("edge".to_owned(), snapshot(&["a", "b"]))]);
    let journal = store.journal("checkout", 1, 10).expect("the journal");
    assert_eq!(journal.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [2]);
    assert_eq!((journal[0].kind.as_str(), journal[0].message.as_str()), ("adopted", &*record.message()));
    assert!(store.journal("other", 0, 10).expect("no journal").is_empty());
    let back = |last, limit| -> Vec<u64> {
        let entries = store.journal_back("checkout", last, limit).expect("the journal");
        entries.iter().map(|entry| entry.sequence).collect()
    };
    assert_eq!(
        (back(u64::MAX, 10), back(1, 10), back(u64::MAX, 1), back(0, 10)),
        (vec![2, 1], vec![1], vec![2], vec![])
    );
}

/// A disk that can be full.
#[derive(Debug)]
struct Disk {
    file: redb::backends::FileBackend,
    full: Arc<AtomicBool>,
}

impl Disk {
    fn has_room(&self) -> std::io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.has_room().and_then(|()| self.file.set_len(len))
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.has_room().and_then(|()| self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.has_room().and_then(|()| self.file.write(offset, data))
    }

    fn close(&self) -> std::io::Result<()> {
        self.file.close()
    }
}

#[test]
fn a_disk_that_was_full_takes_decisions_again_when_it_has_room() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, full) = (directory.path().join("serin.redb"), Arc::new(AtomicBool::new(false)));
    let disk = Arc::clone(&full);
    let open = move || {
        let options = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = redb::backends::FileBackend::new(options.expect("the file"))?;
        Database::builder().create_with_backend(Disk { file, full: Arc::clone(&disk) })
    };
    let store = RedbStore::with(open).expect("a store");
    let keep = |version: &str| {
        let rollouts = vec![Rollout::adopt("checkout", "checkout", version, at(1))];
        store.commit(&Batch { at: at(1), rollouts, ..Batch::default() })
    };
    keep("v1").expect("kept");
    full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(keep("v2").is_err());
    }
    full.store(false, Ordering::SeqCst);
    assert_eq!(store.load().expect("what was kept").rollouts[0].stable, "v1", "all of it, or nothing");
    keep("v3").expect("there is room again");
    assert_eq!(store.load().expect("what was kept").rollouts[0].stable, "v3");
}

#[test]
fn a_removed_release_leaves_its_journal() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = RedbStore::open(directory.path()).expect("a store");
    let rollouts = vec![Rollout::adopt("checkout", "checkout", "v1", at(1))];
    let records = vec![("checkout".to_owned(), Record::Adopted { version: "v1".into() })];
    store.commit(&Batch { at: at(1), rollouts, records, ..Batch::default() }).expect("kept");
    store.commit(&Batch { at: at(2), removed: vec!["checkout".into()], ..Batch::default() }).expect("kept");
    assert!(store.load().expect("what was kept").rollouts.is_empty());
    assert_eq!(store.journal("checkout", 0, 10).expect("the journal").len(), 1);
}

#[test]
fn who_was_told_how_far_is_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    {
        let store = RedbStore::open(directory.path()).expect("a store");
        assert_eq!(store.journal_end("checkout").expect("no journal"), 0);
        let records = vec![("checkout".to_owned(), Record::Adopted { version: "v1".into() }); 3];
        store.commit(&Batch { at: at(1), records, ..Batch::default() }).expect("kept");
        assert_eq!(store.journal_end("checkout").expect("the journal"), 3);
        assert_eq!(store.journal_end("check").expect("no journal"), 0);
        for (key, sequence) in [("a", Some(1)), ("a", Some(2)), ("b", Some(3)), ("b", None), ("c", None)] {
            store.set_notified(key, sequence).expect("kept");
        }
    }
    let store = RedbStore::open(directory.path()).expect("the store again");
    assert_eq!(store.notified().expect("what was kept"), [("a".to_owned(), 2)].into());
}

#[test]
fn the_same_content_is_one_snapshot_and_the_newest_comes_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = RedbStore::open(directory.path()).expect("a store");
    let (one, two) = (snapshot(&["a"]), snapshot(&["a", "b"]));
    publish(&store, 1, &one);
    publish(&store, 2, &two);
    publish(&store, 3, &one);
    let seen: Vec<_> = store.snapshots(Some("edge")).expect("snapshots").into_iter().map(|s| s.version).collect();
    assert_eq!(seen, [one.version(), two.version()]);
    assert_eq!(store.load().expect("what was kept").snapshots, vec![("edge".to_owned(), one)]);
    assert_eq!(store.snapshot("edge", two.version()).expect("a snapshot"), Some(two));
    assert!(store.snapshots(Some("sidecar")).expect("no snapshots").is_empty());
}

#[test]
fn old_snapshots_go_and_take_their_bodies_along() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = RedbStore::open(directory.path()).expect("a store");
    for number in 0..60 {
        publish(&store, number, &snapshot(&["always", &format!("only-{number}")]));
    }
    assert_eq!(store.snapshots(None).expect("snapshots").len(), snapshots::KEPT);
    assert_eq!(bodies(&store), snapshots::KEPT + 1);
    assert!(store.load().is_ok());
}

#[test]
fn what_format_1_kept_is_taken_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let (one, two) = (snapshot(&["a", "always"]), snapshot(&["always", "b"]));
    {
        let store = RedbStore::open(directory.path()).expect("a store");
        let write = store.database().expect("open").begin_write().expect("a transaction");
        let whole: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("snapshots");
        for (group, number, snapshot) in [("edge", 1, &one), ("edge", 2, &two), ("sidecar", 7, &one)] {
            let resource = |r: &Resource| (r.resource_type().type_url(), r.name().to_string(), r.version());
            let resources: Vec<_> = snapshot.iter().map(resource).collect();
            let row = serde_json::json!({"version": snapshot.version(), "at": at(number), "resources": resources});
            let (key, row) = ((group, number.cast_unsigned()), row.to_string());
            write.open_table(whole).expect("the table").insert(key, row.as_bytes()).expect("written");
            for resource in snapshot.iter() {
                let (hash, mut bodies) =
                    (resource.version().to_string(), write.open_table(snapshots::BODIES).expect("it"));
                bodies.insert(hash.as_str(), resource.body()).expect("written");
            }
        }
        write.open_table(META).expect("the table").insert("format", &b"1"[..]).expect("written");
        write.commit().expect("kept");
    }
    let store = RedbStore::open(directory.path()).expect("the store again");
    let kept = store.snapshots(Some("edge")).expect("snapshots");
    let kept: Vec<_> = kept.into_iter().map(|record| (record.version, record.published_at)).collect();
    assert_eq!(kept, [(two.version(), at(2)), (one.version(), at(1))]);
    assert_eq!(store.snapshot("edge", one.version()).expect("a snapshot"), Some(Arc::clone(&one)));
    let newest = [("edge".to_owned(), two), ("sidecar".to_owned(), one)];
    assert_eq!(store.load().expect("what was kept").snapshots, newest);
    assert_eq!(bodies(&store), 3);
}

/// How many rows there are of resources and of uses.
fn rows(store: &RedbStore) -> (usize, usize) {
    let read = store.database().expect("open").begin_read().expect("a transaction");
    snapshots::rows(&read)
}

#[test]
fn a_change_writes_what_it_changes() {
    let directory = tempfile::tempdir().expect("a directory");
    let names: Vec<String> = (0..200).map(|number| format!("cluster-{number}")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    let store = RedbStore::open(directory.path()).expect("a store");
    publish(&store, 0, &snapshot(&all));
    assert_eq!(rows(&store), (200, 200));
    all.push("one-more");
    publish(&store, 1, &snapshot(&all));
    assert_eq!(rows(&store), (201, 201));
    // A store that is opened anew compares with what it finds.
    drop(store);
    let store = RedbStore::open(directory.path()).expect("the store again");
    all.remove(0);
    publish(&store, 2, &snapshot(&all));
    assert_eq!(rows(&store), (201, 201), "the one that is gone is in the snapshots before");
    for number in 3..60 {
        all[0] = if number % 2 == 0 { "even" } else { "odd" };
        publish(&store, number, &snapshot(&all));
    }
    let kept = store.snapshots(Some("edge")).expect("snapshots");
    for SnapshotRecord { version, types, .. } in &kept {
        let snapshot = store.snapshot("edge", *version).expect("readable").expect("it is kept");
        assert_eq!((snapshot.version(), snapshot.len()), (*version, types.iter().map(|(.., count)| count).sum()));
    }
    assert_eq!(kept.len(), 5, "two that alternate are two");
}

#[test]
fn a_newer_format_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().expect("a directory");
    {
        let store = RedbStore::open(directory.path()).expect("a store");
        let write = store.database().expect("open").begin_write().expect("a transaction");
        write.open_table(META).expect("the table").insert("format", &b"99"[..]).expect("written");
        write.commit().expect("kept");
    }
    let refused = RedbStore::open(directory.path()).expect_err("a newer format");
    assert!(refused.to_string().contains("format 99"), "{refused}");
}

#[test]
fn a_second_process_is_told_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let _first = RedbStore::open(directory.path()).expect("a store");
    let refused = RedbStore::open(directory.path()).expect_err("it is in use");
    assert!(refused.to_string().contains("another serin"), "{refused}");
}
