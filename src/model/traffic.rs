//! What a service's traffic is to do: the one thing `rollout` tells `translate`.

use serde::{Deserialize, Serialize};

use super::Weight;

/// A version and its share of a service's traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The version's name in the service.
    pub version: String,
    /// Its share.
    pub weight: Weight,
}

/// How a service's traffic is shared out. The shares sum to [`Weight::FULL`]; the canary comes first, so that a hash
/// policy nests its users as it grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficPlan {
    /// The service's name.
    pub service: String,
    shares: Vec<Share>,
}

/// Why shares make no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The shares do not sum to 100 %.
    #[error("the shares of service {service} sum to {hundredths} hundredths of a percent, not 10000")]
    Sum {
        /// The service.
        service: String,
        /// What they sum to.
        hundredths: u32,
    },
    /// A version stands there twice.
    #[error("version {version} has two shares of service {service}")]
    Twice {
        /// The service.
        service: String,
        /// The version.
        version: String,
    },
}

impl TrafficPlan {
    /// A plan from shares, canary first.
    ///
    /// # Errors
    /// When they do not sum to 100 %, or name a version twice.
    pub fn new(service: impl Into<String>, shares: Vec<Share>) -> Result<Self, PlanError> {
        let service = service.into();
        let hundredths: u32 = shares.iter().map(|s| s.weight.hundredths()).sum();
        if hundredths != Weight::FULL.hundredths() {
            return Err(PlanError::Sum { service, hundredths });
        }
        for (at, share) in shares.iter().enumerate() {
            if shares[..at].iter().any(|s| s.version == share.version) {
                return Err(PlanError::Twice { service, version: share.version.clone() });
            }
        }
        Ok(Self { service, shares })
    }

    /// Everything to one version.
    pub fn all_to(service: impl Into<String>, version: impl Into<String>) -> Self {
        Self { service: service.into(), shares: vec![Share { version: version.into(), weight: Weight::FULL }] }
    }

    /// `weight` to the canary, the rest to the stable version. Both are named even at 0 %, so that both clusters stay.
    pub fn split(service: impl Into<String>, canary: &str, weight: Weight, stable: &str) -> Self {
        if canary == stable {
            return Self::all_to(service, stable);
        }
        Self {
            service: service.into(),
            shares: vec![
                Share { version: canary.into(), weight },
                Share { version: stable.into(), weight: weight.rest() },
            ],
        }
    }

    /// The shares, canary first.
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// The share of a version; nothing when it has no place in the plan.
    pub fn weight_of(&self, version: &str) -> Weight {
        self.shares.iter().find(|s| s.version == version).map_or(Weight::ZERO, |s| s.weight)
    }
}
