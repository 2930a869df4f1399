//! The whole binary with real Envoys, real upstreams and an open-loop load. `make test` provides Envoy; `make test-matrix`
//! runs these against every version that is supported.
//!
//! One file for each concern below `tests/e2e/`; the scene that they share is `tests/e2e/scene.rs`.

#[path = "e2e/causes.rs"]
mod causes;
#[path = "e2e/crash.rs"]
mod crash;
#[path = "e2e/endpoints.rs"]
mod endpoints;
#[path = "e2e/gate.rs"]
mod gate;
#[path = "e2e/judged.rs"]
mod judged;
#[path = "e2e/patches.rs"]
mod patches;
#[path = "e2e/picky.rs"]
mod picky;
#[path = "e2e/polling.rs"]
mod polling;
#[path = "e2e/prometheus.rs"]
mod prometheus;
#[path = "e2e/protocol.rs"]
mod protocol;
#[path = "e2e/proxies.rs"]
mod proxies;
#[path = "e2e/rejected.rs"]
mod rejected;
#[path = "e2e/relay.rs"]
mod relay;
#[path = "e2e/release.rs"]
mod release;
#[path = "e2e/routing.rs"]
mod routing;
#[path = "e2e/scene.rs"]
mod scene;
#[path = "e2e/states.rs"]
mod states;
#[path = "e2e/status.rs"]
mod status;
#[path = "e2e/telemetry.rs"]
mod telemetry;
#[path = "e2e/transitions.rs"]
mod transitions;
#[path = "e2e/upstreams.rs"]
mod upstreams;
#[path = "e2e/ways.rs"]
mod ways;
#[path = "e2e/wired.rs"]
mod wired;
