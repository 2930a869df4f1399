//! A process of the benchmark, as its driver sees it. Killed by its id when dropped, and waited for; one whose driver is
//! killed ends by itself, because its standard input is closed.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::talk::{Asked, Round, Said, Used};

/// How long an answer may take: connecting ten thousand clients on a loaded machine takes tens of seconds.
const PATIENCE: Duration = Duration::from_secs(90);
/// A process is quiet when it used less than a hundredth of this time.
const QUIET: Duration = Duration::from_millis(50);
/// How often that is looked at, at most.
const LOOKS: usize = 200;

/// A running process and its streams.
#[derive(Debug)]
pub(super) struct Peer {
    name: &'static str,
    child: Child,
    /// Until it is asked to end.
    questions: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// Starts it.
    pub(super) fn spawn(name: &'static str, program: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start the {name}: {}", program.display()))?;
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("its standard output")?).lines();
        Ok(Self { name, child, questions, answers })
    }

    pub(super) async fn ask(&mut self, asked: Asked) -> Result<()> {
        let questions = self.questions.as_mut().context("its standard input")?;
        let asking = questions.write_all(format!("{asked}\n").as_bytes()).await;
        asking.with_context(|| format!("the {} has ended", self.name))
    }

    pub(super) async fn hear(&mut self) -> Result<Said> {
        let name = self.name;
        let line = timeout(PATIENCE, self.answers.next_line())
            .await
            .with_context(|| format!("the {name} said nothing for {PATIENCE:?}"))??
            .with_context(|| format!("the {name} has ended"))?;
        serde_json::from_str(&line).with_context(|| format!("the {name} said {line}"))
    }

    /// The end of a push that this process's clients read.
    pub(super) async fn round(&mut self) -> Result<Round> {
        match self.hear().await? {
            Said::Round(round) => Ok(round),
            other => bail!("the {} said {other:?} instead of a round", self.name),
        }
    }

    /// What it has used so far.
    pub(super) async fn used(&mut self) -> Result<Used> {
        self.ask(Asked::Usage).await?;
        match self.hear().await? {
            Said::Usage(used) => Ok(used),
            other => bail!("the {} said {other:?} instead of its usage", self.name),
        }
    }

    /// What it has used so far, once it has nothing more to do.
    pub(super) async fn settled(&mut self) -> Result<Used> {
        let mut before = self.used().await?;
        for _ in 0..LOOKS {
            sleep(QUIET).await;
            let now = self.used().await?;
            if now.processor - before.processor < QUIET / 100 {
                return Ok(now);
            }
            before = now;
        }
        bail!("the {} is still busy after {:?}", self.name, QUIET * LOOKS as u32)
    }

    /// Asks it to end by closing its standard input, and waits for that.
    pub(super) async fn end(mut self) -> Result<()> {
        self.questions = None;
        let (name, ended) = (self.name, timeout(PATIENCE, self.child.wait()).await);
        let status = ended.with_context(|| format!("the {name} does not end"))??;
        if status.success() { Ok(()) } else { bail!("the {name} failed: {status}") }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Fails only when it has ended before.
        let _ = self.child.start_kill();
        // A killed process is gone at once; if not, the system sees to it after this one.
        for _ in 0..LOOKS {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
