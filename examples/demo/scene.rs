//! The story: v1 is live; v2 is committed and promoted; v3 is committed and reverted. One task sees everything: the
//! release's states, the load's records, the clock.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serin_testbed::load::{Load, LoadConfig, Summary};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use crate::cast::Cast;
use crate::report::{Report, Take};
use crate::status::{Release, Watch};
use crate::view::{Picture, ProxyRow, View};

/// How the scene is played.
pub(crate) struct Options {
    /// Requests per second over all proxies.
    pub rate: f64,
    /// How long a release may take.
    pub deadline: Duration,
    /// Which requests v3 fails.
    pub seed: u64,
    /// Whether to draw on a terminal.
    pub live: bool,
}

/// The host that the service answers to.
const HOST: &str = "shop.example.com";
/// How long the load runs before, between and after the releases.
const QUIET: Duration = Duration::from_secs(4);
/// Connections to each listener. Two Envoys share it and the kernel spreads connections over them by hash: that one
/// gets none of 32 has a chance of one in two thousand million.
const CONNECTIONS: usize = 32;
/// How often the picture is redrawn.
const REDRAW: Duration = Duration::from_millis(200);
/// Redraws to a second of load.
const REDRAWS: u32 = 5;

/// Plays the scene once.
pub(crate) async fn play(options: &Options) -> Result<Report> {
    println!("starting the control plane, four Envoys and six upstreams");
    let cast = Cast::start(options.seed).await?;
    let mut stage = Stage::new(cast, options)?;
    match stage.story(options.deadline).await {
        Ok(()) => Ok(Report::new(stage.end().await?)),
        Err(error) => Err(error.context(stage.cast.server.tail())),
    }
}

struct Stage {
    cast: Cast,
    watch: Watch,
    load: Load,
    tick: Interval,
    ticks: u32,
    view: View,
    scene: &'static str,
    /// The load's last whole second, and the one that is being counted.
    second: (Summary, Summary),
    rows: Vec<ProxyRow>,
    take: Take,
}

impl Stage {
    fn new(cast: Cast, options: &Options) -> Result<Self> {
        let watch = Watch::start(&cast.server)?;
        let config =
            LoadConfig { connections: CONNECTIONS, ..LoadConfig::new(cast.listeners.to_vec(), options.rate, HOST) };
        let rows = cast.proxies.iter().map(|proxy| ProxyRow {
            id: proxy.envoy.id().to_owned(),
            variant: proxy.variant,
            ..ProxyRow::default()
        });
        let started = Instant::now();
        let mut tick = interval(REDRAW);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            watch,
            load: Load::start(config),
            tick,
            ticks: 0,
            view: View::new(options.live),
            scene: "v1 is live",
            second: Default::default(),
            rows: rows.collect(),
            take: Take {
                started,
                states: Vec::new(),
                records: Vec::new(),
                overload: 0,
                v2: (started, None),
                v3: None,
                served: Vec::new(),
            },
            cast,
        })
    }

    async fn story(&mut self, deadline: Duration) -> Result<()> {
        let proxies = self.cast.size();
        self.until(deadline, |release| release.is_live("v1") && release.proxies == proxies)
            .await?
            .with_context(|| format!("v1 is not live on {proxies} proxies: {:?}", self.take.states.last()))?;
        self.pass(QUIET).await?;
        self.everyone_serves().await?;

        self.scene = "v2 is committed: a good version";
        self.take.v2.0 = self.commit("v2")?;
        let decided = self.until(deadline, |release| release.is_live("v2") || release.is_refused("v2")).await?;
        self.take.v2.1 = decided.filter(|_| self.now().is_live("v2"));
        if self.take.v2.1.is_none() {
            return Ok(());
        }
        self.scene = "v2 is live";
        self.pass(QUIET).await?;

        self.scene = "v3 is committed: it fails one request in five";
        let committed = self.commit("v3")?;
        self.take.v3 = Some((committed, None));
        let decided = self.until(deadline, |release| release.is_out("v3", proxies) || release.is_live("v3")).await?;
        let out = decided.filter(|_| self.now().is_out("v3", proxies));
        self.take.v3 = Some((committed, out));
        self.scene = if out.is_some() { "v3 is out, v2 has all the traffic" } else { "v3 was not reverted" };
        self.pass(QUIET).await
    }

    fn commit(&self, version: &str) -> Result<Instant> {
        let at = Instant::now();
        self.cast.commit(version)?;
        Ok(at)
    }

    fn now(&self) -> Release {
        self.take.states.last().map(|(_, release)| release.clone()).unwrap_or_default()
    }

    /// Lets time go by.
    async fn pass(&mut self, time: Duration) -> Result<()> {
        self.until(time, |_| false).await.map(drop)
    }

    /// Takes in everything until a state is received that is `done`: returns when, or nothing when the time is over.
    async fn until(&mut self, time: Duration, done: impl Fn(&Release) -> bool) -> Result<Option<Instant>> {
        let end = Instant::now() + time;
        if let Some((at, _)) = self.take.states.last().filter(|(_, release)| done(release)) {
            return Ok(Some(*at));
        }
        loop {
            tokio::select! {
                state = self.watch.next() => {
                    let (at, release) = state?;
                    let is_done = done(&release);
                    self.take.states.push((at, release));
                    self.draw();
                    if is_done {
                        return Ok(Some(at));
                    }
                }
                record = self.load.next() => {
                    let record = record.context("the load has ended by itself")?;
                    self.second.1.add(&record);
                    self.take.records.push(record);
                }
                _ = self.tick.tick() => self.ticked().await?,
                () = sleep_until(end) => return Ok(None),
            }
        }
    }

    async fn ticked(&mut self) -> Result<()> {
        self.ticks += 1;
        if self.ticks.is_multiple_of(REDRAWS) {
            self.second = (std::mem::take(&mut self.second.1), Summary::default());
            self.count_served().await?;
        }
        self.draw();
        Ok(())
    }

    async fn count_served(&mut self) -> Result<()> {
        for (row, served) in self.rows.iter_mut().zip(self.cast.served().await?) {
            row.served = served;
        }
        Ok(())
    }

    /// No proxy may sit idle: then the scene would not show what it says.
    async fn everyone_serves(&mut self) -> Result<()> {
        self.count_served().await?;
        let idle = self.rows.iter().find(|row| row.served.values().all(|count| *count == 0));
        ensure!(idle.is_none(), "{} has served nothing: {:?}", idle.map_or("", |row| &row.id), self.rows);
        Ok(())
    }

    fn draw(&mut self) {
        // Before the first state there is nothing to show.
        let Some((_, release)) = self.take.states.last() else { return };
        self.view.show(&Picture {
            elapsed: self.take.started.elapsed(),
            scene: self.scene,
            release,
            second: &self.second.0,
            proxies: &self.rows,
        });
    }

    /// Ends the load, and gives out what was seen.
    async fn end(mut self) -> Result<Take> {
        let control = self.load.control();
        control.stop();
        while let Some(record) = self.load.next().await {
            self.take.records.push(record);
        }
        self.take.overload = control.overload();
        self.count_served().await?;
        self.take.served = self.rows.into_iter().map(|row| (row.id, row.served)).collect();
        Ok(self.take)
    }
}
