//! What is a call, and raw services beside generated ones on a real server.

use std::net::SocketAddr;
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tower::util::MapRequestLayer;

use super::super::connection::{Peer, Stalls, with_remote_addr};
use super::super::wire::{Any, DiscoveryRequest, DiscoveryResponse};
use super::*;

/// Bytes of the largest request.
const LIMIT: usize = 100_000;

type Answers = tonic::Streaming<DiscoveryResponse>;

fn request(method: &str, headers: &[(&str, &str)]) -> Request<()> {
    let request = Request::builder().method(method).uri("/a.Service/Method");
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).expect("a request")
}

#[test]
fn only_plain_grpc_is_a_call() {
    let content = |value: &'static str| ("content-type", value);
    for (method, headers, expected) in [
        ("POST", vec![content("application/grpc")], None),
        ("POST", vec![content("application/grpc+proto"), (ENCODING, "identity")], None),
        ("POST", vec![content("application/grpc;charset=x")], None),
        ("GET", vec![content("application/grpc")], Some((405, None))),
        ("POST", vec![], Some((415, None))),
        ("POST", vec![content("application/json")], Some((415, None))),
        // Another protocol, whose name begins alike.
        ("POST", vec![content("application/grpc-web")], Some((415, None))),
        ("POST", vec![content("application/grpc"), (ENCODING, "gzip")], Some((200, Some("12")))),
    ] {
        let answer = check(&request(method, &headers)).err();
        let said = answer.as_ref().map(|answer| {
            let status = answer.headers().get("grpc-status").map(|status| status.to_str().expect("a number"));
            (answer.status().as_u16(), status)
        });
        assert_eq!(said, expected, "{method} {headers:?}");
    }
    let answer = check(&request("POST", &[content("application/grpc"), (ENCODING, "gzip")])).expect_err("compressed");
    assert_eq!(answer.headers()[ACCEPT_ENCODING], "identity");
}

type Client = tonic::client::Grpc<tonic::transport::Channel>;
type Codec = ProstCodec<DiscoveryRequest, DiscoveryResponse>;

/// Answers each request with what all streams share and the request's own nonce, and ends when the requests end.
async fn echo(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    if let Err(answer) = check(&request) {
        return Ok(*answer);
    }
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let reader = request.extensions().get::<Peer>().map(Peer::reader);
    let mut inbound = Inbound::new(request.into_body(), LIMIT);
    match method.as_str() {
        "Stream" => Ok(streaming(
            async_stream::try_stream! {
                while let Some(request) = inbound.message().await? {
                    let request = DiscoveryRequest::decode(request).map_err(|e| Status::internal(e.to_string()))?;
                    yield reply(&request);
                }
            },
            reader,
        )),
        "Fetch" => Ok(unary(inbound.message().await.map(|_| reply(&DiscoveryRequest::default())), reader)),
        "Never" => std::future::pending().await,
        other => Ok(refused(Status::unimplemented(format!("no method {other}")))),
    }
}

fn shared() -> DiscoveryResponse {
    let resources = vec![Any { type_url: "cluster".to_owned(), value: vec![7; 200_000].into() }];
    DiscoveryResponse { version_info: "1".to_owned(), resources, ..DiscoveryResponse::default() }
}

fn own(request: &DiscoveryRequest) -> DiscoveryResponse {
    let nonce = format!("{}{}", request.response_nonce, request.resource_names.len());
    DiscoveryResponse { nonce, ..DiscoveryResponse::default() }
}

fn reply(request: &DiscoveryRequest) -> Message {
    Message { head: own(request).encode_to_vec().into(), shared: shared().encode_to_vec().into() }
}

/// A raw service under two names beside a generated one, which wants to know its callers' addresses.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stalls = Stalls::new(Duration::from_secs(30));
    let incoming = TcpListenerStream::new(listener).map(move |stream| stream.map(|stream| stalls.watch(stream)));
    let (_, health) = tonic_health::server::health_reporter();
    let health = InterceptedService::new(health, |request: tonic::Request<()>| match request.remote_addr() {
        Some(address) if address.ip().is_loopback() => Ok(request),
        other => Err(Status::internal(format!("the caller is at {other:?}"))),
    });
    let routes = mount(Routes::new(health), &["test.A", "test.B"], tower::service_fn(echo));
    let server = Server::builder()
        .max_concurrent_streams(Some(3))
        .layer(MapRequestLayer::new(with_remote_addr::<Body> as fn(Request<Body>) -> Request<Body>))
        .add_routes(routes);
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

async fn connect(server: SocketAddr) -> Channel {
    let endpoint = tonic::transport::Endpoint::try_from(format!("http://{server}")).expect("an address");
    endpoint.connect().await.expect("the server listens")
}

#[tokio::test]
async fn a_raw_service_is_served_under_several_names_beside_generated_ones() {
    let channel = connect(serve().await).await;
    let mut client = Client::new(channel.clone()).max_decoding_message_size(1 << 20);
    for stream in ["/test.A/Stream", "/test.B/Stream"] {
        client.ready().await.expect("connected");
        // The second is cut into many frames.
        let requests = [0, 10_000].map(|names| DiscoveryRequest {
            response_nonce: "n".to_owned(),
            resource_names: vec!["name".to_owned(); names],
            ..DiscoveryRequest::default()
        });
        let sent = tonic::Request::new(tokio_stream::iter(requests.clone()));
        let answer =
            client.streaming(sent, PathAndQuery::from_static(stream), Codec::default()).await.expect("an answer");
        let mut answers = answer.into_inner();
        for request in &requests {
            let expected = DiscoveryResponse { nonce: own(request).nonce, ..shared() };
            assert!(answers.message().await.expect("sound") == Some(expected), "{stream}");
        }
        assert_eq!(answers.message().await.expect("the status is ok"), None);
    }

    let mut health = HealthClient::new(channel);
    let answer = health.check(HealthCheckRequest::default()).await.expect("healthy");
    assert_eq!(answer.into_inner().status, ServingStatus::Serving as i32);
}

async fn fetch(
    client: &Client,
    path: &'static str,
    request: impl tonic::IntoRequest<DiscoveryRequest>,
) -> Result<DiscoveryResponse, Status> {
    let mut client = client.clone();
    client.ready().await.expect("connected");
    let path = PathAndQuery::from_static(path);
    Ok(client.unary(request.into_request(), path, Codec::default()).await?.into_inner())
}

#[tokio::test]
async fn one_call_and_what_is_refused() {
    let channel = connect(serve().await).await;
    let plain = Client::new(channel.clone()).max_decoding_message_size(1 << 20);
    let zipped = Client::new(channel).send_compressed(CompressionEncoding::Gzip);
    let request = DiscoveryRequest::default;
    let answer = fetch(&plain, "/test.A/Fetch", request()).await.expect("an answer");
    assert_eq!(answer, DiscoveryResponse { nonce: "0".to_owned(), ..shared() });

    let large = DiscoveryRequest { version_info: "x".repeat(LIMIT), ..request() };
    for (answer, code, text) in [
        (fetch(&plain, "/test.A/Other", request()).await, Code::Unimplemented, "no method Other"),
        (fetch(&plain, "/test.C/Fetch", request()).await, Code::Unimplemented, ""),
        (fetch(&zipped, "/test.B/Fetch", request()).await, Code::Unimplemented, "send identity"),
        (fetch(&plain, "/test.A/Fetch", large).await, Code::ResourceExhausted, "at most 100000 are taken"),
    ] {
        let status = answer.expect_err("refused");
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(text), "{status}");
    }
}

/// tonic's own layers are around a raw service, too. (Its client has the same one: this is a client without.)
#[tokio::test]
async fn a_callers_deadline_is_kept() {
    let stream = TcpStream::connect(serve().await).await.expect("the server listens");
    let (mut sender, driver) = h2::client::handshake(stream).await.expect("HTTP/2");
    let driver = tokio::spawn(driver);
    let request = Request::post("http://server/test.A/Never")
        .header(CONTENT_TYPE, GRPC)
        .header("grpc-timeout", "20m")
        .body(())
        .expect("a request");
    let (response, _body) = sender.send_request(request, false).expect("a stream");
    let answer = response.await.expect("an answer");
    let status = Status::from_header_map(answer.headers()).expect("a status");
    assert_eq!((status.code(), status.message()), (Code::Cancelled, "Timeout expired"));
    driver.abort();
}

#[tokio::test]
async fn the_servers_settings_are_in_force() {
    let channel = connect(serve().await).await;
    let client = Client::new(channel).max_decoding_message_size(1 << 20);
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = client.clone();
        client.ready().await.expect("connected");
        let (keep, requests) = tokio::sync::mpsc::channel(1);
        keep.send(DiscoveryRequest::default()).await.expect("room");
        let sent = tonic::Request::new(ReceiverStream::new(requests));
        let answer = client
            .streaming(sent, PathAndQuery::from_static("/test.A/Stream"), Codec::default())
            .await
            .expect("an answer");
        let mut answers = answer.into_inner();
        assert!(answers.message().await.expect("sound").is_some());
        open.push((keep, answers));
    }
    // The fourth waits in the client until one of the three is over.
    let mut call = std::pin::pin!(fetch(&client, "/test.A/Fetch", DiscoveryRequest::default()));
    tokio::select! {
        biased;
        answer = &mut call => panic!("three streams are allowed: {answer:?}"),
        // A stream that is open answers, so the server had its turn.
        () = round_trip(&mut open[0]) => {}
    }
    open.pop();
    call.await.expect("an answer");
}

async fn round_trip((keep, answers): &mut (tokio::sync::mpsc::Sender<DiscoveryRequest>, Answers)) {
    keep.send(DiscoveryRequest::default()).await.expect("the stream is open");
    assert!(answers.message().await.expect("sound").is_some());
}
