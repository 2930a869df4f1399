use std::os::unix::fs::PermissionsExt;

use super::*;

/// A stand-in for the binary that speaks its command line: a tiny server in Python, which every machine that builds
/// this has (it installs Envoy).
const STAND_IN: &str = r#"#!/usr/bin/env python3
import http.server, os, signal, sys
if sys.argv[1] != "serve":
    print(" ".join(sys.argv[1:]), os.environ["SERIN_SERVER"])
    sys.exit(0 if sys.argv[1] != "fail" else "no such verb")
flags = dict(zip(sys.argv[2::2], sys.argv[3::2]))
if os.listdir(flags["--specs"]) == ["broken.yaml"]:
    sys.exit("broken.yaml:1:1: nonsense")
print("started", flush=True)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
host, port = flags["--http"].split(":")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer.allow_reuse_address = True
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"#;

fn stand_in(dir: &Path) -> PathBuf {
    let path = dir.join("serin");
    std::fs::write(&path, STAND_IN).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    path
}

#[tokio::test]
async fn it_comes_up_again_on_the_same_ports() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = ServerProcess::new(stand_in(dir.path())).expect("ports");
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
    assert!(server.terminate(Duration::from_secs(10)).await.expect("it ends").success());
}

#[tokio::test]
async fn a_failed_start_shows_the_log_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = ServerProcess::new(stand_in(dir.path())).expect("ports");
    server.write_spec("broken.yaml", "").expect("written");
    let text = format!("{:#}", server.start().await.expect_err("it ends"));
    assert!(text.contains("broken.yaml:1:1: nonsense"), "{text}");
}

#[tokio::test]
async fn clients_are_told_where_the_server_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = ServerProcess::new(stand_in(dir.path())).expect("ports");
    let printed = server.run(["get", "checkout"]).await.expect("it runs");
    assert_eq!(printed, format!("get checkout http://{}\n", server.admin()));
    let text = server.run(["fail"]).await.expect_err("it fails").to_string();
    assert!(text.contains("no such verb"), "{text}");
    let printed = server.bootstrap("edge", "edge-1", "delta").await.expect("it runs");
    assert!(printed.contains("--fleet edge --id edge-1 --variant delta"), "{printed}");
}
