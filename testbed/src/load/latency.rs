//! A latency histogram of fixed size: buckets grow by 2 %, so a percentile is off by 2 % at most.

use std::time::Duration;

/// The ratio of two neighbouring bucket bounds.
const GROWTH: f64 = 1.02;
/// Enough for 1 µs to about 100 s; what is longer counts in the last.
const BUCKETS: usize = 932;

/// Latencies from a microsecond to about 100 seconds, counted.
#[derive(Debug, Clone)]
pub struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }
}

impl Latencies {
    /// Counts one.
    pub fn add(&mut self, latency: Duration) {
        let micros = (latency.as_secs_f64() * 1e6).max(1.0);
        let bucket = (micros.ln() / GROWTH.ln()) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
        self.total += 1;
    }

    /// The latency that the share `quantile` (0 to 1) of all did not exceed; `None` when nothing was counted.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let rank = ((quantile * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        })?;
        // The upper bound: never less than the truth.
        Some(Duration::from_secs_f64(GROWTH.powi(bucket as i32 + 1) / 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_two_percent_and_never_too_low() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), None);
        (1..=1_000).for_each(|ms| latencies.add(Duration::from_millis(ms)));
        for (quantile, exact) in [(0.0, 0.001), (0.5, 0.5), (0.99, 0.99), (1.0, 1.0)] {
            let found = latencies.quantile(quantile).expect("something was counted").as_secs_f64();
            assert!(found >= exact * 0.999_999 && found <= exact * 1.021, "p{quantile}: {found} for {exact}");
        }
    }

    #[test]
    fn extremes_have_a_bucket() {
        let mut latencies = Latencies::default();
        latencies.add(Duration::ZERO);
        latencies.add(Duration::MAX);
        assert!(latencies.quantile(1.0).expect("two were counted") > Duration::from_secs(90));
    }
}
