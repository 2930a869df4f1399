//! SHELL: asks proxies for their statistics whose bootstrap does not send them, at their admin interfaces.
//!
//! Owns the clock and the requests; what a page says is for [`super::exposition`], and what it adds up to for the same
//! parts that read metrics streams: the pages of a proxy, from one failure to the next, are a stream. A proxy that has a
//! metrics stream is not asked. Must not know what is judged by the numbers.
//!
//! Invariant: an admin interface has at most one question on its way.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::exposition::{PAGE, Page, Pages};
use super::server::{PolledStream, Telemetry};
use crate::http::Client;
use crate::model::World;

/// The largest page that is taken in, in bytes. That of 500 clusters has about a million.
const PAGE_LIMIT: usize = 16 << 20;
/// A proxy that does not answer is asked at least this often, unless its interval is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Asks the proxies that the specs in force name, for as long as there are specs.
pub async fn conduct(telemetry: Telemetry, mut worlds: watch::Receiver<Option<Arc<World>>>) {
    // Most fleets need none.
    let client = LazyCell::new(Client::new);
    let mut underway = BTreeMap::<(String, Duration), Underway>::new();
    loop {
        let wanted = worlds.borrow_and_update().as_deref().map(wanted).unwrap_or_default();
        underway.retain(|(admin, interval), _| wanted.get(admin) == Some(interval));
        for of in wanted {
            let (telemetry, client) = (telemetry.clone(), LazyCell::force(&client).clone());
            underway.entry(of).or_insert_with_key(|(admin, interval)| {
                let poller = Poller { telemetry, client, admin: admin.clone(), interval: *interval, stream: None };
                Underway(tokio::spawn(poller.run()).abort_handle())
            });
        }
        if worlds.changed().await.is_err() {
            return;
        }
    }
}

/// A poller that ends with this.
#[derive(Debug)]
struct Underway(AbortHandle);

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Every admin interface and how often it is asked: where several fleets name it, the shortest time counts.
fn wanted(world: &World) -> BTreeMap<String, Duration> {
    let mut wanted = BTreeMap::<String, Duration>::new();
    for poll in world.fleets.values().filter_map(|fleet| fleet.poll.as_ref()) {
        for admin in &poll.admin {
            let interval = wanted.entry(admin.clone()).or_insert(poll.interval);
            *interval = (*interval).min(poll.interval);
        }
    }
    wanted
}

/// Asks one proxy.
struct Poller {
    telemetry: Telemetry,
    client: Client,
    admin: String,
    interval: Duration,
    /// Its pages since it last failed to answer.
    stream: Option<(PolledStream, Pages)>,
}

/// `/server_info`, as far as it is used.
#[derive(Debug, Deserialize)]
struct ServerInfo {
    node: NodeInfo,
}

#[derive(Debug, Deserialize)]
struct NodeInfo {
    #[serde(default)]
    id: String,
}

impl Poller {
    async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            let asked = Instant::now();
            match self.ask().await {
                Ok(()) if failures > 0 => {
                    tracing::info!(admin = self.admin, failures, "the proxy tells its statistics again");
                    failures = 0;
                }
                Ok(()) => {}
                Err(why) => {
                    // Said once until it answers: it is asked again and again.
                    if failures == 0 {
                        let admin = &self.admin;
                        tracing::warn!(admin, why, "a proxy does not tell its statistics; it is asked again");
                    }
                    self.stream = None;
                    failures = failures.saturating_add(1);
                }
            }
            tokio::time::sleep_until(asked + wait(self.interval, failures)).await;
        }
    }

    async fn ask(&mut self) -> Result<(), String> {
        let (stream, mut pages) = match self.stream.take() {
            Some(stream) => stream,
            None => (self.telemetry.polled(&self.node().await?)?, Pages::default()),
        };
        let mut is_streaming = stream.is_counted_otherwise();
        if !is_streaming {
            let page = self.get(PAGE).await?;
            // A metrics stream may have begun meanwhile.
            is_streaming = stream.is_counted_otherwise();
            if !is_streaming {
                stream.absorb(pages.read(&Page::of(&page)))?;
            }
        }
        if is_streaming {
            pages.forget();
        }
        self.stream = Some((stream, pages));
        Ok(())
    }

    /// Who answers there.
    async fn node(&self) -> Result<String, String> {
        let page = self.get("/server_info").await?;
        let info: ServerInfo = serde_json::from_str(&page)
            .map_err(|error| format!("its /server_info is not that of an Envoy: {error}"))?;
        Ok(info.node.id)
    }

    async fn get(&self, path: &str) -> Result<String, String> {
        let url = format!("{}{path}", self.admin);
        let answer =
            self.client.fetch(Method::GET, &url, HeaderMap::new(), Bytes::new(), self.interval, PAGE_LIMIT).await?;
        if !answer.status.is_success() {
            return answer.said();
        }
        if !answer.is_whole {
            return Err(format!("its answer has more than {PAGE_LIMIT} bytes"));
        }
        String::from_utf8(answer.body).map_err(|_| "its answer is not text".to_owned())
    }
}

/// From one question to the next, after so many failures in a row.
fn wait(interval: Duration, failures: u32) -> Duration {
    let doubled = interval.saturating_mul(1 << failures.min(10));
    if failures == 0 { interval } else { doubled.min(LONGEST_WAIT.max(interval)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_is_asked_less_and_less_often() {
        let waits = [0, 1, 2, 4, 5, 40].map(|failures| wait(Duration::from_secs(1), failures).as_secs());
        assert_eq!(waits, [1, 2, 4, 16, 30, 30]);
        assert_eq!(wait(Duration::from_secs(60), 3), Duration::from_secs(60));
    }
}
