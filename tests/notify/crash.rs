//! A server that ends without a word.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serin::model::SinkFormat::Webhook;
use serin::store::redb::RedbStore;
use serin_testbed::wait;
use tokio::runtime::Runtime;

use crate::scene::{Scene, asked, keys, promoted, sink};
use crate::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_loses_nothing_and_repeats_what_was_on_its_way() {
    let directory = tempfile::tempdir().expect("a directory");
    let ((reached, third), (go, gone)) = (mpsc::channel(), mpsc::channel::<()>());
    let gone = Arc::new(Mutex::new(gone));
    let server = Server::start(move |number| {
        if number == 3 {
            // The sink has it, but its answer comes too late.
            reached.send(()).expect("the test waits");
            gone.lock().expect("a lock").recv().expect("the test says so");
        }
        (200, String::new())
    })
    .await;
    let sinks = vec![sink(Webhook, server.address, &[])];
    let process = Runtime::new().expect("a runtime");
    let scene = {
        let _inside = process.enter();
        Scene::start(directory.path(), sinks.clone())
    };
    scene.told(1, 0).await;
    scene.happens((1..=5).map(promoted));
    tokio::task::spawn_blocking(move || third.recv()).await.expect("it ends").expect("the third comes");
    process.shutdown_background();
    drop(scene);
    go.send(()).expect("the server waits");
    // The file is closed when the last of its users has ended.
    let closed = || async { Ok(RedbStore::open(directory.path()).map(drop)?) };
    wait::until("the store to be closed", Duration::from_secs(60), closed).await.expect("it is closed");

    let scene = Scene::start(directory.path(), sinks);
    scene.told(1, 5).await;
    assert_eq!(asked(&server, 6).await, keys([1, 2, 3, 3, 4, 5]));
}
