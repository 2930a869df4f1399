//! Target: the bytes of a request's body, as they come from the network, up to what the protocol makes of them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};
use prost::Message;
use serin::xds::grpc::Inbound;
use serin::xds::stream::Abilities;
use serin::xds::wire::{DeltaDiscoveryRequest, DiscoveryRequest, Node};
use serin::xds::{ResourceType, wire};

use crate::client::{Client, Request};
use crate::world::OTHER;

/// The longest message that is taken.
const LIMIT: usize = 4096;

/// A body that is all there, in pieces.
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

/// Runs a stream on these bytes: what it is, how it is cut, and its body.
pub fn run(data: &[u8]) {
    let [kind, cut, body @ ..] = data else { return };
    let is_delta = kind & 1 == 1;
    let pieces = body.chunks(usize::from(*cut).max(1)).map(Bytes::copy_from_slice).collect();
    let mut inbound = Inbound::new(tonic::body::Body::new(Pieces(pieces)), LIMIT);
    let mut client = None;
    while let Some(message) = next(&mut inbound) {
        assert!(message.len() <= LIMIT);
        let Some((of, node, request)) = decode(is_delta, message) else { return };
        let abilities = || Abilities::of(&serin::xds::Node::from(node.unwrap_or_default()));
        let client = client.get_or_insert_with(|| Client::new(is_delta, abilities().ttl));
        if let Some(of) = of {
            client.request(of, &request);
            client.read();
        }
    }
    if let Some(mut client) = client {
        client.come_to_rest();
    }
}

/// The next message: nothing has to be waited for.
fn next(inbound: &mut Inbound) -> Option<Bytes> {
    match pin!(inbound.message()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(message) => message.ok().flatten(),
        Poll::Pending => panic!("it waits, and all is there"),
    }
}

fn decode(is_delta: bool, message: Bytes) -> Option<(Option<ResourceType>, Option<wire::Node>, Request)> {
    let type_of = |url: &str| ResourceType::from_type_url(url).or((url == OTHER.type_url()).then_some(OTHER));
    if is_delta {
        let mut request = DeltaDiscoveryRequest::decode(message).ok()?;
        let node: Option<Node> = request.node.take();
        return Some((type_of(&request.type_url), node, Request::Delta(request)));
    }
    let mut request = DiscoveryRequest::decode(message).ok()?;
    let node = request.node.take();
    Some((type_of(&request.type_url), node, Request::Sotw(request)))
}
