//! How errors are spread: singly, or in groups that one cause makes.
//!
//! PURE. Errors that come independently of each other fall on the cells of a window (proxies, or endpoints) as often as these have
//! requests. Errors that come in groups of `m` on one cell vary `m` times as much: the squares of what a cell has beyond
//! its expectation, in sum, are `m` times the expectations (the index of dispersion of a compound Poisson count).

use serde::{Deserialize, Serialize};

use super::Counts;

/// What the cells of one arm in one window say, to be added up.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spread {
    /// The sum over cells of (errors − expected)².
    pub squares: f64,
    /// What that sum is on average while errors come singly: the sum of expected · (1 − the cell's share).
    pub expected: f64,
}

impl Spread {
    /// Of the cells of one arm in one window. With fewer than two that have requests nothing is known.
    pub fn across(cells: impl Iterator<Item = Counts> + Clone) -> Self {
        let all = cells.clone().fold(Counts::default(), |sum, cell| sum.plus(cell.clamped()));
        if all.requests == 0 || all.errors == 0 {
            return Self::default();
        }
        let mut spread = Self::default();
        for cell in cells {
            let share = cell.requests as f64 / all.requests as f64;
            let expected = all.errors as f64 * share;
            spread.squares += (cell.clamped().errors as f64 - expected).powi(2);
            spread.expected += expected * (1.0 - share);
        }
        spread
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { squares: self.squares + other.squares, expected: self.expected + other.expected }
    }

    /// What is no number, or negative, says nothing.
    pub(super) fn sane(self) -> Self {
        let is_sane =
            self.squares.is_finite() && self.expected.is_finite() && self.squares >= 0.0 && self.expected > 0.0;
        if is_sane { self } else { Self::default() }
    }
}

/// How the errors of one arm were spread in all windows so far, over proxies and over endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spreads {
    proxies: Spread,
    endpoints: Spread,
}

impl Spreads {
    /// Of a window, that over which errors have come in larger groups so far: what hits one endpoint is seen by many
    /// proxies, and what hits one proxy at many endpoints. By all windows, because the larger of two single ones is
    /// large by chance.
    pub fn wider(&mut self, proxies: Spread, endpoints: Spread) -> Spread {
        self.proxies = self.proxies.plus(proxies);
        self.endpoints = self.endpoints.plus(endpoints);
        let group = |spread: Spread| if spread.expected > 0.0 { spread.squares / spread.expected } else { 0.0 };
        if group(self.endpoints) > group(self.proxies) { endpoints } else { proxies }
    }
}
