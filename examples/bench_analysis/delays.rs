//! (b) Bad versions: how soon are they taken back, and what do they cost until then?

use serin::cli::cores::on_all_cores;
use serin::model::{AnalysisPolicy, ClusterSize};
use serin::simulation::defect::Defect;
use serin::simulation::summary::Summary;
use serin::simulation::traffic::Traffic;
use serin::simulation::trial::{Shares, Trial};

use crate::report::{Goal, goal, heading, percent, seconds};
use crate::{REACTION, Scale, errors_policy, latency_policy};

/// Something wrong, and after how many seconds (median, 95th percentile) it is to be found.
pub(crate) struct Case {
    pub(crate) name: String,
    traffic: Traffic,
    defect: Defect,
    share: f64,
    policy: AnalysisPolicy,
    /// The reference is for a cluster size that is given: with an estimated one it is only shown.
    is_goal: bool,
    reference: (u64, u64),
}

/// The tables of the reference, all at alpha = 1 %: errors at 1,000 requests/s and 0.5 % usual errors, durations at 500
/// requests/s and a tenth to the canary.
pub(crate) fn all() -> Vec<Case> {
    let errors = [
        (1.5, [(210, 480), (111, 273), (43, 100)]),
        (2.0, [(58, 146), (32, 77), (13, 29)]),
        (3.0, [(18, 42), (11, 25), (5, 10)]),
        (5.0, [(7, 16), (4, 9), (2, 4)]),
        (10.0, [(2, 5), (2, 3), (1, 2)]),
    ];
    let mut cases = Vec::new();
    for (factor, references) in errors {
        for (share, reference) in [0.05, 0.1, 0.5].into_iter().zip(references) {
            for (size, how, is_goal) in [(ClusterSize::Given(1.0), "", true), (ClusterSize::Estimated, ", auto", false)]
            {
                cases.push(Case {
                    name: format!("errors x{factor}, w = {} %{how}", share * 100.0),
                    traffic: Traffic { rps: 1_000.0, ..Traffic::default() },
                    defect: Defect::errors(factor),
                    share,
                    policy: errors_policy(0.01, size),
                    is_goal,
                    reference,
                });
            }
        }
    }
    let slower = |factor| Defect { latency_factor: factor, ..Defect::default() };
    // With this spread of the durations, and a second for what is stuck, the reference's delays come about.
    let stuck = |share| Defect { latency_plus: 1_000.0, share, ..Defect::default() };
    for (name, defect, reference) in [
        ("10 % slower", slower(1.1), (31, 63)),
        ("25 % slower", slower(1.25), (6, 13)),
        ("twice as slow", slower(2.0), (1, 2)),
        ("2 % stuck", stuck(0.02), (7, 12)),
        ("0.2 % stuck", stuck(0.002), (77, 143)),
    ] {
        cases.push(Case {
            name: format!("{name}, w = 10 %"),
            traffic: Traffic { rps: 500.0, sigma: 0.8, ..Traffic::default() },
            defect,
            share: 0.1,
            policy: latency_policy(0.01),
            is_goal: true,
            reference,
        });
    }
    cases
}

impl Case {
    /// Looked at for an hour.
    pub(crate) fn simulate(&self, scale: Scale) -> Summary {
        let trial = Trial {
            traffic: &self.traffic,
            defect: &self.defect,
            shares: Shares::Fixed(self.share),
            seconds: 3_600,
            reaction: REACTION,
            with_latency: self.policy.latency.is_some(),
            may_advance: false,
        };
        Summary::of(&on_all_cores(scale.releases, |release| trial.judge(&self.policy, scale.seed(release))))
    }
}

/// Whether a delay is no more than 10 %, or one look, above the reference's.
pub(crate) fn is_as_fast(measured: Option<u64>, reference: u64) -> bool {
    measured.is_some_and(|measured| measured as f64 <= (reference as f64 * 1.1).max(reference as f64 + 1.0))
}

pub(crate) fn measure(scale: Scale) -> Vec<Goal> {
    let columns = ["", "median/95th s", "reference", "deviation", "missed", "bad requests median/95th"];
    let [name, measured, reference, deviation, missed, bad] = columns;
    heading(
        "(b) Bad versions at alpha = 1 %: seconds to the decision, and the requests that they cost until no more come",
        &format!("{name:<26}{measured:>14}{reference:>12}{deviation:>16}{missed:>10}{bad:>26}"),
    );
    let cases = all();
    let mut slow = Vec::new();
    for case in &cases {
        let summary = case.simulate(scale);
        let (median, p95) = (summary.reverted.median_seconds, summary.reverted.p95_seconds);
        let off = |measured: Option<u64>, reference: u64| {
            measured
                .map_or_else(|| "-".to_owned(), |s| format!("{:+.0} %", (s as f64 / reference as f64 - 1.0) * 100.0))
        };
        let reference = case.reference;
        println!(
            "  {:<26}{:>14}{:>12}{:>16}{:>10}{:>26}",
            case.name,
            seconds(median, p95),
            format!("{}/{}", reference.0, reference.1),
            format!("{}/{}", off(median, reference.0), off(p95, reference.1)),
            percent(1.0 - summary.reverted.share),
            format!("{}/{}", summary.harmed_median, summary.harmed_p95),
        );
        if case.is_goal && !(is_as_fast(median, reference.0) && is_as_fast(p95, reference.1)) {
            slow.push(format!("{} {} for {}/{}", case.name, seconds(median, p95), reference.0, reference.1));
        }
    }
    vec![goal(
        "delays within 10 % (or one look) of the reference's",
        cases.iter().filter(|case| case.is_goal).count(),
        &slow,
    )]
}
