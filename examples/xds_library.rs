//! An xDS server of one's own, on `serin::xds` alone: any resources, to any client that speaks ADS.
//!
//!     cargo run --example xds_library [ADDRESS]
//!
//! Every client is in the group of its `node.cluster`; here there is something for `edge`. Each line on standard input is
//! another edition of it, and shows how far the clients are.

use std::sync::Arc;

use anyhow::Result;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use prost::Message;
use serin::xds::server::ByCluster;
use serin::xds::{Cache, Options, Proxies, Resource, ResourceType, Server, Snapshot};
use tokio::net::TcpListener;

/// What the clients are given: an edition of it.
fn snapshot(edition: &str) -> Result<Arc<Snapshot>> {
    let host = VirtualHost { name: edition.into(), domains: vec!["*".into()], ..Default::default() };
    let routes = RouteConfiguration { name: "routes".into(), virtual_hosts: vec![host], ..Default::default() };
    let filter = TypedExtensionConfig { name: "filter".into(), typed_config: None };
    let mut builder = Snapshot::builder();
    builder
        // What a route refers to is found by itself, and has to be in the snapshot; its version is a hash of its content.
        .add(Resource::route(&routes)?)
        // Of any other type one says so. This one has a version of one's own.
        .add(
            Resource::new(ResourceType::ExtensionConfig, "filter", filter.encode_to_vec(), vec![])?.with_version("v1"),
        );
    // `build_unchecked` for those whose clients know from elsewhere what is referred to.
    Ok(Arc::new(builder.build().map_err(|faults| anyhow::anyhow!("{faults:?}"))?))
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().init();
    let (cache, proxies) = (Cache::new(), Proxies::default());
    cache.publish("edge", snapshot("first")?);
    cache.ready();
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:18000".into());
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    let server = Server::new(cache.clone(), proxies.clone(), Arc::new(ByCluster::default()), Options::default());
    tokio::spawn(server.serve(listener));
    for edition in std::io::stdin().lines() {
        cache.publish("edge", snapshot(&edition?)?);
        for proxy in proxies.list() {
            println!("{}: {:?}", proxy.node.id, proxy.types);
        }
    }
    Ok(())
}
