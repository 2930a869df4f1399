//! SHELL: the composition root, the one place that sees all shells. Builds them, joins them, and takes them down.

mod fleets;
mod limits;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;

use crate::admin;
use crate::calls::Caller;
use crate::endpoints;
use crate::http::Secrets;
use crate::notify::Notifier;
use crate::providers::Measurer;
use crate::rollout::engine::{Calls, Engine, EngineHandle, Inputs, Measurements};
use crate::spec;
use crate::store::redb::RedbStore;
use crate::store::{History, Store};
use crate::telemetry::{Batches, Telemetry, poll};
use crate::web::{self, Readiness, WebState};
use crate::xds::{self, Cache, Proxies, listen};

/// How many reports may wait for the engine. Further ones are dropped and counted: missing data hold, they never advance.
const REPORTS_WAITING: usize = 8192;
/// How many answers from outside wait for the engine.
const ANSWERS_WAITING: usize = 64;
/// Connections that may wait to be accepted: all proxies come back at once after a restart, and who finds the queue full
/// tries again only after seconds.
const BACKLOG: u32 = 16_384;
/// How long the end may take.
const GOODBYE: Duration = Duration::from_secs(8);

/// How the server is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// The directory of specs.
    pub specs: PathBuf,
    /// Where rollouts and their journals are kept.
    pub data: PathBuf,
    /// Where proxies connect: xDS, metrics and load reports.
    pub xds: SocketAddr,
    /// Where the administration API listens.
    pub admin: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub http: SocketAddr,
    /// How often the specs are read anew where the file system says nothing of changes.
    pub rescan: Duration,
    /// What the specs may ask for.
    pub allowed: spec::Settings,
    /// The files of the secrets that specs name.
    pub secrets: Vec<(String, PathBuf)>,
    /// The Prometheus of metrics that name none.
    pub prometheus: Option<String>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When a part cannot be started: the store, the specs' directory, an address.
pub async fn run(options: ServeOptions) -> anyhow::Result<()> {
    let xds_socket = bind(options.xds, "--xds")?;
    let admin_socket = bind(options.admin, "--admin")?;
    let http_socket = bind(options.http, "--http")?;

    let bound = addresses([&xds_socket, &admin_socket, &http_socket])?;

    let (stop, stopped) = watch::channel(false);
    let store = Arc::new(RedbStore::open(&options.data)?);
    let (cache, proxies) = (Cache::new(), Proxies::default());
    let (sink, reports) = mpsc::channel(REPORTS_WAITING);
    let telemetry = Telemetry::new(sink);
    let written = spec::source::DirectorySource::watch(options.specs.clone(), options.rescan, options.allowed);
    let (resolved, specs) = watch::channel(spec::Loaded::default());
    let secrets = Arc::new(Secrets::from_flags(options.secrets.clone())?);
    let (answer, answers) = mpsc::channel(ANSWERS_WAITING);
    let caller = Caller::new(Arc::clone(&secrets), answer);
    let (measurer, measured) = Measurer::new(Arc::clone(&secrets), options.prometheus.clone());
    let notifier = Notifier::new(Arc::clone(&store) as Arc<dyn Store>, secrets);
    let (hooks, notifications) = (caller.hooks(), notifier.tally());
    let inputs = Inputs {
        store: Arc::clone(&store) as Arc<dyn Store>,
        cache: cache.clone(),
        proxies: proxies.clone(),
        reports: Batches::of(reports),
        focus: telemetry.focus(),
        answers,
        measured,
        specs,
        stop: stopped.clone(),
    };
    let (engine, handle, worlds, calls) = Engine::start(inputs)?;
    let registry = endpoints::start(endpoints::Inputs {
        specs: written,
        resolved,
        restored: worlds.borrow().clone(),
        directory: options.specs.clone(),
        resolver: endpoints::system(),
        stop: stopped.clone(),
    });

    let readiness = Readiness::default();
    tokio::spawn(measure(measurer, engine.measurements()));
    let mut engine = tokio::spawn(engine.run());
    tokio::spawn(tell_readiness(readiness.clone(), handle.clone()));
    tokio::spawn(conduct(caller, calls));
    tokio::spawn(poll::conduct(telemetry.clone(), worlds.clone()));
    tokio::spawn(notifier.run(worlds.clone(), handle.view(), stopped.clone()));

    let (conducted, failed) = (proxies.clone(), telemetry.clone());
    tokio::spawn(cache.clone().conduct(conducted, move |node| failed.errors(node)));
    let options = xds::Options::new(stopped.clone());
    let status = xds::Csds::new(cache.clone(), proxies.clone(), stopped.clone());
    let discovery = xds::Server::new(cache.clone(), proxies.clone(), fleets::follow(worlds), options);
    let stalls = listen::stalls();
    let routes = discovery.routes(status.routes(telemetry.routes(Routes::default())));
    let xds_server = listen::serve(xds_socket, routes, stalls.clone(), until(stopped.clone()));
    let history = Arc::clone(&store) as Arc<dyn History>;
    let fleet = admin::Fleet { cache: cache.clone(), proxies: proxies.clone(), telemetry: telemetry.clone() };
    let admin = admin::routes(handle.clone(), history, fleet, registry, stopped.clone());
    let admin_server = limits::admin_side()
        .add_routes(status.routes(admin))
        .serve_with_incoming_shutdown(TcpListenerStream::new(admin_socket), until(stopped.clone()));
    let view = handle.view();
    let state = WebState { view, proxies, cache, discovery, stalls, readiness, hooks, notifications, history: store };
    let web_server = axum::serve(http_socket, limits::pages(web::router(state))).with_graceful_shutdown(until(stopped));

    tracing::info!(xds = %bound[0], admin = %bound[1], http = %bound[2], "serving");
    let servers = async {
        tokio::try_join!(
            async { xds_server.await.context("the xDS server") },
            async { admin_server.await.context("the admin server") },
            async { web_server.await.context("the HTTP server") },
        )
    };
    tokio::pin!(servers);
    tokio::select! {
        ended = &mut servers => return ended.map(drop),
        // The proxies keep what they have; a server that decides nothing must not look like one that does.
        ended = &mut engine => return ended.context("the engine failed").and(Err(anyhow::anyhow!("the engine stopped"))),
        signal = signalled() => tracing::info!("{}: closing the streams", signal?),
    }
    stop.send_replace(true);
    telemetry.close();
    if tokio::time::timeout(GOODBYE, servers).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Makes the calls that the engine wants made. They end with the engine.
async fn conduct(mut caller: Caller, mut calls: Calls) {
    loop {
        let wanted = calls.borrow_and_update().clone();
        caller.conduct(wanted);
        if calls.changed().await.is_err() {
            return;
        }
    }
}

/// Measures what the engine wants measured. It ends with the engine.
async fn measure(mut measurer: Measurer, mut measurements: Measurements) {
    loop {
        let wanted = measurements.borrow_and_update().clone();
        measurer.conduct(wanted);
        if measurements.changed().await.is_err() {
            return;
        }
    }
}

/// Where sockets listen.
fn addresses(sockets: [&TcpListener; 3]) -> anyhow::Result<Vec<SocketAddr>> {
    sockets.into_iter().map(|socket| socket.local_addr().context("the address of a socket")).collect()
}

fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| {
        format!("cannot listen on {address} ({flag}); is another serin running? Choose another address")
    })
}

/// Ends when it is time to stop.
async fn until(mut stop: watch::Receiver<bool>) {
    // The sender lives as long as `run`: when it is gone, it is time, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn signalled() -> anyhow::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        interrupt = tokio::signal::ctrl_c() => interrupt.context("cannot listen for SIGINT").map(|()| "SIGINT"),
    }
}

/// Ready is: there is something to serve. (That decisions can be kept is looked at by the page itself.)
async fn tell_readiness(readiness: Readiness, handle: EngineHandle) {
    let specs = readiness.register("specs");
    let mut view = handle.view();
    loop {
        let seen = view.borrow_and_update().clone();
        match (seen.applied_at, seen.diagnostics.first()) {
            (Some(_), _) => specs.ready(),
            (None, Some(problem)) => specs.unready(format!("no valid specs yet: {problem}")),
            // Still starting.
            (None, None) => {}
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}
