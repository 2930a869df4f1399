//! What one client has of one type, as far as it said so.
//!
//! PURE. Owns the bookkeeping that both variants of the protocol share: what is held, what is on its way, what was
//! rejected. Invariants: nothing is held before its acknowledgement; a rejected version of a resource is not due again;
//! at most one response is on its way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use imbl::OrdMap;

use super::name::Glob;
use super::subscription::{Change, Subscription};
use super::transition::{Offer, Transition};
use super::{Rejection, Resource, ResourceSet, ResourceType, ResourceVersion, Snapshot, SyncState};

mod due;
mod standing;

pub use due::Due;

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
    /// What it has acknowledged. Once it has all that is offered, this *is* the snapshot's own map, and costs nothing.
    held: ResourceSet,
    held_version: ResourceVersion,
    /// Names under which it has something that no snapshot at hand knows.
    foreign: BTreeSet<Arc<str>>,
    /// State of the world: the client does not name what it has from an earlier stream.
    pub untold: bool,
    /// Held (or foreign), but a response that touched it was rejected: it may or may not have been applied.
    uncertain: BTreeSet<Arc<str>>,
    /// To be sent although it is held: names of resources, or names asked for that lead to none.
    resend: BTreeSet<Arc<str>>,
    /// Of parents that were sent anew before the client asked for this type at all.
    expected: BTreeSet<Arc<str>>,
    /// Subscribed by name, leads to nothing, and the client knows.
    known_absent: BTreeSet<Arc<str>>,
    /// An answer is owed even if it has nothing in it.
    pub owed: bool,
    in_flight: Option<InFlight>,
    /// What the client said no to and in what words, for as long as the stream lives.
    rejected: OrdMap<(Arc<str>, ResourceVersion), Arc<Rejection>>,
    rejection: Option<Rejection>,
    /// There is a rejection that was not told yet.
    rejected_anew: bool,
    next_nonce: u64,
    sent: Option<ResourceVersion>,
    in_force: Option<(ResourceVersion, Instant)>,
    state: (SyncState, Option<SystemTime>),
    /// The status that was told last, as far as it is worth telling.
    told: Option<standing::Told>,
    /// When to tell the client again that what it is to forget after a time is still so.
    heartbeat: Option<Instant>,
}

/// A response that was not answered yet.
#[derive(Debug)]
struct InFlight {
    /// `version_of` the target it was made for.
    target: ResourceVersion,
    /// All that is in it.
    carried: Arc<[Resource]>,
    /// Whether the client did not have each in that version, or for sure. Empty when that is so of all.
    news: Vec<bool>,
    removed: Vec<Arc<str>>,
}

impl InFlight {
    fn news(&self) -> impl Iterator<Item = &Resource> {
        let is_news = |at: usize| self.news.is_empty() || self.news[at];
        self.carried.iter().enumerate().filter(move |(at, _)| is_news(*at)).map(|(_, resource)| resource)
    }
}

/// What an acknowledgement or a rejection brought.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the client was given that it did not have in that version: accepted, or rejected.
    pub news: Vec<Resource>,
    /// Whether it has a name that it did not have before.
    pub gained: bool,
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
            held: ResourceSet::new(),
            held_version: ResourceVersion::NOTHING,
            foreign: BTreeSet::new(),
            untold: false,
            uncertain: BTreeSet::new(),
            resend: BTreeSet::new(),
            expected: BTreeSet::new(),
            known_absent: BTreeSet::new(),
            owed: false,
            in_flight: None,
            rejected: OrdMap::new(),
            rejection: None,
            rejected_anew: false,
            next_nonce: 0,
            sent: None,
            in_force: None,
            state: (SyncState::NotSent, None),
            told: None,
            heartbeat: None,
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
            nonce if self.next_nonce > 0 && nonce.parse() == Ok(self.next_nonce - 1) => Answer::Current,
            _ => Answer::Stale,
        }
    }

    /// Takes note of what a request changed in the subscription.
    pub fn subscribe(&mut self, change: Change, transition: Option<&Transition>) {
        let offer = transition.map(|transition| transition.offer(self.resource_type));
        let leads_to = |name: &Arc<str>| offer.and_then(|offer| offer.find(name)).map(|r| Arc::clone(r.name()));
        for name in change.dropped {
            let resource = leads_to(&name).unwrap_or_else(|| Arc::clone(&name));
            self.known_absent.remove(&name);
            self.resend.remove(&name);
            if self.is_covered(&resource, offer) {
                // Behaviour 24: still covered by the wildcard, and the client wants to know where it stands.
                self.resend.insert(resource);
            } else {
                self.forget(&resource);
            }
            if Glob::parse(&name).is_some() {
                self.forget_uncovered();
            }
        }
        if change.wildcard_dropped {
            self.forget_uncovered();
        }
        for name in change.asked {
            self.known_absent.remove(&name);
            if let Some(glob) = Glob::parse(&name) {
                let all = offer.into_iter().flat_map(|offer| offer.iter());
                let members = all.map(Resource::name).filter(|member| glob.matches(member));
                self.resend.extend(members.cloned());
            }
            self.resend.insert(leads_to(&name).unwrap_or(name));
        }
        self.owed |= change.wildcard_added;
    }

    fn is_covered(&self, name: &str, offer: Option<Offer<'_>>) -> bool {
        let resource = self.held.get(name).or_else(|| offer.and_then(|offer| offer.get(name)));
        resource.map_or_else(|| self.subscription.covers_name(name), |resource| self.subscription.covers(resource))
    }

    fn forget_uncovered(&mut self) {
        // The client lets go of what is on its way, too: it must be sent again when it is asked for again.
        if let Some(sent) = &mut self.in_flight {
            let is_news = |at: usize| sent.news.is_empty() || sent.news[at];
            let covered = sent.carried.iter().enumerate().filter(|(_, resource)| self.subscription.covers(resource));
            let (carried, news): (Vec<Resource>, Vec<bool>) =
                covered.map(|(at, resource)| (resource.clone(), is_news(at))).unzip();
            (sent.carried, sent.news) = (carried.into(), news);
        }
        let gone = self.held.values().filter(|resource| !self.subscription.covers(resource)).map(Resource::name);
        let foreign = self.foreign.iter().filter(|name| !self.subscription.covers_name(name));
        for name in gone.chain(foreign).cloned().collect::<Vec<_>>() {
            self.forget(&name);
        }
    }

    fn forget(&mut self, name: &str) {
        self.lose(name);
        self.resend.remove(name);
        self.known_absent.remove(name);
    }

    /// The client does not have it any more.
    fn lose(&mut self, name: &str) {
        if let Some(gone) = self.held.remove(name) {
            self.held_version = self.held_version.without(name, gone.mark());
        }
        self.foreign.remove(name);
        self.uncertain.remove(name);
    }

    /// The client has it.
    fn gain(&mut self, resource: Resource) {
        self.lose(&resource.name().clone());
        self.held_version = self.held_version.with(resource.name(), resource.mark());
        self.held.insert(Arc::clone(resource.name()), resource);
    }

    /// A client that comes back says what it has (behaviour 21). What it has in the version that it should have need not
    /// be sent, although it names it.
    pub fn claim(&mut self, name: &str, version: ResourceVersion, transition: &Transition) {
        let same = |resource: &&Resource| resource.version() == version;
        match transition.versions(self.resource_type, name).find(same).cloned() {
            Some(resource) => {
                if transition.target().get(self.resource_type, name).is_some_and(|wanted| same(&wanted)) {
                    self.resend.remove(name);
                }
                self.gain(resource);
            }
            None => {
                self.lose(name);
                self.foreign.insert(name.into());
            }
        }
    }

    /// Adds to what is sent although it is held, if the client has it, or may yet say that it has it.
    pub fn send_again(&mut self, name: &Arc<str>) {
        if !self.subscription.is_active() {
            self.expected.insert(Arc::clone(name));
            return;
        }
        let carried = self.in_flight.as_ref().is_some_and(|sent| sent.carried.iter().any(|r| r.name() == name));
        if self.has_something(name) || carried {
            self.resend.insert(Arc::clone(name));
        }
    }

    /// The client has said what it has: what its parents need all the same is sent.
    pub fn send_expected(&mut self) {
        for name in std::mem::take(&mut self.expected) {
            self.send_again(&name);
        }
    }

    /// How many names are remembered that the client chose.
    pub fn remembered(&self) -> usize {
        self.subscription.names().len() + self.resend.len() + self.foreign.len()
    }

    /// Whether a response is on its way.
    pub fn is_waiting(&self) -> bool {
        self.in_flight.is_some()
    }

    /// What the client has acknowledged and not lost since.
    pub fn held(&self) -> &ResourceSet {
        &self.held
    }

    fn has_something(&self, name: &str) -> bool {
        self.held.contains_key(name) || self.foreign.contains(name)
    }

    /// Whether the client has a resource, in whatever version, and it is not being taken away.
    pub fn holds(&self, name: &str) -> bool {
        let leaving = self.in_flight.as_ref().is_some_and(|sent| sent.removed.iter().any(|gone| **gone == *name));
        let foreign = self.foreign.contains(name) && !self.uncertain.contains(name);
        !leaving && (self.held.contains_key(name) || foreign)
    }

    /// What the client has for sure.
    fn holds_surely(&self, name: &str) -> Option<&Resource> {
        self.held.get(name).filter(|_| !self.uncertain.contains(name))
    }

    /// Whether the client has what is offered under a name, if it asked for it.
    pub fn is_current(&self, name: &str, transition: &Transition) -> bool {
        let Some(offered) = transition.offer(self.resource_type).get(name) else { return true };
        !self.subscription.covers(offered) || (self.holds(name) && self.holds_surely(name) == Some(offered))
    }

    /// Whether the client goes on with what it has under a name because it rejected what is offered: there is nothing to
    /// wait for.
    pub fn is_refused(&self, name: &str, transition: &Transition) -> bool {
        let offered = transition.offer(self.resource_type).get(name);
        self.holds(name) && offered.is_some_and(|offered| self.rejects(offered))
    }

    /// Whether a version of a resource was rejected.
    pub fn rejects(&self, resource: &Resource) -> bool {
        // Most streams reject nothing, ever.
        !self.rejected.is_empty() && self.rejected.contains_key(&(Arc::clone(resource.name()), resource.version()))
    }

    /// Whether something of the target was rejected, and the client has that of an older snapshot in its place.
    pub fn relies_on(&self, old: &Snapshot, target: &Snapshot) -> bool {
        let of = |snapshot: &Snapshot, name: &str| snapshot.get(self.resource_type, name).map(Resource::version);
        self.rejected.keys().any(|(name, version)| {
            let last_good = self.held.get(name).map(Resource::version);
            of(target, name) == Some(*version) && last_good.is_some() && of(old, name) == last_good
        })
    }

    /// What was missing for it has come: what was rejected may be right now.
    pub fn reconsider(&mut self) {
        self.rejected.clear();
    }

    /// State of the world has no word for what is not there, outside of a full state: the client is taken to know.
    pub fn assume_removed(&mut self, names: Vec<Arc<str>>) {
        for name in names {
            self.lose(&name);
            self.resend.remove(&name);
            if self.subscription.names().contains(&name) {
                self.known_absent.insert(name);
            }
        }
    }

    /// Takes note of a response and returns its nonce.
    pub fn send(&mut self, carried: Vec<Resource>, removed: Vec<Arc<str>>, transition: &Transition) -> u64 {
        let nonce = self.next_nonce;
        self.next_nonce += 1;
        let mut news: Vec<bool> = carried.iter().map(|r| self.holds_surely(r.name()) != Some(r)).collect();
        for name in carried.iter().map(Resource::name).chain(&removed) {
            self.resend.remove(name);
        }
        if news.iter().all(|is_news| *is_news) {
            news = Vec::new();
        }
        let changes = !carried.is_empty() && (news.is_empty() || news.contains(&true));
        let target = transition.target().version_of(self.resource_type);
        self.owed = false;
        self.sent = Some(target);
        if changes || !removed.is_empty() {
            self.in_force = None;
        }
        self.in_flight = Some(InFlight { target, carried: carried.into(), news, removed });
        nonce
    }

    /// The client said yes.
    pub fn acknowledge(&mut self) -> Option<Outcome> {
        let sent = self.in_flight.take()?;
        let news: Vec<Resource> = sent.news().cloned().collect();
        let gained = news.iter().any(|resource| !self.has_something(resource.name()));
        for resource in sent.carried.iter() {
            self.known_absent.remove(resource.name());
            // It may have unsubscribed while the response was on its way.
            if self.subscription.covers(resource) {
                for alias in resource.aliases() {
                    self.known_absent.remove(alias);
                }
                if self.holds_surely(resource.name()) != Some(resource) {
                    self.gain(resource.clone());
                }
            }
        }
        self.assume_removed(sent.removed);
        Some(Outcome { news, gained })
    }

    /// The client said no. What it names, or else all that was new to it, is not sent again; what else was in the
    /// response may or may not have been applied. Returns what was rejected.
    pub fn reject(&mut self, text: &str, at: SystemTime) -> Option<(Rejection, Outcome)> {
        let sent = self.in_flight.take()?;
        let mut suspects: Vec<Resource> = sent.news().cloned().collect();
        if suspects.is_empty() {
            suspects = sent.carried.to_vec();
        }
        let named: Vec<Resource> = suspects.iter().filter(|r| mentions(text, r.name())).cloned().collect();
        let culprits = if named.is_empty() { suspects.clone() } else { named.clone() };
        if self.rejected.len() >= REJECTED_KEPT {
            // A client that rejects without end: it may be asked again now and then.
            self.rejected.clear();
        }
        for suspect in &suspects {
            let name = suspect.name();
            let perhaps_applied = named.is_empty() || !named.contains(suspect);
            if (perhaps_applied || self.untold) && !self.has_something(name) {
                // New to the client, and perhaps applied, or else there in an older version that nobody here knows of: it
                // must be removed if it is not to be there.
                self.foreign.insert(Arc::clone(name));
            }
            if self.has_something(name) {
                self.uncertain.insert(Arc::clone(name));
            }
        }
        self.uncertain.extend(
            sent.removed.into_iter().filter(|name| self.held.contains_key(name) || self.foreign.contains(name)),
        );
        self.in_force = None;
        let kept = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= TEXT_KEPT).last().unwrap_or(0);
        let text = if text.len() <= TEXT_KEPT { text.to_owned() } else { format!("{}…", &text[..kept]) };
        let resources = culprits.iter().map(|resource| resource.name().to_string()).collect();
        let rejection = Rejection { version: sent.target, resources, text, at };
        let words = Arc::new(rejection.clone());
        self.rejected.extend(culprits.iter().map(|r| ((Arc::clone(r.name()), r.version()), Arc::clone(&words))));
        self.rejection = Some(rejection.clone());
        self.rejected_anew = true;
        Some((rejection, Outcome { news: culprits, gained: false }))
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
