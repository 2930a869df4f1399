//! Why requests failed, on which route, and at which endpoint, as a real Envoy tells it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serin::model::{Cause, Endpoint, NamedRoute, Requests, Service, Version};
use serin_testbed::upstream::{Upstream, UpstreamConfig};
use serin_testbed::{http, ports};

use crate::scene::envoy_version;
use crate::wired::Wired;

const HOST: &str = "shop.test";

fn service(name: &str, endpoints: &[SocketAddr]) -> Service {
    let endpoints = endpoints.iter().copied().map(Endpoint::at).collect();
    let version = Version { endpoints, ..Version::default() };
    Service { hosts: vec![HOST.into()], versions: [("v1".into(), version)].into(), ..Service::named(name) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_tells_why_requests_failed_on_which_route_and_where() -> Result<()> {
    if envoy_version() < (1, 37) {
        return Ok(());
    }
    let good = Upstream::start(UpstreamConfig::local("v1")).await?;
    let [nobody] = ports::free()?;
    let mut wired = Wired::new().await?;
    let mut shop = service("shop", &[good.addr()]);
    shop.routes = vec![NamedRoute { name: "pay".into(), requests: Requests::Prefix("/pay".into()) }];
    let (shop, dead, empty) = (
        wired.serve(shop, |_| ())?,
        wired.serve(service("dead", &[nobody]), |_| ())?,
        wired.serve(service("empty", &[]), |_| ())?,
    );
    wired.publish().await?;
    // What was before the first flush is not told.
    wired.reported("how many endpoints there are", |wired| wired.sums.contains_key("shop/v1")).await?;
    for (at, path, count) in [(shop, "/", 3), (shop, "/pay/now", 2), (dead, "/", 4), (empty, "/", 5)] {
        for _ in 0..count {
            http::request(::http::Method::GET, at, path, &[("host", HOST)]).await?;
        }
    }
    let all = |wired: &Wired| {
        let requests = |cluster: &str| wired.sums.get(cluster).map_or(0, |sum| sum.shared.requests);
        requests("shop/v1") >= 5 && requests("dead/v1") >= 4 && requests("empty/v1") >= 5
    };
    wired.reported("all requests", all).await?;
    let sum = |cluster: &str| &wired.sums[cluster];
    let causes = |cluster: &str| sum(cluster).failures.iter().collect::<Vec<_>>();
    ensure!(causes("shop/v1").is_empty(), "{:?}", sum("shop/v1"));
    ensure!(causes("dead/v1") == [(Cause::Connect, 4)], "{:?}", sum("dead/v1"));
    ensure!(causes("empty/v1") == [(Cause::NoEndpoint, 5)], "{:?}", sum("empty/v1"));
    let routes: Vec<_> = sum("shop/v1").routes.iter().map(|(name, of)| (&**name, of.requests, of.errors)).collect();
    ensure!(routes == [("pay", 2, 0)], "{routes:?}");
    // Load reports tell of a new cluster from their next period on, so it is asked until they do.
    let asking = tokio::spawn(async move {
        while http::request(::http::Method::GET, dead, "/", &[("host", HOST)]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let tried = |wired: &Wired| !wired.sums["dead/v1"].endpoint_tries.is_empty();
    wired.reported("tries at the endpoint", tried).await?;
    asking.abort();
    let sum = &wired.sums["dead/v1"];
    let tried: Vec<_> = sum.endpoint_tries.iter().map(|(at, of)| (*at, of.requests == of.errors)).collect();
    ensure!(tried == [(nobody, true)], "{tried:?}");
    Ok(())
}
