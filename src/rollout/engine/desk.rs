//! The engine without its loop: what is known, what was decided, what is shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::View;
use super::turn::{self, Decision};
use crate::model::{Release, TrafficPlan, World};
use crate::rollout::evidence::Collector;
use crate::rollout::recent::RecentTraffic;
use crate::rollout::{Command, CommandError, Event, FleetState, Observation, ReleaseStatus, Rollout};
use crate::spec::{Loaded, Specs};
use crate::store::{Batch, Store, StoreError};
use crate::telemetry::NodeReport;
use crate::translate;
use crate::xds::{Cache, ProxyStatus, Snapshot};

/// Time that was not attended (the process stood still) does not count beyond this.
const LONGEST_TURN: Duration = Duration::from_secs(2);
/// How long the proxies have to come back after a restart. Before that nobody knows how many they are, and the first one
/// would count as all.
const RETURN: Duration = Duration::from_secs(5);
/// How often the passing of time alone is kept.
const TIME_KEPT_EVERY: Duration = Duration::from_secs(5);

/// Why a set of valid specs is not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A version with traffic would vanish.
    #[error(
        "service {service} has lost version {version}, which release {release} needs \
         (it has traffic, or traffic returns to it); put it back, or first release another version"
    )]
    VersionVanished {
        /// The service.
        service: String,
        /// The version.
        version: String,
        /// The release.
        release: String,
    },
    /// A version with traffic would have nowhere to send it.
    #[error(
        "version {version} of service {service} has lost its last endpoint, and release {release} needs it \
         (it has traffic, or traffic returns to it); put one back, or first release another version"
    )]
    VersionEmptied {
        /// The service.
        service: String,
        /// The version.
        version: String,
        /// The release.
        release: String,
    },
    /// The configuration cannot be built.
    #[error("{0}")]
    Translate(String),
    /// There is nothing left of them: a directory that is not mounted looks like that, or one that is being replaced.
    #[error("the specs are empty; the last ones stay in force (to give up all that they say, leave one document)")]
    Emptied,
    /// The decision could not be kept. It is tried again.
    #[error("the store cannot keep it: {0}")]
    NotKept(String),
}

/// All that the engine knows.
pub struct Desk {
    store: Arc<dyn Store>,
    cache: Cache,
    pub(super) world: Option<Arc<World>>,
    applied_at: Option<Timestamp>,
    /// Whether this process has applied specs yet.
    applied: bool,
    /// Specs that could not be kept and are to be tried again.
    retry: Option<Loaded>,
    pub(super) rollouts: BTreeMap<String, Rollout>,
    pub(super) groups: BTreeMap<String, (Arc<Snapshot>, Timestamp)>,
    /// Per release.
    pub(super) fleets: BTreeMap<String, FleetState>,
    pub(super) collectors: BTreeMap<String, Collector>,
    pub(super) recent: RecentTraffic,
    diagnostics: Vec<String>,
    store_error: Option<String>,
    /// Reverts that were published, and windows that were judged, although the store failed.
    pub(super) unkept: Batch,
    time_kept: Instant,
    /// Until when proxies of an earlier process are waited for.
    returning_until: Option<Instant>,
    view: watch::Sender<Arc<View>>,
    /// The world in force, for those who sort proxies into fleets.
    worlds: watch::Sender<Option<Arc<World>>>,
}

impl Desk {
    /// Takes up what the store kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn restore(store: Arc<dyn Store>, cache: Cache) -> Result<Self, StoreError> {
        let saved = store.load()?;
        let (now, started) = (Timestamp::now(), Instant::now());
        let returning_until = (!saved.rollouts.is_empty()).then(|| started + RETURN);
        for (group, snapshot) in &saved.snapshots {
            cache.publish(group, Arc::clone(snapshot));
        }
        let mut desk = Self {
            store,
            cache,
            applied_at: saved.world.as_ref().map(|_| now),
            world: saved.world.map(Arc::new),
            applied: false,
            retry: None,
            rollouts: saved.rollouts.into_iter().map(|r| (r.release.clone(), r)).collect(),
            groups: saved.snapshots.into_iter().map(|(group, snapshot)| (group, (snapshot, now))).collect(),
            fleets: BTreeMap::new(),
            collectors: BTreeMap::new(),
            recent: RecentTraffic::default(),
            diagnostics: Vec::new(),
            store_error: None,
            unkept: Batch::default(),
            time_kept: started,
            returning_until,
            view: watch::Sender::new(Arc::default()),
            worlds: watch::Sender::new(None),
        };
        desk.worlds.send_replace(desk.world.clone());
        desk.show();
        Ok(desk)
    }

    /// The view that others see.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// The specs in force, and each change of them.
    pub fn worlds(&self) -> watch::Receiver<Option<Arc<World>>> {
        self.worlds.subscribe()
    }

    /// Whether there is something to serve: specs, now or from before.
    pub fn can_serve(&self) -> bool {
        self.world.is_some()
    }

    /// Takes note of a proxy's counts.
    pub fn note(&mut self, report: &NodeReport) {
        self.recent.add(report);
        for (release, collector) in &mut self.collectors {
            let Some(rollout) = self.rollouts.get(release) else { continue };
            if let Some(canary) = rollout.canary() {
                let canary = translate::cluster_name(&rollout.service, canary);
                let baseline = translate::cluster_name(&rollout.service, &rollout.stable);
                collector.add(report, &canary, &baseline);
            }
        }
    }

    /// Applies a new set of specs, or keeps the last good one and says why.
    pub async fn take_specs(&mut self, loaded: Loaded, now: Timestamp) {
        let mut problems = loaded.problems();
        self.retry = None;
        // The first time even known specs are applied: this version of Serin may build something else from them.
        let known = if self.applied { None } else { self.world.clone() };
        let read = loaded.specs.as_ref().map(|specs| Arc::new(specs.world.clone()));
        if let Some(world) = read.filter(|read| !self.applied || self.world.as_ref() != Some(read)).or(known) {
            match self.apply_world(Arc::clone(&world), now).await {
                Ok(()) => {
                    self.applied = true;
                    self.applied_at = Some(now);
                    let (fleets, services, releases) = (world.fleets.len(), world.services.len(), world.releases.len());
                    tracing::info!(fleets, services, releases, "specs applied");
                    for warning in loaded.specs.iter().flat_map(|specs| &specs.warnings) {
                        tracing::warn!("{warning}");
                    }
                }
                Err(refusals) => {
                    problems.extend(refusals.iter().map(|refusal| blame(loaded.specs.as_deref(), refusal)));
                    if refusals.iter().any(|refusal| matches!(refusal, Refusal::NotKept(_))) {
                        self.retry = Some(loaded);
                    }
                }
            }
        }
        if problems.is_empty() && !self.diagnostics.is_empty() {
            tracing::info!("the newest specs are in force again");
        }
        if problems != self.diagnostics {
            for problem in &problems {
                tracing::error!("the newest specs are not in force: {problem}");
            }
            self.diagnostics = problems;
        }
        self.show();
    }

    async fn apply_world(&mut self, world: Arc<World>, now: Timestamp) -> Result<(), Vec<Refusal>> {
        if *world == World::default() && self.world.as_deref().is_some_and(|present| *present != *world) {
            return Err(vec![Refusal::Emptied]);
        }
        let mut decision = Decision::default();
        for release in world.releases.values() {
            let rollout = turn::take_up(self.world.as_deref(), &world, &self.rollouts, release, now);
            decision.add(&release.name, rollout);
        }
        decision.removed = turn::renamed(&self.rollouts, &world);
        turn::check_versions(&world, &decision.rollouts)?;
        let snapshots = build(&world, &decision.rollouts)?;
        decision.world = Some(world);
        self.carry_out(decision, snapshots, now).await.map_err(|e| vec![Refusal::NotKept(e.to_string())])
    }

    /// Carries out a person's order.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn order(
        &mut self,
        release: &str,
        command: Command,
        now: Timestamp,
    ) -> Result<ReleaseStatus, CommandError> {
        let unknown = || CommandError::NotFound(release.to_owned());
        let world = self.world.clone().ok_or_else(unknown)?;
        let spec = world.releases.get(release).ok_or_else(unknown)?;
        let rollout = self.rollouts.get(release).cloned().ok_or_else(unknown)?;
        let transition = rollout.apply(Event::Ordered(command), spec, now)?;
        let mut decision = Decision::default();
        decision.add(release, transition);
        self.decide(&world, decision, now).await?;
        self.show();
        self.view.borrow().releases.get(release).cloned().ok_or_else(unknown)
    }

    /// A turn: what the proxies have in force and what they counted goes to every rollout.
    pub async fn observe(&mut self, proxies: &[ProxyStatus], elapsed: Duration, now: Instant, wall: Timestamp) {
        self.recent.expire(now);
        if let Some(loaded) = self.retry.take() {
            self.take_specs(loaded, wall).await;
        }
        let Some(world) = self.world.clone() else { return };
        self.look_at(&world, proxies);
        if self.returning_until.is_some_and(|until| now < until) {
            self.fleets.values_mut().for_each(|fleet| fleet.returning = true);
        }
        let keep_time = now.saturating_duration_since(self.time_kept) >= TIME_KEPT_EVERY;
        let mut decision = Decision::default();
        let mut windows = Vec::new();
        for release in world.releases.values() {
            let Some(rollout) = self.rollouts.get(&release.name) else { continue };
            let observation = Observation {
                elapsed: elapsed.min(LONGEST_TURN),
                fleet: self.fleets.get(&release.name).cloned().unwrap_or_default(),
                window: self.collectors.get_mut(&release.name).and_then(Collector::take),
            };
            windows.extend(observation.window.map(|window| (release, window)));
            let transition = turn::observe(rollout.clone(), observation, release, wall);
            if transition.records.is_empty() && !keep_time {
                self.rollouts.insert(release.name.clone(), transition.rollout);
            } else if transition.rollout != *rollout || !transition.records.is_empty() {
                decision.add(&release.name, transition);
            }
        }
        if keep_time {
            self.time_kept = now;
        }
        match self.decide(&world, decision, wall).await {
            Ok(()) => {}
            // Shown by `show`; the next turn tries again, and knows what this one saw.
            Err(CommandError::Store(_)) => self.watch(windows),
            Err(error) => tracing::error!("nothing is decided: {error}"),
        }
        self.show();
    }

    async fn decide(&mut self, world: &World, decision: Decision, now: Timestamp) -> Result<(), CommandError> {
        if decision.is_empty() && self.unkept.is_empty() {
            return Ok(());
        }
        let mut rollouts = self.rollouts.clone();
        rollouts.extend(decision.rollouts.clone());
        let snapshots = if turn::moves_traffic(&self.rollouts, &decision.rollouts) {
            build(world, &rollouts).map_err(|e| CommandError::Refused(turn::join(&e)))?
        } else {
            BTreeMap::new()
        };
        self.carry_out(decision, snapshots, now).await.map_err(|e| CommandError::Store(e.to_string()))
    }

    /// Keeps a decision, then publishes it.
    async fn carry_out(
        &mut self,
        decision: Decision,
        snapshots: BTreeMap<String, Arc<Snapshot>>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let batch = decision.batch(&self.unkept, self.changed(snapshots), now);
        let store = Arc::clone(&self.store);
        let kept = {
            let batch = batch.clone();
            tokio::task::spawn_blocking(move || store.commit(&batch)).await
        };
        let kept = kept.unwrap_or_else(|panic| Err(StoreError::new("keeping a decision", panic)));
        match &kept {
            Ok(()) => {
                self.store_error = None;
                self.unkept = Batch::default();
            }
            Err(error) => {
                let text = error.to_string();
                if self.store_error.replace(text.clone()).is_none() {
                    tracing::error!("the store fails, so nothing advances: {text}");
                }
                return if self.revert_unkept(&decision, now) { Ok(()) } else { kept };
            }
        }
        self.adopt(decision, batch.snapshots, now);
        kept
    }

    /// Those snapshots that their groups do not have yet.
    pub(super) fn changed(&self, snapshots: BTreeMap<String, Arc<Snapshot>>) -> Vec<(String, Arc<Snapshot>)> {
        let is_new = |group: &String, new: &Snapshot| {
            self.groups.get(group).is_none_or(|(old, _)| old.version() != new.version())
        };
        snapshots.into_iter().filter(|(group, new)| is_new(group, new)).collect()
    }

    pub(super) fn adopt(&mut self, decision: Decision, snapshots: Vec<(String, Arc<Snapshot>)>, now: Timestamp) {
        decision.log();
        for name in &decision.removed {
            self.rollouts.remove(name);
            self.collectors.remove(name);
            self.fleets.remove(name);
        }
        for (name, rollout) in decision.rollouts {
            let before: Option<TrafficPlan> = self.rollouts.get(&name).map(Rollout::plan);
            if before.as_ref() != Some(&rollout.plan()) {
                self.collectors.entry(name.clone()).or_default().restart();
                // Until the proxies have been looked at again, nobody has it in force.
                if let Some(fleet) = self.fleets.get_mut(&name) {
                    fleet.in_force = 0;
                }
            }
            self.rollouts.insert(name, rollout);
        }
        for (group, snapshot) in snapshots {
            self.cache.publish(&group, Arc::clone(&snapshot));
            self.groups.insert(group, (snapshot, now));
        }
        // After the snapshots: a proxy that changes its fleet finds what it is to have.
        if let Some(world) = decision.world {
            self.collectors.retain(|name, _| world.releases.contains_key(name));
            self.worlds.send_replace(Some(Arc::clone(&world)));
            self.world = Some(world);
        }
    }

    /// Sends the view, when it is another one.
    fn show(&mut self) {
        let view = self.render();
        self.view.send_if_modified(|shown| {
            let differs = !turn::same(shown, &view);
            if differs {
                *shown = Arc::new(view);
            }
            differs
        });
    }

    fn render(&self) -> View {
        let nothing = World::default();
        let world = self.world.as_deref().unwrap_or(&nothing);
        let status = |release: &Release| {
            let rollout = self.rollouts.get(&release.name)?;
            let unknown = FleetState::default();
            let fleet = self.fleets.get(&release.name).unwrap_or(&unknown);
            let recent = |version: &str| self.recent.of(&translate::cluster_name(&rollout.service, version));
            Some((release.name.clone(), ReleaseStatus::of(rollout, release, fleet, recent)))
        };
        View {
            releases: world.releases.values().filter_map(status).collect(),
            groups: self.groups.clone(),
            applied_at: self.applied_at,
            fleets: world.fleets.len(),
            services: world.services.len(),
            diagnostics: self.diagnostics.clone(),
            store_error: self.store_error.clone(),
        }
    }
}

/// Every group's snapshot for this world and these rollouts.
pub(super) fn build(
    world: &World,
    rollouts: &BTreeMap<String, Rollout>,
) -> Result<BTreeMap<String, Arc<Snapshot>>, Vec<Refusal>> {
    let plans = turn::plans(world, rollouts);
    let mut snapshots = BTreeMap::new();
    let mut refusals = Vec::new();
    for (group, fleet, dialect) in translate::all_groups(world) {
        match translate::snapshot(fleet, &world.services, &plans, dialect) {
            Ok(snapshot) => drop(snapshots.insert(group, Arc::new(snapshot))),
            Err(error) => refusals.push(Refusal::Translate(error.to_string())),
        }
    }
    if refusals.is_empty() { Ok(snapshots) } else { Err(refusals) }
}

/// A refusal with the place of the document it is about.
fn blame(specs: Option<&Specs>, refusal: &Refusal) -> String {
    let place = match refusal {
        Refusal::VersionVanished { service, .. } | Refusal::VersionEmptied { service, .. } => {
            specs.and_then(|s| s.origins.of_service(service))
        }
        Refusal::Translate(_) | Refusal::Emptied | Refusal::NotKept(_) => None,
    };
    place.map_or_else(|| refusal.to_string(), |place| format!("{place}: {refusal}"))
}

#[cfg(test)]
mod tests;
