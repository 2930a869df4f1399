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
mod hook;
mod matching;
mod patch;
mod release;
mod service;
mod strategy;
mod traffic;
mod upstream;
mod weight;
mod window;
mod world;

pub use config_canary::{ConfigCanary, Portion};
pub use fleet::{Fleet, Listener, NodeSelector, Pattern, RouteConfig};
pub use hook::{Hook, OnHookFailure, Probe, ProbeKind, Sink, SinkFormat};
pub use matching::{GrpcMethod, Rule, Sticky, StickyCookie, TextMatch, UserKey, Users};
pub use patch::{PatchTarget, Patches};
pub use release::{
    AnalysisPolicy, Candidate, EjectionsMetric, ErrorsMetric, Experiment, OnDeadline, OnInconclusive, OnNoData,
    OnRejected, ProgressDeadline, Release, RetryPolicy, Risk, Rollback, Wave,
};
pub use service::{Endpoint, EndpointSource, OutlierDetection, Protocol, Service, Version};
pub(crate) use strategy::Friendly;
pub use strategy::{
    AutoPromote, BlueGreen, Canary, EndpointState, EndpointStates, OnBatchFailure, Preview, Retire, Rolling,
    RollingCanary, Step, Strategy, Update,
};
pub use traffic::{Mirrored, PlanError, Routing, Share, Targeted, TrafficPlan};
pub use upstream::{CircuitBreakers, DownstreamTls, HealthCheck, KeyPair, LoadBalancing, Retries, UpstreamTls};
pub use weight::{Weight, WeightError};
pub use window::{DenyWindow, When, denied_until};
pub use world::World;
