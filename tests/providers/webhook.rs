//! Numbers from a webhook.

use hmac::{Hmac, KeyInit, Mac};
use serin::analysis::Outcome;
use serin::rollout::MeasureAbout;

use crate::bench::{Bench, SECRET, about, error, webhook};
use crate::server::{Seen, Server};

fn is_signed(seen: &Seen) -> bool {
    let (time, signature) = seen.header("serin-signature").split_once(",v1=").expect("both parts");
    let time = time.strip_prefix("t=").expect("a time");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(format!("{time}.{}", seen.body).as_bytes());
    let bytes = mac.finalize().into_bytes();
    signature == bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
}

#[tokio::test]
async fn it_is_told_what_is_measured_and_can_check_who_says_so() {
    let server = Server::start(|_| (200, r#"{"data":[{"p99":0.25}]}"#.into())).await;
    let mut bench = Bench::new();
    let url = format!("http://{}/measure?kind=p99", server.address);
    let source = webhook(&url, &["data", "0", "p99"], Some("metrics"));
    for _ in 0..2 {
        assert_eq!(bench.measure(source.clone()).await, Outcome::Value(0.25));
        // The clock goes on, by which two measurements are told apart.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let [first, second] = server.seen().try_into().expect("two requests");
    assert_eq!(first.target, "POST /measure?kind=p99");
    assert_eq!(serde_json::from_str::<MeasureAbout>(&first.body).expect("JSON"), about("p99"));
    assert_eq!(first.header("content-type"), "application/json");
    assert!(is_signed(&first) && is_signed(&second));
    assert!(first.header("idempotency-key").starts_with("checkout/1/p99/v2/"));
    assert_ne!(first.header("idempotency-key"), second.header("idempotency-key"), "each measurement is another");
}

#[tokio::test]
async fn what_its_answers_come_to() {
    for (status, body, expected) in [
        (200, "0.2", Outcome::Value(0.2)),
        (200, r#"{"value": 0.2, "unit": "s"}"#, Outcome::Value(0.2)),
        (200, r#"{"value": null}"#, Outcome::Nothing),
        (204, "", Outcome::Nothing),
        (200, r#"{"value": "fast"}"#, error("`value` of the answer is a text and not a number")),
        (500, r#"{"value": 0.2}"#, error(r#"answered 500 Internal Server Error: {"value": 0.2}"#)),
        (404, "no such metric\n", error("answered 404 Not Found: no such metric")),
        (200, "", error("the answer is not JSON: EOF while parsing a value at line 1 column 0")),
    ] {
        let server = Server::start(move |_| (status, body.to_owned())).await;
        let outcome = Bench::new().measure(webhook(format!("http://{}/", server.address), &[], None)).await;
        assert_eq!(outcome, expected, "{status} {body}");
    }
}
