//! Serin releases software through a fleet of Envoy proxies.
//!
//! A tour, in the way of the data:
//!
//! 1. [`spec`] reads what people write into the nouns of [`model`], or says all that is wrong with it.
//! 2. [`rollout`] decides: a pure state machine for each release, driven by one engine.
//! 3. [`translate`] builds what the proxies are to have from the specs and the decided shares of traffic.
//! 4. [`xds`] carries it to the proxies and knows how far each is. It is of use on its own, and knows nothing of releases.
//! 5. [`telemetry`] takes in what the proxies count; [`analysis`] says what it proves; and `rollout` decides again.
//!
//! [`calls`] asks those outside whom a rollout wants asked, [`providers`] asks for numbers that others measure,
//! [`notify`] tells who wants to know, all over [`http`]. [`simulation`] plays releases in virtual time.
//! [`store`] keeps every decision before it is published. [`admin`], [`web`] and [`cli`] show and steer; [`server`] joins
//! it all. `ARCHITECTURE.md` says who may import whom, and why.

pub mod admin;
pub mod analysis;
pub mod calls;
pub mod cli;
pub mod descriptors;
pub mod endpoints;
pub mod http;
pub mod model;
pub mod notify;
pub mod patch;
pub mod providers;
pub mod rollout;
pub mod server;
pub mod simulation;
pub mod spec;
pub mod store;
pub mod telemetry;
pub mod translate;
pub mod web;
pub mod xds;
