//! Users who stay with the version once given: while the canary grows nobody flips, and after a revert all are back.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serin_testbed::load::{CountedLoad, Load, LoadConfig, Population};
use serin_testbed::upstream::Behaviour;
use serin_testbed::wait;

use super::{reverts_v3, scene, unharmed, until_paused_at};
use crate::scene::{DEADLINE, Scene};

const LADDER: [f64; 4] = [1.0, 5.0, 25.0, 50.0];

/// Waits until all users were answered again.
async fn round(load: &CountedLoad, users: u32) -> Result<()> {
    load.look_anew();
    wait::until("every user to have come once more", DEADLINE, || async {
        let came = load.so_far().seen.users_lately();
        ensure!(came == users as usize, "{came} of {users} came");
        Ok(())
    })
    .await
}

/// Waits until every user's last answer was of this version.
async fn all_with(load: &CountedLoad, version: &str, users: u32) -> Result<()> {
    wait::until(&format!("all users to be with {version}"), DEADLINE, || async {
        let with = load.so_far().seen.with(version);
        ensure!(with == users as usize, "{with} of {users} are");
        Ok(())
    })
    .await
}

/// Takes v2 up the ladder to the end, then v3 half the way and back. `tolerance` is in percentage points: the hash of a
/// user is what it is, so that the share of so many users is off by as much as that of so many throws of a coin.
async fn ladder(users: u32, rate: f64, tolerance: f64) -> Result<()> {
    let steps: Vec<String> = LADDER.iter().map(|weight| format!("{{setWeight: {weight}}}, {{pause: {{}}}}")).collect();
    let mut scene = scene(format!("{{canary: {{sticky: {{cookie: uid}}, steps: [{}]}}}}", steps.join(", "))).await?;
    scene.upstreams[2].behave(Behaviour::GOOD);
    scene.start().await?;
    let config = LoadConfig { users: Some(Population::of(users)), ..scene.load_config(rate) };
    let load = Load::start(config).counted();
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    climbs(&scene, &load, users, tolerance).await.with_context(|| scene.server.tail())?;
    all_with(&load, "v2", users).await?;
    let seen = load.so_far().seen;
    ensure!(seen.flips("v2", "v1") == 0, "{} users saw v2 and then v1 again", seen.flips("v2", "v1"));

    scene.commit("v3")?;
    for weight in LADDER {
        until_paused_at(&scene, "v3", weight).await?;
        if weight < 50.0 {
            scene.server.run(["promote", "checkout"]).await?;
        }
    }
    round(&load, users).await?;
    let seen = load.so_far().seen;
    ensure!(seen.flips("v3", "v2") == 0 && seen.with("v3") > 0, "{} users flipped", seen.flips("v3", "v2"));
    scene.server.run(["abort", "checkout", "--reason", "a test"]).await?;
    scene.until_phase("PHASE_DEGRADED", "v2").await?;
    all_with(&load, "v2", users).await?;
    unharmed(&load.finish().await)
}

/// v2 takes its part of the users at every step, and all at the end.
async fn climbs(scene: &Scene, load: &CountedLoad, users: u32, tolerance: f64) -> Result<()> {
    scene.commit("v2")?;
    for weight in LADDER {
        until_paused_at(scene, "v2", weight).await?;
        round(load, users).await?;
        let seen = load.so_far().seen;
        let share = 100.0 * seen.with("v2") as f64 / f64::from(users);
        println!("{weight:>4} %: {share:.2} % of {users} users");
        ensure!((share - weight).abs() <= tolerance, "{share} % of the users at {weight} %");
        ensure!(seen.flips("v2", "v1") == 0, "{} users flipped by {weight} %", seen.flips("v2", "v1"));
        scene.server.run(["promote", "checkout"]).await?;
    }
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_flips_on_the_ladder_and_all_are_back_after_a_revert() -> Result<()> {
    ladder(4_000, 500.0, 2.5).await
}

/// The same in full, two minutes long.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "make bench-sticky"]
async fn sticky_ladder() -> Result<()> {
    ladder(20_000, 2_000.0, 1.0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_keeps_its_users_until_it_is_reverted() -> Result<()> {
    let steps = "[{setWeight: 20}, {analyze: {max: 60s}}]";
    let mut scene = scene(format!("{{canary: {{sticky: {{header: x-user-id}}, steps: {steps}}}}}")).await?;
    scene.start().await?;
    let users = 500;
    let config = LoadConfig { users: Some(Population::of(users)), ..scene.load_config(300.0) };
    let load = Load::start(config).counted();
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    scene.commit("v2")?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    all_with(&load, "v2", users).await?;
    let seen = load.so_far().seen;
    ensure!(seen.flips("v2", "v1") == 0, "{} users flipped", seen.flips("v2", "v1"));
    let summary = reverts_v3(&scene, load).await?;
    // A fifth of them, and five standard deviations.
    let harmed = summary.seen.seen("v3");
    ensure!((1..=145).contains(&harmed), "{harmed} of {users} users saw v3 at 20 %");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn users_without_a_cookie_are_given_one_and_stay_with_it() -> Result<()> {
    let steps = "[{setWeight: 25}, {pause: {}}, {setWeight: 50}, {pause: {}}]";
    let mut scene = scene(format!("{{canary: {{sticky: {{cookie: seat, ttl: 1h}}, steps: {steps}}}}}")).await?;
    scene.start().await?;
    scene.commit("v2")?;
    until_paused_at(&scene, "v2", 25.0).await?;
    let users = 300;
    let config = LoadConfig { users: Some(Population::unknown(users)), ..scene.load_config(300.0) };
    let load = Load::start(config).counted();
    for _ in 0..3 {
        round(&load, users).await?;
    }
    let seen = load.so_far().seen;
    ensure!(seen.seen("v1") > 0 && seen.seen("v2") > 0, "{} with v1, {} with v2", seen.seen("v1"), seen.seen("v2"));
    ensure!(seen.flips("v1", "v2") == 0 && seen.flips("v2", "v1") == 0, "users do not stay");
    scene.server.run(["promote", "checkout"]).await?;
    until_paused_at(&scene, "v2", 50.0).await?;
    round(&load, users).await?;
    let seen = load.so_far().seen;
    ensure!(seen.flips("v2", "v1") == 0 && seen.flips("v1", "v2") > 0, "{} went over", seen.flips("v1", "v2"));
    unharmed(&load.finish().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_stay_by_their_address() -> Result<()> {
    let steps = "[{setWeight: 30}, {pause: {}}, {setWeight: 60}, {pause: {}}]";
    let mut scene = scene(format!("{{canary: {{sticky: {{sourceIP: true}}, steps: {steps}}}}}")).await?;
    scene.start().await?;
    scene.commit("v2")?;
    until_paused_at(&scene, "v2", 30.0).await?;
    let users = 60;
    let config = LoadConfig {
        users: Some(Population::unknown(users)),
        sources: (0..users as u8).map(|user| IpAddr::from([127, 0, 1, user])).collect(),
        connections: 1,
        ..scene.load_config(300.0)
    };
    let load = Load::start(config).counted();
    for _ in 0..3 {
        round(&load, users).await?;
    }
    let seen = load.so_far().seen;
    ensure!(seen.seen("v1") > 0 && seen.seen("v2") > 0, "{} with v1, {} with v2", seen.seen("v1"), seen.seen("v2"));
    ensure!(seen.flips("v1", "v2") == 0 && seen.flips("v2", "v1") == 0, "callers do not stay");
    scene.server.run(["promote", "checkout"]).await?;
    until_paused_at(&scene, "v2", 60.0).await?;
    round(&load, users).await?;
    let seen = load.so_far().seen;
    ensure!(seen.flips("v2", "v1") == 0 && seen.flips("v1", "v2") > 0, "{} went over", seen.flips("v1", "v2"));
    unharmed(&load.finish().await)
}
