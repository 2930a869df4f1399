//! A service that speaks bytes: its connections are shared out, and none is cut.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use serin_testbed::tcp::{TcpUpstream, call};
use serin_testbed::wait;
use tokio::task::JoinHandle;

use super::{scene, until_paused_at};
use crate::scene::{DEADLINE, Scene};

/// Calls of all proxies in turn, by the version that answered, and how many of them were not whole.
type Calls = BTreeMap<String, (usize, usize)>;

async fn calls(scene: &Scene, count: usize) -> Result<Calls> {
    let mut calls = Calls::new();
    for at in 0..count {
        let called = call(scene.proxies[at % scene.proxies.len()].listen).await?;
        let (all, broken) = calls.entry(called.version).or_default();
        *all += 1;
        *broken += usize::from(!called.whole);
    }
    Ok(calls)
}

/// Calls without end; says at the end what went wrong.
struct Callers {
    stop: Arc<AtomicBool>,
    calling: JoinHandle<Vec<String>>,
}

impl Callers {
    fn start(scene: &Scene) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, proxies) = (stop.clone(), scene.proxies.clone());
        let calling = tokio::spawn(async move {
            let mut wrong = Vec::new();
            for proxy in proxies.iter().cycle() {
                match call(proxy.listen).await {
                    Ok(called) if called.whole => {}
                    Ok(called) => wrong.push(called.version),
                    Err(error) => wrong.push(format!("{error:#}")),
                }
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
            }
            wrong
        });
        Self { stop, calling }
    }

    async fn finish(self) -> Result<Vec<String>> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.calling.await?)
    }
}

/// Waits until only this version is called.
async fn all_go_to(scene: &Scene, version: &str) -> Result<()> {
    wait::until(&format!("all connections to go to {version}"), DEADLINE, || async {
        let calls = calls(scene, 20).await?;
        ensure!(calls.keys().eq([version]), "{calls:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_shared_out_and_none_is_cut() -> Result<()> {
    let mut scene = scene("{canary: {steps: [{setWeight: 50}, {pause: {}}]}}").await?;
    scene.upstreams.clear();
    scene.specs.service = vec!["protocol: tcp".into()];
    scene.specs.hosts.clear();
    let mut upstreams = Vec::new();
    for (version, error_rate) in [("v1", 0.0), ("v2", 0.0), ("v3", 0.2)] {
        let upstream = TcpUpstream::start(version, error_rate).await?;
        scene.specs.versions.insert(version.into(), format!("{{endpoints: [\"{}\"]}}", upstream.addr()));
        upstreams.push(upstream);
    }
    scene.start().await?;
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    all_go_to(&scene, "v1").await?;
    let callers = Callers::start(&scene);
    scene.commit("v2")?;
    until_paused_at(&scene, "v2", 50.0).await?;
    let shared = calls(&scene, 200).await?;
    // Five standard deviations of a binomial(200, 0.5).
    ensure!(shared.values().all(|(all, broken)| (65..=135).contains(all) && *broken == 0), "{shared:?}");
    ensure!(shared.len() == 2, "{shared:?}");
    scene.server.run(["promote", "checkout"]).await?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    all_go_to(&scene, "v2").await?;
    let wrong = callers.finish().await?;
    ensure!(wrong.is_empty(), "{wrong:?}");

    // Bytes have no status to judge by: a person does.
    let callers = Callers::start(&scene);
    scene.commit("v3")?;
    until_paused_at(&scene, "v3", 50.0).await?;
    let shared = calls(&scene, 200).await?;
    ensure!(shared.get("v3").is_some_and(|(_, broken)| *broken > 0), "{shared:?}");
    scene.server.run(["abort", "checkout", "--reason", "a test"]).await?;
    scene.until_phase("PHASE_DEGRADED", "v2").await?;
    all_go_to(&scene, "v2").await?;
    let wrong = callers.finish().await?;
    ensure!(wrong.iter().all(|version| version == "v3"), "{wrong:?}");
    ensure!(upstreams.iter().all(|upstream| upstream.connections() > 0), "{upstreams:?}");
    Ok(())
}
