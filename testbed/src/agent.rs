//! An agent that updates upstreams in place, as a rolling update's `update` hook asks for: whatever runs at an address is
//! drained and stopped, and the wanted version is started at the same address.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};

use crate::upstream::{Behaviour, Upstream, UpstreamConfig};

/// The largest body that is read.
const MAX_BODY: usize = 1 << 20;

/// A running agent with its upstreams. All end when it is dropped.
#[derive(Debug)]
pub struct Agent {
    addr: SocketAddr,
    machines: Arc<Machines>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Machines {
    /// How a version behaves; one that is not here is good.
    behaviours: HashMap<String, Behaviour>,
    /// One update at a time, as one agent would.
    upstreams: Mutex<BTreeMap<SocketAddr, Upstream>>,
    updates: std::sync::Mutex<Vec<Update>>,
}

/// An update that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Where.
    pub endpoints: Vec<SocketAddr>,
    /// To which version.
    pub version: String,
    /// How many requests these endpoints had in flight when they were to be stopped: a drained one has none.
    pub in_flight: u64,
}

impl Agent {
    /// Starts this many upstreams of a version on loopback, and listens for updates.
    ///
    /// # Errors
    /// When a port cannot be bound.
    pub async fn start(version: &str, upstreams: usize, behaviours: &[(&str, Behaviour)]) -> io::Result<Self> {
        let behaviours: HashMap<_, _> =
            behaviours.iter().map(|(name, behaviour)| ((*name).into(), *behaviour)).collect();
        let mut started = BTreeMap::new();
        for address in addresses(upstreams)? {
            started.insert(address, run(&behaviours, address, version).await?);
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let machines =
            Arc::new(Machines { behaviours, upstreams: Mutex::new(started), updates: std::sync::Mutex::default() });
        let server = tokio::spawn(serve(listener, machines.clone()));
        Ok(Self { addr, machines, server })
    }

    /// Where updates are to be posted.
    pub fn url(&self) -> String {
        format!("http://{}/update", self.addr)
    }

    /// What runs where.
    pub async fn running(&self) -> BTreeMap<SocketAddr, String> {
        let upstreams = self.machines.upstreams.lock().await;
        upstreams.iter().map(|(address, upstream)| (*address, upstream.version().to_owned())).collect()
    }

    /// The updates that were asked for, in order.
    pub fn updates(&self) -> Vec<Update> {
        self.machines.updates.lock().map(|updates| updates.clone()).unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Addresses of their own, so that no outgoing connection can take one while its upstream is being replaced.
fn addresses(count: usize) -> io::Result<Vec<SocketAddr>> {
    (0..count).map(|_| crate::ports::free::<1>().map(|[address]| address).map_err(io::Error::other)).collect()
}

async fn run(behaviours: &HashMap<String, Behaviour>, listen: SocketAddr, version: &str) -> io::Result<Upstream> {
    let behaviour = behaviours.get(version).copied().unwrap_or(Behaviour::GOOD);
    // Each fails other requests than its neighbour.
    let seed = u64::from(listen.port());
    Upstream::start(UpstreamConfig { listen, behaviour, seed, ..UpstreamConfig::local(version) }).await
}

async fn serve(listener: TcpListener, machines: Arc<Machines>) {
    // The connections are in the set, so that they end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            Ok((stream, _)) = listener.accept() => {
                let machines = machines.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(request, machines.clone()));
                    // An error is the caller's to see.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }
    }
}

async fn answer(request: Request<Incoming>, machines: Arc<Machines>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await.map(|body| body.to_bytes());
    let outcome = match body {
        Ok(body) => update(&machines, &body).await,
        Err(error) => Err(anyhow::anyhow!(error)),
    };
    let mut response = Response::new(Full::default());
    if let Err(error) = outcome {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        *response.body_mut() = Full::new(Bytes::from(format!("{error:#}\n")));
    }
    Ok(response)
}

/// Stops what runs at the endpoints and starts the wanted version there. A second time it changes nothing.
async fn update(machines: &Machines, body: &[u8]) -> Result<()> {
    let asked: Value = serde_json::from_slice(body).context("a JSON document")?;
    anyhow::ensure!(asked["purpose"] == "update", "asked for {}, not for an update", asked["purpose"]);
    let version = asked["version"].as_str().context("a version")?;
    let endpoints = asked["endpoints"].as_array().context("endpoints")?;
    let endpoints: Vec<SocketAddr> = endpoints
        .iter()
        .map(|endpoint| Ok(endpoint.as_str().context("an address")?.parse()?))
        .collect::<Result<_>>()?;
    let mut upstreams = machines.upstreams.lock().await;
    let in_flight = endpoints.iter().filter_map(|address| upstreams.get(address)).map(Upstream::in_flight).sum();
    if let Ok(mut updates) = machines.updates.lock() {
        updates.push(Update { endpoints: endpoints.clone(), version: version.to_owned(), in_flight });
    }
    for address in endpoints {
        let old = upstreams.get(&address).with_context(|| format!("nothing runs at {address}"))?;
        if old.version() == version {
            continue;
        }
        if let Some(old) = upstreams.remove(&address) {
            old.stop().await;
        }
        upstreams.insert(address, run(&machines.behaviours, address, version).await?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::tests::post;
    use crate::http;

    #[tokio::test]
    async fn it_replaces_what_runs_at_an_address() {
        let agent = Agent::start("v1", 2, &[("v3", Behaviour::failing(1.0))]).await.expect("ports");
        let [one, two] = agent.running().await.into_keys().collect::<Vec<_>>()[..] else { panic!("two upstreams") };
        let ask = |version: &str| serde_json::json!({"purpose": "update", "version": version, "endpoints": [one]});
        assert_eq!(post(&agent.url(), &ask("v3")).await, 200);
        assert_eq!(http::get(one, "/").await.expect("it serves at once").status, 500);
        assert_eq!(post(&agent.url(), &ask("v2")).await, 200);
        assert_eq!(post(&agent.url(), &ask("v2")).await, 200, "the same again does no harm");
        assert_eq!(agent.running().await, BTreeMap::from([(one, "v2".into()), (two, "v1".into())]));
        let updates: Vec<String> = agent.updates().into_iter().map(|update| update.version).collect();
        assert_eq!(updates, ["v3", "v2", "v2"]);
        let nowhere = serde_json::json!({"purpose": "update", "version": "v2", "endpoints": ["127.0.0.1:1"]});
        assert_eq!(post(&agent.url(), &nowhere).await, 500);
    }
}
