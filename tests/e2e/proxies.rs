//! `serin proxies` tells the truth: of a late proxy, of one that comes back, of one that says no.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::scene::{Scene, sync_state};

const TYPES: [&str; 4] = ["cds", "eds", "lds", "rds"];

#[tokio::test(flavor = "multi_thread")]
async fn a_late_a_returning_and_a_rejecting_proxy_are_shown_rightly() -> Result<()> {
    let mut scene = Scene::new().await?;
    let (first, late) = (scene.proxies[0].clone(), scene.proxies[1].clone());
    scene.commit("v1")?;
    scene.server.start().await?;
    ensure!(scene.proxies_shown().await?.is_empty(), "nobody is there yet");

    scene.start_proxy(&first).await?;
    let synced = |proxy: &serde_json::Value| {
        proxy["connected"] == true && TYPES.iter().all(|t| sync_state(proxy, t) == "SYNC_STATE_SYNCED")
    };
    let shown = scene.until_shown("one", "synced", synced).await?;
    ensure!(shown["variant"] == "delta" && shown["connects"] == "1", "{shown:#}");

    // One that starts later has the same from its first moment.
    scene.start_proxy(&late).await?;
    let shown = scene.until_shown("two", "synced", synced).await?;
    ensure!(shown["variant"] == "sotw", "{shown:#}");

    // One that goes is shown as gone, and as back when it is.
    scene.envoys.pop().context("the late one")?.stop();
    scene.until_shown("two", "disconnected", |proxy| proxy["connected"] == false).await?;
    scene.start_proxy(&late).await?;
    let shown = scene.until_shown("two", "connected again", synced).await?;
    ensure!(shown["connects"] == "2", "{shown:#}");

    // One that cannot bind its listener rejects it: somebody has the port, and does not share it.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    scene.proxies[0].listen = taken.local_addr()?;
    scene.commit("v1")?;
    let shown = scene.until_shown("one", "rejecting", |proxy| sync_state(proxy, "lds") == "SYNC_STATE_NACKED").await?;
    let types = shown["types"].as_array().context("types")?;
    let texts: Vec<&str> = types.iter().filter_map(|t| t["rejection"].as_str()).filter(|t| !t.is_empty()).collect();
    ensure!(texts.len() == 1 && texts[0].contains("http"), "{shown:#}");
    // It is told once, and the bytes are not sent again.
    let rejections = || scene.server.log().matches("rejected:").count();
    ensure!(rejections() == 1, "{}", scene.server.tail());
    // The last good one still serves.
    let answer =
        serin_testbed::http::request("GET".parse()?, first.listen, "/", &[("host", "shop.example.com")]).await?;
    ensure!(answer.status == 200, "{answer:?}");
    // Put right, it is taken.
    scene.proxies[0].listen = first.listen;
    scene.commit("v1")?;
    scene.until_shown("one", "synced again", synced).await?;
    ensure!(rejections() == 1, "{}", scene.server.tail());

    // In words, for people.
    let table = scene.server.run(["proxies"]).await?;
    ensure!(table.contains("one") && table.contains("SYNCED"), "{table}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_in_time_and_the_proxies_serve_on() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.start().await?;
    let load = scene.load(100.0);
    // What a process is given by default where containers are stopped (Kubernetes).
    let status = scene.server.terminate(Duration::from_secs(30)).await?;
    ensure!(status.success(), "{status}: {}", scene.server.tail());
    scene.server.start().await?;
    for id in ["one", "two"] {
        scene.until_shown(id, "connected again", |proxy| proxy["connected"] == true).await?;
    }
    let mut summary = Default::default();
    load.finish(&mut summary).await;
    ensure!(summary.failures() == 0, "{summary:#?}");
    Ok(())
}
