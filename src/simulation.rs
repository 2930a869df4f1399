//! Releases in virtual time: the machine and the judge of production against traffic that is made up.
//!
//! PURE. Owns synthetic traffic, the defects of a canary, the way of one simulated release, what many came to, and the
//! peers that it is compared with. Must not know Envoy, the wire, threads or clocks: whoever wants many at once calls
//! from many threads.
//!
//! Invariants: the same seed gives the same release, on every machine; what a peer is shown is what Serin was shown.

pub mod defect;
pub mod dice;
pub mod durations;
pub mod peers;
pub mod recording;
pub mod source;
pub mod story;
pub mod summary;
pub mod traffic;
pub mod trial;
pub mod words;
