//! `EndpointService`: registering, heartbeats, running out, deregistering, and what is shown of it.

use std::time::Duration;

use serin::admin::proto::endpoint_service_client::EndpointServiceClient;
use serin::admin::proto::*;
use serin::rollout::engine::View;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::harness::{Api, soon};

const SPECS: &str = "apiVersion: serin.dev/v1
kind: Service
metadata: {name: checkout}
spec:
  hosts: [shop.example.com]
  versions:
    v1: {endpoints: ['10.0.0.1:8080']}
    v2: {registered: {ttl: 1h, drain: 1h}}
    v3: {registered: {ttl: 100ms, drain: 1h}}
    v4: {file: endpoints/none.json}
    v5: {registered: {ttl: 100ms, drain: 100ms}}
---
apiVersion: serin.dev/v1
kind: Release
metadata: {name: checkout}
spec: {service: checkout, version: v1, strategy: {canary: {steps: [{setWeight: 50}]}}}
";

struct Scene {
    api: Api,
    client: EndpointServiceClient<Channel>,
}

impl Scene {
    async fn start() -> Self {
        let mut api = Api::serve(View::default()).await;
        api.write(SPECS).await;
        let client = EndpointServiceClient::new(api.channel.clone());
        Self { api, client }
    }

    async fn register(&mut self, version: &str, address: &str) -> Result<RegisterEndpointResponse, Status> {
        let (service, version) = ("checkout".into(), version.into());
        let (address, zone, weight) = (address.into(), "eu-1a".into(), 2);
        let request = RegisterEndpointRequest { service, version, address, zone, weight };
        Ok(self.client.register_endpoint(request).await?.into_inner())
    }

    async fn deregister(&mut self, version: &str, address: &str) -> Result<(), Status> {
        let (service, version, address) = ("checkout".into(), version.into(), address.into());
        let request = DeregisterEndpointRequest { service, version, address };
        self.client.deregister_endpoint(request).await.map(drop)
    }

    async fn list(&mut self, service: &str) -> Result<Vec<VersionEndpoints>, Status> {
        let request = ListEndpointsRequest { service: service.into() };
        Ok(self.client.list_endpoints(request).await?.into_inner().versions)
    }

    /// State and address of a version's endpoints.
    async fn states(&mut self, version: &str) -> Vec<(EndpointState, String)> {
        let versions = self.list("checkout").await.expect("a list");
        let of = versions.into_iter().find(|of| of.version == version).expect("a version");
        of.endpoints.into_iter().map(|endpoint| (endpoint.state(), endpoint.address)).collect()
    }

    /// Waits until the engine is given a version's endpoints so: those that drain marked with `!`.
    async fn until(&mut self, version: &str, wanted: &str) {
        let is_so = |loaded: &serin::spec::Loaded| {
            let specs = loaded.specs.as_ref().expect("specs");
            let endpoints = &specs.world.services["checkout"].versions[version].endpoints;
            let marked = endpoints.iter().map(|of| format!("{}{}", of.address, if of.draining { "!" } else { "" }));
            marked.collect::<Vec<_>>().join(" ") == wanted
        };
        soon(self.api.resolved.wait_for(is_so)).await.expect("it lives");
    }
}

#[tokio::test]
async fn who_registers_is_in_the_world_until_it_deregisters() {
    let mut scene = Scene::start().await;
    let first = scene.register("v2", "10.0.1.1:8080").await.expect("registered");
    assert_eq!(first.ttl.map(|ttl| ttl.seconds), Some(3600));
    scene.until("v2", "10.0.1.1:8080").await;
    let again = scene.register("v2", "10.0.1.1:8080").await.expect("the heartbeat");
    let nanos = |of: &RegisterEndpointResponse| of.expires.as_ref().map(|at| (at.seconds, at.nanos));
    assert!(nanos(&again) > nanos(&first), "{again:?}");

    let listed = scene.list("checkout").await.expect("a list");
    let sources: Vec<&str> = listed.iter().map(|of| of.source.as_str()).collect();
    assert_eq!(sources, ["the spec", "registered", "registered", "file endpoints/none.json", "registered"]);
    assert_eq!((listed[0].endpoints[0].address.as_str(), &listed[0].endpoints[0].expires), ("10.0.0.1:8080", &None));
    let one = &listed[1].endpoints[0];
    assert_eq!((one.zone.as_str(), one.weight, one.state()), ("eu-1a", 2, EndpointState::Serving));
    assert!(one.expires.is_some() && listed[1].error.is_empty());
    assert!(listed[3].endpoints.is_empty() && listed[3].error.contains("none.json"), "{}", listed[3].error);
    assert_eq!(scene.list("").await.expect("a list").len(), listed.len(), "all services");

    scene.deregister("v2", "10.0.1.1:8080").await.expect("deregistered");
    scene.until("v2", "10.0.1.1:8080!").await;
    scene.deregister("v2", "10.0.1.1:8080").await.expect("twice does no harm");
    assert_eq!(scene.states("v2").await, [(EndpointState::Draining, "10.0.1.1:8080".to_owned())]);
}

#[tokio::test]
async fn who_falls_silent_is_drained_and_dropped() {
    let mut scene = Scene::start().await;
    scene.register("v3", "10.0.2.1:8080").await.expect("registered");
    scene.until("v3", "10.0.2.1:8080!").await;
    assert_eq!(scene.states("v3").await, [(EndpointState::Draining, "10.0.2.1:8080".to_owned())]);
    scene.register("v3", "10.0.2.1:8080").await.expect("it is back");
    scene.register("v5", "10.0.2.2:8080").await.expect("registered");
    let gone = async {
        while !scene.states("v5").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(gone).await;
}

#[tokio::test]
async fn a_registration_moves_with_what_runs_there() {
    let mut scene = Scene::start().await;
    scene.register("v2", "10.0.1.1:8080").await.expect("registered");
    scene.register("v3", "10.0.1.1:8080").await.expect("registered");
    scene.until("v2", "10.0.1.1:8080!").await;
    assert_eq!(scene.states("v2").await, [(EndpointState::Draining, "10.0.1.1:8080".to_owned())]);
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_to_do() {
    let mut scene = Scene::start().await;
    for (version, address, code, said) in [
        ("v1", "10.0.1.1:8080", Code::FailedPrecondition, "write `registered: {}` for this version"),
        ("v4", "10.0.1.1:8080", Code::FailedPrecondition, "come from file endpoints/none.json"),
        ("v9", "10.0.1.1:8080", Code::NotFound, "there are v1, v2, v3, v4, v5"),
        ("v2", "10.0.1.1", Code::InvalidArgument, "such as 10.0.0.1:8080"),
        ("v2", "0.0.0.0:80", Code::InvalidArgument, "as the proxies reach it"),
        ("v2", "10.0.1.1:0", Code::InvalidArgument, "as the proxies reach it"),
    ] {
        let refused = scene.register(version, address).await.expect_err(said);
        assert!(refused.code() == code && refused.message().contains(said), "{refused}");
    }
    let absent = scene.deregister("v2", "10.0.1.1:8080").await.expect_err("never registered");
    assert_eq!(absent.code(), Code::NotFound);
    let unknown = scene.list("cart").await.expect_err("unknown");
    assert!(unknown.code() == Code::NotFound && unknown.message().ends_with("there are checkout"), "{unknown}");
    let request = |zone: &str, weight| RegisterEndpointRequest {
        service: "checkout".into(),
        version: "v2".into(),
        address: "10.0.1.1:8080".into(),
        zone: zone.into(),
        weight,
    };
    for request in [request("", 129), request("a\nb", 1), request(&"x".repeat(257), 1)] {
        let refused = scene.client.register_endpoint(request).await.expect_err("out of bounds");
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    assert_eq!(scene.states("v2").await, []);
}
