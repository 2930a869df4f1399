//! The driver. For each number of streams it starts a server with clients, another server of whose clients some stall, and
//! the floor; pushes to all three in turns, so that what the machine does meanwhile befalls all of them; and reports.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Protocol;
use super::peer::Peer;
use super::report::{Group, Memory, Push, Report, Series, heading};
use super::talk::{Asked, Round, Said};
use crate::usage;

/// What is pushed: first the large one, so that clients stall in the middle of a message, and buffers have grown before the
/// memory is looked at.
const LARGE: usize = 100_000;
pub(super) const SMALL: usize = 2_000;
/// How long pushes of one size may go on before there are no more of them, and how many there are even so.
const SERIES: Duration = Duration::from_secs(30);
const LEAST_RUNS: usize = 3;
/// Largest part of a message in one HTTP/2 frame; bytes of a frame's header; bytes before a gRPC message.
const FRAME: usize = 16 << 10;
const FRAME_HEADER: usize = 9;
const PREFIX: usize = 5;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program of the server under test.
    pub server: PathBuf,
    /// The program of the clients and of the floor: this one.
    pub testbed: PathBuf,
    /// Numbers of streams.
    pub streams: Vec<usize>,
    /// Pushes of each size to each number of streams; on a machine that is too busy for them, fewer.
    pub runs: usize,
    /// The share of clients that stall in the second of the two groups.
    pub stalled: f64,
    /// What the clients speak.
    pub protocol: Protocol,
}

/// Measures, and prints as it goes. Whether all goals are met.
///
/// # Errors
/// When file descriptors are too few, or a process fails. All processes have ended then.
pub async fn run(plan: &Plan) -> Result<bool> {
    usage::allow_connections(plan.streams.iter().copied().max().context("no number of streams")?)?;
    let mut report = Report { stalled: plan.stalled, groups: Vec::new() };
    println!("{}", heading(plan));
    for &streams in &plan.streams {
        let group = measure(plan, streams).await.with_context(|| format!("{streams} streams"))?;
        println!("{group}");
        report.groups.push(group);
    }
    println!("{report}");
    Ok(report.met())
}

async fn measure(plan: &Plan, streams: usize) -> Result<Group> {
    let mut base = Pair::discovery(plan, streams, 0).await?;
    let mut stalled = Pair::discovery(plan, streams, (streams as f64 * plan.stalled) as usize).await?;
    let mut floor = Pair::floor(plan, streams).await?;
    let mut memory = Memory { connecting: base.connecting, start: base.start, ..Memory::default() };
    memory.connected = base.server.settled().await?.resident;
    stalled.stall().await?;
    let mut series = Vec::new();
    for bytes in [LARGE, SMALL] {
        let mut of_size = Series { bytes, ..Series::default() };
        let (begin, busy) = (Instant::now(), Busy::start()?);
        for run in 0..plan.runs {
            if run >= LEAST_RUNS && begin.elapsed() > SERIES {
                break;
            }
            // Each goes first in turn.
            for turn in 0..2 {
                if (run + turn) % 2 == 0 {
                    of_size.base.push(base.push(bytes).await?);
                } else {
                    of_size.stalled.push(stalled.push(bytes).await?);
                }
            }
            let message = of_size.base.last().map_or(bytes, |push| push.bytes);
            of_size.floor.push(floor.push(on_the_wire(message)).await?);
        }
        of_size.others = busy.others(of_size.processor_time())?;
        series.push(of_size);
        if bytes == LARGE {
            memory.after_large = base.server.settled().await?.resident;
        }
    }
    for pair in [base, stalled, floor] {
        pair.end().await?;
    }
    series.reverse();
    Ok(Group { streams, memory, series })
}

/// Bytes that carry a message of this length over HTTP/2.
fn on_the_wire(message: usize) -> usize {
    let message = message + PREFIX;
    message + message.div_ceil(FRAME) * FRAME_HEADER
}

/// What the machine has done since a moment.
struct Busy {
    ticks: (u64, u64),
    since: Instant,
}

impl Busy {
    fn start() -> Result<Self> {
        Ok(Self { ticks: usage::machine()?, since: Instant::now() })
    }

    /// The share of all processors that was used, but not for these.
    fn others(&self, ours: Duration) -> Result<f64> {
        let (busy, all) = usage::machine()?;
        let busy = (busy - self.ticks.0) as f64 / (all - self.ticks.1).max(1) as f64;
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let ours = ours.as_secs_f64() / (self.since.elapsed().as_secs_f64() * processors);
        Ok((busy - ours).max(0.0))
    }
}

/// A server and its clients.
struct Pair {
    server: Peer,
    clients: Peer,
    /// The server's resident memory before the clients came.
    start: u64,
    /// Until all clients had the first snapshot.
    connecting: Duration,
}

impl Pair {
    /// The server under test with its clients, which all have the first snapshot.
    async fn discovery(plan: &Plan, streams: usize, stalled: usize) -> Result<Self> {
        let protocol = match plan.protocol {
            Protocol::Sotw => "sotw",
            Protocol::Delta => "delta",
        };
        let mut server = Peer::spawn("server", &plan.server, &[] as &[&str])?;
        let address = listening(&mut server).await?;
        let start = server.settled().await?.resident;
        let begin = Instant::now();
        let numbers = [streams.to_string(), stalled.to_string()];
        let words = ["clients", &address.to_string(), "--streams", &numbers[0], "--stalled", &numbers[1]];
        let mut clients =
            Peer::spawn("clients", &plan.testbed, &fanout(&[&words[..], &["--protocol", protocol]].concat()))?;
        clients.round().await?;
        Ok(Self { server, clients, start, connecting: begin.elapsed() })
    }

    async fn floor(plan: &Plan, streams: usize) -> Result<Self> {
        let streams = streams.to_string();
        let mut server = Peer::spawn("floor", &plan.testbed, &fanout(&["floor", "--streams", &streams]))?;
        let address = listening(&mut server).await?.to_string();
        let words = fanout(&["floor-clients", &address, "--streams", &streams]);
        let clients = Peer::spawn("clients of the floor", &plan.testbed, &words)?;
        let mut floor = Self { server, clients, start: 0, connecting: Duration::ZERO };
        // The floor begins when all have connected.
        floor.push(1).await?;
        Ok(floor)
    }

    async fn stall(&mut self) -> Result<()> {
        self.clients.ask(Asked::Stall).await?;
        match self.clients.hear().await? {
            Said::Stalled => Ok(()),
            other => bail!("the clients said {other:?} instead of stalling"),
        }
    }

    /// One push, from its beginning until both sides have nothing more to do.
    async fn push(&mut self, bytes: usize) -> Result<Push> {
        let before = (self.server.used().await?, self.clients.used().await?);
        self.server.ask(Asked::Publish(bytes)).await?;
        let pushed = match self.server.hear().await? {
            Said::Pushed(at) => at,
            other => bail!("the server said {other:?} instead of pushing"),
        };
        let Round { median, p99, last, bytes } = self.clients.round().await?;
        let after = (self.server.settled().await?, self.clients.settled().await?);
        let since = |moment: u64| Duration::from_nanos(moment.saturating_sub(pushed));
        Ok(Push {
            median: since(median),
            p99: since(p99),
            last: since(last),
            bytes,
            server: after.0.processor - before.0.processor,
            clients: after.1.processor - before.1.processor,
        })
    }

    /// The clients end first: the server sees them go.
    async fn end(self) -> Result<()> {
        self.clients.end().await?;
        self.server.end().await
    }
}

fn fanout(words: &[&str]) -> Vec<OsString> {
    std::iter::once("fanout").chain(words.iter().copied()).map(OsString::from).collect()
}

async fn listening(server: &mut Peer) -> Result<SocketAddr> {
    match server.hear().await? {
        Said::Listening(address) => Ok(address),
        other => bail!("the server said {other:?} instead of where it listens"),
    }
}
