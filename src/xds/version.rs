//! Versions: hashes of content.

use std::fmt;

use serde::Serialize;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The version of a resource, or of a set of them: a 128-bit hash of content (XXH3), written as 32 hex digits. The
/// same content has the same version on every stream, after every restart and on every replica (behaviour 4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ResourceVersion(u128);

impl ResourceVersion {
    /// Of nothing: what a set without members has.
    pub const NOTHING: Self = Self(0);

    /// Of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_128(bytes))
    }

    /// Of a set of named versions, in whatever order.
    pub fn of_set<'a>(members: impl IntoIterator<Item = (&'a str, ResourceVersion)>) -> Self {
        members.into_iter().fold(Self::NOTHING, |set, (name, version)| set.with(name, version))
    }

    /// Of a set with one member more. Sets are summed, so that a member comes and goes without the others being looked at
    /// (Bellare and Micciancio's AdHash; it is proof against accidents, not against somebody who is after a collision).
    #[must_use]
    pub fn with(self, name: &str, version: ResourceVersion) -> Self {
        Self(self.0.wrapping_add(member(name, version)))
    }

    /// Of a set with one member less.
    #[must_use]
    pub fn without(self, name: &str, version: ResourceVersion) -> Self {
        Self(self.0.wrapping_sub(member(name, version)))
    }

    /// Of two sets that have no member in common, together.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// This version of one name of one type, as a number.
    pub(super) fn key(self, type_url: &str, name: &str) -> u128 {
        Self::of(type_url.as_bytes()).0 ^ member(name, self)
    }

    /// From what a client says it has: the 32 hex digits, or the hash of any other text (a version given by a caller).
    pub fn read(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|| Self::of(text.as_bytes()))
    }

    /// From its 32 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
    }

    /// The first 12 of its 32 digits, for people.
    pub fn short(self) -> String {
        self.to_string()[..12].to_owned()
    }
}

fn member(name: &str, version: ResourceVersion) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(name.as_bytes());
    hasher.update(&version.0.to_le_bytes());
    hasher.digest128()
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ResourceVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_does_not_know_the_way_to_it() {
        let (a, b) = (ResourceVersion::of(b"a"), ResourceVersion::of(b"b"));
        let both = ResourceVersion::of_set([("x", a), ("y", b)]);
        assert_eq!(both, ResourceVersion::of_set([("y", b), ("x", a)]));
        assert_eq!(both.without("y", b), ResourceVersion::of_set([("x", a)]));
        assert_eq!(both.without("y", b).without("x", a), ResourceVersion::NOTHING);
        assert_ne!(both, ResourceVersion::of_set([("x", b), ("y", a)]));
        // Twice the same member is not the same as none of it.
        assert_ne!(ResourceVersion::of_set([("x", a), ("x", a)]), ResourceVersion::NOTHING);
    }

    #[test]
    fn what_is_written_is_read() {
        let version = ResourceVersion::of(b"a");
        assert_eq!(ResourceVersion::read(&version.to_string()), version);
        assert_eq!(ResourceVersion::read("v7"), ResourceVersion::of(b"v7"));
        assert_eq!(ResourceVersion::parse("v7"), None);
    }
}
