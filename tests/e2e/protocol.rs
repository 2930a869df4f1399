//! What an xDS server owes its clients, as far as only real ones can tell. The numbers are those of the behaviours.
//!
//! A relay takes down what is said, in order; statistics tell what Envoy made of it. `init_fetch_timeout` counts what
//! Envoy waited for in vain (15 s): where it is zero, whatever warmed got what it needed.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use serin_testbed::upstream::{Upstream, UpstreamConfig};
use serin_testbed::wait;

use crate::relay::Message;
use crate::scene::{DEADLINE, Scene, sync_state};

const CDS: &str = "Cluster";
const EDS: &str = "ClusterLoadAssignment";
const LDS: &str = "Listener";
const RDS: &str = "RouteConfiguration";
const DELTA: &str = "one";
const SOTW: &str = "two";

#[tokio::test(flavor = "multi_thread")]
async fn xds_17_the_first_eds_request_of_a_new_stream_is_answered_and_nothing_stays_warming() -> Result<()> {
    let mut scene = Scene::relayed().await?;
    scene.start().await?;
    // With what the proxies have, and then with clusters that were changed while nobody was there: several times, as
    // nobody knows how many first requests are there when the clusters are sent.
    for connect_timeout in ["1s", "2s", "3s", "4s", "5s"] {
        scene.server.kill9();
        scene.connect_timeout = connect_timeout;
        scene.commit("v1")?;
        scene.server.start().await?;
        until_synced(&scene).await?;
        let said = last_stream(&scene, SOTW)?;
        let asked = position(&said, "the first request for endpoints", |m| !m.is_response && m.kind == EDS)?;
        ensure!(said[asked].nonce.is_empty() && !said[asked].version.is_empty(), "it knows some: {:?}", said[asked]);
        let answers = |m: &Message| m.kind == EDS && said[asked].names.iter().all(|name| m.brings(name));
        ensure!(position(&said, "the answer", answers)? > asked && !said[asked].names.is_empty(), "{said:#?}");
        until_warm(&scene, connect_timeout).await.with_context(|| format!("{:#?}", last_stream(&scene, DELTA)))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn xds_21_what_a_delta_proxy_says_it_has_is_not_sent_to_it_after_a_restart() -> Result<()> {
    let mut scene = Scene::relayed().await?;
    scene.start().await?;
    let changes = ["added", "modified", "removed"].map(|change| format!("cluster_manager.cluster_{change}"));
    let mut before = Vec::new();
    for envoy in &scene.envoys {
        let stats = envoy.stats().await?;
        before.push(changes.each_ref().map(|name| stats.get(name).copied()));
    }
    let restarted = tape_length(&scene)?;
    scene.server.kill9();
    scene.server.start().await?;
    until_synced(&scene).await?;
    for (envoy, before) in scene.envoys.iter().zip(before) {
        let stats = envoy.stats().await?;
        ensure!(changes.each_ref().map(|name| stats.get(name).copied()) == before, "{} was changed", envoy.id());
    }
    // State of the world has no word for it: everything once, under the versions that it has.
    let said = tape(&scene, SOTW, restarted)?;
    ensure!(said.iter().filter(|m| m.is_response).count() <= 4, "{said:#?}");
    let silent = last_stream(&scene, DELTA)?;
    ensure!(silent[0].nonce.is_empty() && silent.iter().all(|m| !m.is_response), "{silent:#?}");
    for kind in [CDS, EDS, LDS, RDS] {
        let first = position(&silent, kind, |m| m.kind == kind)?;
        ensure!(!silent[first].had.is_empty(), "it says what it has: {:?}", silent[first]);
    }
    // A stream keeps the order: what comes first after the next change was not on its way before.
    scene.connect_timeout = "2s";
    scene.commit("v1")?;
    until_warm(&scene, "2s").await?;
    let said = last_stream(&scene, DELTA)?;
    let first = position(&said, "response", |m| m.is_response)?;
    ensure!(said[first].kind == CDS, "sent before anything was changed: {said:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn xds_31_routes_move_when_the_new_cluster_is_warm_and_the_old_one_goes_after_them() -> Result<()> {
    let mut scene = Scene::relayed().await?;
    scene.steps = "[{setWeight: 50}]".into();
    scene.start().await?;
    until_synced(&scene).await?;
    let load = scene.load(500.0);
    scene.until_phase("PHASE_HEALTHY", "v1").await?;
    for number in 4..8 {
        let (old, new) = (if number == 4 { "v1".into() } else { format!("v{}", number - 1) }, format!("v{number}"));
        let from = tape_length(&scene)?;
        scene.upstreams.push(Upstream::start(UpstreamConfig::local(&new)).await?);
        scene.commit(&new)?;
        scene.until_phase("PHASE_HEALTHY", &new).await?;
        let new = format!("checkout/{new}");
        for node in [DELTA, SOTW] {
            let said = tape(&scene, node, from)?;
            let (offered, acked) = offer(&said, CDS, &new)?;
            let (routed, _) = offer(&said, RDS, &new)?;
            ensure!(offered < acked && acked < routed, "{node}: routes to {new} before it is there: {said:#?}");
        }
        // From the specs at once. What is under way it still answers: it is stopped only when no proxy has it.
        let at = scene.upstreams.iter().position(|upstream| upstream.version() == old).context("the old one")?;
        let upstream = scene.upstreams.remove(at);
        scene.commit(&format!("v{number}"))?;
        let old = format!("checkout/{old}");
        until_clusters(&scene, |names| !names.contains(&old)).await?;
        tokio::spawn(upstream.stop());
    }
    let mut summary = Default::default();
    load.finish(&mut summary).await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary:#?}");
    ensure!(summary.version("v7").requests > 0, "{summary:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn xds_31_a_cluster_goes_only_when_no_route_names_it_any_more() -> Result<()> {
    let mut scene = Scene::relayed().await?;
    scene.steps = "[{setWeight: 50}, {pause: {}}]".into();
    scene.start().await?;
    let load = scene.load(500.0);
    scene.commit("v2")?;
    scene.until("v2 to have its half", |release| release["phase"] == "PHASE_PAUSED").await?;
    // One change of the specs: v2, with half of the traffic, goes, and v4 comes in its place.
    let from = tape_length(&scene)?;
    let gone = scene.upstreams.remove(1);
    scene.upstreams.push(Upstream::start(UpstreamConfig::local("v4")).await?);
    scene.commit("v4")?;
    let (old, new) = ("checkout/v2", "checkout/v4");
    until_clusters(&scene, |names| names.iter().any(|name| name == new) && !names.iter().any(|name| name == old))
        .await?;
    for node in [DELTA, SOTW] {
        let said = tape(&scene, node, from)?;
        let (_, warm) = offer(&said, CDS, new)?;
        let (routes, moved) = offer(&said, RDS, new)?;
        ensure!(warm < routes && !said[routes].brings(old), "{node}: {said:#?}");
        let is_removal = |m: &Message| match node {
            DELTA => m.kind == CDS && m.removed.iter().any(|name| name == old),
            _ => m.kind == CDS && m.is_response && !m.brings(old),
        };
        ensure!(moved < position(&said, "removal", is_removal)?, "{node}: {old} goes before the routes: {said:#?}");
    }
    let mut summary = Default::default();
    load.finish(&mut summary).await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary:#?}");
    ensure!(summary.version("v2").requests > 0 && summary.version("v4").requests > 0, "{summary:#?}");
    gone.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn xds_32_a_changed_cluster_gets_its_endpoints_again_and_a_changed_listener_its_routes() -> Result<()> {
    let mut scene = Scene::relayed().await?;
    scene.start().await?;
    until_synced(&scene).await?;
    let load = scene.load(200.0);
    let from = tape_length(&scene)?;
    scene.connect_timeout = "2s";
    scene.commit("v1")?;
    until_warm(&scene, "2s").await?;
    for node in [DELTA, SOTW] {
        let said = tape(&scene, node, from)?;
        let changed = position(&said, "clusters", |m| m.kind == CDS && m.brings("checkout/v1"))?;
        let again = position(&said, "endpoints again", |m| m.kind == EDS && m.brings("checkout/v1"))?;
        ensure!(changed < again, "{node}: {said:#?}");
    }
    // On all addresses instead of one: another listener, that takes the same calls.
    let from = tape_length(&scene)?;
    for proxy in &mut scene.proxies {
        proxy.listen.set_ip([0, 0, 0, 0].into());
    }
    scene.commit("v1")?;
    for envoy in &scene.envoys {
        wait::until("the listener to be bound to all addresses", DEADLINE, || async {
            let listeners = envoy.listeners().await?;
            ensure!(listeners.get("http").is_some_and(|addr| addr.ip().is_unspecified()), "{listeners:?}");
            Ok(())
        })
        .await?;
    }
    until_warm(&scene, "2s").await?;
    for node in [DELTA, SOTW] {
        let said = tape(&scene, node, from)?;
        let changed = position(&said, "a listener", |m| m.is_response && m.kind == LDS)?;
        let again = position(&said, "routes again", |m| m.kind == RDS && m.brings("checkout/v1"))?;
        ensure!(changed < again, "{node}: {said:#?}");
    }
    let mut summary = Default::default();
    load.finish(&mut summary).await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn xds_33_endpoints_are_sent_before_the_clusters_are_acknowledged() -> Result<()> {
    let mut scene = Scene::relayed().await?;
    scene.start().await?;
    until_synced(&scene).await?;
    let from = tape_length(&scene)?;
    scene.upstreams.push(Upstream::start(UpstreamConfig::local("v4")).await?);
    scene.commit("v1")?;
    until_clusters(&scene, |names| names.iter().any(|name| name == "checkout/v4")).await?;
    until_synced(&scene).await?;
    until_warm(&scene, scene.connect_timeout).await?;
    for node in [DELTA, SOTW] {
        let said = tape(&scene, node, from)?;
        let (_, acked) = offer(&said, CDS, "checkout/v4")?;
        let (endpoints, _) = offer(&said, EDS, "checkout/v4")?;
        ensure!(endpoints < acked, "{node} was made to wait: {said:#?}");
    }
    Ok(())
}

/// How long the tape is now.
fn tape_length(scene: &Scene) -> Result<usize> {
    Ok(scene.relay.as_ref().context("a relay")?.tape.len())
}

/// What was said with a proxy from a length of the tape on.
fn tape(scene: &Scene, node: &str, from: usize) -> Result<Vec<Message>> {
    Ok(scene.relay.as_ref().context("a relay")?.tape.of(node, from))
}

/// What was said on a proxy's newest stream.
fn last_stream(scene: &Scene, node: &str) -> Result<Vec<Message>> {
    let mut said = tape(scene, node, 0)?;
    let newest = said.last().with_context(|| format!("{node} said nothing"))?.stream;
    said.retain(|message| message.stream == newest);
    Ok(said)
}

fn position(said: &[Message], what: &str, is: impl Fn(&Message) -> bool) -> Result<usize> {
    said.iter().position(is).with_context(|| format!("no {what} in {said:#?}"))
}

/// Where a response was acknowledged.
fn acknowledged(said: &[Message], at: usize) -> Result<usize> {
    let Message { kind, nonce, .. } = &said[at];
    let is = |m: &Message| !m.is_response && m.kind == *kind && m.nonce == *nonce && !m.is_rejection;
    position(said, &format!("acknowledgement of {nonce} ({kind})"), is)
}

/// Where a name was first sent with a type, and where that was acknowledged.
fn offer(said: &[Message], kind: &str, name: &str) -> Result<(usize, usize)> {
    let at = position(said, &format!("{kind} with {name}"), |m| m.kind == kind && m.brings(name))?;
    Ok((at, acknowledged(said, at)?))
}

/// Waits until both proxies have all that there is for them.
async fn until_synced(scene: &Scene) -> Result<()> {
    let is_synced = |proxy: &Value| {
        let in_all = ["cds", "eds", "lds", "rds"].iter().all(|t| sync_state(proxy, t) == "SYNC_STATE_SYNCED");
        proxy["connected"] == true && in_all
    };
    for id in [DELTA, SOTW] {
        scene.until_shown(id, "synced in all types", is_synced).await?;
    }
    Ok(())
}

/// Waits until every Envoy's active clusters have this timeout, and nothing warms; none of it by a timeout.
async fn until_warm(scene: &Scene, connect_timeout: &str) -> Result<()> {
    for envoy in &scene.envoys {
        wait::until(&format!("{} to be warm", envoy.id()), DEADLINE, || async {
            let clusters = active_clusters(&envoy.config_dump().await?);
            let all = clusters.iter().all(|(_, cluster)| cluster["connect_timeout"] == connect_timeout);
            ensure!(!clusters.is_empty() && all, "{clusters:#?}");
            for warming in ["cluster_manager.warming_clusters", "listener_manager.total_listeners_warming"] {
                ensure!(envoy.stat(warming).await? == 0, "{warming}");
            }
            Ok(())
        })
        .await?;
        let stats = envoy.stats().await?;
        let waits: Vec<_> = stats.into_iter().filter(|(name, _)| name.ends_with(".init_fetch_timeout")).collect();
        ensure!(waits.iter().any(|(name, _)| name.starts_with("cluster.checkout/v1.")), "{waits:?}");
        ensure!(waits.iter().all(|(_, count)| *count == 0), "{} waited in vain: {waits:?}", envoy.id());
    }
    Ok(())
}

/// Waits until the names of every Envoy's active clusters are as wanted.
async fn until_clusters(scene: &Scene, wanted: impl Fn(&[String]) -> bool) -> Result<()> {
    for envoy in &scene.envoys {
        wait::until(&format!("the clusters of {}", envoy.id()), DEADLINE, || async {
            let clusters = active_clusters(&envoy.config_dump().await?);
            let names: Vec<String> = clusters.into_iter().map(|(name, _)| name).collect();
            ensure!(wanted(&names), "{names:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// The clusters that came from the server and are warm, by name.
fn active_clusters(dump: &Value) -> Vec<(String, Value)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let parts = list(&dump["configs"]);
    let active =
        parts.iter().flat_map(|part| list(&part["dynamic_active_clusters"])).map(|active| active["cluster"].clone());
    active.map(|cluster| (cluster["name"].as_str().unwrap_or_default().to_owned(), cluster)).collect()
}
