//! The metrics: their names, and their values from a view and the proxies.
//!
//! PURE. A registry is made anew for each scrape, so that what is gone is gone from the metrics too. No label has a
//! proxy's name: a fleet of thousands must not make thousands of series.

use std::collections::{BTreeMap, BTreeSet};

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};

use crate::rollout::engine::View;
use crate::rollout::{Phase, ReleaseStatus};
use crate::xds::{ProxyStatus, ResourceType, SyncState};

const PHASES: [Phase; 6] =
    [Phase::Healthy, Phase::Progressing, Phase::Paused, Phase::Promoting, Phase::Reverting, Phase::Degraded];
const SYNC_STATES: [SyncState; 4] = [SyncState::NotSent, SyncState::Synced, SyncState::Stale, SyncState::Nacked];

type Result<T> = std::result::Result<T, prometheus::Error>;

/// How configuration reaches the proxies, and requests those outside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Delivery {
    /// Resources that are kept from the proxies of a group, because one rejected them.
    pub(super) quarantined: BTreeMap<String, usize>,
    /// Streams that wait to be let in.
    pub(super) waiting: usize,
    /// Connections that were closed because the proxy did not read.
    pub(super) stalled: u64,
    /// Tries of hooks that succeeded, and that failed.
    pub(super) hooks: (u64, u64),
    /// Notifications that were delivered, and that were given up.
    pub(super) notifications: (u64, u64),
}

/// All metrics in Prometheus' text format.
///
/// # Errors
/// Only when a metric's name or help is none.
pub(super) fn render(view: &View, proxies: &[ProxyStatus], delivery: &Delivery) -> Result<String> {
    let registry = Registry::new();
    vector(&registry, "serin_build_info", "Always 1; the version is a label.", &["version"])?
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1.0);
    of_proxies(&registry, view, proxies)?;
    of_delivery(&registry, delivery)?;
    of_releases(&registry, view)?;
    let diagnostics = "What is wrong with the newest specs; 0 when they are in force.";
    single(&registry, "serin_spec_diagnostics", diagnostics)?.set(number(view.diagnostics.len()));
    let failing = "Whether the store does not take decisions, so that nothing advances.";
    single(&registry, "serin_store_error", failing)?.set(flag(view.store_error.is_some()));
    TextEncoder::new().encode_to_string(&registry.gather())
}

fn of_proxies(registry: &Registry, view: &View, proxies: &[ProxyStatus]) -> Result<()> {
    // A proxy that no fleet takes has the empty group.
    let group = |proxy: &ProxyStatus| proxy.group.as_deref().unwrap_or_default().to_owned();
    let groups: BTreeSet<String> = view.groups.keys().cloned().chain(proxies.iter().map(group)).collect();
    // A series that counts nothing says 0: one that comes and goes cannot be alerted on.
    let mut connected: BTreeMap<(String, bool), usize> = BTreeMap::new();
    let mut sync: BTreeMap<(String, ResourceType, &str), usize> = BTreeMap::new();
    for name in &groups {
        connected.extend([true, false].map(|state| ((name.clone(), state), 0)));
        for resource_type in ResourceType::CORE {
            sync.extend(SYNC_STATES.map(|state| ((name.clone(), resource_type, sync_state(state)), 0)));
        }
    }
    for proxy in proxies {
        *connected.entry((group(proxy), proxy.is_connected())).or_default() += 1;
        for (resource_type, status) in proxy.types.iter().filter(|_| proxy.is_connected()) {
            *sync.entry((group(proxy), *resource_type, sync_state(status.state))).or_default() += 1;
        }
    }
    let help = "Proxies that are connected, or were within the last hour, by group (empty when no fleet takes them).";
    let gauge = vector(registry, "serin_proxies", help, &["group", "state"])?;
    for ((group, connected), proxies) in connected {
        let state = if connected { "connected" } else { "disconnected" };
        gauge.with_label_values(&[group.as_str(), state]).set(number(proxies));
    }
    let help = "Connected proxies by group, type that they subscribe to, and how far they are with it.";
    let gauge = vector(registry, "serin_proxy_sync", help, &["group", "type", "state"])?;
    for ((group, resource_type, state), proxies) in sync {
        gauge.with_label_values(&[group.as_str(), resource_type.short(), state]).set(number(proxies));
    }
    Ok(())
}

fn of_delivery(registry: &Registry, delivery: &Delivery) -> Result<()> {
    let help = "Resources that no proxy of the group is sent, because one rejected them.";
    let quarantined = vector(registry, "serin_quarantined_resources", help, &["group"])?;
    for (group, resources) in &delivery.quarantined {
        quarantined.with_label_values(&[group]).set(number(*resources));
    }
    let waiting = "Streams that wait to be let in, after many came at once.";
    single(registry, "serin_xds_streams_waiting", waiting)?.set(number(delivery.waiting));
    let help = "Connections that were closed because the proxy took nothing of what it was sent.";
    let stalled = IntCounter::new("serin_xds_stalled_connections_total", help)?;
    registry.register(Box::new(stalled.clone()))?;
    stalled.inc_by(delivery.stalled);
    let help = "Calls of hooks, each try for itself, by what came of it.";
    outcomes(registry, "serin_hook_calls_total", help, ["ok", "failed"], delivery.hooks)?;
    let help = "Notifications, by whether the sink took them or was given up after many tries.";
    outcomes(registry, "serin_notifications_total", help, ["delivered", "dropped"], delivery.notifications)
}

fn outcomes(registry: &Registry, name: &str, help: &str, words: [&str; 2], counts: (u64, u64)) -> Result<()> {
    let counter = IntCounterVec::new(Opts::new(name, help), &["outcome"])?;
    registry.register(Box::new(counter.clone()))?;
    counter.with_label_values(&[words[0]]).inc_by(counts.0);
    counter.with_label_values(&[words[1]]).inc_by(counts.1);
    Ok(())
}

fn of_releases(registry: &Registry, view: &View) -> Result<()> {
    let by_version = ["release", "version"];
    let weight = vector(registry, "serin_release_weight_percent", "A version's published share.", &by_version)?;
    let phase = vector(registry, "serin_release_phase", "1 for the phase that it is in.", &["release", "phase"])?;
    let routing = "Connected proxies that route the release's service.";
    let proxies = vector(registry, "serin_release_proxies", routing, &["release"])?;
    let acknowledged = "How many of them have acknowledged what is published.";
    let in_force = vector(registry, "serin_release_proxies_in_force", acknowledged, &["release"])?;
    let requests = "A version's requests per second over the last ten seconds, as its callers saw them.";
    let requests = vector(registry, "serin_release_requests_per_second", requests, &by_version)?;
    let errors = "The share of a version's requests that failed over the last ten seconds, 0 to 1.";
    let errors = vector(registry, "serin_release_error_ratio", errors, &by_version)?;
    for status in view.releases.values() {
        let ReleaseStatus { name, shares, phase: is_in, proxies: all, proxies_in_force, .. } = &**status;
        for candidate in PHASES {
            phase.with_label_values(&[name.as_str(), phase_name(candidate)]).set(flag(candidate == *is_in));
        }
        proxies.with_label_values(&[name]).set(number(*all));
        in_force.with_label_values(&[name]).set(number(*proxies_in_force));
        for share in shares {
            let labels = [name, &share.version];
            weight.with_label_values(&labels).set(share.weight.percent());
            requests.with_label_values(&labels).set(share.requests_per_second);
            errors.with_label_values(&labels).set(share.error_rate);
        }
    }
    Ok(())
}

fn vector(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec> {
    let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn single(registry: &Registry, name: &str, help: &str) -> Result<Gauge> {
    let gauge = Gauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Healthy => "healthy",
        Phase::Progressing => "progressing",
        Phase::Paused => "paused",
        Phase::Promoting => "promoting",
        Phase::Reverting => "reverting",
        Phase::Degraded => "degraded",
    }
}

fn sync_state(state: SyncState) -> &'static str {
    match state {
        SyncState::NotSent => "not_sent",
        SyncState::Synced => "synced",
        SyncState::Stale => "stale",
        SyncState::Nacked => "nacked",
    }
}

fn number(n: usize) -> f64 {
    n as f64
}

fn flag(set: bool) -> f64 {
    f64::from(u8::from(set))
}
