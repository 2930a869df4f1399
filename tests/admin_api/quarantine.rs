//! `QuarantineService`, and what `ProxyService` tells of what a proxy lacks.

use serin::admin::proto::proxy_service_client::ProxyServiceClient;
use serin::admin::proto::quarantine_service_client::QuarantineServiceClient;
use serin::admin::proto::*;
use serin::rollout::engine::View;
use serin::xds::wire::service::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use serin::xds::wire::{self, DiscoveryRequest, DiscoveryResponse};
use serin::xds::{ProxyStatus, ResourceType};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use crate::harness::{Api, snapshot, soon};

/// A proxy that asks for all clusters.
struct Talk {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

impl Talk {
    async fn open(api: &Api, id: &str, cluster: &str) -> Self {
        let (requests, outbound) = mpsc::channel(4);
        let mut client = AggregatedDiscoveryServiceClient::new(api.channel.clone());
        let node = wire::Node { id: id.into(), cluster: cluster.into(), ..wire::Node::default() };
        let talk = Self::request(Some(node));
        requests.send(talk).await.expect("it lives");
        let stream = client.stream_aggregated_resources(ReceiverStream::new(outbound)).await.expect("a stream");
        Self { requests, responses: stream.into_inner() }
    }

    fn request(node: Option<wire::Node>) -> DiscoveryRequest {
        DiscoveryRequest { node, type_url: ResourceType::Cluster.type_url().into(), ..DiscoveryRequest::default() }
    }

    /// Takes the next response, or says why not.
    async fn answers(&mut self, no: Option<&str>) {
        let response = soon(self.responses.message()).await.expect("a response").expect("a response");
        let error_detail = no.map(|message| wire::Status { code: 13, message: message.into() });
        let (version_info, response_nonce) = (response.version_info, response.nonce);
        let answer = DiscoveryRequest { version_info, response_nonce, error_detail, ..Self::request(None) };
        self.requests.send(answer).await.expect("it lives");
    }
}

async fn until(api: &Api, id: &str, wished: impl Fn(&ProxyStatus) -> bool) {
    let mut changes = api.proxies.changes();
    soon(changes.wait_for(|_| api.proxies.get(id).is_some_and(|proxy| wished(&proxy)))).await.expect("it lives");
}

fn holds(count: usize) -> impl Fn(&ProxyStatus) -> bool {
    move |proxy| proxy.types.values().any(|status| status.held.len() == count && status.on_its_way.is_empty())
}

fn proxies(api: &Api) -> ProxyServiceClient<Channel> {
    ProxyServiceClient::new(api.channel.clone())
}

fn quarantine(api: &Api) -> QuarantineServiceClient<Channel> {
    QuarantineServiceClient::new(api.channel.clone())
}

async fn diff(api: &Api, id: &str, type_url: &str) -> Result<Vec<ResourceDiff>, tonic::Status> {
    let request = DiffProxyRequest { id: id.into(), type_url: type_url.into() };
    Ok(proxies(api).diff_proxy(request).await?.into_inner().resources)
}

async fn listed(api: &Api, group: &str) -> Result<Vec<QuarantinedResource>, tonic::Status> {
    let request = ListQuarantineRequest { group: group.into() };
    Ok(quarantine(api).list_quarantine(request).await?.into_inner().resources)
}

#[tokio::test]
async fn what_one_proxy_rejects_is_told_held_back_and_released() {
    let api = Api::serve(View::default()).await;
    api.cache.publish("edge", snapshot(&[("a", 1)]));
    let [mut one, mut two] = [Talk::open(&api, "edge-1", "edge").await, Talk::open(&api, "edge-2", "edge").await];
    for (talk, id) in [(&mut one, "edge-1"), (&mut two, "edge-2")] {
        talk.answers(None).await;
        until(&api, id, holds(1)).await;
    }
    assert_eq!(diff(&api, "edge-1", "").await.expect("a diff"), []);
    assert_eq!(listed(&api, "").await.expect("a list"), []);

    // The second one disconnects, so that only the first one is sent what is bad.
    drop(two);
    until(&api, "edge-2", |proxy| !proxy.is_connected()).await;
    let bad = snapshot(&[("a", 1), ("b", 2)]);
    api.cache.publish("edge", bad.clone());
    one.answers(Some("no room for b")).await;
    until(&api, "edge-1", |proxy| proxy.types.values().any(|status| status.rejection.is_some())).await;
    let rejected = bad.get(ResourceType::Cluster, "b").expect("it is intended").version().to_string();
    let [parked] = listed(&api, "edge").await.expect("a list").try_into().expect("one resource");
    assert_eq!((parked.group.as_str(), parked.name.as_str(), &parked.version), ("edge", "b", &rejected));
    assert_eq!((parked.proxy.as_str(), parked.text.as_str()), ("edge-1", "no room for b"));
    assert!(parked.at.is_some());

    let get = async |id: &str| {
        let got = proxies(&api).get_proxy(GetProxyRequest { id: id.into() }).await.expect("a proxy");
        let mut proxy = got.into_inner().proxy.expect("a proxy");
        // None of them has a stream to report on.
        assert_eq!((proxy.telemetry(), proxy.reported_at.is_some()), (TelemetryChannel::None, false));
        proxy.types.remove(0)
    };
    let of_type = get("edge-1").await;
    assert_eq!((of_type.state(), of_type.rejection.as_str()), (SyncState::Nacked, "no room for b"));
    assert!(of_type.rejected_at.is_some() && of_type.wildcard && of_type.held_back.is_empty());

    // The second one comes back. It is not sent what the first one rejected, and that is what it lacks.
    let mut two = Talk::open(&api, "edge-2", "edge").await;
    two.answers(None).await;
    until(&api, "edge-2", |proxy| proxy.is_connected() && holds(1)(proxy)).await;
    let of_type = get("edge-2").await;
    assert_eq!(of_type.state(), SyncState::Stale);
    let [held_back] = of_type.held_back.try_into().expect("one resource");
    assert_eq!((held_back.name.as_str(), held_back.proxy.as_str(), held_back.version), ("b", "edge-1", rejected));
    let [lacking] =
        diff(&api, "edge-2", ResourceType::Cluster.type_url()).await.expect("a diff").try_into().expect("one");
    assert_eq!((lacking.name.as_str(), lacking.from_version.as_str()), ("b", ""));
    assert!(lacking.diff.contains("+  \"name\": \"b\""), "{}", lacking.diff);
    assert_eq!(diff(&api, "edge-2", ResourceType::Route.type_url()).await.expect("a diff"), []);

    // Released, it is sent to the second one, who takes it: then it is in no quarantine any more.
    let released = quarantine(&api).release_quarantine(ReleaseQuarantineRequest { group: "edge".into() }).await;
    assert_eq!(released.expect("an answer").into_inner().groups, ["edge"]);
    two.answers(None).await;
    until(&api, "edge-2", holds(2)).await;
    assert_eq!(listed(&api, "").await.expect("a list"), []);
    assert_eq!(diff(&api, "edge-2", "").await.expect("a diff"), []);
    let released = quarantine(&api).release_quarantine(ReleaseQuarantineRequest::default()).await;
    assert_eq!(released.expect("an answer").into_inner().groups, [""; 0]);
}

#[tokio::test]
async fn what_there_is_not_is_refused() {
    let api = Api::serve(View::default()).await;
    let _stray = Talk::open(&api, "lost-1", "stray").await;
    until(&api, "lost-1", |_| true).await;
    let refused = diff(&api, "lost-1", "").await.expect_err("no fleet takes it");
    assert!(refused.code() == Code::FailedPrecondition && refused.message().contains("lost-1"), "{refused}");
    assert_eq!(diff(&api, "absent", "").await.expect_err("unknown").code(), Code::NotFound);
    assert_eq!(diff(&api, "lost-1", "RDS").await.expect_err("no type").code(), Code::InvalidArgument);
    assert_eq!(listed(&api, "mesh").await.expect_err("no such group").code(), Code::NotFound);
}
