//! How long the proxies take to switch, from the first one's first answer of the new version to the last one's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serin_testbed::load::{Load, Summary};
use serin_testbed::ports;
use tokio::time::Instant;

use super::{scene, unharmed, until_paused_at};
use crate::scene::Proxy;

const IDS: [&str; 20] = [
    "p01", "p02", "p03", "p04", "p05", "p06", "p07", "p08", "p09", "p10", "p11", "p12", "p13", "p14", "p15", "p16",
    "p17", "p18", "p19", "p20",
];

/// Counts a load until it ends, and when each target first answered with v2, to its caller.
async fn first_answers(mut load: Load, targets: usize) -> (Summary, Vec<Option<Instant>>) {
    let (mut summary, mut firsts) = (Summary::default(), vec![None::<Instant>; targets]);
    while let Some(record) = load.next().await {
        summary.add(&record);
        if record.outcome.version() == Some("v2") {
            let first = &mut firsts[record.target];
            *first = Some(first.map_or(record.finished, |first| first.min(record.finished)));
        }
    }
    (summary, firsts)
}

/// Switches so many proxies at once, each under so many requests per second. Returns the time from the first to the last.
async fn switch<const N: usize>(rate: f64) -> Result<Duration> {
    let mut scene = scene("{blueGreen: {autoPromote: false}}").await?;
    let listens: [_; N] = ports::free()?;
    scene.proxies = IDS.into_iter().zip(listens).map(|(id, listen)| Proxy::new(id, listen)).collect();
    scene.start().await?;
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    let load = scene.load(rate * N as f64);
    let control = load.control();
    let counting = tokio::spawn(first_answers(load, N));
    scene.commit("v2")?;
    until_paused_at(&scene, "v2", 0.0).await?;
    scene.server.run(["promote", "checkout"]).await?;
    let switched = scene.until_phase("PHASE_HEALTHY", "v2").await?;
    ensure!(switched["proxiesInForce"] == N, "{switched:#}");
    super::only(&scene, "v2").await?;
    control.stop();
    let (summary, firsts) = counting.await?;
    unharmed(&summary)?;
    let firsts: Vec<Instant> = firsts.into_iter().collect::<Option<_>>().context("a proxy that never switched")?;
    let (first, last) = (firsts.iter().min().context("a proxy")?, firsts.iter().max().context("a proxy")?);
    let spread = last.duration_since(*first);
    println!("{N} proxies under {rate} requests/s each: {} ms from the first to the last", spread.as_millis());
    Ok(spread)
}

#[tokio::test(flavor = "multi_thread")]
async fn five_proxies_switch_together_and_lose_nothing() -> Result<()> {
    switch::<5>(60.0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make bench-switch"]
async fn switch_of_twenty() -> Result<()> {
    switch::<20>(100.0).await?;
    Ok(())
}
