//! Two sets of endpoints and one switch: at once or over a time, with a preview, hooks, a standby, and a retirement.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serin_testbed::hooks::HookReceiver;
use serin_testbed::upstream::Behaviour;
use serin_testbed::wait;

use super::{
    begin, host, only, promotes_v2, promotes_v2_and_reverts_v3, reverts_v3, scene, unharmed, until_answered,
    until_paused_at, until_step,
};
use crate::scene::{DEADLINE, HOST};
use crate::states::States;

#[tokio::test(flavor = "multi_thread")]
async fn all_at_once_after_a_hook_and_back_when_it_fails() -> Result<()> {
    let hooks = HookReceiver::start().await?;
    let mut scene = scene(format!(
        "{{blueGreen: {{prePromotion: [{{hook: {{url: \"{}\", retries: 0}}}}], \
         postPromotion: [{{watch: {{duration: 4s}}}}]}}}}",
        hooks.url("/check")
    ))
    .await?;
    let summary = promotes_v2_and_reverts_v3(&mut scene).await?;
    let asked: Vec<_> = hooks
        .posted_to("/check")
        .iter()
        .map(|posted| (posted.body["version"].clone(), posted.body["stable"].clone()))
        .collect();
    ensure!(asked == [("v2".into(), "v1".into()), ("v3".into(), "v2".into())], "{asked:?}");
    ensure!(summary.version("v2").requests > 0 && summary.version("v1").requests > 0, "{summary}");
    only(&scene, "v2").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_by_host_and_header_comes_before_the_switch() -> Result<()> {
    let preview = host("preview");
    let mut scene = scene(format!(
        "{{blueGreen: {{preview: {{hosts: [{preview}], match: [{{headers: {{x-preview: {{exact: \"1\"}}}}}}]}}, \
         autoPromote: false, postPromotion: [{{watch: {{duration: 4s}}}}]}}}}"
    ))
    .await?;
    let load = begin(&mut scene).await?;
    until_answered(&scene, &preview, &[], "v1").await?;
    scene.commit("v2")?;
    until_answered(&scene, &preview, &[], "v2").await?;
    until_answered(&scene, HOST, &[("x-preview", "1")], "v2").await?;
    until_answered(&scene, HOST, &[("x-preview", "2")], "v1").await?;
    until_paused_at(&scene, "v2", 0.0).await?;
    only(&scene, "v1").await?;
    ensure!(load.so_far().version("v2").requests == 0, "{}", load.so_far());
    scene.server.run(["promote", "checkout"]).await?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    until_answered(&scene, &preview, &[], "v2").await?;
    unharmed(&load.so_far())?;
    scene.specs.strategy = scene.specs.strategy.map(|strategy| strategy.replace("autoPromote: false, ", ""));
    reverts_v3(&scene, load).await?;
    until_answered(&scene, &preview, &[], "v2").await
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_time_part_by_part() -> Result<()> {
    let mut scene = scene("{blueGreen: {switch: {over: 5s}, postPromotion: [{watch: {duration: 4s}}]}}").await?;
    let load = begin(&mut scene).await?;
    let states = States::of(&scene.server, "checkout")?;
    states.until("the release at rest", |release| release["phase"] == "PHASE_HEALTHY").await?;
    scene.commit("v2")?;
    states.until_a_part_has_moved().await?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    unharmed(&load.so_far())?;
    reverts_v3(&scene, load).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_stand_on_both_sides_of_the_switch() -> Result<()> {
    let hooks = HookReceiver::start().await?;
    let [before, after] = ["/before", "/after"].map(|path| hooks.url(path));
    let mut scene = scene(format!(
        "{{blueGreen: {{hooks: {{beforeSwitch: {{url: \"{before}\", retries: 0}}, afterSwitch: {{url: \"{after}\"}}}}, \
         postPromotion: [{{watch: {{duration: 2s}}}}]}}}}"
    ))
    .await?;
    let load = begin(&mut scene).await?;
    promotes_v2(&scene, &load).await?;
    let told: Vec<_> = hooks.posted().into_iter().map(|posted| (posted.path, posted.body["purpose"].clone())).collect();
    ensure!(told == [("/before".into(), "beforeSwitch".into()), ("/after".into(), "afterSwitch".into())], "{told:?}");
    hooks.answer_status("/before", 500);
    scene.commit("v3")?;
    scene.until_phase("PHASE_DEGRADED", "v2").await?;
    unharmed(&load.finish().await)?;
    ensure!(scene.upstreams[2].requests() == 0, "v3 was refused, and served all the same");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn phoenix_throws_the_old_set_away_after_its_last_request() -> Result<()> {
    let hooks = HookReceiver::start().await?;
    let [before, retire] = ["/before", "/retire"].map(|path| hooks.url(path));
    let mut scene = scene(format!(
        "{{blueGreen: {{postPromotion: [{{watch: {{duration: 3s}}}}], standby: {{for: 1s, then: retire, drain: 5s}}, \
         hooks: {{beforeRetire: {{url: \"{before}\"}}, retire: {{url: \"{retire}\"}}}}}}}}"
    ))
    .await?;
    // Some requests are under way whenever somebody looks.
    scene.upstreams[0].behave(Behaviour { latency: Duration::from_millis(300), ..Behaviour::GOOD });
    let load = begin(&mut scene).await?;
    scene.commit("v2")?;
    let retired = hooks.wait_for("/retire", 1, DEADLINE).await.with_context(|| scene.server.tail())?;
    ensure!(scene.upstreams[0].in_flight() == 0, "v1 was thrown away with requests in flight");
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    unharmed(&load.so_far())?;
    let order: Vec<String> = hooks.posted().into_iter().map(|posted| posted.path).collect();
    ensure!(order == ["/before", "/retire"], "{order:?}");
    let endpoints = serde_json::json!([scene.upstreams[0].addr().to_string()]);
    ensure!(retired[0].body["endpoints"] == endpoints && retired[0].body["purpose"] == "retire", "{retired:#?}");
    reverts_v3(&scene, load).await?;
    let v2 = scene.upstreams[1].addr().to_string();
    let wrong = hooks.posted().into_iter().find(|posted| posted.body["endpoints"].to_string().contains(&v2));
    ensure!(wrong.is_none(), "what serves was to be thrown away: {wrong:#?}");
    only(&scene, "v2").await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_standby_all_traffic_returns_at_once() -> Result<()> {
    let mut scene = scene("{blueGreen: {postPromotion: [{watch: {duration: 2s}}], standby: {for: 10m}}}").await?;
    let load = begin(&mut scene).await?;
    scene.commit("v2")?;
    let standing = until_step(&scene, "stand by").await?;
    ensure!(standing["actualWeight"] == 100.0 && standing["stableVersion"] == "v1", "{standing:#}");
    wait::until("v2 to have all the traffic", DEADLINE, || only(&scene, "v2")).await?;
    scene.server.run(["abort", "checkout", "--reason", "a test"]).await?;
    scene.until_phase("PHASE_DEGRADED", "v1").await?;
    only(&scene, "v1").await?;
    unharmed(&load.finish().await)
}
