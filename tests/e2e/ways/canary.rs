//! A growing share of the traffic, and requests that are chosen by what they are.

use std::time::Duration;

use anyhow::{Result, ensure};
use serin_testbed::load::{Load, LoadConfig, Population};

use super::{begin, only, promotes_v2_and_reverts_v3, reverts_v3, scene, unharmed, until_paused_at};
use crate::scene::Scene;

const JUDGED: &str = "[{setWeight: 10}, {analyze: {max: 60s}}, {setWeight: 50}, {analyze: {max: 60s}}]";

#[tokio::test(flavor = "multi_thread")]
async fn by_share() -> Result<()> {
    promotes_v2_and_reverts_v3(&mut scene(format!("{{canary: {{steps: {JUDGED}}}}}")).await?).await?;
    Ok(())
}

/// A rule, and what makes a load fit it.
type Case = (&'static str, &'static str, fn(&mut LoadConfig));

fn bear(config: &mut LoadConfig, name: &str, value: &str) {
    config.headers.push((name.into(), value.into()));
}

/// While the canary has no share, requests that fit the rule are its own and all others are not. Then it goes live.
async fn chosen_alone_see_it(scene: &mut Scene, (name, rule, fit): Case) -> Result<()> {
    scene.specs.strategy =
        Some(format!("{{canary: {{match: [{rule}], steps: [{{pause: {{}}}}, {{setWeight: 50}}]}}}}"));
    scene.commit("v2")?;
    until_paused_at(scene, "v2", 0.0).await?;
    let mut config = scene.load_config(100.0);
    fit(&mut config);
    let chosen = Load::start(config).run_for(Duration::from_secs(1)).await;
    unharmed(&chosen)?;
    ensure!(chosen.version("v2").requests == chosen.requests(), "{name}: not all chosen requests: {chosen}");
    only(scene, "v1").await?;
    scene.server.run(["promote", "checkout"]).await?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    only(scene, "v2").await?;
    scene.commit("v1")?;
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    only(scene, "v1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn by_header_cookie_address_and_user() -> Result<()> {
    let cases: [Case; 5] = [
        ("header", "{headers: {x-canary: {prefix: beta}}}", |config| bear(config, "x-canary", "beta-2")),
        ("internal", "{headers: {x-internal: {exact: \"true\"}}}", |config| bear(config, "x-internal", "true")),
        ("cookie", "{cookies: {group: {exact: testers}}}", |config| bear(config, "cookie", "a=b; group=testers; c=d")),
        ("source address", "{sourceIP: [127.0.0.9/32]}", |config| {
            config.sources = vec!["127.0.0.9".parse().expect("an address")];
        }),
        ("users", "{users: {header: x-user-id, ids: [\"0\", \"1\", \"2\"]}}", |config| {
            config.users = Some(Population::of(3));
        }),
    ];
    let mut scene = scene("{canary: {steps: []}}").await?;
    scene.specs.strategy = None;
    let load = begin(&mut scene).await?;
    for case in cases {
        chosen_alone_see_it(&mut scene, case).await?;
    }
    unharmed(&load.finish().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chosen_stay_out_of_the_judgement_and_a_bad_version_is_reverted_by_the_others() -> Result<()> {
    let rule = "{headers: {x-internal: {exact: \"true\"}}}";
    let mut scene = scene(format!("{{canary: {{match: [{rule}], steps: {JUDGED}}}}}")).await?;
    let load = begin(&mut scene).await?;
    scene.commit("v2")?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    scene.specs.strategy =
        Some(format!("{{canary: {{match: [{rule}], steps: [{{pause: {{}}}}, {}}}}}", JUDGED.replacen('[', "", 1)));
    scene.commit("v3")?;
    until_paused_at(&scene, "v3", 0.0).await?;
    let mut config = scene.load_config(200.0);
    bear(&mut config, "x-internal", "true");
    let chosen = Load::start(config).run_for(Duration::from_secs(2)).await;
    ensure!(chosen.version("v3").failures > 0 && chosen.failures_not_of("v3") == 0, "{chosen}");
    let release = scene.release().await?;
    ensure!(release["phase"] == "PHASE_PAUSED", "judged by those who were chosen: {release:#}");
    scene.server.run(["promote", "checkout"]).await?;
    reverts_v3(&scene, load).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_users_by_a_hash_of_who_they_are() -> Result<()> {
    let rule = "{users: {header: x-user-id}, strength: 50}";
    let mut scene = scene(format!("{{canary: {{match: [{rule}], steps: [{{pause: {{}}}}]}}}}")).await?;
    let load = begin(&mut scene).await?;
    scene.commit("v2")?;
    until_paused_at(&scene, "v2", 0.0).await?;
    let config = LoadConfig { users: Some(Population::of(200)), ..scene.load_config(400.0) };
    let users = Load::start(config).run_for(Duration::from_secs(3)).await;
    unharmed(&users)?;
    let (seen, chosen) = (&users.seen, users.seen.seen("v2"));
    ensure!((60..140).contains(&chosen), "half of 200 users, not {chosen}");
    ensure!(seen.flips("v2", "v1") == 0 && seen.flips("v1", "v2") == 0, "users go to and fro: {users}");
    only(&scene, "v1").await?;
    scene.server.run(["promote", "checkout"]).await?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    unharmed(&load.finish().await)
}
