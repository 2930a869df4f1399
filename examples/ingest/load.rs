//! The proxies: each a connection with one stream, on which it reports at its own moment of each interval. All in one
//! thread, because they share the processors with the server that is measured; what they send is encoded once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use h2::SendStream;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::messages::{self, Report};
use crate::{Args, Kind};

/// Connections that are opened at a time.
const OPENING: usize = 64;

pub(crate) async fn run(args: &Args, server: SocketAddr) -> Result<()> {
    let args = args.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = tokio::task::spawn_blocking(move || runtime.block_on(all(args, server)));
    ended.await.context("the thread of the load")?
}

async fn all(args: Args, server: SocketAddr) -> Result<()> {
    let kind = *args.kind.first().context("what the proxies send")?;
    let every = Duration::from_secs_f64(args.every);
    let (publish, newest) = watch::channel(Arc::new(messages::report(&args, kind, 0)));
    let opening = Arc::new(Semaphore::new(OPENING));
    let start = Instant::now();
    let mut proxies = JoinSet::new();
    for number in 0..args.proxies {
        let phase = every.mul_f64(number as f64 / args.proxies as f64);
        let (opening, newest) = (Arc::clone(&opening), newest.clone());
        proxies.spawn(async move {
            let permit = opening.acquire().await?;
            let stream = open(server, kind).await?;
            drop(permit);
            proxy(stream, kind, number, start + phase, every, newest).await
        });
    }
    let mut rounds = tokio::time::interval(every);
    for round in 0_u64.. {
        tokio::select! {
            Some(ended) = proxies.join_next() => return ended?.and(Err(anyhow::anyhow!("a proxy has ended"))),
            _ = rounds.tick() => publish.send_replace(Arc::new(messages::report(&args, kind, round))),
        };
    }
    Ok(())
}

async fn open(server: SocketAddr, kind: Kind) -> Result<SendStream<Bytes>> {
    let socket = TcpStream::connect(server).await.context("connect")?;
    socket.set_nodelay(true)?;
    let (requests, connection) = h2::client::handshake(socket).await.context("HTTP/2")?;
    tokio::spawn(connection);
    let path = match kind {
        Kind::Loads | Kind::LoadsWithNode => "envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats",
        Kind::Metrics => "envoy.service.metrics.v3.MetricsService/StreamMetrics",
    };
    let request = http::Request::post(format!("http://{server}/{path}"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers").body(())?;
    let (response, stream) = requests.ready().await?.send_request(request, false)?;
    // Who drops it resets the stream. It ends with the process.
    tokio::spawn(async move {
        let body = response.await;
        std::future::pending::<()>().await;
        drop(body);
    });
    Ok(stream)
}

async fn proxy(
    mut stream: SendStream<Bytes>,
    kind: Kind,
    number: usize,
    first: Instant,
    every: Duration,
    newest: watch::Receiver<Arc<Report>>,
) -> Result<()> {
    if kind == Kind::Metrics {
        send(&mut stream, messages::identifier(number)).await?;
    }
    let now = Instant::now();
    let missed = now.saturating_duration_since(first).as_nanos() / every.as_nanos().max(1) + 1;
    let mut moments = tokio::time::interval_at(first + every * u32::try_from(missed)?, every);
    moments.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        moments.tick().await;
        let report = Arc::clone(&newest.borrow());
        for part in report.of(number) {
            send(&mut stream, part).await?;
        }
    }
}

/// As much as the server takes at a time.
async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<()> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        match std::future::poll_fn(|context| stream.poll_capacity(context)).await.transpose()? {
            Some(0) => {}
            Some(room) => stream.send_data(bytes.split_to(room.min(bytes.len())), false)?,
            None => bail!("the server has ended a stream"),
        }
    }
    Ok(())
}
