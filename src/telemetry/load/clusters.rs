//! The clusters that one stream tells of. PURE.
//!
//! A proxy names the same ones in each report, mostly in the same order: a name is looked for where it was, and only then
//! elsewhere, and all reports of all proxies bear the same shared name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::telemetry::focus::{Cluster, Focus};

/// Names that may be kept beyond those of a report: of clusters that come and go.
const SPARE: usize = 256;

/// In the order in which they first came.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    focus: Focus,
    /// As of when it is known what is wanted.
    version: u64,
    known: Vec<Known>,
    index: HashMap<Arc<str>, u32>,
    /// How many reports there were, of those that can be told apart.
    report: u32,
}

/// A cluster.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) cluster: Arc<Cluster>,
    /// Whether it was said that something is under way there.
    pub(super) is_busy: bool,
    /// Whether it is reported by itself.
    pub(super) is_wanted: bool,
    /// The newest report that named it.
    report: u32,
}

impl Clusters {
    pub(super) fn new(focus: Focus) -> Self {
        Self { focus, ..Self::default() }
    }

    /// Another report begins, of this many clusters.
    pub(super) fn begin_report(&mut self, clusters: usize) {
        if self.known.len() > clusters + SPARE {
            let last = self.report;
            self.known.retain(|known| (known.is_busy && known.is_wanted) || known.report == last);
            let name = |known: &Known| Arc::clone(&known.cluster.name);
            self.index = self.known.iter().zip(0..).map(|(known, at)| (name(known), at)).collect();
        }
        let version = self.focus.version();
        if std::mem::replace(&mut self.version, version) != version {
            self.known.iter_mut().for_each(|known| known.is_wanted = self.focus.wants(&known.cluster.name));
        }
        self.report = self.report.wrapping_add(1);
    }

    /// The report names a cluster at this place; `None` when it did so before.
    pub(super) fn come(&mut self, place: usize, name: &str) -> Option<&mut Known> {
        let at = match self.known.get(place).filter(|known| *known.cluster.name == *name) {
            Some(_) => place,
            None => self.find(name),
        };
        let report = self.report;
        let known = self.known.get_mut(at)?;
        (std::mem::replace(&mut known.report, report) != report).then_some(known)
    }

    /// Those that the report did not name.
    pub(super) fn absent(&mut self) -> impl Iterator<Item = &mut Known> {
        let report = self.report;
        self.known.iter_mut().filter(move |known| known.report != report)
    }

    fn find(&mut self, name: &str) -> usize {
        if let Some(at) = self.index.get(name) {
            return *at as usize;
        }
        let (cluster, at) = (self.focus.cluster(name), self.known.len());
        let is_wanted = self.focus.wants(name);
        // A message has fewer clusters than that.
        self.index.insert(Arc::clone(&cluster.name), u32::try_from(at).unwrap_or(u32::MAX));
        self.known.push(Known { cluster, is_busy: false, is_wanted, report: self.report.wrapping_sub(1) });
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_wherever_it_stands_and_those_that_are_gone_are_forgotten() {
        let mut clusters = Clusters::default();
        let mut names = |of: &[&str]| {
            clusters.begin_report(of.len());
            let came = of
                .iter()
                .enumerate()
                .map(|(at, name)| clusters.come(at, name).map(|known| Arc::clone(&known.cluster.name)));
            let came: Vec<_> = came.collect();
            let absent: Vec<_> = clusters.absent().map(|known| known.cluster.name.to_string()).collect();
            (came, absent)
        };
        let first = names(&["a", "b", "c"]).0;
        let (second, absent) = names(&["b", "a", "b"]);
        assert!(first[1].as_ref().zip(second[0].as_ref()).is_some_and(|(one, other)| Arc::ptr_eq(one, other)));
        assert_eq!((second[1].as_deref(), second[2].as_deref()), (Some("a"), None));
        assert_eq!(absent, ["c"]);
        for round in 0..2_000 {
            names(&[&format!("x{round}")]);
        }
        assert!(clusters.known.len() < 2 * SPARE && clusters.index.len() == clusters.known.len());
    }
}
