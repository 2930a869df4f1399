use super::*;

/// A stand-in for the binary that speaks its command line: a tiny server in Python, which every machine that builds
/// this has (it installs Envoy). Not written by the tests: a file that somebody writes cannot be executed, and a process
/// that another thread is just starting holds it as open as this one does.
fn stand_in() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/process/stand_in.py"))
}

#[tokio::test]
async fn it_comes_up_again_on_the_same_ports() {
    let mut server = ServerProcess::new(stand_in()).expect("ports");
    server.write_spec("shop.yaml", "kind: Fleet\n").expect("written");
    server.start().await.expect("ready");
    let (http, first) = (server.http(), server.id());
    server.kill9();
    assert_eq!(server.id(), None);
    assert!(http::get(http, "/readyz").await.is_err(), "nobody is there");
    server.start().await.expect("ready again");
    assert_eq!(server.http(), http);
    assert_ne!(server.id(), first);
    assert_eq!(server.log(), "started\nstarted\n", "one log over all starts");
    assert!(server.terminate(Duration::from_secs(60)).await.expect("it ends").success());
}

#[tokio::test]
async fn a_failed_start_shows_the_log_at_once() {
    let mut server = ServerProcess::new(stand_in()).expect("ports");
    server.write_spec("broken.yaml", "").expect("written");
    let text = format!("{:#}", server.start().await.expect_err("it ends"));
    assert!(text.contains("broken.yaml:1:1: nonsense"), "{text}");
}

#[tokio::test]
async fn clients_are_told_where_the_server_is() {
    let server = ServerProcess::new(stand_in()).expect("ports");
    let printed = server.run(["get", "checkout"]).await.expect("it runs");
    assert_eq!(printed, format!("get checkout http://{}\n", server.admin()));
    let text = server.run(["fail"]).await.expect_err("it fails").to_string();
    assert!(text.contains("no such verb"), "{text}");
    let printed = server.bootstrap("edge", "edge-1", "delta").await.expect("it runs");
    assert!(printed.contains("--fleet edge --id edge-1 --variant delta"), "{printed}");
}
