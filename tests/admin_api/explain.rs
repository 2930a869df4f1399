//! Why, over `ReleaseService`.

use std::sync::atomic::Ordering;

use serin::admin::proto::release_service_client::ReleaseServiceClient;
use serin::admin::proto::{ExplainReleaseRequest, ExplainReleaseResponse};
use serin::analysis::{Counts, Explanation, Finding, PlaceKind};
use serin::model::Weight;
use serin::rollout::{Command, Phase, Record};
use serin::store::JournalEntry;
use std::sync::Arc;
use tonic::{Code, Status};

use crate::harness::{Api, at, release_status, releases};

async fn explain(api: &Api, name: &str, at_sequence: Option<u64>) -> Result<ExplainReleaseResponse, Status> {
    let request = ExplainReleaseRequest { name: name.into(), at_sequence };
    Ok(ReleaseServiceClient::new(api.channel.clone()).explain_release(request).await?.into_inner())
}

fn explanation() -> Option<Box<Explanation>> {
    let counts = |requests, errors| Counts { requests, errors };
    let place = Finding {
        kind: PlaceKind::Endpoint,
        name: Some("10.0.1.3:8080".into()),
        places: 1,
        canary: counts(1030, 412),
        baseline: counts(8000, 8),
        evidence: 3.1e88,
        bound: 1200.0,
        others: 3,
        elsewhere: counts(3090, 2),
    };
    Some(Box::new(Explanation {
        compared: "v2 37/412 (9.0%) failed against 8/7930 (0.10%) of v1".into(),
        evidence: "evidence 3.0e28 ≥ 100 (falseRevert 1%): reverts".into(),
        over: "over 42 s on 4 of 4 proxies; worse at endpoint 10.0.1.3:8080".into(),
        places: vec![place],
        ..Explanation::default()
    }))
}

fn passed() -> Option<Box<Explanation>> {
    Some(Box::new(Explanation {
        compared: "v2 0/3500 (0%) failed against 0/31500 (0%) of v1".into(),
        evidence: "evidence 25.88 ≥ 20 (falseAdvance 5%): advances".into(),
        over: "over 42 s on 4 of 4 proxies".into(),
        ..Explanation::default()
    }))
}

/// Writes a journal, an entry a second.
fn write(api: &Api, release: &str, records: &[Record]) {
    let entry = |(sequence, record): (u64, &Record)| JournalEntry {
        sequence,
        at: at(i64::try_from(sequence).expect("small")),
        kind: record.kind().into(),
        message: record.message(),
        json: serde_json::to_string(record).expect("JSON"),
    };
    let entries = (1..).zip(records).map(entry).collect();
    api.history.journal.lock().expect("a lock").insert(release.into(), entries);
}

fn reverted() -> Vec<Record> {
    let begun = Record::StepBegun {
        step: 0,
        what: "setWeight 5%".into(),
        weight: Weight::from_percent(5.0).expect("a weight"),
        explanation: None,
    };
    let reverting = Record::Reverting {
        canary: "v2".into(),
        stable: "v1".into(),
        reason: "too many errors".into(),
        explanation: explanation(),
    };
    vec![begun, reverting, Record::Reverted { canary: "v2".into(), proxies: 4 }]
}

#[tokio::test]
async fn the_newest_decision_with_what_it_stood_on() {
    let api = Api::serve(releases(&["checkout"])).await;
    write(&api, "checkout", &reverted());
    api.show(|view| {
        let next = Some("fix it, or `serin retry checkout`".into());
        let degraded = serin::rollout::ReleaseStatus { phase: Phase::Degraded, next, ..release_status("checkout") };
        view.releases.insert("checkout".into(), Arc::new(degraded));
    });
    let told = explain(&api, "checkout", None).await.expect("why");
    let decision = told.decision.expect("a decision");
    assert_eq!((decision.sequence, decision.kind.as_str()), (2, "reverting"));
    assert_eq!((decision.headline.as_str(), decision.reason.as_str()), ("✖ reverted v2", "too many errors"));
    let place = &decision.explanation.expect("it stood on something").places[0];
    assert_eq!((place.kind.as_str(), place.name.as_str()), ("endpoint", "10.0.1.3:8080"));
    assert_eq!((place.canary_errors, place.canary_requests, place.baseline_requests), (412, 1030, 8000));
    assert_eq!((told.present, told.next.as_str()), (None, "fix it, or `serin retry checkout`"), "it is at rest");
    let expected = "\
✖ reverted v2 at 1970-01-01T00:00:02.000Z, entry 2
  because: too many errors
  v2 37/412 (9.0%) failed against 8/7930 (0.10%) of v1
  evidence 3.0e28 ≥ 100 (falseRevert 1%): reverts
  over 42 s on 4 of 4 proxies; worse at endpoint 10.0.1.3:8080
    worse at endpoint 10.0.1.3:8080: 412/1030 (40%) against 0.10%: evidence 3.1e88 ≥ 1200; 3 other endpoints: 2/3090 (0.065%)
next: fix it, or `serin retry checkout`
";
    assert_eq!(told.text, expected);
    // The newest up to an entry.
    let told = explain(&api, "checkout", Some(1)).await.expect("why");
    assert_eq!(told.text, "✔ advanced to step 1: setWeight 5% at 1970-01-01T00:00:01.000Z, entry 1\n");
    assert_eq!(explain(&api, "checkout", Some(0)).await.expect("why").text, "nothing was decided yet\n");
}

#[tokio::test]
async fn what_goes_on_is_told_as_well() {
    let api = Api::serve(releases(&["checkout"])).await;
    write(&api, "checkout", &reverted()[..1]);
    let told = explain(&api, "checkout", None).await.expect("why");
    let present = told.present.expect("it is on its way");
    assert_eq!((present.message.as_str(), present.since.map(|at| at.seconds)), ("setWeight 5%", Some(1)));
    assert_eq!(present.explanation.expect("something was measured").evidence, "undecided");
    let expected = "\
✔ advanced to step 1: setWeight 5% at 1970-01-01T00:00:01.000Z, entry 1

now (since 1970-01-01T00:00:01.000Z): setWeight 5%
  v2 1/100 (1.0%) failed against 2/1900 (0.11%) of v1
  undecided
  over 1 s on 3 of 3 proxies
";
    assert_eq!(told.text, expected);
}

#[tokio::test]
async fn a_journal_outlives_its_release_and_a_typo_is_told() {
    let api = Api::serve(releases(&["checkout"])).await;
    write(&api, "gone", &reverted());
    assert!(explain(&api, "gone", None).await.expect("why").text.starts_with("✖ reverted v2"));
    let error = explain(&api, "chekout", None).await.expect_err("a typo");
    let expected = "there is no release named chekout: the releases are checkout";
    assert_eq!((error.code(), error.message()), (Code::NotFound, expected));
    api.history.fails.store(true, Ordering::Relaxed);
    assert_eq!(explain(&api, "checkout", None).await.expect_err("it fails").code(), Code::Unavailable);
}

#[tokio::test]
async fn a_release_at_rest_tells_how_it_came_to_be_stable() {
    let api = Api::serve(releases(&["checkout", "search"])).await;
    let good = "errors: canary 0/3500 (0%) against baseline 0/31500 (0%): evidence 25.88 ≥ 20, advances";
    let judged = Record::Judged { verdict: "pass".into(), reason: good.into(), explanation: None };
    let promoting = Record::Promoting { canary: "v2".into(), reason: None, explanation: passed() };
    let promoted = Record::Promoted { version: "v2".into() };
    write(&api, "checkout", &[judged, promoting, promoted]);
    write(&api, "search", &[Record::Adopted { version: "v1".into() }]);
    api.show(|view| {
        for name in ["checkout", "search"] {
            let status = release_status(name);
            let message = "v2 has all the traffic".into();
            let healthy = serin::rollout::ReleaseStatus { phase: Phase::Healthy, message, explanation: None, ..status };
            view.releases.insert(name.into(), Arc::new(healthy));
        }
    });
    let told = explain(&api, "checkout", None).await.expect("why");
    let expected = format!(
        "\
✔ promoted v2 at 1970-01-01T00:00:02.000Z, entry 2
  because: {good}
  v2 0/3500 (0%) failed against 0/31500 (0%) of v1
  evidence 25.88 ≥ 20 (falseAdvance 5%): advances
  over 42 s on 4 of 4 proxies
"
    );
    assert_eq!(told.text, expected);
    assert_eq!(told.decision.expect("a decision").reason, good);
    // One that was there before has nothing that was decided.
    let told = explain(&api, "search", None).await.expect("why");
    let expected = "nothing was decided yet\n\nnow (since 1970-01-01T00:00:01.000Z): v2 has all the traffic\n";
    assert_eq!(told.text, expected);
}

#[tokio::test]
async fn what_a_person_ordered_is_the_cause() {
    let api = Api::serve(releases(&["checkout"])).await;
    let weight = |percent| Weight::from_percent(percent).expect("a weight");
    let step = |step, what: &str| Record::StepBegun { step, what: what.into(), weight: weight(5.0), explanation: None };
    let settled = || Record::Settled { weight: weight(5.0), proxies: 4 };
    let promote = || Record::Ordered { command: Command::Promote { full: false } };
    let promoting = || Record::Promoting { canary: "v2".into(), reason: None, explanation: passed() };
    let edited = |kept| Record::StrategyChanged { step: 1, kept };
    let judged = Record::Judged { verdict: "inconclusive".into(), reason: "too few".into(), explanation: None };
    let cases = [
        (vec![promote(), promoting()], "ordered by hand: promote"),
        (vec![judged.clone(), promote(), step(1, "setWeight 5%"), settled(), promoting()], "ordered by hand: promote"),
        (vec![judged, step(1, "setWeight 5%"), settled(), step(2, "pause 10s")], "too few"),
        (vec![promote(), edited(false), step(1, "pause 5s")], "the steps were edited: goes on with step 2"),
        (vec![promote(), edited(true), step(2, "pause 5s")], "ordered by hand: promote"),
        (vec![Record::Ordered { command: Command::Retry }, step(0, "setWeight 5%")], "ordered by hand: retry"),
        // A pause ended by itself, and nobody ordered it.
        (vec![promote(), step(1, "pause 10s"), step(2, "setWeight 5%")], ""),
        (vec![Record::Ordered { command: Command::Resume }, step(2, "setWeight 5%")], ""),
        (vec![promote(), step(1, "mirror 5% for 1m"), settled(), promoting()], ""),
    ];
    for (journal, cause) in cases {
        write(&api, "checkout", &journal);
        let told = explain(&api, "checkout", None).await.expect("why");
        let reason = told.decision.expect("a decision").reason;
        assert!(reason.starts_with(cause) && reason.is_empty() == cause.is_empty(), "{reason}: {journal:?}");
        assert_eq!(told.text.contains("  because: "), !cause.is_empty(), "{}", told.text);
    }
}
