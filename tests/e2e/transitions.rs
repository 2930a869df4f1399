//! Changes of every kind under load lose nothing.

use anyhow::{Result, ensure};
use serin_testbed::upstream::{Upstream, UpstreamConfig};

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn xds_31_to_33_endpoints_versions_and_clusters_change_without_a_failed_request() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.steps = "[{setWeight: 50}]".into();
    scene.start().await?;
    let load = scene.load(500.0);
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    // A version that nobody knew comes and gets everything; the old one goes.
    for number in 4..8 {
        let version = format!("v{number}");
        scene.upstreams.push(Upstream::start(UpstreamConfig::local(&version)).await?);
        scene.commit(&version)?;
        scene.until_phase("PHASE_HEALTHY", &version).await?;
        if number > 4 {
            let old = format!("v{}", number - 1);
            scene.upstreams.retain(|upstream| upstream.version() != old || old == "v1");
            // The upstream is gone only from the specs' point of view: it still answers what is under way.
        }
    }
    let mut summary = Default::default();
    load.finish(&mut summary).await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary:#?}");
    ensure!(summary.version("v7").requests > 0, "{summary:#?}");
    Ok(())
}
