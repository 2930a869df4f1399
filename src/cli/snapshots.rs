//! `serin snapshots`: what proxies are and were given.

pub(super) mod diff;
mod list;
mod show;

use clap::Subcommand;
use jiff::Timestamp;

use super::client::{ClientArgs, ServerArgs, answer};
use super::failure::Failure;
use super::json::Shown;
use super::output::{Format, Style, json, put, yaml};
use crate::admin::proto::{DiffSnapshotsRequest, GetSnapshotRequest, ListSnapshotsRequest};
use crate::xds::ResourceType;

/// Show what the proxies are, and were, given
///
/// A snapshot is all that the proxies of one group are given; its version is the hash of its content. A group is a
/// fleet's name (with ~plain for its Envoys before 1.37, ~grpc for its gRPC clients). A version may be shortened to any
/// unambiguous beginning.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(after_help = "Examples:\n  serin snapshots\n  serin snapshots show --group edge --type rds\n  \
                        serin snapshots diff --group edge\n  serin snapshots diff 3fa9 81c0 --group edge")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The kept snapshots, newest first
    List(ListArgs),
    /// The resources of one snapshot, as Envoy gets them
    Show(ShowArgs),
    /// What differs between two snapshots of a group
    Diff(DiffArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only this group's
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The version, or the beginning of it; the current one when none is given
    version: Option<String>,
    /// The group
    #[arg(long, value_name = "GROUP")]
    group: String,
    /// Only resources of this type: cds, eds, lds, rds, or a type URL
    #[arg(long = "type", value_name = "TYPE", value_parser = type_url)]
    of_type: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// The form of the output
    #[arg(short, long, value_name = "FORMAT", default_value = "json")]
    output: Format,
}

#[derive(Debug, clap::Args)]
struct DiffArgs {
    /// The older version; the one before TO when none is given
    from: Option<String>,
    /// The newer version; the current one when none is given
    to: Option<String>,
    /// The group
    #[arg(long, value_name = "GROUP")]
    group: String,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match args.verb {
        None => all(args.list).await,
        Some(Verb::List(list)) => all(list).await,
        Some(Verb::Show(args)) => one(args).await,
        Some(Verb::Diff(args)) => two(args).await,
    }
}

async fn all(args: ListArgs) -> Result<(), Failure> {
    let mut client = args.client.server.snapshots().await?;
    let request = ListSnapshotsRequest { group: args.group.unwrap_or_default() };
    let got = answer(client.list_snapshots(request)).await?;
    put(&match args.client.output {
        Format::Table => list::list(&got.snapshots, Timestamp::now(), Style::of_stdout()),
        Format::Json => json(&Shown::of(&got))?,
        Format::Yaml => yaml(&Shown::of(&got))?,
        Format::Name => got.snapshots.iter().map(|snapshot| format!("{}\n", snapshot.version)).collect(),
    })
}

async fn one(args: ShowArgs) -> Result<(), Failure> {
    let mut client = args.server.snapshots().await?;
    let request = GetSnapshotRequest {
        group: args.group,
        version: args.version.unwrap_or_default(),
        type_url: args.of_type.unwrap_or_default(),
        json: matches!(args.output, Format::Json | Format::Yaml),
    };
    let got = answer(client.get_snapshot(request)).await?;
    put(&match args.output {
        Format::Table => show::list(&got.resources, Style::of_stdout()),
        Format::Json => json(&show::Whole::of(&got)?)?,
        Format::Yaml => yaml(&show::Whole::of(&got)?)?,
        Format::Name => got.resources.iter().map(|resource| format!("{}\n", resource.name)).collect(),
    })
}

async fn two(args: DiffArgs) -> Result<(), Failure> {
    let mut client = args.client.server.snapshots().await?;
    let request = DiffSnapshotsRequest {
        group: args.group,
        from: args.from.unwrap_or_default(),
        to: args.to.unwrap_or_default(),
    };
    let got = answer(client.diff_snapshots(request)).await?;
    put(&match args.client.output {
        Format::Table => diff::diff(&got, Style::of_stdout()),
        Format::Json => json(&Shown::of(&got))?,
        Format::Yaml => yaml(&Shown::of(&got))?,
        Format::Name => got.resources.iter().map(|resource| format!("{}\n", resource.name)).collect(),
    })
}

/// `cds`, `EDS`, or a type URL as it is.
pub(super) fn type_url(text: &str) -> Result<String, String> {
    let short = ResourceType::ALL.into_iter().find(|of| of.short().eq_ignore_ascii_case(text));
    match short {
        Some(of) => Ok(of.type_url().to_owned()),
        None if text.contains('/') => Ok(text.to_owned()),
        None => Err("it is cds, eds, lds, rds, sds, …, or a type URL (type.googleapis.com/…)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_short_names() {
        for (text, url) in [
            ("cds", Some("type.googleapis.com/envoy.config.cluster.v3.Cluster")),
            ("RDS", Some("type.googleapis.com/envoy.config.route.v3.RouteConfiguration")),
            ("type.googleapis.com/x.Y", Some("type.googleapis.com/x.Y")),
            ("clusters", None),
            ("", None),
        ] {
            assert_eq!(type_url(text).ok().as_deref(), url, "{text}");
        }
    }
}
