//! SHELL: the HTTP side for machines that look after machines: `/healthz`, `/readyz`, `/metrics`; and why a release stands
//! as it does, for people.
//!
//! Owns what "ready" means and the names of the metrics. Only reads, and holds nothing of its own: each answer is
//! rendered from the engine's view, the registry of proxies and the history. Must not know gRPC, and must not tell anything about
//! single proxies.
//!
//! Invariants: `/healthz` answers as long as the process does; `/readyz` is 200 only when nothing at all is pending.

mod explain;
mod metrics;
mod readiness;

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

pub use readiness::{Readiness, ReadinessTask};

use self::metrics::Delivery;
use crate::http::Tally;
use crate::rollout::engine::View;
use crate::store::History;
use crate::xds::connection::Stalls;
use crate::xds::{self, Cache, Proxies, withheld};

const PLAIN: &str = "text/plain; charset=utf-8";

/// What the answers are rendered from.
#[derive(Clone)]
pub struct WebState {
    /// What the engine shows.
    pub view: watch::Receiver<Arc<View>>,
    /// How far the proxies are.
    pub proxies: Proxies,
    /// What they are given, and what is kept from them.
    pub cache: Cache,
    /// The discovery services.
    pub discovery: xds::Server,
    /// The watch over proxies that do not read.
    pub stalls: Stalls,
    /// What must be done before the server is ready.
    pub readiness: Readiness,
    /// What the tries of hooks came to.
    pub hooks: Tally,
    /// What the notifications came to.
    pub notifications: Tally,
    /// What was decided.
    pub history: Arc<dyn History>,
}

impl WebState {
    /// Why the server is not ready: the tasks' own reasons, a store that fails, an engine that is gone.
    fn pending(&self) -> Vec<(String, String)> {
        let mut pending = self.readiness.pending();
        if let Some(error) = &self.view.borrow().store_error {
            pending.push(("store".into(), error.clone()));
        }
        if self.view.has_changed().is_err() {
            pending.push(("engine".into(), "has stopped".into()));
        }
        pending
    }
}

/// The routes. Serve them where only the operator's machines can reach them.
pub fn router(state: WebState) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(|| async { answer(StatusCode::OK, PLAIN, "ok\n".into()) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/releases/{name}/explain", get(explain::page))
        .with_state(state)
}

async fn index() -> Response {
    let text = concat!(
        "serin ",
        env!("CARGO_PKG_VERSION"),
        "\n\n",
        "/healthz  whether the process runs\n",
        "/readyz   whether it serves, and what it waits for\n",
        "/metrics  for Prometheus\n",
        "/releases/NAME/explain  why a release stands as it does\n",
    );
    answer(StatusCode::OK, PLAIN, text.into())
}

async fn readyz(State(state): State<WebState>) -> Response {
    let pending = state.pending();
    if pending.is_empty() {
        return answer(StatusCode::OK, PLAIN, "ok\n".into());
    }
    let mut text = String::new();
    for (task, reason) in pending {
        // One line each, whatever an error's text holds.
        let _ = writeln!(text, "{task}: {}", reason.replace(['\n', '\r'], " "));
    }
    answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text)
}

async fn metrics(State(state): State<WebState>) -> Response {
    let view = Arc::clone(&state.view.borrow());
    let parked = |group: &String| {
        let intended = state.cache.current(group);
        (group.clone(), withheld(intended.as_deref(), state.cache.parked(group)).len())
    };
    let delivery = Delivery {
        quarantined: view.groups.keys().map(parked).collect(),
        waiting: state.discovery.waiting(),
        stalled: state.stalls.closed(),
        hooks: state.hooks.read(),
        notifications: state.notifications.read(),
    };
    match metrics::render(&view, &state.proxies.list(), &delivery) {
        Ok(text) => answer(StatusCode::OK, prometheus::TEXT_FORMAT, text),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be rendered");
            answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("the metrics cannot be rendered: {error}\n"))
        }
    }
}

fn answer(status: StatusCode, content_type: &'static str, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text).into_response()
}

#[cfg(test)]
mod tests;
