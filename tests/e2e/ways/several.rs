//! Several releases that know of each other, and several candidates side by side.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use serin_testbed::load::{CountedLoad, Load, LoadConfig};
use serin_testbed::upstream::{Upstream, UpstreamConfig};
use serin_testbed::wait;

use super::{begin, host, only, scene, unharmed};
use crate::scene::{DEADLINE, HOST, Other, Scene};

const JUDGED: &str = "{canary: {steps: [{setWeight: 20}, {analyze: {max: 60s}}]}}";

fn at(version: &'static str, phase: &'static str) -> impl Fn(&Value) -> bool {
    move |release| release["phase"] == phase && release["stableVersion"] == version
}

/// Starts a scene with the cart beside the checkout, both with v1 live and under load.
async fn with_cart(scene: &mut Scene, strategy: &str, release: &[&str]) -> Result<CountedLoad> {
    scene.specs.others = vec![Other {
        name: "cart",
        version: "v1",
        strategy: strategy.into(),
        release: release.iter().map(|field| (*field).into()).collect(),
    }];
    scene.start().await?;
    let config = LoadConfig { hosts: vec![HOST.into(), host("cart")], ..scene.load_config(400.0) };
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    scene.until_of("cart", "the cart to be live", at("v1", "PHASE_HEALTHY")).await?;
    Ok(Load::start(config).counted())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_depends_on_another_waits_for_it() -> Result<()> {
    let mut scene = scene(JUDGED).await?;
    scene.specs.release = vec!["dependsOn: [cart]".into()];
    let load = with_cart(&mut scene, "{canary: {steps: [{setWeight: 50}, {pause: {}}]}}", &[]).await?;
    scene.specs.others[0].version = "v2";
    scene.commit("v2")?;
    let waits = |release: &Value| release["phase"] == "PHASE_PAUSED" && release["actualWeight"] == 50.0;
    scene.until_of("cart", "the cart to wait at its gate", waits).await?;
    let says = |release: &Value| release["message"].as_str().is_some_and(|text| text.contains("cart"));
    scene.until("the checkout to say what it waits for", |release| release["version"] == "v2" && says(release)).await?;
    only(&scene, "v1").await?;
    scene.server.run(["promote", "cart"]).await?;
    scene.until_of("cart", "the cart to be released", at("v2", "PHASE_HEALTHY")).await?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    unharmed(&load.finish().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_go_together_are_promoted_or_go_back_together() -> Result<()> {
    let mut scene = scene(JUDGED).await?;
    scene.upstreams.push(Upstream::start(UpstreamConfig::local("v4")).await?);
    scene.specs.release = vec!["together: sale".into()];
    let load = with_cart(&mut scene, JUDGED, &["together: sale"]).await?;
    scene.specs.others[0].version = "v2";
    scene.commit("v2")?;
    scene.until_of("cart", "the cart to be released", at("v2", "PHASE_HEALTHY")).await?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    unharmed(&load.so_far())?;
    // The cart's is bad; the checkout's is good and goes back with it.
    scene.specs.others[0].version = "v3";
    scene.commit("v4")?;
    scene.until_of("cart", "the cart to go back", at("v2", "PHASE_DEGRADED")).await?;
    scene.until_phase("PHASE_DEGRADED", "v2").await?;
    only(&scene, "v2").await?;
    let summary = load.finish().await;
    ensure!(summary.failures_not_of("v3") == 0 && summary.version("v3").failures > 0, "{summary}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_are_tried_side_by_side_and_the_live_version_stays() -> Result<()> {
    let mut scene = scene(JUDGED).await?;
    scene.upstreams.push(Upstream::start(UpstreamConfig::local("v4")).await?);
    let load = begin(&mut scene).await?;
    let experiment = |name: &str, candidates: &str, duration: &str| {
        vec![format!("experiment: {{name: {name}, candidates: {{{candidates}}}, duration: {duration}}}")]
    };
    scene.specs.release = experiment("first", "v2: 10, v4: 10", "5s");
    scene.commit("v1")?;
    tried(&load, &["v2", "v4"]).await?;
    wait::until("the experiment to end", DEADLINE, || only(&scene, "v1")).await?;
    unharmed(&load.so_far())?;
    let ended = scene.until_phase("PHASE_HEALTHY", "v1").await?;
    ensure!(ended["version"] == "v1", "{ended:#}");

    scene.specs.release = experiment("second", "v2: 10, v3: 10", "10m");
    scene.commit("v1")?;
    tried(&load, &["v3"]).await?;
    wait::until("the bad candidate to be taken out", DEADLINE, || async {
        let summary = scene.load(300.0).run_for(Duration::from_secs(1)).await;
        ensure!(summary.version("v3").requests == 0 && summary.version("v1").requests > 0, "{summary}");
        Ok(())
    })
    .await?;
    let summary = load.finish().await;
    ensure!(summary.failures_not_of("v3") == 0 && summary.overload == 0, "{summary}");
    Ok(())
}

/// Waits until each of these versions has answered anew.
async fn tried(load: &CountedLoad, versions: &[&str]) -> Result<()> {
    let before = load.so_far();
    wait::until(&format!("{versions:?} to be tried"), DEADLINE, || async {
        let now = load.so_far();
        for version in versions {
            ensure!(now.version(version).requests > before.version(version).requests, "{now}");
        }
        Ok(())
    })
    .await
}
