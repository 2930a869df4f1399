//! A real Prometheus: one process with a configuration, a port and a storage of its own, which it finds again when it is
//! started again.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::child::Child;
use crate::provided::provided;
use crate::{http, ports, wait};

/// How long it has to open its port. Loaded machines need seconds.
const START: Duration = Duration::from_secs(30);

/// What is scraped, and what it is called.
#[derive(Debug, Clone)]
pub struct Job {
    /// The label `job`.
    pub name: String,
    /// Who is scraped.
    pub targets: Vec<SocketAddr>,
    /// Where: `/metrics`.
    pub path: String,
    /// Labels of the targets: `service` makes `exported_service` of a `service` that is exposed.
    pub labels: Vec<(String, String)>,
}

impl Job {
    /// A job whose targets have no labels of their own.
    pub fn new(name: &str, targets: Vec<SocketAddr>, path: &str) -> Self {
        Self { name: name.into(), targets, path: path.into(), labels: Vec::new() }
    }

    fn yaml(&self) -> String {
        let Self { name, targets, path, labels } = self;
        let targets: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}: \"{value}\"")).collect();
        format!(
            "- job_name: {name}\n  metrics_path: {path}\n  \
             static_configs: [{{targets: [{}], labels: {{{}}}}}]\n",
            targets.join(", "),
            labels.join(", ")
        )
    }
}

/// A Prometheus, running or not. It is killed by its id, and waited for, when it is dropped.
#[derive(Debug)]
pub struct Prometheus {
    binary: PathBuf,
    every: Duration,
    address: SocketAddr,
    child: Option<Child>,
    /// Holds configuration, storage and log; removed at the end.
    dir: TempDir,
}

impl Prometheus {
    /// One that is not started yet, and scrapes nothing; the binary is `PROMETHEUS`, or what `scripts/prometheus` finds.
    /// `None` where there is none, which is said on standard error for `what` is skipped.
    ///
    /// # Errors
    /// When no port or directory can be had for it.
    pub fn new(what: &str, every: Duration) -> Result<Option<Self>> {
        let Some(binary) = provided("PROMETHEUS", "scripts/prometheus")? else {
            // Not `eprintln!`, which a test that passes does not show.
            writeln!(std::io::stderr(), "SKIPPED: {what}: no Prometheus here (see scripts/prometheus)")?;
            return Ok(None);
        };
        let dir = tempfile::Builder::new().prefix("serin-prometheus-").tempdir().context("a directory for it")?;
        let [address] = ports::free()?;
        let prometheus = Self { binary, every, address, child: None, dir };
        prometheus.scrape(&[])?;
        Ok(Some(prometheus))
    }

    /// What it scrapes once it is started.
    ///
    /// # Errors
    /// When its configuration cannot be written.
    pub fn scrape(&self, jobs: &[Job]) -> Result<()> {
        let every = self.every.as_millis();
        let jobs: String = jobs.iter().map(Job::yaml).collect();
        let config =
            format!("global: {{scrape_interval: {every}ms, scrape_timeout: {every}ms}}\nscrape_configs:\n{jobs}");
        std::fs::write(self.dir.path().join("prometheus.yml"), config).context("write its configuration")
    }

    /// Where it answers, running or not.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts it, and waits until it is ready.
    ///
    /// # Errors
    /// When it ends instead, or is not ready within 30 s: with the end of its log.
    pub async fn start(&mut self) -> Result<()> {
        let path = |name: &str| self.dir.path().join(name);
        let mut command = Command::new(&self.binary);
        command
            .arg("--config.file")
            .arg(path("prometheus.yml"))
            .arg("--storage.tsdb.path")
            .arg(path("data"))
            .arg("--web.listen-address")
            .arg(self.address.to_string())
            .current_dir(self.dir.path());
        let child = Child::spawn("prometheus", &mut command, path("log"))?;
        let (child, address) = (self.child.insert(child), self.address);
        let waited = wait::until("Prometheus to be ready", START, || {
            let running = child.check_running();
            async move {
                match running {
                    Ok(()) => http::get_ok(address, "/-/ready").await.map(|_| Ok(())),
                    Err(ended) => Ok(Err(ended)),
                }
            }
        })
        .await;
        waited.and_then(|ended| ended).with_context(|| child.tail())
    }

    /// Kills it (SIGKILL), and waits for its end. Its storage stays, and so does its port.
    pub fn kill(&mut self) {
        self.child = None;
    }

    /// Waits until each of so many targets has been scraped, the last time with success.
    ///
    /// # Errors
    /// When not by the deadline: with what it says of them.
    pub async fn scraped(&self, targets: usize, deadline: Duration) -> Result<()> {
        wait::until("all targets to be scraped", deadline, || async {
            let said = http::get_ok(self.address, "/api/v1/targets").await?;
            let said: Value = serde_json::from_str(&said).context("its targets")?;
            let active = said["data"]["activeTargets"].as_array().context("active targets")?;
            let up = active.iter().filter(|target| target["health"] == "up").count();
            ensure!(up == targets, "{up} of {targets} are up: {said:#}");
            Ok(())
        })
        .await
    }
}
