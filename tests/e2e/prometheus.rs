//! What a real Prometheus has of real Envoys, as the templates ask for it: it alone decides.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use serin_testbed::prometheus::{Job, Prometheus};
use serin_testbed::upstream::{Behaviour, Upstream, UpstreamConfig};
use serin_testbed::wait;

use crate::scene::{DEADLINE, Scene};

const EVERY: Duration = Duration::from_millis(250);

/// A scene whose server asks a Prometheus that scrapes its Envoys; `live` has all the traffic. `None` where there is no
/// Prometheus.
async fn scraped(what: &str, live: &str, scene: Scene) -> Result<Option<(Scene, Prometheus)>> {
    let Some(mut prometheus) = Prometheus::new(what, EVERY)? else { return Ok(None) };
    let mut scene = Scene { server: scene.server.arg("--prometheus").arg(prometheus.url()), ..scene };
    scene.commit(live)?;
    scene.server.start().await?;
    for proxy in scene.proxies.clone() {
        scene.start_proxy(&proxy).await?;
    }
    let admin = scene.envoys.iter().map(|envoy| envoy.admin()).collect();
    prometheus.scrape(&[Job::new("envoy", admin, "/stats/prometheus")])?;
    prometheus.start().await?;
    prometheus.scraped(scene.envoys.len(), DEADLINE).await?;
    scene.until_phase("PHASE_HEALTHY", live).await?;
    Ok(Some((scene, prometheus)))
}

/// Metrics of templates, each with a limit.
fn metrics(templates: &[&str], more: &str) -> String {
    let metrics = templates.iter().map(|name| format!("{{prometheus: {{template: {name}, {more}}}}}"));
    format!("{{metrics: [{}]}}", metrics.collect::<Vec<_>>().join(", "))
}

fn message(release: &Value) -> &str {
    release["message"].as_str().unwrap_or_default()
}

/// The newest number of a metric, in what was said of it.
fn number(said: &str, metric: &str) -> Result<f64> {
    let (_, rest) = said.split_once(&format!("{metric}: ")).with_context(|| format!("no {metric} in {said}"))?;
    let (number, _) = rest.split_once(" is ").with_context(|| format!("no number in {rest}"))?;
    number.parse().with_context(|| rest.to_owned())
}

async fn explained(scene: &Scene) -> Result<String> {
    scene.server.run(["explain", "checkout"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_is_reverted_by_the_error_rate_that_prometheus_has_of_envoy() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.steps = "[{setWeight: 20}, {analyze: {max: 60s}}]".into();
    scene.specs.analysis = metrics(&["envoy-error-rate"], "max: 0.05, interval: 2s");
    let Some((scene, _prometheus)) = scraped("a release by Envoy's error rate", "v1", scene).await? else {
        return Ok(());
    };
    let load = scene.load(300.0).counted();
    scene.commit("v2")?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    // Of five requests to it one fails.
    scene.commit("v3")?;
    let reverted = scene.until_phase("PHASE_DEGRADED", "v2").await?;
    ensure!(message(&reverted).starts_with("v3 was reverted: envoy-error-rate: "), "{reverted:#}");
    let measured = number(message(&reverted), "envoy-error-rate")?;
    ensure!((0.05..0.4).contains(&measured), "{reverted:#}");
    let explained = explained(&scene).await?;
    for words in ["reverted v3", "because: envoy-error-rate: ", " is above 0.05, reverts"] {
        ensure!(explained.contains(words), "no {words:?} in {explained}");
    }
    drop(load.finish().await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_upstream_does_is_what_the_templates_give_of_envoy() -> Result<()> {
    let mut scene = Scene::new().await?;
    let behaviour = Behaviour {
        latency: Duration::from_millis(310),
        slow_rate: 0.1,
        slow_latency: Duration::from_millis(300),
        ..Behaviour::failing(0.2)
    };
    // A version as they are often called: in its cluster's name are no dots, which Envoy would cut it at.
    scene.upstreams.push(Upstream::start(UpstreamConfig { behaviour, ..UpstreamConfig::local("2.1.0") }).await?);
    scene.steps = "[{setWeight: 50}, {pause: {}}]".into();
    // Envoy's buckets begin above these and end with these.
    let expected = [
        ("envoy-error-rate", 0.1, 0.3),
        ("envoy-p50", 300.0, 400.0),
        ("envoy-p95", 600.0, 800.0),
        ("envoy-p99", 600.0, 800.0),
    ];
    scene.specs.analysis = metrics(&expected.map(|(name, ..)| name), "max: 10000, interval: 3s");
    let Some((scene, _prometheus)) = scraped("templates of Envoy's statistics", "v1", scene).await? else {
        return Ok(());
    };
    let load = scene.load(200.0).counted();
    scene.commit("2.1.0")?;
    wait::until("the numbers", DEADLINE, || async {
        let explained = explained(&scene).await?;
        for (name, above, most) in expected {
            let number = number(&explained, name)?;
            ensure!(number > above && number <= most, "{name} is {number}");
        }
        Ok(())
    })
    .await?;
    drop(load.finish().await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_prometheus_is_away_a_step_holds_and_then_goes_on() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.steps = "[{setWeight: 10}, {pause: {}}, {analyze: {max: 10m}}]".into();
    scene.specs.analysis =
        metrics(&["envoy-error-rate"], "max: 0.05, interval: 1s, timeout: 1s, consecutiveErrorLimit: 1");
    let Some((scene, mut prometheus)) = scraped("an outage of Prometheus", "v1", scene).await? else {
        return Ok(());
    };
    let load = scene.load(200.0).counted();
    scene.commit("v2")?;
    let says = |words: &'static str| {
        let scene = &scene;
        wait::until(words, DEADLINE, move || async move {
            let explained = explained(scene).await?;
            ensure!(explained.contains(words), "{explained}");
            Ok(())
        })
    };
    says("envoy-error-rate: 0 is at most 0.05").await?;
    prometheus.kill();
    says("envoy-error-rate could not be measured").await?;
    // From here on one good number would do.
    scene.server.run(["promote", "checkout"]).await?;
    let times = |release: &Value| {
        let (_, rest) = message(release).split_once("envoy-error-rate could not be measured ")?;
        rest.strip_suffix(" times running, holds: connection refused")?.parse::<u32>().ok()
    };
    let begun = scene.until("the error", |release| times(release).is_some()).await?;
    let later = times(&begun).unwrap_or_default() + 2;
    let held = scene.until("more errors", |release| times(release).is_some_and(|times| times >= later)).await?;
    ensure!(held["phase"] == "PHASE_PROGRESSING" && held["actualWeight"] == 10.0, "{held:#}");
    let journal = scene.journal().await?;
    ensure!(!journal.iter().any(|(kind, _)| kind == "judged" || kind == "reverting"), "{journal:?}");
    prometheus.start().await?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    let summary = load.finish().await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary}");
    Ok(())
}
