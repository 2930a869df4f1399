//! How long requests take: a log-normal law, brought into the buckets that Envoy is told to count in.

use crate::model::Histogram;

/// The upper bounds in milliseconds that `serin bootstrap` gives Envoy's histograms; above them all counts as one.
pub const BOUNDS: [f64; 35] = [
    1.0,
    2.0,
    3.0,
    4.0,
    5.0,
    6.0,
    8.0,
    10.0,
    12.0,
    15.0,
    20.0,
    25.0,
    30.0,
    40.0,
    50.0,
    60.0,
    80.0,
    100.0,
    120.0,
    150.0,
    200.0,
    250.0,
    300.0,
    400.0,
    500.0,
    600.0,
    800.0,
    1000.0,
    1500.0,
    2000.0,
    3000.0,
    5000.0,
    10000.0,
    30000.0,
    f64::INFINITY,
];

/// The chance of each bucket, in their order; they sum to 1.
pub type Chances = Vec<f64>;

/// The law of the durations: log-normal, stretched and shifted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Law {
    /// In milliseconds.
    pub median: f64,
    /// The standard deviation of the logarithm.
    pub sigma: f64,
    /// Each duration is this many times as long.
    pub factor: f64,
    /// And so many milliseconds longer.
    pub plus: f64,
}

impl Law {
    /// The chance of each bucket.
    pub fn chances(&self) -> Chances {
        let mut below = 0.0;
        BOUNDS
            .iter()
            .map(|bound| {
                let up_to = self.up_to(*bound);
                let chance = (up_to - below).max(0.0);
                below = up_to;
                chance
            })
            .collect()
    }

    /// The chance of at most so many milliseconds.
    fn up_to(&self, bound: f64) -> f64 {
        let plain = (bound - self.plus) / self.factor;
        if plain <= 0.0 {
            return 0.0;
        }
        let z = (plain / self.median).ln() / self.sigma;
        0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
    }
}

/// Counts in these buckets as a histogram.
pub fn histogram(counts: Vec<u64>) -> Histogram {
    Histogram { bounds: BOUNDS.to_vec(), counts }
}

/// The duration, in milliseconds, that a share (0 to 1) of the counted requests does not exceed, evenly spread within a bucket
/// as Prometheus's `histogram_quantile` takes it; `None` when nothing was counted.
pub fn quantile(histogram: &Histogram, share: f64) -> Option<f64> {
    let all: u64 = histogram.counts.iter().sum();
    let rank = share * all as f64;
    let (mut below, mut from) = (0.0, 0.0);
    for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
        let count = *count as f64;
        if count > 0.0 && below + count >= rank {
            let part = ((rank - below) / count).clamp(0.0, 1.0);
            return Some(if bound.is_finite() { from + (bound - from) * part } else { from });
        }
        below += count;
        from = *bound;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Law = Law { median: 50.0, sigma: 0.7, factor: 1.0, plus: 0.0 };

    #[test]
    fn half_is_below_the_median() {
        let chances = PLAIN.chances();
        let up_to = |law: Law, bound: f64| -> f64 {
            law.chances().iter().zip(BOUNDS).filter(|(_, at)| *at <= bound).map(|(chance, _)| chance).sum()
        };
        assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((up_to(PLAIN, 50.0) - 0.5).abs() < 1e-12);
        assert!((up_to(Law { factor: 2.0, ..PLAIN }, 100.0) - 0.5).abs() < 1e-12);
        assert!((up_to(Law { plus: 50.0, ..PLAIN }, 100.0) - 0.5).abs() < 1e-12);
        assert_eq!(up_to(Law { plus: 50.0, ..PLAIN }, 50.0), 0.0);
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let mut counts = vec![0; BOUNDS.len()];
        (counts[14], counts[17]) = (90, 10);
        let histogram = histogram(counts);
        assert_eq!(quantile(&histogram, 0.45), Some(45.0));
        assert_eq!(quantile(&histogram, 0.95), Some(90.0));
        assert_eq!(quantile(&Histogram::default(), 0.5), None);
        let mut counts = vec![0; BOUNDS.len()];
        counts[BOUNDS.len() - 1] = 1;
        assert_eq!(quantile(&super::histogram(counts), 0.99), Some(30_000.0));
    }
}
