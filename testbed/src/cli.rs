//! The command line: an upstream, a load, a health check, or the fan-out benchmark, each until SIGINT or SIGTERM.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::load::{Load, LoadConfig, LoadControl, Record, Summary};
use crate::upstream::{Behaviour, Upstream, UpstreamConfig};
use crate::{fanout, http};

/// Parts of Serin's demo: an upstream, or a load.
#[derive(Debug, Parser)]
#[command(name = "serin-testbed", version)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve as one version of a service, failing and dawdling as told.
    Upstream(UpstreamArgs),
    /// Send requests on a schedule, whether or not earlier ones were answered.
    Load(LoadArgs),
    /// Succeed when an address answers 200 on a path: a container's health check.
    Check(CheckArgs),
    /// Measure how long a push takes to reach thousands of streams.
    Fanout(fanout::command::Args),
}

#[derive(Debug, Args)]
struct UpstreamArgs {
    /// Where to listen.
    #[arg(long, env = "TESTBED_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// The version that it says it is, in `x-version`.
    #[arg(long, env = "TESTBED_VERSION", default_value = "v1")]
    version_name: String,
    /// The share of requests to answer 500, 0 to 1.
    #[arg(long, env = "TESTBED_ERROR_RATE", default_value_t = 0.0, value_parser = share)]
    error_rate: f64,
    /// How long every answer takes: 2ms, 1s.
    #[arg(long, env = "TESTBED_LATENCY", default_value = "0ms", value_parser = duration)]
    latency: Duration,
    /// The share of requests that take `--slow-latency` more, 0 to 1.
    #[arg(long, env = "TESTBED_SLOW_RATE", default_value_t = 0.0, value_parser = share)]
    slow_rate: f64,
    /// What a slow request takes more.
    #[arg(long, env = "TESTBED_SLOW_LATENCY", default_value = "0ms", value_parser = duration)]
    slow_latency: Duration,
    /// What the choice of failing and slow requests depends on.
    #[arg(long, env = "TESTBED_SEED", default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct LoadArgs {
    /// Where to send requests, HOST:PORT; given several times, in turn.
    #[arg(long = "target", env = "TESTBED_TARGETS", value_delimiter = ',', required = true)]
    targets: Vec<String>,
    /// Requests per second over all targets.
    #[arg(long, env = "TESTBED_RATE", default_value_t = 400.0, value_parser = rate)]
    rate: f64,
    /// The Host header.
    #[arg(long, env = "TESTBED_HOST", default_value = "shop.example.com")]
    host: String,
    /// The path.
    #[arg(long, default_value = "/")]
    path: String,
    /// Keep-alive connections to each target.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// How many requests may be unanswered at a time; further ones are counted as overload.
    #[arg(long, default_value_t = 2_000)]
    max_in_flight: usize,
    /// How long an answer may take.
    #[arg(long, default_value = "5s", value_parser = duration)]
    timeout: Duration,
    /// End after this time; without it, on a signal.
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The address.
    addr: SocketAddr,
    /// The path.
    #[arg(default_value = "/healthz")]
    path: String,
}

impl Cli {
    /// Carries it out.
    ///
    /// # Errors
    /// When an address cannot be bound or resolved, or the check fails.
    pub async fn run(self) -> Result<()> {
        match self.verb {
            Verb::Upstream(args) => args.run().await,
            Verb::Load(args) => args.run().await,
            Verb::Fanout(args) => {
                tokio::select! {
                    result = args.run() => result,
                    ended = ended_by_signal() => ended.and(Err(anyhow::anyhow!("interrupted"))),
                }
            }
            Verb::Check(args) => http::get_ok(args.addr, &args.path).await.map(drop),
        }
    }
}

impl UpstreamArgs {
    async fn run(self) -> Result<()> {
        let upstream = Upstream::start(UpstreamConfig {
            listen: self.listen,
            version: self.version_name,
            behaviour: Behaviour {
                error_rate: self.error_rate,
                latency: self.latency,
                slow_rate: self.slow_rate,
                slow_latency: self.slow_latency,
                only_with: None,
            },
            seed: self.seed,
        })
        .await
        .with_context(|| format!("listen on {}", self.listen))?;
        println!("{} listens on {}", upstream.version(), upstream.addr());
        ended_by_signal().await?;
        println!("{} requests, {} failed", upstream.requests(), upstream.errors());
        upstream.stop().await;
        Ok(())
    }
}

impl LoadArgs {
    async fn run(self) -> Result<()> {
        let mut targets = Vec::with_capacity(self.targets.len());
        for target in &self.targets {
            let mut addrs = tokio::net::lookup_host(target).await.with_context(|| format!("resolve {target}"))?;
            targets.push(addrs.next().with_context(|| format!("{target} has no address"))?);
        }
        let load = Load::start(LoadConfig {
            path: self.path,
            connections: self.connections,
            max_in_flight: self.max_in_flight,
            timeout: self.timeout,
            ..LoadConfig::new(targets, self.rate, self.host)
        });
        let summary = report(load, self.duration.unwrap_or(Duration::MAX)).await?;
        println!("{summary}");
        Ok(())
    }
}

/// Prints a line a second, until the time is over or a signal comes.
async fn report(mut load: Load, time: Duration) -> Result<Summary> {
    let second = Duration::from_secs(1);
    let (start, control) = (Instant::now(), load.control());
    let mut tick = interval_at(start + second, second);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut summary, mut recent) = (Summary::default(), Summary::default());
    let mut end = std::pin::pin!(tokio::time::timeout(time, ended_by_signal()));
    loop {
        tokio::select! {
            ended = end.as_mut() => { if let Ok(signal) = ended { signal?; } break }
            record = load.next() => match record {
                Some(record) => count(&mut [&mut summary, &mut recent], &record),
                None => break,
            },
            _ = tick.tick() => println!("{}", line(start.elapsed(), &std::mem::take(&mut recent), &control)),
        }
    }
    load.finish(&mut summary).await;
    Ok(summary)
}

fn count(summaries: &mut [&mut Summary], record: &Record) {
    summaries.iter_mut().for_each(|summary| summary.add(record));
}

/// The last second in a line.
fn line(elapsed: Duration, recent: &Summary, control: &LoadControl) -> String {
    let mut line = format!("{:>4}s", elapsed.as_secs());
    for (name, version) in &recent.versions {
        let p99 = version.p50_p99().1.unwrap_or_default().as_secs_f64() * 1e3;
        let (requests, failures) = (version.requests, version.failures);
        line +=
            &format!(" | {} {requests}/s {failures} failed p99 {p99:.0} ms", name.as_deref().unwrap_or("(no version)"));
    }
    line += &format!(" | {} in flight", control.in_flight());
    if control.overload() > 0 {
        line += &format!(", {} not sent (overload)", control.overload());
    }
    line
}

/// Ends with SIGINT or SIGTERM: as a container's first process it must handle both itself.
async fn ended_by_signal() -> Result<()> {
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
    Ok(())
}

fn share(text: &str) -> Result<f64> {
    let share: f64 = text.parse()?;
    ensure!((0.0..=1.0).contains(&share), "a share is a number from 0 to 1");
    Ok(share)
}

fn rate(text: &str) -> Result<f64> {
    let rate: f64 = text.parse()?;
    ensure!(rate > 0.0 && rate <= 100_000.0, "a rate is more than 0 and at most 100000 requests per second");
    Ok(rate)
}

/// `1500ms`, `2s`, `1m`.
fn duration(text: &str) -> Result<Duration> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).context("a duration has a unit: ms, s or m")?;
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        other => anyhow::bail!("the unit is ms, s or m, not {other}"),
    };
    Ok(Duration::try_from_secs_f64(number.parse::<f64>()? * seconds)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let good = |line: &str| Cli::try_parse_from(line.split(' ')).map(drop).map_err(|error| error.to_string());
        for line in [
            "serin-testbed upstream --listen 127.0.0.1:0 --version-name v3 --error-rate 0.2 --latency 2ms --seed 7",
            "serin-testbed load --target 127.0.0.1:1 --target edge-2:10000 --rate 400 --duration 1m",
            "serin-testbed check 127.0.0.1:8080",
            "serin-testbed fanout bench --server target/release/examples/fanout_server --streams 1000,5000 --runs 3",
            "serin-testbed fanout clients 127.0.0.1:1 --streams 100 --stalled 1 --protocol delta",
        ] {
            assert_eq!(good(line), Ok(()), "{line}");
        }
        for line in [
            "serin-testbed upstream --error-rate 1.5",
            "serin-testbed upstream --latency 5",
            "serin-testbed load",
            "serin-testbed load --target a:1 --rate 0",
            "serin-testbed load --target a:1 --duration 1h",
        ] {
            assert!(good(line).is_err(), "{line}");
        }
    }

    #[tokio::test]
    async fn a_load_reports_and_ends_by_itself() {
        let upstream = Upstream::start(UpstreamConfig::local("v1")).await.expect("a port");
        let load = Load::start(LoadConfig::new(vec![upstream.addr()], 200.0, "a"));
        let control = load.control();
        crate::wait::until("a request", Duration::from_secs(60), || async {
            ensure!(upstream.requests() > 0, "none came");
            Ok(())
        })
        .await
        .expect("it sends");
        let summary = report(load, Duration::from_millis(300)).await.expect("a summary");
        assert!(summary.version("v1").requests > 0);
        let text = line(Duration::from_secs(3), &summary, &control);
        assert!(text.starts_with("   3s | v1 ") && text.ends_with("| 0 in flight"), "{text}");
    }
}
