//! What a release waits for: a person, a test, a look after the switch, a time.

use anyhow::{Result, ensure};
use serin_testbed::hooks::{HookReceiver, Script};
use serin_testbed::upstream::Behaviour;
use serin_testbed::wait;

use super::{begin, only, promotes_v2, reverts_v3, scene, unharmed, until_paused_at, until_step};
use crate::scene::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_opens_the_gate_and_evidence_closes_it() -> Result<()> {
    let mut scene = scene("{canary: {steps: [{setWeight: 10}, {pause: {}}, {setWeight: 50}, {pause: {}}]}}").await?;
    let load = begin(&mut scene).await?;
    scene.commit("v2")?;
    for weight in [10.0, 50.0] {
        until_paused_at(&scene, "v2", weight).await?;
        scene.server.run(["promote", "checkout"]).await?;
    }
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    unharmed(&load.so_far())?;
    reverts_v3(&scene, load).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_says_no_keeps_all_traffic_away() -> Result<()> {
    let hooks = HookReceiver::start().await?;
    let hook = format!("{{hook: {{url: \"{}\", retries: 1, backoff: 100ms}}}}", hooks.url("/test"));
    let mut scene =
        scene(format!("{{canary: {{steps: [{hook}, {{setWeight: 50}}, {{pause: {{duration: 1s}}}}]}}}}")).await?;
    let load = begin(&mut scene).await?;
    // Once is no answer: it is tried again.
    hooks.answer("/test", Script { statuses: vec![503, 200], ..Script::default() });
    promotes_v2(&scene, &load).await?;
    hooks.answer_status("/test", 422);
    scene.commit("v3")?;
    let reverted = scene.until_phase("PHASE_DEGRADED", "v2").await?;
    ensure!(reverted["message"].as_str().is_some_and(|message| message.contains("422")), "{reverted:#}");
    unharmed(&load.finish().await)?;
    ensure!(scene.upstreams[2].requests() == 0, "v3 was refused, and served all the same");
    let asked = hooks.posted_to("/test");
    let keys: Vec<_> = asked.iter().map(|posted| posted.header("idempotency-key").map(str::to_owned)).collect();
    ensure!(keys.len() == 4 && keys[0].is_some() && keys[0] == keys[1] && keys[2] == keys[3], "{asked:#?}");
    ensure!(keys[1] != keys[2], "two releases under one key: {keys:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_turns_bad_after_the_switch_is_taken_back() -> Result<()> {
    let mut scene = scene("{blueGreen: {postPromotion: [{watch: {duration: 3s}}]}}").await?;
    let load = begin(&mut scene).await?;
    promotes_v2(&scene, &load).await?;
    scene.specs.strategy = Some("{blueGreen: {postPromotion: [{watch: {duration: 10m}}]}}".into());
    scene.upstreams[2].behave(Behaviour::GOOD);
    scene.commit("v3")?;
    let watched = until_step(&scene, "watch").await?;
    ensure!(watched["actualWeight"] == 100.0 && watched["stableVersion"] == "v2", "{watched:#}");
    wait::until("v3 to have all the traffic", DEADLINE, || only(&scene, "v3")).await?;
    unharmed(&load.so_far())?;
    scene.upstreams[2].behave(Behaviour::failing(0.2));
    scene.until_phase("PHASE_DEGRADED", "v2").await?;
    only(&scene, "v2").await?;
    let summary = load.finish().await;
    ensure!(summary.failures_not_of("v3") == 0 && summary.version("v3").failures > 0, "{summary}");
    Ok(())
}

/// Always open.
const ALWAYS: &str = "windows: [{deny: {days: [mon, tue, wed, thu, fri, sat, sun], from: \"00:00\", to: \"00:00\"}, \
                      timeZone: UTC, reason: \"a frozen week\"}]";

#[tokio::test(flavor = "multi_thread")]
async fn in_a_denied_time_no_step_is_taken_but_the_way_back_is() -> Result<()> {
    let mut scene = scene("{canary: {steps: [{setWeight: 20}, {pause: {}}, {setWeight: 60}, {pause: {}}]}}").await?;
    let load = begin(&mut scene).await?;
    scene.specs.release = vec![ALWAYS.into()];
    scene.commit("v2")?;
    let frozen =
        |release: &serde_json::Value| release["message"].as_str().is_some_and(|text| text.contains("a frozen week"));
    scene.until("the window to be told of", |release| release["version"] == "v2" && frozen(release)).await?;
    only(&scene, "v1").await?;
    scene.specs.release.clear();
    scene.commit("v2")?;
    until_paused_at(&scene, "v2", 20.0).await?;
    scene.specs.release = vec![ALWAYS.into()];
    scene.commit("v2")?;
    scene.until("the window to be told of again", frozen).await?;
    scene.server.run(["abort", "checkout", "--reason", "a test"]).await?;
    scene.until_phase("PHASE_DEGRADED", "v1").await?;
    only(&scene, "v1").await?;
    unharmed(&load.finish().await)
}
