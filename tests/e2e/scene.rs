//! A control plane, some Envoys (each a fleet of its own, so that each has a port), upstreams and a load.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use serin_testbed::envoy::EnvoyProcess;
use serin_testbed::load::{Load, LoadConfig};
use serin_testbed::process::ServerProcess;
use serin_testbed::upstream::{Behaviour, Upstream, UpstreamConfig};
use serin_testbed::{ports, wait};

use crate::relay::Relay;

#[path = "specs.rs"]
mod specs;

pub(crate) use specs::{Other, Specs};

/// How long anything may take on a loaded machine before it counts as never.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);
pub(crate) const HOST: &str = "shop.example.com";

/// How a proxy is to be.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// Its id.
    pub(crate) id: &'static str,
    /// Its fleet, and its cluster: one of its own, of the same name, where nobody shares it.
    pub(crate) fleet: &'static str,
    /// The region of its locality; none when empty.
    pub(crate) region: &'static str,
    /// `delta` or `sotw`.
    pub(crate) variant: &'static str,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Whether the bootstrap owns the listener, and Serin only the routes.
    pub(crate) rds_only: bool,
    /// Whether the bootstrap has no metrics sink.
    pub(crate) no_metrics: bool,
}

impl Proxy {
    /// A Delta proxy with a fleet of its own.
    pub(crate) fn new(id: &'static str, listen: SocketAddr) -> Self {
        Self { id, fleet: id, region: "", variant: "delta", listen, rds_only: false, no_metrics: false }
    }
}

pub(crate) struct Scene {
    pub(crate) server: ServerProcess,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) envoys: Vec<EnvoyProcess>,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) steps: String,
    /// Raw configuration of each listener, and of the service, as flow mappings; none by default.
    pub(crate) raw: Option<[String; 2]>,
    /// Of the service. As long as a machine may be busy: a connection that fails is a failed request.
    pub(crate) connect_timeout: &'static str,
    /// Between the server and the proxies, when it stands there.
    pub(crate) relay: Option<Relay>,
    /// What else the specs say.
    pub(crate) specs: Specs,
}

/// The version of the Envoy under test, as `(major, minor)`.
pub(crate) fn envoy_version() -> (u32, u32) {
    let text = std::env::var("ENVOY_VERSION").unwrap_or_else(|_| serin_testbed::envoy::DEFAULT_VERSION.into());
    let mut parts = text.split('.').map(|part| part.parse().expect("a version"));
    (parts.next().expect("a major version"), parts.next().expect("a minor version"))
}

impl Scene {
    /// A scene with a Delta and a state-of-the-world proxy, and good upstreams v1 and v2 beside a v3 that fails one
    /// request in five. Nothing runs yet but the upstreams.
    pub(crate) async fn new() -> Result<Self> {
        let [one, two] = ports::free()?;
        let mut upstreams = Vec::new();
        for (version, behaviour) in [("v1", Behaviour::GOOD), ("v2", Behaviour::GOOD), ("v3", Behaviour::failing(0.2))]
        {
            upstreams.push(Upstream::start(UpstreamConfig { behaviour, ..UpstreamConfig::local(version) }).await?);
        }
        let server = ServerProcess::new(env!("CARGO_BIN_EXE_serin"))?.arg("-v");
        let proxies = vec![Proxy::new("one", one), Proxy { variant: "sotw", ..Proxy::new("two", two) }];
        let steps = "[{setWeight: 10}, {analyze: {max: 60s}}, {setWeight: 50}, {analyze: {max: 60s}}]".into();
        let (envoys, raw, relay) = (Vec::new(), None, None);
        Ok(Self {
            server,
            proxies,
            envoys,
            upstreams,
            steps,
            raw,
            connect_timeout: "10s",
            relay,
            specs: Specs::default(),
        })
    }

    /// The same with a relay that takes down what the proxies and the server say, and proxies that keep all statistics.
    pub(crate) async fn relayed() -> Result<Self> {
        let mut scene = Self::new().await?;
        scene.relay = Some(Relay::start(scene.server.xds()).await?);
        for proxy in &mut scene.proxies {
            proxy.no_metrics = true;
        }
        Ok(scene)
    }

    /// Commits the specs with this version wanted.
    pub(crate) fn commit(&self, version: &str) -> Result<()> {
        let text = self.text(version);
        self.server.write_spec("specs.yaml", &text)
    }

    /// Starts the server and all proxies, with v1 live.
    pub(crate) async fn start(&mut self) -> Result<()> {
        self.commit("v1")?;
        self.server.start().await?;
        for proxy in self.proxies.clone() {
            self.start_proxy(&proxy).await?;
        }
        Ok(())
    }

    /// Starts one proxy and waits until it serves.
    pub(crate) async fn start_proxy(&mut self, proxy: &Proxy) -> Result<()> {
        let bootstrap = self.bootstrap(proxy).await?;
        let mut envoy = EnvoyProcess::start(proxy.id, &bootstrap).await?;
        envoy.ready(DEADLINE).await?;
        if !proxy.rds_only {
            envoy.listener("http", DEADLINE).await?;
        }
        self.envoys.push(envoy);
        Ok(())
    }

    /// What `serin bootstrap` prints for a proxy.
    pub(crate) async fn bootstrap(&self, proxy: &Proxy) -> Result<String> {
        let xds = self.relay.as_ref().map_or(self.server.xds(), |relay| relay.addr).to_string();
        let specs = self.server.specs();
        let (major, minor) = envoy_version();
        let (specs, version) = (specs.to_string_lossy().into_owned(), format!("{major}.{minor}"));
        let mut arguments = vec!["bootstrap", "--fleet", proxy.fleet, "--specs", &specs, "--id", proxy.id];
        arguments.extend(["--variant", proxy.variant, "--xds", &xds, "--admin", "127.0.0.1:0"]);
        arguments.extend(["--flush", "250ms", "--envoy", &version]);
        if proxy.no_metrics {
            arguments.push("--no-metrics");
        }
        let printed = self.server.run(arguments).await?;
        let printed = match proxy.region {
            "" => printed,
            region => printed.replacen("\nnode:\n", &format!("\nnode:\n  locality: {{region: {region}}}\n"), 1),
        };
        // A listener of the bootstrap's own has its port there.
        Ok(printed.replace("port_value: 10000", &format!("port_value: {}", proxy.listen.port())))
    }

    /// An open-loop load over all proxies.
    pub(crate) fn load(&self, rate: f64) -> Load {
        Load::start(self.load_config(rate))
    }

    /// What such a load is.
    pub(crate) fn load_config(&self, rate: f64) -> LoadConfig {
        let mut targets: Vec<SocketAddr> = self.proxies.iter().map(|proxy| proxy.listen).collect();
        targets.dedup();
        LoadConfig::new(targets, rate, HOST)
    }

    /// The release, as `serin get -o json` prints it.
    pub(crate) async fn release(&self) -> Result<Value> {
        self.release_of("checkout").await
    }

    /// Another service's release.
    pub(crate) async fn release_of(&self, service: &str) -> Result<Value> {
        let printed = self.server.run(["get", service, "-o", "json"]).await?;
        serde_json::from_str(&printed).context(printed)
    }

    /// Waits until the server has logged a text.
    pub(crate) async fn server_says(&self, text: &str) -> Result<()> {
        wait::until(&format!("the server to say {text:?}"), DEADLINE, || async {
            ensure!(self.server.log().contains(text), "{}", self.server.tail());
            Ok(())
        })
        .await
    }

    /// Waits until the release is as wanted, and returns it.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.until_of("checkout", what, wanted).await
    }

    /// The same of another service's release.
    pub(crate) async fn until_of(&self, service: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let waited = wait::until(what, DEADLINE, || async {
            let release = self.release_of(service).await?;
            ensure!(wanted(&release), "{release:#}");
            Ok(release)
        });
        waited.await.with_context(|| self.server.tail())
    }

    /// Waits until the release has reached a phase with a version live.
    pub(crate) async fn until_phase(&self, phase: &str, stable: &str) -> Result<Value> {
        let what = format!("the release to be {phase} with {stable} stable");
        self.until(&what, |release| release["phase"] == phase && release["stableVersion"] == stable).await
    }

    /// The proxies, as `serin proxies -o json` prints them.
    pub(crate) async fn proxies_shown(&self) -> Result<Vec<Value>> {
        let printed = self.server.run(["proxies", "-o", "json"]).await?;
        let shown: Value = serde_json::from_str(&printed).context(printed)?;
        Ok(shown["proxies"].as_array().context("a list of proxies")?.clone())
    }

    /// Waits until a proxy is shown as wanted.
    pub(crate) async fn until_shown(&self, id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until(&format!("{id} to be shown {what}"), DEADLINE, || async {
            let shown = self.proxies_shown().await?;
            let proxy =
                shown.iter().find(|proxy| proxy["id"] == id).with_context(|| format!("no {id} in {shown:#?}"))?;
            ensure!(wanted(proxy), "{proxy:#}");
            Ok(proxy.clone())
        })
        .await
        .with_context(|| self.server.tail())
    }

    /// The release's journal: kind and message of each event.
    pub(crate) async fn journal(&self) -> Result<Vec<(String, String)>> {
        let printed = self.server.run(["events", "checkout", "-o", "json"]).await?;
        let events: Value = serde_json::from_str(&printed).context(printed)?;
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let events = events["events"].as_array().context("a list of events")?;
        Ok(events.iter().map(|event| (text(event, "kind"), text(event, "message"))).collect())
    }
}

/// The state of one type at a proxy, as shown.
pub(crate) fn sync_state<'a>(proxy: &'a Value, short: &str) -> &'a str {
    let url = match short {
        "cds" => "envoy.config.cluster.v3.Cluster",
        "eds" => "envoy.config.endpoint.v3.ClusterLoadAssignment",
        "lds" => "envoy.config.listener.v3.Listener",
        "rds" => "envoy.config.route.v3.RouteConfiguration",
        other => panic!("no such type: {other}"),
    };
    let types = proxy["types"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_type = types.iter().find(|t| t["typeUrl"].as_str().is_some_and(|u| u.ends_with(url)));
    of_type.and_then(|t| t["state"].as_str()).unwrap_or("-")
}
