use super::*;
use crate::model::{Endpoint, Listener, NodeSelector, World};
use crate::translate::{Dialect, Group, all_groups, services_of};
use crate::xds::ResourceType;

fn service(name: &str, protocol: Protocol, hosts: &[&str], endpoints: &[(&str, Option<&str>)]) -> Service {
    let endpoint = |&(address, zone): &(&str, Option<&str>)| Endpoint {
        address: address.parse().expect("an address"),
        zone: zone.map(Into::into),
        weight: 1,
        draining: false,
    };
    Service {
        name: name.into(),
        hosts: hosts.iter().map(|host| (*host).into()).collect(),
        protocol,
        versions: [(
            "v1".into(),
            Version { endpoints: endpoints.iter().map(endpoint).collect(), ..Version::default() },
        )]
        .into(),
        outlier_detection: None,
        connect_timeout: std::time::Duration::from_secs(1),
        timeout: None,
        envoy: Default::default(),
        ..Service::named("")
    }
}

/// A fleet with a listener for each service.
fn world(services: impl IntoIterator<Item = Service>) -> World {
    let services: BTreeMap<String, Service> = services.into_iter().map(|s| (s.name.clone(), s)).collect();
    let listener = |name: &String| Listener {
        name: name.clone(),
        bind: ([0, 0, 0, 0], 1).into(),
        services: vec![name.clone()],
        envoy: Default::default(),
        tls: None,
        trusted_hops: 0,
        preview: false,
    };
    let fleet = Fleet {
        name: "edge".into(),
        nodes: NodeSelector::default(),
        listeners: services.keys().map(listener).collect(),
        route_configs: Vec::new(),
        config_canary: None,
        poll: None,
    };
    World { fleets: [("edge".to_owned(), fleet)].into(), services, ..World::default() }
}

fn asked_for(world: &World) -> Vec<(String, &str)> {
    targets(world.fleets["edge"].services(), &world.services).into_iter().collect()
}

#[test]
fn a_client_may_ask_for_every_host_that_is_spelled_out() {
    let ports = [("10.0.0.1:8080", None), ("10.0.0.2:8080", None), ("10.0.0.3:81", None)];
    for (hosts, expected) in [
        (&["A.b"][..], &["a.b", "a.b:8080", "a.b:81"][..]),
        (&["a.b:443"], &["a.b:443"]),
        (&["*", "*.b", "a.*"], &[]),
        (&["a", "a:81"], &["a", "a:8080", "a:81"]),
    ] {
        let world = world([service("s", Protocol::Grpc, hosts, &ports)]);
        let targets = asked_for(&world);
        assert!(targets.iter().all(|(_, service)| *service == "s"));
        assert_eq!(targets.into_iter().map(|(target, _)| target).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_name_of_two_services_leads_nowhere_and_other_protocols_have_none() {
    let world = world([
        service("a", Protocol::Grpc, &["both", "a"], &[]),
        service("b", Protocol::Grpc, &["b", "both"], &[]),
        service("c", Protocol::Grpc, &["both"], &[]),
        service("web", Protocol::Http1, &["web"], &[]),
        service("raw", Protocol::Http2, &["raw"], &[]),
    ]);
    assert_eq!(asked_for(&world), [("a".to_owned(), "a"), ("b".to_owned(), "b")]);
    let fleet = &world.fleets["edge"];
    assert_eq!(services_of(&world, fleet, Dialect::GRPC), ["a", "b"]);
    assert_eq!(services_of(&world, fleet, Dialect::PLAIN), ["a", "b", "c", "raw", "web"]);
}

#[test]
fn there_is_a_group_for_them_where_they_can_reach_something() {
    for (protocol, expected) in
        [(Protocol::Grpc, &["edge", "edge~plain", "edge~grpc"][..]), (Protocol::Http2, &["edge", "edge~plain"])]
    {
        let world = world([service("a", protocol, &["a"], &[])]);
        assert_eq!(all_groups(&world).iter().map(Group::name).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn localities_have_names_and_weights_and_no_address_twice() {
    let at = [("10.0.0.1:1", Some("b")), ("10.0.0.2:1", Some("b")), ("10.0.0.1:1", Some("a")), ("10.0.0.3:1", None)];
    let service = service("a", Protocol::Grpc, &["a"], &at);
    let assignment = endpoints(&service.versions["v1"], None, "a/v1");
    let localities = assignment.endpoints.iter().map(|of| {
        let zone = of.locality.as_ref().expect("a name").zone.as_str();
        (zone, of.load_balancing_weight.expect("a weight").value, of.lb_endpoints.len())
    });
    assert_eq!(localities.collect::<Vec<_>>(), [("", 1, 1), ("a", 1, 1), ("b", 1, 1)]);
}

#[test]
fn a_listener_brings_its_routes_and_they_their_clusters() {
    let world = world([service("a", Protocol::Grpc, &["a"], &[])]);
    let plans = BTreeMap::from([("a".to_owned(), TrafficPlan::all_to("a", "v1"))]);
    let made = snapshot(&world.fleets["edge"], None, &world.services, &plans).expect("a snapshot");
    let refers = |t, name| made.get(t, name).expect("there").refers_to().to_vec();
    assert_eq!(refers(ResourceType::Listener, "a"), [(ResourceType::Route, "a".into())]);
    assert_eq!(refers(ResourceType::Route, "a"), [(ResourceType::Cluster, "a/v1".into())]);
    assert!(matches!(
        snapshot(&world.fleets["edge"], None, &world.services, &BTreeMap::new()),
        Err(TranslateError::NoPlan { .. })
    ));
}
