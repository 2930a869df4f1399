//! Judged by whatever the proxies can report.

use anyhow::{Result, ensure};

use crate::scene::{Scene, envoy_version};
use crate::ways;

#[tokio::test(flavor = "multi_thread")]
async fn xds_37_a_fleet_without_a_metrics_sink_is_judged_by_its_load_reports_on_the_same_port() -> Result<()> {
    let mut scene = Scene::new().await?;
    for proxy in &mut scene.proxies {
        proxy.no_metrics = true;
    }
    ways::promotes_v2_and_reverts_v3(&mut scene).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_put_into_the_group_that_suits_its_version() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.start().await?;
    let shown = scene.until_shown("one", "in a group", |proxy| proxy["group"] != "").await?;
    let group = if envoy_version() >= (1, 37) { "one" } else { "one~plain" };
    ensure!(shown["group"] == group, "{shown:#}");
    let snapshot = scene.server.run(["snapshots", "show", "--group", group, "--type", "lds"]).await?;
    ensure!(snapshot.contains("envoy.access_loggers.stats") == (envoy_version() >= (1, 37)), "{snapshot}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_without_traffic_holds_and_says_why() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.start().await?;
    scene.commit("v2")?;
    let silent = |release: &serde_json::Value| {
        release["step"] == 1 && release["message"].as_str().is_some_and(|text| text.contains("no evidence"))
    };
    let release = scene.until("the silence to be noticed", silent).await?;
    ensure!(release["phase"] == "PHASE_PROGRESSING" && release["stableVersion"] == "v1", "{release:#}");
    let explained = scene.server.run(["explain", "checkout"]).await?;
    let held = ["held, because there has been no evidence", "no data, so nothing advances", "no request to the canary"];
    ensure!(held.iter().all(|words| explained.contains(words)), "{explained}");
    let journal = scene.journal().await?;
    let decided = ["judged", "reverting", "promoting", "promoted"];
    ensure!(!journal.iter().any(|(kind, _)| decided.contains(&kind.as_str())), "{journal:?}");
    Ok(())
}
