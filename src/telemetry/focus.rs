//! Which clusters are reported proxy by proxy, and the sum of all others' requests over all proxies. Without asking for
//! anything, every cluster is.
//!
//! A fleet carries hundreds of services, and few of them are being released: of the others nobody wants to know which
//! proxy has counted what. PURE.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::report::{Histogram, Outcomes};

/// The most clusters whose requests are summed up.
const LIMIT: usize = 100_000;

/// Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Focus {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// How often `wanted` was set.
    version: AtomicU64,
    /// `None` is all.
    wanted: RwLock<Option<HashSet<Arc<str>>>>,
    clusters: Mutex<HashMap<Arc<str>, Arc<Cluster>>>,
}

/// A cluster of which somebody reports, and its requests since they were taken.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) name: Arc<str>,
    requests: AtomicU64,
    errors: AtomicU64,
    latency: Mutex<Option<Histogram>>,
}

/// The requests of a cluster that all proxies have reported together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traffic {
    /// How many.
    pub outcomes: Outcomes,
    /// Their durations in milliseconds, of those sources that know them.
    pub latency: Option<Histogram>,
}

impl Focus {
    /// From now on, only clusters of these names are reported proxy by proxy.
    pub fn set(&self, wanted: HashSet<Arc<str>>) {
        *self.shared.wanted.write().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
        self.shared.version.fetch_add(1, Ordering::Release);
    }

    /// The requests of all other clusters since this was last asked, where there were any.
    pub fn take_others(&self) -> Vec<(Arc<str>, Traffic)> {
        let mut clusters = self.shared.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let traffic = clusters.values().filter_map(|cluster| Some((Arc::clone(&cluster.name), cluster.take()?)));
        let traffic = traffic.collect();
        // Nobody reports of them any more.
        clusters.retain(|_, cluster| Arc::strong_count(cluster) > 1);
        traffic
    }

    /// Changes when others are wanted.
    pub(super) fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// Whether a cluster is to be reported proxy by proxy.
    pub fn wants(&self, name: &str) -> bool {
        let wanted = self.shared.wanted.read().unwrap_or_else(PoisonError::into_inner);
        wanted.as_ref().is_none_or(|wanted| wanted.contains(name))
    }

    /// The cluster of a name: the same for all who ask, as long as one of them has it.
    pub(super) fn cluster(&self, name: &str) -> Arc<Cluster> {
        let mut clusters = self.shared.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = clusters.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        let (requests, errors, latency) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(None));
        let new = Arc::new(Cluster { name: Arc::clone(&name), requests, errors, latency });
        if clusters.len() < LIMIT {
            clusters.insert(name, Arc::clone(&new));
        }
        new
    }
}

impl Cluster {
    /// Adds to what all proxies have reported.
    pub(super) fn add(&self, Outcomes { requests, errors }: Outcomes, latency: Option<Histogram>) {
        // A sum that would overflow says nothing anyhow.
        self.requests.fetch_add(requests, Ordering::Relaxed);
        if errors > 0 {
            self.errors.fetch_add(errors, Ordering::Relaxed);
        }
        if let Some(more) = latency {
            self.latency.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().merge(&more);
        }
    }

    fn take(&self) -> Option<Traffic> {
        let requests = self.requests.swap(0, Ordering::Relaxed);
        let errors = self.errors.swap(0, Ordering::Relaxed).min(requests);
        let latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner).take();
        (requests > 0).then_some(Traffic { outcomes: Outcomes { requests, errors }, latency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_wanted_is_summed_up_and_forgotten_with_those_who_told_it() {
        let focus = Focus::default();
        assert!(focus.wants("a/v1"));
        let before = focus.version();
        focus.set(["a/v1".into()].into());
        assert_eq!((focus.wants("a/v1"), focus.wants("b/v1"), focus.version() > before), (true, false, true));
        let (one, other) = (focus.cluster("b/v1"), focus.cluster("b/v1"));
        assert!(Arc::ptr_eq(&one, &other));
        let latency = |count| Some(Histogram { bounds: vec![1.0], counts: vec![count] });
        one.add(Outcomes { requests: 3, errors: 1 }, latency(2));
        other.add(Outcomes { requests: 4, errors: 0 }, latency(5));
        let sum = Traffic { outcomes: Outcomes { requests: 7, errors: 1 }, latency: latency(7) };
        assert_eq!(focus.take_others(), [("b/v1".into(), sum)]);
        assert_eq!(focus.take_others(), []);
        drop((one, other));
        focus.take_others();
        assert!(focus.shared.clusters.lock().is_ok_and(|clusters| clusters.is_empty()));
    }
}
