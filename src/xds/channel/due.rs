//! What is to be sent to the client, of one type.
//!
//! PURE. Costs what differs between what the client has and what it is offered, not what either holds.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::ordmap::DiffItem;

use super::Channel;
use crate::xds::name::Glob;
use crate::xds::transition::{Offer, Transition};
use crate::xds::{Resource, ResourceType};

/// What is to be sent.
#[derive(Debug, Default)]
pub struct Due {
    /// New, changed, or asked for again; by name.
    pub changed: Vec<Resource>,
    /// Held or asked for by name, and not there.
    pub removed: Vec<Arc<str>>,
}

impl Due {
    /// Whether there is nothing to be sent.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
}

impl Channel {
    /// Whether the client has just what is offered, as far as a look at the versions tells.
    pub fn has_all(&self, offer: Offer<'_>) -> bool {
        self.held_version == offer.version()
            && self.uncertain.is_empty()
            && self.foreign.is_empty()
            && self.resend.is_empty()
            && self.in_flight.as_ref().is_none_or(|sent| sent.removed.is_empty())
    }

    /// What is to be sent. Nothing while a response is on its way.
    pub fn due(&self, transition: &Transition) -> Due {
        if self.in_flight.is_some() || !self.subscription.is_active() {
            return Due::default();
        }
        let offer = transition.offer(self.resource_type);
        if self.has_all(offer) && self.knows_its_names() {
            return Due::default();
        }
        let changed = self.changed(offer, transition);
        if !transition.may_remove(self.resource_type) {
            return Due { changed, removed: self.never_there(transition) };
        }
        let in_use = |name: &Arc<str>| {
            // Behaviour 34.
            matches!(self.resource_type, ResourceType::ExtensionConfig | ResourceType::Secret)
                && transition.is_in_use(self.resource_type, name)
        };
        // What another client rejected is offered to nobody, and taken from nobody.
        let is_kept = |name: &Arc<str>| self.held.get(name).is_some_and(|held| transition.is_kept(held));
        let gone = self.gone(offer).into_iter().filter(|name| !in_use(name) && !is_kept(name));
        let mut removed: Vec<Arc<str>> = gone.chain(self.leading_nowhere(offer)).collect();
        removed.sort();
        removed.dedup();
        Due { changed, removed }
    }

    /// Whether every name asked for leads to something that the client has, or is known to lead nowhere.
    fn knows_its_names(&self) -> bool {
        let names = self.subscription.names();
        let told = self.held.len() + self.known_absent.len();
        let all_told = told == names.len() && !self.subscription.is_wildcard() && !self.subscription.has_globs();
        all_told || names.iter().all(|name| self.held.contains_key(name) || self.known_absent.contains(name))
    }

    /// New, changed, or asked for again; by name.
    fn changed(&self, offer: Offer<'_>, transition: &Transition) -> Vec<Resource> {
        let is_due = |resource: &&Resource| {
            self.subscription.covers(resource)
                && !self.is_refused_by_anybody(resource, transition)
                && (self.holds_surely(resource.name()) != Some(resource) || self.resend.contains(resource.name()))
        };
        let mut changed: Vec<Resource> = Vec::new();
        let named = self.subscription.names();
        let many = self.subscription.is_wildcard() || self.subscription.has_globs();
        if many {
            let items = offer.main().map(|main| self.held.diff(main));
            let new = items.into_iter().flatten().filter_map(|item| match item {
                DiffItem::Add(_, resource) | DiffItem::Update { new: (_, resource), .. } => Some(resource),
                DiffItem::Remove(..) => None,
            });
            let again = self.uncertain.iter().chain(&self.resend).filter_map(|name| offer.get(name));
            changed.extend(new.chain(offer.extras()).chain(again).filter(is_due).cloned());
        }
        changed.extend(named.iter().filter_map(|name| offer.find(name)).filter(is_due).cloned());
        changed.sort_by(|a, b| a.name().cmp(b.name()));
        changed.dedup();
        changed
    }

    /// Whether the client said no to it, or another one did. An older snapshot, whose routes are offered until the
    /// clusters of the newest are there, may have it.
    fn is_refused_by_anybody(&self, resource: &Resource, transition: &Transition) -> bool {
        self.rejects(resource) || transition.is_barred(resource)
    }

    /// What the client has, and is not offered.
    fn gone(&self, offer: Offer<'_>) -> Vec<Arc<str>> {
        let mut gone: Vec<Arc<str>> = match offer.main() {
            Some(main) => {
                let items = self.held.diff(main).filter_map(|item| match item {
                    DiffItem::Remove(name, _) => Some(name),
                    DiffItem::Add(..) | DiffItem::Update { .. } => None,
                });
                items.filter(|name| offer.get(name).is_none()).cloned().collect()
            }
            None => self.held.keys().cloned().collect(),
        };
        gone.extend(self.foreign.iter().filter(|name| offer.get(name).is_none()).cloned());
        gone
    }

    /// Names that the client asked for, that lead nowhere, and of which it was not told so.
    fn leading_nowhere(&self, offer: Offer<'_>) -> BTreeSet<Arc<str>> {
        let leads_nowhere = |name: &&Arc<str>| match Glob::parse(name) {
            Some(glob) => !offer.iter().any(|resource| glob.matches(resource.name())),
            None => offer.find(name).is_none(),
        };
        let named = self.subscription.names().iter().chain(&self.resend);
        let untold = named.filter(|name| !self.known_absent.contains(*name) && !self.held.contains_key(*name));
        untold.filter(leads_nowhere).cloned().collect()
    }

    /// In mid-way: names of endpoints that are asked for and exist in no snapshot: to say so ends their warming at once.
    fn never_there(&self, transition: &Transition) -> Vec<Arc<str>> {
        if self.resource_type != ResourceType::Endpoint {
            return Vec::new();
        }
        let offer = transition.offer(ResourceType::Endpoint);
        let nowhere = self.leading_nowhere(offer);
        nowhere.into_iter().filter(|name| !self.foreign.contains(name) && self.subscription.covers_name(name)).collect()
    }

    /// All that the client should have of what it asked for: of what it rejected, the version that it has.
    pub fn whole(&self, transition: &Transition) -> Vec<Resource> {
        let offer = transition.offer(self.resource_type);
        let many = self.subscription.is_wildcard() || self.subscription.has_globs();
        let all = many.then(|| offer.iter().filter(|resource| self.subscription.covers(resource)));
        let names = (!many).then(|| self.subscription.names().iter().filter_map(|name| offer.find(name)));
        let mut whole: Vec<Resource> = (all.into_iter().flatten())
            .chain(names.into_iter().flatten())
            .filter_map(|resource| {
                if !self.is_refused_by_anybody(resource, transition) {
                    return Some(resource);
                }
                // Of a client that came back it may not be known: an older version that it did not reject is better
                // than to take the resource away from it.
                let mut versions = transition.versions(self.resource_type, resource.name());
                self.held
                    .get(resource.name())
                    .or_else(|| versions.find(|older| !self.is_refused_by_anybody(older, transition)))
            })
            .cloned()
            .collect();
        whole.sort_by(|a, b| a.name().cmp(b.name()));
        whole.dedup();
        whole
    }

    /// What the client has, or asked for by name, that is not among these (which are sorted by name).
    pub fn held_beside(&self, whole: &[Resource]) -> Vec<Arc<str>> {
        let is_there = |name: &&Arc<str>| whole.binary_search_by(|resource| resource.name().cmp(name)).is_err();
        let names = self.held.keys().chain(&self.foreign).chain(self.subscription.names());
        let beside: BTreeSet<&Arc<str>> = names.filter(is_there).collect();
        beside.into_iter().cloned().collect()
    }
}
