//! The nouns of release engineering as Serin knows them: what may be served, and what should be live.
//!
//! PURE. Owns the validated data that every other module speaks in: [`Fleet`], [`Service`], [`Release`] (what users
//! write, already checked by `spec`) and [`TrafficPlan`] (what `rollout` decides and `translate` builds from).
//! Must not know YAML, Envoy's API, clocks or any runtime.
//!
//! Invariants: a [`Weight`] is at most [`Weight::FULL`]; the shares of a [`TrafficPlan`] sum to [`Weight::FULL`];
//! in a [`World`] every name that a document refers to exists.

mod config_canary;
mod fleet;
mod patch;
mod release;
mod service;
mod traffic;
mod weight;
mod world;

pub use config_canary::{ConfigCanary, Portion};
pub use fleet::{Fleet, Listener, NodeSelector, Pattern, RouteConfig};
pub use patch::{PatchTarget, Patches};
pub use release::{
    AnalysisPolicy, EjectionsMetric, ErrorsMetric, OnInconclusive, OnNoData, OnRejected, Release, Risk, Step, Strategy,
};
pub use service::{Endpoint, OutlierDetection, Protocol, Service, Version};
pub use traffic::{PlanError, Share, TrafficPlan};
pub use weight::{Weight, WeightError};
pub use world::World;
