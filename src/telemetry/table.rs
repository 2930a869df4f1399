//! The proxies whose statistics come over one kind of channel, by node id.
//!
//! PURE: the time of receipt is an argument. Invariant: no guard of the table leaves it.

use std::sync::Arc;
use std::time::Instant;

use dashmap::DashMap;

use super::focus::Focus;
use super::proxy::Proxy;
use super::report::NodeReport;
use super::sample::Reading;

/// The most proxies that are remembered.
const LIMIT: usize = 20_000;

/// More proxies than are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// By node id.
#[derive(Debug, Default)]
pub(super) struct Table {
    focus: Focus,
    proxies: DashMap<Arc<str>, Proxy>,
}

impl Table {
    /// What is reported cluster by cluster, and where the rest is summed up, says `focus`.
    pub(super) fn new(focus: Focus) -> Self {
        Self { focus, ..Self::default() }
    }

    /// Takes in a message of a proxy's stream; see [`Proxy::absorb`].
    ///
    /// # Errors
    /// When it is a proxy too many.
    pub(super) fn absorb(
        &self,
        node: &Arc<str>,
        stream: u64,
        reading: Reading<'_>,
        now: Instant,
    ) -> Result<(Option<NodeReport>, bool), TooMany> {
        if self.proxies.len() >= LIMIT && !self.proxies.contains_key(node) {
            return Err(TooMany);
        }
        let new = || Proxy::new(Arc::clone(node), self.focus.clone(), now);
        let mut proxy = self.proxies.entry(Arc::clone(node)).or_insert_with(new);
        if proxy.is_forgotten(now) {
            *proxy = new();
        }
        Ok(proxy.absorb(stream, reading, now))
    }

    /// Nothing more comes of the stream's flush for now.
    pub(super) fn settle(&self, node: &str, stream: u64) -> Option<NodeReport> {
        self.proxies.get_mut(node).and_then(|mut proxy| proxy.settle(stream))
    }

    /// The stream has ended.
    pub(super) fn end(&self, node: &str, stream: u64) -> Option<NodeReport> {
        self.proxies.get_mut(node).and_then(|mut proxy| proxy.end(stream))
    }

    /// Whether [`settle`](Self::settle) could report anything.
    pub(super) fn is_open(&self, node: &str, stream: u64) -> bool {
        self.proxies.get(node).is_some_and(|proxy| proxy.is_open(stream))
    }

    /// Whether the proxy's requests are counted here: it has reported, not too long ago.
    pub(super) fn counts(&self, node: &str, now: Instant) -> bool {
        self.proxies.get(node).is_some_and(|proxy| !proxy.is_forgotten(now))
    }

    /// When the proxy was last heard of, if that is not too long ago.
    pub(super) fn heard(&self, node: &str, now: Instant) -> Option<Instant> {
        self.proxies.get(node).filter(|proxy| !proxy.is_forgotten(now)).map(|proxy| proxy.heard())
    }

    /// Forgets a proxy: it begins anew when it reports again.
    pub(super) fn forget(&self, node: &str) {
        self.proxies.remove(node);
    }

    /// Forgets the proxies that have long been silent.
    pub(super) fn sweep(&self, now: Instant) {
        self.proxies.retain(|_, proxy| !proxy.is_forgotten(now));
    }
}
