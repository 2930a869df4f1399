//! Specs in, specs with endpoints out: in virtual time, with a resolver that answers as told.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use super::*;
use crate::model::{Endpoint, EndpointSource, Service, Version};

const SECOND: Duration = Duration::from_secs(1);

struct Scene {
    specs: watch::Sender<Loaded>,
    resolved: watch::Receiver<Loaded>,
    registry: Registry,
    /// What names stand for; a name that is not here is never answered.
    names: Arc<Mutex<BTreeMap<String, Vec<SocketAddr>>>>,
    _stop: watch::Sender<bool>,
}

impl Scene {
    fn start(restored: Option<World>) -> Self {
        let (specs, written) = watch::channel(Loaded::default());
        let (sender, resolved) = watch::channel(Loaded::default());
        let (stop, stopped) = watch::channel(false);
        let names: Arc<Mutex<BTreeMap<String, Vec<SocketAddr>>>> = Arc::default();
        let known = Arc::clone(&names);
        let resolver: Resolver = Arc::new(move |host, _| {
            let found = known.lock().unwrap().get(&host).cloned();
            Box::pin(async move {
                match found {
                    Some(none) if none.is_empty() => Err(io::Error::other("no such host")),
                    Some(addresses) => Ok(addresses),
                    None => std::future::pending().await,
                }
            })
        });
        let registry = start(Inputs {
            specs: written,
            resolved: sender,
            restored: restored.map(Arc::new),
            directory: ".".into(),
            resolver,
            stop: stopped,
        });
        Self { specs, resolved, registry, names, _stop: stop }
    }

    fn name(&self, host: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.names.lock().unwrap().insert(host.to_owned(), addresses);
    }

    fn write(&self, world: World) {
        let specs = Specs { world, origins: Origins::default(), warnings: Vec::new() };
        self.specs.send_modify(|loaded| {
            loaded.specs = Some(Arc::new(specs));
            loaded.generation += 1;
        });
    }

    /// What is passed on next: addresses of a version, those that drain marked with `!`.
    async fn next(&mut self, version: &str) -> String {
        self.resolved.changed().await.unwrap();
        let loaded = self.resolved.borrow_and_update();
        shown(&loaded.specs.as_ref().unwrap().world, version)
    }

    async fn register(&self, version: &str, address: &str) -> Result<Duration, RegistryError> {
        self.registry.register("checkout", version, Endpoint::at(address.parse().unwrap())).await
    }
}

fn shown(world: &World, version: &str) -> String {
    let endpoints = &world.services["checkout"].versions[version].endpoints;
    let one = |of: &Endpoint| format!("{}{}", of.address, if of.draining { "!" } else { "" });
    endpoints.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn world(versions: &[(&str, EndpointSource, &[&str])]) -> World {
    let mut service = Service::named("checkout");
    for (name, source, endpoints) in versions {
        let endpoints = endpoints.iter().map(|address| Endpoint::at(address.parse().unwrap())).collect();
        let version = Version { source: Some(source.clone()), endpoints, ..Version::default() };
        service.versions.insert((*name).to_owned(), version);
    }
    World { services: [("checkout".to_owned(), service)].into(), ..World::default() }
}

fn dns(host: &str) -> EndpointSource {
    EndpointSource::Dns { host: host.into(), port: 80, interval: 10 * SECOND }
}

fn registered() -> EndpointSource {
    EndpointSource::Registered { ttl: 15 * SECOND, drain: 30 * SECOND }
}

#[tokio::test(start_paused = true)]
async fn specs_wait_for_the_first_answer_but_not_for_ever() {
    let mut scene = Scene::start(None);
    scene.name("one", &["10.0.0.1:80"]);
    scene.write(world(&[("v1", dns("one"), &[])]));
    assert_eq!(scene.next("v1").await, "10.0.0.1:80");
    let began = Instant::now();
    scene.write(world(&[("v1", dns("one"), &[]), ("v2", dns("silent"), &[])]));
    assert_eq!(scene.next("v2").await, "");
    assert_eq!(began.elapsed().as_secs(), FIRST_LOOK.as_secs());
    scene.write(world(&[("v1", dns("one"), &[])]));
    assert_eq!(scene.next("v1").await, "10.0.0.1:80");
    assert_eq!(began.elapsed().as_secs(), FIRST_LOOK.as_secs(), "what is known is passed on at once");
}

#[tokio::test(start_paused = true)]
async fn what_dns_says_later_is_passed_on_and_its_failures_are_shown() {
    let mut scene = Scene::start(None);
    scene.name("one", &["10.0.0.1:80", "10.0.0.2:80"]);
    scene.write(world(&[("v1", dns("one"), &[])]));
    assert_eq!(scene.next("v1").await, "10.0.0.1:80 10.0.0.2:80");
    let first = scene.resolved.borrow().generation;
    scene.name("one", &["10.0.0.2:80", "10.0.0.3:80"]);
    assert_eq!(scene.next("v1").await, "10.0.0.1:80! 10.0.0.2:80 10.0.0.3:80");
    assert!(scene.resolved.borrow().generation > first);
    scene.name("one", &[]);
    assert_eq!(scene.next("v1").await, "10.0.0.2:80 10.0.0.3:80", "drained; nothing else is taken away");
    let listed = scene.registry.list(Some("checkout")).await.unwrap();
    assert_eq!(listed[0].error.as_deref(), Some("one: no such host"));
}

#[tokio::test(start_paused = true)]
async fn who_registers_serves_moves_is_drained_and_gone() {
    let mut scene = Scene::start(None);
    let early = scene.register("v1", "10.0.0.1:80").await;
    assert!(matches!(early, Err(RegistryError::UnknownService { .. })), "{early:?}");
    scene.write(world(&[("v1", registered(), &[]), ("v2", registered(), &[])]));
    assert_eq!(scene.next("v1").await, "");
    assert_eq!(scene.register("v1", "10.0.0.1:80").await, Ok(15 * SECOND));
    assert_eq!(scene.register("v1", "10.0.0.2:80").await, Ok(15 * SECOND));
    assert_eq!(scene.next("v1").await, "10.0.0.1:80 10.0.0.2:80", "together");
    scene.register("v2", "10.0.0.1:80").await.unwrap();
    assert_eq!(scene.next("v2").await, "10.0.0.1:80");
    let specs = scene.resolved.borrow().specs.clone().unwrap();
    assert_eq!(shown(&specs.world, "v1"), "10.0.0.1:80! 10.0.0.2:80");
    scene.registry.deregister("checkout", "v2", "10.0.0.1:80".parse().unwrap()).await.unwrap();
    assert_eq!(scene.next("v2").await, "10.0.0.1:80!");
    assert_eq!(scene.next("v1").await, "10.0.0.1:80! 10.0.0.2:80!", "nobody was heard of");
    assert_eq!(scene.next("v1").await, "10.0.0.2:80!");
    assert_eq!(scene.next("v1").await, "");
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_what_was_in_force_is_the_beginning() {
    let kept = world(&[("v1", dns("silent"), &["10.0.0.1:80"]), ("v2", registered(), &["10.0.1.1:80"])]);
    let mut scene = Scene::start(Some(kept.clone()));
    assert_eq!(scene.register("v2", "10.0.1.1:80").await, Ok(15 * SECOND), "known before any specs are read");
    scene.write(world(&[("v1", dns("silent"), &[]), ("v2", registered(), &[])]));
    assert_eq!(scene.next("v1").await, "10.0.0.1:80");
    assert_eq!(scene.resolved.borrow().specs.clone().unwrap().world, kept);
    assert_eq!(scene.next("v2").await, "10.0.1.1:80!");
}

#[tokio::test(start_paused = true)]
async fn broken_specs_do_not_keep_endpoints_from_changing() {
    let kept = world(&[("v1", registered(), &["10.0.0.1:80"])]);
    let mut scene = Scene::start(Some(kept));
    scene.specs.send_modify(|loaded| {
        loaded.read_error = Some("unreadable".into());
        loaded.generation += 1;
    });
    assert_eq!(scene.next("v1").await, "10.0.0.1:80");
    assert_eq!(scene.resolved.borrow().problems(), ["unreadable"]);
    assert_eq!(scene.next("v1").await, "10.0.0.1:80!");
    assert_eq!(scene.resolved.borrow().problems(), ["unreadable"]);
}
