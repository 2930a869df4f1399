//! How an endpoint shows that it works, or does not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serin::calls::Caller;
use serin::http::Secrets;
use serin::model::{Probe, ProbeKind};
use serin::rollout::{Call, Question};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::ServingStatus;

use crate::server::{Server, nobody};

fn probe(kind: ProbeKind) -> Probe {
    Probe {
        kind,
        successes: 2,
        interval: Duration::from_millis(10),
        timeout: Duration::from_secs(30),
        within: Duration::from_secs(60),
    }
}

/// One that will not succeed, with time for many tries.
fn failing(kind: ProbeKind) -> Probe {
    Probe { within: Duration::from_secs(2), ..probe(kind) }
}

async fn ask(probe: Probe, address: SocketAddr) -> Result<String, String> {
    let (sender, mut answers) = mpsc::channel(1);
    let mut caller = Caller::new(Arc::new(Secrets::default()), sender);
    let call = Call { key: "k".into(), attempt: 1, question: Question::Probe { probe, address } };
    caller.conduct([("checkout".to_owned(), call)]);
    answers.recv().await.expect("an answer").1.outcome
}

fn http() -> ProbeKind {
    ProbeKind::Http { path: "/ready?deep=1".into() }
}

#[tokio::test]
async fn good_answers_must_come_in_a_row() {
    let server = Server::start(|number| (if [1, 2, 4].contains(&number) { 503 } else { 200 }, String::new())).await;
    assert_eq!(ask(probe(http()), server.address).await, Ok("healthy after 6 probes".into()));
    assert!(server.seen().iter().all(|seen| seen.target == "GET /ready?deep=1" && seen.body.is_empty()));
}

#[tokio::test]
async fn a_connection_can_be_enough() {
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free address");
    let address = socket.local_addr().expect("bound");
    let once = Probe { successes: 1, ..probe(ProbeKind::Tcp) };
    assert_eq!(ask(once, address).await, Ok("healthy after 1 probe".into()));
}

#[tokio::test]
async fn what_does_not_become_healthy_says_what_was_wrong() {
    let address = nobody();
    let server = Server::start(|_| (500, "database is down".into())).await;
    // It accepts, and says nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free address");
    let hasty = Probe { timeout: Duration::from_millis(50), ..failing(http()) };
    let outcomes = tokio::join!(
        ask(failing(ProbeKind::Tcp), address),
        ask(failing(http()), address),
        ask(failing(ProbeKind::Grpc { service: String::new() }), address),
        ask(failing(http()), server.address),
        ask(hasty, silent.local_addr().expect("bound")),
    );
    let because = |last: &str| Err(format!("not healthy within 2s: last: {last}"));
    let refused = || because("connection refused");
    let answered = because("answered 500 Internal Server Error: database is down");
    assert_eq!(outcomes, (refused(), refused(), refused(), answered, because("no answer within 50ms")));
}

#[tokio::test]
async fn grpc_servers_are_asked_by_their_own_protocol() {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("checkout.v1.Checkout", ServingStatus::NotServing).await;
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free address");
    let address = socket.local_addr().expect("bound");
    let server = tonic::transport::Server::builder().add_service(service);
    let server = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(socket)));
    let named = |service: &str| probe(ProbeKind::Grpc { service: service.into() });
    assert_eq!(ask(named(""), address).await, Ok("healthy after 2 probes".into()));
    let fails = |service: &str| ask(failing(ProbeKind::Grpc { service: service.into() }), address);
    let (known, unknown) = tokio::join!(fails("checkout.v1.Checkout"), fails("cart.v1.Cart"));
    assert_eq!(known, Err("not healthy within 2s: last: answered NOT_SERVING".into()));
    let unknown = unknown.expect_err("nobody knows it");
    assert!(unknown.starts_with("not healthy within 2s: last: NotFound"), "{unknown}");
    reporter.set_service_status("checkout.v1.Checkout", ServingStatus::Serving).await;
    assert_eq!(ask(named("checkout.v1.Checkout"), address).await, Ok("healthy after 2 probes".into()));
    server.abort();
}
