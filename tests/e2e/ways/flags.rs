//! A feature is released: the same endpoints are told by a header which of their callers have it.

use anyhow::{Result, ensure};
use serin_testbed::load::Summary;
use serin_testbed::upstream::{Behaviour, FEATURES_HEADER};

use super::{ask, begin, scene, unharmed, until_paused_at};
use crate::scene::{HOST, Scene};

/// How many of a hundred requests bore the feature, when their callers claimed to have it.
async fn having(scene: &Scene, feature: &str) -> Result<usize> {
    let (mut having, header) = (0, format!("x-feature-{feature}"));
    for at in 0..100 {
        let proxy = scene.proxies[at % scene.proxies.len()].listen;
        let answer = ask(proxy, HOST, &[(&header, "forged")]).await?;
        match answer.header(FEATURES_HEADER) {
            None => {}
            Some(features) if features == format!("{feature}=on") => having += 1,
            Some(features) => anyhow::bail!("a request with {features}"),
        }
    }
    Ok(having)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feature_goes_live_by_share_and_a_broken_one_is_taken_back() -> Result<()> {
    let mut scene = scene("{canary: {steps: [{setWeight: 50}, {pause: {}}]}}").await?;
    for (version, feature) in [("v1-new", "new-checkout"), ("v1-worse", "worse")] {
        scene.specs.versions.insert(version.into(), format!("{{sameAs: v1, featureFlags: {{{feature}: on}}}}"));
    }
    let load = begin(&mut scene).await?;
    ensure!(having(&scene, "new-checkout").await? == 0, "a feature that nobody released");
    scene.commit("v1-new")?;
    until_paused_at(&scene, "v1-new", 50.0).await?;
    // Five standard deviations of a binomial(100, 0.5).
    let half = having(&scene, "new-checkout").await?;
    ensure!((25..=75).contains(&half), "half of a hundred, not {half}");
    scene.server.run(["promote", "checkout"]).await?;
    scene.until_phase("PHASE_HEALTHY", "v1-new").await?;
    ensure!(having(&scene, "new-checkout").await? == 100, "all have it");
    unharmed(&load.so_far())?;

    scene.upstreams[0].behave(Behaviour { only_with: Some("worse"), ..Behaviour::failing(0.2) });
    scene.specs.strategy = Some("{canary: {steps: [{setWeight: 20}, {analyze: {max: 60s}}]}}".into());
    scene.commit("v1-worse")?;
    scene.until_phase("PHASE_DEGRADED", "v1-new").await?;
    let summary: Summary = load.finish().await;
    ensure!(summary.failures() > 0 && summary.failures_not_of("v1") == 0 && summary.overload == 0, "{summary}");
    ensure!(scene.upstreams[0].errors() == summary.failures(), "somebody failed who has not the feature: {summary}");
    ensure!(having(&scene, "new-checkout").await? == 100, "all have what worked");
    ensure!(having(&scene, "worse").await.is_err(), "the features of v1-new alone");
    Ok(())
}
