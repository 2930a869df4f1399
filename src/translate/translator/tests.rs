//! Whatever the way to a world and its plans: what is built of them is what is built at once.

use std::time::Duration;

use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};

use super::*;
use crate::descriptors;
use crate::model::{
    Endpoint, EndpointState, Fleet, Listener, LoadBalancing, NodeSelector, PatchTarget, Patches, Protocol, Release,
    RouteConfig, Service, Version, Weight,
};
use crate::xds::{Resource, ResourceType};

mod traffic;

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
    Release(Box<Release>),
    Unreleased(&'static str),
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
        let endpoint =
            |(end, port)| Endpoint { address: ([10, 0, 0, end], port).into(), zone: None, weight: 1, draining: false };
        Version { endpoints: ends.into_iter().map(endpoint).collect(), ..Version::default() }
    });
    let flags = prop::option::weighted(0.2, prop::sample::select(vec!["dark", "fast"]));
    let endpoints = (endpoints, flags).prop_map(|(version, flag)| Version {
        feature_flags: flag.map(|flag| (flag.to_owned(), "100%".to_owned())).into_iter().collect(),
        ..version
    });
    let balancing = prop_oneof![4 => Just(LoadBalancing::LeastRequest), 1 => Just(LoadBalancing::Maglev)];
    let versions = prop::collection::btree_map(prop::sample::select(vec!["v1", "v2", "v3"]), endpoints, 2..4);
    // Most hosts are the service's own; some clash, some name a port.
    let host = prop_oneof![12 => Just(""), 1 => Just("shared.test"), 2 => Just("Own.test:8080")];
    let protocol = prop::sample::select(&[Protocol::Http1, Protocol::Grpc, Protocol::Grpc, Protocol::Tcp][..]);
    let name = prop::sample::select(&SERVICES[..]);
    (name, versions, host, prop::option::of(1u64..3), protocol, balancing, of_service()).prop_map(
        |(name, versions, host, timeout, protocol, load_balancing, envoy)| {
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
                load_balancing,
                envoy,
                ..Service::named("")
            };
            Change::Service(name, Some(spec))
        },
    )
}

fn fleet() -> impl Strategy<Value = Change> {
    let several = prop::collection::vec(prop::sample::select(&SERVICES[..4]), 0..5);
    // What a TCP service's listener is like.
    let one = prop::sample::select(&SERVICES[..4]).prop_map(|service| vec![service]);
    let lists = || prop_oneof![3 => several.clone(), 2 => one.clone()];
    // A name that stands there twice, or is none, is a fault.
    let names = || prop_oneof![20 => Just("in"), 20 => Just("out"), 1 => Just("")];
    let preview = prop::bool::weighted(0.2);
    let listeners = prop::collection::vec((names(), 1u16..3, lists(), of_routes(), preview), 0..3);
    let own_names = prop_oneof![1 => Just("in"), 12 => Just("own")];
    let own = prop::collection::vec((own_names, lists(), of_routes()), 0..2);
    (prop::sample::select(&FLEETS[..]), listeners, own).prop_map(|(name, listeners, own)| {
        let owned = |services: Vec<&str>| services.into_iter().map(str::to_owned).collect();
        let listener = |(name, port, services, envoy, preview): (&str, u16, Vec<&str>, Patches, bool)| Listener {
            name: name.to_owned(),
            bind: ([0, 0, 0, 0], port).into(),
            services: owned(services),
            envoy,
            tls: None,
            trusted_hops: 0,
            preview,
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
            poll: None,
        };
        Change::Fleet(name, Some(fleet))
    })
}

/// A plan by which some endpoints do not serve.
fn replacing() -> impl Strategy<Value = Change> {
    let versions = || prop_oneof![20 => Just("v1"), 10 => Just("v2"), 1 => Just("v9")];
    let state = prop_oneof![Just(EndpointState::Draining), Just(EndpointState::Absent)];
    let endpoints = prop::option::of((versions(), 1u8..4, state));
    (prop::sample::select(&SERVICES[..]), versions(), versions(), 0u32..=4, endpoints).prop_map(
        |(name, canary, stable, quarter, endpoints)| {
            let weight = Weight::from_percent(f64::from(quarter) * 25.0).expect("a percentage");
            let mut plan = TrafficPlan::split(name, canary, weight, stable);
            if let Some((version, end, state)) = endpoints {
                plan.endpoints.insert(version.to_owned(), [(([10, 0, 0, end], 80).into(), state)].into());
            }
            Change::Plan(name, Some(plan))
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => service(),
        2 => replacing(),
        3 => fleet(),
        2 => (prop::sample::select(&FLEETS[..]), of_routes()).prop_map(|(fleet, envoy)| Change::Patches(fleet, envoy)),
        8 => traffic::plan().prop_map(|(name, plan)| Change::Plan(name, Some(plan))),
        2 => traffic::release().prop_map(|release| Change::Release(Box::new(release))),
        1 => prop::sample::select(&SERVICES[..]).prop_map(Change::Unreleased),
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
            tls: None,
            trusted_hops: 0,
            preview: false,
        };
        let listeners = vec![listener("in", 1, &SERVICES), listener("out", 2, &["a", "b"])];
        let (nodes, route_configs) = (NodeSelector::default(), Vec::new());
        world.fleets.insert(
            name.to_owned(),
            Fleet { name: name.to_owned(), nodes, listeners, route_configs, config_canary: None, poll: None },
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
            ..Service::named("")
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
        Change::Release(release) => drop(world.releases.insert(release.name.clone(), *release)),
        Change::Unreleased(name) => drop(world.releases.remove(name)),
    }
}

/// What is built at once.
fn at_once(world: &World, plans: &Plans) -> Result<BTreeMap<String, Snapshot>, Vec<TranslateError>> {
    let plans: BTreeMap<String, TrafficPlan> = plans.iter().map(|(name, plan)| (name.clone(), plan.clone())).collect();
    let (mut built, mut errors) = (BTreeMap::new(), Vec::new());
    for group in all_groups(world) {
        match snapshot_of(group, &world.services, &plans) {
            Ok(snapshot) => drop(built.insert(group.name(), snapshot)),
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
                // Encoded as a whole, and read as a whole. (The fields of what is encoded by its type come in another order.)
                let ordered = descriptors::ordered(ResourceType::Route.type_url(), route.body());
                let ordered = RouteConfiguration::decode(&*ordered.expect("a route configuration"));
                prop_assert_eq!(ordered, RouteConfiguration::decode(route.body()));
                let read = Resource::decode(ResourceType::Route, route.name(), route.body()).expect("a resource");
                prop_assert_eq!(&read, route);
                prop_assert_eq!(read.refers_to(), route.refers_to());
            }
        }
    }
}

fn draining(plan: &TrafficPlan, end: u8) -> TrafficPlan {
    let mut plan = plan.clone();
    plan.endpoints.insert("v1".into(), [(([10, 0, 0, end], 80).into(), EndpointState::Draining)].into());
    plan
}

#[test]
fn a_plan_makes_endpoints_anew_only_where_others_serve() {
    let (mut world, mut plans) = beginning();
    let v1 = Version {
        endpoints: [1, 2].map(|end| Endpoint::at(([10, 0, 0, end], 80).into())).into(),
        ..Version::default()
    };
    world.services.get_mut("a").expect("it").versions.insert("v1".into(), v1);
    let (world, mut translator) = (Arc::new(world), Translator::new());
    let before = translator.build(&world, &plans).expect("a world")["edge"].clone();
    let half = Weight::from_percent(50.0).expect("a percentage");
    for (plan, clusters) in [
        (TrafficPlan::split("a", "v2", half, "v1"), 0),
        (draining(&TrafficPlan::all_to("a", "v1"), 2), 4),
        (draining(&TrafficPlan::split("a", "v2", half, "v1"), 2), 0),
        (draining(&TrafficPlan::split("a", "v2", half, "v1"), 1), 4),
        (TrafficPlan::split("a", "v2", half, "v1"), 4),
        (TrafficPlan::all_to("a", "v1"), 0),
    ] {
        plans.insert("a".into(), plan.clone());
        let after = translator.build(&world, &plans).expect("a step")["edge"].clone();
        assert_eq!(translator.work().clusters, clusters, "{plan:?}");
        let of = |snapshot: &Snapshot, of| snapshot.version_of(of);
        assert_eq!(of(&after, ResourceType::Cluster), of(&before, ResourceType::Cluster), "{plan:?}");
        let same = of(&after, ResourceType::Endpoint) == of(&before, ResourceType::Endpoint);
        assert_eq!(same, plan.endpoints.is_empty(), "{plan:?}");
    }
}

#[test]
fn the_listener_of_a_tcp_service_follows_its_plan() {
    let (mut world, mut plans) = beginning();
    let edge = world.fleets.get_mut("edge").expect("it");
    edge.listeners.push(Listener { name: "bytes".into(), services: vec!["a-b".into()], ..edge.listeners[0].clone() });
    let (mut bytes, mut translator) = (world.clone(), Translator::new());
    bytes.services.get_mut("a-b").expect("it").protocol = Protocol::Tcp;
    let [http, bytes] = [world, bytes].map(Arc::new);
    let half = TrafficPlan::split("a-b", "v2", Weight::from_percent(50.0).expect("a percentage"), "v1");
    for (world, plan, listeners) in [
        (&http, TrafficPlan::all_to("a-b", "v1"), None),
        (&bytes, TrafficPlan::all_to("a-b", "v1"), Some(vec!["a-b/v1"])),
        (&bytes, half.clone(), Some(vec!["a-b/v1", "a-b/v2"])),
        (&http, half.clone(), None),
        (&bytes, half, Some(vec!["a-b/v1", "a-b/v2"])),
    ] {
        plans.insert("a-b".into(), plan);
        let snapshot = translator.build(world, &plans).expect("a world")["edge"].clone();
        assert_eq!(snapshot.get(ResourceType::Route, "bytes").is_none(), listeners.is_some());
        let listener = snapshot.get(ResourceType::Listener, "bytes").expect("it");
        let clusters: Vec<&str> = listener.refers_to().iter().map(|(_, name)| &**name).collect();
        assert_eq!(clusters, listeners.unwrap_or(vec!["bytes"]));
    }
    // The step of another service leaves it alone.
    plans.insert("b".into(), TrafficPlan::all_to("b", "v2"));
    translator.build(&bytes, &plans).expect("a step");
    assert_eq!(translator.work().listeners, 0);
}
