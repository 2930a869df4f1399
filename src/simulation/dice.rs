//! Chance from a seed: the same seed gives the same numbers on every machine.

use rand_distr::{Binomial, Distribution, Exp, Poisson, StandardUniform};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::SeedableRng;

/// Above this mean a Poisson count is beyond what any service is asked in a second.
const MOST: f64 = 1e12;

/// Dice that always fall alike.
#[derive(Debug, Clone)]
pub struct Dice(Pcg64Mcg);

impl Dice {
    /// Dice of one seed; `stream` tells independent ones of the same seed apart.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        StandardUniform.sample(&mut self.0)
    }

    /// One of `0..n`; 0 when `n` is 0.
    pub fn pick(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// A Poisson count with this mean; 0 when the mean is not positive.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        Poisson::new(if mean > MOST { MOST } else { mean }).map_or(0, |law| law.sample(&mut self.0) as u64)
    }

    /// How many of `n` come out with the chance `p`.
    pub fn binomial(&mut self, n: u64, p: f64) -> u64 {
        if n == 0 || p.is_nan() || p <= 0.0 {
            return 0;
        }
        if p >= 1.0 {
            return n;
        }
        Binomial::new(n, p).map_or(0, |law| law.sample(&mut self.0))
    }

    /// A waiting time with this mean; infinite when the mean is not positive.
    pub fn wait(&mut self, mean: f64) -> f64 {
        match Exp::new(1.0 / mean) {
            Ok(law) if mean > 0.0 => law.sample(&mut self.0),
            _ => f64::INFINITY,
        }
    }

    /// Shares `n` out among cells with these chances, which sum to 1: one draw a cell, not one a request.
    pub fn share_out(&mut self, n: u64, chances: &[f64]) -> Vec<u64> {
        let (mut left, mut rest) = (n, 1.0);
        let mut counts = vec![0; chances.len()];
        for (at, (count, chance)) in counts.iter_mut().zip(chances).enumerate() {
            if left == 0 {
                break;
            }
            let is_last = at + 1 == chances.len();
            *count = if is_last { left } else { self.binomial(left, chance / rest) };
            left -= *count;
            rest -= chance;
        }
        counts
    }

    /// The same among `cells` equal ones.
    pub fn share_out_evenly(&mut self, n: u64, cells: usize) -> Vec<u64> {
        let mut left = n;
        (0..cells)
            .map(|at| {
                let count = self.binomial(left, 1.0 / (cells - at) as f64);
                left -= count;
                count
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_everywhere() {
        let mut dice = Dice::new(1, 2);
        let drawn = (dice.poisson(1000.0), dice.binomial(1000, 0.1), dice.pick(1000), dice.poisson(0.5));
        assert_eq!(drawn, (978, 105, 608, 0), "another generator, another table: say so where the tables are shown");
        let mut other = Dice::new(1, 3);
        assert_ne!(other.poisson(1000.0), 978);
    }

    #[test]
    fn what_is_shared_out_is_all_there_and_in_proportion() {
        let mut dice = Dice::new(7, 0);
        let chances = [0.5, 0.3, 0.2, 0.0];
        let counts = dice.share_out(100_000, &chances);
        assert_eq!(counts.iter().sum::<u64>(), 100_000);
        for (count, chance) in counts.iter().zip(chances) {
            assert!((*count as f64 - chance * 1e5).abs() < 1e3, "{counts:?}");
        }
        let even = dice.share_out_evenly(100_000, 4);
        assert_eq!(even.iter().sum::<u64>(), 100_000);
        assert!(even.iter().all(|count| count.abs_diff(25_000) < 700), "{even:?}");
        assert!(dice.share_out_evenly(5, 0).is_empty());
    }

    #[test]
    fn nonsense_is_nothing() {
        let mut dice = Dice::new(7, 0);
        for p in [f64::NAN, -1.0, 0.0] {
            assert_eq!((dice.binomial(10, p), dice.poisson(p)), (0, 0));
        }
        assert_eq!(dice.binomial(10, 2.0), 10);
        assert_eq!(dice.wait(0.0), f64::INFINITY);
        assert_eq!(dice.pick(0), 0);
    }
}
