//! How many errors one cause makes at once, estimated from how they are spread.
//!
//! PURE. The ratio test takes every error for a draw of its own. One cause that makes `m` errors on one side is one draw,
//! so its evidence is tempered by `1/m`. Nobody knows `m` beforehand; two things tell of it:
//!
//! - **What is known** before a window ([`Clusters::known`]): the baseline's index of dispersion, over its cells (proxies,
//!   endpoints) within each window, and over each two windows running as if these were two cells. The larger of both
//!   counts. Bursts that both sides share do not touch the first. At the beginning it is [`CAREFUL`], which a few errors
//!   that come singly talk down. The canary does not teach it: what it does may be its own fault.
//! - **What the window itself looks like** ([`Clusters::size`]): errors that heap on few cells, or come all at once after
//!   a window with few, are one cause's until proven otherwise. That tempers only what the window *wins*. What it
//!   loses is tempered by what was known before: so each factor is at most the one that what was known allows, and whatever
//!   promise that has is kept. It is what keeps the first burst ever seen, an endpoint that restarts, from reverting.
//!
//! A failure that stays is not tempered for ever: after [`LASTS`] heaped windows running, and some windows after a
//! rise that does not fall again, it is the arm's own rate and no burst.
//!
//! What cannot be told apart: where there is only one cell, an outage of some seconds and a version that is broken.

use serde::{Deserialize, Serialize};

use super::ratio::finite_at_least_one;
use super::{Arm, Counts, Spread};

/// What one cause is taken to make before anything is known.
const CAREFUL: f64 = 2.0;
/// How many errors that weighs.
const CARE: f64 = 3.0;
/// From this index of dispersion on, a window is taken for a burst. Errors that come singly exceed it in one window of
/// twenty (3.84 is the 95 % point of χ² with one degree of freedom).
const HEAPED: f64 = 4.0;
/// How far, in the deviations that single errors on two cells may have, all windows together are off before that is groups.
const BY_CHANCE: f64 = 1.0;
/// Over how many windows one cause may go on: each of them has that part of it.
const GOES_ON: f64 = 3.0;
/// After so many heaped windows running it is no burst any more.
const LASTS: u32 = 5;

/// By what one window's evidence is tempered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// How many errors one cause makes, as known before the window.
    pub known: f64,
    /// The same with what the window itself looks like: never smaller.
    pub burst: f64,
}

impl From<f64> for Size {
    /// Known beforehand, and that is that.
    fn from(size: f64) -> Self {
        Self { known: size, burst: size }
    }
}

impl Size {
    /// The factor's logarithm, tempered: what is won by the larger size, what is lost by the one that was known.
    pub(super) fn temper(self, ln_factor: f64) -> f64 {
        let known = finite_at_least_one(self.known);
        ln_factor / if ln_factor > 0.0 { finite_at_least_one(self.burst).max(known) } else { known }
    }
}

/// What the errors of one rollout say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Clusters {
    /// The baseline's, over cells.
    cells: Spread,
    /// The baseline's, over windows that follow each other.
    times: Spread,
    canary: Recent,
    baseline: Recent,
}

/// The sizes for the three kinds of test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sizes {
    /// For bets on more of the canary's errors.
    pub(super) worse: Size,
    /// For bets on fewer of the canary's than the baseline's.
    pub(super) better: Size,
    /// For bets on fewer than a fixed rate.
    pub(super) fewer: Size,
}

impl From<f64> for Sizes {
    fn from(size: f64) -> Self {
        let size = Size::from(size);
        Self { worse: size, better: size, fewer: size }
    }
}

impl Clusters {
    /// How many errors one cause makes, as far as is known.
    pub(super) fn known(&self) -> f64 {
        self.with_care(CAREFUL)
    }

    /// The same for bets on few errors. Where nothing fails nothing is learnt, and care would only make a clean canary wait.
    pub(super) fn known_of_few(&self) -> f64 {
        self.with_care(1.0)
    }

    /// What to temper this window by, which is not learnt from yet.
    pub(super) fn sizes(&self, canary: &Arm, errors: Counts, baseline: &Arm, of_baseline: Counts) -> Sizes {
        let known = self.known();
        let with = |burst: f64| Size { known, burst: burst.max(known) };
        Sizes {
            worse: with(self.canary.after(errors, canary.spread).burst()),
            better: with(self.baseline.after(of_baseline, baseline.spread).burst()),
            fewer: Size::from(self.known_of_few()),
        }
    }

    /// Learns from a window of the canary's.
    pub(super) fn note_canary(&mut self, errors: Counts, spread: Spread) {
        self.canary = self.canary.after(errors, spread);
    }

    /// Learns from a window of the baseline's.
    pub(super) fn note_baseline(&mut self, errors: Counts, spread: Spread) {
        if let Some(before) = self.baseline.before {
            self.times = self.times.plus(Spread::across([before, errors].into_iter()));
        }
        self.cells = self.cells.plus(spread.sane());
        self.baseline = self.baseline.after(errors, spread);
    }

    fn with_care(&self, care: f64) -> f64 {
        // Errors of which no cells are told count as singles there: the windows speak for them.
        let weight = self.cells.expected.max(self.times.expected);
        let over_cells = (self.cells.squares + weight - self.cells.expected + CARE * care) / (weight + CARE);
        let over_times = (self.times.squares + CARE * care) / (self.times.expected + CARE);
        finite_at_least_one(over_cells.max(over_times))
    }
}

/// What is kept of one arm's newest windows.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Recent {
    before: Option<Counts>,
    /// How many heaped windows running there were, this one included.
    heaped: u32,
    /// The index of dispersion over the cells of the newest window when it is heaped.
    heap: f64,
    /// How all errors so far were spread over cells.
    cells: Spread,
    /// The sum of the squares of what was expected of each window: how far the cells may be off by chance.
    chance: f64,
    /// In how many windows running there were errors, this one included.
    failing: u32,
    /// That of its rise over the window before, if it is a burst; half as much with each window after it.
    rise: f64,
}

impl Recent {
    fn after(self, now: Counts, spread: Spread) -> Self {
        if now.requests == 0 {
            return Self { rise: self.rise / 2.0, ..self };
        }
        let (now, told) = (now.clamped(), spread.sane());
        let is_heaped = told.squares > HEAPED * told.expected;
        let rise = match self.before {
            Some(before) => {
                let over = Spread::across([before, now].into_iter());
                let rises = now.error_rate() > before.error_rate() && over.squares > HEAPED * over.expected;
                if rises { over.squares / over.expected } else { 0.0 }
            }
            // The first window rises over nothing. Its cells, when they are told, say whether it is heaped.
            None if told.expected == 0.0 => now.errors as f64,
            None => 0.0,
        };
        Self {
            before: Some(now),
            heaped: if is_heaped { self.heaped.saturating_add(1) } else { 0 },
            heap: if is_heaped { told.squares / told.expected } else { 0.0 },
            cells: self.cells.plus(told),
            chance: (self.chance + told.expected.powi(2)).min(f64::MAX),
            failing: if now.errors > 0 { self.failing.saturating_add(1) } else { 0 },
            rise: rise.max(self.rise / 2.0),
        }
    }

    /// Groups too small to be seen in one window: what all windows together have beyond errors that come singly, for as long
    /// as each goes on. Of errors that come in every window they say nothing: those are the arm's own rate.
    fn groups(self) -> f64 {
        let beyond = self.cells.squares - self.cells.expected;
        if self.failing > LASTS || beyond <= BY_CHANCE * self.chance.sqrt() {
            return 1.0;
        }
        let index = (self.cells.squares + CARE) / (self.cells.expected + CARE);
        1.0 + GOES_ON * (index - 1.0).max(0.0)
    }

    fn burst(self) -> f64 {
        match self.heaped {
            0 => self.rise.max(self.groups()),
            1..=LASTS => self.rise.max(GOES_ON * self.heap),
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests;
