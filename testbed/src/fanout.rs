//! How long a push takes to reach every one of thousands of streams, and what that costs the server.
//!
//! The server under test, its clients and the driver ([`bench`]) are processes of their own, which talk over their standard
//! streams. They share one clock ([`crate::usage::monotonic`]), so that a moment in one can be compared with one in another.
//! Beside them runs a *floor*: a program that writes as many bytes to as many plain TCP sockets, and does nothing else.

pub mod bench;
pub mod clients;
pub mod command;
pub mod floor;
mod message;
pub mod node;
mod peer;
mod report;
mod spread;
mod stamps;
pub mod talk;

/// Which variant of the discovery protocol the clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// State of the world.
    Sotw,
    /// Incremental.
    Delta,
}
