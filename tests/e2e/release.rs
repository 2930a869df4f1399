//! Good versions are promoted, bad ones reverted, and nobody pays for it but the bad version's own users.

use anyhow::{Result, ensure};

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_good_version_is_promoted_and_a_bad_one_reverted_on_delta_and_sotw() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.start().await?;
    let load = scene.load(300.0);
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    scene.commit("v2")?;
    let promoted = scene.until_phase("PHASE_HEALTHY", "v2").await?;
    ensure!(promoted["proxies"] == 2 && promoted["proxiesInForce"] == 2, "{promoted:#}");
    scene.commit("v3")?;
    let reverted = scene.until_phase("PHASE_DEGRADED", "v2").await?;
    ensure!(reverted["message"].as_str().is_some_and(|text| text.contains("errors: canary")), "{reverted:#}");
    ensure!(reverted["actualWeight"] == 0.0, "{reverted:#}");
    let mut summary = Default::default();
    load.finish(&mut summary).await;
    ensure!(summary.failures_not_of("v3") == 0 && summary.overload == 0, "{summary:#?}");
    ensure!(summary.version("v3").failures > 0, "v3 was never tried: {summary:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn abort_and_the_spec_changed_back_return_at_once() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.steps = "[{setWeight: 25}, {pause: {}}]".into();
    scene.start().await?;
    let load = scene.load(100.0);
    scene.commit("v2")?;
    scene.until("25 % to be in force", |release| release["actualWeight"] == 25.0).await?;
    scene.server.run(["abort", "checkout", "--reason", "a test"]).await?;
    scene.until_phase("PHASE_DEGRADED", "v1").await?;
    scene.server.run(["retry", "checkout"]).await?;
    scene.until("25 % to be in force again", |release| release["actualWeight"] == 25.0).await?;
    scene.server.run(["promote", "checkout"]).await?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    scene.commit("v1")?;
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    let mut summary = Default::default();
    load.finish(&mut summary).await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_the_bootstraps_own_takes_its_routes() -> Result<()> {
    let mut scene = Scene::new().await?;
    for proxy in &mut scene.proxies {
        proxy.rds_only = true;
    }
    scene.start().await?;
    let load = scene.load(200.0);
    scene.commit("v2")?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    let mut summary = Default::default();
    load.finish(&mut summary).await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary:#?}");
    ensure!(summary.version("v2").requests > 0, "{summary:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_specs_leave_the_last_good_ones_in_force() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.steps = "[{setWeight: 25}, {pause: {}}]".into();
    scene.start().await?;
    scene.commit("v2")?;
    scene.until("25 % to be in force", |release| release["actualWeight"] == 25.0).await?;
    scene.server.write_spec("broken.yaml", "apiVersion: serin.dev/v1\nkind: Release\nspec: {sevrice: checkout}\n")?;
    let metrics = || async {
        let page = serin_testbed::http::get_ok(scene.server.http(), "/metrics").await?;
        ensure!(!page.contains("serin_spec_diagnostics 0"), "the broken file was not noticed");
        Ok(())
    };
    serin_testbed::wait::until("the broken specs to be noticed", crate::scene::DEADLINE, metrics).await?;
    let release = scene.release().await?;
    ensure!(release["actualWeight"] == 25.0 && release["canaryVersion"] == "v2", "{release:#}");
    ensure!(scene.server.log().contains("broken.yaml"), "{}", scene.server.tail());
    Ok(())
}
