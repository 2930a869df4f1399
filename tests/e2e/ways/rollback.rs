//! The ways back, and a release that overtakes another.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use serin_testbed::upstream::Behaviour;

use super::{begin, only, promotes_v2, reverts_v3, scene, unharmed, until_paused_at};
use crate::scene::Scene;
use crate::states::States;

const GATED: &str = "{canary: {steps: [{setWeight: 50}, {pause: {}}]}}";
const UNGATED: &str = "{canary: {steps: [{setWeight: 50}]}}";

/// Releases a version past all its gates.
async fn release(scene: &Scene, version: &str) -> Result<()> {
    scene.commit(version)?;
    until_paused_at(scene, version, 50.0).await?;
    scene.server.run(["promote", "checkout", "--full"]).await?;
    scene.until_phase("PHASE_HEALTHY", version).await?;
    Ok(())
}

/// Waits until a version is live and nothing moves, whatever the spec wants.
async fn rests_at(scene: &Scene, version: &str) -> Result<Value> {
    let rests = |release: &Value| {
        release["stableVersion"] == version
            && (release["phase"] == "PHASE_HEALTHY" || release["phase"] == "PHASE_DEGRADED")
    };
    scene.until(&format!("{version} to be live again"), rests).await
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_to_the_last_one_and_to_a_named_one() -> Result<()> {
    let mut scene = scene(UNGATED).await?;
    scene.upstreams[2].behave(Behaviour::GOOD);
    let load = begin(&mut scene).await?;
    promotes_v2(&scene, &load).await?;
    scene.server.run(["undo", "checkout"]).await?;
    rests_at(&scene, "v1").await?;
    only(&scene, "v1").await?;
    scene.commit("v3")?;
    scene.until_phase("PHASE_HEALTHY", "v3").await?;
    scene.server.run(["undo", "checkout", "--to", "v2"]).await?;
    rests_at(&scene, "v2").await?;
    only(&scene, "v2").await?;
    let refused = scene.server.run(["undo", "checkout", "--to", "v9"]).await;
    ensure!(refused.is_err_and(|error| format!("{error:#}").contains("v9")), "there is no v9 to return to");
    unharmed(&load.finish().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn by_commit_at_once_past_all_gates() -> Result<()> {
    let mut scene = scene(GATED).await?;
    let load = begin(&mut scene).await?;
    release(&scene, "v2").await?;
    scene.commit("v1")?;
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    only(&scene, "v1").await?;
    release(&scene, "v2").await?;
    unharmed(&load.so_far())?;
    scene.specs.strategy = Some("{canary: {steps: [{setWeight: 10}, {analyze: {max: 60s}}]}}".into());
    reverts_v3(&scene, load).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_steps_to_any_of_the_window() -> Result<()> {
    let mut scene = scene(GATED).await?;
    scene.upstreams[2].behave(Behaviour::GOOD);
    scene.specs.release = vec!["rollback: {window: {revisions: 3}}".into()];
    let load = begin(&mut scene).await?;
    release(&scene, "v2").await?;
    release(&scene, "v3").await?;
    scene.commit("v1")?;
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    only(&scene, "v1").await?;
    unharmed(&load.finish().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn step_by_step_to_one_that_the_window_has_lost() -> Result<()> {
    let mut scene = scene(GATED).await?;
    scene.upstreams[2].behave(Behaviour::GOOD);
    scene.specs.release = vec!["rollback: {window: {revisions: 1}}".into()];
    let load = begin(&mut scene).await?;
    release(&scene, "v2").await?;
    release(&scene, "v3").await?;
    release(&scene, "v1").await?;
    unharmed(&load.finish().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_time_so_that_nobody_is_flooded() -> Result<()> {
    let mut scene = scene(UNGATED).await?;
    scene.specs.release = vec!["rollback: {over: 5s}".into()];
    let load = begin(&mut scene).await?;
    promotes_v2(&scene, &load).await?;
    let states = States::of(&scene.server, "checkout")?;
    states.until("the release at rest", |release| release["phase"] == "PHASE_HEALTHY").await?;
    scene.server.run(["undo", "checkout"]).await?;
    states.until_a_part_has_moved().await?;
    rests_at(&scene, "v1").await?;
    only(&scene, "v1").await?;
    unharmed(&load.finish().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_version_overtakes_the_second_which_finishes_what_it_has() -> Result<()> {
    let mut scene = scene(GATED).await?;
    scene.upstreams[1].behave(Behaviour { latency: Duration::from_millis(300), ..Behaviour::GOOD });
    scene.upstreams[2].behave(Behaviour::GOOD);
    let load = begin(&mut scene).await?;
    scene.commit("v2")?;
    until_paused_at(&scene, "v2", 50.0).await?;
    scene.commit("v3")?;
    let overtaken = until_paused_at(&scene, "v3", 50.0).await?;
    ensure!(overtaken["stableVersion"] == "v1", "{overtaken:#}");
    let summary = scene.load(200.0).run_for(Duration::from_secs(1)).await;
    ensure!(summary.version("v2").requests == 0 && summary.version("v3").requests > 0, "{summary}");
    scene.server.run(["promote", "checkout"]).await?;
    scene.until_phase("PHASE_HEALTHY", "v3").await?;
    let summary = load.finish().await;
    ensure!(summary.version("v2").requests > 0, "v2 was never tried: {summary}");
    unharmed(&summary)
}
