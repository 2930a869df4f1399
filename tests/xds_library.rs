//! The example of the library, run as its reader would run it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serin::xds::ResourceType;
use serin::xds::wire::service::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use serin::xds::wire::{DiscoveryRequest, DiscoveryResponse, Node};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Killed when the test ends, however it ends.
struct Example(Child);

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Cargo builds examples for tests, beside them.
fn path() -> PathBuf {
    let mut path = std::env::current_exe().expect("this test");
    path.pop();
    path.pop();
    path.join("examples/xds_library")
}

async fn hears(responses: &mut Streaming<DiscoveryResponse>) -> DiscoveryResponse {
    let message = tokio::time::timeout(Duration::from_secs(60), responses.message()).await.expect("in time");
    message.expect("a sound stream").expect("a response")
}

#[tokio::test]
async fn a_server_of_ones_own_serves_any_resources_and_each_edition_of_them() {
    let mut example = Example(
        Command::new(path())
            .arg("127.0.0.1:0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it is built by `cargo test`, or by `cargo build --example xds_library`"),
    );
    let mut output = BufReader::new(example.0.stdout.take().expect("piped")).lines();
    let address = output.next().expect("a line").expect("text");
    let mut client = AggregatedDiscoveryServiceClient::connect(format!("http://{address}")).await.expect("it listens");
    let (requests, outbound) = mpsc::channel(8);
    let ask = |resource_type: ResourceType, name: &str, nonce: String| DiscoveryRequest {
        node: Some(Node { id: "one".into(), cluster: "edge".into(), ..Node::default() }),
        type_url: resource_type.type_url().into(),
        resource_names: vec![name.into()],
        response_nonce: nonce,
        ..DiscoveryRequest::default()
    };
    requests.send(ask(ResourceType::ExtensionConfig, "filter", String::new())).await.expect("open");
    let answer = client.stream_aggregated_resources(ReceiverStream::new(outbound)).await.expect("a stream");
    let mut responses = answer.into_inner();
    let filter = hears(&mut responses).await;
    assert_eq!((filter.type_url.as_str(), filter.resources.len()), (ResourceType::ExtensionConfig.type_url(), 1));
    requests.send(ask(ResourceType::Route, "routes", String::new())).await.expect("open");
    let first = hears(&mut responses).await;
    requests.send(ask(ResourceType::Route, "routes", first.nonce.clone())).await.expect("open");
    let input = example.0.stdin.as_mut().expect("piped");
    writeln!(input, "second").expect("it reads");
    let second = hears(&mut responses).await;
    assert_eq!(second.type_url, ResourceType::Route.type_url());
    assert_ne!(first.version_info, second.version_info);
    assert!(output.next().expect("a line").expect("text").starts_with("one: "));
}
