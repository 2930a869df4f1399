//! State of the world: requests in, responses out, without I/O.
//!
//! PURE. Behaviours 14 to 18: clusters and listeners always come as the full state; of other types only what changed;
//! what rests on a stale nonce gets no answer.

use super::channel::Answer;
use super::stream::{Moment, Stream};
use super::wire::{Any, DiscoveryRequest, DiscoveryResponse};
use super::{Resource, ResourceType, ResourceVersion};

/// Takes a request of a known type.
pub fn on_request(stream: &mut Stream, resource_type: ResourceType, request: &DiscoveryRequest, at: Moment) {
    let first = !stream.channel(resource_type).subscription.is_active();
    match stream.answer(resource_type, &request.response_nonce, request.error_detail.as_ref(), at) {
        Answer::Stale if !first => return,
        // On a new stream a nonce is left over from the one before.
        Answer::Stale | Answer::Spontaneous | Answer::Current => {}
    }
    let change = stream.channel(resource_type).subscription.replace(&request.resource_names);
    stream.channel(resource_type).subscribe(change);
    if first {
        welcome_back(stream, resource_type, &request.version_info);
    }
}

/// The first request for clusters tells which of the earlier snapshots the client comes from: that one's clusters stay
/// until its routes have moved.
///
/// It does not tell what the client has. A response that it rejected may have been applied in part, and then it still
/// names the version before. So nothing counts as held and everything is sent: what is the same changes nothing there.
fn welcome_back(stream: &mut Stream, resource_type: ResourceType, version: &str) {
    let Some((channel, transition)) = stream.offer(resource_type) else { return };
    if resource_type != ResourceType::Cluster || !channel.subscription.is_wildcard() {
        return;
    }
    if version.is_empty() {
        transition.forget();
    } else if let Some(version) = ResourceVersion::parse(version) {
        transition.retain_only(|snapshot| snapshot.version_of(ResourceType::Cluster) == version);
    }
}

/// The next response, if one is due: by type, make before break.
pub fn next_response(stream: &mut Stream) -> Option<DiscoveryResponse> {
    for resource_type in ResourceType::ALL {
        let Some((channel, transition, due)) = stream.due(resource_type) else { continue };
        let whole = channel.whole(transition);
        let version = set_version(&whole);
        let (carried, removed) = if resource_type.is_full_state() {
            if due.changed.is_empty() && due.removed.is_empty() && !channel.owed {
                continue;
            }
            // A full state takes away what is not in it, whatever the phase.
            let removed = channel.held_beside(&whole);
            (whole, removed)
        } else {
            channel.assume_removed(due.removed);
            channel.owed = false;
            if due.changed.is_empty() {
                continue;
            }
            (due.changed.iter().collect(), Vec::new())
        };
        let resources = carried.iter().map(|resource| any(resource)).collect();
        let nonce = channel.send(&carried, removed, transition);
        stream.send_children_again(&due.changed);
        let type_url = resource_type.type_url().to_owned();
        return Some(DiscoveryResponse { version_info: version.to_string(), resources, type_url, nonce });
    }
    None
}

/// The version of a set that is sorted by name.
fn set_version(resources: &[&Resource]) -> ResourceVersion {
    ResourceVersion::of_set(resources.iter().map(|r| (&**r.name(), r.version())))
}

fn any(resource: &Resource) -> Any {
    Any { type_url: resource.resource_type().type_url().to_owned(), value: resource.body().clone() }
}

#[cfg(test)]
mod tests;
