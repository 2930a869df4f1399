//! SHELL: asks others for the numbers that a rollout wants measured, at their interval.
//!
//! PURE: `prometheus` and `webhook`, which know how each is asked and what an answer comes to. Must not decide anything:
//! what a number means, and how often it may fail to be measured, is for [`crate::analysis`].
//!
//! Invariants: a metric is asked as long as it is wanted, and not twice at the same time; a slow one puts off its next
//! measurement; one that is no longer wanted is broken off.

mod prometheus;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::analysis::Outcome;
use crate::http::{Client, Page, Post, Secrets, Tally};
use crate::model::MetricSource;
use crate::rollout::{MeasureAbout, MeasureRequest, Measured};

/// How many requests may be on their way at once. Others wait their turn.
const AT_ONCE: usize = 64;
/// How many measurements may wait to be taken.
const WAITING: usize = 256;
/// An interval of nothing would ask without end.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
/// How much of an answer is read: one number needs less, and what is longer is no answer to it.
const LONGEST_ANSWER: usize = 1 << 20;

/// Measures, each metric in a task of its own.
#[derive(Debug)]
pub struct Measurer {
    outside: Outside,
    measured: mpsc::Sender<Measured>,
    /// By key.
    underway: BTreeMap<String, Underway>,
}

/// What all are asked with.
#[derive(Debug, Clone)]
struct Outside {
    client: Client,
    secrets: Arc<Secrets>,
    /// The server of metrics that name none.
    prometheus: Option<String>,
    turns: Arc<Semaphore>,
    tally: Tally,
}

/// Measurements that end with this.
#[derive(Debug)]
struct Underway {
    request: MeasureRequest,
    task: AbortHandle,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Measurer {
    /// One that measures nothing yet, and what it will measure. Whoever measures waits while nobody takes that.
    ///
    /// `prometheus` is the server of metrics that name none.
    pub fn new(secrets: Arc<Secrets>, prometheus: Option<String>) -> (Self, mpsc::Receiver<Measured>) {
        let (sender, measured) = mpsc::channel(WAITING);
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let outside = Outside { client: Client::new(), secrets, prometheus, turns, tally: Tally::default() };
        (Self { outside, measured: sender, underway: BTreeMap::new() }, measured)
    }

    /// How many measurements were made, and how many could not be.
    pub fn tally(&self) -> Tally {
        self.outside.tally.clone()
    }

    /// Sees to it that exactly these are measured: those that go on go on, those that are new begin at once. Must be
    /// called within a runtime.
    pub fn conduct(&mut self, wanted: impl IntoIterator<Item = MeasureRequest>) {
        let mut before = std::mem::take(&mut self.underway);
        for request in wanted {
            let same = before.remove(&request.key).filter(|underway| underway.request == request);
            let underway = same.unwrap_or_else(|| self.start(request));
            self.underway.insert(underway.request.key.clone(), underway);
        }
    }

    fn start(&self, request: MeasureRequest) -> Underway {
        let (outside, measured, asked) = (self.outside.clone(), self.measured.clone(), request.clone());
        let task = tokio::spawn(async move {
            let mut times = interval(asked.interval.max(SHORTEST_INTERVAL));
            times.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut fails = false;
            loop {
                times.tick().await;
                let outcome = outside.measure(&asked).await;
                tracing::debug!(key = asked.key, ?outcome, "measured");
                tell_outage(&mut fails, &asked.about, &outcome);
                // Whoever wanted to know may be gone: then the server stops.
                if measured.send(Measured { request: asked.clone(), outcome }).await.is_err() {
                    return;
                }
            }
        });
        Underway { request, task: task.abort_handle() }
    }
}

impl Outside {
    async fn measure(&self, request: &MeasureRequest) -> Outcome {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let outcome = self.ask(request).await;
        self.tally.count(&outcome);
        outcome.unwrap_or_else(Outcome::Error)
    }

    /// One measurement; an error in words where none could be made.
    async fn ask(&self, request: &MeasureRequest) -> Result<Outcome, String> {
        let outcome = match &request.source {
            MetricSource::Prometheus { address, query, secret } => {
                let own = address.as_ref().or(self.prometheus.as_ref());
                let address = own
                    .ok_or("no Prometheus is known: give the metric an `address`, or `serin serve --prometheus URL`")?;
                let page = self.query(request, address, query, secret.as_deref()).await?;
                let said = prometheus::outcome(&page.body);
                match said.filter(|said| page.status.is_success() || matches!(said, Outcome::Error(_))) {
                    Some(outcome) => outcome,
                    // Whatever stands before it may have answered: a proxy, or a login page.
                    None => {
                        let said = page.said()?;
                        return Err(format!("the answer is not one of Prometheus's query API: {said}"));
                    }
                }
            }
            MetricSource::Webhook { url, path, secret } => {
                let page = self.post(request, url, secret.as_deref()).await?;
                page.said()?;
                if page.status == StatusCode::NO_CONTENT {
                    Outcome::Nothing
                } else {
                    webhook::outcome(&page.body, path)
                }
            }
        };
        match outcome {
            Outcome::Error(why) => Err(why),
            made => Ok(made),
        }
    }

    async fn query(
        &self,
        request: &MeasureRequest,
        address: &str,
        query: &str,
        secret: Option<&str>,
    ) -> Result<Page, String> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(name) = secret {
            let secret = self.secrets.get(name).await.map_err(|error| error.to_string())?;
            let mut value = HeaderValue::from_bytes(&secret)
                .map_err(|_| format!("secret {name} cannot be sent as Authorization: it has more than one line"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let url = prometheus::url(address, query, request.timeout);
        let body = bytes::Bytes::new();
        whole(self.client.fetch(Method::GET, &url, headers, body, request.timeout, LONGEST_ANSWER).await?)
    }

    async fn post(&self, request: &MeasureRequest, url: &str, secret: Option<&str>) -> Result<Page, String> {
        let body = serde_json::to_vec(&request.about).map_err(|error| error.to_string())?.into();
        // Each measurement is another: who knows the key must not give an earlier answer again.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let key = format!("{}/{now}", request.key);
        let headers = BTreeMap::new();
        let post = Post { url, headers: &headers, key: &key, attempt: 1, secret, body, timeout: request.timeout };
        whole(post.fetch(&self.client, &self.secrets, LONGEST_ANSWER).await?)
    }
}

/// Tells that a metric is not measured, and that it is again: once for each outage, and not at each interval.
fn tell_outage(fails: &mut bool, about: &MeasureAbout, outcome: &Outcome) {
    let MeasureAbout { release, canary, metric, .. } = about;
    match outcome {
        Outcome::Error(why) if !*fails => tracing::warn!(%release, %canary, "metric {metric} is not measured: {why}"),
        Outcome::Value(_) | Outcome::Nothing if *fails => {
            tracing::info!(%release, %canary, "metric {metric} is measured again");
        }
        Outcome::Error(_) | Outcome::Value(_) | Outcome::Nothing => {}
    }
    *fails = matches!(outcome, Outcome::Error(_));
}

/// An answer that was read to its end.
fn whole(page: Page) -> Result<Page, String> {
    let limit = LONGEST_ANSWER >> 20;
    if page.is_whole {
        Ok(page)
    } else {
        Err(format!("the answer is longer than {limit} MiB: it should be one number"))
    }
}
