//! The demo: a good version and a broken one are released through four real Envoys under load.
//!
//! Starts the `serin` binary, two edge and two sidecar Envoys (one of each over Delta, the other over SotW), upstreams
//! of three versions and an open-loop load; commits `v2`, which must be promoted without a failed request, then `v3`,
//! which fails one request in five and must be reverted. Exits with 1 when either goes wrong.
//!
//! With `--runs N` it repeats that and measures the time from v3's first failed request to its weight being 0 on all
//! proxies: `make bench-revert`.

mod cast;
mod report;
mod scene;
mod status;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use report::{Outcome, bench};
use scene::{Options, play};

/// A demo of Serin: one good release, one bad.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Args {
    /// How often to play the scene. More than once prints a table and a verdict against the goal.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Requests per second over all proxies.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(50..=20_000))]
    rate: u32,
    /// How long a release may take before the scene is called failed, in seconds.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=3_600))]
    deadline: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    // Dropping the scene ends all of its processes.
    let result = tokio::select! {
        result = run(&args) => result,
        () = interrupted() => Err(anyhow::anyhow!("interrupted")),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went as it must.
async fn run(args: &Args) -> Result<bool> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for run in 1..=args.runs {
        if args.runs > 1 {
            println!("== run {run} of {}", args.runs);
        }
        let options = Options {
            rate: f64::from(args.rate),
            deadline: Duration::from_secs(args.deadline),
            seed: u64::from(run),
            live: args.runs == 1,
        };
        let report = play(&options).await?;
        if args.runs == 1 {
            println!("{report}");
        } else {
            println!("{}", report.outcome);
        }
        outcomes.push(report.outcome);
    }
    if args.runs == 1 {
        return Ok(outcomes.iter().all(Outcome::good));
    }
    let (table, met) = bench(&outcomes);
    println!("{table}");
    Ok(met)
}

async fn interrupted() {
    let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}
