//! SHELL: what operators and scrapers may cost. What proxies may cost stands in `xds::listen`.

use tonic::transport::Server;
use tower::limit::GlobalConcurrencyLimitLayer;

use crate::xds::listen::within_limits;

/// Pages that are rendered at a time.
const PAGES: usize = 16;

/// The server that operators talk to.
pub(super) fn admin_side() -> Server {
    within_limits(Server::builder()).load_shed(true).concurrency_limit_per_connection(64)
}

/// The pages within their limits: a scraper that calls in a loop waits for its own earlier calls.
pub(super) fn pages(router: axum::Router) -> axum::Router {
    router.layer(GlobalConcurrencyLimitLayer::new(PAGES))
}
