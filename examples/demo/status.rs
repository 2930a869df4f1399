//! The release as the control plane tells it: `serin get checkout -w -o json`, one document for each change.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serin_testbed::process::ServerProcess;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::Instant;

/// `serin.v1.Release` in the proto3 JSON mapping, as far as the demo shows it. What is absent has its default.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Release {
    pub version: String,
    pub stable_version: String,
    pub canary_version: String,
    pub phase: Phase,
    pub message: String,
    pub steps: Vec<String>,
    pub step: u32,
    pub set_weight: f64,
    pub actual_weight: f64,
    pub proxies: u32,
    pub proxies_in_force: u32,
    pub evidence: Option<Evidence>,
}

/// `serin.v1.Phase`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Phase {
    #[default]
    #[serde(rename = "PHASE_UNSPECIFIED")]
    Unspecified,
    #[serde(rename = "PHASE_HEALTHY")]
    Healthy,
    #[serde(rename = "PHASE_PROGRESSING")]
    Progressing,
    #[serde(rename = "PHASE_PAUSED")]
    Paused,
    #[serde(rename = "PHASE_PROMOTING")]
    Promoting,
    #[serde(rename = "PHASE_REVERTING")]
    Reverting,
    #[serde(rename = "PHASE_DEGRADED")]
    Degraded,
}

impl Phase {
    /// A sign and a word, as Argo Rollouts' users know them.
    pub(crate) fn shown(self) -> (&'static str, &'static str) {
        match self {
            Phase::Unspecified => ("?", "Unknown"),
            Phase::Healthy => ("✔", "Healthy"),
            Phase::Progressing => ("◌", "Progressing"),
            Phase::Paused => ("॥", "Paused"),
            Phase::Promoting => ("◌", "Promoting"),
            Phase::Reverting => ("⚠", "Reverting"),
            Phase::Degraded => ("✖", "Degraded"),
        }
    }
}

/// `serin.v1.Evidence`, as far as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Evidence {
    pub revert_evidence: Number,
    pub revert_bound: f64,
    pub advance_evidence: Number,
    pub advance_bound: f64,
}

/// A double in proto3 JSON: not all of them are JSON numbers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Number {
    Finite(f64),
    /// `Infinity`, `NaN`.
    Word(String),
}

impl Default for Number {
    fn default() -> Self {
        Number::Finite(0.0)
    }
}

impl Number {
    pub(crate) fn value(&self) -> f64 {
        match self {
            Number::Finite(value) => *value,
            Number::Word(word) => word.parse().unwrap_or(f64::NAN),
        }
    }
}

impl Release {
    /// All traffic is on this version, everywhere, and it is what the spec wants.
    pub(crate) fn is_live(&self, version: &str) -> bool {
        let Self { version: wanted, stable_version, phase, proxies, proxies_in_force, .. } = self;
        wanted == version && stable_version == version && *phase == Phase::Healthy && proxies == proxies_in_force
    }

    /// This version was refused: wanted by the spec, and on its way out or gone.
    pub(crate) fn is_refused(&self, version: &str) -> bool {
        self.version == version && matches!(self.phase, Phase::Reverting | Phase::Degraded)
    }

    /// This version was refused, and all of `proxies` have acknowledged that it has no traffic.
    pub(crate) fn is_out(&self, version: &str, proxies: u32) -> bool {
        self.is_refused(version)
            && self.actual_weight == 0.0
            && self.set_weight == 0.0
            && self.proxies == proxies
            && self.proxies_in_force == proxies
    }

    /// What it is doing, in a few words that stay the same while it does it.
    pub(crate) fn label(&self) -> String {
        let (sign, word) = self.phase.shown();
        let step = match self.phase {
            Phase::Progressing | Phase::Paused => {
                let what = self.steps.get(self.step as usize).map_or("", String::as_str);
                format!(" step {}/{} {what}", (self.step as usize + 1).min(self.steps.len()), self.steps.len())
            }
            Phase::Unspecified | Phase::Healthy | Phase::Promoting | Phase::Reverting | Phase::Degraded => {
                String::new()
            }
        };
        format!("{sign} {:<3} {word}{step}", self.version)
    }
}

/// The stream of a release's states.
pub(crate) struct Watch {
    out: BufReader<ChildStdout>,
    buffer: Vec<u8>,
    /// Ends with this struct.
    child: Child,
}

/// The largest document that is waited for.
const MAX_DOCUMENT: usize = 4 << 20;

impl Watch {
    /// Starts the client.
    pub(crate) fn start(server: &ServerProcess) -> Result<Self> {
        let mut child = Command::from(server.client(["get", "checkout", "-w", "-o", "json"]))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start `serin get`")?;
        let out = child.stdout.take().context("its output")?;
        Ok(Self { out: BufReader::new(out), buffer: Vec::new(), child })
    }

    /// The next state, and when it was received. Safe to drop while it waits.
    pub(crate) async fn next(&mut self) -> Result<(Instant, Release)> {
        loop {
            if let Some(release) = first_document(&mut self.buffer)? {
                return Ok((Instant::now(), release));
            }
            if self.buffer.len() > MAX_DOCUMENT {
                bail!("`serin get -w` printed {} bytes that are no document", self.buffer.len());
            }
            let read = self.out.fill_buf().await.context("read `serin get`")?;
            if read.is_empty() {
                let mut said = String::new();
                if let Some(mut err) = self.child.stderr.take() {
                    err.read_to_string(&mut said).await?;
                }
                bail!("`serin get checkout -w -o json` has ended: {}", said.trim_end());
            }
            let length = read.len();
            self.buffer.extend_from_slice(read);
            self.out.consume(length);
        }
    }
}

/// Takes the first whole JSON document off the buffer: one a line, or spread over several.
fn first_document(buffer: &mut Vec<u8>) -> Result<Option<Release>> {
    let mut documents = serde_json::Deserializer::from_slice(buffer).into_iter();
    let release = match documents.next() {
        None => return Ok(None),
        Some(Err(error)) if error.is_eof() => return Ok(None),
        Some(document) => document.context("a release from `serin get`")?,
    };
    let read = documents.byte_offset();
    buffer.drain(..read);
    Ok(Some(release))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_taken_off_whatever_their_layout() {
        let mut buffer =
            b"{\"version\":\"v2\",\"phase\":\"PHASE_PROGRESSING\",\"setWeight\":5}\n{\n  \"version\": \"v3\",".to_vec();
        let first = first_document(&mut buffer).expect("JSON").expect("a whole document");
        assert_eq!((first.version.as_str(), first.phase, first.set_weight), ("v2", Phase::Progressing, 5.0));
        assert_eq!(first_document(&mut buffer).expect("the beginning of one"), None);
        buffer.extend(b"\"evidence\": {\"revertEvidence\": \"Infinity\", \"canaryRequests\": \"12\"}\n}\n");
        let second = first_document(&mut buffer).expect("JSON").expect("a whole document");
        assert_eq!(second.evidence.expect("evidence").revert_evidence.value(), f64::INFINITY);
        assert_eq!(first_document(&mut buffer).expect("only white space"), None);
        assert!(first_document(&mut b"oops".to_vec()).is_err());
        assert!(first_document(&mut b"{\"phase\":\"PHASE_NEW\"}".to_vec()).is_err(), "an unknown phase is not guessed");
    }

    #[test]
    fn out_means_acknowledged_by_all() {
        let out = Release {
            version: "v3".into(),
            phase: Phase::Reverting,
            proxies: 4,
            proxies_in_force: 4,
            ..Release::default()
        };
        assert!(out.is_out("v3", 4));
        assert!(!out.is_out("v2", 4) && !out.is_out("v3", 5));
        for other in [
            Release { proxies_in_force: 3, ..out.clone() },
            Release { actual_weight: 5.0, ..out.clone() },
            Release { phase: Phase::Progressing, ..out.clone() },
        ] {
            assert!(!other.is_out("v3", 4), "{other:?}");
        }
    }
}
