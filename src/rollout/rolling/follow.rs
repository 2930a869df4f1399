//! Endpoints that come and go while they are updated: by themselves, or because the specs were edited.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Instance, Rolling, State, Way};
use crate::model::Version;

/// The addresses of a version that are there to stay, each once, in order.
pub(super) fn addresses(version: &Version) -> Vec<SocketAddr> {
    let mut seen = BTreeSet::new();
    let staying = version.endpoints.iter().filter(|endpoint| !endpoint.draining);
    staying.map(|endpoint| endpoint.address).filter(|address| seen.insert(*address)).collect()
}

impl Rolling {
    /// Takes over what the versions now list: new endpoints are old until their batch comes, or new where only the new
    /// version lists them; those that are gone are forgotten.
    pub fn follow(&mut self, from: &Version, to: &Version) {
        let (from, to) = (addresses(from), addresses(to));
        let (olds, news): (BTreeSet<_>, BTreeSet<_>) = (from.iter().collect(), to.iter().collect());
        self.instances.retain_mut(|one| one.keep(|address| olds.contains(address), |address| news.contains(address)));
        self.part_strangers(&olds, &news);
        let added = self.recognise(Way::Forward, &to, &olds);
        let left = self.recognise(Way::Back, &from, &news);
        self.append(left, added, State::New);
        // Better one that is on its way out than none at all.
        if !self.instances.iter().any(Instance::serves) {
            for instance in &mut self.instances {
                instance.stay();
            }
        }
    }

    /// Appends pairs of addresses that no instance has. What only the new version lists stands as `only_new` says.
    pub(super) fn append(&mut self, olds: Vec<SocketAddr>, news: Vec<SocketAddr>, only_new: State) {
        let (shared, olds): (Vec<_>, Vec<_>) = olds.into_iter().partition(|address| news.contains(address));
        let news: Vec<_> = news.into_iter().filter(|address| !shared.contains(address)).collect();
        let pairs = olds.len().min(news.len());
        let in_place = shared.into_iter().map(|address| (Some(address), Some(address)));
        let replaced = olds[..pairs].iter().zip(&news).map(|(old, new)| (Some(*old), Some(*new)));
        let paired = in_place.chain(replaced).map(|(old, new)| Instance::at(old, new, State::Old));
        let added = news[pairs..].iter().map(|new| Instance::at(None, Some(*new), only_new.clone()));
        let removed = olds[pairs..].iter().map(|old| Instance::at(Some(*old), None, State::Old));
        self.instances.extend(paired.chain(added).chain(removed));
    }

    /// Parts pairs of which one version newly lists the other one's address: each address is one instance then.
    fn part_strangers(&mut self, olds: &BTreeSet<&SocketAddr>, news: &BTreeSet<&SocketAddr>) {
        let known_olds: BTreeSet<_> = self.instances.iter().filter_map(|one| one.old).collect();
        let known_news: BTreeSet<_> = self.instances.iter().filter_map(|one| one.new).collect();
        let mut added = Vec::new();
        for instance in &mut self.instances {
            let (Some(old), Some(new)) = (instance.old, instance.new) else { continue };
            let is_listed_anew = olds.contains(&new) && !known_olds.contains(&new);
            if is_listed_anew || (news.contains(&old) && !known_news.contains(&old)) {
                added.push(instance.part());
            }
        }
        self.instances.extend(added);
    }

    /// Gives addresses that a version newly lists to the instances that they are of: where it is, then where it was, then
    /// to the one that waits the longest to register. Returns those that are nobody's; so is what the other version newly
    /// lists, too.
    fn recognise(&mut self, way: Way, listed: &[SocketAddr], others: &BTreeSet<&SocketAddr>) -> Vec<SocketAddr> {
        let known: BTreeSet<_> = self.instances.iter().filter_map(|one| one.listed(way)).collect();
        let mut unknown: Vec<_> = listed.iter().copied().filter(|address| !known.contains(address)).collect();
        unknown.retain(|&address| {
            let is_there = |one: &&mut Instance| one.listed(way).is_none() && one.old.or(one.new) == Some(address);
            self.instances.iter_mut().find(is_there).map(|one| one.list(way, address)).is_none()
        });
        unknown.retain(|&address| {
            let was_there = |one: &&mut Instance| one.listed(way).is_none() && one.home == Some(address);
            let known_again = self.instances.iter_mut().find(was_there).filter(|_| !others.contains(&address));
            known_again.map(|one| one.list(way, address)).is_none()
        });
        unknown.retain(|&address| {
            let waiting = self.instances.iter_mut().filter(|one| one.way == way && one.listed(way).is_none());
            let times = waiting.filter_map(|one| {
                let State::Registering { spent } = one.state else { return None };
                Some((spent, one))
            });
            // Of several, the first.
            let longest = times.reduce(|longest, one| if one.0 > longest.0 { one } else { longest });
            let successor = longest.filter(|_| !others.contains(&address));
            successor.map(|(_, one)| one.list(way, address)).is_none()
        });
        unknown
    }
}

impl Instance {
    /// Forgets addresses that are no longer listed. Who served there serves where it still can. `false` when nothing is
    /// left of it.
    fn keep(&mut self, is_old: impl Fn(&SocketAddr) -> bool, is_new: impl Fn(&SocketAddr) -> bool) -> bool {
        let (old, new, target) = (self.old, self.new, self.target());
        self.old = old.filter(is_old);
        self.new = new.filter(is_new);
        let is_listed = self.old.is_some() || self.new.is_some();
        match self.state {
            // Listed with the new version only, it is taken to run that.
            State::Old if old.is_some() && self.old.is_none() && is_listed => self.state = State::New,
            // It may run the new version at an address that is now the old version's only.
            State::New if new.is_some() && self.new.is_none() && is_listed => {
                (self.way, self.state) = (Way::Back, State::Draining { spent: Duration::ZERO });
            }
            State::Old | State::New => return is_listed,
            // Who failed to register is listed nowhere, and has failed all the same.
            State::Failed { .. } => return is_listed || target.is_none(),
            State::Draining { .. } | State::Updating { .. } | State::Registering { .. } | State::Probing { .. } => {}
        }
        true
    }

    /// Leaves it the old address, and returns what is at the new one.
    pub(super) fn part(&mut self) -> Self {
        let mut added = Self { old: None, home: None, ..self.clone() };
        // No successor will come for the old one, and none is waited for.
        (self.new, self.home) = (None, None);
        match (self.way, &self.state) {
            (_, State::Old | State::New) => {}
            (Way::Forward, State::Draining { .. }) => added.state = State::Old,
            (Way::Forward, _) => self.state = State::New,
            (Way::Back, State::Draining { .. }) => self.state = State::New,
            (Way::Back, _) => added.state = State::New,
        }
        added
    }

    /// Where the version at the end of this way lists it.
    fn listed(&self, way: Way) -> Option<SocketAddr> {
        match way {
            Way::Forward => self.new,
            Way::Back => self.old,
        }
    }

    /// A version newly lists it.
    fn list(&mut self, way: Way, address: SocketAddr) {
        match way {
            Way::Forward => {
                // It was to be removed, and is to be updated instead.
                if self.state == State::New && self.old.is_some() {
                    self.state = State::Old;
                }
                self.new = Some(address);
            }
            Way::Back => (self.old, self.home) = (Some(address), Some(address)),
        }
    }

    /// One that drains goes on to serve.
    fn stay(&mut self) {
        if matches!(self.state, State::Draining { .. }) && self.origin().is_some() {
            self.state = match self.way {
                Way::Forward => State::Old,
                Way::Back => State::New,
            };
        }
    }
}
