//! SHELL: `envoy.service.status.v3.ClientStatusDiscoveryService`.
//!
//! Invariants: an answer is built where it keeps nobody waiting, few at a time, and is of limited size; streams end when
//! the server stops.

use std::pin::Pin;
use std::sync::Arc;

use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_server::{
    ClientStatusDiscoveryService, ClientStatusDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::status::v3::{ClientStatusRequest, ClientStatusResponse};
use prost::Message as _;
use tokio::sync::{Semaphore, watch};
use tokio_stream::Stream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::client_config;
use super::matcher::{MatcherError, NodeMatchers};
use crate::xds::{Cache, Proxies};

/// Bytes of a request: some matchers, and the node of who asks, which may be an Envoy's 61 KB.
const REQUEST: usize = 1 << 20;
/// Bytes of an answer.
const RESPONSE: usize = 64 << 20;
/// Answers that are built at a time.
const AT_A_TIME: usize = 2;

/// The service. [`Csds::routes`] mounts it, on as many ports as one likes.
#[derive(Debug, Clone)]
pub struct Csds {
    cache: Cache,
    proxies: Proxies,
    stop: watch::Receiver<bool>,
    turns: Arc<Semaphore>,
}

impl From<MatcherError> for Status {
    fn from(error: MatcherError) -> Self {
        match error {
            MatcherError::Unsupported(_) => Self::unimplemented(error.to_string()),
            MatcherError::Invalid(_) => Self::invalid_argument(error.to_string()),
        }
    }
}

impl Csds {
    /// Tells of these proxies, and of what the cache holds for them. `stop` becomes true when it is time to stop.
    pub fn new(cache: Cache, proxies: Proxies, stop: watch::Receiver<bool>) -> Self {
        Self { cache, proxies, stop, turns: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// The service beside whatever `routes` has already.
    pub fn routes(&self, routes: Routes) -> Routes {
        let server = ClientStatusDiscoveryServiceServer::new(self.clone());
        routes.add_service(server.max_decoding_message_size(REQUEST).max_encoding_message_size(RESPONSE))
    }

    async fn answer(&self, request: ClientStatusRequest) -> Result<ClientStatusResponse, Status> {
        let matchers = NodeMatchers::read(&request.node_matchers)?;
        let turns = Arc::clone(&self.turns);
        let turn = turns.acquire_owned().await.map_err(|_| Status::unavailable("the server is shutting down"))?;
        let this = self.clone();
        let built = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            this.build(&matchers, !request.exclude_resource_contents)
        });
        built.await.map_err(|error| Status::internal(error.to_string()))?
    }

    /// The connected proxies that are meant, by node id: of the others nobody knows what they have now.
    fn build(&self, matchers: &NodeMatchers, contents: bool) -> Result<ClientStatusResponse, Status> {
        let mut response = ClientStatusResponse::default();
        let mut size = 0;
        for proxy in self.proxies.list().iter().filter(|p| p.is_connected() && matchers.matches(&p.node)) {
            let group = proxy.group.as_deref();
            let intended = group.and_then(|group| self.cache.current(group));
            let parked = group.map(|group| self.cache.parked(group)).unwrap_or_default();
            let config = client_config(proxy, intended.as_deref(), &parked, contents);
            size += config.encoded_len();
            if size > RESPONSE {
                let limit = RESPONSE >> 20;
                let advice = "choose fewer proxies with node_matchers, or set exclude_resource_contents";
                return Err(Status::resource_exhausted(format!("the answer is larger than {limit} MiB: {advice}")));
            }
            response.config.push(config);
        }
        Ok(response)
    }
}

#[tonic::async_trait]
impl ClientStatusDiscoveryService for Csds {
    type StreamClientStatusStream = Pin<Box<dyn Stream<Item = Result<ClientStatusResponse, Status>> + Send>>;

    /// Each request is answered with the state of its moment.
    async fn stream_client_status(
        &self,
        request: Request<Streaming<ClientStatusRequest>>,
    ) -> Result<Response<Self::StreamClientStatusStream>, Status> {
        let (this, mut requests) = (self.clone(), request.into_inner());
        let mut stop = self.stop.clone();
        let answers = async_stream::try_stream! {
            loop {
                let request = tokio::select! {
                    request = requests.message() => request,
                    _ = stop.wait_for(|stop| *stop) => Err(Status::unavailable("the server is shutting down")),
                };
                let Some(request) = request? else { return };
                yield this.answer(request).await?;
            }
        };
        Ok(Response::new(Box::pin(answers)))
    }

    async fn fetch_client_status(
        &self,
        request: Request<ClientStatusRequest>,
    ) -> Result<Response<ClientStatusResponse>, Status> {
        Ok(Response::new(self.answer(request.into_inner()).await?))
    }
}
