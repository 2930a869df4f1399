//! (d) Beside others on the same traffic: at the defaults of their documentation, and as sensitive as they can be without
//! taking more equal versions back than Serin does.

use serin::cli::cores::on_all_cores;
use serin::model::{AnalysisPolicy, LatencyMetric};
use serin::simulation::defect::Defect;
use serin::simulation::peers::{Argo, Flagger, Kayenta, Peer, at_one_weight, tuned};
use serin::simulation::summary::Summary;
use serin::simulation::traffic::Traffic;
use serin::simulation::trial::{Point, Shares, Trial};

use crate::report::{Goal, goal, heading, percent, seconds};
use crate::{REACTION, Scale};

/// An hour, which Kayenta needs.
const HOUR: u64 = 3_600;
/// Tuned, Flagger and Argo Rollouts look as often as Flagger can.
const OFTEN: u64 = 10;

/// Defects on one kind of traffic, which share their null.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    traffic: Traffic,
    policy: AnalysisPolicy,
    defects: Vec<(&'static str, Defect)>,
}

pub(crate) fn all() -> Vec<Group> {
    let defaults = AnalysisPolicy { ejections: None, ..AnalysisPolicy::default() };
    let slower = |factor| Defect { latency_factor: factor, ..Defect::default() };
    vec![
        Group {
            name: "errors: 1,000 requests/s, 0.5 % usual, w = 10 %",
            traffic: Traffic { rps: 1_000.0, ..Traffic::default() },
            policy: defaults.clone(),
            defects: [("x1.5", 1.5), ("x2", 2.0), ("x3", 3.0), ("x5", 5.0), ("x10", 10.0)]
                .map(|(name, factor)| (name, Defect::errors(factor)))
                .into(),
        },
        Group {
            name: "durations: 500 requests/s, w = 10 %",
            traffic: Traffic { rps: 500.0, ..Traffic::default() },
            policy: AnalysisPolicy { errors: None, latency: Some(LatencyMetric::default()), ..defaults },
            defects: vec![
                ("10 % slower", slower(1.1)),
                ("25 % slower", slower(1.25)),
                ("twice as slow", slower(2.0)),
                ("2 % stuck", Defect { stuck: 0.02, ..Defect::default() }),
                ("0.2 % stuck", Defect { stuck: 0.002, ..Defect::default() }),
            ],
        },
    ]
}

/// What the peers were shown of one release: every ten seconds, and every minute.
type Shown = [Vec<Point>; 2];

/// A peer as it is set up, and which of the points it looks at.
pub(crate) struct Setup {
    pub(crate) how: &'static str,
    fresh: Box<dyn Fn() -> Box<dyn Peer> + Sync>,
    at: usize,
}

impl Setup {
    fn new<P: Peer + Clone + Sync + 'static>(how: &'static str, peer: P) -> Self {
        let at = usize::from(peer.interval() != OFTEN);
        Self { how, at, fresh: Box::new(move || Box::new(peer.clone())) }
    }

    pub(crate) fn summary(&self, shown: &[Shown]) -> Summary {
        let outcome = |release: usize| at_one_weight((self.fresh)().as_mut(), &shown[release][self.at], REACTION);
        Summary::of(&on_all_cores(shown.len(), outcome))
    }
}

impl Group {
    fn with_latency(&self) -> bool {
        self.policy.latency.is_some()
    }

    fn trial<'a>(&'a self, defect: &'a Defect) -> Trial<'a> {
        let with_latency = self.with_latency();
        let (traffic, shares) = (&self.traffic, Shares::Fixed(0.1));
        Trial { traffic, defect, shares, seconds: HOUR, reaction: REACTION, with_latency, may_advance: false }
    }

    pub(crate) fn serin(&self, defect: &Defect, scale: Scale) -> Summary {
        let trial = self.trial(defect);
        Summary::of(&on_all_cores(scale.releases, |release| trial.judge(&self.policy, scale.seed(release))))
    }

    pub(crate) fn shown(&self, defect: &Defect, scale: Scale) -> Vec<Shown> {
        let trial = self.trial(defect);
        on_all_cores(scale.releases, |release| trial.points([OFTEN, 60], scale.seed(release)))
    }

    /// As in their documentation; each looks for the whole hour.
    pub(crate) fn at_defaults(&self) -> Vec<Setup> {
        let max_p99 = self.with_latency().then_some(500.0);
        let count = u32::MAX;
        vec![
            Setup::new("defaults", Flagger { max_p99, ..Flagger::default() }),
            Setup::new("defaults", Argo { max_p99, count, ..Argo::default() }),
            Setup::new("defaults", Kayenta { with_latency: self.with_latency(), ..Kayenta::default() }),
        ]
    }

    /// With the threshold at which they take at most `allowed` of these equal versions back.
    pub(crate) fn tuned(&self, null: &[Shown], allowed: usize) -> Vec<Setup> {
        let with_latency = self.with_latency();
        // The error rate or the 99th percentile, in milliseconds, that one check may not exceed.
        let flagger = move |limit: f64| {
            let often = Flagger { interval: OFTEN, threshold: 1, ..Flagger::default() };
            if with_latency {
                Flagger { max_p99: Some(limit), min_success: 0.0, ..often }
            } else {
                Flagger { min_success: 1.0 - limit, ..often }
            }
        };
        let argo = move |limit: f64| {
            let often = Argo { interval: OFTEN, failure_limit: 0, count: u32::MAX, ..Argo::default() };
            if with_latency {
                Argo { max_p99: Some(limit), min_success: 0.0, ..often }
            } else {
                Argo { min_success: 1.0 - limit, ..often }
            }
        };
        let kayenta = Kayenta { judged_every: 10, with_latency, ..Kayenta::default() };
        let bounds = if with_latency { (0.0, 30_000.0) } else { (0.0, 1.0) };
        let reverts = |setup: Setup| setup.summary(null).reverted.count;
        let flagger_limit = tuned(|limit| reverts(Setup::new("", flagger(limit))), allowed, bounds);
        let argo_limit = tuned(|limit| reverts(Setup::new("", argo(limit))), allowed, bounds);
        let needed = on_all_cores(null.len(), |release| kayenta.tolerance_needed(&null[release][1]));
        let over = |tolerance: f64| needed.iter().filter(|needed| **needed > tolerance).count();
        let tolerance = tuned(over, allowed, (0.0, 1.0));
        let how = "equal risk";
        vec![
            Setup::new(how, flagger(flagger_limit)),
            Setup::new(how, argo(argo_limit)),
            Setup::new(how, Kayenta { tolerance, ..kayenta }),
        ]
    }
}

fn line(name: &str, judge: &str, how: &str, summary: &Summary, false_reverts: &str) {
    let times = seconds(summary.reverted.median_seconds, summary.reverted.p95_seconds);
    let missed = percent(1.0 - summary.reverted.share);
    let bad = format!("{:.0} ({}/{})", summary.harmed_mean, summary.harmed_median, summary.harmed_p95);
    println!("  {name:<16}{judge:<15}{how:<12}{times:>12}{missed:>11}{false_reverts:>16}{bad:>26}");
}

pub(crate) fn measure(scale: Scale) -> Vec<Goal> {
    let (mut rows, mut worse) = (0, Vec::new());
    for group in all() {
        let columns = ["defect", "judge", "set up", "median/95th", "missed", "false reverts", "bad requests"];
        let [defect, judge, how, times, missed, reverts, bad] = columns;
        heading(
            &format!("(d) An hour beside others: {}", group.name),
            &format!("{defect:<16}{judge:<15}{how:<12}{times:>12}{missed:>11}{reverts:>16}{bad:>26}"),
        );
        let good = Defect::default();
        let (serin, shown) = (group.serin(&good, scale), group.shown(&good, scale));
        let of_serin = percent(serin.reverted.share);
        let mut setups = group.at_defaults();
        setups.extend(group.tuned(&shown, serin.reverted.count));
        let of_peers: Vec<_> = setups.iter().map(|setup| percent(setup.summary(&shown).reverted.share)).collect();
        drop(shown);
        for (name, defect) in &group.defects {
            let (serin, shown) = (group.serin(defect, scale), group.shown(defect, scale));
            line(name, "Serin", "", &serin, &of_serin);
            for (setup, false_reverts) in setups.iter().zip(&of_peers) {
                let summary = setup.summary(&shown);
                let judge = (setup.fresh)().name();
                line("", judge, setup.how, &summary, false_reverts);
                if setup.how == "equal risk" {
                    rows += 1;
                    if serin.harmed_mean >= summary.harmed_mean {
                        let numbers = format!("{:.0} for {:.0}", serin.harmed_mean, summary.harmed_mean);
                        worse.push(format!("{name} against {judge}: {numbers}"));
                    }
                }
            }
        }
    }
    vec![goal("at equal false-revert rate fewer bad requests than every peer", rows, &worse)]
}
