//! What was seen, and whether it is what must be. Pure: joins the load's records with the release's states by time.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serin_testbed::load::{Record, Summary};
use tokio::time::Instant;

use crate::status::Release;

/// The goal: from v3's first failed request to weight 0 in force on all proxies.
pub(crate) const GOAL: Duration = Duration::from_secs(6);
/// In how many of ten runs the goal must be met.
const OF_TEN: usize = 9;
/// How long after weight 0 was acknowledged a request may still have been on its way to v3. Requests that were
/// scheduled later must not reach it.
const GRACE: Duration = Duration::from_millis(500);

/// Everything that was seen of one run.
#[derive(Debug, Clone)]
pub(crate) struct Take {
    /// When the load began.
    pub started: Instant,
    /// Each state of the release, with when it was received.
    pub states: Vec<(Instant, Release)>,
    /// Each request.
    pub records: Vec<Record>,
    /// Requests that the load could not send.
    pub overload: u64,
    /// When v2 was committed, and when it was live on all proxies.
    pub v2: (Instant, Option<Instant>),
    /// When v3 was committed, and when its weight was 0 on all proxies.
    pub v3: Option<(Instant, Option<Instant>)>,
    /// Requests per version, by proxy.
    pub served: Vec<(String, BTreeMap<String, u64>)>,
}

/// Whether a run went as it must, in numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    /// From the commit of v2 to its being live on all proxies.
    pub promoted: Option<Duration>,
    /// Requests that failed between the commits of v2 and v3.
    pub failed_during_v2: u64,
    /// From the commit of v3 to its weight being 0 on all proxies.
    pub reverted: Option<Duration>,
    /// From v3's first failed request to its weight being 0 on all proxies.
    pub first_failure_to_zero: Option<Duration>,
    /// Failed requests that v3 answered.
    pub bad_requests: u64,
    /// Failed requests that v3 did not answer.
    pub other_failures: u64,
    /// Requests that reached v3 after its weight was 0 on all proxies.
    pub after_zero: u64,
    /// Requests that the load could not send.
    pub overload: u64,
    /// Proxies that served nothing.
    pub idle_proxies: Vec<String>,
}

impl Outcome {
    /// What was seen of a run, judged.
    pub(crate) fn of(take: &Take) -> Self {
        let mut all = Summary::default();
        take.records.iter().for_each(|record| all.add(record));
        let (v2_commit, v2_live) = take.v2;
        let v3_commit = take.v3.map(|(commit, _)| commit);
        let v3_out = take.v3.and_then(|(_, out)| out);
        let during_v2 = |record: &&Record| {
            record.scheduled >= v2_commit && v3_commit.is_none_or(|commit| record.scheduled < commit)
        };
        let after_zero =
            |record: &&Record| v3_out.is_some_and(|out| record.scheduled > out + GRACE) && is_from(record, "v3");
        let v3 = all.version("v3");
        Self {
            promoted: v2_live.map(|live| live - v2_commit),
            failed_during_v2: count(take.records.iter().filter(during_v2).filter(|r| r.outcome.is_failure())),
            reverted: v3_commit.zip(v3_out).map(|(commit, out)| out - commit),
            first_failure_to_zero: v3.first_failure.zip(v3_out).map(|(first, out)| out.duration_since(first)),
            bad_requests: v3.failures,
            other_failures: all.failures_not_of("v3"),
            after_zero: count(take.records.iter().filter(after_zero)),
            overload: take.overload,
            idle_proxies: take
                .served
                .iter()
                .filter(|(_, versions)| versions.values().all(|count| *count == 0))
                .map(|(id, _)| id.clone())
                .collect(),
        }
    }

    /// Everything that went wrong; nothing when all went as it must.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.promoted.is_none() {
            problems.push("v2 was not promoted".to_owned());
        }
        if self.reverted.is_none() {
            problems.push("v3 was not reverted".to_owned());
        }
        if self.reverted.is_some() && self.bad_requests == 0 {
            problems.push("v3 was reverted without a failed request".to_owned());
        }
        for (count, what) in [
            (self.failed_during_v2, "requests failed while v2 was released"),
            (self.other_failures, "requests failed that v3 did not answer"),
            (self.after_zero, "requests reached v3 after its weight was 0 on all proxies"),
            (self.overload, "requests could not be sent: the load was not what it says"),
        ] {
            if count > 0 {
                problems.push(format!("{count} {what}"));
            }
        }
        problems.extend(self.idle_proxies.iter().map(|id| format!("{id} served nothing")));
        problems
    }

    /// Whether all went as it must. How fast is another question: [`Outcome::in_time`].
    pub(crate) fn good(&self) -> bool {
        self.problems().is_empty()
    }

    /// Whether v3 was out of the traffic soon enough.
    pub(crate) fn in_time(&self) -> bool {
        self.first_failure_to_zero.is_some_and(|time| time <= GOAL)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.promoted {
            Some(time) => write!(f, "v2 promoted in {:.1} s", time.as_secs_f64())?,
            None => write!(f, "v2 NOT promoted")?,
        }
        write!(f, ", {} failed requests meanwhile; ", self.failed_during_v2)?;
        match (self.reverted, self.first_failure_to_zero) {
            (Some(_), Some(time)) => {
                write!(f, "v3 reverted, {:.2} s from its first failed request to weight 0", time.as_secs_f64())?;
            }
            (Some(_), None) => write!(f, "v3 reverted without a failed request")?,
            (None, _) => write!(f, "v3 NOT reverted")?,
        }
        write!(f, ", {} bad requests", self.bad_requests)
    }
}

/// A run, told to its end.
pub(crate) struct Report {
    pub outcome: Outcome,
    take: Take,
}

impl Report {
    pub(crate) fn new(take: Take) -> Self {
        Self { outcome: Outcome::of(&take), take }
    }

    /// Requests and failures per version, by what the release was doing when they were scheduled.
    fn by_step(&self) -> Vec<(Duration, String, Summary)> {
        let mut steps: Vec<(Instant, String, Summary)> = Vec::new();
        for (at, state) in &self.take.states {
            let label = format!("{:<50} {:>5}", state.label(), format!("{}%", state.actual_weight));
            if steps.last().is_none_or(|(_, last, _)| *last != label) {
                steps.push((*at, label, Summary::default()));
            }
        }
        for record in &self.take.records {
            // What was scheduled before the first state belongs to it.
            let at = steps.partition_point(|(from, ..)| *from <= record.scheduled).saturating_sub(1);
            if let Some((_, _, summary)) = steps.get_mut(at) {
                summary.add(record);
            }
        }
        let since = |from: Instant| from.saturating_duration_since(self.take.started);
        steps.into_iter().map(|(from, label, summary)| (since(from), label, summary)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nRequests by version (failed), in each step\n")?;
        let versions = ["v1", "v2", "v3"];
        writeln!(f, "{:>7}  {:<50} {:>5} {:>13} {:>13} {:>13}", "from", "release", "weight", "v1", "v2", "v3")?;
        for (from, label, summary) in self.by_step().into_iter().filter(|(_, _, summary)| summary.requests() > 0) {
            write!(f, "{:>6.1}s  {label}", from.as_secs_f64())?;
            for version in versions {
                let version = summary.version(version);
                write!(f, " {:>13}", format!("{} ({})", version.requests, version.failures))?;
            }
            writeln!(f)?;
        }
        let mut all = Summary { overload: self.take.overload, ..Summary::default() };
        self.take.records.iter().for_each(|record| all.add(record));
        writeln!(f, "\n{all}")?;
        for (id, served) in &self.take.served {
            let counts: Vec<_> = served.iter().map(|(version, count)| format!("{version} {count}")).collect();
            writeln!(f, "{id:<10} served {}", counts.join(", "))?;
        }
        writeln!(f, "\n{}", self.outcome)?;
        writeln!(f, "failures that v3 did not cause: {}", self.outcome.other_failures)?;
        for problem in self.outcome.problems() {
            writeln!(f, "WRONG: {problem}")?;
        }
        Ok(())
    }
}

/// A table of the runs with the verdict, and whether the goal was met.
pub(crate) fn bench(outcomes: &[Outcome]) -> (String, bool) {
    let mut table = format!(
        "\n{:>4} {:>12} {:>14} {:>12} {:>20} {:>12} {:>14}\n",
        "run", "v2 promoted", "failed with v2", "v3 reverted", "1st failure to 0 (s)", "bad requests", "other failures"
    );
    let yes = |answer: bool| if answer { "yes" } else { "NO" };
    for (run, outcome) in outcomes.iter().enumerate() {
        let time = outcome.first_failure_to_zero.map_or("-".into(), |time| format!("{:.2}", time.as_secs_f64()));
        table += &format!(
            "{:>4} {:>12} {:>14} {:>12} {time:>20} {:>12} {:>14}\n",
            run + 1,
            yes(outcome.promoted.is_some()),
            outcome.failed_during_v2,
            yes(outcome.reverted.is_some()),
            outcome.bad_requests,
            outcome.other_failures,
        );
    }
    for (run, outcome) in outcomes.iter().enumerate() {
        for problem in outcome.problems() {
            table += &format!("WRONG in run {}: {problem}\n", run + 1);
        }
    }
    let in_time = outcomes.iter().filter(|outcome| outcome.in_time()).count();
    let good = outcomes.iter().filter(|outcome| outcome.good()).count();
    let met = in_time * 10 >= outcomes.len() * OF_TEN && good == outcomes.len() && !outcomes.is_empty();
    table += &format!(
        "\ngoal: weight 0 on all proxies within {} s of v3's first failed request in {OF_TEN} of 10 runs, nothing else \
         wrong in any\nseen: {in_time} of {} within it, {good} with nothing else wrong: {}",
        GOAL.as_secs(),
        outcomes.len(),
        if met { "met" } else { "MISSED" }
    );
    (table, met)
}

fn count<'a>(records: impl Iterator<Item = &'a Record>) -> u64 {
    records.count() as u64
}

fn is_from(record: &Record, version: &str) -> bool {
    record.outcome.version() == Some(version)
}

#[cfg(test)]
mod tests {
    use serin_testbed::load::Outcome as Answer;

    use super::*;

    /// A run in which everything goes as it must: v2 from 10 s to 20 s, v3 from 30 s to 34 s with a failure at 32 s.
    fn good_take() -> Take {
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let state = |second, version: &str, weight| {
            (at(second), Release { version: version.into(), actual_weight: weight, ..Release::default() })
        };
        Take {
            started: start,
            states: vec![state(0, "v1", 0.0), state(10, "v2", 5.0), state(20, "v2", 0.0), state(30, "v3", 5.0)],
            records: [
                (1, 200, Some("v1")),
                (15, 200, Some("v2")),
                (25, 200, Some("v2")),
                (31, 200, Some("v3")),
                (32, 500, Some("v3")),
                (33, 500, Some("v3")),
            ]
            .map(|(second, status, version)| record(at(second), status, version))
            .to_vec(),
            overload: 0,
            v2: (at(10), Some(at(20))),
            v3: Some((at(30), Some(at(34)))),
            served: vec![("edge-1".into(), BTreeMap::from([("v1".into(), 1)]))],
        }
    }

    fn record(at: Instant, status: u16, version: Option<&str>) -> Record {
        let outcome = Answer::Answered { status, version: version.map(str::to_owned), said: None };
        Record { scheduled: at, finished: at, target: 0, user: None, outcome }
    }

    #[test]
    fn a_good_run_is_good() {
        let outcome = Outcome::of(&good_take());
        assert_eq!(outcome.problems(), Vec::<String>::new());
        assert_eq!(outcome.promoted, Some(Duration::from_secs(10)));
        assert_eq!(outcome.first_failure_to_zero, Some(Duration::from_secs(2)));
        assert_eq!((outcome.bad_requests, outcome.in_time()), (2, true));
    }

    #[test]
    fn whatever_goes_wrong_is_told() {
        let later = |take: &Take, second| take.started + Duration::from_secs(second);
        type Spoil = fn(&mut Take, &dyn Fn(&Take, u64) -> Instant);
        let cases: [(&str, Spoil); 8] = [
            ("v2 was not promoted", |take, _| take.v2.1 = None),
            ("v3 was not reverted", |take, at| take.v3 = Some((at(take, 30), None))),
            ("without a failed request", |take, _| take.records.truncate(4)),
            ("1 requests failed while v2", |take, at| take.records.push(record(at(take, 16), 500, Some("v2")))),
            ("1 requests failed that v3 did not", |take, at| take.records.push(record(at(take, 32), 503, None))),
            ("1 requests reached v3 after", |take, at| take.records.push(record(at(take, 40), 200, Some("v3")))),
            ("7 requests could not be sent", |take, _| take.overload = 7),
            ("edge-2 served nothing", |take, _| take.served.push(("edge-2".into(), BTreeMap::new()))),
        ];
        for (problem, spoil) in cases {
            let mut take = good_take();
            spoil(&mut take, &later);
            let problems = Outcome::of(&take).problems();
            assert!(problems.iter().any(|told| told.contains(problem)), "{problem}: {problems:?}");
        }
    }

    #[test]
    fn requests_are_counted_in_the_step_in_which_they_were_scheduled() {
        let report = Report::new(good_take());
        let counts: Vec<_> = report.by_step().iter().map(|(from, _, s)| (from.as_secs(), s.requests())).collect();
        assert_eq!(counts, [(0, 1), (10, 1), (20, 1), (30, 3)]);
        let shown = report.to_string();
        assert!(shown.contains("3 (2)") && shown.contains("failures that v3 did not cause: 0"), "{shown}");
    }

    #[test]
    fn the_goal_is_nine_of_ten_and_nothing_else_wrong() {
        let good = Outcome::of(&good_take());
        let late = Outcome { first_failure_to_zero: Some(Duration::from_secs(7)), ..good.clone() };
        let wrong = Outcome { other_failures: 1, ..good.clone() };
        let runs = |goods: usize, others: &[&Outcome]| {
            let all: Vec<Outcome> = std::iter::repeat_n(&good, goods).chain(others.iter().copied()).cloned().collect();
            bench(&all)
        };
        for (goods, others, met) in [
            (10, vec![], true),
            (9, vec![&late], true),
            (8, vec![&late, &late], false),
            (9, vec![&wrong], false),
            (0, vec![], false),
        ] {
            assert_eq!(runs(goods, &others).1, met, "{}", runs(goods, &others).0);
        }
    }
}
