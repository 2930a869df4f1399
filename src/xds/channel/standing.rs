//! How far the client has come, of one type: in sync, in force, and when it is to hear again of what it is to forget.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Channel;
use crate::xds::transition::Transition;
use crate::xds::{Resource, ResourceVersion, Snapshot, SyncState, TypeStatus};

/// Times to live below a fifth of a second are not for heartbeats.
const SHORTEST_BEAT: Duration = Duration::from_millis(100);

/// What makes a status worth telling anew.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    state: SyncState,
    in_force: Option<(ResourceVersion, Instant)>,
    is_rejecting: bool,
    names: usize,
    wildcard: bool,
    next_nonce: u64,
    is_waiting: bool,
}

impl Channel {
    /// Whether the client has acknowledged all that it asked for of what is offered.
    pub fn is_synced(&self, transition: &Transition) -> bool {
        if !self.subscription.is_active() {
            return true;
        }
        let offer = transition.offer(self.resource_type);
        let barred = self.bars(|name| offer.get(name));
        self.in_flight.is_none() && !barred && self.due(transition).is_empty()
    }

    /// Whether anything that the client asked for is what it rejected.
    fn bars<'a>(&self, wanted: impl Fn(&str) -> Option<&'a Resource>) -> bool {
        self.rejected
            .keys()
            .any(|(name, version)| wanted(name).is_some_and(|r| r.version() == *version && self.subscription.covers(r)))
    }

    /// Brings the status up to date. `intended` is what the client is to have in the end, of which the transition's target
    /// may be a part. Returns whether it is another one.
    pub fn refresh(&mut self, way: Option<(&Transition, &Snapshot)>, now: Instant, wall: SystemTime) -> bool {
        let of = self.resource_type;
        let synced = way.is_some_and(|(t, _)| self.is_synced(t) && t.offers_target(of));
        if let Some((transition, _)) = way {
            self.share(transition);
            self.schedule_heartbeat(transition, now);
            let version = transition.target().version_of(of);
            if synced && self.in_force.is_none_or(|(held, _)| held != version) {
                self.in_force = Some((version, now));
            }
        }
        let barred = way.is_some_and(|(_, intended)| self.bars(|name| intended.get(of, name)));
        let whole = way.is_some_and(|(t, intended)| t.target().version_of(of) == intended.version_of(of));
        if synced && whole {
            self.rejection = None;
        }
        let state = match (synced && whole, barred) {
            (true, _) => SyncState::Synced,
            (false, true) => SyncState::Nacked,
            (false, false) if self.sent.is_none() && self.held.is_empty() => SyncState::NotSent,
            (false, false) => SyncState::Stale,
        };
        if self.state.0 != state || self.state.1.is_none() {
            self.state = (state, Some(wall));
        }
        let newest = Some(Told {
            state,
            in_force: self.in_force,
            is_rejecting: self.rejection.is_some(),
            names: self.subscription.names().len(),
            wildcard: self.subscription.is_wildcard(),
            next_nonce: self.next_nonce,
            is_waiting: self.is_waiting(),
        });
        let is_other = self.told != newest;
        self.told = newest;
        std::mem::take(&mut self.rejected_anew) || is_other
    }

    /// A client that has all of a snapshot needs no map of its own.
    fn share(&mut self, transition: &Transition) {
        if let Some(snapshot) = transition.offer(self.resource_type).sole()
            && snapshot.version_of(self.resource_type) == self.held_version
        {
            let main = snapshot.of_type(self.resource_type);
            if !self.held.ptr_eq(main) {
                self.held = main.clone();
            }
        }
    }

    /// How it stands.
    pub fn status(&self) -> TypeStatus {
        TypeStatus {
            state: self.state.0,
            sent: self.sent,
            in_force: self.in_force,
            changed_at: self.state.1,
            rejection: self.rejection.clone(),
            subscription: self.subscription.clone(),
            held: self.held.clone(),
            on_its_way: self.in_flight.as_ref().map(|sent| Arc::clone(&sent.carried)).unwrap_or_default(),
            rejected: self.rejected.clone(),
        }
    }

    /// What the client has and is to forget after a time, and how often it is to hear of it.
    fn mortal(&self, transition: &Transition) -> Option<(Vec<Resource>, Duration)> {
        let mortal = transition.offer(self.resource_type).snapshot()?.mortal(self.resource_type);
        let held: Vec<Resource> = mortal.keys().filter_map(|name| self.held.get(name)).cloned().collect();
        let shortest = held.iter().filter_map(Resource::ttl).min()?;
        Some((held, (shortest / 2).max(SHORTEST_BEAT)))
    }

    fn schedule_heartbeat(&mut self, transition: &Transition, now: Instant) {
        match self.mortal(transition) {
            None => self.heartbeat = None,
            Some((_, beat)) if self.heartbeat.is_none() => self.heartbeat = Some(now + beat),
            Some(_) => {}
        }
    }

    /// When the client is to hear again. A response on its way is waited for.
    pub fn heartbeat_at(&self) -> Option<Instant> {
        self.heartbeat.filter(|_| self.in_flight.is_none())
    }

    /// What the client is to hear of again now. Nothing while a response is on its way.
    pub fn take_heartbeat(&mut self, transition: &Transition, now: Instant) -> Vec<Resource> {
        if self.in_flight.is_some() || self.heartbeat.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.heartbeat = None;
        let Some((held, beat)) = self.mortal(transition) else { return Vec::new() };
        self.heartbeat = Some(now + beat);
        held
    }
}
