//! Real gRPC clients without a proxy, in Python (gRPC's C-core) and Node (pure JavaScript), that none of us wrote: what
//! they are given, they take, and what they report decides. `make test` provides both libraries.
//!
//! One file for each concern below `tests/grpc_clients/`; the scene that they share is `tests/grpc_clients/scene.rs`.

#[path = "grpc_clients/matched.rs"]
mod matched;
#[path = "grpc_clients/release.rs"]
mod release;
#[path = "grpc_clients/scene.rs"]
mod scene;
