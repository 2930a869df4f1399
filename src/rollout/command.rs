//! What a person may ask of a release.

use serde::{Deserialize, Serialize};

/// A person's order to one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Command {
    /// Go on: ends the pause or analysis of the present step, or all of them when `full`.
    Promote {
        /// Skip all remaining steps.
        full: bool,
    },
    /// Hold. Failing evidence still reverts.
    Pause,
    /// Go on after a hold.
    Resume,
    /// Back to the stable version, from any state.
    Abort {
        /// Why, for the journal.
        reason: String,
    },
    /// Back to a version that was stable before, from rest; from a rollout to its stable version.
    Undo {
        /// Which; the newest of them when absent.
        to: Option<String>,
    },
    /// Try a reverted version again.
    Retry,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no such release.
    #[error("there is no release named {0}")]
    NotFound(String),
    /// It makes no sense in the release's present state; the text says why and what would.
    #[error("{0}")]
    Refused(String),
    /// It could not be recorded, so it was not done.
    #[error("the store cannot record it, so nothing was done: {0}")]
    Store(String),
    /// The engine has stopped.
    #[error("the server is shutting down")]
    Stopped,
}

impl Command {
    /// The order in words.
    pub fn describe(&self) -> String {
        match self {
            Command::Promote { full: false } => "promote".into(),
            Command::Promote { full: true } => "promote to 100%".into(),
            Command::Pause => "pause".into(),
            Command::Resume => "resume".into(),
            Command::Abort { reason } if reason.is_empty() => "abort".into(),
            Command::Abort { reason } => format!("abort ({reason})"),
            Command::Undo { to: None } => "undo".into(),
            Command::Undo { to: Some(to) } => format!("undo to {to}"),
            Command::Retry => "retry".into(),
        }
    }
}
