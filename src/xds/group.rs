//! What the proxies of one group are given, and how far a new snapshot has come among them.
//!
//! PURE. A snapshot that is published is what is *intended*. What cannot be served of it, because a proxy rejected it, is
//! replaced by what was good before (`xds::quarantine`). With a [`Canary`], a few proxies are given it first, and the
//! rest after these have it in force (and have been quiet for a while).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use imbl::ordmap::DiffItem;

pub use super::quarantine::Parked;
use super::quarantine::Quarantine;
use super::transition::Barred;
use super::{Locality, Resource, Snapshot};

/// How many earlier snapshots of a group are remembered, for clients that come back and for what is rejected.
const REMEMBERED: usize = 8;

/// How many proxies are given a snapshot before the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canary {
    /// So many…
    pub size: CanarySize,
    /// …which must have it in force, without trouble, for so long.
    pub quiet: Duration,
    /// How many more answers of class 5xx all of them together may give in that time.
    pub tolerated_5xx: u64,
}

/// A number of proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanarySize {
    /// So many.
    Count(usize),
    /// Of a hundred that are connected, rounded up.
    Percent(u8),
}

impl CanarySize {
    fn of(self, all: usize) -> usize {
        match self {
            Self::Count(count) => count.max(1),
            Self::Percent(percent) => (all * usize::from(percent)).div_ceil(100).max(1),
        }
    }
}

/// A connected proxy of the group, as far as a canary has to know it.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Its node id.
    pub id: String,
    /// Where it runs.
    pub locality: Locality,
    /// How often it has connected so far: one more is a crash.
    pub connects: u64,
    /// How many answers of class 5xx it has given so far, where that is known.
    pub errors: u64,
    /// Whether it has all that it asks for of the snapshot on trial in force.
    pub in_force: bool,
}

/// Why the newest snapshot is not what everybody is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Some proxies are given it first: these, for now.
    Trial(Vec<String>),
    /// It made trouble at the first proxies, in these words.
    Stopped(String),
}

/// What a stream is to serve.
#[derive(Debug, Clone)]
pub struct Published {
    /// What is served to all but the first proxies.
    pub snapshot: Arc<Snapshot>,
    /// What the first proxies are served, and who they are.
    trial: Option<(Arc<Snapshot>, Arc<BTreeSet<String>>)>,
    /// What all are to have in the end.
    pub intended: Arc<Snapshot>,
    /// What was served before, newest first.
    pub previous: Arc<[Arc<Snapshot>]>,
    /// What was rejected: it is not served of what was served before, either.
    pub(super) barred: Arc<Barred>,
    /// What of it is still intended: who has it all the same keeps it.
    pub(super) kept: Arc<Barred>,
}

impl Published {
    /// What a proxy is served.
    pub fn of(&self, node: &str) -> &Arc<Snapshot> {
        match &self.trial {
            Some((snapshot, first)) if first.contains(node) => snapshot,
            Some(_) | None => &self.snapshot,
        }
    }
}

/// What a group is given.
#[derive(Debug, Default)]
pub struct Group {
    intended: Option<Arc<Snapshot>>,
    /// What everybody is given who is not among the first.
    current: Option<Arc<Snapshot>>,
    /// What that would be if nobody had rejected any of it.
    wanted: Option<Arc<Snapshot>>,
    previous: Vec<Arc<Snapshot>>,
    quarantine: Quarantine,
    canary: Option<Canary>,
    trial: Option<Trial>,
    /// The snapshot that made trouble at the first proxies, and which.
    stopped: Option<(Arc<Snapshot>, String)>,
}

/// How long the first may take to have it in force, and how long one of them may be away.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug)]
struct Trial {
    snapshot: Arc<Snapshot>,
    /// Since when they have been waited for.
    waiting_since: Option<Instant>,
    /// By node id, as they were when they became the first.
    first: BTreeMap<String, Peer>,
    /// Since when all of them have it in force.
    quiet_since: Option<Instant>,
}

impl Group {
    /// Whether new snapshots go to a few proxies first. Takes effect with the next one.
    pub fn set_canary(&mut self, canary: Option<Canary>) {
        self.canary = canary;
    }

    /// There is a newer snapshot. At once everywhere when it is `urgent`, or when every resource that is new in it was
    /// accepted by some proxy before. Returns whether anybody is given something else.
    pub fn publish(&mut self, intended: Arc<Snapshot>, urgent: bool) -> bool {
        if self.intended.as_ref().is_some_and(|old| old.version() == intended.version()) && !urgent {
            return false;
        }
        self.intended = Some(intended);
        self.arrange(urgent)
    }

    /// Finds out anew what can be served. Returns whether anybody is given something else.
    fn arrange(&mut self, urgent: bool) -> bool {
        let Some(intended) = self.intended.clone() else { return false };
        let changed = self.mend();
        let next = self.settle(&intended);
        let Some(current) = self.current.clone() else {
            self.serve(next);
            return true;
        };
        if next.version() == current.version() {
            // What was stopped is not wanted any more: everybody has what is.
            self.stopped = None;
            self.wanted = Some(intended);
            return self.trial.take().is_some() || changed;
        }
        let was_stopped = self.stopped.as_ref().is_some_and(|(stopped, _)| stopped.version() == next.version());
        if was_stopped && !urgent {
            return self.trial.take().is_some() || changed;
        }
        self.stopped = None;
        if self.canary.is_none() || urgent || self.is_known(&current, &next) {
            self.serve(next);
            return true;
        }
        match &mut self.trial {
            Some(trial) if trial.snapshot.version() == next.version() => return changed,
            Some(trial) => {
                // A newer one in mid-way: the same proxies go first.
                let old = std::mem::replace(&mut trial.snapshot, next);
                (trial.quiet_since, trial.waiting_since) = (None, None);
                self.remember(old);
            }
            None => {
                self.trial =
                    Some(Trial { snapshot: next, first: BTreeMap::new(), quiet_since: None, waiting_since: None })
            }
        }
        true
    }

    /// What can be served of a snapshot.
    fn settle(&self, wanted: &Arc<Snapshot>) -> Arc<Snapshot> {
        let before: Vec<&Arc<Snapshot>> = self.current.iter().chain(&self.previous).collect();
        self.quarantine.settle(wanted, &before)
    }

    /// What was rejected of what everybody is given is taken out of it at once, whatever is on trial or was stopped.
    /// Returns whether there was anything.
    fn mend(&mut self) -> bool {
        let (Some(wanted), Some(current)) = (&self.wanted, &self.current) else { return false };
        let mended = self.settle(wanted);
        if mended.version() == current.version() {
            return false;
        }
        let old = self.current.replace(mended);
        old.into_iter().for_each(|old| self.remember(old));
        true
    }

    /// Everybody is given it from now on.
    fn serve(&mut self, next: Arc<Snapshot>) {
        self.trial = None;
        self.wanted.clone_from(&self.intended);
        if let Some(old) = self.current.replace(next) {
            self.remember(old);
        }
        let all: Vec<&Snapshot> = self.current.iter().chain(&self.previous).map(|snapshot| &**snapshot).collect();
        self.quarantine.tidy(&all);
    }

    fn remember(&mut self, old: Arc<Snapshot>) {
        self.previous.retain(|snapshot| snapshot.version() != old.version());
        self.previous.insert(0, old);
        self.previous.truncate(REMEMBERED);
    }

    /// Whether all that is new in a snapshot was accepted by some proxy.
    fn is_known(&self, current: &Snapshot, next: &Snapshot) -> bool {
        next.types().all(|t| {
            let items = current.of_type(t).diff(next.of_type(t));
            let new = items.filter_map(|item| match item {
                DiffItem::Add(_, resource) | DiffItem::Update { new: (_, resource), .. } => Some(resource),
                DiffItem::Remove(..) => None,
            });
            new.into_iter().all(|resource| self.quarantine.is_proven(resource))
        })
    }

    /// Whether some proxy was seen to take all of these: then there is nothing to [`accept`](Self::accept).
    pub fn knows(&self, resources: &[Resource]) -> bool {
        self.quarantine.knows(resources)
    }

    /// A proxy took these. Returns whether anybody is given something else.
    pub fn accept(&mut self, resources: &[Resource]) -> bool {
        self.quarantine.accept(resources) && self.arrange(false)
    }

    /// A proxy rejected these. Returns whether anybody is given something else.
    pub fn reject(&mut self, resources: &[Resource], node: &str, text: &str, at: SystemTime) -> bool {
        self.quarantine.reject(resources, node, text, at) && self.arrange(false)
    }

    /// Gives everything that was rejected or stopped another chance. Returns whether anybody is given something else.
    pub fn release(&mut self) -> bool {
        let stopped = self.stopped.take().is_some();
        (self.quarantine.release() || stopped) && self.arrange(false)
    }

    /// Looks how the first proxies fare. Returns whether anybody is given something else.
    pub fn observe(&mut self, peers: &[Peer], now: Instant) -> bool {
        let (Some(canary), Some(trial)) = (self.canary, &mut self.trial) else {
            return self.trial.is_some() && self.go_on();
        };
        let mut changed = false;
        // Who crashed has a reason to.
        let crashed = |before: &Peer| peers.iter().any(|now| now.id == before.id && now.connects > before.connects);
        if let Some(peer) = trial.first.values().find(|peer| !canary.quiet.is_zero() && crashed(peer)) {
            let reason = format!("{} connected anew after it was given the snapshot", peer.id);
            return self.stop(reason);
        }
        // Who is away may have crashed: nobody else is tried before it is back, or has been away for long.
        let away = |id: &String| !peers.iter().any(|peer| peer.id == *id);
        if let Some(id) = trial.first.keys().find(|id| away(id)).cloned() {
            trial.quiet_since = None;
            if now.duration_since(*trial.waiting_since.get_or_insert(now)) < PATIENCE {
                return false;
            }
            if !canary.quiet.is_zero() {
                return self.stop(format!("{id} went away after it was given the snapshot"));
            }
            trial.first.clear();
            trial.waiting_since = None;
        }
        if trial.first.is_empty() {
            if peers.is_empty() {
                return false;
            }
            let size = canary.size.of(peers.len());
            if size >= peers.len() {
                return self.go_on();
            }
            trial.first = choose(peers, size).into_iter().map(|peer| (peer.id.clone(), peer.clone())).collect();
            trial.quiet_since = None;
            changed = true;
        }
        let first: Vec<&Peer> = peers.iter().filter(|peer| trial.first.contains_key(&peer.id)).collect();
        let errors: u64 = first.iter().map(|p| p.errors.saturating_sub(trial.first[&p.id].errors)).sum();
        if !canary.quiet.is_zero() && errors > canary.tolerated_5xx {
            let names = trial.first.keys().cloned().collect::<Vec<_>>().join(", ");
            return self.stop(format!("{errors} answers of class 5xx from {names} since then"));
        }
        // Those just chosen were asked about what they had before.
        if let Some(late) = first.iter().find(|peer| changed || !peer.in_force) {
            trial.quiet_since = None;
            let waits_long = now.duration_since(*trial.waiting_since.get_or_insert(now)) >= PATIENCE;
            let reason = format!("{} has not come to have it in force in {} s", late.id, PATIENCE.as_secs());
            return if waits_long { self.stop(reason) } else { changed };
        }
        trial.waiting_since = None;
        let since = *trial.quiet_since.get_or_insert(now);
        if now.duration_since(since) >= canary.quiet { self.go_on() } else { changed }
    }

    /// When to look again although nothing happened.
    pub fn deadline(&self) -> Option<Instant> {
        let trial = self.trial.as_ref()?;
        let quiet = trial.quiet_since.zip(self.canary).map(|(since, canary)| since + canary.quiet);
        quiet.or_else(|| trial.waiting_since.map(|since| since + PATIENCE))
    }

    fn go_on(&mut self) -> bool {
        let Some(trial) = self.trial.take() else { return false };
        self.serve(trial.snapshot);
        true
    }

    fn stop(&mut self, reason: String) -> bool {
        let Some(trial) = self.trial.take() else { return false };
        self.remember(Arc::clone(&trial.snapshot));
        self.stopped = Some((trial.snapshot, reason));
        true
    }

    /// What is on trial at the first proxies.
    pub fn on_trial(&self) -> Option<&Arc<Snapshot>> {
        self.trial.as_ref().map(|trial| &trial.snapshot)
    }

    /// What all are to have in the end.
    pub fn intended(&self) -> Option<&Arc<Snapshot>> {
        self.intended.as_ref()
    }

    fn still_intended(&self) -> impl Iterator<Item = &Parked> {
        let is_intended = |parked: &&Parked| {
            let (of, name) = (parked.resource.resource_type(), parked.resource.name());
            self.intended.as_ref().is_some_and(|intended| intended.get(of, name) == Some(&parked.resource))
        };
        self.quarantine.parked().filter(is_intended)
    }

    /// What was rejected.
    pub fn parked(&self) -> Vec<Parked> {
        self.quarantine.parked().cloned().collect()
    }

    /// Why the newest snapshot is not everywhere, apart from what was rejected.
    pub fn held(&self) -> Option<Held> {
        let trial = self.trial.as_ref().map(|trial| Held::Trial(trial.first.keys().cloned().collect()));
        trial.or_else(|| self.stopped.as_ref().map(|(_, reason)| Held::Stopped(reason.clone())))
    }

    /// What the streams are to serve, once there is anything.
    pub fn published(&self) -> Option<Published> {
        let first = |trial: &Trial| (Arc::clone(&trial.snapshot), Arc::new(trial.first.keys().cloned().collect()));
        Some(Published {
            snapshot: self.current.clone()?,
            trial: self.trial.as_ref().map(first),
            intended: self.intended.clone()?,
            previous: self.previous.clone().into(),
            barred: Arc::new(self.quarantine.parked().map(|parked| parked.resource.key()).collect()),
            kept: Arc::new(self.still_intended().map(|parked| parked.resource.key()).collect()),
        })
    }
}

/// The first proxies: one of each locality in turn, always the same ones of the same proxies.
fn choose(peers: &[Peer], size: usize) -> Vec<&Peer> {
    let mut localities: BTreeMap<&Locality, Vec<&Peer>> = BTreeMap::new();
    for peer in peers {
        localities.entry(&peer.locality).or_default().push(peer);
    }
    let mut queues: Vec<Vec<&Peer>> = localities.into_values().collect();
    for queue in &mut queues {
        queue.sort_by(|a, b| b.id.cmp(&a.id));
    }
    let mut chosen = Vec::with_capacity(size);
    while chosen.len() < size.min(peers.len()) {
        for queue in &mut queues {
            if chosen.len() < size {
                chosen.extend(queue.pop());
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests;
