//! Whole rollouts in virtual time: each file in `tests/scenarios/` is a script and its transcript in one.
//!
//! Lines that begin with `>` are the script; what stands below each is what came of it. `UPDATE_GOLDEN=1` writes the
//! transcripts anew: read the difference before you commit it.
//!
//! - `> steps setWeight 5; pause 10s; pause; analyze 60s` the strategy (may be edited in mid-way)
//! - `> policy onInconclusive revert`, `onNoData revert`, `onRejected revert`, `errors off`, `auto off`, `paused on`: the release's settings
//! - `> want v2` commits a version (the first one makes the rollout)
//! - `> fleet 4` that many proxies, which acknowledge at once; `> fleet 4 acks 3`; `> fleet 4 ready 3` have the canary's
//!   cluster; `> fleet 4 rejects no such cluster` one of them for itself; `> fleet 4 canary|routes|surroundings WHY` was
//!   rejected by one and is given to none; `> fleet 40 first 2`; `> fleet 40 stopped WHY`
//! - `> run 10s [canary 1/20] [baseline 0/380]` that many seconds, with these failed/total requests in each
//! - `> order promote | promote full | pause | resume | abort WHY | retry`
//! - `> crash` the process dies and another takes up what was kept

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serin::analysis::{Counts, Window};
use serin::model::{
    AnalysisPolicy, EjectionsMetric, ErrorsMetric, OnInconclusive, OnNoData, OnRejected, Release, Risk, Step, Strategy,
    TrafficPlan, Weight,
};
use serin::rollout::{Command, Event, FleetState, Observation, Part, Record, Refusal, ReleaseStatus, Rollout, Spread};

#[test]
fn every_scenario_ends_as_written() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory).expect("the scenarios").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 10, "the scenarios are gone");
    let mut differing = Vec::new();
    for file in files {
        let written = std::fs::read_to_string(&file).expect("a scenario");
        let played = play(&written);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &played).expect("the scenario written");
        } else if played != written {
            println!("--- {} came out as:\n{played}", file.display());
            differing.push(file);
        }
    }
    assert!(differing.is_empty(), "these ended otherwise (UPDATE_GOLDEN=1 accepts it): {differing:?}");
}

/// Plays the script lines of a file and returns the file as it should be.
fn play(file: &str) -> String {
    let mut stage = Stage::default();
    let mut played = String::new();
    for line in file.lines().filter(|line| line.starts_with(['#', '>']) || line.is_empty()) {
        let _ = writeln!(played, "{line}");
        if let Some(command) = line.strip_prefix("> ") {
            stage.command(command, &mut played);
        }
    }
    played
}

struct Stage {
    now: Timestamp,
    release: Release,
    rollout: Option<Rollout>,
    fleet: FleetState,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            now: Timestamp::UNIX_EPOCH,
            release: Release {
                name: "checkout".into(),
                service: "checkout".into(),
                version: String::new(),
                strategy: Strategy::Canary { steps: Vec::new() },
                analysis: AnalysisPolicy {
                    risk: Risk { false_revert: 0.01, false_advance: 0.05 },
                    errors: Some(ErrorsMetric {
                        tolerate_ratio: 1.1,
                        reject_ratio: 2.0,
                        harmless_rate: 0.01,
                        cluster_size: 1.0,
                    }),
                    ejections: Some(EjectionsMetric { max_excess: 0.2 }),
                    on_no_data: OnNoData::Hold,
                    on_inconclusive: OnInconclusive::Pause,
                },
                auto_rollback: true,
                on_rejected: OnRejected::Hold,
                paused: false,
            },
            rollout: None,
            fleet: all_of(4),
        }
    }
}

impl Stage {
    fn command(&mut self, command: &str, out: &mut String) {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        match verb {
            "steps" => self.release.strategy = Strategy::Canary { steps: rest.split("; ").map(step).collect() },
            "policy" => self.policy(rest),
            "want" => {
                self.release.version = rest.into();
                match &self.rollout {
                    Some(_) => self.event(Event::Observed(Observation::default()), out),
                    None => self.rollout = Some(Rollout::adopt("checkout", "checkout", rest, self.now)),
                }
                self.state(out);
            }
            "fleet" => self.fleet(rest),
            "run" => {
                self.run(rest, out);
                self.state(out);
            }
            "order" => {
                self.event(Event::Ordered(order(rest)), out);
                self.state(out);
            }
            "crash" => {
                let kept = serde_json::to_string(&self.rollout).expect("a rollout as JSON");
                self.rollout = serde_json::from_str(&kept).expect("the same rollout");
            }
            other => panic!("no such command: {other}"),
        }
    }

    fn policy(&mut self, text: &str) {
        match text {
            "onInconclusive revert" => self.release.analysis.on_inconclusive = OnInconclusive::Revert,
            "onInconclusive advance" => self.release.analysis.on_inconclusive = OnInconclusive::Advance,
            "onRejected revert" => self.release.on_rejected = OnRejected::Revert,
            "onNoData revert" => self.release.analysis.on_no_data = OnNoData::Revert,
            "auto off" => self.release.auto_rollback = false,
            "errors off" => self.release.analysis.errors = None,
            "paused on" => self.release.paused = true,
            "paused off" => self.release.paused = false,
            other => panic!("no such policy: {other}"),
        }
    }

    fn fleet(&mut self, text: &str) {
        let mut words = text.splitn(3, ' ');
        let proxies: usize = words.next().and_then(|n| n.parse().ok()).expect("a number of proxies");
        let all = all_of(proxies);
        let number = |text: &str| text.parse().expect("a number");
        let refused = |part, text: &str| Some(Refusal { part, text: format!("it was rejected by edge-3: {text}") });
        self.fleet = match (words.next(), words.next().unwrap_or_default()) {
            (Some("acks"), acks) => FleetState { in_force: number(acks), ..all },
            (Some("ready"), ready) => FleetState { ready: number(ready), ..all },
            (Some("rejects"), text) => {
                FleetState { in_force: proxies - 1, ready: proxies - 1, rejection: Some(text.to_owned()), ..all }
            }
            (Some("canary"), text) => FleetState { ready: 0, refusal: refused(Part::Canary, text), ..all },
            (Some("routes"), text) => FleetState { in_force: 0, refusal: refused(Part::Routes, text), ..all },
            (Some("surroundings"), text) => FleetState { refusal: refused(Part::Surroundings, text), ..all },
            (Some("first"), first) => {
                let first = number(first);
                FleetState { in_force: 0, ready: 0, spread: Spread::First(first), ..all }
            }
            (Some("stopped"), text) => FleetState { in_force: 0, spread: Spread::Stopped(text.to_owned()), ..all },
            (None, _) => all,
            (Some(other), _) => panic!("no such fleet: {other}"),
        };
    }

    /// A second is one observation. Like the engine, a new plan is in force from the next observation on.
    fn run(&mut self, text: &str, out: &mut String) {
        let words: Vec<&str> = text.split(' ').collect();
        let seconds: u64 = words[0].strip_suffix('s').and_then(|n| n.parse().ok()).expect("seconds");
        let counts: BTreeMap<&str, Counts> = words[1..].chunks(2).map(|pair| (pair[0], counts(pair[1]))).collect();
        let mut settled_plan: Option<TrafficPlan> = None;
        for _ in 0..seconds {
            self.now = self.now.checked_add(SignedDuration::from_secs(1)).expect("a time");
            let plan = self.rollout.as_ref().expect("a rollout").plan();
            let window = (settled_plan.as_ref() == Some(&plan) && !counts.is_empty()).then(|| Window {
                canary: counts.get("canary").copied().unwrap_or_default(),
                baseline: counts.get("baseline").copied().unwrap_or_default(),
                proxies: self.fleet.in_force,
                length: Duration::from_secs(1),
                ..Window::default()
            });
            settled_plan = Some(plan);
            let fleet = self.fleet.clone();
            self.event(Event::Observed(Observation { elapsed: Duration::from_secs(1), fleet, window }), out);
        }
    }

    fn event(&mut self, event: Event, out: &mut String) {
        let before = self.rollout.clone().expect("a rollout");
        match before.clone().apply(event, &self.release, self.now) {
            Ok(transition) => {
                for record in transition.records.iter().filter(|r| !matches!(r, Record::Measured { .. })) {
                    let _ = writeln!(out, "{:>4}s {:<14} {}", self.now.as_second(), record.kind(), record.message());
                }
                let plan = transition.rollout.plan();
                if plan != before.plan() {
                    let shares: Vec<String> =
                        plan.shares().iter().map(|share| format!("{} {}", share.version, share.weight)).collect();
                    let _ = writeln!(out, "{:>4}s => traffic     {}", self.now.as_second(), shares.join(", "));
                }
                self.rollout = Some(transition.rollout);
            }
            Err(refusal) => drop(writeln!(out, "      refused        {refusal}")),
        }
    }

    fn state(&self, out: &mut String) {
        let rollout = self.rollout.as_ref().expect("a rollout");
        let status = ReleaseStatus::of(rollout, &self.release, &self.fleet, |_| Default::default());
        let (at, phase) = (self.now.as_second(), status.phase);
        let _ = writeln!(out, "{at:>4}s {phase:?}: {} (in force: {})", status.message, status.actual_weight);
    }
}

/// That many proxies, which have everything.
fn all_of(proxies: usize) -> FleetState {
    FleetState { proxies, in_force: proxies, ready: proxies, ..FleetState::default() }
}

fn step(text: &str) -> Step {
    let seconds = |text: &str| Duration::from_secs(text.trim_end_matches('s').parse().expect("seconds"));
    match text.split_once(' ') {
        Some(("setWeight", percent)) => {
            Step::SetWeight(Weight::from_percent(percent.parse().expect("a number")).expect("a weight"))
        }
        Some(("pause", time)) => Step::Pause(Some(seconds(time))),
        Some(("analyze", time)) => Step::Analyze { max: seconds(time) },
        None if text == "pause" => Step::Pause(None),
        _ => panic!("no such step: {text}"),
    }
}

fn order(text: &str) -> Command {
    match text.split_once(' ').unwrap_or((text, "")) {
        ("promote", "full") => Command::Promote { full: true },
        ("promote", "") => Command::Promote { full: false },
        ("pause", "") => Command::Pause,
        ("resume", "") => Command::Resume,
        ("abort", reason) => Command::Abort { reason: reason.into() },
        ("retry", "") => Command::Retry,
        other => panic!("no such order: {other:?}"),
    }
}

fn counts(text: &str) -> Counts {
    let (errors, requests) = text.split_once('/').expect("failed/total");
    Counts { errors: errors.parse().expect("a number"), requests: requests.parse().expect("a number") }
}
