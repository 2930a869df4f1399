//! What a scenario's users have written: documents in the real format, read as the server reads them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_yaml::{Mapping, Value};
use serin::model::{Endpoint, World};
use serin::spec::{Settings, SourceFile, parse};

/// What is written when a scenario begins with no example.
const PLAIN: &str = "
apiVersion: serin.dev/v1
kind: Fleet
metadata: {name: edge}
spec: {nodes: {}, listeners: [{name: http, bind: '0.0.0.0:80', services: [checkout]}]}
---
apiVersion: serin.dev/v1
kind: Service
metadata: {name: checkout}
spec:
  hosts: ['*']
  versions:
    v1: {endpoints: ['10.0.0.1:80', '10.0.0.2:80']}
    v2: {endpoints: ['10.0.1.1:80', '10.0.1.2:80']}
    v3: {endpoints: ['10.0.2.1:80', '10.0.2.2:80']}
---
apiVersion: serin.dev/v1
kind: Release
metadata: {name: checkout}
spec: {service: checkout, version: v1, strategy: {canary: {steps: [{setWeight: 50}]}}}
";

/// A release, its service, and what else stands beside them.
pub(super) struct Written {
    documents: Vec<Value>,
    /// The release that is played.
    pub(super) release: String,
    /// Endpoints that are there by now, whatever is written.
    found: BTreeMap<String, Vec<Endpoint>>,
}

impl Written {
    pub(super) fn plain() -> Self {
        Self::of(PLAIN)
    }

    /// The first release of an example.
    pub(super) fn example(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.yaml"));
        Self::of(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn of(text: &str) -> Self {
        let documents = serde_yaml::Deserializer::from_str(text)
            .map(|document| serde::Deserialize::deserialize(document).expect("YAML"))
            .collect::<Vec<Value>>();
        let first = documents.iter().find(|document| document["kind"] == "Release").expect("a release");
        let release = first["metadata"]["name"].as_str().expect("a name").to_owned();
        Self { documents, release, found: BTreeMap::new() }
    }

    /// `KEY: YAML` in the spec of the release; nothing after the colon takes it away.
    pub(super) fn set_in_release(&mut self, text: &str) {
        set(self.spec("Release", &self.release.clone()), text);
    }

    /// The same in that of its service.
    pub(super) fn set_in_service(&mut self, text: &str) {
        let service = self.spec("Release", &self.release.clone())["service"].as_str().expect("a service").to_owned();
        set(self.spec("Service", &service), text);
    }

    /// `v1 ADDRESS ADDRESS; v2`.
    pub(super) fn find(&mut self, text: &str) {
        for version in text.split("; ") {
            let mut words = version.split_whitespace();
            let name = words.next().expect("a version").to_owned();
            let endpoints = words.map(|address| Endpoint::at(address.parse().expect("an address"))).collect();
            self.found.insert(name, endpoints);
        }
    }

    /// What it comes to.
    pub(super) fn world(&self) -> World {
        let texts: Vec<String> =
            self.documents.iter().map(|document| serde_yaml::to_string(document).expect("YAML")).collect();
        let source = SourceFile { path: "scenario.yaml".into(), bytes: texts.join("---\n").into_bytes() };
        let mut world = parse(&[source], Settings { envoy_patches: true, no_prometheus: false })
            .unwrap_or_else(|wrong| panic!("{}\n{}", wrong[0], texts.join("---\n")))
            .world;
        let service = world.releases[&self.release].service.clone();
        let versions = &mut world.services.get_mut(&service).expect("the service").versions;
        for (name, endpoints) in &self.found {
            versions.get_mut(name).expect("a version of the service").endpoints.clone_from(endpoints);
        }
        world
    }

    fn spec(&mut self, kind: &str, name: &str) -> &mut Mapping {
        let is_meant = |document: &&mut Value| document["kind"] == kind && document["metadata"]["name"] == name;
        let document = self.documents.iter_mut().find(is_meant).expect("the document");
        document["spec"].as_mapping_mut().expect("a spec")
    }
}

fn set(spec: &mut Mapping, text: &str) {
    let changes: Mapping = serde_yaml::from_str(text).expect("KEY: YAML");
    for (key, value) in changes {
        match value {
            Value::Null => drop(spec.remove(&key)),
            value => drop(spec.insert(key, value)),
        }
    }
}
