//! Endpoints that register: they serve, survive a restart of the server, and leave without a failed request.

use anyhow::{Context, Result, ensure};
use serin::admin::proto::EndpointState::{self, Draining, Serving};
use serin::admin::proto::ListEndpointsRequest;
use serin::admin::proto::endpoint_service_client::EndpointServiceClient;
use serin_testbed::child::{Child, Signal};
use serin_testbed::upstream::{Upstream, UpstreamConfig};
use serin_testbed::wait;

use crate::scene::{DEADLINE, Proxy, Scene};

/// One version, where those who register run it.
fn commit(scene: &Scene) -> Result<()> {
    let mut text = "apiVersion: serin.dev/v1\nkind: Service\nmetadata: {name: checkout}\nspec:\n  \
                    hosts: [shop.example.com]\n  versions: {v1: {registered: {ttl: 10s, drain: 3s}}}\n"
        .to_owned();
    for Proxy { id, listen, .. } in &scene.proxies {
        text += &format!(
            "---\napiVersion: serin.dev/v1\nkind: Fleet\nmetadata: {{name: {id}}}\nspec:\n  nodes: {{cluster: {id}}}\n  \
             listeners: [{{name: http, bind: \"{listen}\", services: [checkout]}}]\n"
        );
    }
    scene.server.write_spec("specs.yaml", &text)
}

/// `serin register` beside an upstream.
fn agent(scene: &Scene, name: &str, upstream: &Upstream) -> Result<Child> {
    let address = upstream.addr().to_string();
    let mut command = scene.server.client(["register", "checkout", "v1", &address]);
    Child::spawn(name, &mut command, scene.server.specs().with_file_name(format!("{name}.log")))
}

/// State and address of the endpoints, sorted. Asked without a process of the client, which may take longer to start on a
/// machine with much to do than a state lasts.
async fn endpoints(scene: &Scene) -> Result<Vec<(EndpointState, String)>> {
    let mut client = EndpointServiceClient::connect(format!("http://{}", scene.server.admin())).await?;
    let request = ListEndpointsRequest { service: "checkout".into() };
    let listed = client.list_endpoints(request).await?.into_inner();
    let version = listed.versions.into_iter().next().context("a version")?;
    let mut found: Vec<_> = version.endpoints.into_iter().map(|of| (of.state(), of.address)).collect();
    found.sort();
    Ok(found)
}

async fn until(scene: &Scene, what: &str, wanted: &[(EndpointState, &Upstream)]) -> Result<()> {
    let mut wanted: Vec<_> = wanted.iter().map(|(state, of)| (*state, of.addr().to_string())).collect();
    wanted.sort();
    wait::until(what, DEADLINE, || async {
        let shown = endpoints(scene).await?;
        ensure!(shown == wanted, "{shown:?}");
        Ok(())
    })
    .await
    .with_context(|| scene.server.tail())
}

/// Waits until every proxy knows these endpoints and no others.
async fn until_proxies_have(scene: &Scene, upstreams: &[&Upstream]) -> Result<()> {
    let mut wanted: Vec<_> = upstreams.iter().map(|upstream| upstream.addr()).collect();
    wanted.sort();
    wait::until("the proxies to have the endpoints", DEADLINE, || async {
        for envoy in &scene.envoys {
            let known: Vec<_> =
                envoy.endpoint_requests().await?.into_keys().filter(|at| *at != scene.server.xds()).collect();
            ensure!(known == wanted, "{}: {known:?}", envoy.id());
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_endpoints_serve_survive_a_restart_and_leave_unnoticed() -> Result<()> {
    let mut scene = Scene::new().await?;
    let [one, two] =
        [Upstream::start(UpstreamConfig::local("v1")).await?, Upstream::start(UpstreamConfig::local("v1")).await?];
    commit(&scene)?;
    scene.server.start().await?;
    let mut agents = [agent(&scene, "one", &one)?, agent(&scene, "two", &two)?];
    until(&scene, "both to be registered", &[(Serving, &one), (Serving, &two)]).await?;
    for proxy in scene.proxies.clone() {
        scene.start_proxy(&proxy).await?;
    }
    until_proxies_have(&scene, &[&one, &two]).await?;
    let load = scene.load(200.0);
    wait::until("both to serve", DEADLINE, || async {
        ensure!(one.requests() > 0 && two.requests() > 0, "{} and {} requests", one.requests(), two.requests());
        Ok(())
    })
    .await?;

    // Nobody says anything while the server is away: what it knows then, it knows from its store.
    for agent in &mut agents {
        agent.signal(Signal::STOP)?;
    }
    scene.server.kill9();
    scene.server.start().await?;
    until(&scene, "both to be known from the store", &[(Serving, &one), (Serving, &two)]).await?;
    for agent in &mut agents {
        agent.signal(Signal::CONT)?;
    }

    // The first one's agent dies without a word; what it stood beside goes on until nobody sends it anything.
    agents[0].kill();
    until(&scene, "the silent one to be drained", &[(Draining, &one), (Serving, &two)]).await?;
    until(&scene, "the silent one to be dropped", &[(Serving, &two)]).await?;
    until_proxies_have(&scene, &[&two]).await?;
    one.stop().await;
    let served = two.requests();
    wait::until("the other one to serve on", DEADLINE, || async {
        ensure!(two.requests() > served + 100, "{} requests", two.requests());
        Ok(())
    })
    .await?;
    let mut summary = Default::default();
    load.finish(&mut summary).await;
    ensure!(summary.failures() == 0 && summary.overload == 0, "{summary:#?}");

    let ended = agents[1].terminate(DEADLINE).await?;
    ensure!(ended.success() && agents[1].output().contains("deregistered"), "{ended}: {}", agents[1].output());
    let shown = endpoints(&scene).await?;
    ensure!(shown.iter().all(|(state, _)| *state == Draining), "{shown:?}");
    Ok(())
}
