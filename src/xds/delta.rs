//! Incremental: requests in, responses out, without I/O.
//!
//! PURE. Behaviours 19 to 30: subscriptions change with every message; each name asked for is answered, in `resources` or
//! in `removed_resources`.

use super::channel::Answer;
use super::outgoing::{self, Form, Outgoing};
use super::stream::{Moment, Stream};
use super::wire::DeltaDiscoveryRequest;
use super::{Resource, ResourceType, ResourceVersion};

/// Takes a request of a known type.
pub fn on_request(stream: &mut Stream, resource_type: ResourceType, request: &DeltaDiscoveryRequest, at: Moment) {
    let first = !stream.channel(resource_type).subscription.is_active();
    match stream.answer(resource_type, &request.response_nonce, request.error_detail.as_ref(), at) {
        // Behaviour 20: a change of subscription counts even with a stale nonce.
        Answer::Stale | Answer::Spontaneous | Answer::Current => {}
    }
    let (subscribe, unsubscribe) = (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
    let (channel, transition) = stream.both(resource_type);
    let offer = transition.as_deref().map(|transition| transition.offer(resource_type));
    let known = |name: &str| offer.and_then(|offer| offer.find(name));
    let change = channel.subscription.update(subscribe, unsubscribe, first, known);
    channel.subscribe(change, transition.as_deref());
    if first {
        welcome_back(stream, resource_type, request);
    }
}

/// The first message of a type tells what the client has from an earlier stream.
fn welcome_back(stream: &mut Stream, resource_type: ResourceType, request: &DeltaDiscoveryRequest) {
    let (channel, Some(transition)) = stream.both(resource_type) else { return };
    let versions = &request.initial_resource_versions;
    for (name, version) in versions {
        channel.claim(name, ResourceVersion::read(version), transition);
    }
    if resource_type == ResourceType::Cluster {
        let held = |r: &Resource| versions.get(&**r.name()).map(|v| ResourceVersion::read(v)) == Some(r.version());
        match versions.is_empty() {
            true => transition.forget(),
            false => transition.retain_held(resource_type, held),
        }
    }
    channel.send_expected();
    if !versions.is_empty() {
        channel.owed = false;
    }
    let target = transition.target().of_type(resource_type);
    let accepted = channel.held().values().filter(|held| target.get(held.name()) == Some(held)).cloned().collect();
    stream.has_accepted(accepted);
}

/// The next response, if one is due: by type, make before break.
pub fn next_response(stream: &mut Stream, at: Moment) -> Option<Outgoing> {
    let form = Form { sotw: false, ttl: stream.abilities().ttl };
    for resource_type in stream.active() {
        let Some((channel, transition, due)) = stream.due(resource_type) else { continue };
        let target = transition.target();
        let version = target.label_of(resource_type).map(str::to_owned);
        let version = version.unwrap_or_else(|| target.version_of(resource_type).to_string());
        if due.is_empty() && !channel.owed {
            let beat = channel.take_heartbeat(transition, at.now);
            if beat.is_empty() || !form.ttl {
                continue;
            }
            let resources = outgoing::heartbeat(&beat, form);
            let nonce = channel.send(beat, Vec::new(), transition);
            return Some(Outgoing::delta(resource_type, &version, nonce, resources, &[]));
        }
        let resources = outgoing::resources(&due.changed, form, target);
        let removed = due.removed.clone();
        let nonce = channel.send(due.changed.clone(), due.removed, transition);
        stream.send_children_again(&due.changed);
        return Some(Outgoing::delta(resource_type, &version, nonce, resources, &removed));
    }
    None
}

#[cfg(test)]
mod tests;
