//! What the proxies report of their users' requests: lean decoding of `MetricsService` and load reports, and the
//! counts of each report as differences.
//!
//! [`wire`], [`report`], `sample`, `counters`, `exposition`, `load`, `focus`, `tally`, `channel`, `proxy` and `table` are
//! PURE: messages and the time they came at in, [`NodeReport`]s out. [`server`] is the SHELL that speaks gRPC, [`poll`] the
//! one that asks where nothing is sent, [`Batches`] what is read of both. Must not know releases, rollouts or verdicts.
//!
//! Invariant: no request is told twice, and none that was not made. What is missing, repeated, out of order, not a
//! number or of unknown age is left out, never guessed.

mod batches;
mod channel;
mod counters;
mod exposition;
mod focus;
mod load;
pub mod poll;
mod proxy;
pub mod report;
mod sample;
pub mod server;
mod table;
mod tally;
pub mod wire;

pub use batches::Batches;
pub use channel::{Channel, LastReport};
pub use focus::{Focus, Traffic};
pub use report::{ClusterDelta, Histogram, NodeReport, Others, Outcomes, Source};
pub use server::Telemetry;
