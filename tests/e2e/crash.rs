//! The control plane dies. Users notice nothing, and the rollout goes on where it was.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_mid_step_it_goes_on_in_the_same_step_and_no_request_fails() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.steps =
        "[{setWeight: 20}, {pause: {duration: 3s}}, {analyze: {max: 60s}}, {setWeight: 60}, {pause: {}}]".into();
    scene.start().await?;
    let load = scene.load(300.0);
    scene.commit("v2")?;
    for step in [1, 2] {
        // However late that is seen, it is before the last step ends.
        let reached = |release: &Value| release["canaryVersion"] == "v2" && release["step"].as_u64() >= Some(step);
        let step = scene.until(&format!("step {step}"), reached).await?["step"].as_u64();
        scene.server.kill9();
        scene.server.start().await?;
        let release = scene.release().await?;
        ensure!(release["step"].as_u64() >= step && release["canaryVersion"] == "v2", "{release:#}");
    }
    scene.until("the last step", |release| release["step"] == 4 && release["phase"] == "PHASE_PAUSED").await?;
    scene.server.run(["promote", "checkout"]).await?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    let mut summary = Default::default();
    load.finish(&mut summary).await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary:#?}");
    let begun: Vec<String> = scene
        .journal()
        .await?
        .into_iter()
        .filter(|(kind, _)| kind == "stepBegun")
        .map(|(_, message)| message)
        .collect();
    let expected = [
        "step 1: setWeight 20%",
        "step 2: pause 3s",
        "step 3: analyze at most 1m",
        "step 4: setWeight 60%",
        "step 5: pause until promoted",
    ];
    ensure!(begun == expected, "no step is skipped or done twice: {begun:#?}");
    Ok(())
}
