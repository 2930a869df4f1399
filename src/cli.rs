//! SHELL: the command line. Owns the verbs, what they print and their exit codes. Must not decide anything: `serve`
//! hands plain options to the server, the client verbs speak to it by its administration API.
//!
//! What is printed is rendered by pure functions: messages and `now` in, text out. Data goes to stdout, words to
//! stderr. Where stdout is no terminal there are no escape sequences.

mod bootstrap;
mod client;
pub mod cores;
mod endpoints;
mod events;
mod explain;
mod failure;
mod get;
mod healthcheck;
mod json;
mod output;
mod progress;
mod proxies;
mod quarantine;
mod register;
mod release;
mod replay;
mod serve;
mod simulate;
mod snapshots;
mod specs;
mod steer;
mod text;
mod validate;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use failure::Failure;

/// Releases software through a fleet of Envoy proxies: shifts traffic by evidence, and reverts by itself.
#[derive(Debug, Parser)]
#[command(name = "serin", version, after_help = failure::EXIT_CODES)]
#[command(arg_required_else_help = true, disable_help_subcommand = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Args),
    Validate(validate::Args),
    Simulate(simulate::Args),
    Get(get::Args),
    Promote(steer::Promote),
    Pause(steer::Pause),
    Resume(steer::Resume),
    Abort(steer::Abort),
    Undo(steer::Undo),
    Retry(steer::Retry),
    Events(events::Args),
    Explain(explain::Args),
    Replay(replay::Args),
    Snapshots(snapshots::Args),
    Proxies(proxies::Args),
    Quarantine(quarantine::Args),
    Endpoints(endpoints::Args),
    Register(register::Register),
    Deregister(register::Deregister),
    Specs(specs::Args),
    Bootstrap(bootstrap::Args),
    Healthcheck(healthcheck::Args),
    Completions(Completions),
}

/// Print shell completions
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  serin completions bash > /etc/bash_completion.d/serin\n  \
                        serin completions zsh > ~/.zfunc/_serin")]
struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// Reads the command line, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    // Wrong usage ends here, with exit code 2.
    let cli = Cli::parse();
    match run(cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                output::say(&message);
            }
            ExitCode::from(&failure)
        }
    }
}

fn run(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Serve(args) => serve::run(args),
        Verb::Validate(args) => validate::run(&args),
        Verb::Simulate(args) => simulate::run(&args),
        Verb::Get(args) => wait_for(get::run(args)),
        Verb::Promote(args) => wait_for(steer::promote(args)),
        Verb::Pause(args) => wait_for(steer::pause(args)),
        Verb::Resume(args) => wait_for(steer::resume(args)),
        Verb::Abort(args) => wait_for(steer::abort(args)),
        Verb::Undo(args) => wait_for(steer::undo(args)),
        Verb::Retry(args) => wait_for(steer::retry(args)),
        Verb::Events(args) => wait_for(events::run(args)),
        Verb::Explain(args) => wait_for(explain::run(args)),
        Verb::Replay(args) => wait_for(replay::run(args)),
        Verb::Snapshots(args) => wait_for(snapshots::run(args)),
        Verb::Proxies(args) => wait_for(proxies::run(args)),
        Verb::Quarantine(args) => wait_for(quarantine::run(args)),
        Verb::Endpoints(args) => wait_for(endpoints::run(args)),
        Verb::Register(args) => wait_for(register::register(args)),
        Verb::Deregister(args) => wait_for(register::deregister(args)),
        Verb::Specs(args) => wait_for(specs::run(args)),
        Verb::Bootstrap(args) => bootstrap::run(&args),
        Verb::Healthcheck(args) => wait_for(healthcheck::run(args)),
        Verb::Completions(args) => completions(args.shell),
    }
}

/// One thread is enough for a client.
fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::Other(anyhow::Error::new(e).context("starting the runtime")))?.block_on(work)
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "serin", &mut script);
    output::put(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_shows_an_example() {
        for verb in Cli::command().get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{}", verb.get_name());
            assert!(help.contains(&format!("serin {}", verb.get_name())), "{}", verb.get_name());
        }
    }
}
