//! `serin proxies`: which proxy has which configuration in force.

mod diff;
mod show;

use clap::Subcommand;
use jiff::Timestamp;

use super::client::{ClientArgs, answer, present};
use super::failure::Failure;
use super::json::Shown;
use super::output::{Cell, Format, Style, Tone, json, put, table, yaml};
use super::snapshots::type_url;
use super::text::{age, on_one_line, or_nothing};
use crate::admin::proto::{
    DiffProxyRequest, GetProxyRequest, ListProxiesRequest, ListProxiesResponse, Proxy, ProxyType, SyncState,
    TelemetryChannel,
};
use crate::xds::ResourceType;

/// Show the proxies, and how far each is
///
/// SYNCED: it acknowledged the newest. STALE: it has not answered yet, or the newest is kept from it. NACKED: it rejected
/// it (`proxies NAME` shows its words). NOT SENT: nothing was sent yet. -: it does not ask for this type. Beside what is
/// not synced stands for how long. REPORTS: how its requests are counted (METRICS: its metrics stream, LOADS: load reports
/// alone, POLLED: its admin interface is asked, NONE: nothing has come for ten minutes), and when the last came.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(after_help = "Examples:\n  serin proxies\n  serin proxies --group edge\n  serin proxies edge-1\n  \
                        serin proxies edge-1 diff\n  serin proxies diff edge-1 --type rds\n  \
                        serin proxies show edge-1 -o json")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Show this proxy
    #[arg(conflicts_with = "group")]
    name: Option<String>,
    /// What of it to show
    #[arg(requires = "name")]
    what: Option<What>,
    /// Only resources of this type: cds, eds, lds, rds, or a type URL
    #[arg(long = "type", value_name = "TYPE", value_parser = type_url, requires = "what")]
    of_type: Option<String>,
    #[command(flatten)]
    list: ListArgs,
}

/// What of a proxy to show.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// What it has acknowledged against what it is to have
    Diff,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A row per proxy
    List(ListArgs),
    /// One proxy: its versions, what it rejected in its own words, and what is kept from it
    Show(ShowArgs),
    /// What a proxy has acknowledged against what it is to have
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
    /// Its node id
    name: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, clap::Args)]
struct DiffArgs {
    /// Its node id
    name: String,
    /// Only resources of this type: cds, eds, lds, rds, or a type URL
    #[arg(long = "type", value_name = "TYPE", value_parser = type_url)]
    of_type: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match (args.verb, args.name, args.what) {
        (Some(Verb::List(list)), ..) => all(list).await,
        (Some(Verb::Show(show)), ..) => one(show.name, show.client).await,
        (Some(Verb::Diff(diff)), ..) => lacking(diff.name, diff.of_type, diff.client).await,
        (None, Some(name), None) => one(name, args.list.client).await,
        (None, Some(name), Some(What::Diff)) => lacking(name, args.of_type, args.list.client).await,
        (None, None, _) => all(args.list).await,
    }
}

async fn all(args: ListArgs) -> Result<(), Failure> {
    let mut client = args.client.server.proxies().await?;
    let request = ListProxiesRequest { group: args.group.unwrap_or_default() };
    let got = answer(client.list_proxies(request)).await?;
    put(&match args.client.output {
        Format::Table => list(&got.proxies, Timestamp::now(), Style::of_stdout()),
        Format::Json => json(&Shown::of(&got))?,
        Format::Yaml => yaml(&Shown::of(&got))?,
        Format::Name => names(&got),
    })
}

async fn one(id: String, args: ClientArgs) -> Result<(), Failure> {
    let mut client = args.server.proxies().await?;
    let got = present(answer(client.get_proxy(GetProxyRequest { id })).await?.proxy, "proxy")?;
    put(&match args.output {
        Format::Table => show::show(&got, Timestamp::now(), Style::of_stdout()),
        Format::Json => json(&Shown::of(&got))?,
        Format::Yaml => yaml(&Shown::of(&got))?,
        Format::Name => on_one_line(&got.id) + "\n",
    })
}

async fn lacking(id: String, of_type: Option<String>, args: ClientArgs) -> Result<(), Failure> {
    let mut client = args.server.proxies().await?;
    let got = answer(client.diff_proxy(DiffProxyRequest { id, type_url: of_type.unwrap_or_default() })).await?;
    put(&match args.output {
        Format::Table => diff::diff(&got, Style::of_stdout()),
        Format::Json => json(&Shown::of(&got))?,
        Format::Yaml => yaml(&Shown::of(&got))?,
        Format::Name => got.resources.iter().map(|resource| on_one_line(&resource.name) + "\n").collect(),
    })
}

fn names(got: &ListProxiesResponse) -> String {
    got.proxies.iter().map(|proxy| on_one_line(&proxy.id) + "\n").collect()
}

const HEADING: [&str; 10] = ["NAME", "GROUP", "AGENT", "VARIANT", "CDS", "EDS", "LDS", "RDS", "REPORTS", "AGE"];

/// A row per proxy; `AGE` is that of its stream, or how long it has been gone.
fn list(proxies: &[Proxy], now: Timestamp, style: Style) -> String {
    let rows: Vec<[Cell; 10]> = proxies
        .iter()
        .map(|proxy| {
            let [cds, eds, lds, rds] = ResourceType::CORE.map(|of| sync_of(proxy, of, now));
            let since = if proxy.connected {
                age(proxy.connected_at.as_ref(), now).into()
            } else {
                Cell::toned(gone(proxy, now), Tone::Bad)
            };
            [
                proxy.id.as_str().into(),
                group(proxy),
                or_nothing(&proxy.user_agent).into(),
                or_nothing(&proxy.variant).into(),
                cds,
                eds,
                lds,
                rds,
                reports(proxy, now),
                since,
            ]
        })
        .collect();
    table(HEADING, &rows, style)
}

/// What it had is of no interest once it is gone: nobody knows what it has now.
fn sync_of(proxy: &Proxy, of: ResourceType, now: Timestamp) -> Cell {
    match proxy.types.iter().find(|known| known.type_url == of.type_url()) {
        Some(known) if proxy.connected => sync(known, Some(now)),
        Some(_) | None => or_nothing("").into(),
    }
}

/// The state; what is not synced with its age, where `now` is given.
fn sync(of: &ProxyType, now: Option<Timestamp>) -> Cell {
    let (word, tone) = match of.state() {
        SyncState::Unspecified => return or_nothing("").into(),
        SyncState::NotSent => ("NOT SENT", Tone::Faint),
        SyncState::Synced => return Cell::toned("SYNCED", Tone::Good),
        SyncState::Stale => ("STALE", Tone::Notable),
        SyncState::Nacked => ("NACKED", Tone::Bad),
    };
    match (now, &of.changed_at) {
        (Some(now), Some(since)) => Cell::toned(format!("{word} {}", age(Some(since), now)), tone),
        (None, _) | (_, None) => Cell::toned(word, tone),
    }
}

/// How its requests are counted, and when the last report of them came.
fn reports(proxy: &Proxy, now: Timestamp) -> Cell {
    let word = match proxy.telemetry() {
        TelemetryChannel::Unspecified => return or_nothing("").into(),
        TelemetryChannel::None => return Cell::toned("NONE", Tone::Faint),
        TelemetryChannel::Metrics => "METRICS",
        TelemetryChannel::Loads => "LOADS",
        TelemetryChannel::Polled => "POLLED",
    };
    format!("{word} {}", age(proxy.reported_at.as_ref(), now)).into()
}

fn gone(proxy: &Proxy, now: Timestamp) -> String {
    match proxy.disconnected_at {
        Some(_) => format!("DISCONNECTED {}", age(proxy.disconnected_at.as_ref(), now)),
        None => "DISCONNECTED".to_owned(),
    }
}

fn group(proxy: &Proxy) -> Cell {
    if proxy.group.is_empty() { Cell::toned("NO FLEET", Tone::Bad) } else { proxy.group.as_str().into() }
}

/// `CDS` for a type that this server knows, otherwise its URL.
pub(super) fn short_type(url: &str) -> &str {
    ResourceType::from_type_url(url).map_or(url, |of| of.short())
}

#[cfg(test)]
mod tests;
