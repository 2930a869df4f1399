//! PURE: what is collected for the releases that are on their way, and whose reports each of them hears.
//!
//! A report costs what it touches: that of a proxy that carries no such release's service is looked up once.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use crate::analysis::Window;
use crate::rollout::evidence::{Basis, Collector, Terms};
use crate::telemetry::NodeReport;

/// A release, and a version that is judged.
type Key = (String, String);

/// By release and version.
#[derive(Debug, Default)]
pub(super) struct Collectors {
    all: BTreeMap<Key, Entry>,
    /// By group: who hears its proxies.
    of_group: HashMap<Arc<str>, Vec<Key>>,
    /// By node, of the proxies of these groups.
    groups: HashMap<Arc<str>, Arc<str>>,
    /// What `groups` was made of.
    indexed: u64,
}

#[derive(Debug)]
struct Entry {
    collector: Collector,
    /// The names of the two clusters.
    canary: String,
    baseline: String,
    /// The print of the proxies that the collector was told of.
    told: Option<u64>,
}

/// What is collected of.
pub(super) struct Judged<'a> {
    pub(super) release: &'a str,
    pub(super) version: &'a str,
    /// The names of the two clusters.
    pub(super) canary: String,
    pub(super) baseline: String,
    pub(super) basis: Basis,
}

/// A proxy that has what was published in force.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct InForce<'a> {
    pub(super) node: &'a str,
    pub(super) region: &'a str,
    pub(super) since: Instant,
}

/// What tells two sets apart, in whatever order they are summed up.
pub(super) fn print_of(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl Collectors {
    /// Drops what is not judged any more, by release and version.
    pub(super) fn retain(&mut self, mut is_judged: impl FnMut(&str, &str) -> bool) {
        self.all.retain(|(release, version), _| is_judged(release, version));
    }

    /// Another weight of a release was published, or something else is to be looked at.
    pub(super) fn restart(&mut self, release: &str, basis: Basis) {
        for (_, entry) in self.all.iter_mut().filter(|((name, _), _)| name == release) {
            entry.collector.restart(basis);
            entry.told = None;
        }
    }

    /// Takes note of who has a release's weight in force, and who is connected. The same `print` says that neither has
    /// changed.
    pub(super) fn follow<'a>(
        &mut self,
        judged: Judged<'_>,
        print: u64,
        in_force: impl Iterator<Item = InForce<'a>>,
        is_connected: impl Fn(&str) -> bool,
    ) {
        let Judged { release, version, canary, baseline, basis } = judged;
        let new =
            || Entry { collector: Collector::of(basis), canary: String::new(), baseline: String::new(), told: None };
        let entry = self.all.entry((release.to_owned(), version.to_owned())).or_insert_with(new);
        (entry.canary, entry.baseline) = (canary, baseline);
        if entry.told.replace(print) != Some(print) {
            in_force.for_each(|one| entry.collector.in_force(one.node, one.region, one.since));
            entry.collector.keep_only(is_connected);
        }
    }

    /// Which group each proxy is in, of the groups that carry what is collected of.
    pub(super) fn index<'a>(
        &mut self,
        print: u64,
        carriers: impl Iterator<Item = (&'a str, &'a str, &'a [String])>,
        nodes: impl Fn(&str) -> Vec<&'a str>,
    ) {
        let mut of_group: HashMap<Arc<str>, Vec<Key>> = HashMap::new();
        for (release, version, groups) in carriers {
            for group in groups {
                of_group.entry(group.as_str().into()).or_default().push((release.to_owned(), version.to_owned()));
            }
        }
        let are_others =
            of_group.len() != self.of_group.len() || of_group.keys().any(|one| !self.of_group.contains_key(one));
        if self.indexed != print || are_others {
            self.indexed = print;
            self.groups.clear();
            for group in of_group.keys() {
                self.groups.extend(nodes(group).into_iter().map(|node| (node.into(), Arc::clone(group))));
            }
        }
        self.of_group = of_group;
    }

    /// A proxy has reported.
    pub(super) fn note(&mut self, report: &NodeReport) {
        let keys = self.groups.get(&report.node).and_then(|group| self.of_group.get(group));
        for key in keys.into_iter().flatten() {
            if let Some(entry) = self.all.get_mut(key) {
                entry.collector.add(report, &entry.canary, &entry.baseline);
            }
        }
    }

    /// The next window of a release's version, when it is time.
    pub(super) fn take(&mut self, release: &str, version: &str, now: Instant, terms: Terms<'_>) -> Option<Window> {
        self.all.get_mut(&(release.to_owned(), version.to_owned()))?.collector.take(now, terms)
    }
}
