//! `serin promote`, `pause`, `resume`, `abort`, `undo`, `retry`: orders to one release.

use super::client::{ClientArgs, answer, present};
use super::failure::Failure;
use super::get::Form;
use super::output::{Format, Style, put};
use super::release::outcome;
use crate::admin::proto::{
    AbortReleaseRequest, PauseReleaseRequest, PromoteReleaseRequest, Release, ResumeReleaseRequest,
    RetryReleaseRequest, UndoReleaseRequest,
};

/// Go on: end the pause or the analysis that a release is in
///
/// With --full, skip all remaining steps and send all traffic to the new version now. Endpoints that are being replaced are
/// waited for, and no window of the spec is passed over.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  serin promote checkout\n  serin promote checkout --full")]
pub(super) struct Promote {
    /// The release
    name: String,
    /// Skip all remaining steps
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// Hold a release where it is
///
/// Evidence against the new version still reverts it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  serin pause checkout")]
pub(super) struct Pause {
    /// The release
    name: String,
    #[command(flatten)]
    client: ClientArgs,
}

/// Go on with a release that was held by `pause`
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  serin resume checkout")]
pub(super) struct Resume {
    /// The release
    name: String,
    #[command(flatten)]
    client: ClientArgs,
}

/// Send all traffic back to the stable version, now
///
/// Always wins, whatever the release is doing. Endpoints that were replaced are put back; what returns over a time returns
/// at once; an experiment ends; a version that stands by before it is thrown away gets the traffic back (`undo` goes
/// further back). It stays there until `retry`, or until the spec asks for another version.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  serin abort checkout --reason 'support sees failed payments'")]
pub(super) struct Abort {
    /// The release
    name: String,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    client: ClientArgs,
}

/// Go back to what was before
///
/// From a rollout to its stable version, as `abort` does; from rest to the version that was stable before, or to the one
/// of --to. It stays there until `retry`, or until the spec asks for another version.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  serin undo checkout\n  serin undo checkout --to v7")]
pub(super) struct Undo {
    /// The release
    name: String,
    /// The version to go back to
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

/// Try a reverted version again, from the first step
///
/// Also endpoints that could not be replaced or put back, and what proxies have rejected.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  serin retry checkout")]
pub(super) struct Retry {
    /// The release
    name: String,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn promote(args: Promote) -> Result<(), Failure> {
    let mut client = args.client.server.releases().await?;
    let request = PromoteReleaseRequest { name: args.name, full: args.full };
    let release = answer(client.promote_release(request)).await?.release;
    show(release, if args.full { "promoted in full" } else { "promoted" }, args.client.output)
}

pub(super) async fn pause(args: Pause) -> Result<(), Failure> {
    let mut client = args.client.server.releases().await?;
    let release = answer(client.pause_release(PauseReleaseRequest { name: args.name })).await?.release;
    show(release, "held", args.client.output)
}

pub(super) async fn resume(args: Resume) -> Result<(), Failure> {
    let mut client = args.client.server.releases().await?;
    let release = answer(client.resume_release(ResumeReleaseRequest { name: args.name })).await?.release;
    show(release, "resumed", args.client.output)
}

pub(super) async fn abort(args: Abort) -> Result<(), Failure> {
    let mut client = args.client.server.releases().await?;
    let request = AbortReleaseRequest { name: args.name, reason: args.reason };
    let release = answer(client.abort_release(request)).await?.release;
    show(release, "aborted", args.client.output)
}

pub(super) async fn undo(args: Undo) -> Result<(), Failure> {
    let mut client = args.client.server.releases().await?;
    let request = UndoReleaseRequest { name: args.name, to: args.to.unwrap_or_default() };
    let release = answer(client.undo_release(request)).await?.release;
    show(release, "undone", args.client.output)
}

pub(super) async fn retry(args: Retry) -> Result<(), Failure> {
    let mut client = args.client.server.releases().await?;
    let release = answer(client.retry_release(RetryReleaseRequest { name: args.name })).await?.release;
    show(release, "tried again", args.client.output)
}

/// The release after the order: a line for people, the whole of it for programs.
fn show(release: Option<Release>, done: &str, output: Format) -> Result<(), Failure> {
    let release = present(release, "release")?;
    match output {
        Format::Table => put(&(outcome(&release, done) + "\n")),
        Format::Json | Format::Yaml | Format::Name => {
            put(&Form { output, style: Style::of_stdout() }.one(&release, jiff::Timestamp::now())?)
        }
    }
}
