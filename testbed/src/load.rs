//! An open-loop load: requests start on schedule, whether or not earlier ones were answered, and their latency counts
//! from the scheduled time. A server that stalls is so seen to stall (no coordinated omission).
//!
//! Bounded everywhere: requests in flight, connections' use, and the channel of records. What would exceed the bound
//! is not sent but counted as *overload*; nothing is dropped silently.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

mod callers;
mod counted;
mod latency;
mod pool;
mod seen;
mod summary;

pub use counted::CountedLoad;
pub use latency::Latencies;
pub use seen::Seen;
pub use summary::{Summary, VersionSummary};

use callers::Callers;

use crate::usage::allow_most_connections;

/// How many records may wait for their collector. A full channel keeps requests in flight, and so becomes overload.
const RECORDS: usize = 16_384;

/// What load to make.
#[derive(Debug, Clone)]
pub struct LoadConfig {
    /// Where the requests go, in turn.
    pub targets: Vec<SocketAddr>,
    /// Requests per second, over all targets.
    pub rate: f64,
    /// The `Host` header: in turn, where there are several.
    pub hosts: Vec<String>,
    /// The path.
    pub path: String,
    /// How many keep-alive connections to spread each target's requests over. More are opened when all are busy.
    pub connections: usize,
    /// How many requests may be unanswered at a time.
    pub max_in_flight: usize,
    /// How long an answer may take, from when the request was sent, before it counts as failed.
    pub timeout: Duration,
    /// Further headers of every request.
    pub headers: Vec<(String, String)>,
    /// Whose the requests are; nobody's when absent.
    pub users: Option<Population>,
    /// The local addresses that the connections come from, in turn; a user always comes from the same. The system chooses
    /// when empty.
    pub sources: Vec<IpAddr>,
}

/// The users whose requests they are, one after the other. A user is a number from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Population {
    /// How many.
    pub count: u32,
    /// The cookie that bears the user's number.
    pub cookie: Option<String>,
    /// The header that bears the user's number.
    pub header: Option<String>,
    /// Whether users keep the cookies that answers issue, and send them from then on.
    pub keep_cookies: bool,
}

impl Population {
    /// This many users, with the cookie `uid` and the header `x-user-id`.
    pub fn of(count: u32) -> Self {
        Self { count, cookie: Some("uid".into()), header: Some("x-user-id".into()), keep_cookies: false }
    }

    /// This many users who bear nothing but what is issued to them.
    pub fn unknown(count: u32) -> Self {
        Self { count, cookie: None, header: None, keep_cookies: true }
    }
}

impl LoadConfig {
    /// A load over some targets, with what suits a test for the rest: `/`, 16 connections to each target, 2,000
    /// requests in flight, 5 s to answer.
    pub fn new(targets: Vec<SocketAddr>, rate: f64, host: impl Into<String>) -> Self {
        Self {
            targets,
            rate,
            hosts: vec![host.into()],
            path: "/".into(),
            connections: 16,
            max_in_flight: 2_000,
            timeout: Duration::from_secs(5),
            headers: Vec::new(),
            users: None,
            sources: Vec::new(),
        }
    }
}

/// One request that was sent, and what became of it.
#[derive(Debug, Clone)]
pub struct Record {
    /// When it was to be sent.
    pub scheduled: Instant,
    /// When its answer was whole, or it failed.
    pub finished: Instant,
    /// The target's index.
    pub target: usize,
    /// Whose it was.
    pub user: Option<u32>,
    /// What came of it.
    pub outcome: Outcome,
}

impl Record {
    /// From the scheduled time to the end.
    pub fn latency(&self) -> Duration {
        self.finished.duration_since(self.scheduled)
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There was an answer.
    Answered {
        /// Its status code.
        status: u16,
        /// The version that says it answered; `None` when a proxy answered by itself.
        version: Option<String>,
        /// What the proxy then said (the beginning of it).
        said: Option<String>,
    },
    /// There was none, and why.
    Failed(String),
}

impl Outcome {
    /// Whether the caller would call it a failure: a 5xx, or no answer.
    pub fn is_failure(&self) -> bool {
        match self {
            Outcome::Answered { status, .. } => *status >= 500,
            Outcome::Failed(_) => true,
        }
    }

    /// The version that answered, as far as known.
    pub fn version(&self) -> Option<&str> {
        match self {
            Outcome::Answered { version, .. } => version.as_deref(),
            Outcome::Failed(_) => None,
        }
    }
}

/// A running load. It ends when it is dropped.
#[derive(Debug)]
pub struct Load {
    rate: f64,
    records: mpsc::Receiver<Record>,
    control: LoadControl,
    scheduler: JoinHandle<()>,
}

/// Steers a load while another task collects its records.
#[derive(Debug, Clone)]
pub struct LoadControl {
    /// The number of the request before which it stops.
    stop: Arc<watch::Sender<u64>>,
    overload: Arc<AtomicU64>,
    in_flight: Arc<Semaphore>,
    max_in_flight: usize,
}

impl LoadControl {
    /// Schedules no more requests; those in flight end, and then the records.
    pub fn stop(&self) {
        self.stop.send_replace(0);
    }

    /// How many scheduled requests were not sent because too many were unanswered.
    pub fn overload(&self) -> u64 {
        self.overload.load(Ordering::Relaxed)
    }

    /// How many requests are unanswered now.
    pub fn in_flight(&self) -> usize {
        self.max_in_flight.saturating_sub(self.in_flight.available_permits())
    }
}

impl Load {
    /// Starts on the current tokio runtime; the first request is due at once. Without targets or rate it sends nothing.
    pub fn start(config: LoadConfig) -> Self {
        let (sender, records) = mpsc::channel(RECORDS);
        let (stop, stopped) = watch::channel(u64::MAX);
        let control = LoadControl {
            stop: Arc::new(stop),
            overload: Arc::new(AtomicU64::new(0)),
            in_flight: Arc::new(Semaphore::new(config.max_in_flight)),
            max_in_flight: config.max_in_flight,
        };
        // Where it is not allowed, the requests say so that have no connection.
        let _ = allow_most_connections();
        let rate = config.rate;
        let scheduler = tokio::spawn(schedule(config, sender, control.clone(), stopped));
        Self { rate, records, control, scheduler }
    }

    /// The next record; `None` when the load was stopped and all requests have ended.
    pub async fn next(&mut self) -> Option<Record> {
        self.records.recv().await
    }

    /// A handle to steer it with from elsewhere.
    pub fn control(&self) -> LoadControl {
        self.control.clone()
    }

    /// Adds up the records as they come.
    pub fn counted(self) -> CountedLoad {
        CountedLoad::new(self)
    }

    /// Stops, waits for the requests in flight, and adds the remaining records to `summary`.
    pub async fn finish(self, summary: &mut Summary) {
        self.control.stop();
        self.collect(summary).await;
    }

    /// Sends what is due in a length of time from the start, however long that takes on a machine that has much to do, and
    /// collects everything: a whole measurement in one call.
    pub async fn run_for(self, time: Duration) -> Summary {
        let mut summary = Summary::default();
        self.control.stop.send_replace((self.rate * time.as_secs_f64()).ceil() as u64);
        self.collect(&mut summary).await;
        summary
    }

    async fn collect(mut self, summary: &mut Summary) {
        while let Some(record) = self.next().await {
            summary.add(&record);
        }
        summary.overload = self.control.overload();
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.scheduler.abort();
    }
}

/// When the `number`-th request is due, in time since the start.
fn due(rate: f64, number: u64) -> Duration {
    Duration::try_from_secs_f64(number as f64 / rate).unwrap_or(Duration::MAX)
}

async fn schedule(
    config: LoadConfig,
    records: mpsc::Sender<Record>,
    control: LoadControl,
    mut stopped: watch::Receiver<u64>,
) {
    if config.targets.is_empty() || config.rate.is_nan() || config.rate <= 0.0 {
        return;
    }
    let callers = Arc::new(Callers::new(&config));
    let start = Instant::now();
    for number in 0u64.. {
        let Some(scheduled) = start.checked_add(due(config.rate, number)) else { return };
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop <= number) => return,
            () = sleep_until(scheduled) => {}
        }
        let Ok(permit) = control.in_flight.clone().try_acquire_owned() else {
            control.overload.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let caller = callers.caller(number);
        let (callers, records, limit) = (callers.clone(), records.clone(), config.timeout);
        tokio::spawn(async move {
            let outcome = match timeout(limit, callers::send(callers, &caller)).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::Failed(format!("no answer within {limit:?}")),
            };
            let (target, user) = (caller.target, caller.user);
            // A collector that is gone wants no records. One that is slow keeps the permit here.
            let _ = records.send(Record { scheduled, finished: Instant::now(), target, user, outcome }).await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests;
