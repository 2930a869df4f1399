//! Whatever the way to a world and its plans: what is built of them is what is built at once.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::descriptors;
use crate::model::{
    Endpoint, Fleet, Listener, NodeSelector, PatchTarget, Patches, Protocol, RouteConfig, Service, Version, Weight,
};
use crate::xds::{Resource, ResourceType};

const SERVICES: [&str; 5] = ["a", "a-b", "b", "c", "d"];
const FLEETS: [&str; 3] = ["edge", "inner", "outer"];

/// Something that somebody writes into the specs, or that a rollout decides.
#[derive(Debug, Clone)]
enum Change {
    Service(&'static str, Option<Service>),
    Fleet(&'static str, Option<Fleet>),
    /// Of the fleet's first listener.
    Patches(&'static str, Patches),
    Plan(&'static str, Option<TrafficPlan>),
}

/// At most one of these, and mostly none.
fn patches(
    of: impl IntoIterator<Item = (PatchTarget, Value)>,
    refused: (PatchTarget, Value),
) -> impl Strategy<Value = Patches> {
    let one = prop::sample::select(of.into_iter().collect::<Vec<_>>());
    let one = one.prop_map(|patch| Patches::from([patch]));
    prop_oneof![40 => Just(Patches::new()), 20 => one, 1 => Just(Patches::from([refused]))]
}

fn of_service() -> impl Strategy<Value = Patches> {
    let mirror = json!({"route": {"request_mirror_policies": [{"cluster": "a/v1"}]}});
    let of = [
        (PatchTarget::VirtualHost, json!({"request_headers_to_remove": ["x"]})),
        (PatchTarget::VirtualHost, json!({"metadata": {"filter_metadata": {"a": {}, "b": {}, "c": {}}}})),
        (PatchTarget::Route, json!({"route": {"timeout": "2s"}})),
        (PatchTarget::Route, mirror),
        (PatchTarget::Cluster, json!({"alt_stat_name": "other"})),
    ];
    patches(of, (PatchTarget::Cluster, json!({"outlier_detection": {"max_ejection_percent": 101}})))
}

fn of_routes() -> impl Strategy<Value = Patches> {
    let of = [
        (PatchTarget::RouteConfiguration, json!({"request_headers_to_remove": ["x"]})),
        (PatchTarget::RouteConfiguration, json!({"ignore_port_in_host_matching": true})),
        (PatchTarget::RouteConfiguration, json!({"request_mirror_policies": [{"cluster": "a/v2"}]})),
    ];
    patches(of, (PatchTarget::RouteConfiguration, json!({"name": "other"})))
}

fn service() -> impl Strategy<Value = Change> {
    let endpoints = prop::collection::vec((1u8..4, 80u16..82), 0..3).prop_map(|ends| {
        let endpoint = |(end, port)| Endpoint { address: ([10, 0, 0, end], port).into(), zone: None };
        Version { endpoints: ends.into_iter().map(endpoint).collect() }
    });
    let versions = prop::collection::btree_map(prop::sample::select(vec!["v1", "v2", "v3"]), endpoints, 2..4);
    // Most hosts are the service's own; some clash, some name a port.
    let host = prop_oneof![12 => Just(""), 1 => Just("shared.test"), 2 => Just("Own.test:8080")];
    let protocol = prop::sample::select(&[Protocol::Http1, Protocol::Grpc, Protocol::Grpc][..]);
    let name = prop::sample::select(&SERVICES[..]);
    (name, versions, host, prop::option::of(1u64..3), protocol, of_service()).prop_map(
        |(name, versions, host, timeout, protocol, envoy)| {
            let own = format!("{name}.test");
            let hosts = match host {
                "" => vec![own],
                "Own.test:8080" => vec![own.clone(), format!("{}:8080", own.to_uppercase())],
                shared => vec![own, shared.to_owned()],
            };
            let spec = Service {
                name: name.to_owned(),
                hosts,
                protocol,
                versions: versions.into_iter().map(|(name, version)| (name.to_owned(), version)).collect(),
                outlier_detection: None,
                connect_timeout: Duration::from_secs(1),
                timeout: timeout.map(Duration::from_secs),
                envoy,
            };
            Change::Service(name, Some(spec))
        },
    )
}

fn fleet() -> impl Strategy<Value = Change> {
    let lists = || prop::collection::vec(prop::sample::select(&SERVICES[..4]), 0..5);
    // A name that stands there twice, or is none, is a fault.
    let names = || prop_oneof![20 => Just("in"), 20 => Just("out"), 1 => Just("")];
    let listeners = prop::collection::vec((names(), 1u16..3, lists(), of_routes()), 0..3);
    let own_names = prop_oneof![1 => Just("in"), 12 => Just("own")];
    let own = prop::collection::vec((own_names, lists(), of_routes()), 0..2);
    (prop::sample::select(&FLEETS[..]), listeners, own).prop_map(|(name, listeners, own)| {
        let owned = |services: Vec<&str>| services.into_iter().map(str::to_owned).collect();
        let listener = |(name, port, services, envoy): (&str, u16, Vec<&str>, Patches)| Listener {
            name: name.to_owned(),
            bind: ([0, 0, 0, 0], port).into(),
            services: owned(services),
            envoy,
        };
        let config = |(name, services, envoy): (&str, Vec<&str>, Patches)| RouteConfig {
            name: name.into(),
            services: owned(services),
            envoy,
        };
        let fleet = Fleet {
            name: name.to_owned(),
            nodes: NodeSelector::default(),
            listeners: listeners.into_iter().map(listener).collect(),
            route_configs: own.into_iter().map(config).collect(),
            config_canary: None,
        };
        Change::Fleet(name, Some(fleet))
    })
}

fn plan() -> impl Strategy<Value = Change> {
    let versions = || prop_oneof![20 => Just("v1"), 10 => Just("v2"), 1 => Just("v9")];
    (prop::sample::select(&SERVICES[..]), versions(), versions(), 0u32..=4).prop_map(
        |(name, canary, stable, quarter)| {
            let weight = Weight::from_percent(f64::from(quarter) * 25.0).expect("a percentage");
            Change::Plan(name, Some(TrafficPlan::split(name, canary, weight, stable)))
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => service(),
        3 => fleet(),
        2 => (prop::sample::select(&FLEETS[..]), of_routes()).prop_map(|(fleet, envoy)| Change::Patches(fleet, envoy)),
        8 => plan(),
        1 => prop::sample::select(&SERVICES[..]).prop_map(|name| Change::Service(name, None)),
        1 => prop::sample::select(&FLEETS[..]).prop_map(|name| Change::Fleet(name, None)),
        1 => prop::sample::select(&SERVICES[..]).prop_map(|name| Change::Plan(name, None)),
    ]
}

/// A world of like fleets, in which every service has a plan.
fn beginning() -> (World, Plans) {
    let mut world = World::default();
    let mut plans = Plans::new();
    for name in FLEETS {
        let listener = |name: &str, port, services: &[&str]| Listener {
            name: name.to_owned(),
            bind: ([0, 0, 0, 0], port).into(),
            services: services.iter().map(|service| (*service).to_owned()).collect(),
            envoy: Patches::new(),
        };
        let listeners = vec![listener("in", 1, &SERVICES), listener("out", 2, &["a", "b"])];
        let (nodes, route_configs) = (NodeSelector::default(), Vec::new());
        world.fleets.insert(
            name.to_owned(),
            Fleet { name: name.to_owned(), nodes, listeners, route_configs, config_canary: None },
        );
    }
    for name in SERVICES {
        let service = Service {
            name: name.to_owned(),
            hosts: vec![format!("{name}.test")],
            protocol: if name < "b" { Protocol::Http2 } else { Protocol::Grpc },
            versions: ["v1", "v2"].map(|version| (version.to_owned(), Version::default())).into(),
            outlier_detection: None,
            connect_timeout: Duration::from_secs(1),
            timeout: None,
            envoy: Patches::new(),
        };
        world.services.insert(name.to_owned(), service);
        plans.insert(name.to_owned(), TrafficPlan::all_to(name, "v1"));
    }
    (world, plans)
}

fn make(world: &mut World, plans: &mut Plans, change: Change) {
    match change {
        Change::Service(name, Some(spec)) => drop(world.services.insert(name.to_owned(), spec)),
        Change::Service(name, None) => drop(world.services.remove(name)),
        Change::Fleet(name, Some(fleet)) => drop(world.fleets.insert(name.to_owned(), fleet)),
        Change::Fleet(name, None) => drop(world.fleets.remove(name)),
        Change::Patches(name, envoy) => {
            let listener = world.fleets.get_mut(name).and_then(|fleet| fleet.listeners.first_mut());
            listener.into_iter().for_each(|listener| listener.envoy.clone_from(&envoy));
        }
        Change::Plan(name, Some(plan)) => drop(plans.insert(name.to_owned(), plan)),
        Change::Plan(name, None) => drop(plans.remove(name)),
    }
}

/// What is built at once.
fn at_once(world: &World, plans: &Plans) -> Result<BTreeMap<String, Snapshot>, Vec<TranslateError>> {
    let plans: BTreeMap<String, TrafficPlan> = plans.iter().map(|(name, plan)| (name.clone(), plan.clone())).collect();
    let (mut built, mut errors) = (BTreeMap::new(), Vec::new());
    for (group, fleet, dialect) in all_groups(world) {
        match snapshot(fleet, &world.services, &plans, dialect) {
            Ok(snapshot) => drop(built.insert(group, snapshot)),
            Err(error) => errors.push(error),
        }
    }
    errors.dedup();
    if errors.is_empty() { Ok(built) } else { Err(errors) }
}

fn same(group: &str, one: &Snapshot, other: &Snapshot) {
    assert_eq!(one.version(), other.version(), "{group}");
    let all = |of: &Snapshot| -> Vec<Resource> { of.iter().cloned().collect() };
    for (one_of, other_of) in all(one).iter().zip(all(other)) {
        assert_eq!(*one_of, other_of, "{group}");
        assert_eq!(one_of.body(), other_of.body(), "{group}");
        assert_eq!(one_of.refers_to(), other_of.refers_to(), "{group}");
        let referred = |of: &Snapshot| of.is_referred_to(other_of.resource_type(), other_of.name());
        assert_eq!(referred(one), referred(other), "{group} {one_of:?}");
    }
    for resource_type in ResourceType::CORE {
        assert_eq!(one.version_of(resource_type), other.version_of(resource_type), "{group}");
    }
    assert_eq!(one.len(), other.len(), "{group}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_way_does_not_matter(
        turns in prop::collection::vec((prop::collection::vec(change(), 1..5), any::<bool>()), 1..12),
    ) {
        let mut translator = Translator::new();
        let (world, mut plans) = beginning();
        let mut world = Arc::new(world);
        for (changes, anew) in turns {
            let before = (Arc::clone(&world), plans.clone());
            for change in changes {
                let mut next = (*world).clone();
                make(&mut next, &mut plans, change);
                // A step leaves the world as it is; one that was read again is equal, but another one.
                if anew || next != *world {
                    world = Arc::new(next);
                }
            }
            if anew {
                plans = plans.iter().map(|(name, plan)| (name.clone(), plan.clone())).collect();
            }
            let built = translator.build(&world, &plans).cloned();
            match (built, at_once(&world, &plans)) {
                (Ok(built), Ok(at_once)) => {
                    prop_assert!(built.keys().eq(at_once.keys()));
                    at_once.iter().for_each(|(group, snapshot)| same(group, &built[group], snapshot));
                }
                (built, at_once) => {
                    prop_assert_eq!(built.err(), at_once.err());
                    // Whoever was refused mends it, or takes it back.
                    if !anew {
                        (world, plans) = before;
                    }
                }
            }
        }
    }

    #[test]
    fn a_table_is_what_the_whole_message_is(changes in prop::collection::vec(change(), 1..20)) {
        let (mut world, mut plans) = beginning();
        changes.into_iter().for_each(|change| make(&mut world, &mut plans, change));
        if let Ok(built) = at_once(&world, &plans) {
            for route in built.values().flat_map(|snapshot| snapshot.of_type(ResourceType::Route).values()) {
                // Encoded as a whole, and read as a whole.
                let ordered = descriptors::ordered(ResourceType::Route.type_url(), route.body());
                prop_assert_eq!(ordered.expect("a route configuration"), route.body());
                let read = Resource::decode(ResourceType::Route, route.name(), route.body()).expect("a resource");
                prop_assert_eq!(&read, route);
                prop_assert_eq!(read.refers_to(), route.refers_to());
            }
        }
    }
}
