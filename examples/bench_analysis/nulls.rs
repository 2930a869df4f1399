//! (a) Equal versions: how often is one taken back, though it is as good as the other?

use serin::cli::cores::on_all_cores;
use serin::model::{AnalysisPolicy, ClusterSize};
use serin::simulation::defect::Defect;
use serin::simulation::summary::{Part, Summary};
use serin::simulation::traffic::Traffic;
use serin::simulation::trial::{Shares, Trial};

use crate::report::{Goal, goal, heading, percent};
use crate::{Scale, errors_policy, latency_policy};

/// Surroundings in which both versions are equal.
pub(crate) struct Null {
    pub(crate) name: &'static str,
    traffic: Traffic,
    shares: Shares,
    policy: fn(f64) -> AnalysisPolicy,
    with_latency: bool,
}

/// 200 requests a second, 0.5 % of them errors, a tenth to the canary: what is not said otherwise.
pub(crate) fn all() -> Vec<Null> {
    let usual = || Traffic { rps: 200.0, ..Traffic::default() };
    let single: fn(f64) -> AnalysisPolicy = |risk| errors_policy(risk, ClusterSize::Given(1.0));
    let estimated: fn(f64) -> AnalysisPolicy = |risk| errors_policy(risk, ClusterSize::Estimated);
    let both: fn(f64) -> AnalysisPolicy =
        |risk| AnalysisPolicy { latency: latency_policy(risk).latency, ..errors_policy(risk, ClusterSize::Estimated) };
    let row = |name, traffic, policy| Null { name, traffic, shares: Shares::Fixed(0.1), policy, with_latency: false };
    vec![
        row("steady", usual(), single),
        row("drifting, x5 in half an hour", Traffic { drift: 5.0, ..usual() }, single),
        row("shared tenfold bursts", Traffic { bursts: 120.0, ..usual() }, single),
        Null {
            shares: Shares::Rising(0.01, 0.5),
            ..row("weights 1 -> 50 %, errors 0.2 -> 1 %", Traffic { errors: 0.002, drift: 5.0, ..usual() }, single)
        },
        row("low traffic, 1 request/s", Traffic { rps: 1.0, ..usual() }, single),
        row("zero errors", Traffic { errors: 0.0, ..usual() }, single),
        row("errors in threes, clusterSize 3", Traffic { groups: 3.0, ..usual() }, |risk| {
            errors_policy(risk, ClusterSize::Given(3.0))
        }),
        row("errors in threes, clusterSize auto", Traffic { groups: 3.0, ..usual() }, estimated),
        row("endpoints restarting, clusterSize auto", Traffic { restarts: 600.0, ..usual() }, estimated),
        Null { with_latency: true, ..row("steady, durations alone", usual(), latency_policy) },
        Null {
            with_latency: true,
            ..row("errors and durations, tenfold bursts", Traffic { bursts: 120.0, ..usual() }, both)
        },
    ]
}

impl Null {
    /// Those that were taken back at this risk.
    pub(crate) fn false_reverts(&self, risk: f64, scale: Scale) -> Part {
        let good = Defect::default();
        let trial = Trial {
            traffic: &self.traffic,
            defect: &good,
            shares: self.shares,
            seconds: scale.looks,
            reaction: 0.0,
            with_latency: self.with_latency,
            may_advance: false,
        };
        let policy = (self.policy)(risk);
        let outcomes = on_all_cores(scale.releases, |release| trial.judge(&policy, scale.seed(release)));
        Summary::of(&outcomes).reverted
    }
}

pub(crate) fn measure(scale: Scale) -> Vec<Goal> {
    let title = format!("(a) False reverts of equal versions over {} looks, with 95 % intervals", scale.looks);
    heading(&title, &format!("{:<40}{:>28}{:>28}", "", "risk 5 %", "risk 1 %"));
    let (mut above, mut beyond) = (Vec::new(), Vec::new());
    let nulls = all();
    for null in &nulls {
        let mut line = format!("  {:<40}", null.name);
        for risk in [0.05, 0.01] {
            let part = null.false_reverts(risk, scale);
            let (low, high) = part.interval;
            line += &format!("{:>10} [{:>6}, {:>6}]", percent(part.share), percent(low), percent(high));
            let told = format!("{} {} at {}", null.name, percent(part.share), percent(risk));
            if part.share > risk {
                above.push(told.clone());
            }
            if low > risk {
                beyond.push(told);
            }
        }
        println!("{line}");
    }
    vec![
        goal("false reverts at or below the stated risk", nulls.len() * 2, &above),
        goal("no interval wholly above the stated risk", nulls.len() * 2, &beyond),
    ]
}
