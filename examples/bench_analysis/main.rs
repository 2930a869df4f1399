//! What the judgement promises, and what it does: `make bench-analysis`.
//!
//! Thousands of simulated releases a row: (a) how often equal versions are taken back, (b) how soon bad ones are and what
//! they cost, (c) how often bad ones advance and how soon good ones do, (d) the same beside Flagger, Argo Rollouts and
//! Kayenta's judge on the same traffic. Then each goal: met, or not.

mod advances;
mod delays;
mod nulls;
mod peers;
mod report;

use clap::Parser;
use serin::model::{AnalysisPolicy, ClusterSize, ErrorsMetric, LatencyMetric, Risk};

use report::Goal;

/// Measures the judgement.
#[derive(Debug, Parser)]
#[command(name = "bench_analysis")]
struct Args {
    /// How many releases make a row.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    releases: u32,
    /// Which parts: any of a, b, c, d.
    #[arg(long, default_value = "abcd")]
    parts: String,
    /// The first of the seeds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// How much is simulated.
#[derive(Debug, Clone, Copy)]
struct Scale {
    releases: usize,
    /// How many looks, one a second, a release of part (a) takes.
    looks: u64,
    seed: u64,
}

impl Scale {
    fn seed(&self, release: usize) -> u64 {
        self.seed.wrapping_add(release as u64)
    }
}

/// The time from a request to the proxies' acknowledgement of the way back: one flush of the statistics, and the push.
const REACTION: f64 = 1.1;

/// The reference's policy: equal versions are the hypothesis.
fn errors_policy(false_revert: f64, cluster_size: ClusterSize) -> AnalysisPolicy {
    let errors = ErrorsMetric { tolerate_ratio: 1.0, cluster_size, ..ErrorsMetric::default() };
    AnalysisPolicy {
        risk: Risk { false_revert, false_advance: 0.05 },
        errors: Some(errors),
        ejections: None,
        ..AnalysisPolicy::default()
    }
}

/// The same for durations alone.
fn latency_policy(false_revert: f64) -> AnalysisPolicy {
    let latency = LatencyMetric { tolerate_ratio: 1.0, ..LatencyMetric::default() };
    let errors = errors_policy(false_revert, ClusterSize::Given(1.0));
    AnalysisPolicy { errors: None, latency: Some(latency), ..errors }
}

fn main() {
    let args = Args::parse();
    let scale = Scale { releases: args.releases as usize, looks: 1_800, seed: args.seed };
    println!("{} simulated releases a row, seeds from {}", scale.releases, scale.seed);
    let mut goals: Vec<Goal> = Vec::new();
    for part in args.parts.chars() {
        goals.extend(match part {
            'a' => nulls::measure(scale),
            'b' => delays::measure(scale),
            'c' => advances::measure(scale),
            'd' => peers::measure(scale),
            _ => continue,
        });
    }
    println!("\nGoals");
    goals.iter().for_each(|goal| println!("  {goal}"));
}

#[cfg(test)]
mod tests;
