//! What a canary is compared with: a share that is held back, endpoints that were started for it.

use anyhow::{Result, ensure};
use serin_testbed::upstream::{Behaviour, Upstream, UpstreamConfig};

use super::{begin, promotes_v2, reverts_v3, scene, until_step};

#[tokio::test(flavor = "multi_thread")]
async fn what_turns_bad_while_a_share_is_held_back_goes_back() -> Result<()> {
    let held = |duration: &str| {
        format!(
            "{{canary: {{steps: [{{setWeight: 50}}, {{analyze: {{max: 60s}}}}], \
             holdback: {{weight: 10, duration: {duration}}}}}}}"
        )
    };
    let mut scene = scene(held("3s")).await?;
    let load = begin(&mut scene).await?;
    promotes_v2(&scene, &load).await?;
    let promoted = scene.journal().await?;
    ensure!(promoted.iter().any(|(_, said)| said.contains("with 10% held back for v1")), "{promoted:?}");
    scene.specs.strategy = Some(held("10m"));
    scene.upstreams[2].behave(Behaviour::GOOD);
    scene.commit("v3")?;
    until_step(&scene, "hold back").await?;
    scene.until("90% in force", |release| release["actualWeight"] == 90.0).await?;
    scene.upstreams[2].behave(Behaviour::failing(0.2));
    let reverted = scene.until_phase("PHASE_DEGRADED", "v2").await?;
    ensure!(reverted["message"].as_str().is_some_and(|said| said.contains("errors")), "{reverted:#}");
    let summary = load.finish().await;
    ensure!(summary.failures_not_of("v3") == 0 && summary.version("v3").failures > 0, "{summary}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_baseline_of_its_own_that_gets_as_much() -> Result<()> {
    let mut scene = scene("{canary: {steps: [{setWeight: 20}, {analyze: {max: 60s}}, {pause: {}}]}}").await?;
    scene.upstreams.push(Upstream::start(UpstreamConfig::local("v1-fresh")).await?);
    scene.specs.analysis = "{baseline: v1-fresh, metrics: [{errors: {harmlessRate: 0.02}}]}".into();
    let load = begin(&mut scene).await?;
    scene.commit("v2")?;
    let paused = scene.until("the pause", |release| release["phase"] == "PHASE_PAUSED").await?;
    let shares = paused["shares"].as_array().cloned().unwrap_or_default();
    let share = |name: &str| shares.iter().find(|share| share["version"] == name).map(|share| share["weight"].clone());
    ensure!(share("v2") == share("v1-fresh") && share("v1") == Some(60.0.into()), "{paused:#}");
    let so_far = load.so_far();
    ensure!(so_far.version("v1-fresh").requests > 0, "{so_far}");
    scene.server.run(["promote", "checkout"]).await?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    reverts_v3(&scene, load).await?;
    Ok(())
}
