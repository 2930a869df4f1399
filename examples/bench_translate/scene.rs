//! Worlds of any size.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serin::model::{Endpoint, Fleet, Listener, NodeSelector, Protocol, Service, TrafficPlan, Version, Weight, World};
use serin::translate::translator::Plans;

/// How large a world is, and how it is spread over fleets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) fleets: usize,
    /// Of each fleet, all on one listener.
    pub(crate) services: usize,
    pub(crate) versions: usize,
    /// Of each version.
    pub(crate) endpoints: usize,
}

/// The name of a service: all of them in one row, fleet by fleet.
pub(crate) fn service_name(at: usize) -> String {
    format!("service-{at:05}")
}

pub(crate) fn service(at: usize, size: Size) -> Service {
    let endpoint = |version: usize, number: usize| {
        let ip = Ipv4Addr::from(u32::try_from((10 << 24) + (at * 16 + version) * 16 + number).expect("a small world"));
        Endpoint { address: SocketAddr::from((ip, 8080)), zone: Some("eu-1a".to_owned()), weight: 1, draining: false }
    };
    let version = |version: usize| {
        let endpoints = (0..size.endpoints).map(|number| endpoint(version, number)).collect();
        (format!("v{}", version + 1), Version { endpoints, ..Version::default() })
    };
    Service {
        name: service_name(at),
        hosts: vec![format!("{}.example.com", service_name(at))],
        protocol: Protocol::Http1,
        versions: (0..size.versions).map(version).collect(),
        outlier_detection: None,
        connect_timeout: Duration::from_secs(1),
        timeout: None,
        envoy: Default::default(),
        ..Service::named("")
    }
}

/// A fleet with some of the services.
pub(crate) fn fleet(name: &str, services: impl Iterator<Item = usize>) -> Fleet {
    let bind = ([0, 0, 0, 0], 8080).into();
    let listener = Listener {
        name: "http".to_owned(),
        bind,
        services: services.map(service_name).collect(),
        envoy: Default::default(),
        tls: None,
        trusted_hops: 0,
        preview: false,
    };
    Fleet {
        name: name.to_owned(),
        nodes: NodeSelector { cluster: Some(name.to_owned()), ..NodeSelector::default() },
        listeners: vec![listener],
        route_configs: Vec::new(),
        config_canary: None,
        poll: None,
    }
}

pub(crate) fn world(size: Size) -> Arc<World> {
    let mut world = World::default();
    for number in 0..size.fleets {
        let first = number * size.services;
        let fleet = fleet(&format!("fleet-{number:03}"), first..first + size.services);
        world.fleets.insert(fleet.name.clone(), fleet);
    }
    for at in 0..size.fleets * size.services {
        world.services.insert(service_name(at), service(at, size));
    }
    Arc::new(world)
}

/// Everything to the first version.
pub(crate) fn plans(world: &World) -> Plans {
    world.services.keys().map(|name| (name.clone(), TrafficPlan::all_to(name, "v1"))).collect()
}

/// The plans after a step of one service's release: the steps go through the services in no order, each to another
/// weight.
pub(crate) fn step(plans: &Plans, number: usize) -> Plans {
    let name = service_name(number * 7_919 % plans.len());
    let weight = Weight::from_percent((number % 99 + 1) as f64).expect("a percentage");
    plans.update(name.clone(), TrafficPlan::split(&name, "v2", weight, "v1"))
}

/// The world after one endpoint of a service has moved.
pub(crate) fn with_endpoint_moved(world: &World, number: usize) -> Arc<World> {
    let mut world = world.clone();
    let at = number * 7_919 % world.services.len();
    let spec = world.services.get_mut(&service_name(at)).expect("a service");
    let endpoint = spec.versions.get_mut("v2").and_then(|version| version.endpoints.first_mut());
    endpoint.expect("an endpoint").address.set_port(9_000 + u16::try_from(number % 1_000).expect("a small number"));
    Arc::new(world)
}

/// The world with one service more, in the first fleet.
pub(crate) fn with_service_added(world: &World, size: Size, plans: &Plans) -> (Arc<World>, Plans) {
    let (mut world, at) = (world.clone(), world.services.len());
    world.services.insert(service_name(at), service(at, size));
    let fleet = world.fleets.values_mut().next().expect("a fleet");
    fleet.listeners[0].services.push(service_name(at));
    (Arc::new(world), plans.update(service_name(at), TrafficPlan::all_to(service_name(at), "v1")))
}

/// The world with a second fleet for each, with the same services.
pub(crate) fn with_fleets_doubled(world: &World) -> Arc<World> {
    let mut doubled = world.clone();
    for fleet in world.fleets.values() {
        let name = format!("{}-b", fleet.name);
        doubled.fleets.insert(name.clone(), Fleet { name, ..fleet.clone() });
    }
    Arc::new(doubled)
}
