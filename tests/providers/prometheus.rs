//! Instant queries.

use std::time::Duration;

use serin::analysis::Outcome;
use tokio::net::TcpListener;

use crate::bench::{Bench, SECRET, error, prometheus};
use crate::server::{Server, nobody};

/// As Prometheus 2.42 answers.
fn vector(value: &str) -> String {
    format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1700000000.123,"{value}"]}}]}}}}"#
    )
}

#[tokio::test]
async fn a_query_is_asked_with_its_timeout_and_its_secret() {
    let server = Server::start(|_| (200, vector("0.0123"))).await;
    let mut bench = Bench::new();
    let address = format!("http://{}/prom/", server.address);
    assert_eq!(bench.measure(prometheus(&address, Some("metrics"))).await, Outcome::Value(0.0123));
    assert_eq!(bench.measure(prometheus(&address, None)).await, Outcome::Value(0.0123));
    let [with, without] = server.seen().try_into().expect("two requests");
    let query = "sum%28rate%28rq%7Bv%3D%22v2%22%7D%5B60s%5D%29%29";
    assert_eq!(with.target, format!("GET /prom/api/v1/query?query={query}&timeout=60"));
    assert_eq!((with.header("authorization"), without.header("authorization")), (SECRET, ""));
    assert_eq!(with.body, "");
    assert_eq!(bench.measurer.tally().read(), (2, 0));
}

#[tokio::test]
async fn what_is_not_one_number_is_told_in_prometheus_own_words() {
    let parse = r#"{"status":"error","errorType":"bad_data","error":"1:5: parse error: unclosed left parenthesis"}"#;
    let slow = r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#;
    let empty = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    let nan = vector("NaN");
    let not_its = "the answer is not one of Prometheus's query API: ";
    for (status, body, expected) in [
        (200, empty, Outcome::Nothing),
        (200, &*nan, Outcome::Nothing),
        (400, parse, error("bad_data: 1:5: parse error: unclosed left parenthesis")),
        (503, slow, error("timeout: query timed out in expression evaluation")),
        (401, "Unauthorized", error("answered 401 Unauthorized: Unauthorized")),
        (302, "", error("answered 302 Found to /elsewhere: redirects are not followed")),
        (502, "", error("answered 502 Bad Gateway")),
        // A number with a status that says that it is none.
        (500, &*vector("1"), error(&format!("answered 500 Internal Server Error: {}", vector("1")))),
        (200, "<html>please log in</html>", error(&format!("{not_its}<html>please log in</html>"))),
        (200, "", error(&format!("{not_its}200 OK"))),
    ] {
        let answer = body.to_owned();
        let server = Server::start(move |_| (status, answer.clone())).await;
        let outcome = Bench::new().measure(prometheus(format!("http://{}", server.address), None)).await;
        assert_eq!(outcome, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn who_does_not_answer_in_time_or_without_end_could_not_be_measured() {
    let mut bench = Bench::new();
    let address = nobody();
    assert_eq!(bench.measure(prometheus(format!("http://{address}"), None)).await, error("connection refused"));
    // It accepts, and says nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free address");
    let address = silent.local_addr().expect("bound");
    let outcome = bench.measure_within(prometheus(format!("http://{address}"), None), Duration::from_millis(50)).await;
    assert_eq!(outcome, error("no answer within 50ms"));
    let long = Server::start(|_| (200, vector(&"1".repeat(2 << 20)))).await;
    let outcome = bench.measure(prometheus(format!("http://{}", long.address), None)).await;
    assert_eq!(outcome, error("the answer is longer than 1 MiB: it should be one number"));
    let said = bench.measure(prometheus("http://pro metheus:9090", None)).await;
    assert!(matches!(&said, Outcome::Error(why) if why.contains("is not a URL")), "{said:?}");
    assert_eq!(bench.measurer.tally().read(), (0, 4));
}

#[tokio::test]
async fn without_its_secret_nobody_is_asked() {
    let server = Server::start(|_| (200, vector("1"))).await;
    let mut bench = Bench::new();
    let address = format!("http://{}", server.address);
    let absent = error("no secret named other: start the server with --secret other=FILE");
    assert_eq!(bench.measure(prometheus(&address, Some("other"))).await, absent);
    let lines = error("secret two-lines cannot be sent as Authorization: it has more than one line");
    assert_eq!(bench.measure(prometheus(&address, Some("two-lines"))).await, lines);
    assert_eq!(server.seen().len(), 0);
}
