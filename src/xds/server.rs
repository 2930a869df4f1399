//! SHELL: the discovery service. Each stream is one future that selects between what the client says, what its group is
//! given, and its own deadlines: no task, no channel.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use prost::Message;
use tokio::sync::watch;
use tokio_stream::Stream as AsyncStream;
use tonic::{Request, Response, Status, Streaming};

use super::cache::Published;
use super::status::Seat;
use super::stream::{Moment, Notice, Stream};
use super::transition::Pace;
use super::wire::service::aggregated_discovery_service_server::AggregatedDiscoveryService;
pub use super::wire::service::aggregated_discovery_service_server::AggregatedDiscoveryServiceServer;
use super::wire::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};
use super::{Cache, Node, Proxies, ResourceType, Variant, delta, sotw, wire};

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

/// Limits and times of the service.
#[derive(Debug, Clone)]
pub struct Options {
    /// Times of a transition.
    pub pace: Pace,
    /// Names one request may have.
    pub names: usize,
    /// Bytes a name may have.
    pub name_length: usize,
    /// How long a client may take for its first message.
    pub first_message: Duration,
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
            names: 100_000,
            name_length: 4096,
            first_message: Duration::from_secs(30),
            goodbye: Duration::from_secs(2),
            stop,
        }
    }
}

/// The discovery service. Serve it with [`AggregatedDiscoveryServiceServer`].
#[derive(Clone)]
pub struct Server {
    cache: Cache,
    proxies: Proxies,
    grouping: Arc<dyn Grouping>,
    options: Options,
}

impl Server {
    /// Serves what is published to the cache, and keeps the proxies' states.
    pub fn new(cache: Cache, proxies: Proxies, grouping: Arc<dyn Grouping>, options: Options) -> Self {
        Self { cache, proxies, grouping, options }
    }

    fn admit(&self) -> Result<(), Status> {
        if *self.options.stop.borrow() {
            return Err(Status::unavailable("the server is shutting down"));
        }
        if !self.cache.is_ready() {
            return Err(Status::unavailable("the server has not restored its state yet: try again"));
        }
        Ok(())
    }
}

/// What the loop must know of a variant.
trait Protocol: Send + 'static {
    const VARIANT: Variant;
    type Request: Send + 'static;
    type Response: Send + 'static;

    fn node(request: &mut Self::Request) -> Option<wire::Node>;
    fn type_url(request: &Self::Request) -> &str;
    fn names(request: &Self::Request) -> impl Iterator<Item = &String>;
    fn on_request(stream: &mut Stream, resource_type: ResourceType, request: &Self::Request, at: Moment);
    fn next_response(stream: &mut Stream) -> Option<Self::Response>;
    /// Type URL, number of resources, number of removed ones.
    fn summary(response: &Self::Response) -> (&str, usize, usize);
}

struct Sotw;

impl Protocol for Sotw {
    const VARIANT: Variant = Variant::Sotw;
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn node(request: &mut Self::Request) -> Option<wire::Node> {
        request.node.take()
    }

    fn type_url(request: &Self::Request) -> &str {
        &request.type_url
    }

    fn names(request: &Self::Request) -> impl Iterator<Item = &String> {
        request.resource_names.iter()
    }

    fn on_request(stream: &mut Stream, resource_type: ResourceType, request: &Self::Request, at: Moment) {
        sotw::on_request(stream, resource_type, request, at);
    }

    fn next_response(stream: &mut Stream) -> Option<Self::Response> {
        sotw::next_response(stream)
    }

    fn summary(response: &Self::Response) -> (&str, usize, usize) {
        (&response.type_url, response.resources.len(), 0)
    }
}

struct Delta;

impl Protocol for Delta {
    const VARIANT: Variant = Variant::Delta;
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn node(request: &mut Self::Request) -> Option<wire::Node> {
        request.node.take()
    }

    fn type_url(request: &Self::Request) -> &str {
        &request.type_url
    }

    fn names(request: &Self::Request) -> impl Iterator<Item = &String> {
        request
            .resource_names_subscribe
            .iter()
            .chain(&request.resource_names_unsubscribe)
            .chain(request.initial_resource_versions.keys())
    }

    fn on_request(stream: &mut Stream, resource_type: ResourceType, request: &Self::Request, at: Moment) {
        delta::on_request(stream, resource_type, request, at);
    }

    fn next_response(stream: &mut Stream) -> Option<Self::Response> {
        delta::next_response(stream)
    }

    fn summary(response: &Self::Response) -> (&str, usize, usize) {
        (&response.type_url, response.resources.len(), response.removed_resources.len())
    }
}

type Responses<T> = Pin<Box<dyn AsyncStream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Server {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        self.admit()?;
        Ok(Response::new(Box::pin(serve::<Sotw>(self.clone(), request))))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        self.admit()?;
        Ok(Response::new(Box::pin(serve::<Delta>(self.clone(), request))))
    }
}

/// One stream, from its first message to its end.
fn serve<P: Protocol>(
    server: Server,
    request: Request<Streaming<P::Request>>,
) -> impl AsyncStream<Item = Result<P::Response, Status>> + Send {
    async_stream::try_stream! {
        let address = request.remote_addr();
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(server.options.first_message, inbound.message());
        let Some(mut first) = first.await.map_err(|_| Status::deadline_exceeded("no message came on the stream"))?? else {
            return;
        };
        let node = Arc::new(named(P::node(&mut first))?);
        let seat = server.proxies.connect(Arc::clone(&node), P::VARIANT, address);
        let mut session = Session::<P>::new(&server, node, seat, first);
        // Before the first look, so that no change between the two goes unnoticed.
        let mut hints = Hints { stop: server.options.stop.clone(), regrouped: server.grouping.changes() };
        session.regroup();
        loop {
            while let Some(response) = session.next_response()? {
                yield response;
            }
            if !session.next_event(&mut inbound, &mut hints).await? {
                return;
            }
        }
    }
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

/// What may happen to any stream.
struct Hints {
    stop: watch::Receiver<bool>,
    regrouped: watch::Receiver<u64>,
}

/// A stream with its feed and its seat among the proxies.
struct Session<'a, P: Protocol> {
    server: &'a Server,
    node: Arc<Node>,
    seat: Seat,
    group: Option<Arc<str>>,
    feed: Option<watch::Receiver<Option<Published>>>,
    stream: Stream,
    /// The first request, until there is a snapshot to answer it from.
    waiting: Option<P::Request>,
}

impl<'a, P: Protocol> Session<'a, P> {
    fn new(server: &'a Server, node: Arc<Node>, seat: Seat, first: P::Request) -> Self {
        let stream = Stream::new(server.options.pace);
        Self { server, node, seat, group: None, feed: None, stream, waiting: Some(first) }
    }

    /// Requests are read only once there is a snapshot: what a client that comes back says it has is compared with it.
    fn is_served(&self) -> bool {
        self.stream.transition().is_some()
    }

    fn regroup(&mut self) {
        let group = self.server.grouping.group_of(&self.node);
        if group.is_none() && self.feed.is_none() {
            tracing::warn!(node = self.node.id, cluster = self.node.cluster, "no fleet takes this proxy");
        }
        if group != self.group || self.feed.is_none() {
            // A proxy that no group wants any more keeps what it has.
            if let Some(group) = &group {
                let mut feed = self.server.cache.subscribe(group);
                feed.mark_changed();
                self.feed = Some(feed);
            }
            self.group.clone_from(&group);
            self.seat.update(|status| status.group = group);
        }
    }

    /// Waits for something to happen and takes note of it; false when the client has gone.
    async fn next_event(&mut self, inbound: &mut Streaming<P::Request>, hints: &mut Hints) -> Result<bool, Status> {
        let is_served = self.is_served();
        let deadline = self.stream.deadline();
        tokio::select! {
            message = inbound.message(), if is_served => match message? {
                Some(request) => self.on_request(request)?,
                None => return Ok(false),
            },
            () = changed(&mut self.feed) => self.read_feed(),
            Ok(()) = hints.regrouped.changed() => self.regroup(),
            () = reached(deadline) => self.on_deadline(),
            () = stopped(&mut hints.stop) => {
                tokio::time::sleep(self.goodbye(self.server.options.goodbye)).await;
                return Err(Status::unavailable("the server is shutting down"));
            }
        }
        Ok(true)
    }

    fn read_feed(&mut self) {
        let published = self.feed.as_mut().and_then(|feed| feed.borrow_and_update().clone());
        if let Some(Published { snapshot, previous }) = published {
            self.stream.aim(snapshot, previous, moment());
        }
    }

    fn on_request(&mut self, request: P::Request) -> Result<(), Status> {
        let limits = &self.server.options;
        let type_url = P::type_url(&request);
        if type_url.is_empty() {
            return Err(Status::invalid_argument("type_url is required on an aggregated stream"));
        }
        let (mut names, mut longest) = (0, 0);
        for name in P::names(&request) {
            (names, longest) = (names + 1, longest.max(name.len()));
        }
        if names > limits.names || longest > limits.name_length {
            let most = (limits.names, limits.name_length);
            let text = format!("{names} names, the longest of {longest} bytes: at most {most:?} are allowed");
            return Err(Status::resource_exhausted(text));
        }
        match ResourceType::from_type_url(type_url) {
            Some(resource_type) => {
                P::on_request(&mut self.stream, resource_type, &request, moment());
                // Incremental requests add up.
                if self.stream.channel(resource_type).remembered() > 2 * limits.names {
                    return Err(Status::resource_exhausted(format!("more than {} names", limits.names)));
                }
            }
            // Envoy may ask for secrets or runtime that nobody has: that must not cost it its stream.
            None => tracing::debug!(node = self.node.id, type_url, "a type that is not served"),
        }
        Ok(())
    }

    fn next_response(&mut self) -> Result<Option<P::Response>, Status> {
        if self.is_served()
            && let Some(first) = self.waiting.take()
        {
            self.on_request(first)?;
        }
        let at = moment();
        self.stream.advance(at);
        let response = P::next_response(&mut self.stream);
        if let Some((type_url, resources, removed)) = response.as_ref().map(P::summary) {
            tracing::debug!(node = self.node.id, type_url, resources, removed, "sent");
        }
        for notice in self.stream.notices() {
            self.tell(notice);
        }
        if let Some(types) = self.stream.refresh(at) {
            self.seat.update(|status| status.types = types);
        }
        Ok(response)
    }

    fn tell(&self, notice: Notice) {
        let node = self.node.id.as_str();
        match notice {
            Notice::Rejected(resource_type, rejection) => {
                let names = rejection.resources.join(", ");
                tracing::warn!(node, %resource_type, names, "rejected: {}", rejection.text);
            }
            Notice::Overdue(clusters) => {
                tracing::warn!(node, ?clusters, "routes are sent although these clusters were not acknowledged");
            }
        }
    }

    fn on_deadline(&mut self) {
        let at = moment();
        self.stream.advance(at);
        self.stream.disarm(at);
    }

    /// This client's share of the time in which streams are closed: the same for the same proxy, spread over all.
    fn goodbye(&self, over: Duration) -> Duration {
        let hash = xxhash_rust::xxh3::xxh3_64(self.node.id.as_bytes());
        over.mul_f64((hash % 1000) as f64 / 1000.0)
    }
}

/// Ends when the feed has something new; never when there is no feed.
async fn changed(feed: &mut Option<watch::Receiver<Option<Published>>>) {
    if let Some(feed) = feed
        && feed.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Ends when it is time to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Without a sender nobody will ever say so.
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending().await
    }
}

/// Ends at the deadline; never when there is none.
async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn moment() -> Moment {
    Moment { now: Instant::now(), wall: SystemTime::now() }
}

#[cfg(test)]
mod tests;
