//! The administration API over a real socket, with an engine and a history that the tests play themselves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::google::protobuf;
use jiff::Timestamp;
use serin::admin;
use serin::analysis::{Evidence, Explanation};
use serin::endpoints;
use serin::model::Weight;
use serin::rollout::engine::{EngineHandle, Order, View};
use serin::rollout::{Command, CommandError, Failed, Phase, ReleaseStatus, ShareStatus};
use serin::spec::{self, Loaded, SourceFile};
use serin::store::{History, JournalEntry, SnapshotRecord, StoreError};
use serin::telemetry::Telemetry;
use serin::xds::{self, Cache, Grouping, Node, Proxies, Resource, ResourceType, ResourceVersion, Snapshot};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};

/// The longest that any condition is waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A served API and the strings to pull behind it.
pub(crate) struct Api {
    pub(crate) channel: Channel,
    pub(crate) view: watch::Sender<Arc<View>>,
    pub(crate) history: Arc<FakeHistory>,
    pub(crate) cache: Cache,
    pub(crate) proxies: Proxies,
    /// The specs whose endpoints are listed and registered.
    specs: watch::Sender<Loaded>,
    /// The same with the endpoints that are known.
    pub(crate) resolved: watch::Receiver<Loaded>,
    /// What the engine was ordered.
    pub(crate) ordered: Arc<Mutex<Vec<(String, Command)>>>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) server: JoinHandle<Result<(), tonic::transport::Error>>,
    /// Aborted, it is an engine that has died.
    pub(crate) engine: JoinHandle<()>,
}

impl Api {
    pub(crate) async fn serve(view: View) -> Self {
        let (view, view_seen) = watch::channel(Arc::new(view));
        let (orders, taken) = mpsc::channel(8);
        let (stop, stopping) = watch::channel(false);
        let ordered = Arc::default();
        let engine = tokio::spawn(play_engine(taken, Arc::clone(&ordered)));
        let (history, cache, proxies) = (Arc::new(FakeHistory::default()), Cache::new(), Proxies::default());
        cache.ready();
        let handle = EngineHandle::new(orders, view_seen);
        let kept = Arc::clone(&history) as Arc<dyn History>;
        let (specs, written) = watch::channel(Loaded::default());
        let (sender, resolved) = watch::channel(Loaded::default());
        let registry = endpoints::start(endpoints::Inputs {
            specs: written,
            resolved: sender,
            restored: None,
            directory: ".".into(),
            resolver: endpoints::system(),
            stop: stopping.clone(),
        });
        let telemetry = Telemetry::new(mpsc::channel(1).0);
        let fleet = admin::Fleet { cache: cache.clone(), proxies: proxies.clone(), telemetry };
        let routes = admin::routes(handle, kept, fleet, registry, stopping.clone());
        let mut options = xds::Options::new(stopping.clone());
        options.goodbye = Duration::ZERO;
        let discovery = xds::Server::new(cache.clone(), proxies.clone(), Arc::new(ByCluster), options);
        let routes = discovery.routes(routes);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let uri = format!("http://{}", listener.local_addr().expect("an address"));
        let mut stopped = stopping;
        let server = tokio::spawn(
            Server::builder()
                .add_routes(routes)
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
                    drop(stopped.wait_for(|stop| *stop).await)
                }),
        );
        let channel = Channel::from_shared(uri).expect("a URI").connect().await.expect("a connection");
        Self { channel, view, history, cache, proxies, specs, resolved, ordered, stop, server, engine }
    }

    /// Puts specs in force, and waits until their endpoints are known.
    pub(crate) async fn write(&mut self, text: &str) {
        let file = SourceFile { path: "specs.yaml".into(), bytes: text.into() };
        let specs = spec::parse(&[file], spec::Settings::default()).expect("valid specs");
        self.specs.send_modify(|loaded| {
            loaded.specs = Some(Arc::new(specs));
            loaded.generation += 1;
        });
        soon(self.resolved.changed()).await.expect("it lives");
    }

    /// Shows another view.
    pub(crate) fn show(&self, change: impl FnOnce(&mut View)) {
        self.view.send_modify(|view| change(Arc::make_mut(view)));
    }
}

/// An engine that judges by the release's name.
async fn play_engine(mut orders: mpsc::Receiver<Order>, ordered: Arc<Mutex<Vec<(String, Command)>>>) {
    while let Some(Order { release, command, reply }) = orders.recv().await {
        let answer = match release.as_str() {
            "refused" => Err(CommandError::Refused("it is healthy: there is nothing to retry".into())),
            "unkept" => Err(CommandError::Store("disk full".into())),
            "checkout" => Ok(ReleaseStatus { message: command.describe(), ..release_status("checkout") }),
            "forgotten" => continue,
            _ => Err(CommandError::NotFound(release.clone())),
        };
        ordered.lock().expect("a lock").push((release, command));
        drop(reply.send(answer));
    }
}

/// The group of a proxy is its cluster, unless that is `stray`.
struct ByCluster;

impl Grouping for ByCluster {
    fn group_of(&self, node: &Node) -> Option<Arc<str>> {
        (node.cluster != "stray").then(|| node.cluster.as_str().into())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

/// A history in memory that can be made to fail.
#[derive(Default)]
pub(crate) struct FakeHistory {
    pub(crate) journal: Mutex<BTreeMap<String, Vec<JournalEntry>>>,
    pub(crate) snapshots: Mutex<Vec<(SnapshotRecord, Arc<Snapshot>)>>,
    pub(crate) fails: AtomicBool,
}

impl FakeHistory {
    fn check(&self) -> Result<(), StoreError> {
        let failing = self.fails.load(Ordering::Relaxed);
        if failing { Err(StoreError::new("reading the store", "input/output error")) } else { Ok(()) }
    }

    pub(crate) fn keep(&self, group: &str, published_at: Timestamp, snapshot: &Arc<Snapshot>) {
        let record = SnapshotRecord {
            group: group.to_owned(),
            version: snapshot.version(),
            published_at,
            types: ResourceType::CORE.map(|t| (t, snapshot.version_of(t), snapshot.of_type(t).len())).to_vec(),
        };
        self.snapshots.lock().expect("a lock").push((record, Arc::clone(snapshot)));
    }

    pub(crate) fn write(&self, release: &str, lines: u64) {
        let entry = |sequence| JournalEntry {
            sequence,
            at: at(60),
            kind: "settled".into(),
            message: format!("line {sequence}"),
            json: "{}".into(),
        };
        self.journal.lock().expect("a lock").insert(release.to_owned(), (1..=lines).map(entry).collect());
    }
}

impl History for FakeHistory {
    fn journal(&self, release: &str, after: u64, limit: usize) -> Result<Vec<JournalEntry>, StoreError> {
        self.check()?;
        let journal = self.journal.lock().expect("a lock");
        Ok(journal.get(release).into_iter().flatten().filter(|e| e.sequence > after).take(limit).cloned().collect())
    }

    fn journal_back(&self, release: &str, last: u64, limit: usize) -> Result<Vec<JournalEntry>, StoreError> {
        let mut entries = self.journal(release, 0, usize::MAX)?;
        entries.retain(|entry| entry.sequence <= last);
        Ok(entries.into_iter().rev().take(limit).collect())
    }

    fn snapshots(&self, group: Option<&str>) -> Result<Vec<SnapshotRecord>, StoreError> {
        self.check()?;
        let snapshots = self.snapshots.lock().expect("a lock");
        let mut found: Vec<_> = snapshots.iter().map(|(record, _)| record.clone()).collect();
        found.retain(|record| group.is_none_or(|group| group == record.group));
        found.sort_by_key(|record| std::cmp::Reverse(record.published_at));
        Ok(found)
    }

    fn snapshot(&self, group: &str, version: ResourceVersion) -> Result<Option<Arc<Snapshot>>, StoreError> {
        self.check()?;
        let snapshots = self.snapshots.lock().expect("a lock");
        let found = snapshots.iter().find(|(record, _)| record.group == group && record.version == version);
        Ok(found.map(|(_, snapshot)| Arc::clone(snapshot)))
    }
}

/// A point in time, in seconds.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

/// Clusters with a connect timeout in seconds, and a route configuration without anything in it.
pub(crate) fn snapshot(clusters: &[(&str, i64)]) -> Arc<Snapshot> {
    let mut builder = Snapshot::builder();
    for (name, seconds) in clusters {
        let connect_timeout = Some(protobuf::Duration { seconds: *seconds, nanos: 0 });
        let cluster = Cluster { name: (*name).to_owned(), connect_timeout, ..Cluster::default() };
        builder.add(Resource::cluster(&cluster).expect("a cluster"));
    }
    let route = RouteConfiguration { name: "ingress".into(), ..RouteConfiguration::default() };
    builder.add(Resource::route(&route).expect("a route configuration"));
    Arc::new(builder.build().expect("consistent"))
}

pub(crate) fn release_status(name: &str) -> ReleaseStatus {
    let weight = |percent| Weight::from_percent(percent).expect("a percentage");
    let share = |version: &str, percent, p99| ShareStatus {
        version: version.into(),
        weight: weight(percent),
        requests_per_second: 12.5,
        error_rate: 0.25,
        p99,
    };
    ReleaseStatus {
        name: name.into(),
        service: format!("{name}-service"),
        version: "v2".into(),
        stable: "v1".into(),
        canary: Some("v2".into()),
        phase: Phase::Progressing,
        message: "setWeight 5%".into(),
        steps: vec!["setWeight 5%".into(), "analyze up to 10m".into()],
        step: 1,
        set_weight: weight(5.0),
        actual_weight: weight(2.5),
        proxies: 3,
        proxies_in_force: 2,
        evidence: Some(Evidence {
            silent: 0,
            cluster_size: 1.0,
            metrics: Vec::new(),
            canary_requests: 100,
            canary_errors: 1,
            baseline_requests: 1900,
            baseline_errors: 2,
            revert_evidence: 1.5,
            revert_bound: 20.0,
            advance_evidence: 3.5,
            advance_bound: 10.0,
            proxies: 3,
            observed: Duration::from_millis(1500),
            verdict: "undecided".into(),
        }),
        next: None,
        explanation: Some(Explanation {
            compared: "v2 1/100 (1.0%) failed against 2/1900 (0.11%) of v1".into(),
            evidence: "undecided".into(),
            over: "over 1 s on 3 of 3 proxies".into(),
            ..Explanation::default()
        }),
        started_at: at(100),
        changed_at: at(200),
        shares: vec![share("v2", 5.0, Some(Duration::from_millis(20))), share("v1", 95.0, None)],
        held: true,
        routing: vec!["header x-internal exact \"true\": v2".into(), "rest: v2 5%, v1 95%".into()],
        waits: Some("no change before Monday".into()),
        calls: vec!["hook tests, try 2".into()],
        endpoints: Some("2 of 8 endpoints run v2".into()),
        failed: Some(Failed { version: "v2".into(), times: 3 }),
        way_back: vec!["v1".into(), "v0".into()],
    }
}

/// A view with these releases.
pub(crate) fn releases(names: &[&str]) -> View {
    View {
        releases: names.iter().map(|name| ((*name).to_owned(), Arc::new(release_status(name)))).collect(),
        ..View::default()
    }
}

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("it must come soon")
}
