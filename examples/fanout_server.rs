//! A bare discovery server, without releases and telemetry, for `make bench-fanout`: a library user's server in one file.
//!
//! It prints where it listens, and does what it is asked on its standard input (`publish BYTES`, `usage`) until that is
//! closed. See `testbed/src/fanout/talk.rs`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Result, bail};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use serin::xds::server::ByCluster;
use serin::xds::{Cache, Options, Proxies, Resource, Server, Snapshot};
use serin_testbed::fanout::talk::{Asked, Said, questions};
use serin_testbed::usage;
use tokio::net::TcpListener;

/// The one group that every proxy is in.
const GROUP: &str = "edge";
/// Resources of a push.
const CLUSTERS: usize = 10;
/// What the clients get when they come.
const FIRST: usize = 2_000;

#[tokio::main]
async fn main() -> Result<()> {
    usage::allow_most_connections()?;
    let cache = Cache::new();
    cache.publish(GROUP, snapshot(0, FIRST)?);
    cache.ready();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Said::Listening(listener.local_addr()?).say();
    tokio::select! {
        ended = serve(cache.clone(), listener) => ended,
        ended = answer(&cache) => ended,
    }
}

/// All that is to be known of the library to serve.
async fn serve(cache: Cache, listener: TcpListener) -> Result<()> {
    let server = Server::new(cache, Proxies::default(), Arc::new(ByCluster::default()), Options::default());
    Ok(server.serve(listener).await?)
}

/// Clusters of about this many bytes in all, another content for each number.
fn snapshot(number: u64, bytes: usize) -> Result<Arc<Snapshot>> {
    let mut builder = Snapshot::builder();
    for index in 0..CLUSTERS {
        let name = format!("cluster-{index}");
        // What its type URL and names take in a response.
        let overhead = 85;
        let length = (bytes / CLUSTERS).saturating_sub(overhead);
        let cluster = Cluster { name, alt_stat_name: format!("{number:0>length$}"), ..Cluster::default() };
        builder.add(Resource::cluster(&cluster)?);
    }
    // Nothing refers to anything.
    Ok(Arc::new(builder.build_unchecked()))
}

async fn answer(cache: &Cache) -> Result<()> {
    let mut questions = questions();
    let mut number = 0;
    while let Some(asked) = questions.recv().await {
        match asked? {
            Asked::Publish(bytes) => {
                number += 1;
                let snapshot = snapshot(number, bytes)?;
                let pushed = Said::pushed_now();
                cache.publish(GROUP, snapshot);
                pushed.say();
            }
            Asked::Usage => Said::usage()?.say(),
            other @ Asked::Stall => bail!("a server is not asked to `{other}`"),
        }
    }
    Ok(())
}
