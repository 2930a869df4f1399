//! `serin explain`: why a release stands as it does.

use super::client::{ClientArgs, answer, present};
use super::failure::Failure;
use super::json::Shown;
use super::output::{Format, json, put, yaml};
use crate::admin::proto::{ExplainReleaseRequest, ExplainReleaseResponse};

/// Show why a release was advanced, held or reverted, and what it waits for
///
/// The newest decision (with --at the newest up to an entry of its journal) in three lines: what was compared, the
/// evidence against its bound, and over which time and where; then each place where the new version is worse. Of a release
/// on its way, the same of how it stands now.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  serin explain checkout\n  serin explain checkout --at 118\n  \
                        serin explain checkout -o json | jq -r '.decision.explanation.places[].name'")]
pub(super) struct Args {
    /// The release
    name: String,
    /// The newest decision up to this entry of the journal
    #[arg(long, value_name = "NUMBER")]
    at: Option<u64>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let mut client = args.client.server.releases().await?;
    let request = ExplainReleaseRequest { name: args.name, at_sequence: args.at };
    let told = answer(client.explain_release(request)).await?;
    put(&render(&told, args.client.output)?)
}

fn render(told: &ExplainReleaseResponse, output: Format) -> Result<String, Failure> {
    match output {
        Format::Table => Ok(told.text.clone()),
        Format::Json => json(&Shown::of(told)),
        Format::Yaml => yaml(&Shown::of(told)),
        Format::Name => Ok(format!("{}\n", present(told.decision.as_ref(), "decision")?.sequence)),
    }
}
