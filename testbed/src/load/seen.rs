//! Which versions each user saw, and in which order: sixteen bytes for each user, however long a load lasts.

use std::collections::BTreeSet;

/// How many versions are told apart; answers of further ones are not kept by user.
const VERSIONS: usize = 8;

/// What the users of a load saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Their names, by their place in the bits below.
    versions: Vec<String>,
    users: Vec<User>,
    unknown: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, Default)]
struct User {
    /// A bit for each pair of versions: this one was seen, and the other one later.
    then: u64,
    /// A bit for each version.
    ever: u8,
    /// The same since [`Seen::look_anew`].
    lately: u8,
    /// The last one's place and one; zero before the first answer.
    last: u8,
}

impl Seen {
    /// A user was answered by a version.
    pub fn add(&mut self, user: u32, version: &str) {
        let Some(place) = self.place_or_new(version) else {
            self.unknown.insert(version.to_owned());
            return;
        };
        let user = user as usize;
        if self.users.len() <= user {
            self.users.resize(user + 1, User::default());
        }
        let user = &mut self.users[user];
        for earlier in (0..VERSIONS).filter(|earlier| *earlier != place && user.ever & (1 << earlier) != 0) {
            user.then |= pair(earlier, place);
        }
        user.ever |= 1 << place;
        user.lately |= 1 << place;
        user.last = place as u8 + 1;
    }

    /// Forgets what was seen lately: what comes from now on is.
    pub fn look_anew(&mut self) {
        self.users.iter_mut().for_each(|user| user.lately = 0);
    }

    /// How many users were answered at all.
    pub fn users(&self) -> usize {
        self.users.iter().filter(|user| user.ever != 0).count()
    }

    /// How many users saw this version.
    pub fn seen(&self, version: &str) -> usize {
        self.count(version, |user| user.ever)
    }

    /// How many users were answered since the last [`Seen::look_anew`].
    pub fn users_lately(&self) -> usize {
        self.users.iter().filter(|user| user.lately != 0).count()
    }

    /// How many users saw this version since the last [`Seen::look_anew`].
    pub fn seen_lately(&self, version: &str) -> usize {
        self.count(version, |user| user.lately)
    }

    /// How many users were answered by this version the last time.
    pub fn with(&self, version: &str) -> usize {
        let Some(place) = self.place(version) else { return 0 };
        self.users.iter().filter(|user| usize::from(user.last) == place + 1).count()
    }

    /// How many users saw `new`, and later `old`.
    pub fn flips(&self, new: &str, old: &str) -> usize {
        let (Some(new), Some(old)) = (self.place(new), self.place(old)) else { return 0 };
        self.users.iter().filter(|user| user.then & pair(new, old) != 0).count()
    }

    /// Versions that were one too many to be told apart.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.unknown.iter().map(String::as_str)
    }

    fn count(&self, version: &str, bits: impl Fn(&User) -> u8) -> usize {
        let Some(place) = self.place(version) else { return 0 };
        self.users.iter().filter(|user| bits(user) & (1 << place) != 0).count()
    }

    fn place(&self, version: &str) -> Option<usize> {
        self.versions.iter().position(|known| known == version)
    }

    fn place_or_new(&mut self, version: &str) -> Option<usize> {
        if let Some(place) = self.place(version) {
            return Some(place);
        }
        (self.versions.len() < VERSIONS).then(|| {
            self.versions.push(version.to_owned());
            self.versions.len() - 1
        })
    }
}

fn pair(earlier: usize, later: usize) -> u64 {
    1 << (earlier * VERSIONS + later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_is_the_new_version_and_later_the_old_one() {
        let mut seen = Seen::default();
        for (user, versions) in
            [(0, &["v1", "v2", "v2"][..]), (1, &["v1", "v2", "v1"]), (2, &["v1", "v1"]), (7, &["v2"])]
        {
            versions.iter().for_each(|version| seen.add(user, version));
        }
        assert_eq!((seen.users(), seen.seen("v1"), seen.seen("v2"), seen.seen("v3")), (4, 3, 3, 0));
        assert_eq!((seen.flips("v2", "v1"), seen.flips("v1", "v2"), seen.flips("v3", "v1")), (1, 2, 0));
        assert_eq!((seen.with("v1"), seen.with("v2")), (2, 2));
        seen.look_anew();
        assert_eq!((seen.users_lately(), seen.users()), (0, 4));
        seen.add(1, "v2");
        assert_eq!((seen.users_lately(), seen.seen_lately("v2"), seen.seen_lately("v1")), (1, 1, 0));
    }

    #[test]
    fn a_user_takes_few_bytes_and_versions_without_a_place_are_named() {
        assert!(size_of::<User>() <= 16, "{}", size_of::<User>());
        let mut seen = Seen::default();
        (0..10).for_each(|number| seen.add(0, &format!("v{number}")));
        assert_eq!(seen.unknown().collect::<Vec<_>>(), ["v8", "v9"]);
        assert_eq!(seen.flips("v0", "v7"), 1);
    }
}
