//! Plays a script: one task drives, one looks at the Envoys, and one for each service collects what became of requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::report::{Ledger, Report};
use super::script::{Act, Script, Transition};
use super::upstreams::Upstreams;
use super::world::{EXTRA, Picture, World, host};
use super::{Dice, Kind, Options, look};
use crate::envoy::EnvoyProcess;
use crate::load::{Load, LoadConfig, LoadControl, Outcome, Record};
use crate::process::ServerProcess;
use crate::upstream::VERSION_HEADER;
use crate::{http, ports, wait};

const SERVICES: [&str; 2] = ["checkout", "search"];
/// Name and xDS variant of each proxy.
const PROXIES: [(&str, &str); 2] = [("one", "delta"), ("two", "sotw")];
/// How long anything may take on a loaded machine before it counts as never.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long an answer may take. Not a measure of the proxies, but of how long a machine may be busy with other things.
const ANSWER: Duration = Duration::from_secs(15);
/// Connections to each proxy for each service: more than are ever busy at a time.
const CONNECTIONS: usize = 48;
/// The time between two looks at the Envoys.
const LOOK: Duration = Duration::from_millis(20);
/// For how long an Envoy drains a listener that was replaced, in seconds. Its default are ten minutes; here the end of it
/// is to come while there is still a load.
const LISTENER_DRAIN: u64 = 6;
/// The load's time before the first and after the last transition.
const QUIET: Duration = Duration::from_secs(2);

type Shared<T> = Arc<Mutex<T>>;

fn with<T, R>(shared: &Shared<T>, change: impl FnOnce(&mut T) -> R) -> R {
    change(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What is wanted of the Envoys.
#[derive(Debug, Clone, Default)]
struct Wanted {
    /// Counts the changes.
    generation: u64,
    /// How many transitions have had their last act.
    transitions: usize,
    /// For each proxy.
    pictures: Vec<Picture>,
}

/// How far the Envoys are, as counts of changes.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// All that is wanted is in force.
    in_force: u64,
    /// And nothing else is there.
    settled: u64,
    /// The last look.
    pictures: Vec<Picture>,
}

struct Stage {
    server: ServerProcess,
    envoys: Vec<EnvoyProcess>,
    ports: [u16; 2],
    upstreams: Upstreams,
    ledger: Shared<Ledger>,
    wanted: watch::Sender<Wanted>,
    seen: watch::Receiver<Seen>,
    looker: JoinHandle<()>,
    /// What was committed or ordered last.
    world: World,
    /// When the listeners that were replaced last are gone.
    drained: Instant,
}

pub(super) async fn play(options: &Options) -> Result<Report> {
    let world = World::new(&SERVICES);
    let mut stage = Stage::start(world.clone(), options).await?;
    let played = stage.play(world, options).await;
    if let Some(folder) = &options.logs {
        stage.keep_logs(folder)?;
    }
    let overload = played.with_context(|| stage.server.tail())?;
    let names: Vec<String> = PROXIES.iter().map(|(name, variant)| format!("{name} ({variant})")).collect();
    let empty = Ledger::new(0);
    let ledger = with(&stage.ledger, |ledger| std::mem::replace(ledger, empty));
    Ok(Report::new(options.seed, ledger, &names, overload))
}

impl Stage {
    /// Starts the upstreams, the server and the Envoys, and waits until all of the first world is in force.
    async fn start(world: World, options: &Options) -> Result<Self> {
        let addresses: [SocketAddr; 2] = ports::free()?;
        let mut upstreams = Upstreams::default();
        upstreams.follow(&world, 0).await?;
        let server = ServerProcess::new(&options.binary)?.arg("-v");
        let (wanted, seen) = (watch::Sender::new(Wanted::default()), watch::channel(Seen::default()).1);
        let ledger = Arc::new(Mutex::new(Ledger::new(PROXIES.len())));
        let ports = addresses.map(|addr| addr.port());
        let (looker, envoys) = (tokio::spawn(async {}), Vec::new());
        let (world, drained) = (&world, Instant::now());
        let mut stage =
            Self { server, envoys, ports, upstreams, ledger, wanted, seen, looker, world: world.clone(), drained };
        stage.commit(world)?;
        stage.server.start().await?;
        let drain = LISTENER_DRAIN.to_string();
        let mut arguments = vec!["--drain-time-s", &drain];
        if options.logs.is_some() {
            arguments.extend(["--component-log-level", "upstream:debug,router:debug,config:debug,conn_handler:debug"]);
        }
        for (name, variant) in PROXIES {
            let bootstrap = stage.server.bootstrap(name, name, variant).await?;
            stage.envoys.push(EnvoyProcess::start_with(name, &bootstrap, &arguments).await?);
        }
        stage.look();
        stage.want(world, 0);
        stage.until_in_force().await?;
        Ok(stage)
    }

    /// Begins to look at the Envoys.
    fn look(&mut self) {
        let admins: Vec<SocketAddr> = self.envoys.iter().map(EnvoyProcess::admin).collect();
        let (seen, receiver) = watch::channel(Seen::default());
        self.seen = receiver;
        self.looker = tokio::spawn(look_on(admins, self.wanted.subscribe(), seen, Arc::clone(&self.ledger)));
    }

    /// Returns how many requests could not be sent.
    async fn play(&mut self, world: World, options: &Options) -> Result<u64> {
        let loads: Vec<(LoadControl, JoinHandle<()>)> =
            SERVICES.into_iter().map(|service| self.load(service, options)).collect();
        sleep(QUIET).await;
        let played = self.transitions(world, options).await;
        if played.is_ok() {
            sleep(QUIET).await;
        }
        let mut overload = 0;
        for (control, collector) in loads {
            control.stop();
            collector.await.context("a load's collector")?;
            overload += control.overload();
        }
        played.map(|()| overload)
    }

    fn load(&self, service: &'static str, options: &Options) -> (LoadControl, JoinHandle<()>) {
        let targets = self.ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).to_vec();
        let rate = options.rate / SERVICES.len() as f64;
        let connections = CONNECTIONS;
        let config = LoadConfig { timeout: ANSWER, connections, ..LoadConfig::new(targets, rate, host(service)) };
        let mut load = Load::start(config);
        let (control, ledger) = (load.control(), Arc::clone(&self.ledger));
        let collector = tokio::spawn(async move {
            while let Some(record) = load.next().await {
                count(&ledger, service, &record);
            }
        });
        (control, collector)
    }

    async fn transitions(&mut self, world: World, options: &Options) -> Result<()> {
        let mut script = Script::new(world, Dice::new(options.seed));
        let mut pace = Dice::new(options.seed.wrapping_add(1));
        for number in 0..options.transitions {
            let Transition { kind, what, acts } = script.next();
            if options.verbose {
                let at = with(&self.ledger, |ledger| ledger.started.elapsed());
                println!("{:>9.3}s  #{number} {kind}: {what}", at.as_secs_f64());
            }
            self.carry_out(number, kind, &what, acts).await.with_context(|| format!("#{number} {kind}: {what}"))?;
            // The next one comes in the middle of this one, or right after it, or after a rest.
            let is_last = number + 1 == options.transitions;
            if pace.chance(0.6) || kind == Kind::ListenerChanged || is_last {
                self.until_in_force().await.with_context(|| format!("#{number} {kind}: {what}"))?;
                if kind == Kind::ListenerChanged {
                    self.drained = Instant::now() + Duration::from_secs(LISTENER_DRAIN);
                }
                if kind == Kind::ServiceRouted && self.world.extra.is_some() {
                    self.probe_extra().await;
                }
                if pace.chance(0.3) {
                    sleep(pace.up_to(Duration::from_secs(2))).await;
                }
            } else {
                sleep(pace.up_to(Duration::from_millis(250))).await;
            }
            let settled = self.seen.borrow().settled;
            self.upstreams.retire(settled);
        }
        let generation = self.wanted.borrow().generation;
        self.until(|seen| seen.settled >= generation).await
    }

    async fn carry_out(&mut self, number: usize, kind: Kind, what: &str, acts: Vec<Act>) -> Result<()> {
        let mut left =
            acts.iter().filter(|act| !matches!(act, Act::Await(_) | Act::AwaitDrained | Act::Pass(_))).count();
        let mut is_begun = false;
        for act in acts {
            let world = match &act {
                Act::Await(service) => {
                    self.until_release_stands(service).await?;
                    continue;
                }
                Act::AwaitDrained => {
                    sleep_until(self.drained).await;
                    continue;
                }
                Act::Pass(time) => {
                    sleep(*time).await;
                    continue;
                }
                Act::Commit(world) | Act::Promote(_, world) | Act::Abort(_, world) => world,
            };
            let generation = self.wanted.borrow().generation + 1;
            self.upstreams.follow(world, generation).await?;
            if !is_begun {
                is_begun = true;
                with(&self.ledger, |ledger| ledger.begin(kind, what));
            }
            left -= 1;
            // Wanted from now on: before it is done the Envoys cannot have it.
            self.want(world, if left == 0 { number + 1 } else { number });
            match &act {
                Act::Commit(world) => self.commit(world)?,
                Act::Promote(service, _) => drop(self.server.run(["promote", service]).await?),
                Act::Abort(service, _) => drop(self.server.run(["abort", service, "--reason", "soak"]).await?),
                Act::Await(_) | Act::AwaitDrained | Act::Pass(_) => {}
            }
        }
        Ok(())
    }

    fn want(&mut self, world: &World, transitions: usize) {
        let addresses = self.upstreams.addresses();
        let pictures = self.ports.iter().map(|port| world.picture(*port, &addresses)).collect();
        self.world.clone_from(world);
        self.wanted.send_modify(|wanted| {
            *wanted = Wanted { generation: wanted.generation + 1, transitions, pictures };
        });
    }

    fn commit(&self, world: &World) -> Result<()> {
        let proxies: Vec<(&str, u16)> = PROXIES.iter().zip(self.ports).map(|((name, _), port)| (*name, port)).collect();
        self.server.write_spec("specs.yaml", &world.specs(&proxies, &self.upstreams.addresses()))
    }

    /// Waits until every Envoy has all that is wanted.
    async fn until_in_force(&mut self) -> Result<()> {
        let generation = self.wanted.borrow().generation;
        self.until(|seen| seen.in_force >= generation).await
    }

    async fn until(&mut self, wanted: impl Fn(&Seen) -> bool) -> Result<()> {
        let waited = tokio::time::timeout(DEADLINE, self.seen.wait_for(wanted)).await.map(|seen| seen.map(drop));
        if let Ok(seen) = waited {
            return seen.context("nobody looks at the Envoys any more");
        }
        let (wanted, seen) = (self.wanted.borrow().pictures.clone(), self.seen.borrow().pictures.clone());
        anyhow::bail!("waited {DEADLINE:?} for the Envoys to have\n{wanted:#?}\nThey have\n{seen:#?}")
    }

    /// Waits until a release stands where it was driven to.
    async fn until_release_stands(&self, name: &str) -> Result<()> {
        let service = &self.world.services[name];
        wait::until(&format!("release {name} to stand as {service:?}"), DEADLINE, || async {
            let printed = self.server.run(["get", name, "-o", "json"]).await?;
            let release: Value = serde_json::from_str(&printed)?;
            let (phase, stable) = (release["phase"].as_str().unwrap_or_default(), &release["stableVersion"]);
            let stands = match service.rollout {
                Some(rollout) => {
                    phase == "PHASE_PAUSED"
                        && release["canaryVersion"] == format!("v{}", rollout.canary)
                        && release["step"].as_u64() == Some(rollout.step as u64 * 2 + 1)
                }
                None => ["PHASE_HEALTHY", "PHASE_DEGRADED"].contains(&phase),
            };
            ensure!(stands && *stable == format!("v{}", service.stable), "{release:#}");
            Ok(())
        })
        .await
    }

    /// The service that has no load is asked for once through each proxy.
    async fn probe_extra(&self) {
        for (target, port) in self.ports.into_iter().enumerate() {
            let scheduled = Instant::now();
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let outcome = match http::request(Method::GET, address, "/", &[("host", &host(EXTRA))]).await {
                Ok(answer) => {
                    let version = answer.header(VERSION_HEADER).map(str::to_owned);
                    Outcome::Answered { status: answer.status, version, said: Some(answer.body) }
                }
                Err(error) => Outcome::Failed(format!("{error:#}")),
            };
            count(&self.ledger, EXTRA, &Record { scheduled, finished: Instant::now(), target, user: None, outcome });
        }
    }

    fn keep_logs(&self, folder: &std::path::Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("serin.log"), self.server.log())?;
        for envoy in &self.envoys {
            std::fs::write(folder.join(format!("envoy-{}.log", envoy.id())), envoy.log())?;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.looker.abort();
    }
}

fn count(ledger: &Shared<Ledger>, service: &str, record: &Record) {
    let told = with(ledger, |ledger| {
        ledger.count(service, PROXIES[record.target].0, record).map(|failure| failure.told.clone())
    });
    if let Some(told) = told {
        println!("FAILED {told}");
    }
}

/// Looks at the Envoys for ever, and tells how far they are.
async fn look_on(
    admins: Vec<SocketAddr>,
    wanted: watch::Receiver<Wanted>,
    seen: watch::Sender<Seen>,
    ledger: Shared<Ledger>,
) {
    loop {
        let now = wanted.borrow().clone();
        let mut pictures = Vec::with_capacity(admins.len());
        for admin in &admins {
            // An Envoy that does not answer shows nothing: whoever waits for it tells so in the end.
            pictures.push(look::picture(*admin).await.unwrap_or_default());
        }
        if wanted.borrow().generation == now.generation && now.generation > 0 {
            let pairs = || pictures.iter().zip(&now.pictures);
            let is_in_force = pairs().all(|(picture, wanted)| picture.has(wanted));
            let is_settled = pairs().all(|(picture, wanted)| picture == wanted);
            if is_in_force {
                with(&ledger, |ledger| ledger.in_force(now.transitions, |kind| is_settled || !kind.removes()));
            }
            seen.send_modify(|seen| {
                if is_in_force {
                    seen.in_force = now.generation;
                }
                if is_settled {
                    seen.settled = now.generation;
                }
                seen.pictures = pictures;
            });
        }
        sleep(LOOK).await;
    }
}
