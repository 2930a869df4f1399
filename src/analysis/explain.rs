//! Why: what was compared, what the evidence is and what follows, over which time and where; for people.
//!
//! PURE. The command line, the API, the log and the web page all show these words.

use serde::{Deserialize, Serialize};

use super::words::{e_value, percent};
use super::{Counts, Evidence, Finding, Judge, Metric, MetricEvidence, Standing, Verdict};
use crate::model::{AnalysisPolicy, ClusterSize};

/// From how many errors of one cause on they are said to come in groups.
const GROUPS: f64 = 1.5;

/// What a decision stands on, in three lines, and where it is worse.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Explanation {
    /// What was compared, with counts and rates.
    pub compared: String,
    /// The evidence against its bound, and what follows; or what is missing to decide.
    pub evidence: String,
    /// Over which time, on how many proxies, how the errors come, and where it is worse.
    pub over: String,
    /// What each metric says that decides nothing (`dryRun`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<String>,
    /// Each place where it is worse, the clearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Finding>,
}

impl Explanation {
    /// The same where it does not advance although it could: `what` says why not.
    #[must_use]
    pub fn but(mut self, what: &str) -> Self {
        if let Some(said) = self.evidence.strip_suffix("advances") {
            self.evidence = format!("{said}good enough, but {what}");
        }
        self
    }

    /// The three lines.
    pub fn lines(&self) -> [&str; 3] {
        [&self.compared, &self.evidence, &self.over]
    }
}

/// What is compared, as people call it.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// The canary's version.
    pub canary: &'a str,
    /// The version that it is compared with.
    pub baseline: &'a str,
    /// Which requests are counted.
    pub requests: &'a str,
}

impl Judge {
    /// Why it stands as it does.
    pub fn explain(&self, policy: &AnalysisPolicy, compared: Compared<'_>) -> Explanation {
        let evidence = self.evidence(policy);
        let verdict = self.verdict(policy);
        let places = self.places.findings(policy);
        Explanation {
            compared: sides(&evidence, &verdict, compared),
            evidence: follows(&evidence, &verdict, policy),
            over: over(&evidence, policy, &places),
            dry_run: evidence.metrics.iter().filter(|one| one.dry_run).map(shown).collect(),
            places,
        }
    }
}

/// `v2 37/412 (9.0%) failed against 8/7930 (0.10%) of v1, in the same windows on the same proxies; …`.
fn sides(evidence: &Evidence, verdict: &Verdict, compared: Compared<'_>) -> String {
    let Compared { canary, baseline, requests } = compared;
    if evidence.canary_requests == 0 {
        return format!("nothing yet: no request to {canary} was counted; {baseline} is what it will be compared with");
    }
    let share = |errors, requests| {
        let rate = Counts { requests, errors }.error_rate();
        format!("{errors}/{requests} ({})", percent(rate))
    };
    let mut line = format!(
        "{canary} {} failed against {} of {baseline}, in the same windows on the same proxies; {requests}",
        share(evidence.canary_errors, evidence.canary_requests),
        share(evidence.baseline_errors, evidence.baseline_requests),
    );
    // What decides beside the errors, in its own words.
    if let Verdict::Fail { metric, .. } = verdict
        && *metric != Metric::Errors
        && let Some(said) = said_by(evidence, metric)
    {
        let name = if let Metric::Measured(name) = metric { format!("{name}: ") } else { String::new() };
        line = format!("{line}; {name}{said}");
    }
    line
}

fn said_by<'a>(evidence: &'a Evidence, metric: &Metric) -> Option<&'a str> {
    let found = evidence.metrics.iter().find(|one| one.metric == *metric);
    // The evidence of all metrics together is told beside it.
    let said = found.map(|one| one.said.rsplit_once(": evidence ").map_or(&*one.said, |(said, _)| said));
    said.filter(|said| !said.is_empty())
}

/// `evidence 2.7e28 ≥ 100 (falseRevert 1%): reverts`.
fn follows(evidence: &Evidence, verdict: &Verdict, policy: &AnalysisPolicy) -> String {
    let false_revert = format!("falseRevert {}", share(policy.risk.false_revert));
    let false_advance = format!("falseAdvance {}", share(policy.risk.false_advance));
    let (revert, revert_bound) = (e_value(evidence.revert_evidence), e_value(evidence.revert_bound));
    let (advance, advance_bound) = (e_value(evidence.advance_evidence), e_value(evidence.advance_bound));
    match verdict {
        Verdict::Fail { reason, metric: _ } => acts(reason, &false_revert, "reverts"),
        Verdict::Pass { reason } => match (tested(evidence).as_slice(), measured(evidence).as_slice()) {
            ([], _) | ([_], []) => acts(reason, &false_advance, "advances"),
            (tested, measured) => {
                let each = if tested.len() > 1 { " each" } else { "" };
                let within = if measured.is_empty() { "" } else { " within limits" };
                let measured: String = measured.iter().map(|name| format!(", {name}")).collect();
                let tested = tested.join(" and ");
                format!(
                    "evidence {advance} ≥ {advance_bound} for {tested}{each} ({false_advance}){measured}{within}: advances"
                )
            }
        },
        Verdict::Undecided { reason } if tested(evidence).is_empty() => reason.clone(),
        Verdict::Undecided { .. } => {
            let open = open(evidence);
            format!(
                "evidence {advance} of {advance_bound} to advance ({false_advance}), {revert} of {revert_bound} to revert \
                 ({false_revert}): undecided{open}"
            )
        }
        Verdict::NoData { reason } => format!("no data, so nothing advances: {reason}"),
        Verdict::Error { reason } => format!("not measured, so nothing advances: {reason}"),
    }
}

/// The deciding metrics that are proven by evidence.
fn tested(evidence: &Evidence) -> Vec<&str> {
    deciding(evidence).filter(|metric| matches!(metric, Metric::Errors | Metric::Latency)).map(word).collect()
}

/// The deciding metrics that others measure.
fn measured(evidence: &Evidence) -> Vec<&str> {
    deciding(evidence).filter(|metric| matches!(metric, Metric::Measured(_))).map(word).collect()
}

fn deciding(evidence: &Evidence) -> impl Iterator<Item = &Metric> {
    evidence.metrics.iter().filter(|one| !one.dry_run).map(|one| &one.metric)
}

/// The end of a verdict's sentence, without its counts: which evidence reached which bound. The whole of one that stands on
/// no evidence of this kind.
fn acts(reason: &str, risk: &str, verb: &str) -> String {
    let end = reason.rsplit_once(": evidence ").and_then(|(_, end)| end.strip_suffix(&format!(", {verb}")));
    end.map_or_else(|| reason.to_owned(), |end| format!("evidence {end} ({risk}): {verb}"))
}

/// Which of several metrics are not proven good yet, as the end of a sentence.
fn open(evidence: &Evidence) -> String {
    // Ejections of which nobody tells are nothing to wait for.
    let is_untold = |one: &MetricEvidence| one.metric == Metric::Ejections && one.standing == Standing::NoData;
    let is_open = |one: &&MetricEvidence| !one.dry_run && one.standing != Standing::Pass && !is_untold(one);
    let open: Vec<&str> =
        evidence.metrics.iter().filter(is_open).map(|one| word(&one.metric)).filter(|word| !word.is_empty()).collect();
    if evidence.metrics.len() < 2 || open.is_empty() { String::new() } else { format!("; open: {}", open.join(", ")) }
}

fn word(metric: &Metric) -> &str {
    match metric {
        Metric::Errors => "errors",
        Metric::Latency => "latency",
        Metric::Ejections => "ejections",
        Metric::Measured(name) => name,
    }
}

/// A share that people wrote: `1%`, `0.5%`.
fn share(share: f64) -> String {
    let percent = format!("{:.4}", share * 100.0);
    format!("{}%", percent.trim_end_matches('0').trim_end_matches('.'))
}

/// `over 42 s on 4 of 4 proxies; errors come singly (cluster size 1.1); worse at …`.
fn over(evidence: &Evidence, policy: &AnalysisPolicy, places: &[Finding]) -> String {
    let all = evidence.proxies.saturating_add(evidence.silent);
    let word = if all == 1 { "proxy" } else { "proxies" };
    let mut line = format!("over {} s on {} of {all} {word}", evidence.observed.as_secs(), evidence.proxies);
    if let Some(metric) = &policy.errors
        && evidence.canary_requests > 0
    {
        let size = evidence.cluster_size;
        line += &match metric.cluster_size {
            ClusterSize::Given(_) => format!("; errors are taken to come in groups of {size} (clusterSize)"),
            // The baseline's errors tell. Before there are any it is an assumption.
            ClusterSize::Estimated if evidence.baseline_errors == 0 => {
                format!("; errors are taken to come in groups of {size:.1} until some tell")
            }
            ClusterSize::Estimated if size < GROUPS => format!("; errors come singly (cluster size {size:.1})"),
            ClusterSize::Estimated => format!("; errors come in groups (cluster size {size:.1})"),
        };
    }
    let named: Vec<String> = places.iter().filter(|found| found.name.is_some()).map(Finding::at).collect();
    match (named.as_slice(), places) {
        ([], []) => line,
        ([], [..]) => format!("{line}; worse everywhere alike"),
        (named, _) => format!("{line}; worse at {}", named.join(", ")),
    }
}

/// What a metric says that decides nothing.
fn shown(one: &MetricEvidence) -> String {
    let would = match one.standing {
        Standing::Fail => "would fail",
        Standing::Pass => "would pass",
        Standing::Undecided => "would be undecided",
        Standing::NoData => "has no data",
        Standing::Error => "would hold",
    };
    format!("dryRun: {} {would} ({})", word(&one.metric), one.said)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Arm, Place, PlaceCounts, PlaceKind, Window};
    use super::*;
    use crate::model::ErrorsMetric;

    const COMPARED: Compared<'_> =
        Compared { canary: "v2", baseline: "v1", requests: "first tries, randomly assigned requests" };

    fn given(size: f64) -> AnalysisPolicy {
        let errors = ErrorsMetric { cluster_size: ClusterSize::Given(size), ..ErrorsMetric::default() };
        AnalysisPolicy { errors: Some(errors), ..AnalysisPolicy::default() }
    }

    fn counts(errors: u64, requests: u64) -> Counts {
        Counts { requests, errors }
    }

    #[test]
    fn all_that_decides_is_named_and_what_does_not_is_shown() {
        let histogram = |slow| crate::model::Histogram { bounds: vec![10.0, 30_000.0], counts: vec![900 - slow, slow] };
        let arm = |slow| Arm { latency: Some(histogram(slow)), ..Arm::from(counts(0, 900)) };
        let window = Window {
            canary: arm(90),
            baseline: arm(90),
            proxies: 1,
            length: Duration::from_secs(1),
            ..Window::default()
        };
        let mut policy = AnalysisPolicy { latency: Some(crate::model::LatencyMetric::default()), ..given(1.0) };
        let mut judge = Judge::default();
        (0..20).for_each(|_| drop(judge.observe(&window, &policy)));
        let explained = judge.explain(&policy, COMPARED);
        assert!(
            explained.evidence.contains(" ≥ 20 for errors and latency each (falseAdvance 5%): advances"),
            "{explained:?}"
        );
        policy.latency.as_mut().expect("it has one").dry_run = true;
        judge.observe(&window, &policy);
        let explained = judge.explain(&policy, COMPARED);
        let [shown] = explained.dry_run.as_slice() else { panic!("{explained:?}") };
        assert!(shown.starts_with("dryRun: latency would pass (latency: canary p50"), "{shown}");
        assert!(!explained.over.contains("dryRun"), "{explained:?}");
    }

    fn window(canary: Counts, baseline: Counts) -> Window {
        let length = Duration::from_secs(42);
        Window { canary: canary.into(), baseline: baseline.into(), proxies: 4, length, ..Window::default() }
    }

    fn lines(windows: &[Window], policy: &AnalysisPolicy) -> [String; 3] {
        let mut judge = Judge::default();
        windows.iter().for_each(|window| drop(judge.observe(window, policy)));
        judge.explain(policy, COMPARED).lines().map(str::to_owned)
    }

    #[test]
    fn three_lines_for_each_verdict() {
        let requests = "in the same windows on the same proxies; first tries, randomly assigned requests";
        let worse = window(counts(37, 412), counts(8, 7930));
        let singly = "over 42 s on 4 of 4 proxies; errors are taken to come in groups of 1 (clusterSize)";
        let silent = Window { silent: 4, ..worse.clone() };
        for (windows, expected) in [
            (
                vec![worse],
                [
                    format!("v2 37/412 (9.0%) failed against 8/7930 (0.10%) of v1, {requests}"),
                    "evidence 2.7e28 ≥ 100 (falseRevert 1%): reverts".into(),
                    singly.into(),
                ],
            ),
            (
                vec![window(counts(0, 4000), counts(0, 36_000))],
                [
                    format!("v2 0/4000 (0%) failed against 0/36000 (0%) of v1, {requests}"),
                    "evidence 21.27 ≥ 20 for below 2 times the baseline's rate or 0.10% (falseAdvance 5%): advances"
                        .into(),
                    singly.into(),
                ],
            ),
            (
                vec![window(counts(0, 100), counts(1, 900))],
                [
                    format!("v2 0/100 (0%) failed against 1/900 (0.11%) of v1, {requests}"),
                    "evidence 1.1 of 20 to advance (falseAdvance 5%), 0.82 of 100 to revert (falseRevert 1%): \
                     undecided; open: errors"
                        .into(),
                    singly.into(),
                ],
            ),
            (
                Vec::new(),
                [
                    "nothing yet: no request to v2 was counted; v1 is what it will be compared with".into(),
                    "no data, so nothing advances: no proxy with this step's weight in force has reported".into(),
                    "over 0 s on 0 of 0 proxies".into(),
                ],
            ),
            (
                vec![Window { canary: Arm::from(counts(0, 400)), ..silent }],
                [
                    format!("v2 0/400 (0%) failed against 8/7930 (0.10%) of v1, {requests}"),
                    "no data, so nothing advances: 4 of 8 proxies with this step's weight in force have reported"
                        .into(),
                    "over 42 s on 4 of 8 proxies; errors are taken to come in groups of 1 (clusterSize)".into(),
                ],
            ),
        ] {
            assert_eq!(lines(&windows, &given(1.0)), expected);
        }
    }

    #[test]
    fn it_says_where_and_how_errors_come() {
        let place = |kind, name: &str, canary| {
            let place = Place { kind, name: name.into() };
            PlaceCounts { place, canary, baseline: counts(8, 7930) }
        };
        let mut window = window(counts(60, 400), counts(8, 7930));
        window.places = vec![
            place(PlaceKind::Endpoint, "10.0.1.3:8080", counts(60, 100)),
            place(PlaceKind::Endpoint, "10.0.1.4:8080", counts(0, 300)),
            place(PlaceKind::Proxy, "edge-1", counts(30, 200)),
            place(PlaceKind::Proxy, "edge-2", counts(30, 200)),
        ];
        let explained = |window: &Window, policy: &AnalysisPolicy| {
            let mut judge = Judge::default();
            judge.observe(window, policy);
            judge.explain(policy, COMPARED)
        };
        let explanation = explained(&window, &given(2.0));
        let over = "over 42 s on 4 of 4 proxies; errors are taken to come in groups of 2 (clusterSize)";
        assert_eq!(explanation.over, format!("{over}; worse at endpoint 10.0.1.3:8080"));
        assert_eq!(explanation.places.len(), 2, "the proxies, too, and these do not tell where");
        let estimated = AnalysisPolicy::default();
        let clean = explained(&self::window(counts(0, 400), counts(0, 7930)), &estimated).over;
        assert_eq!(clean, "over 42 s on 4 of 4 proxies; errors are taken to come in groups of 2.0 until some tell");
        assert!(explained(&window, &estimated).over.contains("; errors come "));
        window.places.drain(..2);
        assert_eq!(explained(&window, &given(2.0)).over, format!("{over}; worse everywhere alike"));
        let told = serde_json::to_string(&explanation).expect("JSON");
        assert_eq!(serde_json::from_str::<Explanation>(&told).expect("read back"), explanation);
    }
}
