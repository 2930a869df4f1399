//! Real parts for Serin's demo, tests and benchmarks. Nothing here is a mock, and nothing here knows Serin's code: the
//! server under test is reached like any other process, over its ports and its command line.
//!
//! - [`envoy::EnvoyProcess`] runs a real Envoy;
//! - [`process::ServerProcess`] runs the `serin` binary, and can kill it at any moment;
//! - [`upstream::Upstream`] is a version of a service: it fails and dawdles as told, reproducibly;
//! - [`load::Load`] sends requests on a schedule of its own, whether or not earlier ones were answered;
//! - [`wait::until`] waits for a condition, with a deadline.
//!
//! Whatever is started here ends with its owner: a dropped process is killed by its id and waited for.

pub mod child;
pub mod cli;
pub mod envoy;
pub mod http;
pub mod load;
pub mod ports;
pub mod process;
pub mod upstream;
pub mod wait;
