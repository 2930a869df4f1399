//! What came of it: every transition and every failed request.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::Kind;
use crate::load::{Outcome, Record};

/// A failure this long after a transition was in force is still one of it: what it left behind goes only then.
const AFTERMATH: Duration = Duration::from_secs(3);

/// What is known of the transitions and of the requests, while both go on.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) started: Instant,
    pub(super) transitions: Vec<Entry>,
    pub(super) failures: Vec<Failure>,
    /// By proxy: requests and failures.
    pub(super) requests: Vec<(u64, u64)>,
}

/// A transition.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) what: String,
    pub(super) begun: Instant,
    /// When every proxy was seen to have it, or what came after it.
    pub(super) in_force: Option<Instant>,
}

/// A request that was not answered 200 by an upstream of its service.
#[derive(Debug)]
pub(super) struct Failure {
    at: Instant,
    /// In words.
    pub(super) told: String,
    /// The transition that was begun last before it.
    during: Option<usize>,
}

impl Ledger {
    pub(super) fn new(proxies: usize) -> Self {
        let (transitions, failures) = (Vec::new(), Vec::new());
        Self { started: Instant::now(), transitions, failures, requests: vec![(0, 0); proxies] }
    }

    /// Counts a request to a service; returns it when it failed.
    pub(super) fn count(&mut self, service: &str, proxy: &str, record: &Record) -> Option<&Failure> {
        let (requests, failures) = &mut self.requests[record.target];
        *requests += 1;
        let why = fault(service, &record.outcome)?;
        *failures += 1;
        let at = record.finished;
        let clock = |at: Instant| at.saturating_duration_since(self.started).as_secs_f64();
        let mut told =
            format!("{:>9.3}s  {service} through {proxy}, sent at {:.3}s: {why}", clock(at), clock(record.scheduled));
        let is_near = |entry: &&(usize, &Entry)| {
            entry.1.begun <= at && entry.1.in_force.is_none_or(|end| record.scheduled <= end + AFTERMATH)
        };
        let during = self.transitions.iter().rposition(|entry| entry.begun <= at);
        for (number, entry) in self.transitions.iter().enumerate().filter(|entry| is_near(&entry)) {
            let state = if entry.in_force.is_some() { "in force" } else { "under way" };
            told += &format!(
                "\n            #{number} {}: {} (begun at {:.3}s, {state})",
                entry.kind,
                entry.what,
                clock(entry.begun)
            );
        }
        self.failures.push(Failure { at, told, during });
        self.failures.last()
    }

    /// A transition begins now.
    pub(super) fn begin(&mut self, kind: Kind, what: &str) {
        self.transitions.push(Entry { kind, what: what.to_owned(), begun: Instant::now(), in_force: None });
    }

    /// All up to this number, of the kinds that `of` accepts, are in force now.
    pub(super) fn in_force(&mut self, up_to: usize, of: impl Fn(Kind) -> bool) {
        let now = Instant::now();
        for entry in self.transitions.iter_mut().take(up_to).filter(|entry| of(entry.kind)) {
            entry.in_force.get_or_insert(now);
        }
    }
}

/// Why an outcome is none that a caller wants.
fn fault(service: &str, outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Answered { status: 200, version: Some(version), .. }
            if version.strip_prefix(service).is_some_and(|rest| rest.starts_with("-v")) =>
        {
            None
        }
        Outcome::Answered { status, version: Some(version), .. } => Some(format!("{status} from {version}")),
        Outcome::Answered { status, version: None, said } => {
            Some(format!("{status} from the proxy: {}", said.as_deref().unwrap_or_default()))
        }
        Outcome::Failed(why) => Some(why.clone()),
    }
}

/// What came of all transitions. Its `Display` is a table.
#[derive(Debug)]
pub struct Report {
    /// How it was begun: the same seed gives the same transitions.
    pub seed: u64,
    /// Failed requests, in words: when, what, and during which transitions.
    pub failures: Vec<String>,
    /// Requests that were not sent because too many were unanswered: a service that stalls, or too weak a machine.
    pub overload: u64,
    /// Transitions by kind.
    pub(super) kinds: BTreeMap<Kind, Row>,
    /// By proxy: its name and variant, requests, failures.
    pub(super) proxies: Vec<(String, u64, u64)>,
    pub(super) took: Duration,
}

/// A kind of transition.
#[derive(Debug, Default)]
pub(super) struct Row {
    count: usize,
    failed: usize,
    times: Vec<Duration>,
}

impl Report {
    pub(super) fn new(seed: u64, ledger: Ledger, proxies: &[String], overload: u64) -> Self {
        let mut kinds: BTreeMap<Kind, Row> = Kind::ALL.into_iter().map(|kind| (kind, Row::default())).collect();
        for entry in &ledger.transitions {
            let row = kinds.entry(entry.kind).or_default();
            row.count += 1;
            row.times.extend(entry.in_force.map(|at| at.saturating_duration_since(entry.begun)));
        }
        for during in ledger.failures.iter().filter_map(|failure| failure.during) {
            kinds.entry(ledger.transitions[during].kind).or_default().failed += 1;
        }
        kinds.values_mut().for_each(|row| row.times.sort_unstable());
        let mut failures = ledger.failures;
        failures.sort_by_key(|failure| failure.at);
        let counts = proxies.iter().zip(&ledger.requests);
        Self {
            seed,
            failures: failures.into_iter().map(|failure| failure.told).collect(),
            overload,
            kinds,
            proxies: counts.map(|(name, (requests, failed))| (name.clone(), *requests, *failed)).collect(),
            took: ledger.started.elapsed(),
        }
    }

    /// How many transitions there were.
    pub fn transitions(&self) -> usize {
        self.kinds.values().map(|row| row.count).sum()
    }

    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.proxies.iter().map(|(_, requests, _)| requests).sum()
    }

    /// Whether nothing was lost, through any proxy.
    pub fn good(&self) -> bool {
        self.failures.is_empty() && self.overload == 0 && self.proxies.iter().all(|(_, requests, _)| *requests > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20} {:>6} {:>7} {:>20} {:>8}", "transition", "count", "failed", "in force p50 ms", "p99 ms")?;
        for (kind, row) in &self.kinds {
            let Row { count, failed, times } = row;
            let ms = |share: f64| {
                let at = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len().max(1)) - 1;
                times.get(at).map_or_else(|| "-".into(), |time| time.as_millis().to_string())
            };
            writeln!(f, "{:<20} {count:>6} {failed:>7} {:>20} {:>8}", kind.to_string(), ms(0.5), ms(0.99))?;
        }
        writeln!(f, "\n{:<20} {:>10} {:>7}", "proxy", "requests", "failed")?;
        for (name, requests, failed) in &self.proxies {
            writeln!(f, "{name:<20} {requests:>10} {failed:>7}")?;
        }
        if self.overload > 0 {
            writeln!(f, "OVERLOAD: {} scheduled requests were not sent, too many were unanswered", self.overload)?;
        }
        write!(
            f,
            "\n{} transitions and {} requests in {:.0} s, {} failed; seed {}",
            self.transitions(),
            self.requests(),
            self.took.as_secs_f64(),
            self.failures.len(),
            self.seed
        )
    }
}
