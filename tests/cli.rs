//! The built binary against a server with canned answers: output, exit codes, and what it says when things go wrong.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "cli/endpoints.rs"]
mod endpoints;
#[path = "cli/explain.rs"]
mod explain;
#[path = "cli/fake.rs"]
mod fake;
#[path = "cli/replay.rs"]
mod replay;

use std::net::SocketAddr;
use std::process::{Output, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// The binary in an empty environment.
fn serin(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serin"));
    command.env_clear().args(line.split_whitespace()).kill_on_drop(true);
    command
}

/// Runs it against a server.
async fn run(line: &str, server: SocketAddr) -> Output {
    serin(line).env("SERIN_SERVER", format!("http://{server}")).output().await.unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", out(output), err(output)))
}

#[tokio::test]
async fn releases_are_a_table_for_people() {
    let server = fake::start().await;
    let got = run("get", server).await;
    let expected = "\
NAME       SERVICE    STATUS          STABLE   CANARY   STEP   SET   ACTUAL   PROXIES   AGE   MESSAGE
cart       cart       ✔ Healthy       v1       -        2/2    -     -        2/3       -     v2 has all traffic
checkout   checkout   ◌ Progressing   v1       v2       2/2    5%    0%       2/3       -     comparing v2 with v1
";
    assert_eq!((code(&got), out(&got).as_str(), err(&got).as_str()), (Some(0), expected, ""));

    let got = run("get checkout", server).await;
    assert!(out(&got).contains("Status:        ◌ Progressing\n"), "{}", out(&got));
    assert!(out(&got).contains("└── ▶ analyze at most 10m\n"), "{}", out(&got));
    assert!(!out(&got).contains('\x1b'), "no terminal, no escapes");

    let got = run("get -o name", server).await;
    assert_eq!(out(&got), "cart\ncheckout\n");
}

#[tokio::test]
async fn releases_are_messages_for_programs() {
    let server = fake::start().await;
    let one = json(&run("get checkout -o json", server).await);
    assert_eq!((&one["phase"], &one["actualWeight"]), (&"PHASE_PROGRESSING".into(), &0.0.into()));
    assert_eq!(json(&run("get -o json", server).await)["releases"][1], one);
    let yaml: serde_json::Value = serde_yaml::from_str(&out(&run("get checkout -o yaml", server).await)).unwrap();
    assert_eq!(yaml, one);
    assert_eq!(json(&run("pause checkout -o json", server).await), one);
}

#[tokio::test]
async fn a_watch_prints_each_change_until_it_is_as_wished() {
    let server = fake::start().await;
    let got = run("get checkout --until healthy --timeout 30s", server).await;
    let lines: Vec<String> = out(&got).lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    assert_eq!(
        lines,
        [
            "checkout v1→v2 Progressing step=2/2 set=5% actual=0% proxies=2/3 comparing v2 with v1",
            "checkout v1 Healthy step=2/2 set=- actual=- proxies=2/3 v2 has all traffic",
        ]
    );
    assert_eq!(code(&got), Some(0));

    let got = run("get checkout -w --until settled -o json", server).await;
    let phases: Vec<serde_json::Value> = out(&got)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["phase"].clone())
        .collect();
    assert_eq!(phases, ["PHASE_PROGRESSING", "PHASE_HEALTHY"]);

    // What was healthy before the commit is not what the commit asked for.
    let got = run("get next --until healthy --of v2 --timeout 30s", server).await;
    assert_eq!((code(&got), out(&got).lines().count()), (Some(0), 3), "{}", out(&got));
}

#[tokio::test]
async fn a_watch_outlives_the_servers_restart() {
    let server = fake::start().await;
    let got = run("get restarting --until healthy --timeout 30s", server).await;
    assert_eq!((code(&got), out(&got).lines().count()), (Some(0), 2), "{}", err(&got));
    assert_eq!(err(&got).matches("lost the server").count(), 1, "{}", err(&got));
}

#[tokio::test]
async fn orders_print_a_line() {
    let server = fake::start().await;
    for (line, expected) in [
        ("promote checkout", "release checkout promoted: Progressing, v2 at 5%: comparing v2 with v1\n"),
        ("promote checkout --full", "release checkout promoted in full: Promoting, v2 at 5%: comparing v2 with v1\n"),
        ("pause checkout", "release checkout held: Progressing, v2 at 5%: comparing v2 with v1\n"),
        ("resume checkout", "release checkout resumed: Progressing, v2 at 5%: comparing v2 with v1\n"),
        ("abort checkout --reason slow", "release checkout aborted: Reverting, v2 at 5%: aborted: slow\n"),
        ("undo checkout", "release checkout undone: Reverting, v2 at 5%: back to v1\n"),
        ("undo checkout --to v0", "release checkout undone: Reverting, v2 at 5%: back to v0\n"),
    ] {
        let got = run(line, server).await;
        assert_eq!((code(&got), out(&got).as_str(), err(&got).as_str()), (Some(0), expected, ""), "{line}");
    }
}

#[tokio::test]
async fn the_journal_is_read_to_its_end() {
    let server = fake::start().await;
    // Measurements are most of a journal, and not what people look for.
    assert_eq!(out(&run("events checkout", server).await).lines().count(), 1);
    let got = run("events checkout --all", server).await;
    assert_eq!(out(&got).lines().count(), 2_501);
    assert!(out(&got).ends_with("2500   1970-01-01T00:00:00.000Z   measured   entry 2500\n"));
    let got = json(&run("events checkout --after 900 --limit 1200 -o json", server).await);
    let events = got["events"].as_array().unwrap();
    assert_eq!((events.len(), &events[0]["sequence"]), (1_200, &"901".into()));
}

#[tokio::test]
async fn a_journal_is_followed_through_the_servers_restart() {
    let server = fake::start().await;
    let got = run("events checkout --follow", server).await;
    let expected = "\
1      1970-01-01T00:00:00.000Z   settled           entry 1
3      1970-01-01T00:00:00.000Z   settled           entry 3
4      1970-01-01T00:00:00.000Z   settled           entry 4
";
    assert_eq!((code(&got), out(&got).as_str()), (Some(4), expected), "{}", err(&got));
    let ended = "there is no release named checkout any more";
    assert!(err(&got).contains("lost the server") && err(&got).contains(ended), "{}", err(&got));
    let got = run("events checkout --follow --after 1 -o json", server).await;
    let numbers: Vec<serde_json::Value> = out(&got)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["sequence"].clone())
        .collect();
    assert_eq!(numbers, ["2", "3", "4", "5"]);
    assert_eq!(code(&run("events absent --follow", server).await), Some(4));
    assert_eq!(code(&run("events checkout --follow --limit 3", server).await), Some(2));
}

#[tokio::test]
async fn proxies_and_snapshots_are_shown() {
    let server = fake::start().await;
    assert!(out(&run("proxies", server).await).contains("NACKED"));
    assert_eq!(out(&run("proxies list --group other -o name", server).await), "");
    for line in ["proxies edge-1", "proxies show edge-1"] {
        let got = out(&run(line, server).await);
        assert!(got.contains("RDS rejected 0123456789ab:\n  no such cluster\n"), "{line}: {got}");
    }
    assert_eq!(json(&run("proxies -o json", server).await)["proxies"][0]["types"][0]["state"], "SYNC_STATE_NACKED");
    for line in ["proxies edge-1 diff", "proxies diff edge-1", "proxies edge-1 diff --type rds"] {
        let got = run(line, server).await;
        let expected = "edge-1: acknowledged → intended\n\n+ RDS http: added, cccc\n";
        assert_eq!((code(&got), out(&got).as_str()), (Some(0), expected), "{line}");
    }
    assert_eq!(out(&run("proxies edge-1 diff --type cds", server).await), "edge-1: in sync\n");
    assert_eq!(json(&run("proxies edge-1 diff -o json", server).await)["resources"][0]["toVersion"], "cccc");

    for line in ["snapshots", "snapshots list --group edge"] {
        let got = out(&run(line, server).await);
        assert!(got.contains("bbbb      edge    0     0     0     0     -     current\n"), "{line}: {got}");
    }
    let got = json(&run("snapshots show aaaa --group edge --type rds", server).await);
    assert_eq!(
        (&got["snapshot"]["version"], &got["resources"][0]["resource"]["name"]),
        (&"aaaa".into(), &"http".into())
    );
    let got = out(&run("snapshots show --group edge --type rds -o table", server).await);
    assert_eq!(got, "TYPE   NAME   VERSION\nRDS    http   cccc\n");
    assert_eq!(out(&run("snapshots diff --group edge", server).await), "edge: aaaa → bbbb: no difference\n");
}

#[tokio::test]
async fn what_is_kept_from_the_proxies_is_shown_and_released() {
    let server = fake::start().await;
    for line in ["quarantine", "quarantine list --group edge"] {
        let got = out(&run(line, server).await);
        assert!(got.contains("edge-1        -     no such cluster\n"), "{line}: {got}");
    }
    assert_eq!(out(&run("quarantine --group mesh", server).await), "nothing is kept from any proxy\n");
    assert_eq!(json(&run("quarantine -o json", server).await)["resources"][0]["proxy"], "edge-1");
    assert_eq!(out(&run("quarantine release", server).await), "released: edge\n");
    assert_eq!(json(&run("quarantine release edge -o json", server).await)["groups"][0], "edge");
    let got = run("quarantine release mesh", server).await;
    assert_eq!((code(&got), out(&got).as_str()), (Some(4), ""), "{}", err(&got));
}

#[tokio::test]
async fn exit_codes_say_what_went_wrong() {
    let server = fake::start().await;
    for (line, expected, said) in [
        ("retry checkout", 1, "the server's answer has no release"),
        ("", 2, "Usage: serin"),
        ("get --nonsense", 2, "--nonsense"),
        ("get --until healthy", 2, "NAME"),
        ("snapshots show", 2, "--group"),
        ("snapshots diff x --group edge", 2, "x is no version"),
        ("get broken --until healthy", 3, "release broken is degraded: v2 failed too often"),
        ("get broken --until settled", 3, "v2 failed too often"),
        ("get broken --until degraded", 0, ""),
        ("get absent", 4, "there is no release named absent"),
        ("get absent -w", 4, "there is no release named absent"),
        ("abort absent", 4, "there is no release named absent"),
        ("proxies --type cds", 2, "--type"),
        ("proxies absent", 4, "there is no proxy named absent"),
        ("promote cart", 6, "there is nothing to promote"),
    ] {
        let got = run(line, server).await;
        assert_eq!(code(&got), Some(expected), "{line}: {}", err(&got));
        assert!(err(&got).contains(said), "{line}: {}", err(&got));
    }
}

#[tokio::test]
async fn what_does_not_come_in_time_is_told_with_what_is_instead() {
    let server = fake::start().await;
    // A machine may be too busy for the first answer to come within the first of these times.
    for timeout in ["300ms", "3s", "30s"] {
        let got = run(&format!("get stuck --until healthy --timeout {timeout}"), server).await;
        assert_eq!(code(&got), Some(5), "{}", err(&got));
        assert!(err(&got).contains("did not get there"), "{}", err(&got));
        if err(&got).contains("Progressing step=2/2") {
            return;
        }
    }
    panic!("it never said what is instead");
}

#[tokio::test]
async fn without_a_server_it_says_what_to_do() {
    let [unused] = serin_testbed::ports::free().unwrap();
    for line in ["get", "get checkout -w", "proxies", "snapshots", "events checkout", "abort checkout"] {
        let got = run(line, unused).await;
        assert_eq!((code(&got), out(&got).as_str()), (Some(1), ""), "{line}");
        assert!(err(&got).contains(&format!("no Serin server answers at http://{unused}")), "{line}: {}", err(&got));
        assert!(err(&got).contains("serin serve") && err(&got).contains("SERIN_SERVER"), "{line}: {}", err(&got));
    }
    let got = serin(&format!("get --server {unused}")).output().await.unwrap();
    assert!(err(&got).contains(&unused.to_string()), "the scheme may be left out: {}", err(&got));
}

#[tokio::test]
async fn a_reader_that_has_gone_is_no_panic() {
    let server = fake::start().await;
    for (line, expected) in [("events checkout", 0), ("get stuck -w", 0), ("get stuck --until healthy", 1)] {
        let mut command = serin(line);
        command.env("SERIN_SERVER", server.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let got = child.wait_with_output().await.unwrap();
        assert_eq!((code(&got), err(&got).as_str()), (Some(expected), ""), "{line}");
    }
}

#[tokio::test]
async fn readiness_is_asked_over_http() {
    for (answer, expected, said) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", 0, ""),
        (
            "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\nspecs: not read yet",
            1,
            "(503): specs: not read",
        ),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let got = serin("healthcheck --timeout 60s").env("SERIN_HTTP", address.to_string()).output().await.unwrap();
        assert_eq!(code(&got), Some(expected), "{}", err(&got));
        assert!(err(&got).contains(said), "{}", err(&got));
        assert!(server.await.unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));
    }
}

#[tokio::test]
async fn what_needs_no_server_needs_none() {
    let got = serin("bootstrap --cluster edge --xds serin:18000").output().await.unwrap();
    let bootstrap: serde_json::Value = serde_yaml::from_str(&out(&got)).unwrap();
    assert_eq!(bootstrap["node"]["cluster"], "edge");
    for shell in ["bash", "zsh", "fish"] {
        let got = serin(&format!("completions {shell}")).output().await.unwrap();
        assert!(out(&got).contains("snapshots"), "{shell}");
    }
    let got = serin("--version").output().await.unwrap();
    assert_eq!(out(&got), concat!("serin ", env!("CARGO_PKG_VERSION"), "\n"));
    let got = serin("validate /no/such/path").output().await.unwrap();
    assert_eq!(code(&got), Some(2), "{}", err(&got));
    let got = serin("help").output().await.unwrap();
    assert_eq!(code(&got), Some(2));
}
