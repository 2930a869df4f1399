//! Raw Envoy configuration reaches real proxies, and a release goes on with it.

use anyhow::{Result, ensure};
use serde_json::Value;
use serin_testbed::http;

use crate::scene::{Scene, sync_state};

/// Both maps have several entries, so that an order of bytes that is not kept would show as needless pushes.
const LISTENER: &str = r#"{
    listener: {
      per_connection_buffer_limit_bytes: 32768,
      metadata: {filter_metadata: {one: {a: 1}, two: {b: [x, "y", null]}, three: {c: {d: true}}}}},
    connectionManager: {
      http_filters: [{name: lua, typed_config: {
        "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua,
        default_source_code: {inline_string: "function envoy_on_response(h) h:headers():add('x-patched', 'yes') end"}}}]},
    routeConfiguration: {response_headers_to_add: [{header: {key: x-route, value: patched}}]}}"#;
const SERVICE: &str = r#"{
    cluster: {
      circuit_breakers: {thresholds: [{max_requests: 4321}]},
      metadata: {filter_metadata: {one: {a: 1}, two: {b: 2}, three: {c: 3}}}},
    virtualHost: {routes: [{match: {path: /patched}, direct_response: {status: 204}}]}}"#;

/// The clusters and listeners that a proxy has, and since when.
fn lasting(dump: &Value) -> Vec<Value> {
    let parts = dump["configs"].as_array().cloned().unwrap_or_default();
    let is_lasting = |part: &Value| {
        part["@type"].as_str().is_some_and(|t| t.ends_with("ClustersConfigDump") || t.ends_with("ListenersConfigDump"))
    };
    let found: Vec<Value> = parts.into_iter().filter(is_lasting).collect();
    assert_eq!(found.len(), 2, "{dump}");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_configuration_is_in_force_and_a_release_goes_on_with_it() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.raw = Some([LISTENER, SERVICE].map(|text| text.replace('\n', " ")));
    scene.server = scene.server.arg("--allow-envoy-patches");
    scene.start().await?;
    let mut before = Vec::new();
    for (proxy, envoy) in scene.proxies.iter().zip(&scene.envoys) {
        let ask = |path: &'static str| {
            http::request("GET".parse().expect("a method"), proxy.listen, path, &[("host", "shop.example.com")])
        };
        let answer = ask("/").await?;
        ensure!(answer.status == 200, "{answer:?}");
        ensure!(answer.header("x-patched") == Some("yes") && answer.header("x-route") == Some("patched"), "{answer:?}");
        ensure!(ask("/patched").await?.status == 204, "its own route comes first");
        let dump = envoy.config_dump().await?;
        before.push(lasting(&dump));
        let dump = dump.to_string();
        ensure!(dump.contains(r#""per_connection_buffer_limit_bytes":32768"#), "{dump}");
        ensure!(dump.contains(r#""max_requests":4321"#), "{dump}");
    }
    let load = scene.load(300.0);
    scene.commit("v2")?;
    scene.until_phase("PHASE_HEALTHY", "v2").await?;
    for id in ["one", "two"] {
        let synced =
            |proxy: &Value| ["cds", "eds", "lds", "rds"].iter().all(|t| sync_state(proxy, t) == "SYNC_STATE_SYNCED");
        scene.until_shown(id, "synced", synced).await?;
    }
    let mut summary = Default::default();
    load.finish(&mut summary).await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary:#?}");
    // A release changes routes alone: that holds for patched clusters and listeners as well.
    for (envoy, before) in scene.envoys.iter().zip(before) {
        ensure!(lasting(&envoy.config_dump().await?) == before, "a cluster or a listener was sent anew");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_the_specs_are_refused_and_the_last_ones_stay() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.start().await?;
    scene.raw = Some([LISTENER, SERVICE].map(|text| text.replace('\n', " ")));
    scene.commit("v2")?;
    scene.server_says("raw Envoy configuration is not allowed here").await?;
    let release = scene.release().await?;
    ensure!(release["phase"] == "PHASE_HEALTHY" && release["stableVersion"] == "v1", "{release:#}");
    let specs = scene.server.specs().to_string_lossy().into_owned();
    scene.server.run(["validate", "--allow-envoy-patches", &specs]).await?;
    let refused = scene.server.run(["validate", &specs]).await.expect_err("not without the flag");
    ensure!(format!("{refused:#}").contains("--allow-envoy-patches"), "{refused:#}");
    Ok(())
}
