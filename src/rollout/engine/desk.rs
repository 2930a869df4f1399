//! The engine without its loop: what is known, what was decided, what is shown.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use jiff::Timestamp;
use tokio::sync::watch;

use super::View;
use super::audience::Audiences;
use super::collectors::Collectors;
use super::hearing::Hearing;
use super::held::Objections;
use super::refusal::{Refusal, blame};
use super::sight::Measuring;
use super::turn::{self, Decision};
use crate::model::{TrafficPlan, World};
use crate::rollout::health::Health;
use crate::rollout::recent::RecentTraffic;
use crate::rollout::{Answer, Call, Command, CommandError, Event, ReleaseStatus, Rollout, State};
use crate::spec::Loaded;
use crate::store::{Batch, Store, StoreError};
use crate::telemetry::NodeReport;
use crate::translate::translator::{Groups, Plans};
use crate::translate::{TranslateError, Translator};
use crate::xds::{Cache, ProxyStatus, Snapshot};

/// Time that was not attended (the process stood still) does not count beyond this.
const LONGEST_TURN: Duration = Duration::from_secs(2);
/// How long the proxies have to come back after a restart. Before that nobody knows how many they are, and the first one
/// would count as all.
const RETURN: Duration = Duration::from_secs(5);
/// How often the passing of time alone is kept.
const TIME_KEPT_EVERY: Duration = Duration::from_secs(5);

/// All that the engine knows.
pub struct Desk {
    store: Arc<dyn Store>,
    pub(super) cache: Cache,
    pub(super) world: Option<Arc<World>>,
    pub(super) applied_at: Option<Timestamp>,
    /// Whether this process has applied specs yet.
    pub(super) applied: bool,
    /// Specs that could not be kept and are to be tried again.
    retry: Option<Loaded>,
    pub(super) rollouts: BTreeMap<String, Rollout>,
    /// The releases that a turn may do something to; the others are at rest.
    pub(super) active: BTreeSet<String>,
    /// The traffic that is in force.
    pub(super) plans: Plans,
    translator: Translator,
    /// What every group was given last.
    published: Groups,
    /// The same, and since when.
    pub(super) groups: OrdMap<String, (Arc<Snapshot>, Timestamp)>,
    pub(super) audiences: Audiences,
    /// By group: what its proxies have against its snapshot.
    pub(super) objections: HashMap<String, Objections>,
    /// By release, of those that wait for it: how many proxies can be sent routes to the new version.
    pub(super) ready: BTreeMap<String, usize>,
    /// By release, of those that replace endpoints: how many proxies have these as they are published.
    pub(super) placed: BTreeMap<String, usize>,
    pub(super) collectors: Collectors,
    pub(super) recent: RecentTraffic,
    /// What the proxies say of the endpoints.
    pub(super) health: Health,
    /// What the proxies are listened to for.
    pub(super) hearing: Hearing,
    /// By release: since when all of its proxies have what is published, as far as it was looked.
    pub(super) settled: BTreeMap<String, Instant>,
    pub(super) diagnostics: Vec<String>,
    pub(super) store_error: Option<String>,
    /// Answers that could not be kept when they came: nobody is asked again as long as the same is wanted.
    pub(super) unheard: Vec<(String, Answer)>,
    /// Reverts that were published, and windows that were judged, although the store failed.
    pub(super) unkept: Batch,
    time_kept: Instant,
    /// Until when proxies of an earlier process are waited for.
    returning_until: Option<Instant>,
    /// What is shown of each release.
    pub(super) shown: OrdMap<String, Arc<ReleaseStatus>>,
    /// Releases that something else is to be shown of.
    pub(super) unshown: BTreeSet<String>,
    /// As in the view.
    pub(super) journal: OrdMap<String, u64>,
    pub(super) view: watch::Sender<Arc<View>>,
    /// The world in force, for those who sort proxies into fleets.
    pub(super) worlds: watch::Sender<Option<Arc<World>>>,
    /// What those outside are to be asked now.
    pub(super) asked: watch::Sender<Vec<(String, Call)>>,
    pub(super) measuring: Measuring,
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
            cache.restore(group, Arc::clone(snapshot));
        }
        let mut desk = Self {
            store,
            cache,
            applied_at: saved.world.as_ref().map(|_| now),
            world: saved.world.map(Arc::new),
            applied: false,
            retry: None,
            rollouts: saved.rollouts.into_iter().map(|r| (r.release.clone(), r)).collect(),
            active: BTreeSet::new(),
            plans: Plans::new(),
            translator: Translator::new(),
            published: saved.snapshots.iter().cloned().collect(),
            groups: saved.snapshots.into_iter().map(|(group, snapshot)| (group, (snapshot, now))).collect(),
            audiences: Audiences::default(),
            objections: HashMap::new(),
            ready: BTreeMap::new(),
            placed: BTreeMap::new(),
            collectors: Collectors::default(),
            recent: RecentTraffic::default(),
            health: Health::default(),
            hearing: Hearing::default(),
            settled: BTreeMap::new(),
            diagnostics: Vec::new(),
            store_error: None,
            unheard: Vec::new(),
            unkept: Batch::default(),
            time_kept: started,
            returning_until,
            shown: OrdMap::new(),
            unshown: BTreeSet::new(),
            journal: OrdMap::new(),
            view: watch::Sender::new(Arc::default()),
            worlds: watch::Sender::new(None),
            asked: watch::Sender::new(Vec::new()),
            measuring: Measuring::default(),
        };
        for rollout in desk.rollouts.values_mut() {
            let records = rollout.interrupted();
            if !records.is_empty() {
                desk.unkept.records.extend(records.into_iter().map(|record| (rollout.release.clone(), record)));
                desk.unkept.rollouts.push(rollout.clone());
            }
        }
        desk.worlds.send_replace(desk.world.clone());
        if let Some(world) = desk.world.clone() {
            desk.plans = turn::plans(&world, &desk.rollouts);
            desk.follow(&world);
            desk.set_canaries(&world);
        }
        desk.show();
        Ok(desk)
    }

    /// The view that others see.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// Whether there is something to serve: specs, now or from before.
    pub fn can_serve(&self) -> bool {
        self.world.is_some()
    }

    /// Takes note of a proxy's counts.
    pub fn note(&mut self, report: &NodeReport) {
        self.recent.add(report);
        self.health.add(report);
        self.collectors.note(report);
    }

    /// Applies a new set of specs, or keeps the last good one and says why.
    pub async fn take_specs(&mut self, loaded: Loaded, now: Timestamp) {
        let mut problems = loaded.problems();
        self.retry = None;
        // The first time even known specs are applied: this version of Serin may build something else from them.
        let known = if self.applied { None } else { self.world.clone() };
        let read = loaded.specs.as_ref().map(|specs| Arc::new(specs.world.clone()));
        if let Some(world) = read.filter(|read| !self.applied || self.world.as_ref() != Some(read)).or(known) {
            let moved = self.world.as_ref().and_then(|present| present.with_endpoints_of(&world));
            match self.apply_world(Arc::clone(&world), now).await {
                Ok(()) if self.applied && moved.as_ref() == Some(&world) => tracing::debug!("endpoints have changed"),
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
                    } else if let Some(moved) = moved
                        && let Err(refusals) = self.apply_world(Arc::new(moved), now).await
                    {
                        // What is in force stays, but endpoints come and go all the same.
                        problems.extend(refusals.iter().map(|refusal| blame(None, refusal)));
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
        let built = self.build(&world, turn::plans(&world, &decision.rollouts))?;
        decision.world = Some(world);
        self.carry_out(decision, built, now).await.map_err(|e| vec![Refusal::NotKept(e.to_string())])
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
        let again = command == Command::Retry;
        let peers = turn::others(&world, &self.rollouts, spec);
        let transition = rollout.apply(Event::Ordered(command), turn::context(&world, &peers, spec), now)?;
        let mut decision = Decision::default();
        decision.add(release, transition);
        self.decide(&world, decision, now).await?;
        if again {
            self.try_again(release);
        }
        self.show();
        self.view.borrow().releases.get(release).map(|status| (**status).clone()).ok_or_else(unknown)
    }

    /// A turn: what the proxies have in force and what they counted goes to every rollout.
    pub async fn observe(&mut self, proxies: &[ProxyStatus], elapsed: Duration, now: Instant, wall: Timestamp) {
        self.hear_others(now);
        self.recent.expire(now);
        if let Some(loaded) = self.retry.take() {
            self.take_specs(loaded, wall).await;
        }
        for (release, answer) in std::mem::take(&mut self.unheard) {
            self.answered(&release, answer, wall).await;
        }
        let Some(world) = self.world.clone() else { return };
        self.look_at(proxies);
        if self.returning_until.is_some_and(|until| now < until) {
            self.audiences.await_return();
        }
        let keep_time = now.saturating_duration_since(self.time_kept) >= TIME_KEPT_EVERY;
        let mut decision = Decision::default();
        let mut windows = Vec::new();
        let given = self.measuring.readings.clone();
        for name in self.active.clone() {
            let Some((release, rollout)) = world.releases.get(&name).zip(self.rollouts.get(&name)) else { continue };
            let rollout = rollout.clone();
            let observation = self.observation(&world, &name, &rollout, elapsed.min(LONGEST_TURN), now);
            windows.extend(observation.window.clone().map(|window| (release, window)));
            let peers = turn::others(&world, &self.rollouts, release);
            let transition = turn::observe(rollout.clone(), observation, turn::context(&world, &peers, release), wall);
            let moves = transition.rollout.plan() != rollout.plan();
            if transition.records.is_empty() && !keep_time && !moves {
                self.note_rollout(&world, name, transition.rollout);
            } else if transition.rollout != rollout || !transition.records.is_empty() {
                decision.add(&name, transition);
            }
        }
        if keep_time {
            self.time_kept = now;
        }
        self.measuring.readings.clear();
        let again = decision.each();
        match self.decide(&world, decision, wall).await {
            Ok(()) => {}
            // Shown by `show`; the next turn tries again, and knows what this one saw.
            Err(CommandError::Store(_)) => {
                self.watch(windows);
                self.give_again(given, |rollout| !matches!(rollout.state, State::Progressing(_)));
            }
            Err(error) => {
                tracing::error!("not everything can be decided: {error}");
                let undecided = self.decide_each(&world, again, wall).await;
                self.give_again(given, |rollout| undecided.contains(&rollout.release));
            }
        }
        self.show();
    }

    pub(super) async fn decide(
        &mut self,
        world: &Arc<World>,
        decision: Decision,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        if decision.is_empty() && self.unkept.is_empty() {
            return Ok(());
        }
        let plans = turn::with_plans_of(&self.plans, &decision.rollouts);
        let built = self.build(world, plans).map_err(|e| CommandError::Refused(turn::join(&e)))?;
        self.carry_out(decision, built, now).await.map_err(|e| CommandError::Store(e.to_string()))
    }

    /// What groups are to be given that they do not have yet, in this world under these plans.
    pub(super) fn build(&mut self, world: &Arc<World>, plans: Plans) -> Result<Built, Vec<Refusal>> {
        if plans.ptr_eq(&self.plans) && self.world.as_ref().is_some_and(|own| Arc::ptr_eq(own, world)) {
            return Ok(Built { plans, snapshots: Vec::new() });
        }
        let refused = |errors: Vec<TranslateError>| errors.into_iter().map(Refusal::Translate).collect::<Vec<_>>();
        let groups = self.translator.build(world, &plans).map_err(refused)?;
        let other = self.published.diff(groups).filter_map(|item| match item {
            DiffItem::Add(group, snapshot) | DiffItem::Update { new: (group, snapshot), .. } => {
                Some((group.clone(), Arc::clone(snapshot)))
            }
            // A group that is no more has no proxies, or they are about to be told that they are another's.
            DiffItem::Remove(..) => None,
        });
        Ok(Built { snapshots: other.collect(), plans })
    }

    /// Keeps a decision, then publishes it.
    async fn carry_out(&mut self, decision: Decision, built: Built, now: Timestamp) -> Result<(), StoreError> {
        let Built { plans, snapshots } = built;
        let batch = decision.batch(&self.unkept, snapshots, now);
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
                batch.records.iter().for_each(|(name, _)| *self.journal.entry(name.clone()).or_default() += 1);
            }
            Err(error) => {
                let text = error.to_string();
                if self.store_error.replace(text.clone()).is_none() {
                    tracing::error!("the store fails, so nothing advances: {text}");
                }
                return if self.revert_unkept(&decision, now) { Ok(()) } else { kept };
            }
        }
        self.adopt(decision, Built { plans, snapshots: batch.snapshots }, now);
        kept
    }

    pub(super) fn adopt(&mut self, decision: Decision, built: Built, now: Timestamp) {
        decision.log();
        for name in &decision.removed {
            self.rollouts.remove(name);
            self.collectors.retain(|release, _| release != name);
            self.active.remove(name);
            self.unshown.insert(name.clone());
        }
        let world = decision.world.clone().or_else(|| self.world.clone()).unwrap_or_default();
        let in_a_hurry = self.in_a_hurry(&decision, &world);
        if decision.world.is_some() {
            self.set_canaries(&world);
        }
        for (name, rollout) in decision.rollouts {
            let before: Option<TrafficPlan> = self.rollouts.get(&name).map(Rollout::plan);
            if before.as_ref() != Some(&rollout.plan()) {
                self.collectors.restart(&name, rollout.basis());
                self.audiences.publish(&name);
                self.settled.remove(&name);
            }
            self.note_rollout(&world, name, rollout);
        }
        self.plans = built.plans;
        for (group, snapshot) in built.snapshots {
            match in_a_hurry.contains(&group) {
                true => self.cache.publish_at_once(&group, Arc::clone(&snapshot)),
                false => self.cache.publish(&group, Arc::clone(&snapshot)),
            }
            self.published.insert(group.clone(), Arc::clone(&snapshot));
            self.groups.insert(group, (snapshot, now));
        }
        // After the snapshots: a proxy that changes its fleet finds what it is to have.
        if let Some(world) = decision.world {
            self.follow(&world);
            self.worlds.send_replace(Some(Arc::clone(&world)));
            self.world = Some(world);
        }
    }

    /// A rollout is where it is now.
    fn note_rollout(&mut self, world: &World, name: String, rollout: Rollout) {
        match world.releases.get(&name) {
            Some(release) if !rollout.is_at_rest(release) => drop(self.active.insert(name.clone())),
            Some(_) | None => drop(self.active.remove(&name)),
        }
        self.unshown.insert(name.clone());
        self.rollouts.insert(name, rollout);
    }

    /// Turns to the releases of a world.
    fn follow(&mut self, world: &World) {
        self.collectors.retain(|name, _| world.releases.contains_key(name));
        self.settled.retain(|name, _| world.releases.contains_key(name));
        self.audiences = Audiences::of(world);
        let moves =
            |(name, release)| self.rollouts.get(name).is_some_and(|rollout: &Rollout| !rollout.is_at_rest(release));
        self.active = world.releases.iter().filter(|one| moves(*one)).map(|(name, _)| name.clone()).collect();
        self.unshown.extend(self.shown.keys().chain(world.releases.keys()).cloned());
    }
}

/// What is to be published, once it is kept.
pub(super) struct Built {
    /// What it was built of.
    pub(super) plans: Plans,
    pub(super) snapshots: Vec<(String, Arc<Snapshot>)>,
}

#[cfg(test)]
mod tests;
