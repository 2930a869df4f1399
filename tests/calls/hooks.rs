//! What a hook is sent, and what its answers come to.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serin::calls::Caller;
use serin::http::Secrets;
use serin::model::{Hook, OnHookFailure};
use serin::rollout::{About, Answer, Call, Question};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::server::{Seen, Server, nobody};

const SECRET: &str = "open sesame";

/// A caller, and where its answers come.
struct Desk {
    caller: Caller,
    answers: mpsc::Receiver<(String, Answer)>,
    _files: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let file = files.path().join("ci");
        std::fs::write(&file, format!("{SECRET}\n")).expect("written");
        let secrets = Secrets::from_flags([("ci".to_owned(), file)]).expect("a secret");
        let (sender, answers) = mpsc::channel(8);
        Self { caller: Caller::new(Arc::new(secrets), sender), answers, _files: files }
    }

    async fn answer(&mut self) -> Answer {
        let (release, answer) = self.answers.recv().await.expect("the caller lives");
        assert_eq!(release, "checkout");
        answer
    }

    /// Calls a hook, and lets it go when it has answered.
    async fn ask(&mut self, hook: Hook) -> Result<String, String> {
        self.caller.conduct([call(hook, 1)]);
        let outcome = self.answer().await.outcome;
        self.caller.conduct([]);
        outcome
    }
}

fn hook(url: impl Into<String>) -> Hook {
    Hook {
        name: "smoke".into(),
        url: url.into(),
        timeout: Duration::from_secs(60),
        retries: 0,
        backoff: Duration::from_secs(1),
        secret: None,
        headers: [("authorization".to_owned(), "Bearer x".to_owned())].into(),
        on_failure: OnHookFailure::Revert,
    }
}

fn about() -> About {
    About {
        release: "checkout".into(),
        service: "checkout".into(),
        version: "v2".into(),
        stable: "v1".into(),
        purpose: "step".into(),
        endpoints: vec!["10.0.0.1:80".parse().expect("an address")],
    }
}

fn call(hook: Hook, attempt: u32) -> (String, Call) {
    let question = Question::Hook { hook, about: about() };
    ("checkout".into(), Call { key: "checkout/7/step/2".into(), attempt, question })
}

fn is_signed(seen: &Seen, secret: &str) -> bool {
    let (time, signature) = seen.header("serin-signature").split_once(",v1=").expect("both parts");
    let time = time.strip_prefix("t=").expect("a time");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(format!("{time}.{}", seen.body).as_bytes());
    let bytes = mac.finalize().into_bytes();
    signature == bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
}

#[tokio::test]
async fn a_hook_is_told_what_it_is_about_and_can_check_who_says_so() {
    let server = Server::start(|_| (200, "all 12 tests passed\nin 3 s".into())).await;
    let url = format!("http://{}/run?suite=smoke", server.address);
    let mut desk = Desk::new();
    desk.caller.conduct([call(Hook { secret: Some("ci".into()), ..hook(&url) }, 3)]);
    let outcome = Ok("all 12 tests passed".into());
    assert_eq!(desk.answer().await, Answer { key: "checkout/7/step/2".into(), attempt: 3, outcome });
    let [seen] = server.seen().try_into().expect("one request");
    assert_eq!(seen.target, "POST /run?suite=smoke");
    assert_eq!(serde_json::from_str::<About>(&seen.body).expect("JSON"), about());
    let named = ["content-type", "authorization", "idempotency-key", "serin-attempt"].map(|name| seen.header(name));
    assert_eq!(named, ["application/json", "Bearer x", "checkout/7/step/2", "3"]);
    assert!(is_signed(&seen, SECRET));
    assert!(!is_signed(&seen, "another secret"));
    assert!(!is_signed(&Seen { body: seen.body.replace("v2", "v3"), ..seen.clone() }, SECRET));
    assert_eq!(desk.caller.hooks().read(), (1, 0));
}

#[tokio::test]
async fn a_status_of_class_2xx_is_a_yes_and_every_other_a_no_with_its_reason() {
    let said: [(u16, &str, Result<&str, &str>); 6] = [
        (204, "", Ok("204 No Content")),
        (202, "\n", Ok("202 Accepted")),
        (500, "3 of 12 tests failed\n...", Err("answered 500 Internal Server Error: 3 of 12 tests failed")),
        (404, "", Err("answered 404 Not Found")),
        (307, "moved", Err("answered 307 Temporary Redirect to /elsewhere: redirects are not followed")),
        (301, "", Err("answered 301 Moved Permanently to /elsewhere: redirects are not followed")),
    ];
    let mut desk = Desk::new();
    for (status, body, expected) in said {
        let server = Server::start(move |_| (status, body.to_owned())).await;
        let outcome = desk.ask(hook(format!("http://{}/", server.address))).await;
        assert_eq!(outcome, expected.map(str::to_owned).map_err(str::to_owned));
        assert_eq!(server.seen().len(), 1, "{status}");
    }
    assert_eq!(desk.caller.hooks().read(), (2, 4));
}

#[tokio::test]
async fn a_body_without_end_is_read_as_far_as_it_is_of_use() {
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free address");
    let url = format!("http://{}/", socket.local_addr().expect("bound"));
    let server = tokio::spawn(async move {
        let (mut connection, _) = socket.accept().await.expect("a caller");
        connection.write_all(b"HTTP/1.1 200 OK\r\n\r\nyes\n").await.expect("read");
        while connection.write_all(&[b'.'; 4096]).await.is_ok() {}
    });
    assert_eq!(Desk::new().ask(hook(url)).await, Ok("yes".into()));
    server.await.expect("the connection was closed");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_none() {
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free address");
    let url = format!("http://{}/", socket.local_addr().expect("bound"));
    let server = tokio::spawn(async move {
        let (mut connection, _) = socket.accept().await.expect("a caller");
        // Whether it was read in time or not, it comes to this: the caller hangs up.
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
        let _ = connection.read_to_end(&mut Vec::new()).await;
    });
    let outcome = Desk::new().ask(Hook { timeout: Duration::from_millis(200), ..hook(url) }).await;
    assert_eq!(outcome, Err("no answer within 200ms".into()));
    server.await.expect("the connection was closed");
}

#[tokio::test]
async fn what_keeps_a_call_from_being_made_is_said() {
    let address = nobody();
    let mut desk = Desk::new();
    assert_eq!(desk.ask(hook(format!("http://{address}/"))).await, Err("connection refused".into()));
    let unsigned = Hook { secret: Some("other".into()), ..hook("http://127.0.0.1:1/") };
    let said = "no secret named other: start the server with --secret other=FILE";
    assert_eq!(desk.ask(unsigned).await, Err(said.into()));
    let said = desk.ask(hook("not a url")).await.expect_err("no URL");
    assert!(said.starts_with("not a url is not a URL: "), "{said}");
    let odd = Hook { headers: [("a b".to_owned(), "c".to_owned())].into(), ..hook("http://127.0.0.1:1/") };
    assert_eq!(desk.ask(odd).await, Err("\"a b\" is not the name of a header".into()));
    let odd = Hook { headers: [("content-length".to_owned(), "5".to_owned())].into(), ..hook("http://127.0.0.1:1/") };
    assert_eq!(desk.ask(odd).await, Err("the header content-length cannot be set: it follows from the body".into()));
}

#[tokio::test]
async fn a_try_is_made_once_as_long_as_it_is_wanted_and_all_tries_share_a_key() {
    let server = Server::start(|number| (if number < 2 { 503 } else { 200 }, String::new())).await;
    let url = format!("http://{}/", server.address);
    let mut desk = Desk::new();
    desk.caller.conduct([call(hook(&url), 1), call(hook(&url), 1)]);
    assert_eq!(desk.answer().await.outcome, Err("answered 503 Service Unavailable".into()));
    // Still wanted, for as long as nobody has read the answer.
    desk.caller.conduct([call(hook(&url), 1)]);
    desk.caller.conduct([call(hook(&url), 2)]);
    assert_eq!(desk.answer().await.outcome, Ok("200 OK".into()));
    let keys: Vec<_> = server.seen().iter().map(|seen| seen.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys, ["checkout/7/step/2"; 2]);
    let tries: Vec<_> = server.seen().iter().map(|seen| seen.header("serin-attempt").to_owned()).collect();
    assert_eq!(tries, ["1", "2"]);
}

#[tokio::test]
async fn a_call_that_is_no_longer_wanted_is_broken_off() {
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free address");
    let url = format!("http://{}/", socket.local_addr().expect("bound"));
    let mut desk = Desk::new();
    desk.caller.conduct([call(hook(url), 1)]);
    let (mut connection, _) = socket.accept().await.expect("a caller");
    let mut head = [0; 1024];
    assert!(connection.read(&mut head).await.expect("a request") > 0);
    desk.caller.conduct([]);
    connection.read_to_end(&mut Vec::new()).await.expect("the caller hangs up");
    assert!(desk.answers.try_recv().is_err(), "nobody wants to know");
}
