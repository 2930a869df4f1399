//! What a client asked for, of one type.
//!
//! Behaviours 10 and 11 of the protocol: `*` is the wildcard; an empty list is one, too, but only until the first name
//! was sent for the type on the stream.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The name that stands for everything.
const WILDCARD: &str = "*";

/// A client's subscription to one type.
#[derive(Debug, Clone, Default)]
pub struct Subscription {
    names: BTreeSet<Arc<str>>,
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
}

impl Subscription {
    /// State of the world: the list stands for the whole subscription.
    pub fn replace(&mut self, names: &[String]) -> Change {
        let wanted: BTreeSet<Arc<str>> = names.iter().filter(|n| *n != WILDCARD).map(|n| n.as_str().into()).collect();
        let legacy = names.is_empty() && !self.named;
        let wildcard = legacy || names.iter().any(|name| name == WILDCARD);
        let change = Change {
            asked: wanted.difference(&self.names).cloned().collect(),
            dropped: self.names.difference(&wanted).cloned().collect(),
            wildcard_added: wildcard && !self.wildcard,
        };
        self.named |= !names.is_empty();
        self.asked = true;
        (self.names, self.wildcard) = (wanted, wildcard);
        change
    }

    /// Incremental: adds and removes. `first` is whether this is the first message of the type on the stream, on which
    /// an empty list means the wildcard.
    pub fn update(&mut self, subscribe: &[String], unsubscribe: &[String], first: bool) -> Change {
        let mut change = Change::default();
        let had_wildcard = self.wildcard;
        if first && subscribe.is_empty() {
            self.wildcard = true;
        }
        for name in unsubscribe {
            if name == WILDCARD {
                self.wildcard = false;
            } else if self.names.remove(name.as_str()) || self.wildcard {
                change.dropped.push(name.as_str().into());
            }
        }
        for name in subscribe {
            if name == WILDCARD {
                self.wildcard = true;
            } else {
                let name: Arc<str> = name.as_str().into();
                self.names.insert(Arc::clone(&name));
                change.asked.push(name);
            }
        }
        change.asked.sort();
        change.asked.dedup();
        change.wildcard_added = self.wildcard && !had_wildcard;
        self.named |= !subscribe.is_empty();
        self.asked = true;
        change
    }

    /// Whether a name is covered.
    pub fn covers(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
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
    pub fn names(&self) -> &BTreeSet<Arc<str>> {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(!subscription.covers("a") && !subscription.is_wildcard());
        subscription.replace(&list(&["*"]));
        assert!(subscription.is_wildcard());
    }

    #[test]
    fn xds_10_incremental_only_the_first_empty_message_is_a_wildcard() {
        let mut subscription = Subscription::default();
        assert!(subscription.update(&[], &[], true).wildcard_added);
        let mut subscription = Subscription::default();
        subscription.update(&list(&["a"]), &[], true);
        assert!(!subscription.update(&[], &[], false).wildcard_added);
        assert!(subscription.covers("a") && !subscription.covers("b"));
    }

    #[test]
    fn xds_11_a_wildcard_with_a_name_and_then_the_name_alone_drops_the_wildcard() {
        let mut subscription = Subscription::default();
        subscription.replace(&list(&["*", "a"]));
        assert!(subscription.covers("b"));
        let change = subscription.replace(&list(&["a"]));
        assert!(subscription.covers("a") && !subscription.covers("b"));
        assert_eq!(change, Change::default());
    }

    #[test]
    fn xds_23_an_unknown_name_in_an_unsubscribe_is_tolerated() {
        let mut subscription = Subscription::default();
        subscription.update(&list(&["a"]), &[], true);
        assert_eq!(subscription.update(&[], &list(&["b"]), false), Change::default());
    }
}
