//! Every way to release, each with a version that works and one that fails a fifth of its requests. The first goes live
//! and nobody notices; the second is gone by itself, and nobody but its own callers has noticed.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use serin_testbed::http::{self, Answer};
use serin_testbed::load::{CountedLoad, Summary};
use serin_testbed::upstream::VERSION_HEADER;
use serin_testbed::wait;

use crate::scene::{DEADLINE, HOST, Scene};

#[path = "ways/alone.rs"]
mod alone;
#[path = "ways/blue_green.rs"]
mod blue_green;
#[path = "ways/canary.rs"]
mod canary;
#[path = "ways/compared.rs"]
mod compared;
#[path = "ways/flags.rs"]
mod flags;
#[path = "ways/gates.rs"]
mod gates;
#[path = "ways/mirror.rs"]
mod mirror;
#[path = "ways/regions.rs"]
mod regions;
#[path = "ways/rollback.rs"]
mod rollback;
#[path = "ways/rolling.rs"]
mod rolling;
#[path = "ways/several.rs"]
mod several;
#[path = "ways/sticky.rs"]
mod sticky;
#[path = "ways/switch.rs"]
mod switch;
#[path = "ways/tcp.rs"]
mod tcp;

/// Requests per second, unless a test needs others.
const RATE: f64 = 300.0;

/// A scene with this `strategy:`.
async fn scene(strategy: impl Into<String>) -> Result<Scene> {
    let mut scene = Scene::new().await?;
    scene.specs.strategy = Some(strategy.into());
    Ok(scene)
}

/// Starts a scene and a load on it, with v1 live.
async fn begin(scene: &mut Scene) -> Result<CountedLoad> {
    scene.start().await?;
    let load = scene.load(RATE).counted();
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    Ok(load)
}

/// The whole story: v2 is promoted and harms nobody, v3 is reverted and harms its own callers alone.
pub(crate) async fn promotes_v2_and_reverts_v3(scene: &mut Scene) -> Result<Summary> {
    let load = begin(scene).await?;
    promotes_v2(scene, &load).await?;
    reverts_v3(scene, load).await
}

/// v2 is promoted by itself and harms nobody.
pub(crate) async fn promotes_v2(scene: &Scene, load: &CountedLoad) -> Result<()> {
    scene.commit("v2")?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    unharmed(&load.so_far())
}

/// v3 is tried after v2, reverted by itself, and harms its own callers alone.
pub(crate) async fn reverts_v3(scene: &Scene, load: CountedLoad) -> Result<Summary> {
    scene.commit("v3")?;
    scene.until_phase("PHASE_DEGRADED", "v2").await?;
    let summary = load.finish().await;
    ensure!(summary.failures_not_of("v3") == 0 && summary.overload == 0, "{summary}");
    ensure!(summary.version("v3").failures > 0, "v3 was never tried: {summary}");
    Ok(summary)
}

/// Nobody has seen a failure.
fn unharmed(summary: &Summary) -> Result<()> {
    ensure!(summary.requests() > 0 && summary.failures() == 0 && summary.overload == 0, "{summary}");
    Ok(())
}

/// Asks a proxy once.
async fn ask(proxy: SocketAddr, host: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let headers: Vec<(&str, &str)> = headers.iter().copied().chain([("host", host)]).collect();
    http::request(::http::Method::GET, proxy, "/", &headers).await
}

/// Waits until every proxy answers such requests with this version.
async fn until_answered(scene: &Scene, host: &str, headers: &[(&str, &str)], version: &str) -> Result<()> {
    for proxy in &scene.proxies {
        wait::until(&format!("{version} to answer {headers:?} of {host} at {}", proxy.id), DEADLINE, || async {
            let answer = ask(proxy.listen, host, headers).await?;
            ensure!(answer.header(VERSION_HEADER) == Some(version), "{answer:?}");
            Ok(())
        })
        .await
        .with_context(|| scene.server.tail())?;
    }
    Ok(())
}

/// Waits until the release is in a step whose words begin so.
async fn until_step(scene: &Scene, step: &str) -> Result<Value> {
    scene.until(&format!("the step {step:?}"), |release| is_in_step(release, step)).await
}

fn is_in_step(release: &Value, step: &str) -> bool {
    // JSON leaves a zero out.
    let at = release["step"].as_u64().unwrap_or(0) as usize;
    release["phase"] != "PHASE_HEALTHY" && release["steps"][at].as_str().is_some_and(|words| words.starts_with(step))
}

/// Waits until the release waits at a pause with this share in force.
async fn until_paused_at(scene: &Scene, version: &str, percent: f64) -> Result<Value> {
    let what = format!("{version} to wait at {percent} %");
    let waits = |release: &Value| {
        release["phase"] == "PHASE_PAUSED"
            && release["canaryVersion"] == version
            && release["actualWeight"].as_f64().unwrap_or(0.0) == percent
    };
    scene.until(&what, waits).await
}

/// A load of a second, which only this version answers and nobody fails.
async fn only(scene: &Scene, version: &str) -> Result<()> {
    let summary = scene.load(RATE).run_for(std::time::Duration::from_secs(1)).await;
    unharmed(&summary)?;
    ensure!(summary.version(version).requests == summary.requests(), "not {version} alone: {summary}");
    Ok(())
}

/// The shop's host with another first label.
fn host(label: &str) -> String {
    HOST.replacen("shop", label, 1)
}
