//! Region by region: each wave takes all the steps before the next begins.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serin_testbed::{ports, wait};

use super::{begin, reverts_v3, scene, unharmed, until_paused_at};
use crate::scene::{DEADLINE, Proxy, Scene};

/// How many requests each proxy, in the order of the scene, has sent to an endpoint.
async fn sent(scene: &Scene, endpoint: SocketAddr) -> Result<Vec<u64>> {
    let mut sent = Vec::new();
    for envoy in &scene.envoys {
        sent.push(envoy.endpoint_requests().await?.get(&endpoint).copied().unwrap_or(0));
    }
    Ok(sent)
}

/// Waits until a proxy has sent an endpoint so many requests.
async fn until_sent(scene: &Scene, proxy: usize, endpoint: SocketAddr, requests: u64) -> Result<()> {
    wait::until(&format!("{requests} requests to {endpoint} by {}", scene.proxies[proxy].id), DEADLINE, || async {
        let sent = sent(scene, endpoint).await?;
        ensure!(sent[proxy] >= requests, "{sent:?}");
        Ok(())
    })
    .await
    .with_context(|| scene.server.tail())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_first_waves_proxy_sends_to_v2_in_the_first_wave() -> Result<()> {
    let mut scene = scene("{canary: {steps: [{setWeight: 50}, {pause: {}}]}}").await?;
    // One fleet whose two proxies share a port: the system shares the connections out.
    let [listen] = ports::free()?;
    let proxy = |id, region| Proxy { fleet: "edge", region, ..Proxy::new(id, listen) };
    scene.proxies = vec![proxy("here", "eu"), proxy("there", "us")];
    scene.specs.release = vec!["regions: [[eu], all]".into()];
    let [v1, v2, v3] = [0, 1, 2].map(|at| scene.upstreams[at].addr());
    let load = begin(&mut scene).await?;
    for proxy in [0, 1] {
        until_sent(&scene, proxy, v1, 1).await?;
    }
    scene.commit("v2")?;
    until_paused_at(&scene, "v2", 50.0).await?;
    until_sent(&scene, 0, v2, 100).await?;
    ensure!(sent(&scene, v2).await?[1] == 0, "the second wave began with the first");
    scene.server.run(["promote", "checkout"]).await?;
    until_sent(&scene, 1, v2, 100).await?;
    scene.until("the second wave to wait", |release| release["phase"] == "PHASE_PAUSED").await?;
    scene.server.run(["promote", "checkout"]).await?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    unharmed(&load.so_far())?;
    scene.specs.strategy = Some("{canary: {steps: [{setWeight: 20}, {analyze: {max: 60s}}]}}".into());
    reverts_v3(&scene, load).await?;
    let sent = sent(&scene, v3).await?;
    ensure!(sent[0] > 0 && sent[1] == 0, "v3 came beyond the first wave: {sent:?}");
    Ok(())
}
