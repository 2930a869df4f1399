//! What it costs to take in the telemetry of thousands of proxies, for `make bench-ingest`.
//!
//! Two processes: a server (Serin's telemetry services, its engine's desk with releases on their way, its store), and a
//! load, which is as many connections as there are proxies, each with one stream that reports every second. The server's
//! processor time and memory are printed each second. Beside it stands the *floor*: the same bytes from the same load,
//! received over HTTP/2 and thrown away.

mod floor;
mod load;
mod messages;
mod serve;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde::{Deserialize, Serialize};
use serin_testbed::usage;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long the load may take to connect, before anything is measured.
const CONNECTING: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Parser)]
struct Args {
    /// What to be: everything, or one of the processes.
    #[arg(value_enum, default_value_t = Part::Bench)]
    part: Part,
    /// For the load: where the server is.
    server: Option<SocketAddr>,
    /// How many proxies report.
    #[arg(long, default_value_t = 5_000)]
    proxies: usize,
    /// How many clusters each of them reports, two for each service.
    #[arg(long, default_value_t = 200)]
    clusters: usize,
    /// How many releases are on their way.
    #[arg(long, default_value_t = 20)]
    releases: usize,
    /// What the proxies send.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Loads, Kind::LoadsWithNode, Kind::Metrics])]
    kind: Vec<Kind>,
    /// The time between two reports of a proxy, in seconds.
    #[arg(long, default_value_t = 1.0)]
    every: f64,
    /// How many seconds are measured.
    #[arg(long, default_value_t = 15)]
    seconds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Bench,
    Serve,
    Floor,
    Load,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Load reports (LRS): per cluster a locality with two endpoints, each with its counts.
    Loads,
    /// The same with Envoy's node in each report, 61 KB, as Envoy sends it.
    LoadsWithNode,
    /// MetricsService: every statistic that Serin's bootstrap lets Envoy 1.40 send, of clusters that all have traffic.
    Metrics,
}

/// What a server says each second; the first time, before anybody has come.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Said {
    address: SocketAddr,
    /// Processor time of all its threads so far, in seconds.
    processor: f64,
    /// Resident memory in bytes.
    resident: u64,
    /// Since the start.
    bytes: u64,
    reports: u64,
    dropped: u64,
    /// Windows of evidence that were judged.
    windows: u64,
}

impl Said {
    fn now(address: SocketAddr) -> Result<Self> {
        let (processor, resident) = (usage::processor_time().as_secs_f64(), usage::resident()?);
        Ok(Self { address, processor, resident, bytes: 0, reports: 0, dropped: 0, windows: 0 })
    }

    fn say(&self) -> Result<()> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    usage::allow_connections(args.proxies)?;
    match args.part {
        Part::Bench => bench(&args).await,
        Part::Serve => serve::run(&args).await,
        Part::Floor => floor::run().await,
        Part::Load => load::run(&args, args.server.context("the load needs the server's address")?).await,
    }
}

/// A process of the benchmark; killed by its id when dropped.
struct Peer {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    fn spawn(args: &Args, part: &str, kind: Kind, server: Option<SocketAddr>) -> Result<Self> {
        let kind = clap::ValueEnum::to_possible_value(&kind).context("a kind has a name")?.get_name().to_owned();
        let numbers = [args.proxies, args.clusters, args.releases].map(|number| number.to_string());
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(part).args(server.map(|server| server.to_string()));
        command.args(["--proxies", &numbers[0], "--clusters", &numbers[1], "--releases", &numbers[2]]);
        command.args(["--kind", &kind, "--every", &args.every.to_string()]);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("its standard output")?).lines();
        Ok(Self { _child: child, lines })
    }

    async fn hear(&mut self) -> Result<Said> {
        let line = self.lines.next_line().await?.context("a process has ended")?;
        serde_json::from_str(&line).with_context(|| format!("{line} is no answer"))
    }
}

async fn bench(args: &Args) -> Result<()> {
    for &kind in &args.kind {
        let size = messages::size(args, kind);
        println!(
            "\n{kind:?}: {} proxies × {} clusters, {size} bytes in a report, every {} s",
            args.proxies, args.clusters, args.every
        );
        let floor = measure(args, "floor", kind).await?;
        let server = measure(args, "serve", kind).await?;
        println!(
            "{kind:?}: {:.0} reports/s and {:.0} MB/s take {:.2} cores and {:.0} MB; the floor {:.0} MB/s, {:.2} cores and {:.0} MB",
            server.reports,
            server.megabytes,
            server.cores,
            server.resident,
            floor.megabytes,
            floor.cores,
            floor.resident
        );
        println!(
            "{kind:?}: {:.0} µs of a core for a report, and {:.0} KB of memory for a proxy; a core would take {:.0} reports/s",
            server.cores / server.reports * 1e6,
            server.resident * f64::from(1 << 10) / args.proxies as f64,
            server.reports / server.cores,
        );
        println!(
            "{kind:?}: the proxies had {:.0} reports/s to send; dropped {}; {:.1} windows judged per second",
            args.proxies as f64 / args.every,
            server.dropped,
            server.windows
        );
    }
    Ok(())
}

/// What was seen over all measured seconds.
struct Measured {
    reports: f64,
    megabytes: f64,
    cores: f64,
    /// The most, in MB.
    resident: f64,
    dropped: u64,
    windows: f64,
}

async fn measure(args: &Args, part: &str, kind: Kind) -> Result<Measured> {
    let mut server = Peer::spawn(args, part, kind, None)?;
    let first = server.hear().await?;
    let _load = Peer::spawn(args, "load", kind, Some(first.address))?;
    // Until everybody has come, and begun to report.
    let expected = args.proxies as u64 * messages::size(args, kind) as u64;
    let all_came = async {
        loop {
            let said = server.hear().await?;
            if said.bytes.max(said.reports * messages::size(args, kind) as u64) > 2 * expected {
                return anyhow::Ok(said);
            }
        }
    };
    let start = match tokio::time::timeout(CONNECTING, all_came).await {
        Ok(start) => start?,
        Err(_) => bail!("the proxies have not sent two reports each in {CONNECTING:?}"),
    };
    let began = tokio::time::Instant::now();
    let (mut last, mut resident) = (start, 0);
    for second in 1..=args.seconds {
        let said = server.hear().await?;
        resident = resident.max(said.resident);
        println!(
            "{part:>6} {second:>3} s  {:>6.2} cores {:>6} MB {:>7} reports {:>6} dropped",
            said.processor - last.processor,
            said.resident >> 20,
            said.reports - last.reports,
            said.dropped - last.dropped
        );
        last = said;
    }
    let seconds = began.elapsed().as_secs_f64();
    let reports = (last.reports - start.reports) as f64 / seconds;
    let bytes = (last.bytes - start.bytes) as f64 / seconds;
    Ok(Measured {
        reports,
        megabytes: bytes.max(reports * messages::size(args, kind) as f64) / 1e6,
        cores: (last.processor - start.processor) / seconds,
        resident: resident as f64 / f64::from(1 << 20),
        dropped: last.dropped - start.dropped,
        windows: (last.windows - start.windows) as f64 / seconds,
    })
}
