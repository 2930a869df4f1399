//! SHELL: where endpoints come from when the specs do not list them: DNS, a file, or those who register.
//!
//! Owns looking them up, what is known of them ([`inventory`], pure), and the specs with that filled in, which is what
//! the engine is given. Must not know releases or proxies.
//!
//! Invariants: specs are not passed on before each of their new sources was looked at, or [`FIRST_LOOK`] is over; what
//! is known is never less than what was in force before a restart.

mod dns;
mod file;
pub mod inventory;
mod readers;
mod registry;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub use dns::{Lookup, Resolver, system};
pub use inventory::RegistryError;
pub use registry::Registry;

use inventory::Inventory;
use readers::{News, Readers};
use registry::Request;

use crate::model::World;
use crate::spec::{Loaded, Origins, Specs};

/// How long specs wait for the first look at their new sources. Without, a version would be without endpoints for the
/// moment that a look takes.
pub const FIRST_LOOK: Duration = Duration::from_secs(2);
/// Time that changes are collected for: endpoints of one version often come and go together.
const GATHER: Duration = Duration::from_millis(50);
/// Time between two looks at what is over.
const TICK: Duration = Duration::from_millis(250);
/// Requests and readings that may wait.
const WAITING: usize = 64;

/// What is worked with.
pub struct Inputs {
    /// The specs as they are written.
    pub specs: watch::Receiver<Loaded>,
    /// Where they go with endpoints filled in.
    pub resolved: watch::Sender<Loaded>,
    /// What was in force before a restart.
    pub restored: Option<Arc<World>>,
    /// The directory that files of endpoints are below of.
    pub directory: PathBuf,
    /// Looks up names.
    pub resolver: Resolver,
    /// Becomes true when it is time to stop.
    pub stop: watch::Receiver<bool>,
}

/// Starts to follow the specs and their sources. Must be called within a tokio runtime.
pub fn start(inputs: Inputs) -> Registry {
    let (requests, taken) = mpsc::channel(WAITING);
    let (told, news) = mpsc::channel(WAITING);
    let Inputs { specs, resolved, restored, directory, resolver, stop } = inputs;
    let restored = restored
        .map(|world| Arc::new(Specs { world: (*world).clone(), origins: Origins::default(), warnings: Vec::new() }));
    let follower = Follower {
        inventory: Inventory::default(),
        readers: Readers::new(directory, resolver, told),
        resolved,
        loaded: Loaded::default(),
        base: restored.clone(),
        fresh: false,
        shown: restored,
        generation: 0,
        due: None,
        held: false,
    };
    tokio::spawn(follower.run(specs, taken, news, stop));
    Registry::new(requests)
}

/// What is known, and what was passed on.
struct Follower {
    inventory: Inventory,
    readers: Readers,
    resolved: watch::Sender<Loaded>,
    /// The newest state of the specs.
    loaded: Loaded,
    /// The specs that endpoints are filled into: the last good ones, or else what was in force before a restart.
    base: Option<Arc<Specs>>,
    /// Whether these were not passed on yet. Their warnings are told once, and not with each change of an endpoint.
    fresh: bool,
    /// The same with endpoints.
    shown: Option<Arc<Specs>>,
    generation: u64,
    /// When to pass on what has changed.
    due: Option<Instant>,
    /// Whether that waits for the first look at a source.
    held: bool,
}

impl Follower {
    async fn run(
        mut self,
        mut specs: watch::Receiver<Loaded>,
        mut requests: mpsc::Receiver<Request>,
        mut news: mpsc::Receiver<News>,
        mut stop: watch::Receiver<bool>,
    ) {
        if let Some(base) = &self.base {
            self.inventory.follow(None, &base.world, Instant::now().into_std());
            self.readers.follow(&self.inventory);
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        specs.mark_changed();
        loop {
            let due = self.due;
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                changed = specs.changed() => match changed {
                    Ok(()) => {
                        let loaded = specs.borrow_and_update().clone();
                        self.take_specs(loaded);
                    }
                    Err(_) => return,
                },
                Some(request) = requests.recv() => self.answer(request),
                Some(news) = news.recv() => self.take_news(news),
                _ = tick.tick() => {
                    let changed = self.inventory.expire(Instant::now().into_std());
                    self.note(changed);
                }
                () = async { tokio::time::sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {
                    self.pass_on();
                }
            }
        }
    }

    fn take_specs(&mut self, loaded: Loaded) {
        if let Some(specs) = &loaded.specs {
            let before = self.shown.as_ref().map(|specs| &specs.world);
            self.inventory.follow(before, &specs.world, Instant::now().into_std());
            self.readers.follow(&self.inventory);
            self.fresh |= self.base.as_ref().is_none_or(|base| !Arc::ptr_eq(base, specs));
            self.base = Some(Arc::clone(specs));
        }
        self.loaded = loaded;
        self.held = self.inventory.has_unread();
        self.due = Some(Instant::now() + if self.held { FIRST_LOOK } else { Duration::ZERO });
    }

    fn take_news(&mut self, News { key, source, read }: News) {
        let (service, version) = (key.0.as_str(), key.1.as_str());
        let before = self.inventory.error(&key).map(str::to_owned);
        let changed = self.inventory.read(&key, &source, read, Instant::now().into_std());
        match (self.inventory.error(&key), before) {
            (Some(error), before) if before.as_deref() != Some(error) => {
                tracing::warn!(service, version, "the last known endpoints stay: {error}");
            }
            (None, Some(_)) => tracing::info!(service, version, "endpoints are known again"),
            (Some(_), _) | (None, None) => {}
        }
        if changed {
            tracing::info!(service, version, "endpoints have changed");
        }
        self.note(changed);
    }

    fn answer(&mut self, request: Request) {
        let nothing = World::default();
        let world = self.base.as_ref().map_or(&nothing, |specs| &specs.world);
        let changed = request.carry_out(&mut self.inventory, world, Instant::now().into_std());
        self.note(changed);
    }

    /// Decides when to pass on what is known now.
    fn note(&mut self, changed: bool) {
        if self.held && !self.inventory.has_unread() {
            self.held = false;
            self.due = Some(Instant::now());
        } else if changed && self.due.is_none() {
            self.due = Some(Instant::now() + GATHER);
        }
    }

    /// Passes on the specs with the endpoints that are known now.
    fn pass_on(&mut self) {
        (self.due, self.held) = (None, false);
        // The engine begins with what was in force by itself; there is nothing to add before specs were read.
        if self.loaded.generation == 0 {
            return;
        }
        self.generation += 1;
        let fresh = std::mem::take(&mut self.fresh);
        self.shown = self.base.as_ref().map(|base| match self.inventory.resolve(&base.world) {
            Cow::Borrowed(_) => Arc::clone(base),
            Cow::Owned(world) => {
                let warnings = if fresh { base.warnings.clone() } else { Vec::new() };
                Arc::new(Specs { world, origins: base.origins.clone(), warnings })
            }
        });
        self.resolved.send_replace(Loaded {
            specs: self.shown.clone(),
            generation: self.generation,
            ..self.loaded.clone()
        });
    }
}

#[cfg(test)]
mod tests;
