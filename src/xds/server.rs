//! SHELL: the discovery services, over raw frames ([`super::grpc`]). Each stream is one future that selects between what
//! the client says, what its group is given, and its own deadlines: no task, no channel, no buffer.

mod method;
mod protocol;
mod session;

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;
use tower::service_fn;

use super::admission::{Admission, Limits};
use super::connection::{Peer, Reader};
use super::grpc::{self, Inbound};
use super::transition::Pace;
use super::{Cache, Node, Proxies, ResourceType, listen, wire};
pub use method::SERVICE_NAMES;
use method::{Form, Method};
use protocol::{Delta, Sotw};

/// Bytes that a node's id may have, and a node as far as it is kept.
const NODE_ID: usize = 1024;
const NODE: usize = 64 << 10;

/// Decides which group's snapshots a proxy is given.
pub trait Grouping: Send + Sync + 'static {
    /// The group of a proxy; `None` when nobody wants it.
    fn group_of(&self, node: &Node) -> Option<Arc<str>>;

    /// Wakes when the answers may have changed.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// Every proxy in the group of its `node.cluster`.
#[derive(Debug)]
pub struct ByCluster(watch::Sender<u64>);

impl Default for ByCluster {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Grouping for ByCluster {
    fn group_of(&self, node: &Node) -> Option<Arc<str>> {
        Some(node.cluster.as_str().into())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// Limits and times of the service.
#[derive(Debug, Clone)]
pub struct Options {
    /// Times of a transition.
    pub pace: Pace,
    /// Types beyond [`ResourceType::ALL`] that are served.
    pub types: Vec<ResourceType>,
    /// Names one request may have.
    pub names: usize,
    /// Bytes a name may have.
    pub name_length: usize,
    /// Bytes of a request.
    pub request: usize,
    /// How long a client may take for its first message.
    pub first_message: Duration,
    /// How fast new streams are let in.
    pub admission: Limits,
    /// Over what time streams are closed at the end, so that the clients do not come back all at once.
    pub goodbye: Duration,
    /// Becomes true when it is time to stop.
    pub stop: watch::Receiver<bool>,
}

impl Options {
    /// The defaults.
    pub fn new(stop: watch::Receiver<bool>) -> Self {
        Self {
            pace: Pace::default(),
            types: Vec::new(),
            names: 100_000,
            name_length: 4096,
            request: 4 << 20,
            first_message: Duration::from_secs(30),
            admission: Limits { rate: 2000, burst: 1000, waiting: 100_000 },
            goodbye: Duration::from_secs(2),
            stop,
        }
    }
}

impl Default for Options {
    /// The defaults, and nobody who says that it is time to stop.
    fn default() -> Self {
        Self::new(watch::channel(false).1)
    }
}

/// The discovery services. [`Server::routes`] mounts them.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    cache: Cache,
    proxies: Proxies,
    grouping: Arc<dyn Grouping>,
    admission: Admission,
    options: Options,
}

impl Server {
    /// Serves what is published to the cache, and keeps the proxies' states.
    pub fn new(cache: Cache, proxies: Proxies, grouping: Arc<dyn Grouping>, options: Options) -> Self {
        let admission = Admission::new(options.admission);
        Self { shared: Arc::new(Shared { cache, proxies, grouping, admission, options }) }
    }

    /// The aggregated service and one for each type, beside whatever `routes` has already: for
    /// [`tonic::transport::Server::add_routes`].
    pub fn routes(&self, routes: Routes) -> Routes {
        let server = self.clone();
        grpc::mount(routes, &SERVICE_NAMES, service_fn(move |request| ready(Ok(server.answer(request)))))
    }

    /// Serves on a port of its own, within all limits, until it is time to stop.
    ///
    /// # Errors
    /// When the port fails.
    pub async fn serve(self, listener: TcpListener) -> Result<(), tonic::transport::Error> {
        let mut stop = self.shared.options.stop.clone();
        let stopped = async move {
            // Without a sender nobody will ever say so.
            if stop.wait_for(|stop| *stop).await.is_err() {
                std::future::pending().await
            }
        };
        listen::serve(listener, self.routes(Routes::default()), listen::stalls(), stopped).await
    }

    /// How many new streams wait to be let in.
    pub fn waiting(&self) -> usize {
        self.shared.admission.waiting()
    }

    fn admit(&self) -> Result<(), Status> {
        if *self.shared.options.stop.borrow() {
            return Err(Status::unavailable("the server is shutting down"));
        }
        if !self.shared.cache.is_ready() {
            return Err(Status::unavailable("the server has not restored its state yet: try again"));
        }
        Ok(())
    }

    fn answer(&self, request: Request<Body>) -> Response<Body> {
        if let Err(answer) = grpc::check(&request) {
            return *answer;
        }
        let Some(method) = Method::of(request.uri().path()) else {
            return grpc::refused(Status::unimplemented(format!("there is no method {}", request.uri().path())));
        };
        if let Err(status) = self.admit() {
            return grpc::refused(status);
        }
        let peer = request.extensions().get::<Peer>();
        let call = Call {
            server: self.clone(),
            only: method.only,
            address: peer.map_or_else(|| plain_address(&request), Peer::address),
        };
        let reader: Option<Reader> = peer.map(Peer::reader);
        let inbound = Inbound::new(request.into_body(), self.shared.options.request);
        match method.form {
            Form::Stream => grpc::streaming(session::serve::<Sotw>(call, inbound), reader),
            Form::Delta => grpc::streaming(session::serve::<Delta>(call, inbound), reader),
            Form::Fetch => grpc::streaming(session::fetch(call, inbound), reader),
        }
    }

    /// The type of a URL, if it is served.
    fn type_of(&self, url: &str) -> Option<ResourceType> {
        let others = self.shared.options.types.iter().copied();
        ResourceType::from_type_url(url).or_else(|| others.into_iter().find(|t| t.type_url() == url))
    }
}

fn plain_address(request: &Request<Body>) -> Option<SocketAddr> {
    request.extensions().get::<TcpConnectInfo>().and_then(|info| info.remote_addr)
}

/// What is known of a call before its first message.
struct Call {
    server: Server,
    /// The one type of the method's service.
    only: Option<ResourceType>,
    address: Option<SocketAddr>,
}

/// Who the client is, within limits: it is remembered for an hour after it has gone.
fn named(node: Option<wire::Node>) -> Result<Node, Status> {
    match node {
        None => Err(Status::invalid_argument("the first message needs a node with an id")),
        Some(node) if node.id.is_empty() => Err(Status::invalid_argument("the node needs an id")),
        Some(node) if node.id.len() > NODE_ID || node.encoded_len() > NODE => {
            let text = format!("an id has at most {NODE_ID} bytes, and a node (without its extensions) {NODE}");
            Err(Status::invalid_argument(text))
        }
        Some(node) => Ok(node.into()),
    }
}

#[cfg(test)]
mod tests;
