//! `serin quarantine`: what is kept from the proxies, and why.

use clap::Subcommand;
use jiff::Timestamp;

use super::client::{ClientArgs, answer};
use super::failure::Failure;
use super::json::Shown;
use super::output::{Cell, Format, Style, Tone, json, put, table, yaml};
use super::proxies::short_type;
use super::text::{age, on_one_line, short_version};
use crate::admin::proto::{
    HeldSnapshot, ListQuarantineRequest, ListQuarantineResponse, ReleaseQuarantineRequest, ReleaseQuarantineResponse,
};

/// Show what is kept from the proxies, and give it another chance
///
/// What one proxy rejects, and none had taken before, no other proxy of its group is sent: whoever has the last good one
/// keeps it. A new version of the resource is tried by itself; `release` tries the same one again.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(after_help = "Examples:\n  serin quarantine\n  serin quarantine list --group edge -o json\n  \
                        serin quarantine release\n  serin quarantine release edge")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A row per resource that was rejected, and what is held at the first proxies
    List(ListArgs),
    /// Give it another chance at all proxies but those that rejected it and are still connected
    Release(ReleaseArgs),
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
struct ReleaseArgs {
    /// Only this group's
    group: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match args.verb {
        None => all(args.list).await,
        Some(Verb::List(list)) => all(list).await,
        Some(Verb::Release(args)) => release(args).await,
    }
}

async fn all(args: ListArgs) -> Result<(), Failure> {
    let mut client = args.client.server.quarantine().await?;
    let got = answer(client.list_quarantine(ListQuarantineRequest { group: args.group.unwrap_or_default() })).await?;
    put(&match args.client.output {
        Format::Table => list(&got, Timestamp::now(), Style::of_stdout()),
        Format::Json => json(&Shown::of(&got))?,
        Format::Yaml => yaml(&Shown::of(&got))?,
        Format::Name => got.resources.iter().map(|resource| on_one_line(&resource.name) + "\n").collect(),
    })
}

async fn release(args: ReleaseArgs) -> Result<(), Failure> {
    let mut client = args.client.server.quarantine().await?;
    let request = ReleaseQuarantineRequest { group: args.group.unwrap_or_default() };
    let got = answer(client.release_quarantine(request)).await?;
    put(&match args.client.output {
        Format::Table => released(&got),
        Format::Json => json(&Shown::of(&got))?,
        Format::Yaml => yaml(&Shown::of(&got))?,
        Format::Name => got.groups.iter().map(|group| on_one_line(group) + "\n").collect(),
    })
}

const HEADING: [&str; 7] = ["GROUP", "TYPE", "NAME", "VERSION", "REJECTED BY", "AGE", "TEXT"];

/// A row per resource, then a line per snapshot that is held.
fn list(got: &ListQuarantineResponse, now: Timestamp, style: Style) -> String {
    if got.resources.is_empty() && got.held.is_empty() {
        return "nothing is kept from any proxy\n".to_owned();
    }
    let rows: Vec<[Cell; 7]> = got
        .resources
        .iter()
        .map(|of| {
            [
                of.group.as_str().into(),
                short_type(&of.type_url).into(),
                of.name.as_str().into(),
                short_version(&of.version).into(),
                Cell::toned(on_one_line(&of.proxy), Tone::Bad),
                age(of.at.as_ref(), now).into(),
                of.text.as_str().into(),
            ]
        })
        .collect();
    let mut text = if rows.is_empty() { String::new() } else { table(HEADING, &rows, style) };
    for held in &got.held {
        text += &held_line(held, style);
    }
    text
}

fn held_line(of: &HeldSnapshot, style: Style) -> String {
    let (tone, why) = match (of.reason.as_str(), of.proxies.as_slice()) {
        ("", []) => (Tone::Busy, "is about to be tried at the first proxies".to_owned()),
        ("", first) => (Tone::Busy, format!("is tried at {} first", first.join(", "))),
        (reason, _) => (Tone::Bad, format!("was stopped at the first proxies: {reason}")),
    };
    let line = on_one_line(&format!("{}: {} {why}", of.group, short_version(&of.version)));
    style.paint(tone, &line) + "\n"
}

fn released(got: &ReleaseQuarantineResponse) -> String {
    match got.groups.as_slice() {
        [] => "there was nothing to release\n".to_owned(),
        groups => on_one_line(&format!("released: {}", groups.join(", "))) + "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::super::release::examples::{ago, now};
    use super::*;
    use crate::admin::proto::QuarantinedResource;
    use crate::xds::ResourceType;

    #[test]
    fn a_row_for_what_was_rejected_and_a_line_for_what_is_held() {
        let rejected = QuarantinedResource {
            group: "edge".into(),
            type_url: ResourceType::Listener.type_url().into(),
            name: "http".into(),
            version: "0123456789abcdef".into(),
            proxy: "edge-1".into(),
            text: "no such filter\nat all".into(),
            at: ago(5),
        };
        let held = |group: &str, proxies: &[&str], reason: &str| HeldSnapshot {
            group: group.into(),
            version: "fedcba9876543210".into(),
            proxies: proxies.iter().map(|id| (*id).into()).collect(),
            reason: reason.into(),
        };
        let got = ListQuarantineResponse {
            resources: vec![rejected],
            held: vec![held("edge", &["edge-1", "edge-2"], ""), held("mesh", &[], "mesh-1 connected anew")],
        };
        let expected = "\
GROUP   TYPE   NAME   VERSION        REJECTED BY   AGE   TEXT
edge    LDS    http   0123456789ab   edge-1        5s    no such filter at all
edge: fedcba987654 is tried at edge-1, edge-2 first
mesh: fedcba987654 was stopped at the first proxies: mesh-1 connected anew
";
        assert_eq!(list(&got, now(), Style::PLAIN), expected);
        let nothing = ListQuarantineResponse::default();
        assert_eq!(list(&nothing, now(), Style::PLAIN), "nothing is kept from any proxy\n");
    }

    #[test]
    fn what_was_released_is_told() {
        let mut got = ReleaseQuarantineResponse::default();
        assert_eq!(released(&got), "there was nothing to release\n");
        got.groups = vec!["edge".into(), "mesh".into()];
        assert_eq!(released(&got), "released: edge, mesh\n");
    }
}
