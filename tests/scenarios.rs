//! Whole rollouts in virtual time: each file in `tests/scenarios/` is a script and its transcript in one.
//!
//! Lines that begin with `>` are the script; what stands below each is what came of it. `UPDATE_GOLDEN=1` writes the
//! transcripts anew: read the difference before you commit it.
//!
//! What is written:
//! - `> example NAME` the first release of `examples/NAME.yaml`, with its service and all that stands beside them
//! - `> spec KEY: YAML`, `> service KEY: YAML` another value in the release's spec, or its service's; none takes it away
//! - `> steps setWeight 5; pause 10s; pause; analyze 60s` a strategy in short, without a service (may be edited in mid-way)
//!   `auto FROM TO LOOK [ALL]` (from 0: none is given), `holdback 10 60s`
//! - `> metric NAME max 0.2 count 3 failures 1 errors 2 dryRun` a number that others measure, every 10 s
//! - `> policy onInconclusive revert`, `onNoData revert`, `onRejected revert`, `errors off`, `auto off`, `paused on`: the
//!   release's settings, in short
//! - `> want v2` commits a version (the first one makes the rollout)
//!
//! What happens:
//! - `> clock 2026-11-20T15:00:00Z` it is that late
//! - `> fleet 4` that many proxies, which acknowledge at once; `> fleet 4 acks 3`; `> fleet 4 ready 3` have the canary's
//!   cluster; `> fleet 4 rejects no such cluster` one of them for itself; `> fleet 4 canary|routes|surroundings WHY` was
//!   rejected by one and is given to none; `> fleet 40 first 2`; `> fleet 40 stopped WHY`
//! - `> endpoints v1 10.0.0.1:80 10.0.0.2:80; v2` those that are known now; `> healthy v2 0` those that the proxies see,
//!   `> healthy` they do not tell; `> busy 3`, `> idle` the requests under way to each endpoint that drains
//! - `> run 10s [by 5s] [canary 1/20] [baseline 0/380] [v2-red 4/20]` for that long, with these failed/total requests in
//!   each second (or other length); a candidate of an experiment by its name
//! - `> reading NAME 0.3`, `> reading NAME nothing`, `> reading NAME error WHY` what others have measured, all told by the
//!   next `run`; `> measures` who is asked now, and for what
//! - `> yes`, `> no WHY` the answer to all that is asked; `> at KEY yes`, `> at KEY no WHY` to what has that in its key
//! - `> peer NAME done|moving|gate|promoting|settled|back WHY [together WORD]` how far another release is
//! - `> order promote | promote full | pause | resume | abort WHY | retry | undo | undo to v1`
//! - `> crash` the process dies and another takes up what was kept

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serin::analysis::{Counts, Reading, Window};
use serin::model::{
    AnalysisPolicy, Canary, EndpointState, ErrorsMetric, OnInconclusive, OnNoData, OnRejected, Release, Strategy,
    TrafficPlan, World,
};
use serin::rollout::{Answer, Call, Context, Event, FleetState, Observation, Peer, Record, ReleaseStatus, Rollout};

#[path = "scenarios/show.rs"]
mod show;
#[path = "scenarios/specs.rs"]
mod specs;
#[path = "scenarios/words.rs"]
mod words;

use specs::Written;
use words::{all_of, counts, length};

#[test]
fn every_scenario_ends_as_written() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory).expect("the scenarios").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
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
    /// What the seconds in the transcript are counted from.
    origin: Timestamp,
    written: Option<Written>,
    world: World,
    release: Release,
    rollout: Option<Rollout>,
    fleet: FleetState,
    peers: Vec<Peer>,
    healthy: BTreeMap<String, u64>,
    busy: Option<u64>,
    readings: Vec<Reading>,
}

fn analysis() -> AnalysisPolicy {
    let errors = ErrorsMetric {
        harmless_rate: 0.01,
        cluster_size: serin::model::ClusterSize::Given(1.0),
        ..ErrorsMetric::default()
    };
    AnalysisPolicy { errors: Some(errors), ..AnalysisPolicy::default() }
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            now: Timestamp::UNIX_EPOCH,
            origin: Timestamp::UNIX_EPOCH,
            written: None,
            world: World::default(),
            release: Release::new("checkout", "checkout", "", Strategy::Canary(Canary::default()), analysis()),
            rollout: None,
            fleet: all_of(4),
            peers: Vec::new(),
            healthy: BTreeMap::new(),
            busy: None,
            readings: Vec::new(),
        }
    }
}

impl Stage {
    fn command(&mut self, command: &str, out: &mut String) {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        match verb {
            "steps" => {
                let steps = rest.split("; ").map(words::step).collect();
                self.release.strategy = Strategy::Canary(Canary { steps, ..Canary::default() })
            }
            "policy" => self.policy(rest),
            "example" => self.write(|written| *written = Written::example(rest)),
            "spec" => self.write(|written| written.set_in_release(rest)),
            "service" => self.write(|written| written.set_in_service(rest)),
            "endpoints" => self.write(|written| written.find(rest)),
            "want" => self.want(rest, out),
            "clock" => {
                let now: Timestamp = rest.parse().expect("a time");
                self.origin += now.duration_since(self.now);
                self.now = now;
            }
            "fleet" => self.fleet = words::fleet(rest),
            "healthy" => {
                self.healthy = rest.split_once(' ').map(|(of, n)| (of.into(), number(n))).into_iter().collect()
            }
            "metric" => {
                let metric = words::metric(rest);
                self.release.analysis.measured.retain(|other| other.name != metric.name);
                self.release.analysis.measured.push(metric);
            }
            "reading" => self.readings.push(words::reading(rest)),
            "measures" => self.measures(out),
            "busy" => self.busy = Some(number(rest)),
            "idle" => self.busy = Some(0),
            "peer" => {
                let peer = words::peer(rest);
                self.peers.retain(|other| other.release != peer.release);
                self.peers.push(peer);
            }
            "run" => {
                self.run(rest, out);
                self.state(out);
            }
            "order" => {
                self.event(Event::Ordered(words::order(rest)), out);
                self.state(out);
            }
            "yes" | "no" | "at" => {
                self.answer(command, out);
                self.state(out);
            }
            "crash" => self.crash(out),
            other => panic!("no such command: {other}"),
        }
    }

    /// Changes what is written, and reads it anew.
    fn write(&mut self, change: impl FnOnce(&mut Written)) {
        let mut written = self.written.take().unwrap_or_else(Written::plain);
        change(&mut written);
        self.world = written.world();
        self.release = self.world.releases[&written.release].clone();
        self.written = Some(written);
    }

    fn want(&mut self, version: &str, out: &mut String) {
        if self.written.is_some() {
            self.write(|written| written.set_in_release(&format!("version: '{version}'")));
        }
        self.release.version = version.into();
        match &self.rollout {
            Some(_) => self.event(Event::Observed(Observation::default()), out),
            None => {
                let Release { name, service, .. } = &self.release;
                self.rollout = Some(Rollout::adopt(name, service, version, self.now));
            }
        }
        self.state(out);
    }

    /// Answers what is asked now, in one breath.
    fn answer(&mut self, command: &str, out: &mut String) {
        let (key, said) = match command.strip_prefix("at ").and_then(|rest| rest.split_once(' ')) {
            Some((key, said)) => (key, said),
            None => ("", command),
        };
        let outcome = match said.split_once(' ') {
            None if said == "yes" => Ok("200 OK".to_owned()),
            Some(("no", why)) => Err(why.to_owned()),
            _ => panic!("no such answer: {said}"),
        };
        let calls: Vec<Call> = self.rollout().calls().into_iter().filter(|call| call.key.contains(key)).collect();
        if calls.is_empty() {
            let _ = writeln!(out, "      nothing of the kind is asked");
        }
        for Call { key, attempt, .. } in calls {
            self.event(Event::Answered(Answer { key, attempt, outcome: outcome.clone() }), out);
        }
    }

    fn measures(&self, out: &mut String) {
        let wanted = self.rollout().measurements(&self.release);
        if wanted.is_empty() {
            let _ = writeln!(out, "      nothing is measured");
        }
        for request in wanted {
            let _ = writeln!(out, "      {}", show::measurement(&request));
        }
    }

    fn crash(&mut self, out: &mut String) {
        let kept = serde_json::to_string(&self.rollout).expect("a rollout as JSON");
        self.rollout = serde_json::from_str(&kept).expect("the same rollout");
        let before = self.rollout().clone();
        let records = self.rollout.as_mut().expect("a rollout").interrupted();
        self.tell(&before, &records, out);
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

    /// Each length is one observation. Like the engine, a new plan is in force from the next observation on.
    fn run(&mut self, text: &str, out: &mut String) {
        let mut words: Vec<&str> = text.split(' ').collect();
        let whole = length(words.remove(0));
        let part =
            if words.first() == Some(&"by") { length(words.drain(..2).nth(1).expect("by what")) } else { SECOND };
        let counts: BTreeMap<&str, Counts> = words.chunks(2).map(|pair| (pair[0], counts(pair[1]))).collect();
        let of = |name: &str| counts.get(name).copied().unwrap_or_default();
        let mut settled_plan: Option<TrafficPlan> = None;
        for _ in 0..whole.as_secs() / part.as_secs() {
            self.now = self.now.checked_add(SignedDuration::try_from(part).expect("a time")).expect("a time");
            let plan = self.rollout().plan();
            let is_settled = settled_plan.as_ref() == Some(&plan) && !counts.is_empty();
            let window = |canary: &str| Window {
                canary: of(canary).into(),
                baseline: of("baseline").into(),
                proxies: self.fleet.in_force,
                length: part,
                ..Window::default()
            };
            let arms = counts.keys().filter(|name| is_settled && !["canary", "baseline"].contains(name));
            let readings = std::mem::take(&mut self.readings);
            let counted = is_settled.then(|| window("canary"));
            let measured = (!readings.is_empty()).then(|| Window { readings, ..counted.clone().unwrap_or_default() });
            let seen = Observation {
                elapsed: part,
                fleet: self.fleet.clone(),
                window: measured.or(counted),
                arms: arms.map(|name| ((*name).to_owned(), window(name))).collect(),
                healthy: self.healthy.clone(),
                in_progress: self.busy,
                in_progress_at: self.under_way(&plan),
            };
            settled_plan = Some(plan);
            self.event(Event::Observed(seen), out);
        }
    }

    /// The requests of the endpoints that drain.
    fn under_way(&self, plan: &TrafficPlan) -> BTreeMap<std::net::SocketAddr, u64> {
        let Some(busy) = self.busy else { return BTreeMap::new() };
        let states = plan.endpoints.values().flatten();
        states.filter(|(_, state)| **state == EndpointState::Draining).map(|(address, _)| (*address, busy)).collect()
    }

    fn rollout(&self) -> &Rollout {
        self.rollout.as_ref().expect("a rollout")
    }

    fn context(&self) -> Context<'_> {
        Context { release: &self.release, service: self.world.services.get(&self.release.service), peers: &self.peers }
    }

    fn second(&self) -> i64 {
        self.now.duration_since(self.origin).as_secs()
    }

    fn event(&mut self, event: Event, out: &mut String) {
        let before = self.rollout().clone();
        match before.clone().apply(event, self.context(), self.now) {
            Ok(transition) => {
                self.rollout = Some(transition.rollout);
                self.tell(&before, &transition.records, out);
            }
            Err(refusal) => drop(writeln!(out, "      refused        {refusal}")),
        }
    }

    /// What was said, and what follows from the state that did not before.
    fn tell(&self, before: &Rollout, records: &[Record], out: &mut String) {
        let (at, after) = (self.second(), self.rollout());
        for record in records.iter().filter(|r| !matches!(r, Record::Measured { .. })) {
            let _ = writeln!(out, "{at:>4}s {:<14} {}", record.kind(), record.message());
        }
        for (label, text) in show::changes(&before.plan(), &after.plan(), self.has_previews()) {
            let _ = writeln!(out, "{at:>4}s => {label:<11} {text}");
        }
        let (asked, asks) = (before.calls(), after.calls());
        for call in asks.iter().filter(|call| !asked.contains(call)) {
            let _ = writeln!(out, "{at:>4}s => asks        {}", show::call(call));
        }
    }

    /// Whether a preview shows itself somewhere.
    fn has_previews(&self) -> bool {
        let mut listeners = self.world.fleets.values().flat_map(|fleet| &fleet.listeners);
        listeners.any(|listener| listener.preview) || !self.rollout().preview_hosts.is_empty()
    }

    fn state(&self, out: &mut String) {
        let status = ReleaseStatus::of(self.rollout(), self.context(), &self.fleet, |_| Default::default());
        let (at, phase) = (self.second(), status.phase);
        let _ = writeln!(out, "{at:>4}s {phase:?}: {} (in force: {})", status.message, status.actual_weight);
    }
}

/// The time from one observation to the next.
const SECOND: Duration = Duration::from_secs(1);

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}
