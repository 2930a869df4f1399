//! The words of the scripts.

use std::time::Duration;

use serin::analysis::{Counts, Outcome, Reading};
use serin::model::{Holdback, MeasuredMetric, MetricSource, Step, Weight};
use serin::rollout::{Command, FleetState, Part, Peer, Refusal, Spread, Standing};

/// That many proxies, which have everything.
pub(super) fn all_of(proxies: usize) -> FleetState {
    FleetState { proxies, in_force: proxies, ready: proxies, ..FleetState::default() }
}

pub(super) fn fleet(text: &str) -> FleetState {
    let mut words = text.splitn(3, ' ');
    let proxies: usize = words.next().and_then(|n| n.parse().ok()).expect("a number of proxies");
    let all = all_of(proxies);
    let number = |text: &str| text.parse().expect("a number");
    let refused = |part, text: &str| Some(Refusal { part, text: format!("it was rejected by edge-3: {text}") });
    match (words.next(), words.next().unwrap_or_default()) {
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
    }
}

pub(super) fn step(text: &str) -> Step {
    match text.split_once(' ') {
        Some(("setWeight", percent)) => {
            Step::SetWeight(Weight::from_percent(percent.parse().expect("a number")).expect("a weight"))
        }
        Some(("pause", time)) => Step::Pause(Some(length(time))),
        Some(("analyze", time)) => Step::Analyze { max: length(time) },
        Some(("auto", range)) => {
            let mut words = range.split(' ');
            let mut weight = || {
                let percent = words.next().expect("FROM TO LOOK").parse().expect("a number");
                Weight::from_percent(percent).expect("a weight")
            };
            let (from, to) = (Some(weight()).filter(|from| *from > Weight::ZERO), weight());
            let max = length(words.next().expect("FROM TO LOOK"));
            Step::Auto { from, to, max, within: words.next().map(length) }
        }
        Some(("holdback", held)) => {
            let (percent, time) = held.split_once(' ').expect("PERCENT TIME");
            let weight = Weight::from_percent(percent.parse().expect("a number")).expect("a weight");
            Step::Holdback(Holdback { weight, duration: length(time) })
        }
        None if text == "pause" => Step::Pause(None),
        _ => panic!("no such step: {text}"),
    }
}

/// `NAME max 0.2 min 0.1 count 3 failures 1 errors 2 delay 10s dryRun`, of which all but the name may be absent.
pub(super) fn metric(text: &str) -> MeasuredMetric {
    let mut words = text.split(' ');
    let mut metric = MeasuredMetric {
        name: words.next().expect("a name").into(),
        source: MetricSource::Prometheus {
            address: Some("http://prometheus:9090".into()),
            query: r#"latency{version="{{canary}}"}[{{window}}]"#.into(),
            secret: None,
        },
        min: None,
        max: None,
        interval: Duration::from_secs(10),
        initial_delay: Duration::ZERO,
        timeout: Duration::from_secs(5),
        count: 1,
        failure_limit: 0,
        consecutive_error_limit: 4,
        dry_run: false,
    };
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|number| number.parse().ok()).expect("a number");
        match word {
            "min" => metric.min = Some(number()),
            "max" => metric.max = Some(number()),
            "count" => metric.count = number() as u32,
            "failures" => metric.failure_limit = number() as u32,
            "errors" => metric.consecutive_error_limit = number() as u32,
            "delay" => metric.initial_delay = length(words.next().expect("a time")),
            "dryRun" => metric.dry_run = true,
            other => panic!("no such setting of a metric: {other}"),
        }
    }
    metric
}

/// `NAME 0.3`, `NAME nothing`, `NAME error WHY`.
pub(super) fn reading(text: &str) -> Reading {
    let (name, what) = text.split_once(' ').expect("a name and a number");
    let outcome = match what.split_once(' ') {
        Some(("error", why)) => Outcome::Error(why.into()),
        None if what == "nothing" => Outcome::Nothing,
        _ => Outcome::of(what.parse().expect("a number")),
    };
    Reading { metric: name.into(), outcome }
}

pub(super) fn order(text: &str) -> Command {
    match text.split_once(' ').unwrap_or((text, "")) {
        ("promote", "full") => Command::Promote { full: true },
        ("promote", "") => Command::Promote { full: false },
        ("pause", "") => Command::Pause,
        ("resume", "") => Command::Resume,
        ("abort", reason) => Command::Abort { reason: reason.into() },
        ("undo", to) => Command::Undo { to: to.strip_prefix("to ").map(str::to_owned) },
        ("retry", "") => Command::Retry,
        other => panic!("no such order: {other:?}"),
    }
}

pub(super) fn counts(text: &str) -> Counts {
    let (errors, requests) = text.split_once('/').expect("failed/total");
    Counts { errors: errors.parse().expect("a number"), requests: requests.parse().expect("a number") }
}

/// `10s`, `5m`, `2h`.
pub(super) fn length(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().expect("a number");
    match unit {
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        "h" => Duration::from_secs(number * 3600),
        other => panic!("no such unit: {other}"),
    }
}

/// `NAME done`, `NAME back REASON`, and `together WORD` at the end of it where they are one.
pub(super) fn peer(text: &str) -> Peer {
    let (text, together) = match text.split_once(" together ") {
        Some((text, word)) => (text, Some(word.to_owned())),
        None => (text, None),
    };
    let (release, how) = text.split_once(' ').expect("a name and how far it is");
    let standing = match how.split_once(' ').unwrap_or((how, "")) {
        ("done", "") => Standing::Done,
        ("moving", "") => Standing::OnItsWay,
        ("gate", "") => Standing::AtGate,
        ("promoting", "") => Standing::Promoting,
        ("settled", "") => Standing::Settled,
        ("back", reason) => Standing::Back { reason: reason.into() },
        other => panic!("no such standing: {other:?}"),
    };
    Peer { release: release.into(), together, standing }
}
