//! The parts below the binary: what the translator makes of a world reaches a real Envoy, and what that reports comes
//! back. For what a spec of a scene does not say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serin::model::{Failures, Fleet, Listener, NodeSelector, Service, TrafficPlan};
use serin::rollout::health::Health;
use serin::telemetry::{ClusterDelta, NodeReport, Outcomes, Telemetry};
use serin::translate::bootstrap::{BootstrapOptions, NodeId, bootstrap};
use serin::translate::{self, Dialect};
use serin::xds::server::ByCluster;
use serin::xds::{Cache, Options, Proxies, ResourceType, Server, Snapshot, listen};
use serin_testbed::envoy::EnvoyProcess;
use serin_testbed::{ports, wait};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::service::Routes;

use crate::scene::{DEADLINE, envoy_version};

/// The group of the one proxy.
const GROUP: &str = "edge";

pub(crate) struct Wired {
    cache: Cache,
    proxies: Proxies,
    reports: mpsc::Receiver<NodeReport>,
    pub(crate) health: Health,
    /// All that was reported of each cluster.
    pub(crate) sums: BTreeMap<String, Sum>,
    pub(crate) fleet: Fleet,
    pub(crate) services: BTreeMap<String, Service>,
    pub(crate) plans: BTreeMap<String, TrafficPlan>,
    pub(crate) envoy: Option<EnvoyProcess>,
    xds: SocketAddr,
}

/// What was reported of a cluster over time.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    pub(crate) shared: Outcomes,
    pub(crate) chosen: Outcomes,
    pub(crate) tries: Outcomes,
    pub(crate) failures: Failures,
    /// By named route.
    pub(crate) routes: BTreeMap<Arc<str>, Outcomes>,
    pub(crate) endpoint_tries: BTreeMap<SocketAddr, Outcomes>,
}

impl Sum {
    fn add(&mut self, delta: &ClusterDelta) {
        let plus = |sum: &mut Outcomes, more: Outcomes| {
            sum.requests += more.requests;
            sum.errors += more.errors;
        };
        plus(&mut self.shared, Outcomes { requests: delta.requests, errors: delta.errors });
        plus(&mut self.chosen, delta.chosen);
        plus(&mut self.tries, delta.tries.unwrap_or_default());
        self.failures = self.failures.plus(delta.failures);
        for (route, more) in &delta.routes {
            plus(self.routes.entry(Arc::clone(route)).or_default(), *more);
        }
        for (endpoint, more) in &delta.endpoint_tries {
            plus(self.endpoint_tries.entry(*endpoint).or_default(), *more);
        }
    }
}

impl Wired {
    /// A server on a port, and a fleet without listeners.
    pub(crate) async fn new() -> Result<Self> {
        let (cache, proxies) = (Cache::new(), Proxies::default());
        let (sink, reports) = mpsc::channel(10_000);
        let telemetry = Telemetry::new(sink);
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let xds = socket.local_addr()?;
        let server = Server::new(cache.clone(), proxies.clone(), Arc::new(ByCluster::default()), Options::default());
        let routes = server.routes(telemetry.routes(Routes::default()));
        tokio::spawn(listen::serve(socket, routes, listen::stalls(), std::future::pending()));
        cache.ready();
        let fleet = Fleet {
            name: GROUP.into(),
            nodes: NodeSelector::default(),
            listeners: Vec::new(),
            route_configs: Vec::new(),
            config_canary: None,
            poll: None,
        };
        let (health, sums) = (Health::default(), BTreeMap::new());
        let (services, plans) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { cache, proxies, reports, health, sums, fleet, services, plans, envoy: None, xds })
    }

    /// Adds a service, all of it to v1, with a listener of its own, which the caller may change. Returns where that is.
    pub(crate) fn serve(&mut self, service: Service, change: impl FnOnce(&mut Listener)) -> Result<SocketAddr> {
        let [bind] = ports::free()?;
        let mut listener = Listener {
            name: service.name.clone(),
            bind,
            services: vec![service.name.clone()],
            tls: None,
            trusted_hops: 0,
            preview: false,
            envoy: Default::default(),
        };
        change(&mut listener);
        self.fleet.listeners.push(listener);
        self.plans.insert(service.name.clone(), TrafficPlan::all_to(&service.name, "v1"));
        self.services.insert(service.name.clone(), service);
        Ok(bind)
    }

    /// Gives the proxy what there is, starts it if it does not run yet, and waits until it has all of it in force.
    pub(crate) async fn publish(&mut self) -> Result<()> {
        let dialect = if envoy_version() >= (1, 37) { Dialect::MODERN } else { Dialect::PLAIN };
        let snapshot = Arc::new(translate::snapshot(&self.fleet, &self.services, &self.plans, dialect)?);
        self.cache.publish(GROUP, Arc::clone(&snapshot));
        if self.envoy.is_none() {
            let options = BootstrapOptions {
                node_id: NodeId::Fixed("one".into()),
                node_cluster: Some(GROUP.into()),
                dialect,
                flush_interval: std::time::Duration::from_millis(250),
                ..BootstrapOptions::new("127.0.0.1", self.xds.port())
            };
            let mut envoy = EnvoyProcess::start("one", &bootstrap(&options)).await?;
            envoy.ready(DEADLINE).await?;
            self.envoy = Some(envoy);
        }
        self.in_force(&snapshot).await
    }

    async fn in_force(&self, snapshot: &Snapshot) -> Result<()> {
        wait::until("all to be in force", DEADLINE, || async {
            let proxies = self.proxies.list();
            let has = |of: ResourceType| {
                let version = snapshot.version_of(of);
                snapshot.of_type(of).is_empty()
                    || proxies.iter().any(|proxy| proxy.in_force_since(of, version).is_some())
            };
            let missing: Vec<ResourceType> = ResourceType::CORE.into_iter().filter(|of| !has(*of)).collect();
            ensure!(missing.is_empty(), "without {missing:?}: {proxies:#?}");
            Ok(())
        })
        .await
    }

    /// Takes in reports until they are as wanted.
    pub(crate) async fn reported(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) -> Result<()> {
        let waited = tokio::time::timeout(DEADLINE, async {
            while !wanted(self) {
                let Some(report) = self.reports.recv().await else { break };
                self.health.add(&report);
                for (cluster, delta) in &report.clusters {
                    self.sums.entry(cluster.to_string()).or_default().add(delta);
                }
            }
        });
        let in_time = waited.await.is_ok();
        ensure!(in_time && wanted(self), "waited {DEADLINE:?} for {what}: {:#?} {:#?}", self.sums, self.health);
        Ok(())
    }
}
