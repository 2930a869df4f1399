//! (c) How often does a version advance that is twice as bad, and how soon one that is good?

use serin::cli::cores::on_all_cores;
use serin::model::ClusterSize;
use serin::simulation::defect::Defect;
use serin::simulation::summary::Summary;
use serin::simulation::traffic::Traffic;
use serin::simulation::trial::{Shares, Trial};

use crate::report::{Goal, heading, percent, seconds};
use crate::{REACTION, Scale, errors_policy};

/// A step of half an hour at 1,000 requests/s, 0.5 % usual errors, w = 10 %: it ends with either proof.
pub(crate) fn simulate(factor: f64, scale: Scale) -> Summary {
    let (traffic, defect) = (Traffic { rps: 1_000.0, ..Traffic::default() }, Defect::errors(factor));
    let trial = Trial {
        traffic: &traffic,
        defect: &defect,
        shares: Shares::Fixed(0.1),
        seconds: 1_800,
        reaction: REACTION,
        with_latency: false,
        may_advance: true,
    };
    let policy = errors_policy(0.01, ClusterSize::Given(1.0));
    Summary::of(&on_all_cores(scale.releases, |release| trial.judge(&policy, scale.seed(release))))
}

pub(crate) fn measure(scale: Scale) -> Vec<Goal> {
    heading(
        "(c) Steps that end with a proof (alpha 1 %, beta 5 %, rejectRatio 2)",
        &format!("{:<26}{:>12}{:>24}{:>16}{:>14}", "", "advanced", "95 % interval", "median/95th s", "reference"),
    );
    let line = |name: &str, summary: &Summary, reference: &str| {
        let part = &summary.advanced;
        let interval = format!("[{}, {}]", percent(part.interval.0), percent(part.interval.1));
        let times = seconds(part.median_seconds, part.p95_seconds);
        println!("  {name:<26}{:>12}{interval:>24}{times:>16}{reference:>14}", percent(part.share));
    };
    let (bad, good) = (simulate(2.0, scale), simulate(1.0, scale));
    line("twice as bad", &bad, "<= 3.2 %");
    line("as good", &good, "23/66 s");
    let (median, p95) = (good.advanced.median_seconds, good.advanced.p95_seconds);
    let is_fast = crate::delays::is_as_fast(median, 23) && crate::delays::is_as_fast(p95, 66);
    vec![
        Goal {
            promise: "false advances of x2 at or below beta".to_owned(),
            is_met: bad.advanced.share <= 0.05,
            numbers: format!("{} of 5 %", percent(bad.advanced.share)),
        },
        Goal {
            promise: "a good canary cleared within 10 % of the reference's time".to_owned(),
            is_met: is_fast,
            numbers: format!("{} s for 23/66 s", seconds(median, p95)),
        },
    ]
}
