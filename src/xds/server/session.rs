//! One stream, from its first message to its end.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::watch;
use tokio_stream::Stream as AsyncStream;
use tonic::Status;

use super::protocol::{Protocol, Sotw};
use super::{Call, Server, named};
use crate::xds::cache::Published;
use crate::xds::grpc::{Inbound, Message};
use crate::xds::status::Seat;
use crate::xds::stream::{Abilities, Moment, Notice, Stream};
use crate::xds::{Node, Outgoing, ResourceType};

/// A stream's responses.
pub(super) fn serve<P: Protocol>(
    call: Call,
    mut inbound: Inbound,
) -> impl AsyncStream<Item = Result<Message, Status>> + Send {
    async_stream::try_stream! {
        let Some((first, node)) = first_message::<P>(&call, &mut inbound).await? else { return };
        let shared = Arc::clone(&call.server.shared);
        // Before the first look, so that no change between the two goes unnoticed.
        let mut hints = Hints { stop: shared.options.stop.clone(), regrouped: shared.grouping.changes() };
        let mut session = Session::<P>::new(call, node, first);
        session.regroup();
        loop {
            while let Some(response) = session.next_response()? {
                yield message(response);
            }
            if !session.next_event(&mut inbound, &mut hints).await? {
                return;
            }
        }
    }
}

/// The one response of a unary call: state of the world, as a new stream would give it.
pub(super) fn fetch(call: Call, mut inbound: Inbound) -> impl AsyncStream<Item = Result<Message, Status>> + Send {
    async_stream::try_stream! {
        let Some((request, node)) = first_message::<Sotw>(&call, &mut inbound).await? else { return };
        let shared = &call.server.shared;
        let group = shared.grouping.group_of(&node);
        let published = group.and_then(|group| shared.cache.subscribe(&group).borrow().clone());
        let published = published.ok_or_else(|| Status::not_found("there is nothing for this node"))?;
        let mut stream = Stream::new(shared.options.pace, Abilities::of(&node));
        let at = moment();
        stream.aim(Arc::clone(published.of(&node.id)), Vec::new(), at);
        let resource_type = call.type_of(&request.type_url)?.ok_or_else(|| unknown(&request.type_url))?;
        check_names::<Sotw>(&call.server, &request)?;
        Sotw::on_request(&mut stream, resource_type, &request, at);
        stream.advance(at);
        let empty = || Outgoing::sotw(resource_type, "", 0, (Bytes::new(), 0));
        yield message(Sotw::next_response(&mut stream, at).unwrap_or_else(empty));
    }
}

fn message(response: Outgoing) -> Message {
    Message { head: response.head, shared: response.resources }
}

fn unknown(type_url: &str) -> Status {
    Status::invalid_argument(format!("{type_url} is no type that is served"))
}

/// Lets the stream in, and finds out who is there.
async fn first_message<P: Protocol>(
    call: &Call,
    inbound: &mut Inbound,
) -> Result<Option<(P::Request, Arc<Node>)>, Status> {
    call.server.shared.admission.admit().await?;
    let first = tokio::time::timeout(call.server.shared.options.first_message, inbound.message()).await;
    let Some(bytes) = first.map_err(|_| Status::deadline_exceeded("no message came on the stream"))?? else {
        return Ok(None);
    };
    let mut request = decode::<P>(bytes)?;
    let node = Arc::new(named(P::node(&mut request))?);
    Ok(Some((request, node)))
}

fn decode<P: Protocol>(bytes: Bytes) -> Result<P::Request, Status> {
    P::Request::decode(bytes).map_err(|error| Status::invalid_argument(format!("no discovery request: {error}")))
}

fn check_names<P: Protocol>(server: &Server, request: &P::Request) -> Result<(), Status> {
    let limits = &server.shared.options;
    let (mut names, mut longest) = (0, 0);
    for name in P::names(request) {
        (names, longest) = (names + 1, longest.max(name.len()));
    }
    if names > limits.names || longest > limits.name_length {
        let most = (limits.names, limits.name_length);
        let text = format!("{names} names, the longest of {longest} bytes: at most {most:?} are allowed");
        return Err(Status::resource_exhausted(text));
    }
    Ok(())
}

impl Call {
    /// What a request is about; `None` when it is a type that is not served.
    fn type_of(&self, url: &str) -> Result<Option<ResourceType>, Status> {
        match (self.only, url) {
            (None, "") => Err(Status::invalid_argument("type_url is required on an aggregated stream")),
            (None, url) => Ok(self.server.type_of(url)),
            (Some(only), "") => Ok(Some(only)),
            (Some(only), url) if url == only.type_url() => Ok(Some(only)),
            (Some(only), url) => Err(Status::invalid_argument(format!("{url} is not what {only} serves"))),
        }
    }
}

/// What may happen to any stream.
pub(super) struct Hints {
    pub(super) stop: watch::Receiver<bool>,
    pub(super) regrouped: watch::Receiver<u64>,
}

/// A stream with its feed and its seat among the proxies.
pub(super) struct Session<P: Protocol> {
    call: Call,
    node: Arc<Node>,
    seat: Seat,
    group: Option<Arc<str>>,
    feed: Option<watch::Receiver<Option<Published>>>,
    pub(super) stream: Stream,
    /// The first request, until there is a snapshot to answer it from.
    waiting: Option<P::Request>,
    /// Whether it was told that another stream speaks for the proxy.
    told: bool,
}

impl<P: Protocol> Session<P> {
    pub(super) fn new(call: Call, node: Arc<Node>, first: P::Request) -> Self {
        let shared = &call.server.shared;
        let seat = shared.proxies.connect(Arc::clone(&node), P::VARIANT, call.only, call.address);
        let stream = Stream::new(shared.options.pace, Abilities::of(&node));
        Self { call, node, seat, group: None, feed: None, stream, waiting: Some(first), told: false }
    }

    /// Requests are read only once there is a snapshot: what a client that comes back says it has is compared with it.
    fn is_served(&self) -> bool {
        self.stream.transition().is_some()
    }

    fn regroup(&mut self) {
        let shared = &self.call.server.shared;
        let group = shared.grouping.group_of(&self.node);
        if group.is_none() && self.feed.is_none() {
            tracing::warn!(node = self.node.id, cluster = self.node.cluster, "no fleet takes this proxy");
        }
        if group != self.group || self.feed.is_none() {
            // A proxy that no group wants any more keeps what it has.
            if let Some(group) = &group {
                let mut feed = shared.cache.subscribe(group);
                feed.mark_changed();
                self.feed = Some(feed);
            }
            self.group.clone_from(&group);
            self.seat.update(|status| status.group = group);
        }
    }

    /// Waits for something to happen and takes note of it; false when the client has gone.
    async fn next_event(&mut self, inbound: &mut Inbound, hints: &mut Hints) -> Result<bool, Status> {
        let is_served = self.is_served();
        let deadline = self.stream.deadline();
        tokio::select! {
            message = inbound.message(), if is_served => match message? {
                Some(bytes) => self.on_request(decode::<P>(bytes)?)?,
                None => return Ok(false),
            },
            () = changed(&mut self.feed) => self.read_feed(),
            Ok(()) = hints.regrouped.changed() => self.regroup(),
            () = reached(deadline) => self.on_deadline(),
            () = stopped(&mut hints.stop) => {
                tokio::time::sleep(self.goodbye(self.call.server.shared.options.goodbye)).await;
                return Err(Status::unavailable("the server is shutting down"));
            }
        }
        Ok(true)
    }

    fn read_feed(&mut self) {
        let published = self.feed.as_mut().and_then(|feed| feed.borrow_and_update().clone());
        if let Some(published) = published {
            let snapshot = Arc::clone(published.of(&self.node.id));
            let held_back = snapshot.version() != published.intended.version();
            let previous = if self.is_served() { Vec::new() } else { published.previous.to_vec() };
            self.stream.aim(snapshot, previous, moment());
            self.stream.bar(&published.barred, &published.kept);
            if held_back {
                self.stream.intend(published.intended);
            }
        }
    }

    pub(super) fn on_request(&mut self, request: P::Request) -> Result<(), Status> {
        check_names::<P>(&self.call.server, &request)?;
        let type_url = P::type_url(&request);
        let Some(resource_type) = self.call.type_of(type_url)? else {
            // Envoy may ask for what nobody has: that must not cost it its stream.
            tracing::debug!(node = self.node.id, type_url, "a type that is not served");
            return Ok(());
        };
        P::on_request(&mut self.stream, resource_type, &request, moment());
        // Incremental requests add up.
        let most = self.call.server.shared.options.names;
        if self.stream.channel(resource_type).remembered() > 2 * most {
            return Err(Status::resource_exhausted(format!("more than {most} names")));
        }
        if !self.told && !self.seat.is_current() {
            self.told = true;
            tracing::warn!(node = self.node.id, "two proxies have this node id: only the newest one is counted");
        }
        Ok(())
    }

    fn next_response(&mut self) -> Result<Option<Outgoing>, Status> {
        if self.is_served()
            && let Some(first) = self.waiting.take()
        {
            self.on_request(first)?;
        }
        let at = moment();
        self.stream.advance(at);
        let response = P::next_response(&mut self.stream, at);
        if let Some(Outgoing { resource_type, carried, removed, .. }) = &response {
            let type_url = resource_type.type_url();
            tracing::debug!(node = self.node.id, type_url, resources = carried, removed, "sent");
        }
        for notice in self.stream.notices() {
            self.tell(notice);
        }
        if let Some(types) = self.stream.refresh(at) {
            self.seat.tell(types);
        }
        Ok(response)
    }

    fn tell(&self, notice: Notice) {
        let node = self.node.id.as_str();
        let cache = &self.call.server.shared.cache;
        match notice {
            Notice::Accepted(resources) => {
                if let Some(group) = &self.group {
                    cache.accept(group, &resources);
                }
            }
            Notice::Rejected { resource_type, rejection, resources, lacking } => {
                let names = rejection.resources.join(", ");
                tracing::warn!(node, %resource_type, names, "rejected: {}", rejection.text);
                if let Some(group) = self.group.as_ref().filter(|_| !lacking) {
                    cache.reject(group, &resources, node, &rejection.text, rejection.at);
                }
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

pub(super) fn moment() -> Moment {
    Moment { now: Instant::now(), wall: SystemTime::now() }
}
