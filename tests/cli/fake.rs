//! A server with canned answers.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use envoy_types::pb::google::protobuf::Timestamp;
use serin::admin::proto::proxy_service_server::{ProxyService, ProxyServiceServer};
use serin::admin::proto::quarantine_service_server::{QuarantineService, QuarantineServiceServer};
use serin::admin::proto::release_service_server::{ReleaseService, ReleaseServiceServer};
use serin::admin::proto::snapshot_service_server::{SnapshotService, SnapshotServiceServer};
use serin::admin::proto::*;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

/// Starts it on a port of its own; it ends with the test's runtime.
pub(crate) async fn start() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = tonic::transport::Server::builder()
        .add_service(ReleaseServiceServer::new(Releases::default()))
        .add_service(ProxyServiceServer::new(Proxies))
        .add_service(SnapshotServiceServer::new(Snapshots))
        .add_service(QuarantineServiceServer::new(Quarantine))
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    tokio::spawn(server);
    address
}

/// A release by name: `cart` is healthy, `old` is degraded, the others are on their way.
fn release(name: &str) -> Release {
    let release = Release {
        name: name.into(),
        service: name.into(),
        version: "v2".into(),
        stable_version: "v1".into(),
        canary_version: "v2".into(),
        phase: Phase::Progressing.into(),
        message: "comparing v2 with v1".into(),
        steps: vec!["setWeight 5%".into(), "analyze at most 10m".into()],
        step: 1,
        set_weight: 5.0,
        actual_weight: 0.0,
        proxies: 3,
        proxies_in_force: 2,
        ..Release::default()
    };
    match name {
        "cart" => in_phase(release, Phase::Healthy),
        "old" => in_phase(release, Phase::Degraded),
        _ => release,
    }
}

fn in_phase(release: Release, phase: Phase) -> Release {
    let message = match phase {
        Phase::Healthy => "v2 has all traffic",
        Phase::Degraded => "v2 failed too often",
        _ => "on its way",
    };
    Release { phase: phase.into(), message: message.into(), canary_version: String::new(), ..release }
}

fn event(sequence: u64) -> ReleaseEvent {
    ReleaseEvent {
        sequence,
        at: Some(Timestamp { seconds: 0, nanos: 0 }),
        kind: "measured".into(),
        message: format!("entry {sequence}"),
        json: "{}".into(),
        release: "checkout".into(),
    }
}

fn known(name: &str) -> Result<Release, Status> {
    match name {
        "absent" => Err(Status::not_found("there is no release named absent")),
        name => Ok(release(name)),
    }
}

#[derive(Default)]
struct Releases {
    restarts: AtomicUsize,
}

#[tonic::async_trait]
impl ReleaseService for Releases {
    type WatchReleasesStream = Pin<Box<dyn Stream<Item = Result<WatchReleasesResponse, Status>> + Send>>;

    type WatchReleaseEventsStream = Pin<Box<dyn Stream<Item = Result<WatchReleaseEventsResponse, Status>> + Send>>;

    /// Two entries and a cut, two more, and none for anybody later.
    async fn watch_release_events(
        &self,
        request: Request<WatchReleaseEventsRequest>,
    ) -> Answer<Self::WatchReleaseEventsStream> {
        let WatchReleaseEventsRequest { names, after } = request.into_inner();
        known(names.first().map_or("checkout", String::as_str))?;
        if after >= 4 {
            return Err(Status::not_found("there is no release named checkout any more"));
        }
        let kind = |sequence| if sequence == 2 { "measured" } else { "settled" };
        let event = |sequence| ReleaseEvent { kind: kind(sequence).into(), ..event(sequence) };
        let events = (after + 1..=after + 2).map(event).collect();
        let cut = Err(Status::unavailable("the server is shutting down"));
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(WatchReleaseEventsResponse { events }), cut]))))
    }

    async fn list_releases(&self, _: Request<ListReleasesRequest>) -> Answer<ListReleasesResponse> {
        Ok(Response::new(ListReleasesResponse { releases: vec![release("cart"), release("checkout")] }))
    }

    async fn get_release(&self, request: Request<GetReleaseRequest>) -> Answer<GetReleaseResponse> {
        Ok(Response::new(GetReleaseResponse { release: Some(known(&request.into_inner().name)?) }))
    }

    async fn watch_releases(&self, request: Request<WatchReleasesRequest>) -> Answer<Self::WatchReleasesStream> {
        let names = request.into_inner().names;
        let name = names.first().map_or("checkout", String::as_str);
        let underway = known(name)?;
        let healthy = in_phase(underway.clone(), Phase::Healthy);
        // A script, and whether the stream then stays open.
        let (script, open) = match name {
            "broken" => (vec![underway.clone(), in_phase(underway, Phase::Degraded)], true),
            "stuck" => (vec![underway], true),
            "restarting" if self.restarts.fetch_add(1, Ordering::SeqCst) == 0 => (vec![underway], false),
            "restarting" => (vec![healthy], true),
            "next" => {
                let before = Release { version: "v1".into(), ..healthy.clone() };
                (vec![before, underway, healthy], true)
            }
            _ => (vec![underway.clone(), underway, healthy], true),
        };
        let answers = script.into_iter().map(|release| Ok(WatchReleasesResponse { releases: vec![release] }));
        let answers = tokio_stream::iter(answers);
        Ok(Response::new(if open { Box::pin(answers.chain(tokio_stream::pending())) } else { Box::pin(answers) }))
    }

    async fn promote_release(&self, request: Request<PromoteReleaseRequest>) -> Answer<PromoteReleaseResponse> {
        let request = request.into_inner();
        let release = known(&request.name)?;
        if release.phase() == Phase::Healthy {
            return Err(Status::failed_precondition("release cart is healthy: there is nothing to promote"));
        }
        let phase = if request.full { Phase::Promoting } else { Phase::Progressing };
        Ok(Response::new(PromoteReleaseResponse { release: Some(Release { phase: phase.into(), ..release }) }))
    }

    async fn pause_release(&self, request: Request<PauseReleaseRequest>) -> Answer<PauseReleaseResponse> {
        Ok(Response::new(PauseReleaseResponse { release: Some(known(&request.into_inner().name)?) }))
    }

    async fn resume_release(&self, request: Request<ResumeReleaseRequest>) -> Answer<ResumeReleaseResponse> {
        Ok(Response::new(ResumeReleaseResponse { release: Some(known(&request.into_inner().name)?) }))
    }

    async fn abort_release(&self, request: Request<AbortReleaseRequest>) -> Answer<AbortReleaseResponse> {
        let request = request.into_inner();
        let release = Release {
            phase: Phase::Reverting.into(),
            message: format!("aborted: {}", request.reason),
            ..known(&request.name)?
        };
        Ok(Response::new(AbortReleaseResponse { release: Some(release) }))
    }

    async fn undo_release(&self, request: Request<UndoReleaseRequest>) -> Answer<UndoReleaseResponse> {
        let UndoReleaseRequest { name, to } = request.into_inner();
        let release = known(&name)?;
        let to = if to.is_empty() { &release.stable_version } else { &to };
        let message = format!("back to {to}");
        let release = Release { phase: Phase::Reverting.into(), message, ..release };
        Ok(Response::new(UndoReleaseResponse { release: Some(release) }))
    }

    async fn retry_release(&self, _: Request<RetryReleaseRequest>) -> Answer<RetryReleaseResponse> {
        Ok(Response::new(RetryReleaseResponse { release: None }))
    }

    /// 2,500 entries, a thousand at a time.
    /// A release that was reverted, and one that waits.
    async fn explain_release(&self, request: Request<ExplainReleaseRequest>) -> Answer<ExplainReleaseResponse> {
        let ExplainReleaseRequest { name, at_sequence } = request.into_inner();
        known(&name)?;
        let decision = Decision {
            sequence: at_sequence.unwrap_or(118),
            kind: "reverting".into(),
            headline: "✖ reverted v2".into(),
            explanation: Some(Explanation { compared: "v2 37/412 (9.0%) failed".into(), ..Explanation::default() }),
            ..Decision::default()
        };
        let text = format!("✖ reverted v2 at 1970-01-01T00:00:00.000Z, entry {}\n", decision.sequence);
        Ok(Response::new(ExplainReleaseResponse { decision: Some(decision), present: None, text, next: String::new() }))
    }

    async fn list_release_events(
        &self,
        request: Request<ListReleaseEventsRequest>,
    ) -> Answer<ListReleaseEventsResponse> {
        let request = request.into_inner();
        known(&request.name)?;
        let limit = if request.limit == 0 { 1_000 } else { request.limit.min(1_000) };
        let events = (request.after + 1..=2_500).take(limit as usize).map(event).collect();
        Ok(Response::new(ListReleaseEventsResponse { events }))
    }
}

struct Proxies;

fn proxy() -> Proxy {
    let rejected = ProxyType {
        type_url: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration".into(),
        state: SyncState::Nacked.into(),
        rejected_version: "0123456789abcdef".into(),
        rejection: "no such cluster".into(),
        ..ProxyType::default()
    };
    Proxy { id: "edge-1".into(), group: "edge".into(), connected: true, types: vec![rejected], ..Proxy::default() }
}

#[tonic::async_trait]
impl ProxyService for Proxies {
    async fn list_proxies(&self, request: Request<ListProxiesRequest>) -> Answer<ListProxiesResponse> {
        let group = request.into_inner().group;
        let proxies = [proxy()].into_iter().filter(|p| group.is_empty() || p.group == group).collect();
        Ok(Response::new(ListProxiesResponse { proxies }))
    }

    async fn get_proxy(&self, request: Request<GetProxyRequest>) -> Answer<GetProxyResponse> {
        match request.into_inner().id.as_str() {
            "edge-1" => Ok(Response::new(GetProxyResponse { proxy: Some(proxy()) })),
            id => Err(Status::not_found(format!("there is no proxy named {id}"))),
        }
    }

    async fn diff_proxy(&self, request: Request<DiffProxyRequest>) -> Answer<DiffProxyResponse> {
        let of_routes = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
        let differs = ResourceDiff {
            type_url: of_routes.into(),
            name: "http".into(),
            to_version: "cccc".into(),
            ..ResourceDiff::default()
        };
        let wanted = request.into_inner().type_url;
        let resources = [differs].into_iter().filter(|of| ["", &of.type_url].contains(&wanted.as_str())).collect();
        Ok(Response::new(DiffProxyResponse { proxy: Some(proxy()), resources }))
    }
}

struct Quarantine;

#[tonic::async_trait]
impl QuarantineService for Quarantine {
    async fn list_quarantine(&self, request: Request<ListQuarantineRequest>) -> Answer<ListQuarantineResponse> {
        let rejected = QuarantinedResource {
            group: "edge".into(),
            name: "http".into(),
            proxy: "edge-1".into(),
            text: "no such cluster".into(),
            ..QuarantinedResource::default()
        };
        let resources = [rejected].into_iter().filter(|of| ["", &of.group].contains(&request.get_ref().group.as_str()));
        Ok(Response::new(ListQuarantineResponse { resources: resources.collect(), held: Vec::new() }))
    }

    async fn release_quarantine(
        &self,
        request: Request<ReleaseQuarantineRequest>,
    ) -> Answer<ReleaseQuarantineResponse> {
        match request.into_inner().group.as_str() {
            "" | "edge" => Ok(Response::new(ReleaseQuarantineResponse { groups: vec!["edge".into()] })),
            group => Err(Status::not_found(format!("there is no group {group}"))),
        }
    }
}

struct Snapshots;

fn snapshot(version: &str) -> Snapshot {
    Snapshot { group: "edge".into(), version: version.into(), current: version == "bbbb", ..Snapshot::default() }
}

#[tonic::async_trait]
impl SnapshotService for Snapshots {
    async fn list_snapshots(&self, _: Request<ListSnapshotsRequest>) -> Answer<ListSnapshotsResponse> {
        Ok(Response::new(ListSnapshotsResponse { snapshots: vec![snapshot("bbbb"), snapshot("aaaa")] }))
    }

    async fn get_snapshot(&self, request: Request<GetSnapshotRequest>) -> Answer<GetSnapshotResponse> {
        let request = request.into_inner();
        let resource = Resource {
            type_url: request.type_url,
            name: "http".into(),
            version: "cccc".into(),
            resource: Some(envoy_types::pb::google::protobuf::Any { type_url: "unknown/x.Y".into(), value: vec![1] }),
            json: if request.json { r#"{"name":"http"}"#.into() } else { String::new() },
        };
        let version = if request.version.is_empty() { "bbbb" } else { &request.version };
        Ok(Response::new(GetSnapshotResponse { snapshot: Some(snapshot(version)), resources: vec![resource] }))
    }

    async fn diff_snapshots(&self, request: Request<DiffSnapshotsRequest>) -> Answer<DiffSnapshotsResponse> {
        let request = request.into_inner();
        if request.from == "x" {
            return Err(Status::invalid_argument("x is no version"));
        }
        Ok(Response::new(DiffSnapshotsResponse {
            from: Some(snapshot("aaaa")),
            to: Some(snapshot("bbbb")),
            resources: Vec::new(),
        }))
    }
}
