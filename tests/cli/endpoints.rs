//! `serin endpoints`, `register`, `deregister`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use envoy_types::pb::google::protobuf;
use serin::admin::proto::endpoint_service_server::{EndpointService, EndpointServiceServer};
use serin::admin::proto::*;
use serin_testbed::child::Child;
use serin_testbed::wait;
use tonic::{Request, Response, Status};

use crate::{code, err, json, out, run};

const DEADLINE: Duration = Duration::from_secs(60);

/// Takes down what it is asked; its second registration fails.
#[derive(Clone, Default)]
struct Fake {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    async fn start(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(EndpointServiceServer::new(self.clone()))
            .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
        tokio::spawn(server);
        address
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl EndpointService for Fake {
    async fn register_endpoint(
        &self,
        request: Request<RegisterEndpointRequest>,
    ) -> Result<Response<RegisterEndpointResponse>, Status> {
        let RegisterEndpointRequest { service, version, address, zone, weight } = request.into_inner();
        let mut asked = self.asked.lock().unwrap();
        asked.push(format!("register {service} {version} {address} {zone} {weight}"));
        match (version.as_str(), asked.len()) {
            ("static", _) => Err(Status::failed_precondition("nothing registers for it")),
            // Again and again: an agent that is too slow to hear it once hears it another time.
            (_, times) if times % 2 == 0 => Err(Status::unavailable("restarting")),
            _ => {
                let ttl = Some(protobuf::Duration { seconds: 0, nanos: 300_000_000 });
                Ok(Response::new(RegisterEndpointResponse { ttl, expires: None }))
            }
        }
    }

    async fn deregister_endpoint(
        &self,
        request: Request<DeregisterEndpointRequest>,
    ) -> Result<Response<DeregisterEndpointResponse>, Status> {
        let DeregisterEndpointRequest { service, version, address } = request.into_inner();
        self.asked.lock().unwrap().push(format!("deregister {service} {version} {address}"));
        Ok(Response::new(DeregisterEndpointResponse {}))
    }

    async fn list_endpoints(
        &self,
        request: Request<ListEndpointsRequest>,
    ) -> Result<Response<ListEndpointsResponse>, Status> {
        let service = request.into_inner().service;
        if service == "absent" {
            return Err(Status::not_found("there is no service named absent"));
        }
        let address = "10.0.0.1:8080".into();
        let state = EndpointState::Serving.into();
        let one = Endpoint { address, weight: 1, state, ..Endpoint::default() };
        let (version, source) = ("v1".into(), "the spec".into());
        let of = VersionEndpoints { service, version, source, endpoints: vec![one], ..VersionEndpoints::default() };
        Ok(Response::new(ListEndpointsResponse { versions: vec![of] }))
    }
}

#[tokio::test]
async fn endpoints_are_a_table_for_people_and_messages_for_programs() {
    let server = Fake::default().start().await;
    let got = out(&run("endpoints checkout", server).await);
    assert!(got.contains("checkout   v1        10.0.0.1:8080   -      1        serving   -      the spec\n"), "{got}");
    let got = json(&run("endpoints checkout -o json", server).await);
    assert_eq!(got["versions"][0]["endpoints"][0]["state"], "ENDPOINT_STATE_SERVING");
    assert_eq!(out(&run("endpoints -o name", server).await), "10.0.0.1:8080\n");
    let got = run("endpoints absent", server).await;
    assert_eq!((code(&got), err(&got).as_str()), (Some(4), "error: there is no service named absent\n"));
}

#[tokio::test]
async fn once_is_once_and_a_refusal_is_the_end() {
    let fake = Fake::default();
    let server = fake.start().await;
    let got = run("register checkout v2 10.0.1.1:80 --zone eu-1a --weight 3 --once", server).await;
    assert_eq!((code(&got), out(&got).as_str()), (Some(0), ""), "{}", err(&got));
    assert_eq!(fake.asked(), ["register checkout v2 10.0.1.1:80 eu-1a 3"]);
    let got = run("deregister checkout v2 10.0.1.1:80", server).await;
    assert_eq!((code(&got), fake.asked().len()), (Some(0), 2), "{}", err(&got));
    let got = run("register checkout static 10.0.1.1:80", server).await;
    assert_eq!((code(&got), err(&got).as_str()), (Some(6), "error: nothing registers for it\n"));
    let got = run("register checkout v2 10.0.1.1:80 --weight 129", server).await;
    assert_eq!(code(&got), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_said_again_and_again_until_the_end_which_is_said_as_well() {
    let fake = Fake::default();
    let server = fake.start().await;
    let log = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_serin"));
    command.args(["register", "checkout", "v2", "10.0.1.1:80"]).env("SERIN_SERVER", server.to_string());
    let mut agent = Child::spawn("agent", &mut command, log.path().join("agent.log")).unwrap();
    let texts = ["registered 10.0.1.1:80 for version v2 of checkout", "trying again: ", "restarting", " again\n"];
    wait::until("four registrations, one of them after a failure", DEADLINE, || async {
        let said = agent.output();
        anyhow::ensure!(fake.asked().len() >= 4 && texts.iter().all(|text| said.contains(text)), "{said}");
        Ok(())
    })
    .await
    .unwrap();
    assert!(agent.terminate(DEADLINE).await.unwrap().success(), "{}", agent.output());
    assert_eq!(fake.asked().last().unwrap(), "deregister checkout v2 10.0.1.1:80");
    let said = agent.output();
    assert!(said.ends_with("deregistered 10.0.1.1:80 for version v2 of checkout\n"), "{said}");
}
