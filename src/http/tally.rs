//! How many requests came to what, for the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts outcomes. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    counts: Arc<[AtomicU64; 2]>,
}

impl Tally {
    /// Counts one.
    pub fn count<T, E>(&self, outcome: &Result<T, E>) {
        self.counts[usize::from(outcome.is_err())].fetch_add(1, Ordering::Relaxed);
    }

    /// How many succeeded, and how many failed, since the start.
    pub fn read(&self) -> (u64, u64) {
        let [succeeded, failed] = &*self.counts;
        (succeeded.load(Ordering::Relaxed), failed.load(Ordering::Relaxed))
    }
}
