//! What the processes of the benchmark say to each other: questions as words on the standard input, answers as JSON lines
//! on the standard output.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::usage;

/// What a process is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Push about this many bytes to every stream; answered with [`Said::Pushed`].
    Publish(usize),
    /// The clients that are to stall stop reading; answered with [`Said::Stalled`].
    Stall,
    /// Answered with [`Said::Usage`].
    Usage,
}

/// What a process answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The server takes connections here.
    Listening(SocketAddr),
    /// The moment at which the push began ([`usage::monotonic`], in nanoseconds).
    Pushed(u64),
    /// Every client that is to stall has stopped reading.
    Stalled,
    /// What the process has used so far.
    Usage(Used),
    /// Every client that reads has all of a push.
    Round(Round),
}

/// What a process has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Processor time of all its threads.
    pub processor: Duration,
    /// Resident memory in bytes.
    pub resident: u64,
}

/// When a push had arrived: moments of [`usage::monotonic`], in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// At half of the clients.
    pub median: u64,
    /// At 99 of 100 clients.
    pub p99: u64,
    /// At the last client.
    pub last: u64,
    /// How long the message was, in bytes.
    pub bytes: usize,
}

impl Said {
    /// What this process has used so far.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn usage() -> Result<Self> {
        Ok(Self::Usage(Used { processor: usage::processor_time(), resident: usage::resident()? }))
    }

    /// A push that begins now.
    pub fn pushed_now() -> Self {
        Self::Pushed(u64::try_from(usage::monotonic().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Prints it.
    pub fn say(&self) {
        println!("{}", serde_json::to_string(self).expect("numbers and an address are JSON"));
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish(bytes) => write!(f, "publish {bytes}"),
            Self::Stall => f.write_str("stall"),
            Self::Usage => f.write_str("usage"),
        }
    }
}

impl FromStr for Asked {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        match line.split_once(' ') {
            Some(("publish", bytes)) => Ok(Self::Publish(bytes.parse().context("publish BYTES")?)),
            None if line == "stall" => Ok(Self::Stall),
            None if line == "usage" => Ok(Self::Usage),
            _ => bail!("`{line}` is not `publish BYTES`, `stall` or `usage`"),
        }
    }
}

/// What this process is asked on its standard input. Ends when that is closed: nobody is left to ask.
pub fn questions() -> mpsc::Receiver<Result<Asked>> {
    let (sender, receiver) = mpsc::channel(1);
    // A thread of its own, because reading the standard input blocks. It ends with the process.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let asked = line.map_err(Into::into).and_then(|line| line.trim().parse());
            if sender.blocking_send(asked).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_come_back_as_they_were() {
        for asked in [Asked::Publish(2_000), Asked::Stall, Asked::Usage] {
            assert_eq!(asked.to_string().parse::<Asked>().expect("a question"), asked);
        }
        for line in ["", "publish", "publish much", "usage now"] {
            assert!(line.parse::<Asked>().is_err(), "{line}");
        }
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let round = Round { median: 1, p99: 2, last: 3, bytes: 4 };
        for said in [Said::Listening(address), Said::pushed_now(), Said::Stalled, Said::Round(round)] {
            let line = serde_json::to_string(&said).expect("JSON");
            assert_eq!(serde_json::from_str::<Said>(&line).expect("an answer"), said, "{line}");
        }
        assert!(matches!(Said::usage(), Ok(Said::Usage(Used { resident: 1.., .. }))));
    }
}
