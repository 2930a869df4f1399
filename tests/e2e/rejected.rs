//! What one proxy rejects reaches no other, holds the release that needs it, and nobody else's.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use serin_testbed::envoy::EnvoyProcess;
use serin_testbed::load::{Load, LoadConfig};
use serin_testbed::{ports, wait};

use crate::picky::Picky;
use crate::scene::{DEADLINE, Proxy, Scene, sync_state};
use crate::states::States;

/// Two services on the listener of one fleet, which Envoys of one machine can share.
struct Edge {
    scene: Scene,
    /// More of the fleet's spec.
    fleet: String,
    /// By service: the version that is wanted.
    wanted: [(&'static str, &'static str); 2],
}

impl Edge {
    async fn new() -> Result<Self> {
        let mut scene = Scene::new().await?;
        let [listen] = ports::free()?;
        scene.proxies.clear();
        scene.proxies.push(Proxy::new("edge", listen));
        Ok(Self { scene, fleet: String::new(), wanted: [("checkout", "v1"), ("cart", "v1")] })
    }

    fn commit(&self) -> Result<()> {
        let listen = self.scene.proxies[0].listen;
        let mut text = format!(
            "apiVersion: serin.dev/v1\nkind: Fleet\nmetadata: {{name: edge}}\nspec:\n  nodes: {{cluster: edge}}\n  \
             listeners: [{{name: http, bind: \"{listen}\", services: [checkout, cart]}}]\n{}",
            self.fleet
        );
        for (service, version) in self.wanted {
            text += &format!(
                "---\napiVersion: serin.dev/v1\nkind: Service\nmetadata: {{name: {service}}}\nspec:\n  \
                 hosts: [{service}.example.com]\n  versions:\n"
            );
            for upstream in &self.scene.upstreams {
                text += &format!("    {}: {{endpoints: [\"{}\"]}}\n", upstream.version(), upstream.addr());
            }
            text += &format!(
                "---\napiVersion: serin.dev/v1\nkind: Release\nmetadata: {{name: {service}}}\nspec:\n  \
                 service: {service}\n  version: {version}\n  \
                 strategy: {{canary: {{steps: [{{setWeight: 50}}, {{pause: {{}}}}]}}}}\n"
            );
        }
        self.scene.server.write_spec("specs.yaml", &text)
    }

    /// Starts one more Envoy of the fleet.
    async fn start_envoy(&mut self, id: &'static str, zone: &str) -> Result<()> {
        let bootstrap = self.scene.bootstrap(&self.scene.proxies[0]).await?;
        ensure!(bootstrap.contains("id: \"edge\""), "{bootstrap}");
        let bootstrap = bootstrap.replace("id: \"edge\"", &format!("id: \"{id}\""));
        let mut envoy = EnvoyProcess::start_with(id, &bootstrap, &["--service-zone", zone]).await?;
        envoy.ready(DEADLINE).await?;
        envoy.listener("http", DEADLINE).await?;
        self.scene.envoys.push(envoy);
        Ok(())
    }

    async fn until(&self, release: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let what = format!("{release} to be {what}");
        let waited = wait::until(&what, DEADLINE, || async {
            let printed = self.scene.server.run(["get", release, "-o", "json"]).await?;
            let release: Value = serde_json::from_str(&printed).context(printed)?;
            ensure!(wanted(&release), "{release:#}");
            Ok(release)
        });
        waited.await.with_context(|| self.scene.server.tail())
    }

    async fn until_weight(&self, release: &str, percent: f64) -> Result<Value> {
        self.until(release, &format!("at {percent} %"), |release| release["actualWeight"] == percent).await
    }
}

fn message(release: &Value) -> &str {
    release["message"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_one_rejects_holds_its_release_before_traffic_and_no_other() -> Result<()> {
    let mut edge = Edge::new().await?;
    // Those without a zone go first, so it is the picky one that is asked first.
    edge.fleet = "  configCanary: {proxies: 1}\n".into();
    let later = edge.scene.upstreams.split_off(1);
    edge.commit()?;
    edge.scene.server.start().await?;
    edge.start_envoy("one", "a").await?;
    let xds = edge.scene.server.xds().to_string();
    let picky = Picky::connect(&xds, "edge-3", "edge", "checkout/v2", "no such load balancer").await?;
    for service in ["checkout", "cart"] {
        edge.until(service, "with two proxies", |r| r["proxies"] == 2 && r["proxiesInForce"] == 2).await?;
    }
    let target = edge.scene.proxies[0].listen;
    let load = Load::start(LoadConfig::new(vec![target], 100.0, "checkout.example.com"));

    edge.scene.upstreams.extend(later);
    edge.wanted = [("checkout", "v2"), ("cart", "v2")];
    edge.commit()?;
    edge.until_weight("cart", 50.0).await?;
    let held = "held: cluster checkout/v2 was rejected by edge-3: checkout/v2: no such load balancer";
    let release = edge.until("checkout", "held", |release| message(release).ends_with(held)).await?;
    ensure!(release["setWeight"] == 0.0, "{release:#}");
    let dump = edge.scene.envoys[0].config_dump().await?.to_string();
    ensure!(dump.contains("cart/v2") && !dump.contains("checkout/v2"), "Envoy was given what the other rejected");
    let refused = edge.scene.server.run(["promote", "checkout", "--full"]).await;
    ensure!(refused.is_err(), "traffic would go to what a proxy does not take: {refused:?}");
    // The other one's way back is free.
    edge.scene.server.run(["abort", "cart"]).await?;
    edge.until("cart", "reverted", |r| r["phase"] == "PHASE_DEGRADED" && r["proxiesInForce"] == 2).await?;

    // The proxy that would not take it goes, and what it said no to is given another chance.
    drop(picky);
    edge.until("checkout", "without the picky one", |r| r["proxies"] == 1).await?;
    edge.scene.server.run(["retry", "checkout"]).await?;
    edge.until_weight("checkout", 50.0).await?;
    let mut summary = Default::default();
    load.finish(&mut summary).await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn new_configuration_goes_to_one_of_three_first_and_what_that_rejects_to_no_other() -> Result<()> {
    let mut edge = Edge::new().await?;
    edge.fleet = "  configCanary: {proxies: 1, quiet: 4s}\n".into();
    edge.commit()?;
    edge.scene.server.start().await?;
    for (id, zone) in [("a-1", "a"), ("a-2", "a"), ("b-1", "b")] {
        edge.start_envoy(id, zone).await?;
    }
    edge.until("checkout", "with three proxies", |r| r["proxies"] == 3 && r["proxiesInForce"] == 3).await?;
    let good = edge.scene.proxies[0].listen;
    let load = Load::start(LoadConfig::new(vec![good], 100.0, "checkout.example.com"));

    // The routes of the step are with one proxy first, and the step is in force when all have them.
    let states = States::of(&edge.scene.server, "checkout")?;
    states.until("the release at rest", |release| release["phase"] == "PHASE_HEALTHY").await?;
    edge.wanted = [("checkout", "v2"), ("cart", "v1")];
    edge.commit()?;
    let first =
        |r: &Value| r["setWeight"] == 50.0 && message(r).contains("1 of 3 proxies first") && r["proxiesInForce"] == 1;
    states.until("the release to be with one first", first).await?;
    let first =
        edge.scene.until_shown("a-1", "synced", |proxy| sync_state(proxy, "rds") == "SYNC_STATE_SYNCED").await?;
    ensure!(first["connected"] == true, "{first:#}");
    let settled = edge.until_weight("checkout", 50.0).await?;
    ensure!(settled["proxiesInForce"] == 3, "{settled:#}");
    // The way back is everybody's at once: nothing of it waits for a quiet time.
    edge.scene.server.run(["abort", "checkout"]).await?;
    edge.until("checkout", "reverted", |r| r["phase"] == "PHASE_DEGRADED" && r["proxiesInForce"] == 3).await?;

    // A port that somebody has and does not share: the first proxy says no, and the others are never asked.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    edge.scene.proxies[0].listen = taken.local_addr()?;
    edge.commit()?;
    edge.until("cart", "told of it", |r| message(r).contains("listener http was rejected by a-1")).await?;
    let rejections = edge.scene.server.log().matches("rejected:").count();
    ensure!(rejections == 1, "{}", edge.scene.server.tail());
    edge.scene.until_shown("a-1", "rejecting", |proxy| sync_state(proxy, "lds") == "SYNC_STATE_NACKED").await?;
    let port = taken.local_addr()?.port();
    for envoy in &edge.scene.envoys[1..] {
        let dump = envoy.config_dump().await?.to_string();
        ensure!(!dump.contains(&format!("\"port_value\":{port}")), "{} was given what the first rejected", envoy.id());
        edge.scene.until_shown(envoy.id(), "spared", |proxy| sync_state(proxy, "lds") == "SYNC_STATE_STALE").await?;
    }
    let mut summary = Default::default();
    load.finish(&mut summary).await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary:#?}");
    Ok(())
}
