//! Proxies that send nothing are asked.

use anyhow::{Context, Result, ensure};
use serin_testbed::envoy::EnvoyProcess;

use crate::scene::{DEADLINE, Scene};
use crate::ways;

/// A bootstrap without its load reports.
fn without_load_reports(bootstrap: &str) -> Result<String> {
    let (before, reports) = bootstrap.split_once("cluster_manager:\n").context("no load reports")?;
    let after = reports.find("static_resources:").context("nothing after the load reports")?;
    ensure!(reports[..after].contains("load_stats_config"), "{bootstrap}");
    Ok(format!("{before}{}", &reports[after..]))
}

/// A scene whose proxies have neither a metrics sink nor load reports. Nothing is known of what they serve.
async fn silent() -> Result<Scene> {
    let mut scene = Scene::new().await?;
    scene.commit("v1")?;
    scene.server.start().await?;
    for proxy in &mut scene.proxies {
        proxy.no_metrics = true;
    }
    for proxy in scene.proxies.clone() {
        let bootstrap = without_load_reports(&scene.bootstrap(&proxy).await?)?;
        let mut envoy = EnvoyProcess::start(proxy.id, &bootstrap).await?;
        envoy.ready(DEADLINE).await?;
        envoy.listener("http", DEADLINE).await?;
        scene.envoys.push(envoy);
    }
    Ok(scene)
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_that_send_nothing_are_judged_by_what_their_admin_interfaces_show() -> Result<()> {
    let mut scene = silent().await?;
    let load = scene.load(300.0).counted();
    scene.commit("v2")?;
    let holds = |release: &serde_json::Value| {
        release["step"] == 1 && release["message"].as_str().is_some_and(|text| text.contains("no evidence"))
    };
    scene.until("the silence to be noticed", holds).await?;
    // From the moment on at which the fleets name them, they are asked.
    let admin: Vec<String> = scene.envoys.iter().map(|envoy| format!("'http://{}'", envoy.admin())).collect();
    scene.specs.fleet.push(format!("telemetry: {{poll: {{admin: [{}], interval: 250ms}}}}", admin.join(", ")));
    ways::promotes_v2(&scene, &load).await?;
    ways::reverts_v3(&scene, load).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_answer_is_named_once() -> Result<()> {
    let mut scene = Scene::new().await?;
    let [nobody] = serin_testbed::ports::free()?;
    scene.specs.fleet.push(format!("telemetry: {{poll: {{admin: ['http://{nobody}'], interval: 100ms}}}}"));
    scene.start().await?;
    scene.server_says(&nobody.to_string()).await?;
    // Several questions later, which are waited for at the proxies that do answer.
    let load = scene.load(100.0);
    scene.commit("v2")?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    load.finish(&mut Default::default()).await;
    let said = scene.server.log().lines().filter(|line| line.contains("does not tell its statistics")).count();
    ensure!(said == 1, "it was said {said} times");
    Ok(())
}
