//! `serin replay`: a recorded journal comes out the same, bit for bit, and a changed one is found.
//!
//! The journal is written by the state machine itself; `UPDATE_GOLDEN=1` writes it anew. When it has to be, the same counts
//! come to other evidence than before: then `ANALYSIS` is another one, too.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use serin::analysis::{Arm, Counts, Place, PlaceCounts, PlaceKind, Window};
use serin::model::{AnalysisPolicy, Canary, Histogram, LatencyMetric, Release, Step, Strategy, Weight};
use serin::rollout::{Context, Decision, Event, FleetState, Observation, Record, Rollout, Told};

use crate::{code, err, fake, out, run, serin};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal/reverted.json")
}

/// One second at four proxies, the third endpoint of the canary with so many errors.
fn window(n: u64, sick: u64) -> Window {
    let counts = |requests, errors| Counts { requests, errors };
    let at = |name: &str, canary| {
        let place = Place { kind: PlaceKind::Endpoint, name: name.into() };
        PlaceCounts { place, canary, baseline: counts(900, n % 2) }
    };
    let latency = Some(Histogram { bounds: vec![10.0, 50.0, f64::INFINITY], counts: vec![60, 38, 2] });
    Window {
        canary: Arm {
            latency: latency.clone(),
            endpoints: 4,
            ..Arm::from(counts(100, sick + u64::from(n.is_multiple_of(40))))
        },
        baseline: Arm { latency, endpoints: 4, ..Arm::from(counts(900, n % 2)) },
        proxies: 4,
        length: Duration::from_secs(1),
        places: vec![
            at("10.0.1.1:8080", counts(25, 0)),
            at("10.0.1.2:8080", counts(25, u64::from(n.is_multiple_of(40)))),
            at("10.0.1.3:8080", counts(25, sick)),
            at("10.0.1.4:8080", counts(25, 0)),
        ],
        ..Window::default()
    }
}

/// v2 passes an analysis at 10 %, and is reverted at 50 %, where an endpoint falls sick.
fn recorded() -> Vec<(Timestamp, Record)> {
    let weight = |percent| Step::SetWeight(Weight::from_percent(percent).unwrap());
    let analyze = || Step::Analyze { max: Duration::from_secs(600) };
    let steps = vec![weight(10.0), analyze(), weight(50.0), Step::Pause(Some(Duration::from_secs(60))), analyze()];
    let strategy = Strategy::Canary(Canary { steps, ..Canary::default() });
    let analysis = AnalysisPolicy { latency: Some(LatencyMetric::default()), ..AnalysisPolicy::default() };
    let release = Release::new("checkout", "checkout", "v2", strategy, analysis);
    let fleet = FleetState { proxies: 4, ready: 4, in_force: 4, ..FleetState::default() };
    let begun: Timestamp = "2026-03-02T09:30:00Z".parse().unwrap();
    let mut rollout = Rollout::adopt("checkout", "checkout", "v1", begun);
    let mut journal = Vec::new();
    let mut sick = 0;
    for n in 0..600_u64 {
        let now = begun + Duration::from_secs(n);
        let seen = Observation {
            elapsed: Duration::from_secs(1),
            fleet: fleet.clone(),
            window: Some(window(n, sick)),
            ..Observation::default()
        };
        let after = rollout.apply(Event::Observed(seen), Context::of(&release), now).unwrap();
        rollout = after.rollout;
        if after.records.iter().any(|record| matches!(record, Record::StepBegun { step: 3, .. })) {
            sick = 6;
        }
        journal.extend(after.records.into_iter().map(|record| (now, record)));
        if journal.iter().any(|(_, record)| matches!(record, Record::Reverted { .. })) {
            return journal;
        }
    }
    panic!("it was never reverted: {:?}", rollout.state);
}

/// As `serin events checkout -o json` writes it.
fn written(journal: &[(Timestamp, Record)]) -> String {
    let event = |(sequence, (at, record)): (u64, &(Timestamp, Record))| {
        json!({
            "sequence": sequence.to_string(), "at": at.to_string(), "kind": record.kind(), "message": record.message(),
            "json": serde_json::to_string(record).unwrap(), "release": "checkout",
        })
    };
    let events: Vec<Value> = (1..).zip(journal).map(event).collect();
    serde_json::to_string_pretty(&json!({ "events": events })).unwrap() + "\n"
}

/// The entries of the golden journal, to be changed.
fn events() -> Vec<Value> {
    let text = std::fs::read_to_string(golden()).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["events"].as_array().unwrap().clone()
}

/// Replays entries from a file.
async fn replay(events: &[Value]) -> std::process::Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("journal.json");
    std::fs::write(&file, json!({ "events": events }).to_string()).unwrap();
    serin(&format!("replay checkout --file {}", file.display())).output().await.unwrap()
}

/// The entry with this number, with its record changed.
fn changed(mut events: Vec<Value>, which: usize, change: impl FnOnce(&mut Value)) -> Vec<Value> {
    let mut record: Value = serde_json::from_str(events[which]["json"].as_str().unwrap()).unwrap();
    change(&mut record);
    events[which]["json"] = record.to_string().into();
    events
}

#[tokio::test]
async fn the_golden_journal_comes_out_the_same() {
    let journal = recorded();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(golden().parent().unwrap()).unwrap();
        std::fs::write(golden(), written(&journal)).unwrap();
    }
    let got = replay(&events()).await;
    assert_eq!((code(&got), err(&got).as_str()), (Some(0), ""), "{}", out(&got));
    let told = out(&got);
    let lines: Vec<&str> = told.lines().collect();
    let measured = events().iter().filter(|event| event["kind"] == "measured").count();
    assert_eq!(lines.len(), 3, "{told}");
    assert!(lines[0].contains(": v2: pass: ") && lines[0].ends_with(": the same again"), "{told}");
    assert!(lines[1].contains(": v2: fail: ") && lines[1].ends_with(": the same again"), "{told}");
    assert_eq!(lines[2], format!("{measured} measurements, 2 verdicts: all the same"));
    // The sick endpoint is named by what reverted it.
    let (_, reverting) = journal.iter().find(|(_, record)| matches!(record, Record::Reverting { .. })).unwrap();
    let why = reverting.explanation().unwrap();
    assert!(why.over.ends_with("; worse at endpoint 10.0.1.3:8080"), "{why:?}");
}

/// The example in `JUDGEMENT.md` is what the golden journal's revert is told as. `UPDATE_GOLDEN=1` writes it there.
#[test]
fn the_documented_explanation_is_that_of_the_golden_journal() {
    let journal = recorded();
    let reverting = |(_, (_, record)): &(u64, (Timestamp, Record))| matches!(record, Record::Reverting { .. });
    let (sequence, (at, record)) = (1..).zip(journal).find(reverting).unwrap();
    let decision = Decision { sequence, at, record, cause: None };
    let told = Told { decision: Some(decision), present: None, next: None }.text();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/JUDGEMENT.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once("$ serin explain checkout\n").unwrap();
    let (shown, after) = rest.split_once("```").unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, format!("{before}$ serin explain checkout\n{told}```{after}")).unwrap();
        return;
    }
    assert_eq!(shown, told, "UPDATE_GOLDEN=1 writes it anew");
}

#[tokio::test]
async fn a_changed_count_is_found_where_it_was() {
    let is_measured = |event: &Value| event["kind"] == "measured";
    let third = events().iter().enumerate().filter(|(_, event)| is_measured(event)).nth(2).unwrap().0;
    let got = replay(&changed(events(), third, |record| {
        let requests = &mut record["window"]["baseline"]["requests"];
        *requests = (requests.as_u64().unwrap() + 1).into();
    }))
    .await;
    assert_eq!((code(&got), err(&got).as_str()), (Some(1), ""));
    let expected =
        format!("{}: evidence.baseline_requests: 2700 was recorded, and judged again it is 2701\n", third + 1);
    assert_eq!(out(&got), expected);

    let judged = events().iter().position(|event| event["kind"] == "judged").unwrap();
    let got = replay(&changed(events(), judged, |record| record["verdict"] = "fail".into())).await;
    assert_eq!(code(&got), Some(1));
    assert!(out(&got).starts_with(&format!("{}: the verdict on v2: fail (", judged + 1)), "{}", out(&got));
}

#[tokio::test]
async fn a_journal_without_its_beginning_says_so() {
    let beginning = events().iter().position(|event| event["kind"] == "measured").unwrap();
    let got = replay(&events()[beginning + 1..]).await;
    assert_eq!(code(&got), Some(1));
    assert!(err(&got).starts_with("error: none of ") && err(&got).contains("the journal"), "{}", err(&got));
    // A later state is as good a beginning: what is before it is left out.
    let state = |event: &Value| event["json"].as_str().unwrap().contains("\"state\"");
    let later = events().into_iter().skip(beginning + 1).filter(|event| event["kind"] == "measured");
    let mut doubled: Vec<Value> = later.take(2).collect();
    doubled.extend(events()[beginning..].iter().cloned());
    assert!(state(&doubled[2]));
    let got = replay(&doubled).await;
    assert_eq!(code(&got), Some(0), "{}", out(&got));
    let from = format!("judged again from entry {} on: the state of the judge before 2 measurements", beginning + 1);
    assert!(out(&got).contains(&from), "{}", out(&got));
}

#[tokio::test]
async fn what_is_no_journal_is_told() {
    let server = fake::start().await;
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let got = run(&format!("replay checkout --file {readme}"), server).await;
    assert_eq!(code(&got), Some(1));
    assert!(err(&got).contains("this is not what `serin events NAME -o json` writes"), "{}", err(&got));
    let got = run(&format!("replay search --file {}", golden().display()), server).await;
    assert_eq!(code(&got), Some(4));
    assert!(err(&got).ends_with("has no entry of a release named search\n"), "{}", err(&got));
    let got = run("replay absent", server).await;
    assert_eq!((code(&got), err(&got).as_str()), (Some(4), "error: there is no release named absent\n"));
    // Over the API; what it tells is no entry.
    let got = run("replay checkout", server).await;
    assert_eq!(code(&got), Some(1));
    assert!(err(&got).starts_with("error: entry 1 is none that this version of Serin knows: "), "{}", err(&got));
}

/// Replays the golden journal by the policy of a spec.
async fn rehearse(analysis: &str) -> std::process::Output {
    let directory = tempfile::tempdir().unwrap();
    let spec = directory.path().join("specs.yaml");
    let text = include_str!("../../examples/canary-weights.yaml");
    std::fs::write(&spec, format!("{text}  analysis: {{{analysis}}}\n")).unwrap();
    let command = format!("replay checkout --file {} --policy {}", golden().display(), spec.display());
    serin(&command).output().await.unwrap()
}

#[tokio::test]
async fn another_policy_is_tried_on_what_was() {
    let same = rehearse("metrics: [errors: {}, latency: {}, ejections: {}]").await;
    assert_eq!((code(&same), err(&same).as_str()), (Some(0), ""));
    let told = out(&same);
    let said = |which: &str, verdict: &str| {
        let start = format!(": v2: {which}: {verdict}: ");
        told.lines().find_map(|line| line.split_once(&start)).map(|(_, reason)| reason.to_owned())
    };
    for verdict in ["pass", "fail"] {
        let was = said("as it was", verdict);
        assert!(was.is_some() && was == said("by this policy", verdict), "{verdict}: {told}");
    }
    assert!(
        told.contains(" measurements: by this policy 1 passed, 1 failed; as it was 1 passed, 1 failed\n"),
        "{told}"
    );

    let loose = rehearse(
        "metrics: [errors: {tolerateRatio: 500, rejectRatio: 1000}, prometheus: {name: queue, query: up, max: 1}]",
    )
    .await;
    let told = out(&loose);
    assert!(
        told.contains("by this policy: no revert: ") && told.contains(", 0 failed; as it was 1 passed, 1 failed"),
        "{told}"
    );
    assert_eq!(err(&loose), "note: the journal has no number of these, and they are taken to be good: queue\n");

    let wrong = rehearse("metrics: [errors: {tolerateRatio: 3}]").await;
    assert_eq!(code(&wrong), Some(1));
    assert!(err(&wrong).contains("must be greater than tolerateRatio (3)"), "{}", err(&wrong));
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/minimal.yaml");
    let command = format!("replay checkout --file {} --policy {}", golden().display(), spec.display());
    let none = serin(&command).output().await.unwrap();
    assert_eq!(code(&none), Some(4), "{}", err(&none));
    assert!(err(&none).contains("has no release checkout; there are: none"), "{}", err(&none));
}
