//! Peers that take nothing, each in its own way, against a real server.

use std::collections::BTreeSet;

use h2::client::{self, SendRequest};
use h2::{FlowControl, RecvStream};
use http::{Request, Response};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Server;

use super::super::grpc::{self, Message};
use super::*;

/// More than the kernel keeps for both ends.
const FLOOD: usize = 64 << 20;
/// More than a client may be sent that does not open its window.
const PUSH: usize = 100_000;

/// A server whose method says how many bytes it answers: `/test.Raw/1000` with an end, `/test.Raw/1000-` without.
/// Also gives each request's peer.
async fn serve(stalls: Stalls) -> (SocketAddr, mpsc::UnboundedReceiver<Peer>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (seen, peers) = mpsc::unbounded_channel();
    let service = tower::service_fn(move |request: Request<Body>| {
        let peer = request.extensions().get::<Peer>().expect("a watched connection");
        let method = request.uri().path().rsplit('/').next().expect("a last part");
        let size = method.trim_end_matches('-').parse().expect("a number");
        let message = Message { head: Bytes::new(), shared: vec![0; size].into() };
        let messages = tokio_stream::once(Ok(message));
        let _ = seen.send(peer.clone());
        std::future::ready(Ok(match method.ends_with('-') {
            true => grpc::streaming(messages.chain(tokio_stream::pending()), Some(peer.reader())),
            false => grpc::streaming(messages, Some(peer.reader())),
        }))
    });
    let incoming = TcpListenerStream::new(listener).map(move |stream| stream.map(|stream| stalls.watch(stream)));
    let routes = grpc::mount(Routes::default(), &["test.Raw"], service);
    tokio::spawn(Server::builder().add_routes(routes).serve_with_incoming(incoming));
    (address, peers)
}

type Driver = client::Connection<TcpStream>;

/// A client whose windows have this size.
async fn connect(server: SocketAddr, window: u32) -> (SendRequest<Bytes>, Driver) {
    let stream = TcpStream::connect(server).await.expect("the server listens");
    let mut builder = client::Builder::new();
    builder.initial_window_size(window).initial_connection_window_size(window.max(65_535));
    builder.handshake(stream).await.expect("HTTP/2")
}

async fn call(sender: &mut SendRequest<Bytes>, method: &str) -> Response<RecvStream> {
    let request = Request::post(format!("http://server/test.Raw/{method}")).body(()).expect("a request");
    let (response, _body) = sender.send_request(request, true).expect("a stream");
    response.await.expect("headers, which need no window")
}

/// Takes this many bytes, as a client should.
async fn take(response: Response<RecvStream>, size: usize) -> FlowControl {
    let mut body = response.into_body();
    let mut taken = 0;
    while taken < size {
        let data = body.data().await.expect("more").expect("sound");
        taken += data.len();
        body.flow_control().release_capacity(data.len()).expect("what was taken");
    }
    body.flow_control().clone()
}

/// Peers that owe something.
fn owing(stalls: &Stalls) -> usize {
    let debts = stalls.shared.debts.lock().expect("no panic");
    let owed = debts.iter().filter_map(Weak::upgrade).filter(|debt| debt.pieces.load(Ordering::Acquire) > 0);
    owed.map(|debt| debt.line.peer).collect::<BTreeSet<_>>().len()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn peers_that_take_nothing_are_dropped_and_others_are_not() {
    let stalls = Stalls::new(Duration::from_secs(30));
    let (server, _peers) = serve(stalls.clone()).await;

    let (mut healthy, driver) = connect(server, 65_535).await;
    let mut healthy_driver = tokio::spawn(driver);
    let first = call(&mut healthy, "100000-").await;
    let _open = take(first, PUSH).await;

    // Their windows stay as they are: a piece waits in hyper, or in h2 when a part of it could go. The last stream is
    // over for the server, which has nothing more to say on it.
    let mut stalled = Vec::new();
    for (window, method) in [(0, "100000-"), (10, "100000-"), (65_535, "100000-"), (20, "1000"), (50_000, "100000")] {
        let (mut sender, driver) = connect(server, window).await;
        let driver = tokio::spawn(driver);
        let response = call(&mut sender, method).await;
        stalled.push((driver, sender, response));
    }
    // Its windows are wide, but it does not read its socket.
    let (mut deaf, mut deaf_driver) = connect(server, 1 << 30).await;
    let method = FLOOD.to_string();
    let flooded = tokio::select! {
        response = call(&mut deaf, &method) => response,
        end = &mut deaf_driver => panic!("ended: {end:?}"),
    };
    // It does not say a word.
    let mut silent = TcpStream::connect(server).await.expect("the server listens");
    // Not owed anything, for it has no stream.
    let (_idle, driver) = connect(server, 0).await;
    let idle_driver = tokio::spawn(driver);

    until("all have stalled", || owing(&stalls) == 7).await;
    for _ in 0..SWEEPS {
        stalls.sweep();
    }
    assert_eq!(stalls.closed(), 0, "each has its time");
    stalls.sweep();
    assert_eq!(stalls.closed(), 7);
    for (driver, _, response) in stalled {
        driver.await.expect("no panic").expect_err("the connection was cut");
        drop(response);
    }
    let _ = silent.read_to_end(&mut Vec::new()).await;
    drop(flooded);
    deaf_driver.await.expect_err("the connection was cut");

    until("nothing is owed any more", || owing(&stalls) == 0).await;
    let second = call(&mut healthy, "100000").await;
    take(second, PUSH).await;
    assert!(!healthy_driver.is_finished() && !idle_driver.is_finished());
    drop(healthy);
    drop(_open);
    (&mut healthy_driver).await.expect("no panic").expect("it ends by itself");
    stalls.sweep();
    assert_eq!(stalls.closed(), 7);
}

#[tokio::test]
async fn the_sweeps_come_by_themselves_until_the_end() {
    let stalls = Stalls::new(Duration::from_millis(80));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = tokio::spawn(stalls.clone().run(async { drop(stopped.await) }));
    let (server, _peers) = serve(stalls.clone()).await;
    let (mut sender, driver) = connect(server, 1000).await;
    let driver = tokio::spawn(driver);
    let _response = call(&mut sender, "100000-").await;
    driver.await.expect("no panic").expect_err("the connection was cut");
    assert_eq!(stalls.closed(), 1);
    drop(stop);
    run.await.expect("it ends");
}

#[tokio::test]
async fn another_task_ends_a_connection_with_all_its_streams() {
    let stalls = Stalls::new(Duration::from_secs(30));
    let (server, mut peers) = serve(stalls.clone()).await;
    let (mut sender, driver) = connect(server, 65_535).await;
    let driver = tokio::spawn(driver);
    let responses = [call(&mut sender, "10-").await, call(&mut sender, "10-").await];
    let peer = peers.recv().await.expect("the first request's");
    assert!(peer.address().expect("it is TCP").ip().is_loopback());
    peer.close();
    peer.close();
    driver.await.expect("no panic").expect_err("the connection was cut");
    for response in responses {
        let mut body = response.into_body();
        while let Some(Ok(_)) = body.data().await {}
    }
    assert_eq!(stalls.closed(), 0, "nobody has stalled");
}

#[tokio::test]
async fn what_was_taken_late_but_in_parts_is_forgiven() {
    let stalls = Stalls::new(Duration::from_secs(30));
    let (server, _peers) = serve(stalls.clone()).await;
    let (mut slow, driver) = connect(server, 65_535).await;
    let driver = tokio::spawn(driver);
    let mut body = call(&mut slow, "1000000-").await.into_body();
    let mut taken = 0;
    // Far longer than the deadline in all, but more than a piece at each turn.
    for turn in 1..=10 {
        while taken < turn * PUSH {
            let data = body.data().await.expect("more").expect("sound");
            taken += data.len();
            body.flow_control().release_capacity(data.len()).expect("what was taken");
        }
        for _ in 0..SWEEPS - 1 {
            stalls.sweep();
        }
    }
    assert_eq!(stalls.closed(), 0);
    assert!(!driver.is_finished());
}
