//! Serin's own parts that telemetry passes through: its port, its telemetry services, the desk of its engine, its store.
//! The proxies' discovery streams are left out: they are said to have everything in force.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use serin::rollout::engine::Desk;
use serin::spec::{Loaded, Settings, SourceFile};
use serin::store::redb::RedbStore;
use serin::telemetry::{Batches, Telemetry};
use serin::xds::{Cache, Locality, Node, ProxyStatus, ResourceType, SyncState, TypeStatus, Variant, listen};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::service::Routes;

use crate::{Args, Said, messages};

/// As in the engine.
const TICK: Duration = Duration::from_millis(250);
/// As in the server.
const REPORTS_WAITING: usize = 8192;

pub(crate) async fn run(args: &Args) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let (sink, reports) = mpsc::channel(REPORTS_WAITING);
    let telemetry = Telemetry::new(sink);
    tokio::spawn(listen::serve(
        listener,
        telemetry.routes(Routes::default()),
        listen::stalls(),
        std::future::pending(),
    ));

    let directory = tempfile::tempdir()?;
    let mut desk = Desk::restore(Arc::new(RedbStore::open(directory.path())?), Cache::new())?;
    desk.listen(telemetry.focus());
    for (generation, moving) in [0, args.releases].into_iter().enumerate() {
        desk.take_specs(specs(args, moving, generation as u64 + 1)?, Timestamp::now()).await;
    }
    let fleet = fleet(args);
    let (mut received, mut last) = (0_u64, Instant::now());
    let (mut reports, mut batch) = (Batches::of(reports), Vec::new());
    let mut known = None;
    let mut turns = tokio::time::interval(TICK);
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            count = reports.next(&mut batch) => {
                received += count as u64;
                batch.drain(..).for_each(|report| desk.note(&report));
            }
            _ = turns.tick() => {
                let now = Instant::now();
                let elapsed = now.saturating_duration_since(std::mem::replace(&mut last, now));
                let published = desk.view().borrow().groups.get("edge").context("the group")?.0.version_of(ResourceType::Route);
                if known.as_ref().is_none_or(|(version, _)| *version != published) {
                    known = Some((published, in_force(&desk, &fleet)?));
                }
                let proxies = known.as_ref().map(|(_, proxies)| proxies.clone()).unwrap_or_default();
                desk.observe(&proxies, elapsed, now, Timestamp::now()).await;
            }
            _ = seconds.tick() => {
                let windows = desk.view().borrow().journal.values().sum();
                let said = Said::now(address)?;
                Said { reports: received, dropped: telemetry.dropped(), windows, ..said }.say()?;
            }
        }
    }
}

/// As many services as the clusters are for, each with a release; some go to their second version.
fn specs(args: &Args, moving: usize, generation: u64) -> Result<Loaded> {
    let names: Vec<String> = (0..args.clusters / 2).map(messages::service).collect();
    let mut text = format!(
        "apiVersion: serin.dev/v1\nkind: Fleet\nmetadata: {{name: edge}}\nspec:\n  nodes: {{cluster: edge}}\n  \
         listeners: [{{name: http, bind: \"0.0.0.0:1\", services: [{}]}}]\n",
        names.join(", ")
    );
    for (at, name) in names.iter().enumerate() {
        let version = if at < moving { "v2" } else { "v1" };
        let endpoints = |version: usize| {
            let cluster = at * 2 + version;
            [1, 2].map(|last| format!("10.{}.{}.{last}:8080", cluster / 256, cluster % 256)).join(", ")
        };
        text += &format!(
            "---\napiVersion: serin.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  hosts: [{name}.test]\n  \
             versions:\n    v1: {{endpoints: [\"{}\"]}}\n    v2: {{endpoints: [\"{}\"]}}\n\
             ---\napiVersion: serin.dev/v1\nkind: Release\nmetadata: {{name: {name}}}\nspec:\n  service: {name}\n  \
             version: {version}\n  strategy: {{canary: {{steps: [{{setWeight: 5}}, {{pause: {{}}}}]}}}}\n",
            endpoints(0).replace(", ", "\", \""),
            endpoints(1).replace(", ", "\", \""),
        );
    }
    let files = [SourceFile { path: "specs.yaml".into(), bytes: text.into_bytes() }];
    let specs = serin::spec::parse(&files, Settings { envoy_patches: true, no_prometheus: false });
    let specs = specs.map_err(|wrong| anyhow!("{}", wrong.first().map(ToString::to_string).unwrap_or_default()))?;
    Ok(Loaded { specs: Some(Arc::new(specs)), generation, ..Loaded::default() })
}

fn fleet(args: &Args) -> Vec<Arc<Node>> {
    let regions = ["eu-west", "eu-east", "us-west", "us-east"];
    let node = |number: usize| Node {
        id: messages::name(number),
        cluster: "edge".into(),
        locality: Locality { region: regions[number % regions.len()].into(), ..Locality::default() },
        ..Node::default()
    };
    (0..args.proxies).map(|number| Arc::new(node(number))).collect()
}

/// Every proxy has what is published.
fn in_force(desk: &Desk, fleet: &[Arc<Node>]) -> Result<Vec<ProxyStatus>> {
    let view = desk.view().borrow().clone();
    let (snapshot, _) = view.groups.get("edge").context("the group of the fleet")?;
    // Since a while ago: the reports that are on their way are of this weight.
    let since = Instant::now().checked_sub(Duration::from_secs(2)).context("a clock that has just begun")?;
    let of_type = |resource_type| {
        let in_force = Some((snapshot.version_of(resource_type), since));
        (resource_type, TypeStatus { state: SyncState::Synced, in_force, ..TypeStatus::default() })
    };
    let types = Arc::new([ResourceType::Route, ResourceType::Cluster, ResourceType::Listener].map(of_type).into());
    let status = |node: &Arc<Node>| ProxyStatus {
        node: Arc::clone(node),
        group: Some("edge".into()),
        variant: Variant::Delta,
        address: None,
        connected_at: SystemTime::UNIX_EPOCH,
        disconnected_at: None,
        connects: 1,
        types: Arc::clone(&types),
    };
    Ok(fleet.iter().map(status).collect())
}
