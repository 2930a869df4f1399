//! The command line of the benchmark and of the processes that it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use tokio::sync::oneshot;

use super::bench::{self, Plan};
use super::{Protocol, clients, floor};

/// `serin-testbed fanout …`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Start everything, push, and print tables and goals.
    Bench(BenchArgs),
    /// Be the clients; asked on the standard input (stall, usage).
    Clients(ClientsArgs),
    /// Be the floor, a plain TCP server; asked on the standard input (publish BYTES, usage).
    Floor {
        /// How many connections to wait for.
        #[arg(long)]
        streams: usize,
    },
    /// Be the floor's clients; asked on the standard input (usage).
    FloorClients {
        /// The floor's address.
        server: SocketAddr,
        /// How many connections to open.
        #[arg(long)]
        streams: usize,
    },
}

#[derive(Debug, clap::Args)]
struct BenchArgs {
    /// The program of the server under test; asked on its standard input (publish BYTES, usage).
    #[arg(long)]
    server: PathBuf,
    /// Numbers of streams, each with a connection of its own.
    #[arg(long, value_delimiter = ',', default_value = "1000,5000,10000")]
    streams: Vec<usize>,
    /// Pushes of each size to each number of streams; fewer when they take too long.
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// What the clients speak.
    #[arg(long, value_enum, default_value_t = Protocol::Sotw)]
    protocol: Protocol,
    /// The share of clients that stall beside the base; 0 shows how much two equal servers differ by chance.
    #[arg(long, default_value_t = 0.01)]
    stalled: f64,
    /// After how many seconds to give up.
    #[arg(long, default_value_t = 900)]
    deadline: u64,
}

#[derive(Debug, clap::Args)]
struct ClientsArgs {
    /// The server.
    server: SocketAddr,
    /// How many clients.
    #[arg(long)]
    streams: usize,
    /// How many of them stop reading when asked to stall.
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// What they speak.
    #[arg(long, value_enum, default_value_t = Protocol::Sotw)]
    protocol: Protocol,
}

impl Args {
    /// Carries it out.
    ///
    /// # Errors
    /// When a goal is not met, a process fails, or file descriptors are too few.
    pub(crate) async fn run(self) -> Result<()> {
        match self.part {
            Part::Bench(args) => args.run().await,
            Part::Clients(ClientsArgs { server, streams, stalled, protocol }) => {
                ensure!(stalled < streams, "one client at least must read");
                on_one_thread(clients::run(clients::Config { server, streams, stalled, protocol })).await
            }
            Part::Floor { streams } => on_one_thread(floor::serve(streams)).await,
            Part::FloorClients { server, streams } => on_one_thread(floor::read(server, streams)).await,
        }
    }
}

impl BenchArgs {
    async fn run(self) -> Result<()> {
        ensure!(self.runs > 0 && self.streams.iter().all(|streams| *streams > 1), "one run and two streams at least");
        ensure!((0.0..1.0).contains(&self.stalled), "the share that stalls is from 0 to less than 1");
        let testbed = std::env::current_exe().context("the path of this program")?;
        let Self { server, streams, runs, stalled, protocol, deadline } = self;
        let plan = Plan { server, testbed, streams, runs, stalled, protocol };
        // What is dropped here kills its process.
        let met = tokio::time::timeout(Duration::from_secs(deadline), bench::run(&plan)).await;
        if met.with_context(|| format!("not done after {deadline} s"))?? {
            Ok(())
        } else {
            bail!("not all goals are met")
        }
    }
}

/// Runs it in a thread with a runtime of its own: no task moves between threads, and the server has the other processor.
async fn on_one_thread(work: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, result) = oneshot::channel();
    // Nobody listens any more when the process is about to end.
    std::thread::spawn(move || drop(sender.send(runtime.block_on(work))));
    result.await.context("the thread panicked")?
}
