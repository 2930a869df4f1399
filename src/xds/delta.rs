//! Incremental: requests in, responses out, without I/O.
//!
//! PURE. Behaviours 19 to 30: subscriptions change with every message; each name asked for is answered, in `resources` or
//! in `removed_resources`.

use std::sync::Arc;

use super::channel::Answer;
use super::stream::{Moment, Stream};
use super::wire::{Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DeltaResource};
use super::{Resource, ResourceType, ResourceVersion};

/// Takes a request of a known type.
pub fn on_request(stream: &mut Stream, resource_type: ResourceType, request: &DeltaDiscoveryRequest, at: Moment) {
    let first = !stream.channel(resource_type).subscription.is_active();
    match stream.answer(resource_type, &request.response_nonce, request.error_detail.as_ref(), at) {
        // Behaviour 20: a change of subscription counts even with a stale nonce.
        Answer::Stale | Answer::Spontaneous | Answer::Current => {}
    }
    let (subscribe, unsubscribe) = (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
    let change = stream.channel(resource_type).subscription.update(subscribe, unsubscribe, first);
    stream.channel(resource_type).subscribe(change);
    if first {
        welcome_back(stream, resource_type, request);
    }
}

/// The first message of a type tells what the client has from an earlier stream.
fn welcome_back(stream: &mut Stream, resource_type: ResourceType, request: &DeltaDiscoveryRequest) {
    let Some((channel, transition)) = stream.offer(resource_type) else { return };
    if resource_type == ResourceType::Cluster {
        let versions = &request.initial_resource_versions;
        let held =
            |r: &Resource| versions.get(&**r.name()).and_then(|v| ResourceVersion::parse(v)) == Some(r.version());
        match versions.is_empty() {
            true => transition.forget(),
            false => transition.retain_held(resource_type, held),
        }
    }
    for (name, version) in &request.initial_resource_versions {
        let wanted = transition.target().get(resource_type, name).map(Resource::version);
        channel.claim(name, ResourceVersion::parse(version), wanted);
    }
    if !request.initial_resource_versions.is_empty() {
        channel.owed = false;
    }
}

/// The next response, if one is due: by type, make before break.
pub fn next_response(stream: &mut Stream) -> Option<DeltaDiscoveryResponse> {
    for resource_type in ResourceType::ALL {
        let Some((channel, transition, due)) = stream.due(resource_type) else { continue };
        if due.changed.is_empty() && due.removed.is_empty() && !channel.owed {
            continue;
        }
        let carried: Vec<&Resource> = due.changed.iter().collect();
        let removed_resources = due.removed.iter().map(ToString::to_string).collect();
        let nonce = channel.send(&carried, due.removed, transition);
        let system_version_info = transition.target().version_of(resource_type).to_string();
        stream.send_children_again(&due.changed);
        return Some(DeltaDiscoveryResponse {
            system_version_info,
            resources: due.changed.iter().map(delta_resource).collect(),
            type_url: resource_type.type_url().to_owned(),
            nonce,
            removed_resources,
        });
    }
    None
}

fn delta_resource(resource: &Resource) -> DeltaResource {
    let type_url = resource.resource_type().type_url().to_owned();
    DeltaResource {
        version: resource.version().to_string(),
        resource: Some(Any { type_url, value: resource.body().clone() }),
        name: Arc::clone(resource.name()).to_string(),
    }
}

#[cfg(test)]
mod tests;
