//! How much a change costs in a large world: `make bench-translate`.
//!
//! 10,000 services × 3 versions × 10 endpoints, once on one listener of one fleet, once on 100 fleets. Prints what a
//! full build takes, a step of one release, a moved endpoint, a new service, and a second fleet with the same services;
//! and beside a step the least that it could take: a copy and a hash of the route configuration that it changes.

mod engine;
mod scene;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use serin::translate::Translator;
use serin::translate::translator::Work;
use serin::xds::{ResourceType, ResourceVersion};

use scene::{Size, plans, step, with_endpoint_moved, with_fleets_doubled, with_service_added, world};

/// How many proxies the engine looks at.
const PROXIES: usize = 100;

/// Measures translation.
#[derive(Debug, Parser)]
#[command(name = "bench_translate")]
struct Args {
    /// How many services there are, over all fleets.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    services: u32,
    /// How often each change is measured.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Over how many fleets they are spread. For each a process of its own, or memory that is free by now is not seen.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    fleets: u32,
}

fn main() -> Result<()> {
    let Args { services, runs, fleets } = Args::parse();
    let (services, runs, fleets) = (services as usize, runs as usize, fleets as usize);
    let size = Size { fleets, services: services / fleets, versions: 3, endpoints: 10 };
    println!("{fleets} x {} services x 3 versions x 10 endpoints, {runs} runs of each change", size.services);
    measure(size, runs);
    println!("  with a release of every service and {PROXIES} proxies:");
    tokio::runtime::Runtime::new()?.block_on(engine::measure(size, PROXIES, runs))
}

fn measure(size: Size, runs: usize) {
    let world = world(size);
    let mut now = plans(&world);
    let mut translator = Translator::new();
    let (memory, begun) = (resident(), Instant::now());
    translator.build(&world, &now).expect("a world without faults");
    line("full build", &mut [begun.elapsed()], translator.work());
    println!("  {:<24}{:.1} MiB", "  memory", (resident() - memory) / MIB);

    let mut kept = Vec::new();
    let memory = resident();
    let mut steps = Vec::new();
    for number in 0..runs {
        now = step(&now, number);
        let begun = Instant::now();
        let groups = translator.build(&world, &now).expect("a step without faults");
        steps.push(begun.elapsed());
        kept.push(groups.clone());
    }
    line("a step", &mut steps, translator.work());
    println!("  {:<24}{:.2} MiB for each snapshot that is kept", "  memory", (resident() - memory) / MIB / runs as f64);
    floor(&translator, &world, &now, runs);
    drop(kept);

    let mut moves = Vec::new();
    for number in 0..runs.min(50) {
        let moved = with_endpoint_moved(&world, number);
        let begun = Instant::now();
        translator.build(&moved, &now).expect("a world without faults");
        moves.push(begun.elapsed());
        // Back, and not measured: each of them is one endpoint away from the world.
        let work = translator.work();
        translator.build(&world, &now).expect("the world before");
        if number + 1 == runs.min(50) {
            line("an endpoint moved", &mut moves, work);
        }
    }

    let (more, with_more) = with_service_added(&world, size, &now);
    let begun = Instant::now();
    translator.build(&more, &with_more).expect("a world without faults");
    line("a service added", &mut [begun.elapsed()], translator.work());

    let doubled = with_fleets_doubled(&world);
    translator.build(&world, &now).expect("the world before");
    let (memory, begun) = (resident(), Instant::now());
    translator.build(&doubled, &now).expect("a world without faults");
    line("every fleet twice", &mut [begun.elapsed()], translator.work());
    println!("  {:<24}{:.1} MiB", "  memory", (resident() - memory) / MIB);
}

/// The least that a step could take.
fn floor(
    translator: &Translator,
    world: &Arc<serin::model::World>,
    now: &serin::translate::translator::Plans,
    runs: usize,
) {
    let mut translator = translator.clone();
    let groups = translator.build(world, now).expect("the same again");
    let routes = groups.values().next().expect("a group").of_type(ResourceType::Route);
    let body = routes.values().next().expect("a route configuration").body();
    let mut copies = Vec::new();
    for _ in 0..runs {
        let begun = Instant::now();
        let copy = black_box(body).to_vec();
        black_box(ResourceVersion::of(&copy));
        copies.push(begun.elapsed());
    }
    copies.sort();
    println!(
        "  {:<24}{:>10.3} ms p50, to copy and hash its {} bytes",
        "  the least",
        millis(copies[copies.len() / 2]),
        body.len()
    );
}

/// How long it took, and how much of that was rare.
fn times(all: &mut [Duration]) -> String {
    all.sort();
    let at = |share: f64| millis(all[((all.len() - 1) as f64 * share).round() as usize]);
    match all.len() {
        1 => format!("{:>10.3} ms", at(0.0)),
        _ => format!("{:>10.3} ms p50, {:.3} ms p99", at(0.5), at(0.99)),
    }
}

fn line(what: &str, all: &mut [Duration], work: Work) {
    let time = times(all);
    let Work { clusters, virtual_hosts, routes, listeners, snapshots } = work;
    println!(
        "  {what:<24}{time}; made {clusters} clusters and endpoints, {virtual_hosts} virtual hosts, {routes} route \
         configurations, {listeners} listeners, {snapshots} snapshots"
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

const MIB: f64 = 1024.0 * 1024.0;

/// The resident memory of this process in bytes, as Linux tells it; 0 elsewhere.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1024.0
}

#[cfg(test)]
mod tests;
