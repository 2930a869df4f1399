//! A soak: hundreds of transitions of every kind through real Envoys under load, and not one failed request:
//! `make soak-transitions`. Exits with 1 when anything was lost.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serin_testbed::process::serin_binary;
use serin_testbed::soak::{Options, soak};

/// Transitions of every kind under load, which must lose nothing.
#[derive(Debug, Parser)]
#[command(name = "soak")]
struct Args {
    /// How many transitions.
    #[arg(long, env = "TRANSITIONS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    transitions: u32,
    /// What their order depends on.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
    /// Requests per second over all proxies.
    #[arg(long, env = "RATE", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(50..=20_000))]
    rate: u32,
    /// Leave the logs of the server and (in detail) of the Envoys in this directory.
    #[arg(long, env = "LOGS")]
    logs: Option<PathBuf>,
    /// Print failures and the table only, not each transition.
    #[arg(long)]
    quiet: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<bool> {
    let options = Options {
        binary: serin_binary()?,
        transitions: args.transitions as usize,
        seed: args.seed,
        rate: f64::from(args.rate),
        logs: args.logs,
        verbose: !args.quiet,
    };
    println!("{} transitions, {} requests per second, seed {}", args.transitions, args.rate, args.seed);
    let report = tokio::select! {
        report = soak(&options) => report?,
        // Dropping the soak ends all of its processes.
        () = interrupted() => anyhow::bail!("interrupted"),
    };
    println!("\n{report}");
    Ok(report.good())
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}
