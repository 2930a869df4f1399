//! A share of traffic.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A share of traffic in hundredths of a percent: `0` is none of it, [`Weight::FULL`] (10,000) is all of it.
///
/// The total is the same constant everywhere, so that Envoy's hash policy (`hash % total`) nests the canary's users
/// as the weight grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Weight(u32);

/// Why a number is no [`Weight`].
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum WeightError {
    /// Not within 0 to 100.
    #[error("a weight is a percentage from 0 to 100, got {0}")]
    OutOfRange(f64),
    /// Finer than 0.01 %.
    #[error("a weight has at most two decimals (0.01 %), got {0}")]
    TooFine(f64),
}

impl Weight {
    /// No traffic.
    pub const ZERO: Weight = Weight(0);
    /// All of the traffic: 100 %.
    pub const FULL: Weight = Weight(10_000);

    /// From a percentage with at most two decimals.
    ///
    /// # Errors
    /// When `percent` is not a number from 0 to 100, or is finer than 0.01.
    pub fn from_percent(percent: f64) -> Result<Self, WeightError> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(WeightError::OutOfRange(percent));
        }
        let hundredths = (percent * 100.0).round();
        if (hundredths - percent * 100.0).abs() > 1e-6 {
            return Err(WeightError::TooFine(percent));
        }
        Ok(Weight(hundredths as u32))
    }

    /// From hundredths of a percent; what is more than 10,000 is all of it.
    pub fn from_hundredths(hundredths: u32) -> Self {
        Weight(hundredths.min(Self::FULL.0))
    }

    /// `part` of `whole` things, to a hundredth of a percent; all of it for no things.
    pub fn part_of(part: usize, whole: usize) -> Self {
        match whole {
            0 => Self::FULL,
            _ => Self::from_hundredths(((part as u128 * u128::from(Self::FULL.0)) / whole as u128) as u32),
        }
    }

    /// The share in hundredths of a percent, 0 to 10,000.
    pub fn hundredths(self) -> u32 {
        self.0
    }

    /// The share as a percentage, 0.0 to 100.0.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// What is left for the others: 100 % minus this share.
    #[must_use]
    pub fn rest(self) -> Self {
        Weight(Self::FULL.0 - self.0)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.percent())
    }
}

impl TryFrom<f64> for Weight {
    type Error = WeightError;

    fn try_from(percent: f64) -> Result<Self, Self::Error> {
        Self::from_percent(percent)
    }
}

impl From<Weight> for f64 {
    fn from(weight: Weight) -> Self {
        weight.percent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_trip_through_text_to_a_hundredth() {
        for hundredths in 0..=10_000 {
            let weight = Weight(hundredths);
            assert_eq!(Weight::from_percent(weight.percent()), Ok(weight));
            let text = serde_json::to_string(&weight).expect("a number");
            assert_eq!(serde_json::from_str::<Weight>(&text).expect("the same number"), weight);
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        assert!(matches!(Weight::from_percent(100.01), Err(WeightError::OutOfRange(_))));
        assert!(matches!(Weight::from_percent(-1.0), Err(WeightError::OutOfRange(_))));
        assert!(matches!(Weight::from_percent(f64::NAN), Err(WeightError::OutOfRange(_))));
        assert!(matches!(Weight::from_percent(0.001), Err(WeightError::TooFine(_))));
    }
}
