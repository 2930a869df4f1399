//! When each client had the last byte of a push.

use std::sync::Mutex;

use super::talk::{Round, Said};
use crate::usage::monotonic;

/// Collects the moments of one push at a time, and tells their distribution as soon as all clients that read have it.
#[derive(Debug)]
pub(super) struct Stamps {
    expected: usize,
    moments: Mutex<Vec<u64>>,
}

impl Stamps {
    /// For this many clients that read.
    pub(super) fn new(expected: usize) -> Self {
        Self { expected, moments: Mutex::new(Vec::with_capacity(expected)) }
    }

    /// A client has all of a push of this many bytes. The last one says so on the standard output.
    pub(super) fn stamp(&self, bytes: usize) {
        let now = u64::try_from(monotonic().as_nanos()).unwrap_or(u64::MAX);
        let mut moments = self.moments.lock().expect("no holder of the lock panics");
        moments.push(now);
        if moments.len() == self.expected {
            Said::Round(round(&mut moments, bytes)).say();
            moments.clear();
        }
    }
}

/// The distribution of some moments, which are at least one.
fn round(moments: &mut [u64], bytes: usize) -> Round {
    moments.sort_unstable();
    // The smallest moment by which at least this share of the clients has the push.
    let by = |percent: usize| moments[(moments.len() * percent).div_ceil(100).max(1) - 1];
    Round { median: by(50), p99: by(99), last: by(100), bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_told_by_nearest_rank() {
        let mut moments: Vec<u64> = (1..=200).rev().collect();
        assert_eq!(round(&mut moments, 7), Round { median: 100, p99: 198, last: 200, bytes: 7 });
        assert_eq!(round(&mut [5], 7), Round { median: 5, p99: 5, last: 5, bytes: 7 });
    }

    #[test]
    fn a_round_begins_when_the_one_before_is_whole() {
        let stamps = Stamps::new(2);
        for held in [1, 0, 1] {
            stamps.stamp(100);
            assert_eq!(stamps.moments.lock().expect("free").len(), held);
        }
    }
}
