//! Releases through gRPC clients: shares as asked for, good versions promoted, bad ones reverted by load reports alone.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use serin_testbed::grpc_client::{Answer, Library, by_version};

use crate::scene::{DEADLINE, Scene, good};

#[tokio::test(flavor = "multi_thread")]
async fn python_takes_part_in_releases() -> Result<()> {
    judged(&Library::python()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn node_takes_part_in_releases() -> Result<()> {
    let Some(library) = Library::node("releases through a client in Node")? else { return Ok(()) };
    judged(&library).await
}

#[tokio::test(flavor = "multi_thread")]
async fn python_follows_shares_and_endpoints() -> Result<()> {
    follows(&Library::python()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn node_follows_shares_and_endpoints() -> Result<()> {
    let Some(library) = Library::node("shares and endpoints at a client in Node")? else { return Ok(()) };
    follows(&library).await
}

/// A good version is promoted, a bad one reverted, and only the bad one's requests ever fail.
async fn judged(library: &Library) -> Result<()> {
    let steps = "[{setWeight: 30}, {analyze: {max: 60s}}]";
    let scene = Scene::start(steps).await?;
    let client = scene.client(library, &["--rate", "200"]).await?;
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    scene.commit("v2", steps)?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    scene.commit("v3", steps)?;
    let reverted = scene.until_phase("PHASE_DEGRADED", "v2").await?;
    ensure!(reverted["message"].as_str().is_some_and(|text| text.contains("errors: canary")), "{reverted:#}");
    ensure!(reverted["actualWeight"] == 0.0, "{reverted:#}");
    let answers = client.answers()?;
    let failed: Vec<&Answer> = answers.iter().filter(|answer| !answer.is_ok()).collect();
    ensure!(!failed.is_empty(), "v3 was never tried: {:?}", by_version(&answers));
    ensure!(failed.iter().all(|answer| answer.version.as_deref() == Some("v3")), "{failed:#?}");
    Ok(())
}

/// The client has the shares that were asked for, and finds an endpoint that has moved.
async fn follows(library: &Library) -> Result<()> {
    let steps = "[{setWeight: 20}, {pause: {}}]";
    let mut scene = Scene::start(steps).await?;
    let mut client = scene.client(library, &["--rate", "200"]).await?;
    let twenty = |answers: &[Answer]| answers.len() >= 20;
    let answers = client.until("the first answers", DEADLINE, 0, twenty).await?;
    ensure!(answers.iter().all(Answer::is_ok) && by_version(&answers).keys().eq(&["v1"]), "{answers:#?}");

    scene.commit("v2", steps)?;
    let proxies = |release: &Value| release["proxies"] == 1 && release["proxiesInForce"] == 1;
    scene.until("20 % to be in force", |release| release["actualWeight"] == 20.0 && proxies(release)).await?;
    let of_v2 = |answers: &[Answer]| by_version(answers).contains_key("v2");
    let seen = client.until("an answer of v2", DEADLINE, 0, of_v2).await?;
    let many = |answers: &[Answer]| answers.len() >= 400;
    let answers = client.until("400 answers at 20 %", DEADLINE, seen.len(), many).await?;
    // Six standard deviations of a binomial(400, 0.2).
    let share = by_version(&answers[..400]).get("v2").copied().unwrap_or_default();
    ensure!((32..=128).contains(&share), "{share} of 400 at 20 %");

    // v1 moves: the old endpoint's answers would still name v1, so the new one's name tells where it is.
    let moved = good("v1-moved").await?;
    let specs = std::fs::read_to_string(scene.server.specs().join("specs.yaml")).context("the specs")?;
    let v1 = scene.upstreams.remove(0);
    scene.server.write_spec("specs.yaml", &specs.replace(&v1.addr().to_string(), &moved.addr().to_string()))?;
    let at_new = |answers: &[Answer]| by_version(answers).contains_key("v1-moved");
    let seen = client.until("an answer of the new endpoint", DEADLINE, 0, at_new).await?;
    v1.stop().await;
    let answers = client.until("100 answers without the old one", DEADLINE, seen.len(), |a| a.len() >= 100).await?;
    ensure!(answers.iter().all(Answer::is_ok), "{answers:#?}");
    ensure!(by_version(&answers).keys().eq(&["v1-moved", "v2"]), "{:?}", by_version(&answers));
    Ok(())
}
