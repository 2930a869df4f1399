//! One proxy in full. PURE.

use envoy_types::pb::google::protobuf;
use jiff::Timestamp;

use super::super::output::{Cell, Style, Tone, table};
use super::super::text::{age, on_one_line, plural, short_version};
use super::{gone, short_type, sync};
use crate::admin::proto::{HeldBack, Proxy, ProxyType, TelemetryChannel};

/// One proxy in full.
pub(super) fn show(proxy: &Proxy, now: Timestamp, style: Style) -> String {
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
        ("Reports", reports(proxy, now)),
        ("Held", proxy.held.clone()),
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
        text += &rejection(rejected, now, style);
    }
    for of in proxy.types.iter().filter(|of| !of.held_back.is_empty()) {
        text += "\n";
        text += &held_back(of, now, style);
    }
    text
}

fn types(proxy: &Proxy, now: Timestamp, style: Style) -> String {
    let rows: Vec<[Cell; 7]> = proxy
        .types
        .iter()
        .map(|of| {
            [
                short_type(&of.type_url).into(),
                sync(of, None),
                asks_for(of).into(),
                short_version(&of.sent_version).into(),
                short_version(&of.acknowledged_version).into(),
                short_version(&of.rejected_version).into(),
                age(of.changed_at.as_ref(), now).into(),
            ]
        })
        .collect();
    table(["TYPE", "STATE", "ASKS FOR", "SENT", "IN FORCE", "REJECTED", "AGE"], &rows, style)
}

/// How its requests are counted, in words.
fn reports(proxy: &Proxy, now: Timestamp) -> String {
    let how = match proxy.telemetry() {
        TelemetryChannel::Unspecified => return String::new(),
        TelemetryChannel::None => return "none in ten minutes: its requests are not counted".to_owned(),
        TelemetryChannel::Metrics => "its metrics stream",
        TelemetryChannel::Loads => "load reports alone",
        TelemetryChannel::Polled => "its admin interface is asked",
    };
    format!("{how}, the last {} ago", age(proxy.reported_at.as_ref(), now))
}

/// `all`, `2 names`, or both.
fn asks_for(of: &ProxyType) -> String {
    let names = plural(usize::try_from(of.subscribed).unwrap_or(usize::MAX), "name");
    match (of.wildcard, of.subscribed) {
        (true, 0) => "all".to_owned(),
        (true, _) => format!("all, {names}"),
        (false, _) => names,
    }
}

/// The proxy's own words, indented.
fn rejection(of: &ProxyType, now: Timestamp, style: Style) -> String {
    let what = match of.rejected_resources.as_slice() {
        [] => String::new(),
        names => format!(" ({})", names.join(", ")),
    };
    let version = short_version(&of.rejected_version);
    let heading =
        on_one_line(&format!("{} rejected {version}{what}{}:", short_type(&of.type_url), ago(&of.rejected_at, now)));
    format!("{}\n{}", style.paint(Tone::Bad, &heading), words(&of.rejection))
}

/// What it is not sent, and who rejected it in what words.
fn held_back(of: &ProxyType, now: Timestamp, style: Style) -> String {
    let one = |held: &HeldBack| {
        let HeldBack { name, version, proxy, text, at } = held;
        let what = format!("{} {name} {}", short_type(&of.type_url), short_version(version));
        let heading = on_one_line(&format!("{what} is held back: rejected by {proxy}{}:", ago(at, now)));
        format!("{}\n{}", style.paint(Tone::Notable, &heading), words(text))
    };
    of.held_back.iter().map(one).collect()
}

fn ago(at: &Option<protobuf::Timestamp>, now: Timestamp) -> String {
    at.as_ref().map_or(String::new(), |at| format!(" {} ago", age(Some(at), now)))
}

fn words(text: &str) -> String {
    text.lines().map(|line| format!("  {}\n", on_one_line(line))).collect()
}
