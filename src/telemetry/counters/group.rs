//! Counters of one kind: cumulative values in, differences out. PURE.

use std::cmp::Ordering;

/// The most counters that are kept of one cluster and source: its routes, statuses and flags, as they occur together.
pub(super) const COUNTER_LIMIT: usize = 1024;
/// What is not in this many flushes running is forgotten; should it come again, it counts from 0. Not sooner: a part of
/// the flushes that fails to arrive for a while must not have its counts told twice.
pub(super) const ABSENT_LIMIT: u16 = 600;

/// The counters of one cluster and source.
#[derive(Debug)]
pub(super) struct Group<K> {
    /// In the order of the keys: a cluster has few, and nothing is smaller.
    pub(super) counters: Vec<(K, Counter)>,
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
        Self { counters: Vec::new() }
    }
}

impl<K> Group<K> {
    pub(super) fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.counters.iter().map(|(key, _)| key)
    }

    /// Takes in a counter's value. How known keys compare with its own says `compare`; it is made only for a new counter.
    pub(super) fn note(&mut self, compare: impl Fn(&K) -> Ordering, key: impl FnOnce() -> K, value: Option<u64>) {
        let at = match self.counters.binary_search_by(|(known, _)| compare(known)) {
            Ok(at) => at,
            Err(_) if self.counters.len() >= COUNTER_LIMIT => return,
            Err(at) => {
                // A proxy has thousands of these: by half, not by the whole, as they grow otherwise.
                if self.counters.len() == self.counters.capacity() {
                    self.counters.reserve_exact(self.counters.len() / 2 + 1);
                }
                self.counters.insert(at, (key(), Counter { last: value.map(|_| 0), new: None, absent: 0 }));
                at
            }
        };
        let counter = &mut self.counters[at].1;
        counter.new = value.or(counter.new);
    }

    pub(super) fn falls(&self) -> bool {
        self.counters.iter().any(|(_, counter)| counter.new.zip(counter.last).is_some_and(|(new, last)| new < last))
    }

    pub(super) fn rebase(&mut self) {
        // What was known is of another time, or another process.
        self.counters.retain(|(_, counter)| counter.new.is_some() || counter.last.is_none());
        for (_, counter) in &mut self.counters {
            counter.last = counter.new.take();
            counter.absent = 0;
        }
    }

    pub(super) fn settle(&mut self, mut tell: impl FnMut(&K, u64)) {
        self.counters.retain_mut(|(key, counter)| {
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
