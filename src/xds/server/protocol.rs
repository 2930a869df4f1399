//! What the stream's loop must know of a variant of the protocol.

use prost::Message;

use crate::xds::stream::{Moment, Stream};
use crate::xds::wire::{self, DeltaDiscoveryRequest, DiscoveryRequest};
use crate::xds::{Outgoing, ResourceType, Variant, delta, sotw};

/// A variant.
pub(super) trait Protocol: Send + 'static {
    const VARIANT: Variant;
    type Request: Message + Default + 'static;

    fn node(request: &mut Self::Request) -> Option<wire::Node>;
    fn type_url(request: &Self::Request) -> &str;
    fn names(request: &Self::Request) -> impl Iterator<Item = &String>;
    fn on_request(stream: &mut Stream, resource_type: ResourceType, request: &Self::Request, at: Moment);
    fn next_response(stream: &mut Stream, at: Moment) -> Option<Outgoing>;
}

pub(super) struct Sotw;

impl Protocol for Sotw {
    const VARIANT: Variant = Variant::Sotw;
    type Request = DiscoveryRequest;

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

    fn next_response(stream: &mut Stream, at: Moment) -> Option<Outgoing> {
        sotw::next_response(stream, at)
    }
}

pub(super) struct Delta;

impl Protocol for Delta {
    const VARIANT: Variant = Variant::Delta;
    type Request = DeltaDiscoveryRequest;

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

    fn next_response(stream: &mut Stream, at: Moment) -> Option<Outgoing> {
        delta::next_response(stream, at)
    }
}
