//! What a real Envoy rejects is told in its own words: by client status discovery, and by `serin`.

use anyhow::{Context, Result, ensure};
use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_client::ClientStatusDiscoveryServiceClient;
use envoy_types::pb::envoy::service::status::v3::{ClientStatusRequest, ConfigStatus};
use serde_json::Value;

use crate::scene::{Scene, sync_state};

impl Scene {
    /// What client status discovery tells of the one proxy.
    async fn client_status(&self) -> Result<Vec<GenericXdsConfig>> {
        let mut client = ClientStatusDiscoveryServiceClient::connect(format!("http://{}", self.server.xds())).await?;
        let told = client.fetch_client_status(ClientStatusRequest::default()).await?.into_inner();
        let [config] = told.config.try_into().ok().context("one proxy")?;
        Ok(config.generic_xds_configs)
    }
}

fn is_synced(proxy: &Value) -> bool {
    ["cds", "eds", "lds", "rds"].iter().all(|t| sync_state(proxy, t) == "SYNC_STATE_SYNCED")
}

#[tokio::test(flavor = "multi_thread")]
async fn xds_36_a_rejection_is_told_in_the_proxys_words() -> Result<()> {
    let mut scene = Scene::new().await?;
    let proxy = scene.proxies[0].clone();
    scene.commit("v1")?;
    scene.server.start().await?;
    scene.start_proxy(&proxy).await?;
    scene.until_shown("one", "synced", is_synced).await?;
    let told = scene.client_status().await?;
    ensure!(told.len() >= 4 && told.iter().all(|of| of.config_status() == ConfigStatus::Synced), "{told:#?}");
    ensure!(scene.server.run(["proxies", "one", "diff"]).await? == "one: in sync\n");

    // Somebody has the port, and does not share it.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    scene.proxies[0].listen = taken.local_addr()?;
    scene.commit("v1")?;
    let rejecting = |proxy: &Value| sync_state(proxy, "lds") == "SYNC_STATE_NACKED";
    scene.until_shown("one", "rejecting", rejecting).await?;
    let told = scene.client_status().await?;
    let (wrong, right): (Vec<_>, Vec<_>) = told.iter().partition(|of| of.type_url.ends_with("Listener"));
    ensure!(right.iter().all(|of| of.config_status() == ConfigStatus::Synced), "{told:#?}");
    let [listener] = wrong.try_into().ok().context("one listener")?;
    let words = listener.error_state.as_ref().context("its words")?;
    ensure!(listener.config_status() == ConfigStatus::Error && words.details.contains("http"), "{listener:#?}");
    ensure!(words.failed_configuration != listener.xds_config && listener.xds_config.is_some(), "{listener:#?}");

    // The same for people.
    let diff = scene.server.run(["proxies", "one", "diff", "--type", "lds"]).await?;
    let port = format!("+          \"port_value\": {}", scene.proxies[0].listen.port());
    ensure!(diff.contains("~ LDS http: ") && diff.replace(' ', "").contains(&port.replace(' ', "")), "{diff}");
    let quarantine = scene.server.run(["quarantine"]).await?;
    ensure!(quarantine.contains("LDS    http") && quarantine.contains("one"), "{quarantine}");

    // Put right, all is well again.
    scene.proxies[0].listen = proxy.listen;
    scene.commit("v1")?;
    scene.until_shown("one", "synced again", is_synced).await?;
    let told = scene.client_status().await?;
    ensure!(told.iter().all(|of| of.config_status() == ConfigStatus::Synced), "{told:#?}");
    let quarantine = scene.server.run(["quarantine"]).await?;
    ensure!(quarantine == "nothing is kept from any proxy\n", "{quarantine}");
    Ok(())
}
