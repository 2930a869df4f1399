//! Who is told of what.

use std::time::Duration;

use serde_json::{Value, json};
use serin::model::SinkFormat::{Slack, Webhook};
use tokio::time::{Instant, sleep};

use crate::scene::{Scene, asked, held, keys, promoted, sink};
use crate::server::{Server, nobody};

#[tokio::test]
async fn each_sink_is_told_what_it_wants_in_its_own_form_and_nothing_of_the_past() {
    let directory = tempfile::tempdir().expect("a directory");
    let (all, few) = (Server::start(|_| (200, String::new())).await, Server::start(|_| (200, String::new())).await);
    let scene = Scene::start(directory.path(), Vec::new());
    scene.happens([promoted(1)]);
    scene.apply(vec![sink(Webhook, all.address, &[]), sink(Slack, few.address, &["held"])]);
    scene.told(2, 1).await;
    scene.happens([promoted(2), held(3), promoted(4)]);
    assert_eq!(asked(&all, 3).await, keys(2..=4));
    assert_eq!(asked(&few, 1).await, keys([3]));
    assert!(all.seen().iter().all(|seen| seen.target == "POST /hook"), "the path is kept");
    let bodies = |server: &Server| -> Vec<Value> {
        server.seen().iter().map(|seen| serde_json::from_str(&seen.body).expect("JSON")).collect()
    };
    assert_eq!(bodies(&few), [json!({"text": "⏸ *checkout*: held: v3 &amp; others"})]);
    let expected = json!({
        "release": "checkout", "service": "shop", "seq": 3, "at": "2023-11-14T22:13:20Z", "kind": "held",
        "message": "held: v3 & others", "event": {"kind": "held", "reason": "v3 & others"},
    });
    assert_eq!(bodies(&all)[1], expected);
}

#[tokio::test]
async fn a_sink_that_is_down_is_told_when_it_is_up_and_no_other_waits_for_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let (down, up) = (nobody(), Server::start(|_| (200, String::new())).await);
    let scene = Scene::start(directory.path(), vec![sink(Webhook, down, &[]), sink(Webhook, up.address, &[])]);
    scene.told(2, 0).await;
    scene.happens((1..=3).map(promoted));
    assert_eq!(asked(&up, 3).await, keys(1..=3));
    // It comes back with trouble of its own.
    let down = Server::start_at(down, |number| (if number == 1 { 503 } else { 200 }, String::new())).await;
    assert_eq!(asked(&down, 4).await, keys([1, 1, 2, 3]));
    scene.told(2, 3).await;
    assert_eq!(scene.tally.read(), (6, 0), "tries that failed are no failures yet");
}

#[tokio::test]
async fn a_sink_that_was_away_is_not_told_what_it_missed() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(|_| (200, String::new())).await;
    let sinks = || vec![sink(Webhook, server.address, &[])];
    let scene = Scene::start(directory.path(), sinks());
    scene.told(1, 0).await;
    scene.happens([promoted(1)]);
    scene.told(1, 1).await;
    scene.apply(Vec::new());
    scene.told(0, 0).await;
    scene.happens([promoted(2)]);
    scene.apply(sinks());
    scene.told(1, 2).await;
    scene.happens([promoted(3)]);
    assert_eq!(asked(&server, 2).await, keys([1, 3]));
}

#[tokio::test]
async fn a_sink_that_wants_more_than_before_is_told_from_then_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(|_| (200, String::new())).await;
    let scene = Scene::start(directory.path(), vec![sink(Webhook, server.address, &["promoted"])]);
    scene.told(1, 0).await;
    scene.happens([promoted(1), held(2)]);
    scene.told(1, 1).await;
    scene.apply(vec![sink(Webhook, server.address, &[])]);
    // How far it came is kept when it changes.
    scene.told(1, 2).await;
    scene.happens([held(3)]);
    assert_eq!(asked(&server, 2).await, keys([1, 3]));
}

#[tokio::test(start_paused = true)]
async fn after_ten_tries_a_sink_goes_without() {
    let directory = tempfile::tempdir().expect("a directory");
    let begun = Instant::now();
    let scene = Scene::start(directory.path(), vec![sink(Webhook, nobody(), &[])]);
    while scene.store.notified().expect("a store").is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    scene.happens([promoted(1), promoted(2)]);
    while scene.tally.read() != (0, 2) {
        sleep(Duration::from_secs(1)).await;
    }
    assert!(begun.elapsed() >= 2 * Duration::from_secs(1 + 2 + 4 + 8 + 16 + 32 + 60 + 60 + 60));
    scene.told(1, 2).await;
}
