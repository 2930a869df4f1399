//! The nouns of release engineering as Serin knows them: what may be served, and what should be live.
//!
//! PURE. Owns the validated data that every other module speaks in: [`Fleet`], [`Service`], [`Release`] (what users
//! write, already checked by `spec`) and [`TrafficPlan`] (what `rollout` decides and `translate` builds from).
//! Must not know YAML, Envoy's API, clocks or any runtime.
//!
//! Invariants: a [`Weight`] is at most [`Weight::FULL`]; the shares of a [`TrafficPlan`] sum to [`Weight::FULL`];
//! in a [`World`] every name that a document refers to exists.

mod analysis;
mod config_canary;
mod fleet;
mod hook;
mod matching;
mod measure;
mod patch;
mod query;
mod release;
mod route;
mod service;
mod strategy;
mod templates;
mod traffic;
mod upstream;
mod weight;
mod window;
mod world;

pub use analysis::{
    AnalysisPolicy, ClusterSize, EjectionsMetric, ErrorsMetric, LatencyMetric, MeasuredMetric, MetricSource,
    OnInconclusive, OnNoData, QuantileLimit, Risk,
};
pub use config_canary::{ConfigCanary, Portion};
pub use fleet::{Fleet, Listener, NodeSelector, Pattern, Poll, RouteConfig};
pub use hook::{Hook, OnHookFailure, Probe, ProbeKind, Sink, SinkFormat};
pub use matching::{GrpcMethod, Rule, Sticky, StickyCookie, TextMatch, UserKey, Users};
pub use measure::{Cause, Failures, Histogram};
pub use patch::{PatchTarget, Patches};
pub use query::{PLACEHOLDERS, fill_in, placeholders};
pub use release::{
    Candidate, Experiment, OnDeadline, OnRejected, ProgressDeadline, Release, RetryPolicy, Rollback, Wave,
};
pub use route::{NamedRoute, Requests};
pub use service::{Endpoint, EndpointSource, OutlierDetection, Protocol, Service, Version};
pub(crate) use strategy::Friendly;
pub use strategy::{
    AutoPromote, BlueGreen, Canary, EndpointState, EndpointStates, Holdback, OnBatchFailure, Preview, Retire, Rolling,
    RollingCanary, Step, Strategy, Update,
};
pub use templates::{SensibleLimit, TEMPLATES, Template, template};
pub use traffic::{Mirrored, PlanError, Routing, Share, Targeted, TrafficPlan};
pub use upstream::{CircuitBreakers, DownstreamTls, HealthCheck, KeyPair, LoadBalancing, Retries, UpstreamTls};
pub use weight::{Weight, WeightError};
pub use window::{DenyWindow, When, denied_until};
pub use world::World;
