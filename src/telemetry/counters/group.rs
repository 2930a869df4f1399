//! Counters of one kind: cumulative values in, differences out. PURE.

use std::collections::BTreeMap;

/// The most counters that are kept of one cluster and source: its routes, statuses and flags, as they occur together.
pub(super) const COUNTER_LIMIT: usize = 1024;
/// What is not in this many flushes running is forgotten; should it come again, it counts from 0. Not sooner: a part of
/// the flushes that fails to arrive for a while must not have its counts told twice.
pub(super) const ABSENT_LIMIT: u16 = 600;

/// The counters of one cluster and source.
#[derive(Debug)]
pub(super) struct Group<K> {
    pub(super) counters: BTreeMap<K, Counter>,
}

#[derive(Debug, Default)]
pub(super) struct Counter {
    /// As of the newest settled flush: 0 for one that has just appeared; `None` while its count is not known.
    last: Option<u64>,
    /// As of the open one.
    new: Option<u64>,
    /// How many flushes running it has not been in.
    absent: u16,
}

impl<K> Default for Group<K> {
    fn default() -> Self {
        Self { counters: BTreeMap::new() }
    }
}

impl<K: Ord> Group<K> {
    pub(super) fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.counters.keys()
    }

    pub(super) fn note(&mut self, key: K, value: Option<u64>) {
        if self.counters.len() < COUNTER_LIMIT || self.counters.contains_key(&key) {
            let appears = || Counter { last: value.map(|_| 0), new: None, absent: 0 };
            let counter = self.counters.entry(key).or_insert_with(appears);
            counter.new = value.or(counter.new);
        }
    }

    pub(super) fn falls(&self) -> bool {
        self.counters.values().any(|counter| counter.new.zip(counter.last).is_some_and(|(new, last)| new < last))
    }

    pub(super) fn rebase(&mut self) {
        // What was known is of another time, or another process.
        self.counters.retain(|_, counter| counter.new.is_some() || counter.last.is_none());
        for counter in self.counters.values_mut() {
            counter.last = counter.new.take();
            counter.absent = 0;
        }
    }

    pub(super) fn settle(&mut self, mut tell: impl FnMut(&K, u64)) {
        self.counters.retain(|key, counter| {
            match counter.new.take() {
                Some(new) => {
                    if let Some(last) = counter.last.replace(new) {
                        tell(key, new.checked_sub(last).unwrap_or(new));
                    }
                    counter.absent = 0;
                }
                None => counter.absent = counter.absent.saturating_add(1),
            }
            counter.absent < ABSENT_LIMIT
        });
    }
}
