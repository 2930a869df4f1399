//! State of the world: requests in, responses out, without I/O.
//!
//! PURE. Behaviours 14 to 18: clusters and listeners always come as the full state; of other types only what changed;
//! what rests on a stale nonce gets no answer.

use std::sync::Arc;

use super::channel::Answer;
use super::outgoing::{self, Form, Outgoing};
use super::stream::{Moment, Stream};
use super::wire::DiscoveryRequest;
use super::{Resource, ResourceType, ResourceVersion, Snapshot};

/// Takes a request of a known type.
pub fn on_request(stream: &mut Stream, resource_type: ResourceType, request: &DiscoveryRequest, at: Moment) {
    let first = !stream.channel(resource_type).subscription.is_active();
    match stream.answer(resource_type, &request.response_nonce, request.error_detail.as_ref(), at) {
        Answer::Stale if !first => return,
        // On a new stream a nonce is left over from the one before.
        Answer::Stale | Answer::Spontaneous | Answer::Current => {}
    }
    let (channel, transition) = stream.both(resource_type);
    let change = channel.subscription.replace(&request.resource_names);
    channel.subscribe(change, transition.as_deref());
    if first {
        channel.send_expected();
        // Not even a client without a version has nothing: of a response that it rejected it may have a part.
        channel.untold = true;
        welcome_back(stream, resource_type, &request.version_info);
    }
}

/// The first request for clusters tells which of the earlier snapshots the client comes from: that one's clusters stay
/// until its routes have moved.
///
/// It does not tell what the client has. A response that it rejected may have been applied in part, and then it still
/// names the version before. So nothing counts as held and everything is sent: what is the same changes nothing there.
fn welcome_back(stream: &mut Stream, resource_type: ResourceType, version: &str) {
    let (channel, Some(transition)) = stream.both(resource_type) else { return };
    if resource_type != ResourceType::Cluster || !channel.subscription.is_wildcard() {
        return;
    }
    if version.is_empty() {
        transition.forget();
    } else {
        let hash = ResourceVersion::read(version);
        transition.retain_only(|snapshot| {
            snapshot.version_of(ResourceType::Cluster) == hash
                || snapshot.label_of(ResourceType::Cluster) == Some(version)
        });
        let target = Arc::clone(transition.target());
        if target.version_of(ResourceType::Cluster) == hash {
            stream.has_accepted(target.of_type(ResourceType::Cluster).values().cloned().collect());
        }
    }
}

/// The next response, if one is due: by type, make before break.
pub fn next_response(stream: &mut Stream, at: Moment) -> Option<Outgoing> {
    let form = Form { sotw: true, ttl: stream.abilities().ttl_in_sotw };
    for resource_type in stream.active() {
        let Some((channel, transition, due)) = stream.due(resource_type) else { continue };
        let is_due = !due.is_empty() || channel.owed;
        let (carried, removed) = if resource_type.is_full_state() && is_due {
            let whole = channel.whole(transition);
            // A full state takes away what is not in it, whatever the phase; and of what was asked for and is not there it
            // has no other word.
            let mut removed = channel.held_beside(&whole);
            removed.extend(due.removed);
            removed.sort();
            removed.dedup();
            (whole, removed)
        } else {
            channel.assume_removed(due.removed);
            channel.owed = false;
            (due.changed.clone(), Vec::new())
        };
        if carried.is_empty() && !(resource_type.is_full_state() && is_due) {
            let beat = channel.take_heartbeat(transition, at.now);
            if beat.is_empty() || !form.ttl {
                continue;
            }
            let target = transition.target();
            let version = version_of(target, resource_type, &channel.whole(transition));
            let resources = outgoing::heartbeat(&beat, form);
            let nonce = channel.send(beat, Vec::new(), transition);
            return Some(Outgoing::sotw(resource_type, &version, nonce, resources));
        }
        let target = transition.target();
        let version = match resource_type.is_full_state() {
            true => version_of(target, resource_type, &carried),
            false => version_of(target, resource_type, &channel.whole(transition)),
        };
        let resources = outgoing::resources(&carried, form, target);
        let nonce = channel.send(carried, removed, transition);
        stream.send_children_again(&due.changed);
        return Some(Outgoing::sotw(resource_type, &version, nonce, resources));
    }
    None
}

/// The version of what the client is to have, all in all: the snapshot's own, when that is it.
fn version_of(snapshot: &Snapshot, resource_type: ResourceType, whole: &[Resource]) -> String {
    if whole.iter().eq(snapshot.of_type(resource_type).values()) {
        let own = snapshot.label_of(resource_type).map(str::to_owned);
        return own.unwrap_or_else(|| snapshot.version_of(resource_type).to_string());
    }
    ResourceVersion::of_set(whole.iter().map(|r| (&**r.name(), r.mark()))).to_string()
}

#[cfg(test)]
mod tests;
