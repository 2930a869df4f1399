//! The discovery service over a real socket: what only the shell can get wrong.

#[path = "xds_wire/csds.rs"]
mod csds;

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use serin::xds::wire::service::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use serin::xds::wire::{DiscoveryRequest, DiscoveryResponse, Node as WireNode};
use serin::xds::{Cache, Csds, Grouping, Node, Options, Proxies, Resource, ResourceType, Server, Snapshot};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// Long enough for any machine; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_secs(60);
const CLUSTER_URL: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

/// The group is the node's cluster, unless the specs have not come to it yet.
struct ByCluster(watch::Receiver<u64>);

impl Grouping for ByCluster {
    fn group_of(&self, node: &Node) -> Option<Arc<str>> {
        let known = node.cluster != "later" || *self.0.borrow() > 0;
        known.then(|| node.cluster.as_str().into())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.clone()
    }
}

struct Served {
    channel: Channel,
    cache: Cache,
    proxies: Proxies,
    grouping: watch::Sender<u64>,
    stop: watch::Sender<bool>,
}

impl Served {
    async fn new(change: impl FnOnce(&mut Options)) -> Self {
        let (stop, stopping) = watch::channel(false);
        let until = stopping.clone();
        let (grouping, groups) = watch::channel(0);
        let mut options = Options::new(stopping);
        options.goodbye = Duration::ZERO;
        change(&mut options);
        let (cache, proxies) = (Cache::new(), Proxies::default());
        let server = Server::new(cache.clone(), proxies.clone(), Arc::new(ByCluster(groups)), options);
        let status = Csds::new(cache.clone(), proxies.clone(), until);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let uri = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_routes(server.routes(status.routes(Routes::default())))
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        let channel = Channel::from_shared(uri).expect("a URI").connect().await.expect("a connection");
        Self { channel, cache, proxies, grouping, stop }
    }

    async fn open(&self) -> Result<Talk, Status> {
        let (requests, outbound) = mpsc::channel(16);
        let mut client = AggregatedDiscoveryServiceClient::new(self.channel.clone());
        let responses = client.stream_aggregated_resources(ReceiverStream::new(outbound)).await?.into_inner();
        Ok(Talk { requests, responses })
    }
}

struct Talk {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

impl Talk {
    async fn says(&self, request: DiscoveryRequest) {
        self.requests.send(request).await.expect("the stream lives");
    }

    async fn hears(&mut self) -> Result<Option<DiscoveryResponse>, Status> {
        tokio::time::timeout(DEADLINE, self.responses.message()).await.expect("an answer in time")
    }

    async fn is_refused(&mut self, code: Code, word: &str) {
        let status = self.hears().await.expect_err("a refusal");
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(word), "{status:?}");
    }
}

fn node(cluster: &str) -> Option<WireNode> {
    Some(WireNode { id: format!("{cluster}-1"), cluster: cluster.into(), ..WireNode::default() })
}

fn clusters(node: Option<WireNode>) -> DiscoveryRequest {
    DiscoveryRequest { node, type_url: CLUSTER_URL.into(), ..DiscoveryRequest::default() }
}

fn snapshot(names: &[&str]) -> Arc<Snapshot> {
    let mut builder = Snapshot::builder();
    for name in names {
        let cluster = Cluster { name: (*name).into(), ..Cluster::default() };
        builder.add(Resource::cluster(&cluster).expect("a cluster"));
    }
    Arc::new(builder.build().expect("a snapshot"))
}

#[tokio::test]
async fn xds_39_a_stream_opened_before_state_was_restored_is_refused() {
    let served = Served::new(|_| {}).await;
    served.cache.publish("edge", snapshot(&["a"]));
    assert_eq!(served.open().await.err().map(|status| status.code()), Some(Code::Unavailable));
    served.cache.ready();
    let mut talk = served.open().await.expect("a stream");
    talk.says(clusters(node("edge"))).await;
    assert_eq!(talk.hears().await.expect("a response").expect("a response").resources.len(), 1);
}

#[tokio::test]
async fn xds_01_and_02_the_first_message_needs_a_node_and_every_one_a_type() {
    let served = Served::new(|_| {}).await;
    served.cache.publish("edge", snapshot(&["a"]));
    served.cache.ready();
    let mut talk = served.open().await.expect("a stream");
    talk.says(clusters(None)).await;
    talk.is_refused(Code::InvalidArgument, "node").await;
    let mut talk = served.open().await.expect("a stream");
    talk.says(DiscoveryRequest { node: node("edge"), ..DiscoveryRequest::default() }).await;
    talk.is_refused(Code::InvalidArgument, "type_url").await;
    // The node is kept: later messages need none. And a type that nobody has costs the client nothing.
    let mut talk = served.open().await.expect("a stream");
    let secrets = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
    talk.says(DiscoveryRequest { type_url: secrets.into(), node: node("edge"), ..DiscoveryRequest::default() }).await;
    talk.says(clusters(None)).await;
    let response = talk.hears().await.expect("a response").expect("a response");
    assert_eq!(response.type_url, CLUSTER_URL);
}

#[tokio::test]
async fn what_costs_too_much_is_refused_with_its_limit() {
    let served = Served::new(|options| (options.names, options.name_length) = (2, 8)).await;
    served.cache.publish("edge", snapshot(&[]));
    served.cache.ready();
    for names in [vec!["a", "b", "c"], vec!["much too long"]] {
        let mut talk = served.open().await.expect("a stream");
        let resource_names = names.into_iter().map(str::to_owned).collect();
        talk.says(DiscoveryRequest { resource_names, ..clusters(node("edge")) }).await;
        talk.is_refused(Code::ResourceExhausted, "at most").await;
    }
}

#[tokio::test]
async fn a_proxy_that_no_group_takes_is_served_as_soon_as_one_does() {
    let served = Served::new(|_| {}).await;
    served.cache.ready();
    let mut talk = served.open().await.expect("a stream");
    talk.says(clusters(node("later"))).await;
    let mut changes = served.proxies.changes();
    tokio::time::timeout(DEADLINE, changes.wait_for(|_| served.proxies.get("later-1").is_some()))
        .await
        .expect("in time")
        .expect("it lives");
    assert_eq!(served.proxies.get("later-1").expect("the proxy").group, None);
    served.cache.publish("later", snapshot(&["a"]));
    served.grouping.send_replace(1);
    assert_eq!(talk.hears().await.expect("a response").expect("a response").resources.len(), 1);
    assert_eq!(served.proxies.get("later-1").expect("the proxy").group.as_deref(), Some("later"));
}

#[tokio::test]
async fn xds_40_a_client_that_does_not_read_delays_nobody_and_is_given_the_newest() {
    let served = Served::new(|_| {}).await;
    served.cache.publish("edge", snapshot(&["a"]));
    served.cache.ready();
    let mut slow = served.open().await.expect("a stream");
    slow.says(clusters(node("edge"))).await;
    let first = slow.hears().await.expect("a response").expect("a response");
    let mut quick = served.open().await.expect("a stream");
    quick
        .says(DiscoveryRequest {
            node: Some(WireNode { id: "quick".into(), ..node("edge").expect("a node") }),
            ..clusters(None)
        })
        .await;
    quick.hears().await.expect("a response").expect("a response");
    // The slow one answers nothing while a hundred snapshots pass by.
    for number in 0..100 {
        served.cache.publish("edge", snapshot(&["a", &format!("b{number}")]));
    }
    slow.says(DiscoveryRequest { response_nonce: first.nonce, version_info: first.version_info, ..clusters(None) })
        .await;
    let second = slow.hears().await.expect("a response").expect("a response");
    let newest = served.cache.current("edge").expect("a snapshot");
    let last = newest.get(ResourceType::Cluster, "b99").expect("the newest").body();
    assert!(second.resources.iter().any(|any| any.value == last), "the newest is in the very next response");
}

#[tokio::test]
async fn streams_are_closed_when_it_is_time_to_stop() {
    let served = Served::new(|_| {}).await;
    served.cache.publish("edge", snapshot(&["a"]));
    served.cache.ready();
    let mut talk = served.open().await.expect("a stream");
    talk.says(clusters(node("edge"))).await;
    talk.hears().await.expect("a response");
    served.stop.send_replace(true);
    talk.is_refused(Code::Unavailable, "shutting down").await;
    assert_eq!(served.open().await.err().map(|status| status.code()), Some(Code::Unavailable));
    assert!(!served.proxies.get("edge-1").expect("the proxy").is_connected());
}
