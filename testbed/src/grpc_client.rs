//! A gRPC client without a proxy, in a process of its own: `clients/grpc_client.py` or `clients/grpc_client.js`. It
//! resolves `xds:///NAME` by a bootstrap, sends empty requests, and prints who answered.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::child::Child;
use crate::provided::provided;
use crate::wait;

/// A gRPC library to make clients of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    program: &'static str,
    client: &'static str,
    /// The environment variable by which the program finds the library, and the library's directory.
    variable: &'static str,
    directory: PathBuf,
}

impl Library {
    /// Python's `grpcio`, which is gRPC's C-core. From `GRPCIO`, or installed by `scripts/grpcio`.
    ///
    /// # Errors
    /// When there is none and it cannot be installed.
    pub fn python() -> Result<Self> {
        let directory = provided("GRPCIO", "scripts/grpcio")?.context("scripts/grpcio prints a directory")?;
        Ok(Self { program: "python3", client: "grpc_client.py", variable: "PYTHONPATH", directory })
    }

    /// Node's `@grpc/grpc-js-xds`. From `GRPC_JS`, or installed by `scripts/grpc-js`; `None` where Node is not, which is
    /// said on standard error for `what` is skipped.
    ///
    /// # Errors
    /// When Node is there and the library cannot be installed.
    pub fn node(what: &str) -> Result<Option<Self>> {
        let Some(directory) = provided("GRPC_JS", "scripts/grpc-js")? else {
            // Not `eprintln!`, which a test that passes does not show.
            writeln!(std::io::stderr(), "SKIPPED: {what}: no Node here (see scripts/grpc-js)")?;
            return Ok(None);
        };
        Ok(Some(Self { program: "node", client: "grpc_client.js", variable: "NODE_PATH", directory }))
    }

    /// `python3` or `node`.
    pub fn name(&self) -> &'static str {
        self.program
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// The status, as it is called: `OK`, `UNAVAILABLE`.
    pub code: String,
    /// The version that answered, if one did.
    pub version: Option<String>,
    /// What the status says beside its code.
    pub details: Option<String>,
}

impl Answer {
    /// Whether the status is OK.
    pub fn is_ok(&self) -> bool {
        self.code == "OK"
    }
}

/// How many answers each version gave.
pub fn by_version(answers: &[Answer]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.version.as_deref().unwrap_or("(nobody)")).or_default() += 1;
    }
    counts
}

/// A running client. It is killed by its id, and waited for, when it is dropped.
#[derive(Debug)]
pub struct GrpcClient {
    child: Child,
    /// Holds the bootstrap and the log; removed at the end.
    _dir: TempDir,
}

impl GrpcClient {
    /// Starts a client of `xds:///NAME` with a bootstrap. `arguments` are those of the program: `--count 20` for as many
    /// requests, `--rate 100` for as many a second.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(library: &Library, name: &str, bootstrap: &str, arguments: &[&str]) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("serin-grpc-").tempdir().context("a directory for the client")?;
        let file = dir.path().join("bootstrap.json");
        std::fs::write(&file, bootstrap).context("write the bootstrap")?;
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(library.client);
        let mut command = Command::new(library.program);
        command
            .arg(client)
            .arg(format!("xds:///{name}"))
            .args(arguments)
            .env("GRPC_XDS_BOOTSTRAP", file)
            .env(library.variable, &library.directory)
            .current_dir(dir.path());
        let child = Child::spawn(library.program, &mut command, dir.path().join("client.log"))?;
        Ok(Self { child, _dir: dir })
    }

    /// The answers so far.
    ///
    /// # Errors
    /// When it has printed something else in their form.
    pub fn answers(&self) -> Result<Vec<Answer>> {
        let output = self.child.output();
        let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
        // Warnings of the library stand between them.
        let lines = whole.lines().filter(|line| line.starts_with('{'));
        lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// Waits until its answers, from the `skip`-th on, are as wanted, and returns these.
    ///
    /// # Errors
    /// When they are not by the deadline, or it has ended: with the end of its output.
    pub async fn until(
        &mut self,
        what: &str,
        deadline: Duration,
        skip: usize,
        wanted: impl Fn(&[Answer]) -> bool,
    ) -> Result<Vec<Answer>> {
        let waited = wait::until(what, deadline, || {
            let running = self.child.check_running();
            let answers = self.answers().map(|all| all.get(skip..).unwrap_or_default().to_vec());
            let seen = answers.and_then(|answers| match (wanted(&answers), running) {
                (true, _) => Ok(Ok(answers)),
                (false, Ok(())) => Err(anyhow::anyhow!("not yet: {:?}", by_version(&answers))),
                (false, Err(ended)) => Ok(Err(ended)),
            });
            async move { seen }
        })
        .await;
        waited.and_then(|seen| seen).with_context(|| self.child.tail())
    }

    /// Waits until it has made all of its requests, and returns how they ended.
    ///
    /// # Errors
    /// When it has not by the deadline, or it failed: with the end of its output.
    pub async fn ended(mut self, deadline: Duration) -> Result<Vec<Answer>> {
        let status = wait::until("the client to end", deadline, || {
            let exited = self.child.exited().and_then(|status| status.context("still running"));
            async move { exited }
        })
        .await
        .with_context(|| self.child.tail())?;
        ensure!(status.success(), "{status}\n{}", self.child.tail());
        self.answers()
    }
}
