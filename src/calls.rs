//! SHELL: asks outside what a rollout wants asked: calls hooks, probes endpoints.
//!
//! Owns which calls are on their way. Must not decide anything: whether it is
//! tried again, and what an answer means, is for the pure machine of [`crate::rollout`].
//!
//! Invariants: a call is made once as long as it is wanted; one that is no longer wanted is broken off.

mod probe;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::http::{Client, Post, Secrets, Tally};
use crate::model::Hook;
use crate::rollout::{About, Answer, Call, Question};

/// Makes calls, each in a task of its own.
#[derive(Debug)]
pub struct Caller {
    outside: Outside,
    answers: mpsc::Sender<(String, Answer)>,
    /// By release, key and number of the try; also those that are answered, so that they are not made again.
    underway: BTreeMap<(String, String, u32), Underway>,
}

/// What all calls are made with.
#[derive(Debug, Clone)]
struct Outside {
    client: Client,
    secrets: Arc<Secrets>,
    hooks: Tally,
}

/// A call that ends with this.
#[derive(Debug)]
struct Underway(AbortHandle);

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Caller {
    /// One that calls nobody yet. Answers come with the name of the release that they are for.
    pub fn new(secrets: Arc<Secrets>, answers: mpsc::Sender<(String, Answer)>) -> Self {
        let outside = Outside { client: Client::new(), secrets, hooks: Tally::default() };
        Self { outside, answers, underway: BTreeMap::new() }
    }

    /// How many tries of hooks came to what.
    pub fn hooks(&self) -> Tally {
        self.outside.hooks.clone()
    }

    /// Sees to it that exactly the wanted calls, each with the name of its release, are on their way or answered: makes
    /// those that are new, drops those that are no longer wanted. Must be called within a runtime.
    pub fn conduct(&mut self, wanted: impl IntoIterator<Item = (String, Call)>) {
        let mut before = std::mem::take(&mut self.underway);
        for (release, call) in wanted {
            let id = (release, call.key.clone(), call.attempt);
            // It may be named twice.
            if self.underway.contains_key(&id) {
                continue;
            }
            let underway = before.remove(&id).unwrap_or_else(|| self.start(id.0.clone(), call));
            self.underway.insert(id, underway);
        }
    }

    fn start(&self, release: String, call: Call) -> Underway {
        let (outside, answers) = (self.outside.clone(), self.answers.clone());
        let task = tokio::spawn(async move {
            let Call { key, attempt, question } = call;
            let outcome = match question {
                Question::Hook { hook, about } => outside.call(&hook, &about, &key, attempt).await,
                Question::Probe { probe, address } => probe::conduct(&outside.client, &probe, address).await,
            };
            tracing::debug!(release, key, attempt, ?outcome, "called");
            // Whoever wanted to know may be gone: then the server stops.
            let _ = answers.send((release, Answer { key, attempt, outcome })).await;
        });
        Underway(task.abort_handle())
    }
}

impl Outside {
    async fn call(&self, hook: &Hook, about: &About, key: &str, attempt: u32) -> Result<String, String> {
        let Hook { url, headers, secret, timeout, .. } = hook;
        let body = serde_json::to_vec(about).map_err(|error| error.to_string())?.into();
        let post = Post { url, headers, key, attempt, secret: secret.as_deref(), body, timeout: *timeout };
        let outcome = post.send(&self.client, &self.secrets).await;
        self.hooks.count(&outcome);
        outcome
    }
}
