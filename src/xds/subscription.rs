//! What a client asked for, of one type.
//!
//! Behaviours 10 and 11 of the protocol: `*` is the wildcard; an empty list is one, too, but only until the first name
//! was sent for the type on the stream.

use std::sync::Arc;

use imbl::OrdSet;

use super::Resource;
use super::name::{Glob, canonical, is_xdstp};

/// The name that stands for everything.
const WILDCARD: &str = "*";

/// A client's subscription to one type.
#[derive(Debug, Clone, Default)]
pub struct Subscription {
    names: OrdSet<Arc<str>>,
    /// Names among them that stand for many.
    globs: usize,
    wildcard: bool,
    /// Whether a name was ever sent: an empty list is no wildcard any more.
    named: bool,
    /// Whether anything was asked at all.
    asked: bool,
}

/// What a request changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Names asked for in this request that were not subscribed before it (state of the world), or all that were asked
    /// for (incremental): these are sent, whatever the client is known to have.
    pub asked: Vec<Arc<str>>,
    /// Names not subscribed any more.
    pub dropped: Vec<Arc<str>>,
    /// The wildcard was added.
    pub wildcard_added: bool,
    /// The wildcard was dropped.
    pub wildcard_dropped: bool,
}

impl Subscription {
    /// State of the world: the list stands for the whole subscription.
    pub fn replace(&mut self, names: &[String]) -> Change {
        // Every acknowledgement says the names again.
        let same = names.len() == self.names.len() && names.iter().all(|name| self.names.contains(name.as_str()));
        if same && !self.wildcard && self.asked {
            return Change::default();
        }
        let wanted: OrdSet<Arc<str>> =
            names.iter().filter(|name| *name != WILDCARD).map(|name| Arc::from(&*canonical(name))).collect();
        let legacy = names.is_empty() && !self.named;
        let wildcard = legacy || names.iter().any(|name| name == WILDCARD);
        let change = Change {
            asked: wanted.iter().filter(|name| !self.names.contains(*name)).cloned().collect(),
            dropped: self.names.iter().filter(|name| !wanted.contains(*name)).cloned().collect(),
            wildcard_added: wildcard && !self.wildcard,
            wildcard_dropped: self.wildcard && !wildcard,
        };
        self.named |= !names.is_empty();
        self.asked = true;
        self.globs = wanted.iter().filter(|name| Glob::parse(name).is_some()).count();
        (self.names, self.wildcard) = (wanted, wildcard);
        change
    }

    /// Incremental: adds and removes. `first` is whether this is the first message of the type on the stream, on which
    /// an empty list means the wildcard. `known` is the resource that a name or an alias leads to: unsubscribing one of
    /// its names is unsubscribing all (behaviour 26).
    pub fn update<'a>(
        &mut self,
        subscribe: &[String],
        unsubscribe: &[String],
        first: bool,
        known: impl Fn(&str) -> Option<&'a Resource>,
    ) -> Change {
        let mut change = Change::default();
        let had_wildcard = self.wildcard;
        if first && subscribe.is_empty() {
            self.wildcard = true;
        }
        for name in unsubscribe {
            if name == WILDCARD {
                self.wildcard = false;
                continue;
            }
            let name = canonical(name);
            let resource = known(&name);
            let others = resource.into_iter().flat_map(|r| std::iter::once(r.name()).chain(r.aliases()));
            let gone = others.filter(|other| self.remove(other)).count();
            if self.remove(&name) || gone > 0 || self.wildcard {
                change.dropped.push(resource.map_or_else(|| Arc::from(&*name), |r| Arc::clone(r.name())));
            }
        }
        for name in subscribe {
            if name == WILDCARD {
                self.wildcard = true;
            } else {
                let name: Arc<str> = Arc::from(&*canonical(name));
                if self.names.insert(Arc::clone(&name)).is_none() && Glob::parse(&name).is_some() {
                    self.globs += 1;
                }
                change.asked.push(name);
            }
        }
        change.asked.sort();
        change.asked.dedup();
        change.wildcard_added = self.wildcard && !had_wildcard;
        change.wildcard_dropped = had_wildcard && !self.wildcard;
        self.named |= !subscribe.is_empty();
        self.asked = true;
        change
    }

    fn remove(&mut self, name: &str) -> bool {
        let removed = self.names.remove(name).is_some();
        if removed && Glob::parse(name).is_some() {
            self.globs -= 1;
        }
        removed
    }

    /// What both cover.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let names = self.names.clone().union(other.names.clone());
        Self {
            globs: names.iter().filter(|name| Glob::parse(name).is_some()).count(),
            names,
            wildcard: self.wildcard || other.wildcard,
            named: self.named || other.named,
            asked: self.asked || other.asked,
        }
    }

    /// Whether a resource is covered, by one of its names.
    pub fn covers(&self, resource: &Resource) -> bool {
        self.covers_name(resource.name()) || resource.aliases().iter().any(|alias| self.covers_name(alias))
    }

    /// Whether a name is covered. The wildcard does not stand for `xdstp://` names.
    pub fn covers_name(&self, name: &str) -> bool {
        (self.wildcard && !is_xdstp(name)) || self.names.contains(name) || self.globs().any(|glob| glob.matches(name))
    }

    /// Whether any name stands for many.
    pub fn has_globs(&self) -> bool {
        self.globs > 0
    }

    /// Those of the names that stand for many.
    pub fn globs(&self) -> impl Iterator<Item = Glob<'_>> {
        let all = if self.globs == 0 { None } else { Some(self.names.iter()) };
        all.into_iter().flatten().filter_map(|name| Glob::parse(name))
    }

    /// Whether everything is.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// Whether the client asked for this type at all.
    pub fn is_active(&self) -> bool {
        self.asked
    }

    /// The names asked for, sorted.
    pub fn names(&self) -> &OrdSet<Arc<str>> {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<&'static Resource> {
        None
    }

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn xds_10_an_empty_list_is_a_wildcard_only_until_the_first_name() {
        let mut subscription = Subscription::default();
        assert!(subscription.replace(&[]).wildcard_added);
        assert!(subscription.is_wildcard());
        subscription.replace(&list(&["a"]));
        assert!(!subscription.is_wildcard());
        subscription.replace(&[]);
        assert!(!subscription.covers_name("a") && !subscription.is_wildcard());
        subscription.replace(&list(&["*"]));
        assert!(subscription.is_wildcard());
    }

    #[test]
    fn xds_10_incremental_only_the_first_empty_message_is_a_wildcard() {
        let mut subscription = Subscription::default();
        assert!(subscription.update(&[], &[], true, none).wildcard_added);
        let mut subscription = Subscription::default();
        subscription.update(&list(&["a"]), &[], true, none);
        assert!(!subscription.update(&[], &[], false, none).wildcard_added);
        assert!(subscription.covers_name("a") && !subscription.covers_name("b"));
    }

    #[test]
    fn xds_11_a_wildcard_with_a_name_and_then_the_name_alone_drops_the_wildcard() {
        let mut subscription = Subscription::default();
        subscription.replace(&list(&["*", "a"]));
        assert!(subscription.covers_name("b"));
        let change = subscription.replace(&list(&["a"]));
        assert!(subscription.covers_name("a") && !subscription.covers_name("b"));
        assert_eq!(change, Change { wildcard_dropped: true, ..Change::default() });
    }

    #[test]
    fn xds_23_an_unknown_name_in_an_unsubscribe_is_tolerated() {
        let mut subscription = Subscription::default();
        subscription.update(&list(&["a"]), &[], true, none);
        assert_eq!(subscription.update(&[], &list(&["b"]), false, none), Change::default());
    }
}
