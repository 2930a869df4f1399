//! What the fuzzers run: inputs of any kind through public interfaces that must stand them.
//!
//! Each module is a target: a function that takes bytes and panics when something is wrong. The binaries hand it to
//! libFuzzer; the test `corpus` replays what they kept.

pub mod client;
pub mod frames;
pub mod story;
pub mod world;
