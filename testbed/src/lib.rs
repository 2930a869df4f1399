//! Real parts for Serin's demo, tests and benchmarks. Nothing here is a mock, and nothing here knows Serin's code: the
//! server under test is reached like any other process, over its ports and its command line.
//!
//! - [`envoy::EnvoyProcess`] runs a real Envoy;
//! - [`process::ServerProcess`] runs the `serin` binary, and can kill it at any moment;
//! - [`grpc_client::GrpcClient`] runs a real gRPC client that needs no proxy, in Python or Node;
//! - [`prometheus::Prometheus`] runs a real Prometheus, which scrapes what it is told to;
//! - [`upstream::Upstream`] is a version of a service: it fails and dawdles as told, reproducibly;
//! - [`tcp::TcpUpstream`] is one of a service that speaks bytes;
//! - [`cable::Cable`] is a way to a server that can be cut;
//! - [`hooks::HookReceiver`] is asked and told by webhooks, and answers as scripted; [`agent::Agent`] updates upstreams in
//!   place when asked to;
//! - [`load::Load`] sends requests on a schedule of its own, whether or not earlier ones were answered;
//! - [`fanout`] measures what a push to thousands of streams takes;
//! - [`soak::soak`] makes transitions of every kind under load, and counts what they lose;
//! - [`wait::until`] waits for a condition, with a deadline.
//!
//! Whatever is started here ends with its owner: a dropped process is killed by its id and waited for.

pub mod agent;
pub mod cable;
pub mod child;
pub mod cli;
pub mod envoy;
pub mod fanout;
pub mod grpc_client;
pub mod hooks;
pub mod http;
pub mod load;
pub mod ports;
pub mod process;
pub mod prometheus;
mod provided;
pub mod soak;
pub mod tcp;
pub mod upstream;
pub mod usage;
pub mod wait;
