//! Calls to others: what is asked before a step is taken, and who is told of what happened.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An HTTP webhook. It is sent a JSON document by `POST`; any status of class 2xx is a yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// What it is called where people read of it.
    pub name: String,
    /// `http://` or `https://`.
    pub url: String,
    /// How long one try may take.
    pub timeout: Duration,
    /// How many times it is tried again after a failure.
    pub retries: u32,
    /// The time before the first further try; each next one waits twice as long.
    pub backoff: Duration,
    /// The name of the secret that signs the body (HMAC-SHA256), as the server's operator has named it.
    pub secret: Option<String>,
    /// Further request headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What the release does when the last try failed.
    #[serde(default)]
    pub on_failure: OnHookFailure,
}

/// What a release does when a hook says no, or cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnHookFailure {
    /// Goes back to the stable version.
    #[default]
    Revert,
    /// Waits for a person.
    Pause,
    /// Goes on all the same.
    Continue,
}

/// Somebody who is told what happens to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sink {
    /// In which form.
    pub format: SinkFormat,
    /// `http://` or `https://`.
    pub url: String,
    /// The name of the secret that signs the body, as for a [`Hook`].
    pub secret: Option<String>,
    /// Which kinds of events, as they are named in the journal (`promoted`, `reverting`, …); empty is all but
    /// measurements.
    #[serde(default)]
    pub events: Vec<String>,
}

/// The form of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SinkFormat {
    /// The event as the journal has it, in JSON.
    Webhook,
    /// `{"text": "…"}`, as Slack, Mattermost and many others take it.
    Slack,
}

/// How an endpoint shows that it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// What is asked of it.
    pub kind: ProbeKind,
    /// How many good answers in a row make it healthy, at least 1.
    pub successes: u32,
    /// The time between two probes.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long it may take to become healthy, before that counts as a failure.
    pub within: Duration,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProbeKind {
    /// `GET` of this path; a status of class 2xx is good.
    Http {
        /// With its leading slash.
        path: String,
    },
    /// The standard gRPC health service.
    Grpc {
        /// The service that is asked about; empty for the whole server.
        service: String,
    },
    /// A connection.
    Tcp,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
