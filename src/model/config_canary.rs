//! How new configuration spreads through a fleet.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// New configuration goes to a few proxies of a fleet first, and to the rest when these have taken it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigCanary {
    /// How many go first; they are taken from all localities in turn.
    pub proxies: Portion,
    /// For how long they must have it, without trouble, before the rest are given it. Zero: no longer than until they
    /// have acknowledged it.
    pub quiet: Duration,
    /// How many answers of class 5xx all of them together may give in that time.
    pub max_5xx: u32,
}

/// Some of a number of proxies or endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Portion {
    /// So many, at least 1.
    Count(u32),
    /// Of a hundred, 1 to 99, rounded up.
    Percent(u8),
}

impl Portion {
    /// How many of `whole` that is: at least 1, a percentage rounded up.
    pub fn of(self, whole: usize) -> usize {
        match self {
            Self::Count(count) => (count as usize).max(1),
            Self::Percent(percent) => (whole * usize::from(percent)).div_ceil(100).max(1),
        }
    }
}

impl fmt::Display for Portion {
    /// As in the spec: `2`, `10%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}
