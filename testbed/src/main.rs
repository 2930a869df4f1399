//! The `serin-testbed` command: parts of the container demo, and the fan-out benchmark.

use std::process::ExitCode;

use clap::Parser;
use serin_testbed::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serin-testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
