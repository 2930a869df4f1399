//! A proxy that says no to a cluster: a client of discovery that takes everything else, as Envoy would.
//!
//! What Envoy itself rejects of the clusters that Serin builds depends on what was compiled into it, so this stands for a
//! build that lacks something.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serin::xds::ResourceType;
use serin::xds::wire::service::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use serin::xds::wire::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Status};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

/// Connected until it is dropped.
pub(crate) struct Picky(JoinHandle<()>);

impl Drop for Picky {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Picky {
    /// Connects as a recent Envoy that rejects the cluster `refuses` with `text`.
    pub(crate) async fn connect(xds: &str, id: &str, cluster: &str, refuses: &str, text: &str) -> Result<Self> {
        let channel = Endpoint::new(format!("http://{xds}"))?.connect().await.context("the server's xDS port")?;
        let (requests, outbound) = mpsc::channel(64);
        let node = Node {
            id: id.to_owned(),
            cluster: cluster.to_owned(),
            user_agent_name: "envoy".to_owned(),
            user_agent_version: "1.40.0".to_owned(),
            ..Node::default()
        };
        for resource_type in [ResourceType::Cluster, ResourceType::Listener] {
            let first =
                DeltaDiscoveryRequest { node: Some(node.clone()), ..subscribe(resource_type, ["*".to_owned()]) };
            requests.send(first).await.context("a stream")?;
        }
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let mut responses = client.delta_aggregated_resources(ReceiverStream::new(outbound)).await?.into_inner();
        let status = Status { code: 13, message: format!("{refuses}: {text}") };
        let refuses = refuses.to_owned();
        Ok(Self(tokio::spawn(async move {
            let mut known = BTreeSet::new();
            while let Ok(Some(response)) = responses.message().await {
                for request in answers(response, &refuses, &status, &mut known) {
                    if requests.send(request).await.is_err() {
                        return;
                    }
                }
            }
        })))
    }
}

/// Yes or no, and what a cluster or a listener makes it ask for.
fn answers(
    response: DeltaDiscoveryResponse,
    refuses: &str,
    status: &Status,
    known: &mut BTreeSet<(ResourceType, String)>,
) -> Vec<DeltaDiscoveryRequest> {
    let names: Vec<String> = response.resources.into_iter().map(|resource| resource.name).collect();
    let error_detail = names.iter().any(|name| name == refuses).then(|| status.clone());
    // Whether it is a cluster that is refused is told by the type.
    let is_clusters = response.type_url == ResourceType::Cluster.type_url();
    let error_detail = error_detail.filter(|_| is_clusters);
    let (type_url, response_nonce) = (response.type_url.clone(), response.nonce);
    let refused = error_detail.is_some();
    let mut requests = vec![DeltaDiscoveryRequest { type_url, response_nonce, error_detail, ..Default::default() }];
    let wanted = match ResourceType::from_type_url(&response.type_url) {
        Some(ResourceType::Cluster) if !refused => ResourceType::Endpoint,
        // A listener's route configuration is named like it.
        Some(ResourceType::Listener) => ResourceType::Route,
        _ => return requests,
    };
    let new: Vec<String> = names.into_iter().filter(|name| known.insert((wanted, name.clone()))).collect();
    if !new.is_empty() {
        requests.push(subscribe(wanted, new));
    }
    requests
}

fn subscribe(resource_type: ResourceType, names: impl IntoIterator<Item = String>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: resource_type.type_url().to_owned(),
        resource_names_subscribe: names.into_iter().collect(),
        ..DeltaDiscoveryRequest::default()
    }
}
