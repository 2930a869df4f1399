//! A relay between a server and its proxies that changes nothing and takes down every message in the order in which it
//! came by.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as Client;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

/// A message as it came by.
#[derive(Clone, Default)]
pub(crate) struct Message {
    /// The proxy whose stream it is. Known from its first message on.
    pub(crate) node: String,
    /// Counts the streams over all proxies.
    pub(crate) stream: usize,
    /// From the server, else from the proxy.
    pub(crate) is_response: bool,
    /// `Cluster`, `ClusterLoadAssignment`, `Listener` or `RouteConfiguration`.
    pub(crate) kind: String,
    pub(crate) nonce: String,
    /// State of the world only.
    pub(crate) version: String,
    /// Of a request: what it asks for, or newly asks for.
    pub(crate) names: Vec<String>,
    /// Of a first Delta request: what the proxy says that it has.
    pub(crate) had: Vec<String>,
    /// Of a Delta response.
    pub(crate) removed: Vec<String>,
    /// Of a request: it rejects the response with its nonce.
    pub(crate) is_rejection: bool,
    /// Of a response: the resources, as they are.
    body: Vec<Vec<u8>>,
}

impl fmt::Debug for Message {
    /// A line: a tape is read from top to bottom.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, stream, is_response, kind, nonce, version, names, had, removed, is_rejection, body } = self;
        let way = if *is_response { "<-" } else { "->" };
        write!(f, "{node} {stream} {way} {kind} nonce {nonce:?} version {version:?}")?;
        for (what, names) in [("asks for", names), ("has", had), ("without", removed)] {
            if !names.is_empty() {
                write!(f, " {what} {names:?}")?;
            }
        }
        if *is_rejection {
            f.write_str(" rejected")?;
        }
        if *is_response { write!(f, " {} resources", body.len()) } else { Ok(()) }
    }
}

impl Message {
    /// Whether it is a response in which this text stands: a resource's name, or one that it refers to.
    pub(crate) fn brings(&self, text: &str) -> bool {
        let holds = |body: &Vec<u8>| body.windows(text.len()).any(|window| window == text.as_bytes());
        self.is_response && self.body.iter().any(holds)
    }
}

/// What came by, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape(Arc<Mutex<(usize, Vec<Message>)>>);

impl Tape {
    fn with<T>(&self, change: impl FnOnce(&mut (usize, Vec<Message>)) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn new_stream(&self) -> usize {
        self.with(|tape| {
            tape.0 += 1;
            tape.0
        })
    }

    fn add(&self, stream: usize, mut message: Message) {
        message.stream = stream;
        message.kind = message.kind.rsplit('.').next().unwrap_or_default().to_owned();
        self.with(|tape| {
            if message.node.is_empty() {
                let known = tape.1.iter().find(|known| known.stream == stream);
                message.node = known.map(|known| known.node.clone()).unwrap_or_default();
            }
            tape.1.push(message);
        });
    }

    /// How many messages there were.
    pub(crate) fn len(&self) -> usize {
        self.with(|tape| tape.1.len())
    }

    /// The messages of a proxy from a length of the tape on.
    pub(crate) fn of(&self, node: &str, from: usize) -> Vec<Message> {
        self.with(|tape| tape.1[from..].iter().filter(|message| message.node == node).cloned().collect())
    }
}

/// A running relay. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    pub(crate) tape: Tape,
    task: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let tape = Tape::default();
        // It connects with the first stream, and anew whenever the server is back.
        let server = Channel::from_shared(format!("http://{server}"))?.connect_lazy();
        let service = AggregatedDiscoveryServiceServer::new(Between { server, tape: tape.clone() });
        let served = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let task = tokio::spawn(async move { served.await.expect("the relay's listener is there") });
        Ok(Self { addr, tape, task })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Between {
    server: Channel,
    tape: Tape,
}

impl Between {
    /// What a proxy says on a stream, for the server.
    fn up<T: Clone + Send + 'static>(&self, stream: usize, mut from: Streaming<T>) -> ReceiverStream<T>
    where
        Message: From<T>,
    {
        let tape = self.tape.clone();
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok(Some(message)) = from.message().await {
                tape.add(stream, message.clone().into());
                if sender.send(message).await.is_err() {
                    return;
                }
            }
        });
        ReceiverStream::new(receiver)
    }

    /// What the server says on it, for the proxy.
    fn down<T: Clone + Send + 'static>(&self, stream: usize, from: Streaming<T>) -> Responses<T>
    where
        Message: From<T>,
    {
        let tape = self.tape.clone();
        Box::pin(from.map(move |message| {
            if let Ok(message) = &message {
                tape.add(stream, message.clone().into());
            }
            message
        }))
    }
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Between {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let stream = self.tape.new_stream();
        let up = self.up(stream, request.into_inner());
        let down = Client::new(self.server.clone()).stream_aggregated_resources(up).await?;
        Ok(Response::new(self.down(stream, down.into_inner())))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let stream = self.tape.new_stream();
        let up = self.up(stream, request.into_inner());
        let down = Client::new(self.server.clone()).delta_aggregated_resources(up).await?;
        Ok(Response::new(self.down(stream, down.into_inner())))
    }
}

impl From<DiscoveryRequest> for Message {
    fn from(from: DiscoveryRequest) -> Self {
        Self {
            node: from.node.map(|node| node.id).unwrap_or_default(),
            kind: from.type_url,
            nonce: from.response_nonce,
            version: from.version_info,
            names: from.resource_names,
            is_rejection: from.error_detail.is_some(),
            ..Self::default()
        }
    }
}

impl From<DiscoveryResponse> for Message {
    fn from(from: DiscoveryResponse) -> Self {
        Self {
            is_response: true,
            kind: from.type_url,
            nonce: from.nonce,
            version: from.version_info,
            body: from.resources.into_iter().map(|resource| resource.value).collect(),
            ..Self::default()
        }
    }
}

impl From<DeltaDiscoveryRequest> for Message {
    fn from(from: DeltaDiscoveryRequest) -> Self {
        Self {
            node: from.node.map(|node| node.id).unwrap_or_default(),
            kind: from.type_url,
            nonce: from.response_nonce,
            names: from.resource_names_subscribe,
            had: from.initial_resource_versions.into_keys().collect(),
            is_rejection: from.error_detail.is_some(),
            ..Self::default()
        }
    }
}

impl From<DeltaDiscoveryResponse> for Message {
    fn from(from: DeltaDiscoveryResponse) -> Self {
        let body = from.resources.into_iter().filter_map(|resource| resource.resource).map(|any| any.value);
        Self {
            is_response: true,
            kind: from.type_url,
            nonce: from.nonce,
            removed: from.removed_resources,
            body: body.collect(),
            ..Self::default()
        }
    }
}
