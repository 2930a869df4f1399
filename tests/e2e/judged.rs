//! What a release is judged by, with real proxies: errors, latency, where it is worse, and what is not there.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serin_testbed::cable::Cable;
use serin_testbed::envoy::EnvoyProcess;
use serin_testbed::load::CountedLoad;
use serin_testbed::upstream::{Behaviour, Upstream, UpstreamConfig};
use serin_testbed::wait;

use crate::scene::{DEADLINE, Scene};

/// A canary at a weight that nobody moves by hand.
fn canary_at(percent: u32) -> Option<String> {
    Some(format!("{{canary: {{steps: [{{setWeight: {percent}}}, {{pause: {{}}}}]}}}}"))
}

/// The upstreams of a version behave like this from now on.
fn behave(scene: &Scene, version: &str, behaviour: Behaviour) {
    scene.upstreams.iter().filter(|upstream| upstream.version() == version).for_each(|one| one.behave(behaviour));
}

/// What `serin explain` says of the release.
async fn explained(scene: &Scene) -> Result<String> {
    scene.server.run(["explain", "checkout"]).await
}

/// Waits until `serin explain` says all of this.
async fn until_explained(scene: &Scene, words: &[&str]) -> Result<String> {
    wait::until(&format!("{words:?} to be explained"), DEADLINE, || async {
        let text = explained(scene).await?;
        ensure!(words.iter().all(|words| text.contains(words)), "{text}");
        Ok(text)
    })
    .await
    .with_context(|| scene.server.tail())
}

async fn a_replay_agrees(scene: &Scene) -> Result<()> {
    let replayed = scene.server.run(["replay", "checkout"]).await?;
    ensure!(replayed.contains("all the same"), "{replayed}");
    Ok(())
}

/// v1 fails one request in 200, v3 one in 40.
async fn five_times_as_bad() -> Result<(Scene, CountedLoad)> {
    let mut scene = Scene::new().await?;
    behave(&scene, "v1", Behaviour::failing(0.005));
    behave(&scene, "v3", Behaviour::failing(0.025));
    scene.specs.strategy = canary_at(5);
    scene.start().await?;
    let load = scene.load(1_000.0).counted();
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    Ok((scene, load))
}

#[tokio::test(flavor = "multi_thread")]
async fn five_times_the_errors_at_five_percent_are_reverted_and_explained() -> Result<()> {
    let (scene, load) = five_times_as_bad().await?;
    scene.commit("v3")?;
    scene.until_phase("PHASE_DEGRADED", "v1").await?;
    let text = until_explained(&scene, &["reverted", "v3", "falseRevert"]).await?;
    ensure!(text.contains("of v1"), "{text}");
    a_replay_agrees(&scene).await?;
    let summary = load.finish().await;
    ensure!(summary.overload == 0 && summary.version("v3").failures > 0, "{summary}");
    Ok(())
}

/// How long it takes from the weight being in force to its being gone, eleven times: `make bench-detect`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "make bench-detect"]
async fn bench_detect() -> Result<()> {
    let (scene, load) = five_times_as_bad().await?;
    let mut seconds = Vec::new();
    for run in 1..=11 {
        scene.commit("v3")?;
        scene.until("5 % to be in force", |release| release["actualWeight"] == 5.0).await?;
        let begun = Instant::now();
        scene.until_phase("PHASE_DEGRADED", "v1").await?;
        seconds.push(begun.elapsed().as_secs_f64());
        println!("run {run}: {:.1} s from 5 % in force to 0 % acknowledged by all", begun.elapsed().as_secs_f64());
        scene.commit("v1")?;
        scene.until_phase("PHASE_HEALTHY", "v1").await?;
    }
    seconds.sort_by(f64::total_cmp);
    println!("median {:.1} s, longest {:.1} s", seconds[5], seconds[10]);
    drop(load.finish().await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_merely_slow_is_reverted_by_latency_alone() -> Result<()> {
    let mut scene = Scene::new().await?;
    let quick = Behaviour { latency: Duration::from_millis(10), ..Behaviour::GOOD };
    behave(&scene, "v1", quick);
    behave(&scene, "v3", Behaviour { slow_rate: 0.1, slow_latency: Duration::from_millis(50), ..quick });
    scene.specs.strategy = canary_at(10);
    scene.specs.analysis = "{metrics: [{errors: {}}, {latency: {}}]}".into();
    scene.start().await?;
    let load = scene.load(300.0).counted();
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    scene.commit("v3")?;
    let reverted = scene.until_phase("PHASE_DEGRADED", "v1").await?;
    ensure!(reverted["message"].as_str().is_some_and(|text| text.contains("latency")), "{reverted:#}");
    until_explained(&scene, &["reverted", "latency", "slower than"]).await?;
    a_replay_agrees(&scene).await?;
    let summary = load.finish().await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_endpoint_of_four_is_named() -> Result<()> {
    let mut scene = Scene::new().await?;
    behave(&scene, "v3", Behaviour::GOOD);
    for _ in 0..2 {
        scene.upstreams.push(Upstream::start(UpstreamConfig::local("v3")).await?);
    }
    let behaviour = Behaviour::failing(0.5);
    let sick = Upstream::start(UpstreamConfig { behaviour, ..UpstreamConfig::local("v3") }).await?;
    let address = sick.addr().to_string();
    scene.upstreams.push(sick);
    scene.specs.strategy = canary_at(25);
    // It waits instead of going back, so that there is time to look.
    scene.specs.release = vec!["rollback: {auto: false}".into()];
    scene.start().await?;
    let load = scene.load(300.0).counted();
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    scene.commit("v3")?;
    let text = until_explained(&scene, &["worse at endpoint", &address]).await?;
    for good in scene.upstreams.iter().filter(|one| one.addr().to_string() != address) {
        ensure!(!text.contains(&format!("worse at endpoint {}", good.addr())), "{text}");
    }
    drop(load.finish().await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_are_cut_off_in_mid_step_hold_it_until_they_come_again() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.steps = "[{setWeight: 10}, {analyze: {max: 60s}}]".into();
    // Good, but only proven so by more requests than will have been seen when the reports end.
    scene.specs.analysis = "{metrics: [{errors: {harmlessRate: 0.01}}]}".into();
    scene.commit("v1")?;
    scene.server.start().await?;
    let cable = Cable::lay(scene.server.xds()).await?;
    for proxy in scene.proxies.clone() {
        let bootstrap = reporting_over(&scene.bootstrap(&proxy).await?, scene.server.xds().port(), cable.addr().port());
        let mut envoy = EnvoyProcess::start(proxy.id, &bootstrap).await?;
        envoy.ready(DEADLINE).await?;
        envoy.listener("http", DEADLINE).await?;
        scene.envoys.push(envoy);
    }
    let load = scene.load(100.0).counted();
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    scene.commit("v2")?;
    let counted = |release: &serde_json::Value| {
        release["evidence"]["canaryRequests"].as_str().and_then(|count| count.parse::<u64>().ok()).unwrap_or(0) > 0
    };
    scene.until("evidence", counted).await?;
    cable.cut();
    let silent = |release: &serde_json::Value| {
        release["message"].as_str().is_some_and(|text| text.contains("no evidence") || text.contains("have reported"))
    };
    let release = scene.until("the silence to be noticed", silent).await?;
    ensure!(release["phase"] == "PHASE_PROGRESSING" && release["actualWeight"] == 10.0, "{release:#}");
    cable.mend();
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    a_replay_agrees(&scene).await?;
    let summary = load.finish().await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary}");
    Ok(())
}

/// A bootstrap whose reports go another way to the server.
fn reporting_over(bootstrap: &str, server: u16, way: u16) -> String {
    let (head, rest) = bootstrap.split_once("cluster_manager:").expect("load reports");
    let (reports, rest) = rest.split_once("\nstats_config:").expect("statistics");
    let (rest, cluster) = rest.split_once("  - name: xds\n").expect("the server's cluster");
    let reports = reports.replace("cluster_name: xds", "cluster_name: reports");
    let other =
        cluster.replace(&server.to_string(), &way.to_string()).replace("cluster_name: xds", "cluster_name: reports");
    format!(
        "{head}cluster_manager:{reports}\nstats_config:{rest}  - name: xds\n{cluster}  - name: reports\n{other}",
        other = other.split("\nadmin:").next().unwrap_or_default()
    )
}
