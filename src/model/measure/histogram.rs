//! Counts by upper bound, from many proxies made one.
//!
//! PURE. What proxies report may be anything: a histogram that is none ([`Histogram::is_sound`]) is left out.

use serde::{Deserialize, Serialize};

/// Counts by upper bound.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Histogram {
    /// Upper bounds in milliseconds, ascending; the last may be infinite.
    #[serde(with = "bounds")]
    pub bounds: Vec<f64>,
    /// How many fell at or below the bound and above the one before (not cumulative). As long as `bounds`.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Whether it is one: bounds that ascend, none of them NaN, with a count each.
    pub fn is_sound(&self) -> bool {
        self.bounds.len() == self.counts.len()
            && self.bounds.iter().all(|bound| *bound > f64::NEG_INFINITY)
            && self.bounds.is_sorted_by(|a, b| a < b)
    }

    /// Adds another one. Where the bounds differ, those that both have stay, and the infinite one: no count is lost, and
    /// what is at or below each bound that stays is exact. Whatever the order in which many are added, the sum is the
    /// same.
    ///
    /// What is no histogram is left out, and one without bounds says nothing. Sums stop at the largest number there is.
    pub fn merge(&mut self, other: &Histogram) {
        if !other.is_sound() || other.bounds.is_empty() {
            return;
        }
        if !self.is_sound() || self.bounds.is_empty() {
            self.clone_from(other);
            return;
        }
        if self.bounds != other.bounds {
            let common = self.common_bounds(other);
            *self = self.onto(&common);
            return self.merge(&other.onto(&common));
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How many are above a bound. Exact for one of its own bounds; for another value those of the bucket in which it
    /// lies are not counted.
    pub fn above(&self, bound: f64) -> u64 {
        let at = self.bounds.partition_point(|own| *own < bound).saturating_add(1).min(self.counts.len());
        self.counts.iter().skip(at).fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// A quantile (0 to 1), as if the counts of a bucket were spread evenly over it, as Prometheus does it: the first one
    /// begins at 0, and of one without end its beginning is told. `None` when it is empty, no histogram, or has no finite
    /// bound.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let total = self.total();
        if !self.is_sound() || total == 0 {
            return None;
        }
        let wanted = total as f64 * quantile.clamp(0.0, 1.0);
        let (mut below, mut from) = (0.0, None);
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            let count = *count as f64;
            if bound.is_infinite() {
                break;
            }
            if count > 0.0 && below + count >= wanted {
                let from = from.unwrap_or(bound.min(0.0));
                return Some(from + (bound - from) * (wanted - below) / count);
            }
            below += count;
            from = Some(*bound);
        }
        from
    }

    /// The finite bounds that both have, and the infinite one. Both are sound.
    fn common_bounds(&self, other: &Histogram) -> Vec<f64> {
        let mut theirs = other.bounds.iter().copied().peekable();
        let mut common = self.bounds.clone();
        common.retain(|bound| {
            while theirs.next_if(|their| their < bound).is_some() {}
            bound.is_finite() && theirs.peek() == Some(bound)
        });
        common.push(f64::INFINITY);
        common
    }

    /// The same counts in the buckets of some of its bounds and the infinite one. It is sound.
    fn onto(&self, bounds: &[f64]) -> Histogram {
        let mut counts = vec![0_u64; bounds.len()];
        let mut at = 0;
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            while at + 1 < bounds.len() && bounds[at] < *bound {
                at += 1;
            }
            counts[at] = counts[at].saturating_add(*count);
        }
        Histogram { bounds: bounds.to_vec(), counts }
    }
}

/// JSON has no infinity: it is `null`.
mod bounds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bounds: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        let finite: Vec<Option<f64>> = bounds.iter().map(|bound| bound.is_finite().then_some(*bound)).collect();
        finite.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let bounds = Vec::<Option<f64>>::deserialize(deserializer)?;
        Ok(bounds.into_iter().map(|bound| bound.unwrap_or(f64::INFINITY)).collect())
    }
}

#[cfg(test)]
mod tests;
