//! How endpoints are treated, what listeners are like, and what is no HTTP.

use serin::model::{
    CircuitBreakers, DownstreamTls, EndpointState, HealthCheck, KeyPair, LoadBalancing, ProbeKind, Routing, Sticky,
    UpstreamTls,
};

use super::*;

/// Where a proxy's files are said to be.
pub(super) const FILES: &str = "/etc/envoy/tls/";

fn file(name: &str) -> String {
    format!("{FILES}{name}")
}

fn health_check(kind: ProbeKind) -> HealthCheck {
    let [interval, timeout] = [2000, 500].map(Duration::from_millis);
    HealthCheck { kind, interval, timeout, unhealthy_threshold: 3, healthy_threshold: 2 }
}

fn limits() -> CircuitBreakers {
    CircuitBreakers { max_connections: Some(10), max_requests: Some(500), ..CircuitBreakers::default() }
}

fn weighted() -> Version {
    let mut endpoints: Vec<Endpoint> = (1..=4).map(|n| endpoint(&format!("10.0.0.{n}:8080"), None)).collect();
    endpoints[0].weight = 3;
    endpoints[1].draining = true;
    Version { endpoints, ..Version::default() }
}

pub(super) fn cases() -> Vec<Case> {
    let basic = |name, about, service: Service| Case {
        name,
        about,
        fleet: fleet(&["checkout"]),
        plans: vec![TrafficPlan::all_to("checkout", "v1")],
        services: vec![service],
        dialect: Dialect::MODERN,
    };
    let http = health_check(ProbeKind::Http { path: "/healthz".into() });
    let grpc = health_check(ProbeKind::Grpc { service: "shop.Checkout".into() });
    let mut draining = TrafficPlan::all_to("checkout", "v1");
    let states = [("10.0.0.3:8080", EndpointState::Draining), ("10.0.0.4:8080", EndpointState::Absent)];
    draining.endpoints.insert("v1".into(), states.map(|(at, state)| (at.parse().unwrap(), state)).into());
    vec![
        Case {
            plans: vec![draining],
            ..basic(
                "treated",
                "Checked, limited and balanced in turn; of four endpoints one is heavy, two are drained, one is gone.",
                Service {
                    versions: BTreeMap::from([("v1".into(), weighted()), ("v2".into(), Version::default())]),
                    health_check: Some(http.clone()),
                    circuit_breakers: Some(limits()),
                    load_balancing: LoadBalancing::RoundRobin,
                    ..checkout()
                },
            )
        },
        tls(basic(
            "tls",
            "Encrypted on both sides, with certificates on both sides, behind two proxies that are trusted.",
            Service { health_check: Some(http), load_balancing: LoadBalancing::RingHash, ..checkout() },
        )),
        basic(
            "grpc-checked",
            "The standard gRPC health service is asked, and a table is balanced by.",
            Service {
                protocol: Protocol::Grpc,
                health_check: Some(grpc),
                load_balancing: LoadBalancing::Maglev,
                ..checkout()
            },
        ),
        Case {
            plans: vec![TrafficPlan::split("checkout", "v2", Weight::from_percent(5.0).unwrap(), "v1")],
            ..tcp(basic("tcp", "Connections to two versions, and no routes.", checkout()))
        },
        Case {
            plans: vec![
                TrafficPlan::routed(
                    "checkout",
                    Routing { sticky: Some(Sticky::SourceIp), ..Routing::all_to("v1") },
                    vec![],
                )
                .unwrap(),
            ],
            ..tls(tcp(basic("tcp-sticky", "Encrypted bytes to one version, by the caller's address.", checkout())))
        },
    ]
}

fn tcp(mut case: Case) -> Case {
    case.services[0].protocol = Protocol::Tcp;
    case.services[0].hosts.clear();
    case.services[0].health_check = Some(health_check(ProbeKind::Tcp));
    case.services[0].load_balancing = LoadBalancing::Random;
    case
}

fn tls(mut case: Case) -> Case {
    let key_pair = || KeyPair { certificate: file("proxy.crt"), key: file("proxy.key") };
    case.services[0].tls = Some(UpstreamTls {
        server_name: Some("checkout.internal".into()),
        ca: Some(file("ca.crt")),
        client: Some(key_pair()),
    });
    case.fleet.listeners[0].tls = Some(DownstreamTls { key_pair: key_pair(), client_ca: Some(file("ca.crt")) });
    case.fleet.listeners[0].trusted_hops = 2;
    case
}

/// The files that the cases name, in a directory that really exists.
pub(super) fn files() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["checkout.internal".to_owned()]).unwrap();
    for (name, text) in
        [("ca.crt", made.cert.pem()), ("proxy.crt", made.cert.pem()), ("proxy.key", made.signing_key.serialize_pem())]
    {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}
