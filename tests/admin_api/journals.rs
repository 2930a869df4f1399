//! Journals as they grow, over `ReleaseService`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serin::admin::proto::release_service_client::ReleaseServiceClient;
use serin::admin::proto::{WatchReleaseEventsRequest, WatchReleaseEventsResponse};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::harness::{Api, release_status, releases, soon};

type Events = Streaming<WatchReleaseEventsResponse>;

async fn watch(api: &Api, names: &[&str], after: u64) -> Result<Events, Status> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let mut client: ReleaseServiceClient<Channel> = ReleaseServiceClient::new(api.channel.clone());
    Ok(client.watch_release_events(WatchReleaseEventsRequest { names, after }).await?.into_inner())
}

/// The next so many entries, by release and number.
async fn next(events: &mut Events, count: usize) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    while found.len() < count {
        let answer = soon(events.message()).await.expect("a message").expect("a message");
        found.extend(answer.events.into_iter().map(|event| (event.release, event.sequence)));
    }
    found
}

fn lines(release: &str, numbers: std::ops::RangeInclusive<u64>) -> Vec<(String, u64)> {
    numbers.map(|number| (release.to_owned(), number)).collect()
}

/// The journal has so many lines by now, and the engine says that it has grown.
fn grow(api: &Api, release: &str, lines: u64) {
    api.history.write(release, lines);
    api.show(|view| {
        view.journal.insert(release.to_owned(), lines);
    });
}

#[tokio::test]
async fn every_entry_is_told_once_and_in_order() {
    let api = Api::serve(releases(&["checkout", "search"])).await;
    grow(&api, "checkout", 250);
    let mut events = watch(&api, &["checkout", "checkout"], 0).await.expect("a watch");
    assert_eq!(next(&mut events, 250).await, lines("checkout", 1..=250), "what is there, in as many pages as it takes");
    // Several entries before anybody can look, and what is of no concern.
    for end in [251, 253, 256] {
        grow(&api, "checkout", end);
    }
    grow(&api, "search", 1);
    assert_eq!(next(&mut events, 6).await, lines("checkout", 251..=256));
    // An order that changes nothing of what is shown is told all the same, and so is the end of a release.
    api.show(|view| drop(view.releases.remove("checkout")));
    grow(&api, "checkout", 257);
    assert_eq!(next(&mut events, 1).await, lines("checkout", 257..=257));
    let mut late = watch(&api, &["checkout"], 256).await.expect("its journal outlives it");
    assert_eq!(next(&mut late, 1).await, lines("checkout", 257..=257), "whoever was cut off goes on");
}

#[tokio::test]
async fn without_names_it_is_every_journal() {
    let api = Api::serve(releases(&["checkout", "search"])).await;
    grow(&api, "checkout", 2);
    grow(&api, "search", 1);
    let mut events = watch(&api, &[], 1).await.expect("a watch");
    assert_eq!(next(&mut events, 1).await, lines("checkout", 2..=2), "after the first of each");
    grow(&api, "search", 2);
    assert_eq!(next(&mut events, 1).await, lines("search", 2..=2));
    api.show(|view| drop(view.releases.insert("fresh".into(), Arc::new(release_status("fresh")))));
    grow(&api, "fresh", 3);
    assert_eq!(next(&mut events, 2).await, lines("fresh", 2..=3));
}

#[tokio::test]
async fn it_ends_with_the_server_and_says_why() {
    let api = Api::serve(releases(&["checkout"])).await;
    assert_eq!(watch(&api, &["chekout"], 0).await.expect_err("a typo").code(), Code::NotFound);
    let mut failing = watch(&api, &["checkout"], 0).await.expect("a watch");
    grow(&api, "checkout", 1);
    assert_eq!(next(&mut failing, 1).await, lines("checkout", 1..=1));
    let mut idle = watch(&api, &["checkout"], 1).await.expect("a watch");
    api.history.fails.store(true, Ordering::Relaxed);
    grow(&api, "checkout", 2);
    let end = soon(failing.message()).await.expect_err("the store fails");
    assert_eq!((end.code(), end.message()), (Code::Unavailable, "reading the store: input/output error"));
    assert_eq!(soon(idle.message()).await.expect_err("as well").code(), Code::Unavailable);

    api.history.fails.store(false, Ordering::Relaxed);
    let mut idle = watch(&api, &["checkout"], 2).await.expect("a watch");
    api.stop.send_replace(true);
    let end = soon(idle.message()).await.expect_err("the end");
    assert_eq!((end.code(), end.message()), (Code::Unavailable, "the server is shutting down"));
    soon(api.server).await.expect("no panic").expect("an orderly end");
}
