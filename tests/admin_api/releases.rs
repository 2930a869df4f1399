//! `ReleaseService` and `SpecService`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use envoy_types::pb::google::protobuf;
use serin::admin::proto::release_service_client::ReleaseServiceClient;
use serin::admin::proto::spec_service_client::SpecServiceClient;
use serin::admin::proto::*;
use serin::rollout::Command;
use serin::rollout::engine::View;
use tonic::Code;
use tonic::transport::Channel;

use crate::harness::{Api, at, release_status, releases, soon};

fn client(api: &Api) -> ReleaseServiceClient<Channel> {
    ReleaseServiceClient::new(api.channel.clone())
}

fn named(names: &[&str]) -> WatchReleasesRequest {
    WatchReleasesRequest { names: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn names(response: Option<WatchReleasesResponse>) -> Vec<String> {
    response.expect("a message").releases.into_iter().map(|release| release.name).collect()
}

#[tokio::test]
async fn a_release_is_shown_whole() {
    let api = Api::serve(releases(&["search", "checkout"])).await;
    let all = client(&api).list_releases(ListReleasesRequest {}).await.expect("releases").into_inner().releases;
    assert_eq!(all.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["checkout", "search"]);
    let request = GetReleaseRequest { name: "checkout".into() };
    let one = client(&api).get_release(request).await.expect("a release").into_inner().release.expect("a release");
    assert_eq!(one, all[0]);
    let share = |version: &str, weight, p99| Share {
        version: version.into(),
        weight,
        requests_per_second: 12.5,
        error_rate: 0.25,
        p99,
    };
    let expected = Release {
        name: "checkout".into(),
        service: "checkout-service".into(),
        version: "v2".into(),
        stable_version: "v1".into(),
        canary_version: "v2".into(),
        phase: Phase::Progressing.into(),
        message: "setWeight 5%".into(),
        steps: vec!["setWeight 5%".into(), "analyze up to 10m".into()],
        step: 1,
        set_weight: 5.0,
        actual_weight: 2.5,
        proxies: 3,
        proxies_in_force: 2,
        evidence: Some(Evidence {
            canary_requests: 100,
            canary_errors: 1,
            baseline_requests: 1900,
            baseline_errors: 2,
            revert_evidence: 1.5,
            revert_bound: 20.0,
            advance_evidence: 3.5,
            advance_bound: 10.0,
            proxies: 3,
            observed: Some(protobuf::Duration { seconds: 1, nanos: 500_000_000 }),
            verdict: "undecided".into(),
        }),
        started_at: Some(protobuf::Timestamp { seconds: 100, nanos: 0 }),
        changed_at: Some(protobuf::Timestamp { seconds: 200, nanos: 0 }),
        shares: vec![
            share("v2", 5.0, Some(protobuf::Duration { seconds: 0, nanos: 20_000_000 })),
            share("v1", 95.0, None),
        ],
        held: true,
        routing: vec!["header x-internal exact \"true\": v2".into(), "rest: v2 5%, v1 95%".into()],
        waits: "no change before Monday".into(),
        calls: vec!["hook tests, try 2".into()],
        endpoints: "2 of 8 endpoints run v2".into(),
        failed: Some(FailedVersion { version: "v2".into(), times: 3 }),
        way_back: vec!["v1".into(), "v0".into()],
    };
    assert_eq!(one, expected);
    let refused = client(&api).get_release(GetReleaseRequest { name: "chekout".into() }).await.expect_err("a typo");
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(refused.message(), "there is no release named chekout: the releases are checkout, search");
}

#[tokio::test]
async fn orders_reach_the_engine_and_bring_back_the_release() {
    let api = Api::serve(releases(&["checkout"])).await;
    let (mut client, name) = (client(&api), || "checkout".to_owned());
    let promote = |full| PromoteReleaseRequest { name: name(), full };
    let abort = AbortReleaseRequest { name: name(), reason: "pager".into() };
    let undo = |to: &str| UndoReleaseRequest { name: name(), to: to.into() };
    let shown = [
        client.promote_release(promote(false)).await.expect("done").into_inner().release,
        client.promote_release(promote(true)).await.expect("done").into_inner().release,
        client.pause_release(PauseReleaseRequest { name: name() }).await.expect("done").into_inner().release,
        client.resume_release(ResumeReleaseRequest { name: name() }).await.expect("done").into_inner().release,
        client.abort_release(abort).await.expect("done").into_inner().release,
        client.undo_release(undo("")).await.expect("done").into_inner().release,
        client.undo_release(undo("v7")).await.expect("done").into_inner().release,
        client.retry_release(RetryReleaseRequest { name: name() }).await.expect("done").into_inner().release,
    ];
    let expected = [
        Command::Promote { full: false },
        Command::Promote { full: true },
        Command::Pause,
        Command::Resume,
        Command::Abort { reason: "pager".into() },
        Command::Undo { to: None },
        Command::Undo { to: Some("v7".into()) },
        Command::Retry,
    ];
    let messages = shown.map(|release| release.expect("a release").message);
    assert_eq!(messages, expected.each_ref().map(Command::describe));
    assert_eq!(*api.ordered.lock().expect("a lock"), expected.map(|command| (name(), command)));
}

#[tokio::test]
async fn an_order_that_fails_says_how() {
    let api = Api::serve(releases(&["checkout"])).await;
    for (name, code, message) in [
        ("chekout", Code::NotFound, "there is no release named chekout: the releases are checkout"),
        ("refused", Code::FailedPrecondition, "it is healthy: there is nothing to retry"),
        ("unkept", Code::Unavailable, "the store cannot record it, so nothing was done: disk full"),
        ("forgotten", Code::Unavailable, "the server is shutting down"),
    ] {
        let refused = client(&api).retry_release(RetryReleaseRequest { name: name.into() }).await.expect_err(name);
        assert_eq!((refused.code(), refused.message()), (code, message));
    }
    let long = AbortReleaseRequest { name: "checkout".into(), reason: "x".repeat(4097) };
    assert_eq!(client(&api).abort_release(long).await.expect_err("too long").code(), Code::InvalidArgument);
    assert!(!api.ordered.lock().expect("a lock").iter().any(|(name, _)| name == "checkout"));
    api.engine.abort();
    assert!(api.engine.await.expect_err("aborted").is_cancelled());
    let mut client = ReleaseServiceClient::new(api.channel);
    let stopped = client.retry_release(RetryReleaseRequest { name: "checkout".into() }).await;
    assert_eq!(stopped.expect_err("no engine").code(), Code::Unavailable);
}

#[tokio::test]
async fn a_watch_sends_what_it_watches_and_only_changes() {
    let api = Api::serve(releases(&["checkout", "search"])).await;
    let mut all = client(&api).watch_releases(named(&[])).await.expect("a watch").into_inner();
    let mut one = client(&api).watch_releases(named(&["search", "search"])).await.expect("a watch").into_inner();
    assert_eq!(names(soon(all.message()).await.expect("a message")), ["checkout", "search"]);
    assert_eq!(names(soon(one.message()).await.expect("a message")), ["search"]);

    // Three changes before anybody can look: the watches skip to the newest.
    for step in ["a", "b", "c"] {
        api.show(|view| Arc::make_mut(view.releases.get_mut("checkout").expect("it")).message = step.into());
    }
    let seen = soon(all.message()).await.expect("a message").expect("a message");
    assert_eq!((seen.releases[0].message.as_str(), seen.releases[1].name.as_str()), ("c", "search"));

    // What is not part of a release is no change of it.
    api.show(|view| view.diagnostics = vec!["trouble".into()]);
    let mut specs = SpecServiceClient::new(api.channel.clone());
    let status = specs.get_spec_status(GetSpecStatusRequest {}).await.expect("a status").into_inner();
    assert_eq!(status.diagnostics, ["trouble"], "the server has seen it");
    api.show(|view| Arc::make_mut(view.releases.get_mut("search").expect("it")).message = "d".into());
    for watch in [&mut all, &mut one] {
        let seen = soon(watch.message()).await.expect("a message").expect("a message");
        let search = seen.releases.iter().find(|release| release.name == "search").expect("it is watched");
        assert_eq!(search.message, "d");
    }

    // What goes away is left out, and may come back.
    api.show(|view| drop(view.releases.remove("search")));
    assert!(names(soon(one.message()).await.expect("a message")).is_empty());
    api.show(|view| drop(view.releases.insert("search".into(), Arc::new(release_status("search")))));
    assert_eq!(names(soon(one.message()).await.expect("a message")), ["search"]);

    let unknown = client(&api).watch_releases(named(&["search", "serch"])).await.expect_err("a typo");
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn a_watch_ends_with_the_engine() {
    let api = Api::serve(releases(&["checkout"])).await;
    let mut watch = client(&api).watch_releases(named(&[])).await.expect("a watch").into_inner();
    soon(watch.message()).await.expect("a message");
    drop(api.view);
    assert_eq!(soon(watch.message()).await.expect_err("the end").code(), Code::Unavailable);
}

#[tokio::test]
async fn the_journal_is_read_in_pieces() {
    let api = Api::serve(releases(&["checkout", "fresh"])).await;
    api.history.write("checkout", 1500);
    api.history.write("removed", 2);
    let request = |name: &str, after, limit| ListReleaseEventsRequest { name: name.into(), after, limit };
    for (name, after, limit, expected) in [
        ("checkout", 0, 0, 1..1001),
        ("checkout", 0, 4_000_000_000, 1..1001),
        ("checkout", 0, 2, 1..3),
        ("checkout", 1498, 0, 1499..1501),
        ("checkout", 1500, 0, 0..0),
        ("removed", 0, 0, 1..3),
        ("removed", u64::MAX, 0, 0..0),
        ("fresh", 0, 0, 0..0),
    ] {
        let events = client(&api).list_release_events(request(name, after, limit)).await.expect(name).into_inner();
        let found: Vec<u64> = events.events.iter().map(|event| event.sequence).collect();
        assert_eq!(found, expected.collect::<Vec<_>>(), "{name} after {after}, at most {limit}");
    }
    let event = client(&api).list_release_events(request("checkout", 0, 1)).await.expect("a line").into_inner();
    let expected = ReleaseEvent {
        sequence: 1,
        at: Some(protobuf::Timestamp { seconds: 60, nanos: 0 }),
        kind: "settled".into(),
        message: "line 1".into(),
        json: "{}".into(),
        release: "checkout".into(),
    };
    assert_eq!(event.events, [expected]);
    let unknown = client(&api).list_release_events(request("never", 7, 0)).await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound);
    api.history.fails.store(true, Ordering::Relaxed);
    let failed = client(&api).list_release_events(request("checkout", 0, 0)).await.expect_err("no store");
    assert_eq!((failed.code(), failed.message()), (Code::Unavailable, "reading the store: input/output error"));
}

#[tokio::test]
async fn the_state_of_the_specs_is_the_engines() {
    let view = View {
        applied_at: Some(at(50)),
        fleets: 1,
        services: 2,
        diagnostics: vec!["a.yaml:1:2: what is this".into()],
        ..releases(&["checkout", "fresh", "search"])
    };
    let api = Api::serve(view).await;
    let mut client = SpecServiceClient::new(api.channel.clone());
    let status = client.get_spec_status(GetSpecStatusRequest {}).await.expect("a status").into_inner();
    let expected = GetSpecStatusResponse {
        applied_at: Some(protobuf::Timestamp { seconds: 50, nanos: 0 }),
        fleets: 1,
        services: 2,
        releases: 3,
        diagnostics: vec!["a.yaml:1:2: what is this".into()],
    };
    assert_eq!(status, expected);
    api.show(|view| *view = View::default());
    let status = client.get_spec_status(GetSpecStatusRequest {}).await.expect("a status").into_inner();
    assert_eq!(status, GetSpecStatusResponse::default());
}
