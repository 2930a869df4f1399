//! SHELL: the one owner of all rollouts.
//!
//! A turn reads the full state (specs, proxies, reports), lets the pure machine decide, keeps the decision, and only
//! then publishes it. Hints (an ACK, an order, a new set of specs) only make the next turn come sooner.
//!
//! Invariants: nothing is published that was not kept, with one exception: a revert is published even when the store
//! fails, because standing still would go on hurting users; it is kept as soon as the store is back.

mod audience;
mod collectors;
mod desk;
mod hearing;
mod held;
mod outage;
mod refusal;
mod show;
mod sight;
mod turn;

use std::sync::Arc;
use std::time::{Duration, Instant};

use imbl::OrdMap;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

pub use desk::Desk;
pub use refusal::Refusal;

use super::{Answer, Call, Command, CommandError, MeasureRequest, Measured, ReleaseStatus};
use crate::model::World;
use crate::spec::Loaded;
use crate::store::Store;
use crate::telemetry::{Batches, Focus};
use crate::xds::{Cache, Proxies, Snapshot};

/// Time between two turns when nothing hints at anything.
const TICK: Duration = Duration::from_millis(250);
/// Time that hints are collected for before a turn.
const HINT_DELAY: Duration = Duration::from_millis(10);

/// An order and where to answer.
#[derive(Debug)]
pub struct Order {
    /// The release's name.
    pub release: String,
    /// What to do.
    pub command: Command,
    /// Gets the release after the command.
    pub reply: oneshot::Sender<Result<ReleaseStatus, CommandError>>,
}

/// What the engine shows to the world. Two that share most of what they show are compared at little cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// By name.
    pub releases: OrdMap<String, Arc<ReleaseStatus>>,
    /// Per group, what its proxies are given now, and since when.
    pub groups: OrdMap<String, (Arc<Snapshot>, Timestamp)>,
    /// When the specs in force were applied.
    pub applied_at: Option<Timestamp>,
    /// How many fleets they have.
    pub fleets: usize,
    /// How many services they have.
    pub services: usize,
    /// What is wrong with the newest specs, each rendered for people.
    pub diagnostics: Vec<String>,
    /// Why the store does not take decisions, when it does not.
    pub store_error: Option<String>,
    /// By release: how many entries its journal has gained in this process. It outlives the release, as the journal does.
    pub journal: OrdMap<String, u64>,
}

/// How other shells reach the engine.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    orders: mpsc::Sender<Order>,
    view: watch::Receiver<Arc<View>>,
}

/// What those outside are to be asked now, by release, and each change of it.
pub type Calls = watch::Receiver<Vec<(String, Call)>>;

/// What others are to measure now, and each change of it.
pub type Measurements = watch::Receiver<Vec<MeasureRequest>>;

/// The specs in force, and each change of them.
pub type Worlds = watch::Receiver<Option<Arc<World>>>;

impl EngineHandle {
    /// From its two channels.
    pub fn new(orders: mpsc::Sender<Order>, view: watch::Receiver<Arc<View>>) -> Self {
        Self { orders, view }
    }

    /// Gives an order and waits until it is recorded and published, or refused.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn order(&self, release: &str, command: Command) -> Result<ReleaseStatus, CommandError> {
        let (reply, answer) = oneshot::channel();
        let order = Order { release: release.to_owned(), command, reply };
        self.orders.send(order).await.map_err(|_| CommandError::Stopped)?;
        answer.await.map_err(|_| CommandError::Stopped)?
    }

    /// The newest view; each reader skips to the newest.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }
}

/// What the engine works with.
pub struct Inputs {
    /// Keeps its decisions.
    pub store: Arc<dyn Store>,
    /// Where it publishes.
    pub cache: Cache,
    /// How far the proxies are.
    pub proxies: Proxies,
    /// What the proxies count.
    pub reports: Batches,
    /// Which clusters they report one by one, and the sum of the others.
    pub focus: Focus,
    /// What those outside have answered, by release.
    pub answers: mpsc::Receiver<(String, Answer)>,
    /// What others have measured.
    pub measured: mpsc::Receiver<Measured>,
    /// What is wanted.
    pub specs: watch::Receiver<Loaded>,
    /// Becomes true when it is time to stop.
    pub stop: watch::Receiver<bool>,
}

/// The engine's running part.
pub struct Engine {
    desk: Desk,
    inputs: Inputs,
    orders: mpsc::Receiver<Order>,
    last_turn: Instant,
}

impl Engine {
    /// Takes up what the store kept: publishes the last snapshots, so that proxies are served before the specs are
    /// read, or when they cannot be.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn start(inputs: Inputs) -> Result<(Self, EngineHandle, Worlds, Calls), crate::store::StoreError> {
        let mut desk = Desk::restore(Arc::clone(&inputs.store), inputs.cache.clone())?;
        desk.listen(inputs.focus.clone());
        let (orders_in, orders) = mpsc::channel(64);
        let handle = EngineHandle::new(orders_in, desk.view());
        let (worlds, calls) = (desk.worlds(), desk.asked());
        Ok((Self { desk, inputs, orders, last_turn: Instant::now() }, handle, worlds, calls))
    }

    /// What others are to measure now, and each change of it.
    pub fn measurements(&self) -> Measurements {
        self.desk.measurements()
    }

    /// Runs until told to stop.
    pub async fn run(mut self) {
        let mut proxies = self.inputs.proxies.changes();
        let mut stop = self.inputs.stop.clone();
        let mut reports = Vec::new();
        self.inputs.specs.mark_changed();
        // Only a turn moves it: however many orders and specs come, the guard looks in time.
        let mut next = tokio::time::Instant::now() + TICK;
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                Some(order) = self.orders.recv() => self.carry_out(order).await,
                Ok(()) = self.inputs.specs.changed() => self.read_specs().await,
                1.. = self.inputs.reports.next(&mut reports) => {
                    reports.drain(..).for_each(|report| self.desk.note(&report));
                }
                Some((release, answer)) = self.inputs.answers.recv() => {
                    self.desk.answered(&release, answer, Timestamp::now()).await;
                }
                Some(measured) = self.inputs.measured.recv() => self.desk.measured(measured),
                Ok(()) = proxies.changed() => {
                    next = next.min(tokio::time::Instant::now() + HINT_DELAY);
                }
                () = tokio::time::sleep_until(next) => {
                    self.observe().await;
                    next = tokio::time::Instant::now() + TICK;
                }
            }
        }
    }

    async fn carry_out(&mut self, order: Order) {
        let Order { release, command, reply } = order;
        let answer = self.desk.order(&release, command, Timestamp::now()).await;
        // Whoever asked may have gone away: the order stands all the same.
        let _ = reply.send(answer);
    }

    async fn read_specs(&mut self) {
        let loaded = self.inputs.specs.borrow_and_update().clone();
        self.desk.take_specs(loaded, Timestamp::now()).await;
        if self.desk.can_serve() {
            self.inputs.cache.ready();
        }
    }

    async fn observe(&mut self) {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(std::mem::replace(&mut self.last_turn, now));
        let proxies = self.inputs.proxies.list();
        self.desk.observe(&proxies, elapsed, now, Timestamp::now()).await;
    }
}

/// Ends when it is time to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone: that is time, too.
    let _ = stop.wait_for(|stop| *stop).await;
}
