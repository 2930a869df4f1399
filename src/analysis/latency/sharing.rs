//! How a window's slow requests are shared out between canary and baseline.
//!
//! PURE. Of `K` slow requests `x` are the canary's, which had `Nc` of the requests, the baseline `Nb`. While the odds of
//! being slow are `ω` times the baseline's on the canary, `x` given `K` follows Fisher's noncentral hypergeometric law,
//! whatever the share of slow requests is: `P(x) = C(Nc, x)·C(Nb, K − x)·ω^x / P(ω)`, where `P(ω)` is the sum of these
//! terms over `x`. So a bet on the odds `ω·e^δ` multiplies by `e^(δ·x)·P(ω)/P(ω·e^δ)`, which is 1 on average at `ω`, and
//! for `δ > 0` less at lower odds (the law has a monotone likelihood ratio), for `δ < 0` at higher ones.

use super::clumps::Expected;

/// Windows with more requests of one version are nonsense: nothing is learnt from them.
const LARGEST: u64 = 1 << 30;
/// Terms below this part of the largest are not summed. They fall faster than a geometric series from there on.
const NEGLIGIBLE: f64 = 1e-17;

/// One window at one boundary: how many requests were slower, of how many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sharing {
    canary: f64,
    baseline: f64,
    /// `x`.
    pub(super) canary_slow: f64,
    /// `K`.
    slow: f64,
}

/// The law of `x` at some odds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Law {
    /// `ln P(ω)`.
    pub(super) ln_sum: f64,
    /// What `x` is on average, and how it varies.
    pub(super) x: Expected,
}

impl Sharing {
    /// Of `(requests, slow ones)` on each side. `None` when it can teach nothing: one side has no requests, all requests
    /// are slow or none, or the numbers are absurd.
    pub(super) fn new(canary: (u64, u64), baseline: (u64, u64)) -> Option<Self> {
        let sides = [canary, baseline];
        if sides.iter().any(|(requests, slow)| *requests == 0 || slow > requests || *requests > LARGEST) {
            return None;
        }
        let slow = canary.1 + baseline.1;
        let teaches = slow > 0 && slow < canary.0 + baseline.0;
        teaches.then_some(Self {
            canary: canary.0 as f64,
            baseline: baseline.0 as f64,
            canary_slow: canary.1 as f64,
            slow: slow as f64,
        })
    }

    /// The law at these odds, which are positive. Summed from its mode outwards.
    pub(super) fn at(&self, odds: f64) -> Law {
        let (lowest, highest) = ((self.slow - self.baseline).max(0.0), self.slow.min(self.canary));
        let mode = self.mode(odds).clamp(lowest, highest);
        // The term after x, as a multiple of the one at x.
        let next =
            |x: f64| odds * (self.canary - x) * (self.slow - x) / ((x + 1.0) * (self.baseline - self.slow + x + 1.0));
        let (mut sum, mut first, mut second) = (1.0, 0.0, 0.0);
        let mut add = |term: f64, beyond: f64| {
            sum += term;
            first += term * beyond;
            second += term * beyond * beyond;
            term > NEGLIGIBLE
        };
        let (mut x, mut term) = (mode, 1.0);
        while x < highest {
            term *= next(x);
            x += 1.0;
            if !add(term, x - mode) {
                break;
            }
        }
        (x, term) = (mode, 1.0);
        while x > lowest {
            x -= 1.0;
            term /= next(x);
            if !add(term, x - mode) {
                break;
            }
        }
        let beyond = first / sum;
        let ln_mode = ln_choose(self.canary, mode) + ln_choose(self.baseline, self.slow - mode) + mode * odds.ln();
        let x = Expected { mean: mode + beyond, variance: (second / sum - beyond * beyond).max(0.0) };
        Law { ln_sum: ln_mode + sum.ln(), x }
    }

    /// Where terms stop to grow: the smaller root of "the next term is as large as this one", cut.
    fn mode(&self, odds: f64) -> f64 {
        let a = odds - 1.0;
        let b = odds * (self.canary + self.slow + 2.0) + self.baseline - self.slow;
        let c = odds * (self.canary + 1.0) * (self.slow + 1.0);
        (2.0 * c / (b + (b * b - 4.0 * a * c).max(0.0).sqrt())).floor()
    }
}

fn ln_choose(n: f64, k: f64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Stirling's series; for small numbers by way of a larger one.
fn ln_factorial(n: f64) -> f64 {
    const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;
    let (mut m, mut product) = (n + 1.0, 1.0);
    while m < 12.0 {
        product *= m;
        m += 1.0;
    }
    let square = m * m;
    let series = (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / (1680.0 * square)) / square) / square) / m;
    (m - 0.5) * m.ln() - m + HALF_LN_TAU + series - f64::ln(product)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sharing(canary: (u64, u64), baseline: (u64, u64)) -> Sharing {
        Sharing::new(canary, baseline).expect("it teaches something")
    }

    #[test]
    fn factorials() {
        let mut ln = 0.0;
        for n in 1..300 {
            ln += f64::from(n).ln();
            assert!((ln_factorial(f64::from(n)) - ln).abs() < 1e-10, "{n}");
        }
        assert!(ln_factorial(0.0).abs() < 1e-12);
        // Compared with lgamma(1e7 + 1).
        assert!((ln_factorial(1e7) / 151_180_965.487_569_57 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_teaches_nothing() {
        for (canary, baseline) in [
            ((0, 0), (9, 1)),
            ((9, 1), (0, 0)),
            ((9, 0), (9, 0)),
            ((9, 9), (9, 9)),
            ((1, 2), (9, 0)),
            ((u64::MAX, 5), (u64::MAX, 5)),
        ] {
            assert_eq!(Sharing::new(canary, baseline), None, "{canary:?} {baseline:?}");
        }
    }

    #[test]
    fn at_odds_of_one_it_is_the_hypergeometric_law() {
        let (law, w, slow) = (sharing((5_000, 700), (95_000, 9_300)).at(1.0), 0.05, 10_000.0);
        assert!((law.x.mean - slow * w).abs() < 1e-6, "{law:?}");
        let variance = slow * w * (1.0 - w) * (100_000.0 - slow) / 99_999.0;
        assert!((law.x.variance / variance - 1.0).abs() < 1e-9, "{law:?}");
        // Vandermonde: the sum of C(Nc, x)·C(Nb, K − x) is C(N, K).
        assert!((law.ln_sum - ln_choose(100_000.0, slow)).abs() < 1e-6, "{law:?}");
    }

    #[test]
    fn large_numbers_neither_hang_nor_overflow() {
        for odds in [1e-3, 0.2, 1.0, 10.0, 1e6] {
            for (canary, baseline) in
                [((10_000_000, 4_000_000), (90_000_000, 40_000_000)), ((1 << 30, 1 << 29), (1 << 30, 1 << 29))]
            {
                let law = sharing(canary, baseline).at(odds);
                assert!(law.ln_sum.is_finite() && law.x.mean.is_finite() && law.x.variance > 0.0, "{odds}: {law:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn sums_are_those_of_all_terms(
            canary in 1..80_u64, baseline in 1..80_u64, slow in 0.0..1.0_f64, odds in -3.0..3.0_f64
        ) {
            let slow = ((canary + baseline) as f64 * slow) as u64;
            let x = slow.min(canary);
            prop_assume!(slow > 0);
            let odds = odds.exp();
            let law = sharing((canary, x), (baseline, slow - x)).at(odds);
            let terms: Vec<(f64, f64)> = (slow.saturating_sub(baseline)..=x)
                .map(|x| {
                    let choices = ln_choose(canary as f64, x as f64) + ln_choose(baseline as f64, (slow - x) as f64);
                    (x as f64, (choices + x as f64 * odds.ln()).exp())
                })
                .collect();
            let sum: f64 = terms.iter().map(|(_, term)| term).sum();
            let mean = terms.iter().map(|(x, term)| x * term).sum::<f64>() / sum;
            let variance = terms.iter().map(|(x, term)| (x - mean).powi(2) * term).sum::<f64>() / sum;
            prop_assert!((law.ln_sum - sum.ln()).abs() < 1e-9, "{:?}: {}", law, sum.ln());
            prop_assert!((law.x.mean - mean).abs() < 1e-8 && (law.x.variance - variance).abs() < 1e-7, "{law:?}");
        }
    }
}
