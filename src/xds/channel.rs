//! What one client has of one type, as far as it said so.
//!
//! PURE. Owns the bookkeeping that both variants of the protocol share: what is held, what is on its way, what was
//! rejected. Invariants: nothing is held before its acknowledgement; a rejected version of a resource is not due again;
//! at most one response is on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::subscription::{Change, Subscription};
use super::transition::Transition;
use super::{Rejection, Resource, ResourceType, ResourceVersion, Snapshot, SyncState, TypeStatus};

/// How much of a rejection's text is kept.
const TEXT_KEPT: usize = 4096;
/// How many rejected versions are remembered on a stream.
const REJECTED_KEPT: usize = 4096;

/// One type on one stream.
#[derive(Debug)]
pub struct Channel {
    resource_type: ResourceType,
    /// What the client asked for.
    pub subscription: Subscription,
    /// What it has acknowledged. A client that comes back may have versions that are no hash of ours.
    held: BTreeMap<Arc<str>, Option<ResourceVersion>>,
    /// Held, but a response that touched it was rejected: it may or may not have been applied.
    uncertain: BTreeSet<Arc<str>>,
    /// To be sent although it is held.
    resend: BTreeSet<Arc<str>>,
    /// Subscribed by name, does not exist, and the client knows.
    known_absent: BTreeSet<Arc<str>>,
    /// An answer is owed even if it has nothing in it.
    pub owed: bool,
    in_flight: Option<InFlight>,
    /// What the client said no to, for as long as the stream lives.
    rejected: BTreeSet<(Arc<str>, ResourceVersion)>,
    rejection: Option<Rejection>,
    /// There is a rejection that was not told yet.
    rejected_anew: bool,
    next_nonce: u64,
    sent: Option<ResourceVersion>,
    in_force: Option<(ResourceVersion, Instant)>,
    state: (SyncState, Option<SystemTime>),
}

/// A response that was not answered yet.
#[derive(Debug)]
struct InFlight {
    /// `version_of` the target it was made for.
    target: ResourceVersion,
    /// All that is in it.
    carried: Vec<(Arc<str>, ResourceVersion)>,
    /// Those of them that the client did not have in that version, or for sure.
    news: Vec<(Arc<str>, ResourceVersion)>,
    removed: Vec<Arc<str>>,
}

/// What is to be sent.
#[derive(Debug, Default)]
pub struct Due {
    /// New, changed, or asked for again.
    pub changed: Vec<Resource>,
    /// Held or asked for by name, and not there.
    pub removed: Vec<Arc<str>>,
}

/// What a request says of the response it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: it has no nonce.
    Spontaneous,
    /// It is about a response that was superseded, or is none of ours.
    Stale,
    /// It answers the newest response (or repeats that).
    Current,
}

impl Channel {
    /// Of a type that was not asked for yet.
    pub fn new(resource_type: ResourceType) -> Self {
        Self {
            resource_type,
            subscription: Subscription::default(),
            held: BTreeMap::new(),
            uncertain: BTreeSet::new(),
            resend: BTreeSet::new(),
            known_absent: BTreeSet::new(),
            owed: false,
            in_flight: None,
            rejected: BTreeSet::new(),
            rejection: None,
            rejected_anew: false,
            next_nonce: 0,
            sent: None,
            in_force: None,
            state: (SyncState::NotSent, None),
        }
    }

    /// The type.
    pub fn resource_type(&self) -> ResourceType {
        self.resource_type
    }

    /// What a request's nonce makes of it.
    pub fn classify(&self, nonce: &str) -> Answer {
        match nonce {
            "" => Answer::Spontaneous,
            nonce if self.next_nonce > 0 && nonce == (self.next_nonce - 1).to_string() => Answer::Current,
            _ => Answer::Stale,
        }
    }

    /// Takes note of what a request changed in the subscription.
    pub fn subscribe(&mut self, change: Change) {
        for name in change.dropped {
            if !self.subscription.covers(&name) {
                self.forget(&name);
            } else {
                // Behaviour 24: still covered by the wildcard, and the client wants to know where it stands.
                self.known_absent.remove(&name);
                self.resend.insert(name);
            }
        }
        for name in change.asked {
            self.known_absent.remove(&name);
            self.resend.insert(name);
        }
        self.owed |= change.wildcard_added;
    }

    fn forget(&mut self, name: &str) {
        self.held.remove(name);
        self.uncertain.remove(name);
        self.resend.remove(name);
        self.known_absent.remove(name);
    }

    /// A client that comes back says what it has (behaviour 21). What it has in the version that it should have need not
    /// be sent, although it names it.
    pub fn claim(&mut self, name: &str, version: Option<ResourceVersion>, wanted: Option<ResourceVersion>) {
        if version.is_some() && version == wanted {
            self.resend.remove(name);
        }
        self.held.insert(name.into(), version);
    }

    /// Adds to what is sent although it is held, if the client has it.
    pub fn send_again(&mut self, name: &Arc<str>) {
        let carried = self.in_flight.as_ref().is_some_and(|sent| sent.carried.iter().any(|(n, _)| n == name));
        if self.held.contains_key(name) || carried {
            self.resend.insert(Arc::clone(name));
        }
    }

    /// How many names are remembered that the client chose.
    pub fn remembered(&self) -> usize {
        self.subscription.names().len() + self.resend.len()
    }

    /// Whether a response is on its way.
    pub fn is_waiting(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether the client has a resource, in whatever version, and it is not being taken away.
    pub fn holds(&self, name: &str) -> bool {
        let leaving = self.in_flight.as_ref().is_some_and(|sent| sent.removed.iter().any(|gone| **gone == *name));
        !leaving && self.held.get(name).is_some_and(|version| version.is_some() || !self.uncertain.contains(name))
    }

    /// The version the client has for sure.
    fn holds_version(&self, name: &str) -> Option<ResourceVersion> {
        if self.uncertain.contains(name) { None } else { self.held.get(name).copied().flatten() }
    }

    /// Whether the client has what is offered under a name, if it asked for it.
    pub fn is_current(&self, name: &str, transition: &Transition) -> bool {
        let offered = transition.get(self.resource_type, name).map(Resource::version);
        !self.subscription.covers(name)
            || offered.is_none()
            || (self.holds(name) && self.holds_version(name) == offered)
    }

    /// Whether the client goes on with what it has under a name because it rejected what is offered: there is nothing to
    /// wait for.
    pub fn is_refused(&self, name: &str, transition: &Transition) -> bool {
        self.holds(name) && transition.get(self.resource_type, name).is_some_and(|offered| self.rejects(offered))
    }

    /// Whether a version of a resource was rejected.
    pub fn rejects(&self, resource: &Resource) -> bool {
        // Most streams reject nothing, ever.
        !self.rejected.is_empty() && self.rejected.contains(&(Arc::clone(resource.name()), resource.version()))
    }

    /// Whether anything that the client asked for and should have is what it rejected.
    fn is_barred(&self, transition: &Transition) -> bool {
        let offered = |name: &Arc<str>| transition.get(self.resource_type, name).map(Resource::version);
        self.rejected.iter().any(|(name, version)| self.subscription.covers(name) && offered(name) == Some(*version))
    }

    /// Whether something of the target was rejected, and the client has that of an older snapshot in its place.
    pub fn relies_on(&self, old: &Snapshot, target: &Snapshot) -> bool {
        let of = |snapshot: &Snapshot, name: &str| snapshot.get(self.resource_type, name).map(Resource::version);
        self.rejected.iter().any(|(name, version)| {
            let last_good = self.held.get(name).copied().flatten();
            of(target, name) == Some(*version) && last_good.is_some() && of(old, name) == last_good
        })
    }

    /// What was missing for it has come: what was rejected may be right now.
    pub fn reconsider(&mut self) {
        self.rejected.clear();
    }

    /// What is to be sent. Nothing while a response is on its way.
    pub fn due(&self, transition: &Transition) -> Due {
        if self.in_flight.is_some() || !self.subscription.is_active() {
            return Due::default();
        }
        let offered = transition.offered(self.resource_type);
        let wanted = |name: &str, resource: &Resource| {
            self.subscription.covers(name)
                && !self.rejects(resource)
                && (self.holds_version(name) != Some(resource.version()) || self.resend.contains(name))
        };
        let changed = offered.iter().filter(|(name, r)| wanted(name, r)).map(|(_, r)| (*r).clone()).collect();
        if !transition.may_remove(self.resource_type) {
            return Due { changed, removed: self.never_there(transition).collect() };
        }
        let gone = |name: &&Arc<str>| !offered.contains_key(*name);
        let mut removed: Vec<Arc<str>> = self.held.keys().filter(gone).cloned().collect();
        let named = self.subscription.names().iter().chain(&self.resend);
        removed.extend(named.filter(gone).filter(|name| !self.known_absent.contains(*name)).cloned());
        removed.sort();
        removed.dedup();
        Due { changed, removed }
    }

    /// In mid-way: names of endpoints that are asked for and exist in no snapshot: to say so ends their warming at once.
    fn never_there(&self, transition: &Transition) -> impl Iterator<Item = Arc<str>> {
        let applies = self.resource_type == ResourceType::Endpoint;
        let absent = move |name: &&Arc<str>| {
            applies
                && transition.get(ResourceType::Endpoint, name).is_none()
                && !self.held.contains_key(*name)
                && !self.known_absent.contains(*name)
        };
        self.subscription.names().iter().filter(absent).cloned()
    }

    /// All that the client should have of what it asked for: of what it rejected, the version that it has.
    pub fn whole<'a>(&self, transition: &'a Transition) -> Vec<&'a Resource> {
        let offered = transition.offered(self.resource_type).into_iter();
        offered
            .filter(|(name, _)| self.subscription.covers(name))
            .filter_map(|(name, resource)| {
                if !self.rejects(resource) {
                    return Some(resource);
                }
                let last_good = self.held.get(name).copied().flatten();
                let mut versions = transition.versions(self.resource_type, name);
                let known = versions.find(|older| Some(older.version()) == last_good);
                // Of a client that came back it may not be known: an older version that it did not reject is better
                // than to take the resource away from it.
                known.or_else(|| transition.versions(self.resource_type, name).find(|older| !self.rejects(older)))
            })
            .collect()
    }

    /// What the client has, or asked for by name, that is not among these.
    pub fn held_beside(&self, whole: &[&Resource]) -> Vec<Arc<str>> {
        let there: BTreeSet<&Arc<str>> = whole.iter().map(|resource| resource.name()).collect();
        let names = self.held.keys().chain(self.subscription.names());
        let beside: BTreeSet<&Arc<str>> = names.filter(|name| !there.contains(name)).collect();
        beside.into_iter().cloned().collect()
    }

    /// State of the world has no word for what is not there, outside of a full state: the client is taken to know.
    pub fn assume_removed(&mut self, names: Vec<Arc<str>>) {
        for name in names {
            self.held.remove(&name);
            self.uncertain.remove(&name);
            self.resend.remove(&name);
            if self.subscription.names().contains(&name) {
                self.known_absent.insert(name);
            }
        }
    }

    /// Takes note of a response and returns its nonce.
    pub fn send(&mut self, carried: &[&Resource], removed: Vec<Arc<str>>, transition: &Transition) -> String {
        let nonce = self.next_nonce;
        self.next_nonce += 1;
        let pair = |r: &&Resource| (Arc::clone(r.name()), r.version());
        let news = carried.iter().filter(|r| self.holds_version(r.name()) != Some(r.version())).map(pair).collect();
        let carried: Vec<_> = carried.iter().map(pair).collect();
        for (name, _) in &carried {
            self.resend.remove(name);
        }
        for name in &removed {
            self.resend.remove(name);
        }
        let in_flight = InFlight { target: transition.target().version_of(self.resource_type), carried, news, removed };
        self.owed = false;
        self.sent = Some(in_flight.target);
        if !in_flight.news.is_empty() || !in_flight.removed.is_empty() {
            self.in_force = None;
        }
        self.in_flight = Some(in_flight);
        nonce.to_string()
    }

    /// The client said yes. Returns whether it has something that it did not have before.
    pub fn acknowledge(&mut self) -> bool {
        let Some(sent) = self.in_flight.take() else { return false };
        let gained = sent.news.iter().any(|(name, _)| !self.held.contains_key(name));
        for (name, version) in sent.carried {
            // It may have unsubscribed while the response was on its way.
            if self.subscription.covers(&name) {
                self.uncertain.remove(&name);
                self.known_absent.remove(&name);
                self.held.insert(name, Some(version));
            }
        }
        self.assume_removed(sent.removed);
        gained
    }

    /// The client said no. What it names, or else all that was new to it, is not sent again; what else was in the
    /// response may or may not have been applied.
    pub fn reject(&mut self, text: &str, at: SystemTime) -> Option<&Rejection> {
        let sent = self.in_flight.take()?;
        let suspects = if sent.news.is_empty() { sent.carried } else { sent.news };
        let named: Vec<_> = suspects.iter().filter(|(name, _)| mentions(text, name)).cloned().collect();
        let culprits = if named.is_empty() { &suspects } else { &named };
        if self.rejected.len() >= REJECTED_KEPT {
            // A client that rejects without end: it may be asked again now and then.
            self.rejected.clear();
        }
        self.rejected.extend(culprits.iter().cloned());
        for (name, _) in suspects.iter().filter(|suspect| named.is_empty() || !named.contains(suspect)) {
            // New to the client, and perhaps applied: it must be removed again if it is not to be there.
            self.held.entry(Arc::clone(name)).or_insert(None);
        }
        self.uncertain.extend(suspects.iter().map(|(name, _)| Arc::clone(name)).filter(|n| self.held.contains_key(n)));
        self.uncertain.extend(sent.removed.into_iter().filter(|name| self.held.contains_key(name)));
        self.in_force = None;
        let kept = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= TEXT_KEPT).last().unwrap_or(0);
        let text = if text.len() <= TEXT_KEPT { text.to_owned() } else { format!("{}…", &text[..kept]) };
        let resources = culprits.iter().map(|(name, _)| name.to_string()).collect();
        self.rejection = Some(Rejection { version: sent.target, resources, text, at });
        self.rejected_anew = true;
        self.rejection.as_ref()
    }

    /// Whether the client has acknowledged all that it asked for of what is offered.
    pub fn is_synced(&self, transition: &Transition) -> bool {
        if !self.subscription.is_active() {
            return true;
        }
        let due = self.due(transition);
        self.in_flight.is_none() && due.changed.is_empty() && due.removed.is_empty() && !self.is_barred(transition)
    }

    /// Brings the status up to date. Returns whether it is another one.
    pub fn refresh(&mut self, transition: Option<&Transition>, now: Instant, wall: SystemTime) -> bool {
        let before = (self.state.0, self.in_force, self.rejection.is_some());
        let synced = transition.is_some_and(|t| self.is_synced(t) && t.offers_target(self.resource_type));
        if let Some(target) = transition.map(Transition::target).filter(|_| synced) {
            self.rejection = None;
            let version = target.version_of(self.resource_type);
            if self.in_force.is_none_or(|(held, _)| held != version) {
                self.in_force = Some((version, now));
            }
        }
        let barred = transition.is_some_and(|t| self.is_barred(t));
        let state = match (synced, barred) {
            (true, _) => SyncState::Synced,
            (false, true) => SyncState::Nacked,
            (false, false) if self.sent.is_none() && self.held.is_empty() => SyncState::NotSent,
            (false, false) => SyncState::Stale,
        };
        if self.state.0 != state || self.state.1.is_none() {
            self.state = (state, Some(wall));
        }
        std::mem::take(&mut self.rejected_anew) || before != (self.state.0, self.in_force, self.rejection.is_some())
    }

    /// How it stands.
    pub fn status(&self) -> TypeStatus {
        TypeStatus {
            state: self.state.0,
            sent: self.sent,
            in_force: self.in_force,
            changed_at: self.state.1,
            rejection: self.rejection.clone(),
            subscribed: self.subscription.names().len(),
            wildcard: self.subscription.is_wildcard(),
        }
    }
}

/// Whether a text has a name as a word of its own: `a/v1` is not mentioned by `a/v10`.
fn mentions(text: &str, name: &str) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || "-_./~".contains(c);
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].trim_start_matches('.').chars().next();
        !before.is_some_and(in_name) && !after.is_some_and(in_name)
    })
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn a_name_is_mentioned_only_as_a_word() {
        for (text, name, expected) in [
            ("Error adding/updating cluster(s) a/v1: bad, b: bad", "a/v1", true),
            ("Error adding/updating cluster(s) a/v1: bad, b: bad", "b", true),
            ("Error adding/updating cluster(s) a/v10: bad", "a/v1", false),
            ("unknown cluster 'a/v1'", "a/v1", true),
            ("this is about a/v1.", "a/v1", true),
            ("a/v1.2", "a/v1", false),
            ("", "a", false),
        ] {
            assert_eq!(mentions(text, name), expected, "{name} in {text}");
        }
    }
}
