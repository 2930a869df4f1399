//! A real Envoy: where its binary is, and one process of it with a bootstrap, an admin port and a log of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::child::Child;
use crate::http;
use crate::wait;

/// The version that is used when the environment does not choose another.
pub const DEFAULT_VERSION: &str = "1.40.0";
/// How long Envoy has to open its admin port. Loaded machines need seconds.
const START: Duration = Duration::from_secs(60);

/// The path of the Envoy binary: `ENVOY` when set, else what `make envoy` has installed.
///
/// # Errors
/// When there is none; says how to get it.
pub fn envoy_binary() -> Result<PathBuf> {
    let chosen = std::env::var_os("ENVOY").map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    binary(chosen, workspace())
}

fn binary(chosen: Option<PathBuf>, workspace: &Path) -> Result<PathBuf> {
    if let Some(path) = chosen {
        if !path.is_file() {
            bail!("ENVOY={} is not a file: `make envoy` installs one and prints its path", path.display());
        }
        return Ok(path);
    }
    let installed = workspace.join(format!(".tools/envoy-{DEFAULT_VERSION}/envoy"));
    if !installed.is_file() {
        bail!("there is no Envoy at {}: run `make envoy`, or set ENVOY to a binary", installed.display());
    }
    Ok(installed)
}

/// The workspace's root: the parent of this package.
pub(crate) fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// A running Envoy. It is killed by its id, and waited for, when it is dropped.
#[derive(Debug)]
pub struct EnvoyProcess {
    child: Child,
    admin: SocketAddr,
    /// Holds the bootstrap, the admin address and the log; removed at the end.
    _dir: TempDir,
}

impl EnvoyProcess {
    /// Starts Envoy with a bootstrap (YAML or JSON) and waits until its admin port answers. The bootstrap's admin
    /// address should have port 0. Whether it has a configuration yet is another question: [`EnvoyProcess::ready`].
    ///
    /// # Errors
    /// When there is no binary, or Envoy refuses the bootstrap: with the end of its log.
    pub async fn start(id: &str, bootstrap: &str) -> Result<Self> {
        Self::start_with(id, bootstrap, &[]).await
    }

    /// The same with further arguments, for example `--service-node`.
    ///
    /// # Errors
    /// As [`EnvoyProcess::start`].
    pub async fn start_with(id: &str, bootstrap: &str, arguments: &[&str]) -> Result<Self> {
        let binary = envoy_binary()?;
        let dir = tempfile::Builder::new().prefix("serin-envoy-").tempdir().context("a directory for Envoy")?;
        let (config, admin) = (dir.path().join("bootstrap.yaml"), dir.path().join("admin"));
        std::fs::write(&config, bootstrap).context("write the bootstrap")?;
        let mut command = Command::new(binary);
        command
            .arg("-c")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin)
            // Several Envoys on one machine must not share memory, but a listener's port they may.
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "info"])
            .args(arguments)
            .current_dir(dir.path());
        let mut child = Child::spawn(id, &mut command, dir.path().join("envoy.log"))?;
        let admin = wait::until("Envoy's admin port", START, || {
            // An Envoy that has refused its bootstrap will not answer later: give that out as the finding.
            let seen = match child.check_running() {
                Ok(()) => std::fs::read_to_string(&admin)
                    .context("no admin address yet")
                    .and_then(|text| text.trim().parse::<SocketAddr>().context("a partly written address"))
                    .map(Ok),
                Err(ended) => Ok(Err(ended)),
            };
            async move { seen }
        })
        .await
        .with_context(|| child.tail())??;
        Ok(Self { child, admin, _dir: dir })
    }

    /// The node id it was started with, as it is called in messages.
    pub fn id(&self) -> &str {
        self.child.name()
    }

    /// Its process, for signals and the log.
    pub fn process(&mut self) -> &mut Child {
        &mut self.child
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        self.child.output()
    }

    /// The address of its admin port.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Waits until it is live: it has got its listeners and clusters (from a server that must be there), and they
    /// are warm.
    ///
    /// # Errors
    /// When it is not by the deadline, or has ended: with the end of its log.
    pub async fn ready(&mut self, deadline: Duration) -> Result<()> {
        let (admin, child) = (self.admin, &mut self.child);
        let waited = wait::until("Envoy to be ready", deadline, || {
            let running = child.check_running();
            async move {
                match running {
                    Ok(()) => http::get_ok(admin, "/ready").await.map(|_| Ok(())),
                    Err(ended) => Ok(Err(ended)),
                }
            }
        })
        .await;
        waited.and_then(|ended| ended).with_context(|| self.child.tail())
    }

    /// Its listeners' names and addresses, as bound.
    ///
    /// # Errors
    /// When the admin port gives no such answer.
    pub async fn listeners(&self) -> Result<BTreeMap<String, SocketAddr>> {
        parse_listeners(&self.admin_get("/listeners?format=json").await?)
    }

    /// Waits until it has a listener of this name, and returns its address.
    ///
    /// # Errors
    /// When it has none by the deadline.
    pub async fn listener(&self, name: &str, deadline: Duration) -> Result<SocketAddr> {
        wait::until(&format!("listener {name} of {}", self.id()), deadline, || async {
            let listeners = self.listeners().await?;
            listeners.get(name).copied().with_context(|| format!("it has {:?}", listeners.keys()))
        })
        .await
    }

    /// All counters and gauges that have a value.
    ///
    /// # Errors
    /// When the admin port gives no answer.
    pub async fn stats(&self) -> Result<BTreeMap<String, u64>> {
        Ok(parse_stats(&self.admin_get("/stats").await?))
    }

    /// One counter or gauge by its whole name; zero before its first increment.
    ///
    /// # Errors
    /// When the admin port gives no answer.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        Ok(self.stats().await?.get(name).copied().unwrap_or(0))
    }

    /// How many requests it has sent to each endpoint of its clusters, whatever the clusters are called and whichever
    /// stats its bootstrap keeps.
    ///
    /// # Errors
    /// When the admin port gives no such answer.
    pub async fn endpoint_requests(&self) -> Result<BTreeMap<SocketAddr, u64>> {
        parse_endpoint_requests(&self.admin_get("/clusters?format=json").await?)
    }

    /// What it was configured with (`/config_dump`, endpoints included).
    ///
    /// # Errors
    /// When the admin port gives no such answer.
    pub async fn config_dump(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.admin_get("/config_dump?include_eds").await?)?)
    }

    /// Any admin page.
    ///
    /// # Errors
    /// When the answer is not 200.
    pub async fn admin_get(&self, path: &str) -> Result<String> {
        http::get_ok(self.admin, path).await
    }

    /// An admin command, for example `/drain_listeners`.
    ///
    /// # Errors
    /// When the answer is not 200.
    pub async fn admin_post(&self, path: &str) -> Result<String> {
        let answer = http::request(Method::POST, self.admin, path, &[]).await?;
        anyhow::ensure!(answer.status == 200, "POST {path}: {} {}", answer.status, answer.body);
        Ok(answer.body)
    }

    /// Kills it and waits for its end.
    pub fn stop(mut self) {
        self.child.kill();
    }
}

/// `name: number` lines; histograms and texts are left out.
fn parse_stats(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| line.rsplit_once(": "))
        .filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?)))
        .collect()
}

fn parse_listeners(json: &str) -> Result<BTreeMap<String, SocketAddr>> {
    let listeners: Value = serde_json::from_str(json).context("the list of listeners")?;
    let statuses = listeners["listener_statuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    statuses
        .iter()
        .map(|status| {
            let address = &status["local_address"]["socket_address"];
            let (name, ip, port) =
                (status["name"].as_str(), address["address"].as_str(), address["port_value"].as_u64());
            let (name, ip, port) = (name.context("a name")?, ip.context("an address")?, port.context("a port")?);
            Ok((name.to_owned(), SocketAddr::new(ip.parse()?, u16::try_from(port)?)))
        })
        .collect()
}

fn parse_endpoint_requests(json: &str) -> Result<BTreeMap<SocketAddr, u64>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let clusters: Value = serde_json::from_str(json).context("the list of clusters")?;
    let mut requests = BTreeMap::new();
    for host in list(&clusters["cluster_statuses"]).iter().flat_map(|cluster| list(&cluster["host_statuses"])) {
        let address = &host["address"]["socket_address"];
        // A pipe, or a name that is not resolved, is no endpoint of ours.
        let (Some(ip), Some(port)) = (address["address"].as_str(), address["port_value"].as_u64()) else { continue };
        let Ok(ip) = ip.parse() else { continue };
        let total = list(&host["stats"]).iter().find(|stat| stat["name"] == "rq_total").map_or(0, |stat| {
            // A 64-bit number is text in proto3 JSON; zero is left out.
            stat["value"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
        });
        *requests.entry(SocketAddr::new(ip, u16::try_from(port)?)).or_default() += total;
    }
    Ok(requests)
}

#[cfg(test)]
mod tests;
