//! A process that ends with its owner. Owns exactly one process id: it never looks for others, and never signals one
//! that it has already waited for. When its owner panics, the end of the process's log is printed.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, kill_process};
use tokio::time::{Instant, sleep};

pub use rustix::process::Signal;

/// How much of a log is shown when something goes wrong.
const TAIL_LINES: usize = 60;

/// A running (or ended) process with its log.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts `command` without standard input; what it prints is appended to the file `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn spawn(name: impl Into<String>, command: &mut Command, log: PathBuf) -> Result<Self> {
        let name = name.into();
        let out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open the log {}", log.display()))?;
        let err: File = out.try_clone().context("share the log")?;
        let process = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("start {name}: {}", command.get_program().to_string_lossy()))?;
        Ok(Self { name, process, log })
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// All that it has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines of its output, for an error message.
    pub fn tail(&self) -> String {
        tail(&format!("{} (pid {})", self.name, self.id()), &self.output())
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// Fails, with the end of its log, when the process has ended: a wait for it to be ready can stop at once.
    ///
    /// # Errors
    /// When it has ended.
    pub fn check_running(&mut self) -> Result<()> {
        match self.exited()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended: {status}\n{}", self.name, self.tail()),
        }
    }

    /// Sends a signal. Nothing happens when it has already ended.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        // A process that was waited for has given its id back: the id may be another's by now.
        if self.exited()?.is_some() {
            return Ok(());
        }
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(id, signal).with_context(|| format!("signal {}", self.name))
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        // Both fail only when it has ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Asks it to end (SIGTERM), and waits for that.
    ///
    /// # Errors
    /// When it has not ended by the deadline; then it is killed.
    pub async fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let end = Instant::now() + deadline;
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if Instant::now() >= end {
                self.kill();
                bail!("{} did not end within {deadline:?} of SIGTERM\n{}", self.name, self.tail());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The last lines of a log, marked as such.
pub(crate) fn tail(name: &str, log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    format!("--- end of the log of {name} ---\n{}\n---", lines[from..].join("\n"))
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.tail());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait;

    fn shell(script: &str, dir: &Path) -> Child {
        Child::spawn("a shell", Command::new("sh").args(["-c", script]), dir.join("log")).expect("sh starts")
    }

    /// A shell that does this when asked to end.
    async fn trapping(what: &str, dir: &Path) -> Child {
        let child = shell(&format!("trap '{what}' TERM; echo up; while :; do sleep 0.01; done"), dir);
        wait::until("its trap", Duration::from_secs(60), || async {
            anyhow::ensure!(child.output().contains("up"), "not yet");
            Ok(())
        })
        .await
        .expect("it comes up");
        std::fs::remove_file(child.log()).expect("the next one starts with an empty log");
        child
    }

    #[tokio::test]
    async fn a_dropped_process_is_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let child = shell("exec sleep 1000", dir.path());
        let proc = PathBuf::from(format!("/proc/{}", child.id()));
        assert!(proc.exists());
        drop(child);
        assert!(!proc.exists(), "killed and waited for");
    }

    #[tokio::test]
    async fn an_early_end_is_told_with_the_log() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = shell("echo no such port; exit 3", dir.path());
        let text = wait::until("the end", Duration::from_secs(60), || {
            let seen = child.check_running().err().context("still running");
            async move { seen }
        })
        .await
        .expect("it ends")
        .to_string();
        assert!(text.contains("exit status: 3") && text.contains("no such port"), "{text}");
        child.signal(Signal::TERM).expect("nothing to do");
    }

    #[tokio::test]
    async fn termination_is_asked_for_then_forced() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut willing = trapping("exit 7", dir.path()).await;
        let status = willing.terminate(Duration::from_secs(60)).await.expect("it ends");
        assert_eq!(status.code(), Some(7));

        let mut deaf = trapping("", dir.path()).await;
        assert!(deaf.terminate(Duration::from_millis(50)).await.is_err());
        assert!(deaf.exited().expect("known").is_some(), "killed in the end");
    }
}
