//! One proxy's reports over all its streams: which stream is believed, and what goes on when it reconnects.
//!
//! PURE. Two streams may bear one node id: a proxy that reconnects before its old connection is known to be dead, or
//! two proxies that were given the same id by mistake. Only one of them is counted, the newest, and counting starts
//! over when it changes: cumulative counters of two processes must never be subtracted from each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counters::Counters;
use super::focus::Focus;
use super::report::NodeReport;
use super::sample::Reading;

/// A proxy that has been silent for this long is forgotten, and begins anew when it reports again.
pub(super) const FORGET_AFTER: Duration = Duration::from_secs(600);

/// A proxy that has a metrics stream, or had one not long ago.
#[derive(Debug)]
pub(super) struct Proxy {
    node: Arc<str>,
    counters: Counters,
    /// The stream that is counted, while it is open.
    owner: Option<u64>,
    /// The newest stream that ever was counted.
    newest: u64,
    heard: Instant,
}

impl Proxy {
    /// A proxy that nothing is known of. Stream ids grow, from 1.
    pub(super) fn new(node: Arc<str>, focus: Focus, now: Instant) -> Self {
        Self { node, counters: Counters::new(focus), owner: None, newest: 0, heard: now }
    }

    /// Whether it has been silent for too long.
    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) >= FORGET_AFTER
    }

    /// When it was last heard of.
    pub(super) fn heard(&self) -> Instant {
        self.heard
    }

    /// Takes in a message of a stream. Returns the flush before it, when this one begins another. The flag says that
    /// the stream took over from another that is still open.
    pub(super) fn absorb(&mut self, stream: u64, reading: Reading<'_>, now: Instant) -> (Option<NodeReport>, bool) {
        let taken_over = match self.owner {
            Some(owner) if owner == stream => false,
            // An older stream is not believed while a newer one is open.
            Some(owner) if owner > stream => return (None, false),
            Some(_) => {
                self.counters.rebase();
                true
            }
            None if stream > self.newest => {
                self.counters.resume();
                false
            }
            // The newer one is gone, an older one is still there: a proxy with a twin, whose counts are others.
            None => {
                self.counters.rebase();
                false
            }
        };
        self.owner = Some(stream);
        self.newest = self.newest.max(stream);
        self.heard = now;
        (self.counters.absorb(&self.node, reading, now), taken_over)
    }

    /// Nothing more comes of the stream's flush for now.
    pub(super) fn settle(&mut self, stream: u64) -> Option<NodeReport> {
        if self.owner == Some(stream) { self.counters.settle(&self.node) } else { None }
    }

    /// Whether [`settle`](Self::settle) could report anything.
    pub(super) fn is_open(&self, stream: u64) -> bool {
        self.owner == Some(stream) && self.counters.is_open()
    }

    /// The stream has ended.
    pub(super) fn end(&mut self, stream: u64) -> Option<NodeReport> {
        let report = self.settle(stream);
        if self.owner == Some(stream) {
            self.owner = None;
        }
        report
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
