//! `SnapshotService` and `ProxyService`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serin::admin::proto::proxy_service_client::ProxyServiceClient;
use serin::admin::proto::snapshot_service_client::SnapshotServiceClient;
use serin::admin::proto::*;
use serin::rollout::engine::View;
use serin::xds::wire::service::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use serin::xds::wire::{self, DiscoveryRequest};
use serin::xds::{ResourceType, Snapshot as XdsSnapshot};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;

use crate::harness::{Api, at, snapshot, soon};

fn client(api: &Api) -> SnapshotServiceClient<Channel> {
    SnapshotServiceClient::new(api.channel.clone()).max_decoding_message_size(serin::admin::MAX_ENCODED)
}

fn view(groups: &[(&str, &Arc<XdsSnapshot>, i64)]) -> View {
    let groups =
        groups.iter().map(|(group, snapshot, since)| ((*group).to_owned(), (Arc::clone(snapshot), at(*since))));
    View { groups: groups.collect(), ..View::default() }
}

fn get(group: &str, version: &str) -> GetSnapshotRequest {
    GetSnapshotRequest { group: group.into(), version: version.into(), type_url: String::new(), json: false }
}

fn diff(group: &str, from: &str, to: &str) -> DiffSnapshotsRequest {
    DiffSnapshotsRequest { group: group.into(), from: from.into(), to: to.into() }
}

#[tokio::test]
async fn what_was_kept_and_what_is_current_are_listed() {
    let (old, kept, unkept, other) =
        (snapshot(&[("a", 1)]), snapshot(&[("a", 2)]), snapshot(&[("a", 3)]), snapshot(&[("z", 1)]));
    let api = Api::serve(view(&[("edge", &unkept, 40), ("mesh", &other, 30)])).await;
    api.history.keep("edge", at(10), &old);
    // Kept later than the current one began: the clock was set back.
    api.history.keep("edge", at(50), &kept);
    api.history.keep("mesh", at(20), &other);
    api.history.keep("removed", at(5), &old);
    let list = async |group: &str| {
        let response = client(&api).list_snapshots(ListSnapshotsRequest { group: group.into() }).await;
        let snapshots = response.expect("snapshots").into_inner().snapshots;
        snapshots
            .iter()
            .map(|s| (s.group.clone(), s.version.clone(), s.current, s.published_at.expect("a time").seconds))
            .collect::<Vec<_>>()
    };
    let row = |group: &str, snapshot: &XdsSnapshot, current, at: i64| {
        (group.to_owned(), snapshot.version().to_string(), current, at)
    };
    let edge = [row("edge", &unkept, true, 40), row("edge", &kept, false, 50), row("edge", &old, false, 10)];
    assert_eq!(list("edge").await, edge);
    assert_eq!(list("mesh").await, [row("mesh", &other, true, 30)]);
    assert_eq!(list("none").await, []);
    let all = [
        row("edge", &kept, false, 50),
        row("edge", &unkept, true, 40),
        row("mesh", &other, true, 30),
        row("edge", &old, false, 10),
        row("removed", &old, false, 5),
    ];
    assert_eq!(list("").await, all);
}

#[tokio::test]
async fn a_snapshot_is_shown_with_its_resources() {
    let current = snapshot(&[("a/v1", 1), ("a/v2", 2)]);
    let api = Api::serve(view(&[("edge", &current, 40)])).await;
    // What is current needs no store.
    api.history.fails.store(true, Ordering::Relaxed);
    let request = GetSnapshotRequest { json: true, ..get("edge", "") };
    let GetSnapshotResponse { snapshot, resources } =
        client(&api).get_snapshot(request).await.expect("a snapshot").into_inner();
    let snapshot = snapshot.expect("a snapshot");
    assert_eq!((snapshot.version.as_str(), snapshot.current), (current.version().to_string().as_str(), true));
    let counts: Vec<u32> = snapshot.types.iter().map(|of_type| of_type.count).collect();
    assert_eq!(counts, [2, 0, 0, 1]);
    assert_eq!(snapshot.types[0].type_url, ResourceType::Cluster.type_url());
    assert_eq!(snapshot.types[0].version, current.version_of(ResourceType::Cluster).to_string());
    let names: Vec<&str> = resources.iter().map(|resource| resource.name.as_str()).collect();
    assert_eq!(names, ["a/v1", "a/v2", "ingress"]);
    for (resource, expected) in resources.iter().zip(current.iter()) {
        let any = resource.resource.as_ref().expect("its bytes");
        assert_eq!((&any.value[..], &any.type_url), (expected.body(), &resource.type_url));
        assert_eq!(resource.version, expected.version().to_string());
    }
    assert_eq!(resources[0].json, r#"{"connect_timeout":"1s","name":"a/v1"}"#);

    let route = ResourceType::Route.type_url();
    let request = GetSnapshotRequest { type_url: route.into(), ..get("edge", "") };
    let routes = client(&api).get_snapshot(request).await.expect("a snapshot").into_inner().resources;
    assert_eq!(routes.iter().map(|r| (r.name.as_str(), r.json.as_str())).collect::<Vec<_>>(), [("ingress", "")]);
    let request = GetSnapshotRequest { type_url: "RDS".into(), ..get("edge", "") };
    let refused = client(&api).get_snapshot(request).await.expect_err("no type URL");
    assert!(refused.code() == Code::InvalidArgument && refused.message().contains(route), "{refused}");
    let refused = client(&api).get_snapshot(get("edge", "abc")).await.expect_err("no store");
    assert_eq!(refused.code(), Code::Unavailable);
}

/// Two snapshots whose versions begin with the same digit, and one whose version does not.
fn two_alike() -> (Arc<XdsSnapshot>, Arc<XdsSnapshot>, Arc<XdsSnapshot>) {
    let mut by_digit: BTreeMap<u8, Vec<Arc<XdsSnapshot>>> = BTreeMap::new();
    for seconds in 1..=40 {
        let snapshot = snapshot(&[("a", seconds)]);
        by_digit.entry(snapshot.version().to_string().as_bytes()[0]).or_default().push(snapshot);
    }
    let (digit, mut alike) = by_digit
        .iter()
        .find(|(_, alike)| alike.len() >= 2)
        .map(|(d, a)| (*d, a.clone()))
        .expect("40 versions, 16 digits");
    let other = by_digit.into_iter().find(|(other, _)| *other != digit).expect("another digit").1.remove(0);
    (alike.remove(0), alike.remove(0), other)
}

#[tokio::test]
async fn a_version_is_found_by_its_beginning() {
    let (a, b, other) = two_alike();
    let api = Api::serve(view(&[("edge", &a, 40), ("mesh", &other, 40)])).await;
    api.history.keep("edge", at(10), &b);
    api.history.keep("edge", at(20), &other);
    api.history.keep("edge", at(40), &a);
    api.history.keep("removed", at(40), &a);
    let version = |snapshot: &XdsSnapshot| snapshot.version().to_string();
    for (group, prefix, expected) in [
        ("edge", version(&a), Ok(&a)),
        ("edge", version(&b), Ok(&b)),
        ("edge", version(&b)[..12].to_uppercase(), Ok(&b)),
        ("edge", version(&other)[..1].to_owned(), Ok(&other)),
        ("edge", String::new(), Ok(&a)),
        ("removed", version(&a)[..3].to_owned(), Ok(&a)),
        ("edge", version(&a)[..1].to_owned(), Err((Code::InvalidArgument, version(&b)))),
        ("edge", version(&a)[..1].to_owned(), Err((Code::InvalidArgument, version(&a)))),
        ("edge", format!("{}f0", &version(&b)[..12]), Err((Code::NotFound, other.version().short()))),
        ("mesh", version(&a), Err((Code::NotFound, other.version().short()))),
        ("removed", String::new(), Err((Code::NotFound, a.version().short()))),
        ("edgy", String::new(), Err((Code::NotFound, "the groups are edge, mesh".into()))),
        ("", String::new(), Err((Code::NotFound, "the groups are edge, mesh".into()))),
        ("edge", "latest".into(), Err((Code::InvalidArgument, "latest".into()))),
        ("edge", "0".repeat(33), Err((Code::InvalidArgument, "32 hexadecimal digits".into()))),
    ] {
        let found = client(&api).get_snapshot(get(group, &prefix)).await;
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                let found = found.into_inner();
                assert_eq!(found.snapshot.expect("a snapshot").version, version(expected), "{group} {prefix}");
                assert_eq!(found.resources.len(), expected.len());
            }
            (Err(status), Err((code, text))) => {
                assert_eq!(status.code(), code, "{group} {prefix}: {status}");
                assert!(status.message().contains(&text), "{group} {prefix}: {status}, not {text}");
            }
            (found, _) => panic!("{group} {prefix}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn two_snapshots_are_compared() {
    let first = snapshot(&[("gone", 1), ("kept", 1), ("same", 1)]);
    let second = snapshot(&[("kept", 2), ("new", 1), ("same", 1)]);
    let api = Api::serve(view(&[("edge", &second, 40)])).await;
    api.history.keep("edge", at(10), &first);
    let version = |snapshot: &XdsSnapshot| snapshot.version().to_string();
    let response = client(&api).diff_snapshots(diff("edge", "", "")).await.expect("a comparison").into_inner();
    assert_eq!(response.from.expect("a side").version, version(&first));
    assert_eq!(response.to.expect("a side").version, version(&second));
    let hash = |snapshot: &XdsSnapshot, name: &str| {
        snapshot.get(ResourceType::Cluster, name).map(|r| r.version().to_string()).unwrap_or_default()
    };
    let short = |snapshot: &XdsSnapshot, name: &str| hash(snapshot, name)[..12].to_owned();
    let expected = [
        (
            "gone",
            format!(
                "--- CDS/gone\t{}\n+++ /dev/null\n@@ -1,4 +0,0 @@\n-{{\n-  \"connect_timeout\": \"1s\",\n-  \"name\": \"gone\"\n-}}\n",
                short(&first, "gone")
            ),
        ),
        (
            "kept",
            format!(
                "--- CDS/kept\t{}\n+++ CDS/kept\t{}\n@@ -1,4 +1,4 @@\n {{\n-  \"connect_timeout\": \"1s\",\n+  \"connect_timeout\": \"2s\",\n   \"name\": \"kept\"\n }}\n",
                short(&first, "kept"),
                short(&second, "kept")
            ),
        ),
        (
            "new",
            format!(
                "--- /dev/null\n+++ CDS/new\t{}\n@@ -0,0 +1,4 @@\n+{{\n+  \"connect_timeout\": \"1s\",\n+  \"name\": \"new\"\n+}}\n",
                short(&second, "new")
            ),
        ),
    ]
    .map(|(name, diff)| ResourceDiff {
        type_url: ResourceType::Cluster.type_url().into(),
        name: name.into(),
        from_version: hash(&first, name),
        to_version: hash(&second, name),
        diff,
    });
    assert_eq!(response.resources, expected);

    let back = client(&api).diff_snapshots(diff("edge", "", &version(&second)[..8])).await.expect("the same");
    assert_eq!(back.into_inner().resources.len(), 3);
    let same = diff("edge", &version(&first), &version(&first));
    assert!(client(&api).diff_snapshots(same).await.expect("a comparison").into_inner().resources.is_empty());
    let oldest = client(&api).diff_snapshots(diff("edge", "", &version(&first))).await.expect_err("the oldest");
    assert_eq!(oldest.code(), Code::NotFound);
    assert!(oldest.message().starts_with("nothing older than"), "{oldest}");
    let unknown = client(&api).diff_snapshots(diff("edge", "0123456789", "")).await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn a_snapshot_larger_than_4_mib_arrives() {
    let long = "x".repeat(5 << 20);
    let api = Api::serve(view(&[("edge", &snapshot(&[(&long, 1)]), 40)])).await;
    let found = client(&api).get_snapshot(get("edge", "")).await.expect("a snapshot").into_inner();
    assert_eq!(found.resources[0].name.len(), long.len());
}

/// Opens a stream as a proxy does, and subscribes to clusters.
async fn connect(
    api: &Api,
    id: &str,
    cluster: &str,
) -> (mpsc::Sender<DiscoveryRequest>, tonic::Streaming<wire::DiscoveryResponse>) {
    let (requests, outbound) = mpsc::channel(8);
    let node = wire::Node {
        id: id.into(),
        cluster: cluster.into(),
        user_agent_name: "envoy".into(),
        user_agent_version: "1.40.0".into(),
        locality: Some(wire::Locality { region: "eu".into(), zone: "eu-1".into(), sub_zone: String::new() }),
        ..wire::Node::default()
    };
    let type_url = ResourceType::Cluster.type_url().to_owned();
    requests.send(DiscoveryRequest { node: Some(node), type_url, ..DiscoveryRequest::default() }).await.expect("open");
    let mut client = AggregatedDiscoveryServiceClient::new(api.channel.clone());
    let inbound = client.stream_aggregated_resources(ReceiverStream::new(outbound)).await.expect("a stream");
    (requests, inbound.into_inner())
}

/// Waits until a proxy looks as it should.
async fn until(api: &Api, id: &str, fits: impl Fn(&Proxy) -> bool) -> Proxy {
    let mut changes = api.proxies.changes();
    let mut client = ProxyServiceClient::new(api.channel.clone());
    soon(async {
        loop {
            changes.mark_unchanged();
            if let Ok(response) = client.get_proxy(GetProxyRequest { id: id.into() }).await
                && let Some(proxy) = response.into_inner().proxy.filter(&fits)
            {
                return proxy;
            }
            changes.changed().await.expect("the registry is there");
        }
    })
    .await
}

#[tokio::test]
async fn a_proxy_is_shown_as_it_comes_acknowledges_rejects_and_goes() {
    let api = Api::serve(View::default()).await;
    let clusters = snapshot(&[("a/v1", 1)]);
    api.cache.publish("edge", Arc::clone(&clusters));
    let (requests, mut inbound) = connect(&api, "edge-1", "edge").await;
    let (_stray, _) = connect(&api, "a-stray", "stray").await;
    let version = clusters.version_of(ResourceType::Cluster).to_string();
    let in_state = |state: SyncState| move |proxy: &Proxy| proxy.types.first().is_some_and(|t| t.state() == state);

    let response = soon(inbound.message()).await.expect("a response").expect("a response");
    let stale = until(&api, "edge-1", in_state(SyncState::Stale)).await;
    assert_eq!((stale.types[0].sent_version.as_str(), stale.types[0].acknowledged_version.as_str()), (&*version, ""));
    let answer = DiscoveryRequest {
        type_url: response.type_url,
        version_info: response.version_info,
        response_nonce: response.nonce,
        ..DiscoveryRequest::default()
    };
    requests.send(answer.clone()).await.expect("open");
    let synced = until(&api, "edge-1", in_state(SyncState::Synced)).await;
    assert_eq!(synced.types[0].acknowledged_version, version);
    assert_eq!((synced.user_agent.as_str(), synced.variant.as_str()), ("envoy 1.40.0", "sotw"));
    assert_eq!((synced.cluster.as_str(), synced.group.as_str()), ("edge", "edge"));
    assert_eq!((synced.region.as_str(), synced.zone.as_str()), ("eu", "eu-1"));
    assert!(synced.connected && synced.disconnected_at.is_none() && synced.connected_at.is_some());
    assert!(synced.address.starts_with("127.0.0.1:") && synced.connects == 1);

    api.cache.publish("edge", snapshot(&[("a/v1", 2)]));
    let response = soon(inbound.message()).await.expect("a response").expect("a response");
    let error_detail = Some(wire::Status { code: 3, message: "I do not like it".into() });
    requests.send(DiscoveryRequest { response_nonce: response.nonce, error_detail, ..answer }).await.expect("open");
    let nacked = until(&api, "edge-1", in_state(SyncState::Nacked)).await;
    assert_eq!(nacked.types[0].rejection, "I do not like it");
    assert!(!nacked.types[0].rejected_version.is_empty() && nacked.types[0].changed_at.is_some());

    until(&api, "a-stray", |proxy| proxy.connected).await;
    let mut client = ProxyServiceClient::new(api.channel.clone());
    for (group, expected) in [("", &["a-stray", "edge-1"][..]), ("edge", &["edge-1"]), ("mesh", &[])] {
        let list = client.list_proxies(ListProxiesRequest { group: group.into() }).await.expect("proxies").into_inner();
        let ids: Vec<&str> = list.proxies.iter().map(|proxy| proxy.id.as_str()).collect();
        assert_eq!(ids, expected, "of group {group:?}");
    }
    drop((requests, inbound));
    let gone = until(&api, "edge-1", |proxy| !proxy.connected).await;
    assert!(gone.disconnected_at.is_some());
    let unknown = client.get_proxy(GetProxyRequest { id: "edge-9".into() }).await.expect_err("unknown");
    assert!(unknown.code() == Code::NotFound && unknown.message().contains("edge-9"), "{unknown}");
}
