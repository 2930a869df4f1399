//! PURE: which transition comes next. The same seed gives the same transitions.

use std::time::Duration;

use super::world::{Rollout, WEIGHTS, World};
use super::{Dice, Kind};

/// How many versions a service has at most.
const MOST_VERSIONS: usize = 8;

/// What comes in a round, in any order, as far as it makes sense.
const ROUND: [Kind; 12] = [
    Kind::WeightStep,
    Kind::WeightStep,
    Kind::WeightStep,
    Kind::NewVersion,
    Kind::Superseded,
    Kind::VersionRemoved,
    Kind::EndpointsReplaced,
    Kind::ClusterChanged,
    Kind::ListenerChanged,
    Kind::ServiceRouted,
    Kind::Reverted,
    Kind::Reverted,
];

/// What is done, one act after the other.
#[derive(Debug)]
pub(super) struct Transition {
    pub(super) kind: Kind,
    /// In words.
    pub(super) what: String,
    pub(super) acts: Vec<Act>,
}

/// One thing that an operator does. Each comes with what must be in force thereafter.
#[derive(Debug)]
pub(super) enum Act {
    /// Waits until the release of this service stands where the last world has it.
    Await(&'static str),
    /// Waits until what listeners left behind when they were changed last is drained. A listener that is bound to
    /// another address is another socket, and whoever waits in the old one's backlog to be accepted is turned away when
    /// it is closed. So it is changed when nobody has to connect anew.
    AwaitDrained,
    /// Writes the specs.
    Commit(World),
    /// Ends the pause of a service's release.
    Promote(&'static str, World),
    /// Aborts a service's release.
    Abort(&'static str, World),
    /// Lets a little time go by.
    Pass(Duration),
}

/// A change of the specs that moves no weights.
#[derive(Debug, Clone, Copy)]
enum Edit {
    Endpoints,
    Cluster,
    Listener,
    Routed,
}

/// An endless sequence of transitions.
#[derive(Debug)]
pub(super) struct Script {
    world: World,
    dice: Dice,
    /// What is left of this round.
    left: Vec<Kind>,
}

impl Script {
    pub(super) fn new(world: World, dice: Dice) -> Self {
        Self { world, dice, left: Vec::new() }
    }

    /// The next transition.
    pub(super) fn next(&mut self) -> Transition {
        loop {
            if let Some(transition) = self.draw() {
                return transition;
            }
            self.left = ROUND.to_vec();
        }
    }

    /// The next one of this round; `None` when nothing of it makes sense now.
    fn draw(&mut self) -> Option<Transition> {
        self.dice.shuffle(&mut self.left);
        let mut names: Vec<&'static str> = self.world.services.keys().copied().collect();
        self.dice.shuffle(&mut names);
        let pairs = self.left.clone().into_iter().enumerate();
        let mut pairs = pairs.flat_map(|(at, kind)| names.iter().map(move |name| (at, kind, *name)));
        let (at, kind, (what, acts)) =
            pairs.find_map(|(at, kind, name)| Some((at, kind, self.attempt(kind, name)?)))?;
        self.left.remove(at);
        for act in &acts {
            match act {
                Act::Commit(world) | Act::Promote(_, world) | Act::Abort(_, world) => self.world.clone_from(world),
                Act::Await(_) | Act::AwaitDrained | Act::Pass(_) => {}
            }
        }
        Some(Transition { kind, what, acts })
    }

    /// `None` when a transition of this kind makes no sense now.
    fn attempt(&mut self, kind: Kind, name: &'static str) -> Option<(String, Vec<Act>)> {
        match kind {
            Kind::WeightStep => {
                let (what, world) = self.promoted(name)?;
                Some((what, vec![Act::Await(name), Act::Promote(name, world)]))
            }
            Kind::NewVersion => self.new_version(name),
            Kind::Superseded => self.superseded(name),
            Kind::VersionRemoved => self.version_removed(name),
            Kind::EndpointsReplaced => Some(self.edit(Edit::Endpoints, name)),
            Kind::ClusterChanged => Some(self.edit(Edit::Cluster, name)),
            Kind::ListenerChanged => {
                let (what, mut acts) = self.edit(Edit::Listener, name);
                acts.insert(0, Act::AwaitDrained);
                Some((what, acts))
            }
            Kind::ServiceRouted => Some(self.edit(Edit::Routed, name)),
            Kind::Reverted => Some(match self.world.services[name].rollout {
                Some(rollout) => self.rollout_reverted(name, rollout),
                None => self.edit_reverted(name),
            }),
        }
    }

    /// The rollout of a service one step further.
    fn promoted(&self, name: &'static str) -> Option<(String, World)> {
        let mut world = self.world.clone();
        let service = world.services.get_mut(name)?;
        let rollout = service.rollout.as_mut()?;
        rollout.step += 1;
        let canary = rollout.canary;
        let Some(weight) = WEIGHTS.get(rollout.step) else {
            (service.stable, service.rollout) = (canary, None);
            return Some((format!("{name} v{canary} promoted to 100%"), world));
        };
        Some((format!("{name} v{canary} promoted to {weight}%"), world))
    }

    fn new_version(&mut self, name: &'static str) -> Option<(String, Vec<Act>)> {
        let service = &self.world.services[name];
        if service.rollout.is_some() || service.versions.len() >= MOST_VERSIONS {
            return None;
        }
        let (version, world) = self.with_new_version(name);
        let what = format!("{name} v{version} released at {}%", WEIGHTS[0]);
        Some((what, vec![Act::Await(name), Act::Commit(world)]))
    }

    /// A third version in the middle of a rollout.
    fn superseded(&mut self, name: &'static str) -> Option<(String, Vec<Act>)> {
        let canary = self.world.services[name].rollout?.canary;
        let (version, mut world) = self.with_new_version(name);
        let versions = &mut world.services.get_mut(name)?.versions;
        // With the same change may go what has traffic until then.
        if versions.len() > MOST_VERSIONS || self.dice.chance(0.6) {
            versions.remove(&canary);
            return Some((
                format!("{name} v{version} in place of v{canary}, which is removed"),
                vec![Act::Commit(world)],
            ));
        }
        Some((format!("{name} v{version} in place of v{canary}"), vec![Act::Commit(world)]))
    }

    fn with_new_version(&self, name: &'static str) -> (u32, World) {
        let mut world = self.world.clone();
        let set = world.new_set();
        let service = world.services.get_mut(name).expect("a name from the world");
        let canary = service.add_version(set);
        service.rollout = Some(Rollout { canary, step: 0 });
        (canary, world)
    }

    fn version_removed(&mut self, name: &'static str) -> Option<(String, Vec<Act>)> {
        let mut world = self.world.clone();
        let service = world.services.get_mut(name)?;
        let in_use = service.in_use();
        let unused: Vec<u32> = service.versions.keys().copied().filter(|version| !in_use.contains(version)).collect();
        if unused.is_empty() {
            return None;
        }
        let version = *self.dice.choose(&unused);
        service.versions.remove(&version);
        Some((format!("{name} v{version} removed"), vec![Act::Await(name), Act::Commit(world)]))
    }

    fn edit(&mut self, edit: Edit, name: &'static str) -> (String, Vec<Act>) {
        let (what, world) = self.edited(edit, name);
        (what, vec![Act::Commit(world)])
    }

    fn edited(&mut self, edit: Edit, name: &'static str) -> (String, World) {
        let mut world = self.world.clone();
        let set = world.new_set();
        let service = world.services.get_mut(name).expect("a name from the world");
        let what = match edit {
            Edit::Cluster if self.dice.chance(0.5) => {
                service.connect_timeout = 5 + (service.connect_timeout - 4) % 3;
                format!("{name}: connectTimeout {}s", service.connect_timeout)
            }
            Edit::Cluster => {
                service.outlier_detection = !service.outlier_detection;
                format!("{name}: outlierDetection {}", if service.outlier_detection { "on" } else { "off" })
            }
            Edit::Listener => {
                world.wildcard = !world.wildcard;
                format!("listeners bound to {}", if world.wildcard { "all addresses" } else { "one address" })
            }
            Edit::Routed => {
                world.extra = if world.extra.is_some() { None } else { Some(set) };
                format!(
                    "listeners route to the extra service {}",
                    if world.extra.is_some() { "too" } else { "no more" }
                )
            }
            Edit::Endpoints => {
                let version = *self.dice.choose(&service.in_use());
                service.versions.insert(version, set);
                format!("{name}: endpoints of v{version} replaced")
            }
        };
        (what, world)
    }

    /// A promotion that is taken back on its way.
    fn rollout_reverted(&mut self, name: &'static str, rollout: Rollout) -> (String, Vec<Act>) {
        let (what, promoted) = self.promoted(name).expect("it has a rollout");
        let mut world = self.world.clone();
        world.services.get_mut(name).expect("a name from the world").rollout = None;
        let pass = self.dice.up_to(Duration::from_millis(150));
        let by_spec = self.dice.chance(0.5);
        // The last step may be over before the order comes, and then there is nothing to abort.
        if by_spec || rollout.step + 1 == WEIGHTS.len() {
            let acts = vec![Act::Await(name), Act::Promote(name, promoted), Act::Pass(pass), Act::Commit(world)];
            return (format!("{what}, changed back after {} ms", pass.as_millis()), acts);
        }
        let acts = vec![Act::Await(name), Act::Promote(name, promoted), Act::Pass(pass), Act::Abort(name, world)];
        (format!("{what}, aborted after {} ms", pass.as_millis()), acts)
    }

    /// An edit of the specs that is taken back on its way.
    fn edit_reverted(&mut self, name: &'static str) -> (String, Vec<Act>) {
        // Long enough that it is read, and short enough that it is not done.
        let pass = Duration::from_millis(50) + self.dice.up_to(Duration::from_millis(300));
        // `None`: a new version.
        let edit = *self.dice.choose(&[None, Some(Edit::Endpoints), Some(Edit::Cluster), Some(Edit::Routed)]);
        let is_full = self.world.services[name].versions.len() >= MOST_VERSIONS;
        let (what, world, back, mut acts) = match edit {
            None if !is_full => {
                let (version, world) = self.with_new_version(name);
                let mut back = world.clone();
                back.services.get_mut(name).expect("a name from the world").rollout = None;
                (format!("{name} v{version} released"), world, back, vec![Act::Await(name)])
            }
            None | Some(_) => {
                let (what, world) = self.edited(edit.unwrap_or(Edit::Endpoints), name);
                // The numbers of what has come and gone are not used again.
                let mut back = self.world.clone();
                back.new_set();
                (what, world, back, Vec::new())
            }
        };
        acts.extend([Act::Commit(world), Act::Pass(pass), Act::Commit(back)]);
        (format!("{what}, changed back after {} ms", pass.as_millis()), acts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn script(seed: u64) -> Script {
        Script::new(World::new(&["checkout", "search"]), Dice::new(seed))
    }

    #[test]
    fn a_seed_is_a_script_and_every_kind_comes() {
        let told = |seed| {
            let mut script = script(seed);
            (0..300).map(|_| script.next().what).collect::<Vec<_>>()
        };
        assert_eq!(told(1), told(1));
        assert_ne!(told(1), told(2));
        let mut script = script(3);
        let mut counts = BTreeMap::new();
        for _ in 0..500 {
            *counts.entry(script.next().kind).or_insert(0) += 1;
        }
        assert!(Kind::ALL.iter().all(|kind| counts.get(kind) > Some(&20)), "{counts:?}");
    }

    #[test]
    fn what_has_traffic_is_always_there() {
        let mut script = script(4);
        for _ in 0..1_000 {
            let transition = script.next();
            for service in script.world.services.values() {
                let there = |version| service.versions.contains_key(&version);
                assert!(service.in_use().into_iter().all(there), "{transition:?}");
            }
            let sets = script.world.sets();
            let named = script.world.services.values().map(|service| service.versions.len()).sum::<usize>();
            assert_eq!(sets.len(), named + usize::from(script.world.extra.is_some()), "no set stands twice");
        }
    }
}
