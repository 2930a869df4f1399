//! What an Envoy has in force, in its own words.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use super::world::{Cluster, Picture};
use crate::http;

/// Asks the Envoy with this admin port.
pub(super) async fn picture(admin: SocketAddr) -> Result<Picture> {
    let listeners = dump(admin, "dynamic_listeners").await?;
    let routes = dump(admin, "dynamic_route_configs").await?;
    let clusters = dump(admin, "dynamic_active_clusters").await?;
    let endpoints = dump(admin, "dynamic_endpoint_configs").await?;
    Ok(read(&listeners, &routes, &clusters, &endpoints))
}

/// One part of the configuration. The whole would come with the bootstrap, most of which is a list of extensions.
async fn dump(admin: SocketAddr, part: &str) -> Result<Vec<Value>> {
    let answer = http::get_ok(admin, &format!("/config_dump?include_eds&resource={part}")).await?;
    let mut dump: Value = serde_json::from_str(&answer).with_context(|| format!("the dump of {part}"))?;
    // Without anything of that part there is no list.
    Ok(dump["configs"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

fn read(listeners: &[Value], routes: &[Value], clusters: &[Value], endpoints: &[Value]) -> Picture {
    let mut picture = Picture::default();
    for listener in listeners {
        picture.bind = address(&listener["active_state"]["listener"]["address"]).or(picture.bind);
    }
    for host in routes.iter().flat_map(|config| list(&config["route_config"]["virtual_hosts"])) {
        let weights = list(&host["routes"]).iter().flat_map(|route| weights(&route["route"])).collect();
        picture.routes.insert(text(&host["name"]), weights);
    }
    for cluster in clusters.iter().map(|config| &config["cluster"]) {
        let shown = Cluster {
            connect_timeout: text(&cluster["connect_timeout"]),
            outlier_detection: cluster["outlier_detection"].is_object(),
            endpoints: BTreeSet::new(),
        };
        picture.clusters.insert(text(&cluster["name"]), shown);
    }
    for assignment in endpoints.iter().map(|config| &config["endpoint_config"]) {
        if let Some(cluster) = picture.clusters.get_mut(&text(&assignment["cluster_name"])) {
            let all = list(&assignment["endpoints"]).iter().flat_map(|zone| list(&zone["lb_endpoints"]));
            cluster.endpoints = all.filter_map(|endpoint| address(&endpoint["endpoint"]["address"])).collect();
        }
    }
    picture
}

fn weights(action: &Value) -> BTreeMap<String, u32> {
    if let Some(only) = action["cluster"].as_str() {
        return BTreeMap::from([(only.to_owned(), 10_000)]);
    }
    let weight = |of: &Value| of["weight"].as_u64().and_then(|weight| u32::try_from(weight).ok()).unwrap_or(0);
    list(&action["weighted_clusters"]["clusters"]).iter().map(|of| (text(&of["name"]), weight(of))).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn address(value: &Value) -> Option<SocketAddr> {
    let socket = &value["socket_address"];
    let port = u16::try_from(socket["port_value"].as_u64()?).ok()?;
    Some(SocketAddr::new(socket["address"].as_str()?.parse().ok()?, port))
}
