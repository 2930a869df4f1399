//! `serin proxies`: which proxy has which configuration in force.

use clap::Subcommand;
use jiff::Timestamp;

use super::client::{ClientArgs, answer, present};
use super::failure::Failure;
use super::json::Shown;
use super::output::{Cell, Format, Style, Tone, json, put, table, yaml};
use super::text::{age, on_one_line, or_nothing, short_version};
use crate::admin::proto::{GetProxyRequest, ListProxiesRequest, ListProxiesResponse, Proxy, ProxyType, SyncState};
use crate::xds::ResourceType;

/// Show the proxies, and how far each is
///
/// SYNCED: it acknowledged the newest. STALE: it has not answered yet. NACKED: it rejected it (`proxies NAME` shows its
/// words). NOT SENT: nothing was sent yet. -: it does not ask for this type.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(after_help = "Examples:\n  serin proxies\n  serin proxies --group edge\n  serin proxies edge-1\n  \
                        serin proxies show edge-1 -o json")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Show this proxy
    #[arg(conflicts_with = "group")]
    name: Option<String>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A row per proxy
    List(ListArgs),
    /// One proxy: its versions, and what it rejected in its own words
    Show(ShowArgs),
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

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match (args.verb, args.name) {
        (Some(Verb::List(list)), _) => all(list).await,
        (Some(Verb::Show(show)), _) => one(show.name, show.client).await,
        (None, Some(name)) => one(name, args.list.client).await,
        (None, None) => all(args.list).await,
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
        Format::Table => show(&got, Timestamp::now(), Style::of_stdout()),
        Format::Json => json(&Shown::of(&got))?,
        Format::Yaml => yaml(&Shown::of(&got))?,
        Format::Name => on_one_line(&got.id) + "\n",
    })
}

fn names(got: &ListProxiesResponse) -> String {
    got.proxies.iter().map(|proxy| on_one_line(&proxy.id) + "\n").collect()
}

const HEADING: [&str; 9] = ["NAME", "GROUP", "AGENT", "VARIANT", "CDS", "EDS", "LDS", "RDS", "AGE"];

/// A row per proxy; `AGE` is that of its stream, or how long it has been gone.
fn list(proxies: &[Proxy], now: Timestamp, style: Style) -> String {
    let rows: Vec<[Cell; 9]> = proxies
        .iter()
        .map(|proxy| {
            let [cds, eds, lds, rds] = ResourceType::ALL.map(|of| sync_of(proxy, of));
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
                since,
            ]
        })
        .collect();
    table(HEADING, &rows, style)
}

/// What it had is of no interest once it is gone: nobody knows what it has now.
fn sync_of(proxy: &Proxy, of: ResourceType) -> Cell {
    match proxy.types.iter().find(|known| known.type_url == of.type_url()) {
        Some(known) if proxy.connected => sync(known),
        Some(_) | None => or_nothing("").into(),
    }
}

fn sync(of: &ProxyType) -> Cell {
    match of.state() {
        SyncState::Unspecified => or_nothing("").into(),
        SyncState::NotSent => Cell::toned("NOT SENT", Tone::Faint),
        SyncState::Synced => Cell::toned("SYNCED", Tone::Good),
        SyncState::Stale => Cell::toned("STALE", Tone::Notable),
        SyncState::Nacked => Cell::toned("NACKED", Tone::Bad),
    }
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

/// One proxy in full.
fn show(proxy: &Proxy, now: Timestamp, style: Style) -> String {
    let since = match (proxy.connected, age(proxy.connected_at.as_ref(), now)) {
        (true, since) => format!("{since} ago, stream no. {}", proxy.connects),
        (false, _) => style.paint(Tone::Bad, &gone(proxy, now)),
    };
    let lines = [
        ("Name", proxy.id.clone()),
        ("Cluster", proxy.cluster.clone()),
        ("Group", if proxy.group.is_empty() { "none: no fleet selects it".to_owned() } else { proxy.group.clone() }),
        ("Agent", proxy.user_agent.clone()),
        ("Variant", proxy.variant.clone()),
        ("Address", proxy.address.clone()),
        ("Region", proxy.region.clone()),
        ("Zone", proxy.zone.clone()),
        ("Connected", since),
    ];
    let mut text: String = lines
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{:<11} {value}\n", format!("{name}:")))
        .collect();
    if !proxy.types.is_empty() {
        text += "\n";
        text += &types(proxy, now, style);
    }
    for rejected in proxy.types.iter().filter(|of| !of.rejection.is_empty()) {
        text += "\n";
        text += &rejection(rejected, style);
    }
    text
}

fn types(proxy: &Proxy, now: Timestamp, style: Style) -> String {
    let rows: Vec<[Cell; 6]> = proxy
        .types
        .iter()
        .map(|of| {
            [
                short_type(&of.type_url).into(),
                sync(of),
                short_version(&of.sent_version).into(),
                short_version(&of.acknowledged_version).into(),
                short_version(&of.rejected_version).into(),
                age(of.changed_at.as_ref(), now).into(),
            ]
        })
        .collect();
    table(["TYPE", "STATE", "SENT", "IN FORCE", "REJECTED", "AGE"], &rows, style)
}

/// The proxy's own words, indented.
fn rejection(of: &ProxyType, style: Style) -> String {
    let what = match of.rejected_resources.as_slice() {
        [] => String::new(),
        names => format!(" ({})", names.join(", ")),
    };
    let version = short_version(&of.rejected_version);
    let heading = on_one_line(&format!("{} rejected {version}{what}:", short_type(&of.type_url)));
    let words: String = of.rejection.lines().map(|line| format!("  {}\n", on_one_line(line))).collect();
    format!("{}\n{words}", style.paint(Tone::Bad, &heading))
}

/// `CDS` for a type that this server knows, otherwise its URL.
pub(super) fn short_type(url: &str) -> &str {
    ResourceType::from_type_url(url).map_or(url, |of| of.short())
}

#[cfg(test)]
mod tests;
