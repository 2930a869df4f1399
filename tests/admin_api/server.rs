//! What comes with the services: reflection, health, limits, and an orderly end.

use serin::admin::proto::release_service_client::ReleaseServiceClient;
use serin::admin::proto::{GetReleaseRequest, WatchReleasesRequest};
use serin::rollout::engine::View;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{Api, releases, soon};

/// The two reflection protocols differ in their packages only.
macro_rules! reflected {
    ($version:ident, $api:expr, $what:ident, $argument:expr) => {{
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::{ServerReflectionRequest, server_reflection_response::MessageResponse};
        let message_request = Some(MessageRequest::$what($argument.to_owned()));
        let request = ServerReflectionRequest { host: String::new(), message_request };
        let mut client = ServerReflectionClient::new($api.channel.clone());
        let mut stream =
            client.server_reflection_info(tokio_stream::once(request)).await.expect("a stream").into_inner();
        match soon(stream.message()).await.expect("an answer").expect("an answer").message_response {
            Some(MessageResponse::ListServicesResponse(list)) => {
                list.service.into_iter().map(|service| service.name).collect::<Vec<String>>()
            }
            Some(MessageResponse::FileDescriptorResponse(files)) => {
                files.file_descriptor_proto.iter().map(|file| String::from_utf8_lossy(file).into_owned()).collect()
            }
            other => panic!("{other:?}"),
        }
    }};
}

#[tokio::test]
async fn the_services_can_be_called_without_their_protos() {
    let api = Api::serve(View::default()).await;
    let expected = |reflection: &str| {
        let mut names: Vec<String> = serin::admin::SERVICES.map(str::to_owned).into();
        names.extend(["grpc.health.v1.Health".to_owned(), reflection.to_owned()]);
        names.sort();
        names
    };
    let mut found = reflected!(v1, api, ListServices, "");
    found.sort();
    assert_eq!(found, expected("grpc.reflection.v1.ServerReflection"));
    assert!(found.iter().any(|name| name == "serin.v1.ReleaseService"));
    let mut found = reflected!(v1alpha, api, ListServices, "");
    found.sort();
    assert_eq!(found, expected("grpc.reflection.v1alpha.ServerReflection"));
    for (symbol, file) in [
        ("serin.v1.ReleaseService", "serin/v1/release.proto"),
        ("serin.v1.SnapshotService.DiffSnapshots", "serin/v1/snapshot.proto"),
        ("google.protobuf.Timestamp", "google/protobuf/timestamp.proto"),
        ("google.protobuf.Duration", "google/protobuf/duration.proto"),
        ("google.protobuf.Any", "google/protobuf/any.proto"),
    ] {
        for files in [
            reflected!(v1, api, FileContainingSymbol, symbol),
            reflected!(v1alpha, api, FileContainingSymbol, symbol),
            reflected!(v1, api, FileByFilename, file),
        ] {
            assert!(files[0].contains(file), "{symbol}");
        }
    }
}

#[tokio::test]
async fn health_is_serving_until_the_end() {
    let api = Api::serve(View::default()).await;
    let mut client = HealthClient::new(api.channel.clone());
    let request = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in serin::admin::SERVICES.into_iter().chain([""]) {
        let health = client.check(request(service)).await.expect("known").into_inner();
        assert_eq!(health.status(), ServingStatus::Serving, "{service}");
    }
    assert_eq!(client.check(request("none")).await.expect_err("unknown").code(), Code::NotFound);
    let mut known = client.watch(request("serin.v1.ReleaseService")).await.expect("a watch").into_inner();
    let mut unknown = client.watch(request("none")).await.expect("a watch").into_inner();
    let status = soon(known.next()).await.expect("a message").expect("a message").status();
    assert_eq!(status, ServingStatus::Serving);
    let status = soon(unknown.next()).await.expect("a message").expect("a message").status();
    assert_eq!(status, ServingStatus::ServiceUnknown);
    api.stop.send_replace(true);
    let status = soon(known.next()).await.expect("a message").expect("a message").status();
    assert_eq!(status, ServingStatus::NotServing);
    assert!(soon(known.next()).await.is_none() && soon(unknown.next()).await.is_none());
}

#[tokio::test]
async fn open_watches_do_not_hold_up_the_end() {
    let api = Api::serve(releases(&["checkout"])).await;
    let mut client = ReleaseServiceClient::new(api.channel.clone());
    let mut releases = client.watch_releases(WatchReleasesRequest::default()).await.expect("a watch").into_inner();
    let mut health = HealthClient::new(api.channel.clone());
    let watched = health.watch(HealthCheckRequest::default()).await.expect("a watch").into_inner();
    soon(releases.message()).await.expect("a message");
    api.stop.send_replace(true);
    let end = soon(releases.message()).await.expect_err("the end");
    assert_eq!((end.code(), end.message()), (Code::Unavailable, "the server is shutting down"));
    soon(api.server).await.expect("no panic").expect("an orderly end");
    drop(watched);
}

#[tokio::test]
async fn nothing_is_without_a_limit() {
    let api = Api::serve(releases(&["checkout"])).await;
    let mut client = ReleaseServiceClient::new(api.channel.clone());
    let mut get = async |length: usize| {
        let asked = client.get_release(GetReleaseRequest { name: "x".repeat(length) });
        soon(asked).await.expect_err("no such release")
    };
    // A name that is far too long for a header is still answered for what it is.
    let unknown = get(1 << 20).await;
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(unknown.message().ends_with("the releases are checkout"), "{unknown}");
    assert_eq!(get(serin::admin::MAX_DECODED).await.code(), Code::OutOfRange);
}
