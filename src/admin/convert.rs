//! From Serin's own types to the messages of `serin.v1`.
//!
//! PURE. Must not know where anything comes from. Nothing here can fail: what does not fit is clamped.

use std::time::{Duration, SystemTime};

use envoy_types::pb::google::protobuf::{self, Any};

use super::proto;
use crate::analysis::{Evidence, Explanation, Finding};
use crate::rollout::engine::View;
use crate::rollout::{Failed, Phase, ReleaseStatus, ShareStatus, Told};
use crate::store::{JournalEntry, SnapshotRecord};
use crate::telemetry::{Channel, LastReport};
use crate::xds::{
    self, Compared, Held, Parked, ProxyStatus, ResourceType, ResourceVersion, SyncState, TypeStatus, Variant,
};

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// A point in time.
pub(super) fn timestamp(at: jiff::Timestamp) -> protobuf::Timestamp {
    since_epoch(at.as_nanosecond())
}

/// A point in time as the operating system tells it.
pub(super) fn system_time(at: SystemTime) -> protobuf::Timestamp {
    let nanos = |d: Duration| i128::try_from(d.as_nanos()).unwrap_or(i128::MAX);
    since_epoch(match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => nanos(after),
        Err(before) => -nanos(before.duration()),
    })
}

/// protobuf wants `nanos` to count forward, before 1970 too.
fn since_epoch(nanos: i128) -> protobuf::Timestamp {
    protobuf::Timestamp {
        seconds: i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos.rem_euclid(NANOS_PER_SECOND)).unwrap_or(0),
    }
}

/// A length of time.
pub(super) fn duration(length: Duration) -> protobuf::Duration {
    protobuf::Duration {
        seconds: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(length.subsec_nanos()).unwrap_or(0),
    }
}

/// A count.
pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A release and its rollout.
pub(super) fn release(status: &ReleaseStatus) -> proto::Release {
    proto::Release {
        name: status.name.clone(),
        service: status.service.clone(),
        version: status.version.clone(),
        stable_version: status.stable.clone(),
        canary_version: status.canary.clone().unwrap_or_default(),
        phase: phase(status.phase).into(),
        message: status.message.clone(),
        steps: status.steps.clone(),
        step: count(status.step),
        set_weight: status.set_weight.percent(),
        actual_weight: status.actual_weight.percent(),
        proxies: count(status.proxies),
        proxies_in_force: count(status.proxies_in_force),
        evidence: status.evidence.as_ref().map(evidence),
        started_at: Some(timestamp(status.started_at)),
        changed_at: Some(timestamp(status.changed_at)),
        shares: status.shares.iter().map(share).collect(),
        held: status.held,
        routing: status.routing.clone(),
        waits: status.waits.clone().unwrap_or_default(),
        calls: status.calls.clone(),
        endpoints: status.endpoints.clone().unwrap_or_default(),
        failed: status.failed.as_ref().map(failed),
        way_back: status.way_back.clone(),
    }
}

fn failed(Failed { version, times }: &Failed) -> proto::FailedVersion {
    proto::FailedVersion { version: version.clone(), times: *times }
}

fn phase(phase: Phase) -> proto::Phase {
    match phase {
        Phase::Healthy => proto::Phase::Healthy,
        Phase::Progressing => proto::Phase::Progressing,
        Phase::Paused => proto::Phase::Paused,
        Phase::Promoting => proto::Phase::Promoting,
        Phase::Reverting => proto::Phase::Reverting,
        Phase::Degraded => proto::Phase::Degraded,
    }
}

fn share(share: &ShareStatus) -> proto::Share {
    proto::Share {
        version: share.version.clone(),
        weight: share.weight.percent(),
        requests_per_second: share.requests_per_second,
        error_rate: share.error_rate,
        p99: share.p99.map(duration),
    }
}

fn evidence(evidence: &Evidence) -> proto::Evidence {
    proto::Evidence {
        canary_requests: evidence.canary_requests,
        canary_errors: evidence.canary_errors,
        baseline_requests: evidence.baseline_requests,
        baseline_errors: evidence.baseline_errors,
        revert_evidence: evidence.revert_evidence,
        revert_bound: evidence.revert_bound,
        advance_evidence: evidence.advance_evidence,
        advance_bound: evidence.advance_bound,
        proxies: count(evidence.proxies),
        observed: Some(duration(evidence.observed)),
        verdict: evidence.verdict.clone(),
    }
}

/// A decision and what goes on.
pub(super) fn told(told: &Told) -> proto::ExplainReleaseResponse {
    let decision = told.decision.as_ref().map(|decision| proto::Decision {
        sequence: decision.sequence,
        at: Some(timestamp(decision.at)),
        kind: decision.record.kind().to_owned(),
        headline: decision.record.headline().unwrap_or_default(),
        reason: decision.reason().unwrap_or_default().to_owned(),
        explanation: decision.record.explanation().map(explanation),
    });
    let present = told.present.as_ref().map(|present| proto::Present {
        message: present.message.clone(),
        since: present.since.map(timestamp),
        explanation: present.explanation.as_ref().map(explanation),
    });
    proto::ExplainReleaseResponse { decision, present, text: told.text(), next: told.next.clone().unwrap_or_default() }
}

fn explanation(explanation: &Explanation) -> proto::Explanation {
    proto::Explanation {
        compared: explanation.compared.clone(),
        evidence: explanation.evidence.clone(),
        over: explanation.over.clone(),
        places: explanation.places.iter().map(place).collect(),
        dry_run: explanation.dry_run.clone(),
    }
}

fn place(found: &Finding) -> proto::WorsePlace {
    proto::WorsePlace {
        kind: found.kind.word(1).to_owned(),
        name: found.name.clone().unwrap_or_default(),
        canary_requests: found.canary.requests,
        canary_errors: found.canary.errors,
        baseline_requests: found.baseline.requests,
        baseline_errors: found.baseline.errors,
        evidence: found.evidence,
        bound: found.bound,
        said: found.said(),
    }
}

/// A line of a journal.
pub(super) fn event(release: &str, entry: JournalEntry) -> proto::ReleaseEvent {
    proto::ReleaseEvent {
        sequence: entry.sequence,
        at: Some(timestamp(entry.at)),
        kind: entry.kind,
        message: entry.message,
        json: entry.json,
        release: release.to_owned(),
    }
}

/// A snapshot without its resources.
pub(super) fn snapshot(record: &SnapshotRecord, current: bool) -> proto::Snapshot {
    let of_type = |(resource_type, version, resources): &(ResourceType, ResourceVersion, usize)| proto::SnapshotType {
        type_url: resource_type.type_url().to_owned(),
        version: version.to_string(),
        count: count(*resources),
    };
    proto::Snapshot {
        group: record.group.clone(),
        version: record.version.to_string(),
        published_at: Some(timestamp(record.published_at)),
        current,
        types: record.types.iter().map(of_type).collect(),
    }
}

/// A resource, with its JSON when that was asked for.
pub(super) fn resource(resource: &xds::Resource, json: Option<String>) -> proto::Resource {
    let type_url = resource.resource_type().type_url().to_owned();
    proto::Resource {
        type_url: type_url.clone(),
        name: resource.name().to_string(),
        version: resource.version().to_string(),
        resource: Some(Any { type_url, value: resource.body().to_vec() }),
        json: json.unwrap_or_default(),
    }
}

/// A proxy, and the last that was heard of its requests.
pub(super) fn proxy(status: &ProxyStatus, report: Option<LastReport>) -> proto::Proxy {
    let node = &status.node;
    proto::Proxy {
        id: node.id.clone(),
        cluster: node.cluster.clone(),
        group: status.group.as_deref().unwrap_or_default().to_owned(),
        user_agent: match node.version {
            Some((major, minor, patch)) => format!("{} {major}.{minor}.{patch}", node.user_agent).trim().to_owned(),
            None => node.user_agent.clone(),
        },
        variant: match status.variant {
            Variant::Sotw => "sotw".into(),
            Variant::Delta => "delta".into(),
        },
        address: status.address.map(|address| address.to_string()).unwrap_or_default(),
        connected: status.is_connected(),
        connected_at: Some(system_time(status.connected_at)),
        disconnected_at: status.disconnected_at.map(system_time),
        connects: status.connects,
        region: node.locality.region.clone(),
        zone: node.locality.zone.clone(),
        types: status.types.iter().map(|(resource_type, status)| proxy_type(*resource_type, status)).collect(),
        held: String::new(),
        telemetry: telemetry(report).into(),
        reported_at: report.and_then(|report| SystemTime::now().checked_sub(report.ago)).map(system_time),
    }
}

fn telemetry(report: Option<LastReport>) -> proto::TelemetryChannel {
    match report.map(|report| report.channel) {
        None => proto::TelemetryChannel::None,
        Some(Channel::Metrics) => proto::TelemetryChannel::Metrics,
        Some(Channel::Loads) => proto::TelemetryChannel::Loads,
        Some(Channel::Polled) => proto::TelemetryChannel::Polled,
    }
}

/// A proxy with what it is not sent, and why: `compared` is what it is to have against what it has, `held` why its group's
/// newest snapshot is not everywhere.
pub(super) fn proxy_in_full(
    status: &ProxyStatus,
    report: Option<LastReport>,
    compared: &[Compared<'_>],
    held: Option<&Held>,
) -> proto::Proxy {
    let mut shown = proxy(status, report);
    for of in &mut shown.types {
        let of_type = compared.iter().filter(|one| one.resource_type.type_url() == of.type_url);
        of.held_back = of_type.filter_map(|one| one.held_back).map(held_back).collect();
    }
    shown.held = match held {
        Some(Held::Trial(first)) if first.contains(&status.node.id) => "it is among the first that are given it".into(),
        Some(Held::Trial(first)) if first.is_empty() => "the first proxies are being chosen".into(),
        Some(Held::Trial(first)) => format!("tried at {} first", first.join(", ")),
        Some(Held::Stopped(reason)) => format!("stopped at the first proxies: {reason}"),
        None => String::new(),
    };
    shown
}

fn held_back(parked: &Parked) -> proto::HeldBack {
    proto::HeldBack {
        name: parked.resource.name().to_string(),
        version: parked.resource.version().to_string(),
        proxy: parked.node.clone(),
        text: parked.text.clone(),
        at: Some(system_time(parked.at)),
    }
}

/// What was rejected in a group.
pub(super) fn quarantined(group: &str, parked: &Parked) -> proto::QuarantinedResource {
    proto::QuarantinedResource {
        group: group.to_owned(),
        type_url: parked.resource.resource_type().type_url().to_owned(),
        name: parked.resource.name().to_string(),
        version: parked.resource.version().to_string(),
        proxy: parked.node.clone(),
        text: parked.text.clone(),
        at: Some(system_time(parked.at)),
    }
}

/// What is tried, or was stopped, at the first proxies of a group.
pub(super) fn held_snapshot(group: &str, version: ResourceVersion, held: Held) -> proto::HeldSnapshot {
    let (proxies, reason) = match held {
        Held::Trial(first) => (first, String::new()),
        Held::Stopped(reason) => (Vec::new(), reason),
    };
    proto::HeldSnapshot { group: group.to_owned(), version: version.to_string(), proxies, reason }
}

fn proxy_type(resource_type: ResourceType, status: &TypeStatus) -> proto::ProxyType {
    let version = |version: Option<ResourceVersion>| version.map(|v| v.to_string()).unwrap_or_default();
    let rejection = status.rejection.as_ref();
    proto::ProxyType {
        type_url: resource_type.type_url().to_owned(),
        state: match status.state {
            SyncState::NotSent => proto::SyncState::NotSent,
            SyncState::Synced => proto::SyncState::Synced,
            SyncState::Stale => proto::SyncState::Stale,
            SyncState::Nacked => proto::SyncState::Nacked,
        }
        .into(),
        sent_version: version(status.sent),
        acknowledged_version: version(status.in_force.map(|(version, _)| version)),
        rejected_version: version(rejection.map(|r| r.version)),
        rejected_resources: rejection.map(|r| r.resources.clone()).unwrap_or_default(),
        rejection: rejection.map(|r| r.text.clone()).unwrap_or_default(),
        changed_at: status.changed_at.map(system_time),
        rejected_at: rejection.map(|r| system_time(r.at)),
        wildcard: status.subscription.is_wildcard(),
        subscribed: count(status.subscription.names().len()),
        held_back: Vec::new(),
    }
}

/// The state of the specs.
pub(super) fn spec_status(view: &View) -> proto::GetSpecStatusResponse {
    proto::GetSpecStatusResponse {
        applied_at: view.applied_at.map(timestamp),
        fleets: count(view.fleets),
        services: count(view.services),
        releases: count(view.releases.len()),
        diagnostics: view.diagnostics.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_count_their_nanoseconds_forward() {
        for (nanos, seconds, rest) in [
            (0, 0, 0),
            (1, 0, 1),
            (1_500_000_000, 1, 500_000_000),
            (-1, -1, 999_999_999),
            (-1_500_000_000, -2, 500_000_000),
        ] {
            let expected = protobuf::Timestamp { seconds, nanos: rest };
            assert_eq!(timestamp(jiff::Timestamp::from_nanosecond(nanos).expect("in range")), expected);
            let length = Duration::from_nanos(nanos.unsigned_abs().try_into().expect("small"));
            let at = if nanos < 0 { SystemTime::UNIX_EPOCH - length } else { SystemTime::UNIX_EPOCH + length };
            assert_eq!(system_time(at), expected);
        }
    }

    #[test]
    fn what_does_not_fit_is_clamped() {
        assert_eq!(count(usize::MAX), u32::MAX);
        assert_eq!(duration(Duration::MAX).seconds, i64::MAX);
        assert_eq!(duration(Duration::new(3, 7)), protobuf::Duration { seconds: 3, nanos: 7 });
    }

    #[test]
    fn why_a_snapshot_is_held_is_told_from_the_proxys_side() {
        let status = ProxyStatus {
            node: std::sync::Arc::new(xds::Node { id: "edge-1".into(), ..xds::Node::default() }),
            group: Some("edge".into()),
            variant: Variant::Delta,
            address: None,
            connected_at: SystemTime::UNIX_EPOCH,
            disconnected_at: None,
            connects: 1,
            types: Default::default(),
        };
        let trial = |first: &[&str]| Some(Held::Trial(first.iter().map(|id| (*id).to_owned()).collect()));
        for (held, words) in [
            (None, ""),
            (trial(&[]), "the first proxies are being chosen"),
            (trial(&["edge-1", "edge-2"]), "it is among the first that are given it"),
            (trial(&["edge-2", "edge-3"]), "tried at edge-2, edge-3 first"),
            (Some(Held::Stopped("edge-2 crashed".into())), "stopped at the first proxies: edge-2 crashed"),
        ] {
            assert_eq!(proxy_in_full(&status, None, &[], held.as_ref()).held, words);
        }
    }
}
