//! What the desk does when the store fails, and when proxies come and go.

use std::sync::Mutex;
use std::time::SystemTime;

use super::*;
use crate::analysis::Counts;
use crate::rollout::{Phase, Record, State};
use crate::spec::{Settings, SourceFile};
use crate::store::{History, JournalEntry, Saved, SnapshotRecord};
use crate::telemetry::ClusterDelta;
use crate::xds::{Node, ResourceType, ResourceVersion, SyncState, TypeStatus, Variant};

mod heard;
mod held;
mod measured;
mod outside;
mod sources;

/// Keeps batches, or refuses to.
#[derive(Debug, Default)]
struct Shelf {
    full: Mutex<bool>,
    kept: Mutex<Vec<Batch>>,
}

impl Shelf {
    fn fails(&self, full: bool) {
        *self.full.lock().expect("a lock") = full;
    }

    /// What a process that starts now would take up.
    fn rollout(&self, release: &str) -> Rollout {
        let kept = self.kept.lock().expect("a lock");
        kept.iter().flat_map(|batch| &batch.rollouts).rfind(|r| r.release == release).cloned().expect("a rollout")
    }

    /// By release: how many entries its journal has.
    fn lines(&self) -> OrdMap<String, u64> {
        let mut lines = OrdMap::new();
        for (name, _) in self.kept.lock().expect("a lock").iter().flat_map(|batch| &batch.records) {
            *lines.entry(name.clone()).or_default() += 1;
        }
        lines
    }

    fn measured(&self, release: &str) -> Counts {
        let kept = self.kept.lock().expect("a lock");
        let windows = kept.iter().flat_map(|batch| &batch.records).filter_map(|(name, record)| match record {
            Record::Measured { measurement, .. } if name == release => {
                Some(measurement.window.canary.counts(&crate::model::Cause::all()))
            }
            _ => None,
        });
        windows.fold(Counts::default(), Counts::plus)
    }
}

impl Store for Shelf {
    fn load(&self) -> Result<Saved, StoreError> {
        let kept = self.kept.lock().expect("a lock");
        let mut rollouts = BTreeMap::new();
        for rollout in kept.iter().flat_map(|batch| &batch.rollouts) {
            rollouts.insert(rollout.release.clone(), rollout.clone());
        }
        Ok(Saved { rollouts: rollouts.into_values().collect(), ..Saved::default() })
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if *self.full.lock().expect("a lock") {
            return Err(StoreError::new("keeping a decision", "the disk is full"));
        }
        self.kept.lock().expect("a lock").push(batch.clone());
        Ok(())
    }

    fn notified(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        Ok(BTreeMap::new())
    }

    fn set_notified(&self, _: &str, _: Option<u64>) -> Result<(), StoreError> {
        Ok(())
    }

    fn journal_end(&self, _: &str) -> Result<u64, StoreError> {
        Ok(0)
    }
}

impl History for Shelf {
    fn journal(&self, _: &str, _: u64, _: usize) -> Result<Vec<JournalEntry>, StoreError> {
        Ok(Vec::new())
    }

    fn journal_back(&self, _: &str, _: u64, _: usize) -> Result<Vec<JournalEntry>, StoreError> {
        Ok(Vec::new())
    }

    fn snapshots(&self, _: Option<&str>) -> Result<Vec<SnapshotRecord>, StoreError> {
        Ok(Vec::new())
    }

    fn snapshot(&self, _: &str, _: ResourceVersion) -> Result<Option<Arc<Snapshot>>, StoreError> {
        Ok(None)
    }
}

/// A desk with two services, `a` and `b`, and one proxy that acknowledges at once.
struct Office {
    desk: Desk,
    shelf: Arc<Shelf>,
    now: Instant,
    generation: u64,
}

fn specs(version: &str, steps: &str) -> String {
    let mut text = "apiVersion: serin.dev/v1\nkind: Fleet\nmetadata: {name: edge}\nspec:\n  nodes: {cluster: edge}\n  \
                    listeners: [{name: http, bind: \"0.0.0.0:1\", services: [a, b]}]\n"
        .to_owned();
    for service in ["a", "b"] {
        text += &format!(
            "---\napiVersion: serin.dev/v1\nkind: Service\nmetadata: {{name: {service}}}\nspec:\n  hosts: [{service}.test]\n  \
             versions:\n    v1: {{endpoints: [127.0.0.1:1]}}\n    v2: {{endpoints: [127.0.0.1:2]}}\n\
             ---\napiVersion: serin.dev/v1\nkind: Release\nmetadata: {{name: {service}}}\nspec:\n  service: {service}\n  \
             version: {version}\n  strategy: {{canary: {{steps: [{steps}]}}}}\n  \
             analysis: {{metrics: [{{errors: {{clusterSize: 1}}}}]}}\n"
        );
    }
    text
}

impl Office {
    async fn open(steps: &str) -> Self {
        let shelf = Arc::new(Shelf::default());
        let desk = Desk::restore(Arc::clone(&shelf) as Arc<dyn Store>, Cache::new()).expect("an empty store");
        let mut office = Self { desk, shelf, now: Instant::now(), generation: 0 };
        office.reads(&specs("v1", steps)).await;
        office.reads(&specs("v2", steps)).await;
        office
    }

    async fn reads(&mut self, text: &str) {
        let loaded = self.read(text);
        self.desk.take_specs(loaded, Timestamp::UNIX_EPOCH).await;
    }

    fn read(&mut self, text: &str) -> Loaded {
        self.generation += 1;
        let files = if text.is_empty() {
            Vec::new()
        } else {
            vec![SourceFile { path: "specs.yaml".into(), bytes: text.as_bytes().to_vec() }]
        };
        let read =
            crate::spec::parse(&files, Settings { envoy_patches: true, no_prometheus: false }).expect("valid specs");
        Loaded { specs: Some(Arc::new(read)), generation: self.generation, ..Loaded::default() }
    }

    /// A second passes, in which the proxy has what is published and reports these failed/total requests of `a`'s
    /// canary and baseline.
    async fn second(&mut self, canary: (u64, u64), baseline: (u64, u64)) {
        let (since, step) = (self.now, Duration::from_secs(1));
        let proxies = [self.proxy()];
        // The engine's turns between two reports.
        self.desk.observe(&proxies, Duration::ZERO, since, Timestamp::UNIX_EPOCH).await;
        self.now += step;
        let delta = |(errors, requests)| ClusterDelta { requests, errors, ..ClusterDelta::default() };
        let clusters = [("a/v2".into(), delta(canary)), ("a/v1".into(), delta(baseline))].into();
        self.desk.note(&NodeReport {
            node: "edge-1".into(),
            since,
            until: self.now,
            clusters,
            partial: false,
            others: Default::default(),
        });
        let proxies = [self.proxy()];
        self.desk.observe(&proxies, step, self.now, Timestamp::UNIX_EPOCH).await;
    }

    fn proxy(&self) -> ProxyStatus {
        let version = self.desk.groups["edge"].0.version_of(ResourceType::Route);
        let types = [(
            ResourceType::Route,
            TypeStatus { state: SyncState::Synced, in_force: Some((version, self.now)), ..TypeStatus::default() },
        )];
        ProxyStatus {
            node: Arc::new(Node { id: "edge-1".into(), ..Node::default() }),
            group: Some("edge".into()),
            variant: Variant::Delta,
            address: None,
            connected_at: SystemTime::UNIX_EPOCH,
            disconnected_at: None,
            connects: 1,
            types: Arc::new(types.into()),
        }
    }

    fn phase(&self, release: &str) -> Phase {
        self.desk.view().borrow().releases[release].phase
    }

    fn weight(&self, release: &str) -> f64 {
        self.desk.view().borrow().releases[release].set_weight.percent()
    }
}

#[tokio::test]
async fn a_failing_store_does_not_blind_the_guard() {
    let mut office = Office::open("{setWeight: 5}, {pause: {}}").await;
    for _ in 0..3 {
        office.second((0, 0), (0, 0)).await;
    }
    office.shelf.fails(true);
    // Each second alone proves nothing; together they do.
    for second in 0..60 {
        if office.phase("a") == Phase::Reverting {
            assert!(second > 3, "one second proves nothing");
            break;
        }
        office.second((1, 20), (1, 380)).await;
    }
    assert_eq!(office.phase("a"), Phase::Reverting, "what was seen is not forgotten");
    assert!(matches!(office.shelf.rollout("a").state, State::Progressing(_)));
    let told = office.desk.view().borrow().journal.clone();
    assert_eq!(told, office.shelf.lines(), "what is not kept is in no journal yet");
    office.shelf.fails(false);
    office.second((0, 0), (0, 0)).await;
    assert!(matches!(office.shelf.rollout("a").state, State::Reverting { .. } | State::Reverted { .. }));
    assert_eq!(office.desk.view().borrow().journal, office.shelf.lines());
    assert!(office.shelf.lines().get("a") > told.get("a"));
    assert!(office.shelf.measured("a").requests > 60, "and is kept as soon as the store is back");
}

#[tokio::test]
async fn a_revert_does_not_take_an_advance_along_that_was_not_kept() {
    let mut office = Office::open("{setWeight: 5}, {pause: {duration: 2s}}, {setWeight: 50}").await;
    for _ in 0..2 {
        office.second((0, 0), (0, 0)).await;
    }
    assert_eq!((office.weight("a"), office.weight("b")), (5.0, 5.0));
    office.shelf.fails(true);
    // In the same turn `a` is proven bad, and the pause of `b` is over.
    office.second((200, 200), (0, 380)).await;
    assert_eq!(office.phase("a"), Phase::Reverting);
    assert_eq!((office.weight("a"), office.weight("b")), (0.0, 5.0), "nothing advances while the store fails");
    office.shelf.fails(false);
    office.second((0, 0), (0, 0)).await;
    assert_eq!(office.weight("b"), 50.0);
}

#[tokio::test]
async fn an_abort_that_is_carried_out_unkept_is_not_told_as_refused() {
    let mut office = Office::open("{setWeight: 5}, {pause: {}}").await;
    office.second((0, 0), (0, 0)).await;
    office.shelf.fails(true);
    let refused = office.desk.order("b", Command::Promote { full: true }, Timestamp::UNIX_EPOCH).await;
    assert!(matches!(refused, Err(CommandError::Store(_))), "{refused:?}");
    let aborted = office.desk.order("a", Command::Abort { reason: String::new() }, Timestamp::UNIX_EPOCH).await;
    assert_eq!(aborted.expect("it was carried out").phase, Phase::Reverting);
    assert!(office.desk.view().borrow().store_error.is_some());
    let told = office.desk.view().borrow().journal.clone();
    assert_eq!(told, office.shelf.lines(), "what is not kept is in no journal yet");
    office.shelf.fails(false);
    office.second((0, 0), (0, 0)).await;
    assert!(matches!(office.shelf.rollout("a").state, State::Reverting { .. } | State::Reverted { .. }));
    assert_eq!(office.desk.view().borrow().journal, office.shelf.lines());
    assert!(office.shelf.lines().get("a") > told.get("a"));
}

#[tokio::test]
async fn specs_that_have_all_vanished_are_not_applied() {
    let mut office = Office::open("{setWeight: 5}, {pause: {}}").await;
    office.second((0, 0), (0, 0)).await;
    office.reads("").await;
    let view = office.desk.view().borrow().clone();
    assert_eq!((view.services, view.diagnostics.len()), (2, 1), "{:?}", view.diagnostics);
    office.reads(&specs("v2", "{setWeight: 5}, {pause: {}}")).await;
    assert_eq!(office.weight("a"), 5.0, "a directory that was empty for a moment does not begin anew");
    assert!(office.desk.view().borrow().diagnostics.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_orders_does_not_keep_the_guard_from_looking() {
    let shelf = Arc::new(Shelf::default());
    shelf.fails(true);
    let (_reports_in, reports) = tokio::sync::mpsc::channel(1);
    let files = [SourceFile { path: "specs.yaml".into(), bytes: specs("v1", "{setWeight: 5}").into_bytes() }];
    let read = crate::spec::parse(&files, Default::default()).expect("valid specs");
    let loaded = Loaded { specs: Some(Arc::new(read)), generation: 1, ..Loaded::default() };
    let (_specs_in, specs) = watch::channel(loaded);
    let (_stop_in, stop) = watch::channel(false);
    let inputs = crate::rollout::engine::Inputs {
        store: Arc::clone(&shelf) as Arc<dyn Store>,
        cache: Cache::new(),
        proxies: crate::xds::Proxies::default(),
        reports: crate::telemetry::Batches::of(reports),
        focus: Default::default(),
        answers: tokio::sync::mpsc::channel(1).1,
        measured: tokio::sync::mpsc::channel(1).1,
        specs,
        stop,
    };
    let (engine, handle, _worlds, _calls) = crate::rollout::engine::Engine::start(inputs).expect("an empty store");
    tokio::spawn(engine.run());
    let mut view = handle.view();
    view.wait_for(|view| view.store_error.is_some()).await.expect("the engine runs");
    shelf.fails(false);
    // What could not be kept is tried again in the next turn.
    for _ in 0..20 {
        assert!(handle.order("nobody", Command::Resume).await.is_err());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(view.borrow().services, 2, "two seconds without a turn");
}

#[test]
fn a_refusal_names_the_line_of_the_document_it_is_about() {
    let files = [SourceFile { path: "specs.yaml".into(), bytes: specs("v1", "{setWeight: 5}").into_bytes() }];
    let specs = crate::spec::parse(&files, Default::default()).expect("valid specs");
    let forbidden = |service: Option<&str>| {
        Refusal::Translate(TranslateError::Forbidden {
            fleet: "edge".into(),
            service: service.map(str::to_owned),
            resource_type: ResourceType::Route,
            name: "http".into(),
            violations: Vec::new(),
        })
    };
    for (service, place) in [(None, "specs.yaml:3: fleet edge: "), (Some("a"), "specs.yaml:10: fleet edge: ")] {
        let refusal = forbidden(service);
        let told = blame(Some(&specs), &refusal);
        assert!(told.starts_with(place), "{told}");
        assert_eq!(blame(None, &refusal), refusal.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_envoy_forbids_is_refused_at_its_line_and_the_last_good_specs_stay() {
    let mut office = Office::open("{setWeight: 5}").await;
    let patched = |percent: u32| {
        specs("v2", "{setWeight: 5}").replace(
            "hosts: [b.test]\n",
            &format!("hosts: [b.test]\n  envoy:\n    cluster:\n      outlier_detection: {{max_ejection_percent: {percent}}}\n"),
        )
    };
    office.reads(&patched(101)).await;
    let told = office.desk.view().borrow().diagnostics.clone();
    let line = 1 + patched(101).lines().position(|line| line.trim() == "cluster:").expect("a line");
    let refusal = "fleet edge: `envoy.cluster` of service b: Envoy's own rules forbid it: \
                   outlier_detection.max_ejection_percent must be at most 100, got 101";
    assert_eq!(told, [format!("specs.yaml:{line}: {refusal}")]);
    assert_eq!(office.desk.world.as_ref().expect("the last good one").services["b"].envoy.len(), 0);
    office.reads(&patched(100)).await;
    assert_eq!(office.desk.view().borrow().diagnostics, [""; 0]);
    assert_eq!(office.desk.world.as_ref().expect("the new one").services["b"].envoy.len(), 1);
}
