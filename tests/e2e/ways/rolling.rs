//! Endpoints replaced a few at a time: by others that run already, or in place by an agent.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serin_testbed::agent::Agent;
use serin_testbed::upstream::{Behaviour, Upstream, UpstreamConfig};
use serin_testbed::wait;

use super::{begin, only, promotes_v2, promotes_v2_and_reverts_v3, reverts_v3, scene, unharmed};
use crate::scene::{DEADLINE, Scene};

const ENDPOINTS: usize = 4;
const HEALTH: &str = "health: {http: {path: /healthz}, successes: 2, interval: 200ms, timeout: 1s, within: 20s}";

/// A scene in which each version has several endpoints.
async fn wide(strategy: &str) -> Result<Scene> {
    let mut scene = scene(strategy).await?;
    scene.upstreams.clear();
    for (version, behaviour) in [("v1", Behaviour::GOOD), ("v2", Behaviour::GOOD), ("v3", Behaviour::failing(0.2))] {
        for seed in 0..ENDPOINTS as u64 {
            let config = UpstreamConfig { behaviour, seed, ..UpstreamConfig::local(version) };
            scene.upstreams.push(Upstream::start(config).await?);
        }
    }
    Ok(scene)
}

/// The endpoints of a version.
fn of<'a>(scene: &'a Scene, version: &'static str) -> impl Iterator<Item = &'a Upstream> {
    scene.upstreams.iter().filter(move |upstream| upstream.version() == version)
}

/// How many of a version's endpoints have served anything.
fn used(scene: &Scene, version: &'static str) -> usize {
    of(scene, version).filter(|upstream| upstream.requests() > 0).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_endpoint_after_the_other_to_those_that_run_already() -> Result<()> {
    let mut scene = wide(&format!(
        "{{rolling: {{batch: 1, maxUnavailable: 1, drain: 2s, {HEALTH}, analyze: {{max: 8s}}, onFailure: rollback}}}}"
    ))
    .await?;
    promotes_v2_and_reverts_v3(&mut scene).await?;
    ensure!(used(&scene, "v2") == ENDPOINTS, "all of v2's endpoints serve, not {}", used(&scene, "v2"));
    ensure!(used(&scene, "v3") < ENDPOINTS, "the first bad batch was to be the last");
    only(&scene, "v2").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_gets_no_traffic_before_it_is_healthy() -> Result<()> {
    let health = HEALTH.replace("within: 20s", "within: 60s");
    let mut scene = wide(&format!("{{rolling: {{batch: 50%, drain: 2s, {health}}}}}")).await?;
    of(&scene, "v2").for_each(|upstream| upstream.be_healthy(false));
    of(&scene, "v3").for_each(|upstream| upstream.be_healthy(false));
    let load = begin(&mut scene).await?;
    scene.commit("v2")?;
    scene.until("the update to begin", |release| release["canaryVersion"] == "v2").await?;
    only(&scene, "v1").await?;
    ensure!(used(&scene, "v2") == 0, "what is not healthy served");
    of(&scene, "v2").for_each(|upstream| upstream.be_healthy(true));
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    scene.specs.strategy = scene.specs.strategy.map(|strategy| strategy.replace("within: 60s", "within: 2s"));
    scene.commit("v3")?;
    scene.until_phase("PHASE_DEGRADED", "v2").await?;
    only(&scene, "v2").await?;
    ensure!(used(&scene, "v3") == 0, "what was never healthy served");
    unharmed(&load.finish().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_of_one_endpoint_goes_on_in_larger_batches() -> Result<()> {
    let mut scene = wide(&format!(
        "{{rolling: {{batch: 50%, drain: 2s, {HEALTH}, analyze: {{max: 6s}}, \
         canary: {{batch: 1, analyze: {{max: 60s}}}}, onFailure: rollback}}}}"
    ))
    .await?;
    let load = begin(&mut scene).await?;
    promotes_v2(&scene, &load).await?;
    let release = scene.release().await?;
    let batches: Vec<&str> = release["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| step.as_str())
        .filter(|step| step.starts_with("replace"))
        .collect();
    ensure!(batches == ["replace 1 endpoint", "replace 2 endpoints", "replace 1 endpoint"], "{batches:?}");
    reverts_v3(&scene, load).await?;
    ensure!(used(&scene, "v3") == 1, "v3 came beyond its canary: {} endpoints", used(&scene, "v3"));
    only(&scene, "v2").await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_by_an_agent_and_the_bad_ones_back_again() -> Result<()> {
    let slow = Behaviour { latency: Duration::from_millis(50), ..Behaviour::GOOD };
    let bad = Behaviour { error_rate: 0.2, ..slow };
    let agent = Agent::start("v1", ENDPOINTS, &[("v1", slow), ("v2", slow), ("v3", bad)]).await?;
    let mut scene = scene(format!(
        "{{rolling: {{batch: 1, maxUnavailable: 1, drain: 2s, update: {{hook: {{url: \"{}\", timeout: 20s}}}}, {HEALTH}, \
         analyze: {{max: 8s}}, onFailure: rollback}}}}",
        agent.url()
    ))
    .await?;
    scene.upstreams.clear();
    let endpoints: Vec<String> = agent.running().await.keys().map(|address| format!("\"{address}\"")).collect();
    for version in ["v1", "v2", "v3"] {
        scene.specs.versions.insert(version.into(), format!("{{endpoints: [{}]}}", endpoints.join(", ")));
    }
    let load = begin(&mut scene).await?;
    promotes_v2(&scene, &load).await?;
    ensure!(agent.running().await.values().all(|version| version == "v2"), "{:?}", agent.running().await);
    reverts_v3(&scene, load).await?;
    wait::until("v2 to run everywhere again", DEADLINE, || async {
        let running = agent.running().await;
        ensure!(running.values().all(|version| version == "v2"), "{running:?}");
        Ok(())
    })
    .await
    .with_context(|| scene.server.tail())?;
    only(&scene, "v2").await?;
    let updates = agent.updates();
    let hurried: Vec<_> = updates.iter().filter(|update| update.in_flight > 0).collect();
    ensure!(hurried.is_empty(), "stopped with requests in flight: {hurried:?}");
    let first: BTreeSet<_> =
        updates.iter().filter(|update| update.version == "v2").flat_map(|u| &u.endpoints).collect();
    ensure!(first.len() == ENDPOINTS, "{updates:#?}");
    Ok(())
}
