//! Copies of requests for the new version, whose answers nobody sees.

use anyhow::{Result, ensure};
use serin_testbed::wait;

use super::{begin, scene, unharmed, until_step};
use crate::scene::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn copies_reach_v2_and_callers_see_v1_alone() -> Result<()> {
    let mut scene = scene(
        "{canary: {steps: [{mirror: {percent: 50}}, {pause: {}}, {mirror: {percent: 100, duration: 2s}}, \
         {setWeight: 50}, {pause: {duration: 1s}}]}}",
    )
    .await?;
    let load = begin(&mut scene).await?;
    scene.commit("v2")?;
    until_step(&scene, "pause").await?;
    wait::until("copies to reach v2", DEADLINE, || async {
        ensure!(scene.upstreams[1].requests() > 200, "{} came", scene.upstreams[1].requests());
        Ok(())
    })
    .await?;
    let summary = load.so_far();
    ensure!(summary.version("v1").requests == summary.requests(), "callers saw the copy's answers: {summary}");
    scene.server.run(["promote", "checkout"]).await?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    // Whoever has all the traffic is sent no copies of it.
    let (copied, before) = (scene.upstreams[1].requests(), load.so_far().version("v2").requests);
    wait::until("a thousand more answers of v2", DEADLINE, || async {
        ensure!(load.so_far().version("v2").requests >= before + 1_000, "{}", load.so_far());
        Ok(())
    })
    .await?;
    let (came, answered) = (scene.upstreams[1].requests() - copied, load.so_far().version("v2").requests - before);
    ensure!(came < answered + answered / 2, "{came} requests came for {answered} answers");
    unharmed(&load.finish().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_is_reverted_without_one_failed_caller() -> Result<()> {
    let mut scene =
        scene("{canary: {steps: [{mirror: {percent: 50}}, {analyze: {max: 60s}}, {setWeight: 50}, {pause: {}}]}}")
            .await?;
    let load = begin(&mut scene).await?;
    scene.commit("v3")?;
    scene.until_phase("PHASE_DEGRADED", "v1").await?;
    let summary = load.finish().await;
    unharmed(&summary)?;
    ensure!(summary.version("v3").requests == 0, "callers saw v3: {summary}");
    ensure!(scene.upstreams[2].requests() > 0, "v3 was sent nothing");
    Ok(())
}
