//! What a release does with nobody there: the next share, another try, the end of its patience.

use anyhow::{Result, ensure};
use serin_testbed::hooks::HookReceiver;
use serin_testbed::upstream::Behaviour;
use serin_testbed::wait;

use super::{begin, promotes_v2, promotes_v2_and_reverts_v3, scene, unharmed};
use crate::scene::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn up_a_ladder_of_shares_by_proofs_alone() -> Result<()> {
    promotes_v2_and_reverts_v3(&mut scene("{canary: {steps: [{auto: {from: 10, to: 40}}]}}").await?).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_tried_again_and_goes_live_when_it_is_well() -> Result<()> {
    let mut scene = scene("{canary: {steps: [{setWeight: 50}, {analyze: {max: 60s}}]}}").await?;
    scene.specs.release = vec!["rollback: {retry: {limit: 5, backoff: 1s}}".into()];
    let load = begin(&mut scene).await?;
    promotes_v2(&scene, &load).await?;
    scene.commit("v3")?;
    wait::until("v3 to be tried again", DEADLINE, || async {
        let journal = scene.journal().await?;
        ensure!(journal.iter().any(|(kind, _)| kind == "triedAgain"), "{journal:?}");
        Ok(())
    })
    .await?;
    scene.upstreams[2].behave(Behaviour::GOOD);
    scene.until_phase("PHASE_HEALTHY", "v3").await?;
    let summary = load.finish().await;
    ensure!(summary.failures_not_of("v3") == 0 && summary.version("v3").failures > 0, "{summary}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_progress_it_goes_back() -> Result<()> {
    let hooks = HookReceiver::start().await?;
    hooks.answer_status("/test", 503);
    let hook = format!("{{hook: {{url: \"{}\", retries: 100, backoff: 1s}}}}", hooks.url("/test"));
    let mut scene = scene(format!("{{canary: {{steps: [{{setWeight: 10}}, {hook}]}}}}")).await?;
    scene.specs.release = vec!["progressDeadline: {after: 3s, onDeadline: revert}".into()];
    let load = begin(&mut scene).await?;
    scene.commit("v2")?;
    let reverted = scene.until_phase("PHASE_DEGRADED", "v1").await?;
    ensure!(reverted["message"].as_str().is_some_and(|said| said.contains("progressDeadline")), "{reverted:#}");
    unharmed(&load.finish().await)
}
