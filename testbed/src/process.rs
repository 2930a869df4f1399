//! The `serin` binary as a process: specs and data in a directory of its own, ports that stay the same over restarts,
//! and the means to end it in every way a server can end.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::child::{Child, Signal, tail};
use crate::{http, ports, wait};

/// How long the server has to be ready. Loaded machines need seconds.
const READY: Duration = Duration::from_secs(60);

/// A server that was started, killed or stopped, and can be started again. Killed by its id when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    binary: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    xds: SocketAddr,
    admin: SocketAddr,
    http: SocketAddr,
    /// The running one. Declared before the directory, so that it ends before that is removed.
    child: Option<Child>,
    dir: TempDir,
}

impl ServerProcess {
    /// A server that is not started yet, with an empty spec directory to write into.
    ///
    /// # Errors
    /// When there are no free ports, or no directory can be made.
    pub fn new(binary: impl Into<PathBuf>) -> Result<Self> {
        let [xds, admin, http] = ports::free()?;
        let dir = tempfile::Builder::new().prefix("serin-").tempdir().context("a directory for the server")?;
        let server = Self {
            binary: binary.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            xds,
            admin,
            http,
            child: None,
            dir,
        };
        std::fs::create_dir(server.specs()).context("the spec directory")?;
        Ok(server)
    }

    /// Adds a command-line argument for `serve`.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets an environment variable for the server.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The directory whose specs it reads.
    pub fn specs(&self) -> PathBuf {
        self.dir.path().join("specs")
    }

    /// The directory in which it keeps its state.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where proxies connect.
    pub fn xds(&self) -> SocketAddr {
        self.xds
    }

    /// The admin API over gRPC.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Metrics and health.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Writes a spec file whole: a reader sees the old or the new one, never a part.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_spec(&self, name: &str, text: &str) -> Result<()> {
        // Written beside the spec directory: one that watches it should see nothing but the finished file.
        let new = self.dir.path().join(format!("{name}.new"));
        std::fs::write(&new, text).with_context(|| format!("write {}", new.display()))?;
        std::fs::rename(&new, self.specs().join(name)).with_context(|| format!("put {name} in place"))
    }

    /// The `serve` command as it is started.
    fn serve(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--specs").arg(self.specs()).arg("--data").arg(self.data());
        for (flag, addr) in [("--xds", self.xds), ("--admin", self.admin), ("--http", self.http)] {
            command.arg(flag).arg(addr.to_string());
        }
        command.args(&self.arguments).envs(self.environment.iter().cloned()).current_dir(self.dir.path());
        command
    }

    /// Starts it and waits until `/readyz` says 200.
    ///
    /// # Errors
    /// When it ends instead, or is not ready within a minute: with the end of its log.
    pub async fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.ready(READY).await
    }

    /// Starts it and does not wait. One that runs is killed before.
    ///
    /// # Errors
    /// When the binary cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        self.child = None;
        self.child = Some(Child::spawn("serin", &mut self.serve(), self.log_path())?);
        Ok(())
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Errors
    /// When it has ended, or is not ready by the deadline: with the end of its log.
    pub async fn ready(&mut self, deadline: Duration) -> Result<()> {
        let http = self.http;
        let child = self.child.as_mut().context("serin was not started")?;
        let waited = wait::until("serin to be ready", deadline, || {
            let running = child.check_running();
            async move {
                match running {
                    Ok(()) => http::get_ok(http, "/readyz").await.map(|_| Ok(())),
                    Err(ended) => Ok(Err(ended)),
                }
            }
        })
        .await;
        waited.and_then(|ended| ended).with_context(|| child.tail())
    }

    /// Kills it at once (SIGKILL), as a power cut would, and waits for its end.
    pub fn kill9(&mut self) {
        self.child = None;
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    /// When it does not run, or does not end by the deadline; then it is killed.
    pub async fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let mut child = self.child.take().context("serin does not run")?;
        child.terminate(deadline).await
    }

    /// Sends it a signal (`STOP`, `CONT`, `HUP`).
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.child.as_mut().context("serin does not run")?.signal(signal)
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// All that it has logged, over all its starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// The end of its log, for an error message.
    pub fn tail(&self) -> String {
        tail("serin", &self.log())
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("serin.log")
    }

    /// A client command of the same binary, told where this server's admin API is.
    pub fn client<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).env("SERIN_SERVER", format!("http://{}", self.admin)).env("NO_COLOR", "1");
        command
    }

    /// Runs a client command and returns what it printed.
    ///
    /// # Errors
    /// When it fails: with what it said.
    pub async fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Result<String> {
        let mut command = tokio::process::Command::from(self.client(arguments));
        let shown = format!("{:?}", command.as_std());
        let output = command.kill_on_drop(true).output().await.with_context(|| shown.clone())?;
        anyhow::ensure!(
            output.status.success(),
            "{shown}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Prints a bootstrap for an Envoy of this server, with `serin bootstrap`.
    ///
    /// # Errors
    /// When the binary refuses, for example because the specs have no such fleet.
    pub async fn bootstrap(&self, fleet: &str, id: &str, variant: &str) -> Result<String> {
        let (specs, xds) = (self.specs(), self.xds.to_string());
        let mut arguments: Vec<&OsStr> = ["bootstrap", "--fleet", fleet, "--id", id, "--variant", variant]
            .into_iter()
            .chain(["--xds", &xds, "--admin", "127.0.0.1:0", "--flush", "500ms", "--specs"])
            .map(OsStr::new)
            .collect();
        arguments.push(specs.as_os_str());
        self.run(arguments).await
    }
}

/// The `serin` binary that was built beside this executable (a test or an example), or `SERIN_BIN`.
///
/// # Errors
/// When there is none.
pub fn serin_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("SERIN_BIN").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let executable = std::env::current_exe().context("this executable's path")?;
    // target/debug/examples/demo, target/debug/deps/e2e-0123, target/debug/serin-testbed
    executable
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir: &Path| dir.join("serin"))
        .find(|path| path.is_file())
        .with_context(|| format!("no serin binary near {}: build it, or set SERIN_BIN", executable.display()))
}

#[cfg(test)]
mod tests;
