//! SHELL: the gRPC services that proxies report to.
//!
//! Owns the streams, the clock and the table of proxies; what the messages mean is decided in the pure modules. Passes
//! each [`NodeReport`] to a bounded channel; when that is full the report is dropped and counted, because evidence that
//! comes late is worth less than a server that waits.
//!
//! Load reports are counted only of proxies that have no metrics stream and are not asked for their statistics: all count
//! the same requests. What they say of each endpoint is taken of all.
//!
//! Invariant: no guard of the table is held across an `.await`.

mod streams;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tonic::Status;

use super::channel::{Channel, LastReport, LoadsHeard};
use super::focus::Focus;
use super::load::Loads;
use super::proxy::FORGET_AFTER;
use super::report::NodeReport;
use super::sample::Reading;
use super::table::{Table, TooMany};
use super::tally::Tally;
use super::wire::{ClusterLoad, Malformed};

/// The longest node id, in bytes.
const NODE_ID_LIMIT: usize = 1024;
/// The least time between two sweeps of the table, and between two lines about dropped reports.
const MINUTE: Duration = Duration::from_secs(60);

/// Receives the proxies' reports. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sink: mpsc::Sender<NodeReport>,
    focus: Focus,
    /// Those with metrics streams.
    streaming: Table,
    /// Those that are asked for their statistics.
    polled: Table,
    /// Those that send load reports, also beside the others.
    loading: LoadsHeard,
    tally: Tally,
    next_stream: AtomicU64,
    load_interval: Duration,
    dropped: AtomicU64,
    drop_told: Mutex<Option<Instant>>,
    swept: Mutex<Option<Instant>>,
    closing: watch::Sender<bool>,
}

impl Telemetry {
    /// Gives the reports to `sink`, and asks for load reports every second.
    pub fn new(sink: mpsc::Sender<NodeReport>) -> Self {
        Self::with_load_interval(sink, Duration::from_secs(1))
    }

    /// Gives the reports to `sink`, and asks for load reports at this interval.
    pub fn with_load_interval(sink: mpsc::Sender<NodeReport>, load_interval: Duration) -> Self {
        let focus = Focus::default();
        let shared = Shared {
            sink,
            streaming: Table::new(focus.clone()),
            polled: Table::new(focus.clone()),
            focus,
            loading: LoadsHeard::default(),
            tally: Tally::default(),
            next_stream: AtomicU64::new(1),
            load_interval,
            dropped: AtomicU64::new(0),
            drop_told: Mutex::new(None),
            swept: Mutex::new(None),
            closing: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Says which clusters are to be reported proxy by proxy, and has the sum of the rest.
    pub fn focus(&self) -> Focus {
        self.shared.focus.clone()
    }

    /// How many reports were dropped since the start because their receiver did not keep up.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// How many requests a proxy (by node id) has reported as failed so far, as [`NodeReport`] counts them. It begins anew
    /// when none has failed for ten minutes.
    pub fn errors(&self, node: &str) -> u64 {
        self.shared.tally.of(node)
    }

    /// How a proxy's requests (by node id) are counted, and when the last report of them came; none when nothing has come
    /// for ten minutes.
    pub fn last_report(&self, node: &str) -> Option<LastReport> {
        let (shared, now) = (&self.shared, now());
        let of = |channel, at: Instant| LastReport { channel, ago: now.saturating_duration_since(at) };
        let streamed = || shared.streaming.heard(node, now).map(|at| of(Channel::Metrics, at));
        let polled = || shared.polled.heard(node, now).map(|at| of(Channel::Polled, at));
        let loads = || shared.loading.of(node, now).map(|at| of(Channel::Loads, at));
        streamed().or_else(polled).or_else(loads)
    }

    /// Ends all streams, now and from now on: a server's graceful shutdown waits for them.
    pub fn close(&self) {
        self.shared.closing.send_replace(true);
    }
}

impl Shared {
    fn deliver(&self, report: NodeReport) {
        self.tally.add(&report);
        if self.sink.try_send(report).is_ok() {
            return;
        }
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if !self.sink.is_closed() && once_a_minute(&self.drop_told, now()) {
            tracing::warn!(dropped, "reports of proxies are dropped: their receiver does not keep up");
        }
    }

    /// Forgets the proxies that have long been silent.
    fn sweep(&self) {
        let now = now();
        if once_a_minute(&self.swept, now) {
            self.streaming.sweep(now);
            self.polled.sweep(now);
            self.loading.sweep(now);
            self.tally.forget(now, FORGET_AFTER);
        }
    }

    fn absorb(&self, node: &Arc<str>, stream: u64, reading: Reading<'_>) -> Result<(), TooMany> {
        let (report, taken_over) = self.streaming.absorb(node, stream, reading, now())?;
        if taken_over {
            tracing::warn!(%node, "a second metrics stream reports for this node; only the newer one is counted");
        }
        self.deliver_some(report);
        Ok(())
    }

    fn deliver_some(&self, report: Option<NodeReport>) {
        if let Some(report) = report {
            self.deliver(report);
        }
    }

    fn absorb_load(&self, node: &Arc<str>, clusters: &[ClusterLoad<'_>], loads: &mut Loads) -> Result<(), Malformed> {
        let now = now();
        self.loading.note(node, now);
        let is_counted = self.streaming.counts(node, now) || self.polled.counts(node, now);
        let report = match is_counted {
            true => loads.partial(node, clusters, now),
            false => loads.counts(node, clusters, now),
        };
        self.deliver_some(report?);
        Ok(())
    }
}

/// Virtual in tests that pause it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn once_a_minute(last: &Mutex<Option<Instant>>, now: Instant) -> bool {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let due = last.is_none_or(|last| now.saturating_duration_since(last) >= MINUTE);
    if due {
        *last = Some(now);
    }
    due
}

fn node_id(id: Option<&str>) -> Result<Arc<str>, Status> {
    match id {
        None | Some("") => Err(Status::invalid_argument("the stream's first message must bear a node with an id")),
        Some(id) => short(id).map_err(Status::invalid_argument),
    }
}

fn short(id: &str) -> Result<Arc<str>, String> {
    match id.len() {
        0..=NODE_ID_LIMIT => Ok(id.into()),
        long => Err(format!("a node id has at most {NODE_ID_LIMIT} bytes, this one {long}")),
    }
}

/// A metrics stream of a known node. However it ends, its last flush is settled and its place is free.
struct MetricsStream {
    shared: Arc<Shared>,
    node: Arc<str>,
    id: u64,
}

impl Drop for MetricsStream {
    fn drop(&mut self) {
        self.shared.deliver_some(self.shared.streaming.end(&self.node, self.id));
    }
}

/// The pages of a proxy that is asked for its statistics. However they end, its place is free.
pub(super) struct PolledStream {
    shared: Arc<Shared>,
    node: Arc<str>,
    id: u64,
}

impl PolledStream {
    /// Whether a metrics stream counts the proxy's requests. Then what the pages said is forgotten.
    pub(super) fn is_counted_otherwise(&self) -> bool {
        let is_streaming = self.shared.streaming.counts(&self.node, now());
        if is_streaming {
            self.shared.polled.forget(&self.node);
        }
        is_streaming
    }

    /// Takes in a page, which is a whole flush.
    ///
    /// # Errors
    /// When it is of a proxy too many.
    pub(super) fn absorb(&self, reading: Reading<'_>) -> Result<(), String> {
        self.shared.sweep();
        let absorbed = self.shared.polled.absorb(&self.node, self.id, reading, now());
        let (report, taken_over) = absorbed.map_err(|TooMany| "too many proxies are asked".to_owned())?;
        if taken_over {
            let node = &self.node;
            tracing::warn!(%node, "two admin interfaces are those of one node; only one of them is counted");
        }
        self.shared.deliver_some(report);
        self.shared.deliver_some(self.shared.polled.settle(&self.node, self.id));
        Ok(())
    }
}

impl Drop for PolledStream {
    fn drop(&mut self) {
        self.shared.deliver_some(self.shared.polled.end(&self.node, self.id));
    }
}

impl Telemetry {
    /// Opens a stream of pages of the proxy with this node id, which is asked for its statistics.
    ///
    /// # Errors
    /// When that is no node id: why not.
    pub(super) fn polled(&self, node: &str) -> Result<PolledStream, String> {
        if node.is_empty() {
            return Err("it has no node id: give it one (`node: {id: …}` in its bootstrap, or --service-node)".into());
        }
        let id = self.shared.next_stream.fetch_add(1, Ordering::Relaxed);
        Ok(PolledStream { shared: Arc::clone(&self.shared), node: short(node)?, id })
    }
}
