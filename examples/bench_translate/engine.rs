//! What a turn of the engine costs, with a store on the disk.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use jiff::Timestamp;
use serin::model::{AnalysisPolicy, Canary, Release, Step, Strategy, Weight, World};
use serin::rollout::Command;
use serin::rollout::engine::Desk;
use serin::spec::source::Loaded;
use serin::spec::{Origins, Specs};
use serin::store::redb::RedbStore;
use serin::xds::{Cache, Node, ProxyStatus, ResourceType, SyncState, TypeStatus, Variant};

use crate::scene::{Size, service_name, world};
use crate::times;

/// How many releases are on their way while steps are measured.
const ON_THEIR_WAY: usize = 20;

/// A release of every service.
fn with_releases(world: &World, wanted: impl Fn(usize) -> &'static str) -> World {
    let mut world = world.clone();
    for at in 0..world.services.len() {
        let weight = Weight::from_percent(5.0).expect("a percentage");
        let steps = vec![Step::SetWeight(weight), Step::Pause(None)];
        let strategy = Strategy::Canary(Canary { steps, ..Canary::default() });
        let analysis = AnalysisPolicy { errors: None, ejections: None, ..AnalysisPolicy::default() };
        let release = Release::new(service_name(at), service_name(at), wanted(at), strategy, analysis);
        world.releases.insert(release.name.clone(), release);
    }
    world
}

fn loaded(world: World, generation: u64) -> Loaded {
    let specs = Specs { world, origins: Origins::default(), warnings: Vec::new() };
    Loaded { specs: Some(Arc::new(specs)), generation, ..Loaded::default() }
}

/// Proxies of all fleets that have acknowledged what is published, or what was never published.
fn proxies(desk: &Desk, count: usize, acknowledged: bool) -> Vec<ProxyStatus> {
    let view = desk.view().borrow().clone();
    let groups: Vec<_> = view.groups.iter().filter(|(group, _)| !group.contains('~')).collect();
    let proxy = |number: usize| {
        let (group, (snapshot, _)) = groups[number % groups.len()];
        let routes = Some((snapshot.version_of(ResourceType::Route), Instant::now())).filter(|_| acknowledged);
        let routes = TypeStatus { state: SyncState::Synced, in_force: routes, ..TypeStatus::default() };
        ProxyStatus {
            node: Arc::new(Node { id: format!("proxy-{number:04}"), ..Node::default() }),
            group: Some(group.as_str().into()),
            variant: Variant::Delta,
            address: None,
            connected_at: SystemTime::UNIX_EPOCH,
            disconnected_at: None,
            connects: 1,
            types: Arc::new([(ResourceType::Route, routes)].into()),
        }
    };
    (0..count).map(proxy).collect()
}

/// Measures turns in which nothing happens, in which the proxies are elsewhere, and orders that move traffic.
pub(crate) async fn measure(size: Size, count: usize, runs: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(RedbStore::open(folder.path())?);
    let mut desk = Desk::restore(store, Cache::new())?;
    let (world, now) = (world(size), Timestamp::UNIX_EPOCH);
    let begun = Instant::now();
    desk.take_specs(loaded(with_releases(&world, |_| "v1"), 1), now).await;
    println!("  {:<24}{}", "specs applied and kept", times(&mut [begun.elapsed()]));
    let begun = Instant::now();
    desk.take_specs(loaded(with_releases(&world, |at| if at < ON_THEIR_WAY { "v2" } else { "v1" }), 2), now).await;
    println!("  {:<24}{}", "20 rollouts begun", times(&mut [begun.elapsed()]));

    let turn = Duration::from_millis(250);
    for (what, flapping) in [("a turn", false), ("a turn, proxies moved", true)] {
        let mut turns = Vec::new();
        for number in 0..runs {
            let proxies = proxies(&desk, count, !flapping || number % 2 == 0);
            let begun = Instant::now();
            desk.observe(&proxies, turn, Instant::now(), now).await;
            turns.push(begun.elapsed());
        }
        println!("  {what:<24}{}", times(&mut turns));
    }

    let mut orders = Vec::new();
    for at in 0..ON_THEIR_WAY {
        let begun = Instant::now();
        desk.order(&service_name(at), Command::Promote { full: true }, now).await?;
        orders.push(begun.elapsed());
    }
    println!("  {:<24}{}", "an order carried out", times(&mut orders));
    Ok(())
}
