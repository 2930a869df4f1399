//! Client status discovery over a real socket.

use envoy_types::pb::envoy::admin::v3::ClientResourceStatus;
use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_client::ClientStatusDiscoveryServiceClient;
use envoy_types::pb::envoy::service::status::v3::{ClientConfig, ClientStatusRequest, ConfigStatus};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{NodeMatcher, StringMatcher};
use serin::xds::ProxyStatus;
use serin::xds::wire::{self, DiscoveryRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;

use super::{DEADLINE, Served, Talk, clusters, node, snapshot};

impl Served {
    fn status(&self) -> ClientStatusDiscoveryServiceClient<Channel> {
        ClientStatusDiscoveryServiceClient::new(self.channel.clone())
    }

    /// Waits until a proxy's state is as wished.
    async fn until(&self, id: &str, wished: impl Fn(&ProxyStatus) -> bool) {
        let mut changes = self.proxies.changes();
        let seen = changes.wait_for(|_| self.proxies.get(id).is_some_and(|proxy| wished(&proxy)));
        tokio::time::timeout(DEADLINE, seen).await.expect("in time").expect("it lives");
    }

    async fn told(&self, request: ClientStatusRequest) -> Vec<ClientConfig> {
        self.status().fetch_client_status(request).await.expect("an answer").into_inner().config
    }

    /// A proxy of the group `edge` that asks for all clusters.
    async fn proxy(&self, id: &str) -> Talk {
        let talk = self.open().await.expect("a stream");
        let node = wire::Node { id: id.into(), ..node("edge").expect("a node") };
        talk.says(clusters(Some(node))).await;
        talk
    }
}

fn matcher(pattern: MatchPattern) -> NodeMatcher {
    let text = StringMatcher { match_pattern: Some(pattern), ignore_case: false };
    NodeMatcher { node_id: Some(text), node_metadatas: Vec::new() }
}

fn about(id: &str) -> ClientStatusRequest {
    ClientStatusRequest { node_matchers: vec![matcher(MatchPattern::Exact(id.into()))], ..Default::default() }
}

fn only(config: &ClientConfig) -> &GenericXdsConfig {
    let [only] = config.generic_xds_configs.as_slice() else { panic!("{config:?}") };
    only
}

fn id(config: &ClientConfig) -> &str {
    config.node.as_ref().map_or("", |node| node.id.as_str())
}

#[tokio::test]
async fn xds_36_from_sent_to_synced_to_rejected() {
    let served = Served::new(|_| {}).await;
    served.cache.publish("edge", snapshot(&["a"]));
    served.cache.ready();
    let mut talk = served.proxy("edge-1").await;
    let first = talk.hears().await.expect("a response").expect("a response");
    served.until("edge-1", |proxy| proxy.types.values().any(|status| !status.on_its_way.is_empty())).await;
    let told = served.told(about("edge-1")).await;
    assert_eq!(only(&told[0]).config_status(), ConfigStatus::Stale);
    assert_eq!(only(&told[0]).client_status(), ClientResourceStatus::Requested);

    let answer = DiscoveryRequest {
        version_info: first.version_info.clone(),
        response_nonce: first.nonce.clone(),
        ..clusters(None)
    };
    talk.says(answer).await;
    served.until("edge-1", |proxy| proxy.types.values().any(|status| !status.held.is_empty())).await;
    let told = served.told(ClientStatusRequest::default()).await;
    let (config, a) = (only(&told[0]), first.resources[0].clone());
    assert_eq!((config.config_status(), config.name.as_str()), (ConfigStatus::Synced, "a"));
    assert_eq!(config.xds_config.as_ref().map(|any| (any.type_url.clone(), any.value.clone())), {
        Some((a.type_url, a.value.to_vec()))
    });
    let bare = ClientStatusRequest { exclude_resource_contents: true, ..about("edge-1") };
    assert_eq!(only(&served.told(bare).await[0]).xds_config, None);

    served.cache.publish("edge", snapshot(&["a", "b"]));
    let second = talk.hears().await.expect("a response").expect("a response");
    let words = wire::Status { code: 13, message: "no room for b".into() };
    let answer = DiscoveryRequest {
        version_info: first.version_info,
        response_nonce: second.nonce,
        error_detail: Some(words),
        ..clusters(None)
    };
    talk.says(answer).await;
    served.until("edge-1", |proxy| proxy.types.values().any(|status| !status.rejected.is_empty())).await;
    let told = served.told(about("edge-1")).await;
    let [a, b] = told[0].generic_xds_configs.as_slice() else { panic!("{told:?}") };
    assert_eq!((a.name.as_str(), a.config_status()), ("a", ConfigStatus::Synced));
    assert_eq!((b.name.as_str(), b.config_status()), ("b", ConfigStatus::Error));
    assert_eq!(b.client_status(), ClientResourceStatus::Nacked);
    let error = b.error_state.as_ref().expect("its words");
    assert_eq!(error.details, "no room for b");
    assert!(error.failed_configuration.is_some() && error.last_update_attempt.is_some());

    // Another proxy is not sent what this one rejected, and it is none of its doing.
    let mut other = served.proxy("edge-2").await;
    let response = other.hears().await.expect("a response").expect("a response");
    assert_eq!(response.resources.len(), 1);
    served.until("edge-2", |proxy| proxy.types.values().any(|status| !status.on_its_way.is_empty())).await;
    let told = served.told(ClientStatusRequest::default()).await;
    assert_eq!(told.iter().map(id).collect::<Vec<_>>(), ["edge-1", "edge-2"]);
    let [_, b] = told[1].generic_xds_configs.as_slice() else { panic!("{told:?}") };
    assert_eq!((b.config_status(), b.error_state.as_ref()), (ConfigStatus::NotSent, None));
}

#[tokio::test]
async fn xds_36_of_a_proxy_that_falls_silent_its_last_word_is_told() {
    let served = Served::new(|_| {}).await;
    served.cache.publish("edge", snapshot(&["a"]));
    served.cache.ready();
    let mut talk = served.proxy("edge-1").await;
    // It takes the first two, and never says what it makes of the third.
    for names in [&["a", "b"][..], &["a", "b", "c"]] {
        let response = talk.hears().await.expect("a response").expect("a response");
        served.cache.publish("edge", snapshot(names));
        let (version_info, response_nonce) = (response.version_info, response.nonce);
        talk.says(DiscoveryRequest { version_info, response_nonce, ..clusters(None) }).await;
    }
    talk.hears().await.expect("a response").expect("a response");
    served.until("edge-1", |proxy| proxy.types.values().any(|status| status.on_its_way.len() == 3)).await;
    let told = served.told(about("edge-1")).await;
    let statuses: Vec<_> =
        told[0].generic_xds_configs.iter().map(|of| (of.name.as_str(), of.config_status())).collect();
    assert_eq!(statuses, [("a", ConfigStatus::Synced), ("b", ConfigStatus::Synced), ("c", ConfigStatus::Stale)]);
}

#[tokio::test]
async fn xds_36_a_stream_answers_each_request_until_it_is_time_to_stop() {
    let served = Served::new(|_| {}).await;
    served.cache.publish("edge", snapshot(&["a"]));
    served.cache.ready();
    let (requests, outbound) = mpsc::channel(4);
    let mut answers =
        served.status().stream_client_status(ReceiverStream::new(outbound)).await.expect("a stream").into_inner();
    requests.send(ClientStatusRequest::default()).await.expect("it lives");
    assert_eq!(answers.message().await.expect("an answer").expect("an answer").config, []);
    let _talk = served.proxy("edge-1").await;
    served.until("edge-1", |_| true).await;
    requests.send(ClientStatusRequest::default()).await.expect("it lives");
    assert_eq!(answers.message().await.expect("an answer").expect("an answer").config.len(), 1);
    served.stop.send_replace(true);
    let end = tokio::time::timeout(DEADLINE, answers.message()).await.expect("in time").expect_err("the end");
    assert_eq!(end.code(), Code::Unavailable);
}

#[tokio::test]
async fn xds_36_what_is_not_understood_is_refused() {
    let served = Served::new(|_| {}).await;
    let custom = matcher(MatchPattern::Custom(Default::default()));
    let malformed = NodeMatcher { node_id: Some(StringMatcher::default()), node_metadatas: Vec::new() };
    for (matcher, code, word) in
        [(custom, Code::Unimplemented, "custom string matcher"), (malformed, Code::InvalidArgument, "no pattern")]
    {
        let request = ClientStatusRequest { node_matchers: vec![matcher], ..Default::default() };
        let refused = served.status().fetch_client_status(request).await.expect_err("not understood");
        assert!(refused.code() == code && refused.message().contains(word), "{refused:?}");
    }
}
