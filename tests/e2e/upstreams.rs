//! How endpoints are treated: health, encryption, and the way out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serin::model::{
    DownstreamTls, Endpoint, EndpointState, HealthCheck, KeyPair, PatchTarget, ProbeKind, Protocol, Service,
    TrafficPlan, UpstreamTls, Version, Weight,
};
use serin_testbed::upstream::{Upstream, UpstreamConfig};
use serin_testbed::{http, ports, wait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::gate::Gate;
use crate::scene::{DEADLINE, envoy_version};
use crate::wired::Wired;

fn at(endpoints: impl IntoIterator<Item = SocketAddr>) -> Version {
    Version { endpoints: endpoints.into_iter().map(Endpoint::at).collect(), ..Version::default() }
}

fn service(name: &str, versions: impl IntoIterator<Item = (&'static str, Version)>) -> Service {
    let versions = versions.into_iter().map(|(name, version)| (name.to_owned(), version)).collect();
    Service { hosts: vec!["*".into()], versions, ..Service::named(name) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_endpoint_finishes_what_it_has_and_gets_nothing_new() -> Result<()> {
    let start = std::time::Instant::now();
    let mut wired = Wired::new().await?;
    let mut gates = vec![Gate::new(false).await?];
    for _ in 0..3 {
        gates.push(Gate::new(true).await?);
    }
    // An answer may be held back for as long as the test takes.
    let shop = service("shop", [("v1", at(gates.iter().map(|gate| gate.addr)))]);
    let to = wired.serve(Service { timeout: Some(DEADLINE), ..shop }, |_| {})?;
    wired.publish().await?;
    // Until the one that answers nothing has been asked.
    let ask = || tokio::spawn(async move { http::get(to, "/").await });
    let mut open = Vec::new();
    while gates[0].asked() == 0 {
        let asked = ask();
        wait::until("an answer, or none", DEADLINE, || async {
            ensure!(asked.is_finished() || gates[0].asked() > 0, "neither");
            Ok(())
        })
        .await?;
        open.push(asked);
    }
    // Three of four are drained: no reason for the proxy to panic, and to send requests everywhere again.
    let mut plan = TrafficPlan::all_to("shop", "v1");
    let drained = gates[..3].iter().map(|gate| (gate.addr, EndpointState::Draining));
    plan.endpoints.insert("v1".into(), drained.collect());
    wired.plans.insert("shop".into(), plan.clone());
    wired.publish().await?;
    let address = gates[0].addr;
    wired.reported("the open request", |w| w.health.in_progress_at("shop/v1", address, start) == Some(1)).await?;
    wired.reported("the one that serves", |w| w.health.worst("shop/v1") == Some((1, 4))).await?;
    let before: Vec<u64> = gates.iter().map(Gate::asked).collect();
    for _ in 0..30 {
        ensure!(http::get(to, "/").await?.status == 200);
    }
    let after: Vec<u64> = gates.iter().map(Gate::asked).collect();
    ensure!(before[..3] == after[..3] && after[3] == before[3] + 30, "{before:?} {after:?}");
    gates[0].open();
    for asked in open {
        ensure!(asked.await??.status == 200);
    }
    wired.reported("nothing to be open", |w| w.health.in_progress_at("shop/v1", address, start) == Some(0)).await?;
    plan.endpoints.insert("v1".into(), gates[..3].iter().map(|gate| (gate.addr, EndpointState::Absent)).collect());
    wired.plans.insert("shop".into(), plan);
    wired.publish().await?;
    wired.reported("it to be alone", |w| w.health.worst("shop/v1") == Some((1, 1))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_its_health_check_gets_nothing() -> Result<()> {
    let mut wired = Wired::new().await?;
    let good = Upstream::start(UpstreamConfig::local("v1")).await?;
    let [dead] = ports::free()?;
    let mut shop = service("shop", [("v1", at([good.addr(), dead]))]);
    let kind = ProbeKind::Http { path: "/healthz".into() };
    // The dead one refuses at once; the good one may be slow, where the machine is.
    let (interval, timeout) = (Duration::from_millis(100), DEADLINE);
    shop.health_check = Some(HealthCheck { kind, interval, timeout, unhealthy_threshold: 1, healthy_threshold: 1 });
    let to = wired.serve(shop, |_| {})?;
    wired.publish().await?;
    wired.reported("one healthy of two", |w| w.health.worst("shop/v1") == Some((1, 2))).await?;
    for _ in 0..20 {
        ensure!(http::get(to, "/").await?.status == 200);
    }
    // One that is healthy, and is told of no more, gets nothing either.
    let mut plan = TrafficPlan::all_to("shop", "v1");
    plan.endpoints.insert("v1".into(), [(good.addr(), EndpointState::Absent)].into());
    wired.plans.insert("shop".into(), plan);
    wired.publish().await?;
    wired.reported("none to be healthy", |w| w.health.worst("shop/v1") == Some((0, 1))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_on_both_sides_with_certificates_on_both_sides() -> Result<()> {
    let files = tempfile::tempdir()?;
    let made = rcgen::generate_simple_self_signed(["checkout.internal".to_owned()])?;
    let path = |name: &str| files.path().join(name).to_string_lossy().into_owned();
    std::fs::write(path("cert"), made.cert.pem())?;
    std::fs::write(path("key"), made.signing_key.serialize_pem())?;
    let key_pair = || KeyPair { certificate: path("cert"), key: path("key") };
    let upstream = Upstream::start(UpstreamConfig::local("v1")).await?;
    let mut wired = Wired::new().await?;
    // The proxy is its own caller: one service leads to the encrypted listener of the other.
    let secure = wired.serve(service("checkout", [("v1", at([upstream.addr()]))]), |listener| {
        listener.tls = Some(DownstreamTls { key_pair: key_pair(), client_ca: Some(path("cert")) });
    })?;
    let named =
        |name: &str| UpstreamTls { server_name: Some(name.into()), ca: Some(path("cert")), client: Some(key_pair()) };
    let mut fronts = BTreeMap::new();
    for (name, protocol, tls) in [
        ("good", Protocol::Http1, named("checkout.internal")),
        ("good-h2", Protocol::Http2, named("checkout.internal")),
        ("misnamed", Protocol::Http1, named("other.internal")),
        ("stranger", Protocol::Http1, UpstreamTls { client: None, ..named("checkout.internal") }),
    ] {
        let front = Service { protocol, tls: Some(tls), ..service(name, [("v1", at([secure]))]) };
        fronts.insert(name, wired.serve(front, |_| {})?);
    }
    wired.publish().await?;
    for (name, status) in [("good", 200), ("good-h2", 200), ("misnamed", 503), ("stranger", 503)] {
        let answer = http::get(fronts[name], "/").await?;
        ensure!(answer.status == status, "{name}: {answer:?}");
    }
    ensure!(http::get(secure, "/").await.is_err(), "it speaks nothing else");
    Ok(())
}

/// An endpoint that says who it is to each connection.
async fn speaker(name: &'static str) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(name.as_bytes()).await;
        }
    });
    Ok(addr)
}

/// How many of so many connections each speaker got.
async fn voices(to: SocketAddr, connections: usize) -> Result<BTreeMap<String, usize>> {
    let mut voices = BTreeMap::new();
    for _ in 0..connections {
        let mut said = String::new();
        TcpStream::connect(to).await?.read_to_string(&mut said).await?;
        *voices.entry(said).or_default() += 1;
    }
    Ok(voices)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_shared_out_and_counted() -> Result<()> {
    let mut wired = Wired::new().await?;
    let [dead] = ports::free()?;
    let versions = [("v1", at([speaker("v1").await?])), ("v2", at([speaker("v2").await?])), ("v3", at([dead]))];
    let to = wired.serve(Service { protocol: Protocol::Tcp, ..service("bytes", versions) }, |_| {})?;
    wired.publish().await?;
    // Counting begins with the first flush.
    wired.reported("a flush", |w| w.health.healthy("bytes/v2").is_some()).await?;
    ensure!(voices(to, 5).await? == [("v1".to_owned(), 5)].into());
    let quarter = Weight::from_percent(25.0).expect("a percentage");
    wired.plans.insert("bytes".into(), TrafficPlan::split("bytes", "v2", quarter, "v1"));
    wired.publish().await?;
    let shared = voices(to, 200).await?;
    // Five standard deviations of a binomial(200, 0.25).
    ensure!((20..=80).contains(&shared["v2"]) && shared["v1"] + shared["v2"] == 200, "{shared:?}");
    wired.plans.insert("bytes".into(), TrafficPlan::all_to("bytes", "v3"));
    wired.publish().await?;
    voices(to, 7).await?;
    wired
        .reported("the failures", |w| {
            w.sums.get("bytes/v3").is_some_and(|sum| (sum.shared.requests, sum.shared.errors) == (7, 7))
        })
        .await?;
    wired.reported("the connections", |w| w.sums["bytes/v2"].tries.requests == shared["v2"] as u64).await?;
    ensure!(wired.sums["bytes/v2"].shared.errors == 0, "{:?}", wired.sums);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_other_routes_are_counted_apart() -> Result<()> {
    if envoy_version() < (1, 37) {
        return Ok(());
    }
    let upstream = Upstream::start(UpstreamConfig::local("v1")).await?;
    let mut wired = Wired::new().await?;
    let mut shop = service("shop", [("v1", at([upstream.addr()]))]);
    let chosen = serde_json::json!({"routes": [
        {"name": "chosen/0", "match": {"path": "/chosen"}, "route": {"cluster": "shop/v1"}},
    ]});
    shop.envoy = [(PatchTarget::VirtualHost, chosen)].into();
    let to = wired.serve(shop, |_| {})?;
    wired.publish().await?;
    wired.reported("a flush", |w| w.health.healthy("shop/v1").is_some()).await?;
    for (path, times) in [("/", 7), ("/chosen", 5)] {
        for _ in 0..times {
            ensure!(http::get(to, path).await?.status == 200);
        }
    }
    let is_apart = |wired: &Wired| {
        let sum = wired.sums.get("shop/v1");
        sum.is_some_and(|sum| (sum.shared.requests, sum.chosen.requests, sum.tries.requests) == (7, 5, 12))
    };
    wired.reported("five chosen ones beside seven others", is_apart).await
}
