//! State of the world: requests in, responses out, without I/O.
//!
//! PURE. Behaviours 14 to 18: clusters and listeners always come as the full state; of other types only what changed;
//! what rests on a stale nonce gets no answer.

use super::channel::Answer;
use super::stream::{Moment, Stream};
use super::transition::Transition;
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

/// The first request of a type tells what the client has from an earlier stream.
fn welcome_back(stream: &mut Stream, resource_type: ResourceType, version: &str) {
    let Some((channel, transition)) = stream.offer(resource_type) else { return };
    if !resource_type.is_full_state() || !channel.subscription.is_wildcard() {
        return;
    }
    if version.is_empty() {
        if resource_type == ResourceType::Cluster {
            transition.forget();
        }
        return;
    }
    let Some(version) = ResourceVersion::parse(version) else { return };
    if resource_type == ResourceType::Cluster {
        transition.retain_only(|snapshot| snapshot.version_of(ResourceType::Cluster) == version);
    }
    let had = known_set(resource_type, version, transition);
    // Behaviour 17: only here may a resend be skipped, and only of what is the same.
    channel.owed &= had.is_empty();
    for resource in had {
        let wanted = transition.target().get(resource_type, resource.name()).map(Resource::version);
        channel.claim(resource.name(), Some(resource.version()), wanted);
    }
}

/// The resources that a client has whose last full state had this version.
fn known_set(resource_type: ResourceType, version: ResourceVersion, transition: &Transition) -> Vec<Resource> {
    let whole = transition.known().find(|snapshot| snapshot.version_of(resource_type) == version);
    let resources = whole.map(|snapshot| snapshot.of_type(resource_type).values().cloned().collect::<Vec<_>>());
    resources.unwrap_or_else(|| {
        let offered: Vec<Resource> = transition.offered(resource_type).into_values().cloned().collect();
        let same = set_version(&offered.iter().collect::<Vec<_>>()) == version;
        if same { offered } else { Vec::new() }
    })
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
