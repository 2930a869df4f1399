//! Where versions run, how proxies treat their endpoints, and what listeners have.

use super::*;
use crate::model::{
    CircuitBreakers, DownstreamTls, EndpointSource, HealthCheck, KeyPair, LoadBalancing, ProbeKind, Retries,
    UpstreamTls, Version,
};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A service whose wanted version is written like this.
fn v2(text: &str) -> String {
    let service =
        format!("{{hosts: [shop.example.com], versions: {{v1: {{endpoints: ['10.0.0.1:80']}}, v2: {text}}}}}");
    set(&service, STEPS)
}

/// A service with this beside its versions.
fn beside(text: &str) -> String {
    set(&SERVICE.replacen('{', &format!("{{{text}, "), 1), STEPS)
}

fn service(text: &str) -> Service {
    accept(text).world.services["checkout"].clone()
}

#[test]
fn endpoints_come_from_somewhere() {
    let dns = |seconds| EndpointSource::Dns {
        host: "v2.internal".into(),
        port: 8080,
        interval: Duration::from_secs(seconds),
    };
    let registered = |ttl, drain| EndpointSource::Registered { ttl: seconds(ttl), drain: seconds(drain) };
    for (text, source) in [
        ("{dns: v2.internal:8080}", dns(5)),
        ("{dns: {host: v2.internal, port: 8080, interval: 1m}}", dns(60)),
        ("{file: endpoints/v2.yaml}", EndpointSource::File { path: "endpoints/v2.yaml".into() }),
        ("{registered: {}}", registered(15, 30)),
        ("{registered: {ttl: 5s, drain: 0s}}", registered(5, 0)),
    ] {
        let version = Version { source: Some(source), ..Version::default() };
        assert_eq!(service(&v2(text)).versions["v2"], version, "{text}");
    }
    let endpoint = Endpoint { zone: Some("a".into()), weight: 2, ..Endpoint::at(address("10.0.1.1:80")) };
    let version = Version { endpoints: vec![endpoint], ..Version::default() };
    assert_eq!(service(&v2("{endpoints: [{address: '10.0.1.1:80', zone: a, weight: 2}]}")).versions["v2"], version);
    let flags = [("new-checkout".to_owned(), "on".to_owned())].into();
    let version = Version {
        endpoints: vec![Endpoint::at(address("10.0.0.1:80"))],
        same_as: Some("v1".into()),
        feature_flags: flags,
        ..Version::default()
    };
    let specs = accept(&v2("{sameAs: v1, featureFlags: {new-checkout: on}}"));
    assert_eq!(specs.world.services["checkout"].versions["v2"], version);
    assert_eq!(specs.warnings, []);
}

#[test]
fn endpoints_that_come_from_nowhere_are_refused() {
    let cases = [
        ("{}", "`v2` needs `endpoints`", "`sameAs`"),
        ("{endpoint: []}", "unknown field `endpoint`", "`endpoints`"),
        ("{endpoints: [], file: a.yaml}", "exclude each other", "one place"),
        ("{endpoints: []}", "no endpoints", "add its endpoints"),
        ("{endpoints: [{address: '10.0.1.1:80', weight: 0}]}", "from 1 to 128", "2"),
        ("{endpoints: ['v2.internal:80']}", "DNS name, not an address", "dns: v2.internal:80"),
        ("{dns: v2.internal}", "has no port", ":8080"),
        ("{dns: 10.0.0.1:80}", "nothing is to be looked up", "endpoints"),
        ("{dns: {host: v2.internal}}", "`port` is missing", "8080"),
        ("{file: /etc/endpoints.yaml}", "absolute path", "below"),
        ("{file: ../endpoints.yaml}", "leads out", "below"),
        ("{registered: {ttl: 0s}}", "nothing at all", "10s"),
        ("{sameAs: v11}", "no version `v11`", "`v1`"),
        ("{sameAs: v2}", "same as itself", "of its own"),
        ("{sameAs: v1, featureFlags: {New: on}}", "feature's name", "lower-case"),
        ("{sameAs: v1, featureFlags: {new: \"\"}}", "set to nothing", "on"),
        ("{sameAs: v1, featureFlags: {}}", "no feature", "on"),
    ];
    refused(&cases.map(|(text, said, help)| (v2(text), said, help)));
    let chain = v2("{sameAs: v1}, v3: {sameAs: v2}");
    refused(&[(chain, "itself the same as another", "of its own")]);
}

#[test]
fn policies_reach_the_model() {
    let text = "healthCheck: {http: {path: /healthz}, interval: 2s, timeout: 3s, unhealthyThreshold: 4, healthyThreshold: 5}, \
                circuitBreakers: {maxConnections: 1, maxPendingRequests: 0, maxRequests: 3, maxRetries: 4}, \
                retries: {attempts: 2, on: [connect-failure, unavailable], perTryTimeout: 1s}, loadBalancing: maglev, \
                tls: {serverName: a.b, ca: /ca.pem, client: {certificate: /c.pem, key: /k.pem}}";
    let read = service(&beside(text));
    let check = HealthCheck {
        kind: ProbeKind::Http { path: "/healthz".into() },
        interval: seconds(2),
        timeout: seconds(3),
        unhealthy_threshold: 4,
        healthy_threshold: 5,
    };
    assert_eq!(read.health_check, Some(check));
    let breakers = CircuitBreakers {
        max_connections: Some(1),
        max_pending_requests: Some(0),
        max_requests: Some(3),
        max_retries: Some(4),
    };
    assert_eq!(read.circuit_breakers, Some(breakers));
    let on = vec!["connect-failure".to_owned(), "unavailable".to_owned()];
    assert_eq!(read.retries, Some(Retries { attempts: 2, on, per_try_timeout: Some(seconds(1)) }));
    assert_eq!(read.load_balancing, LoadBalancing::Maglev);
    let client = Some(KeyPair { certificate: "/c.pem".into(), key: "/k.pem".into() });
    let tls = UpstreamTls { server_name: Some("a.b".into()), ca: Some("/ca.pem".into()), client };
    assert_eq!(read.tls, Some(tls));
    let cases = [
        ("healthCheck: {interval: 1s}", "`healthCheck` needs `http`", "healthz"),
        ("healthCheck: {grpc: {}}", "HTTP/2", "protocol: grpc"),
        ("circuitBreakers: {maxConnections: 0}", "at least 1", "1024"),
        ("retries: {attempts: 2}", "`on` is missing", "reset"),
        ("retries: {on: []}", "nothing is tried again", "reset"),
        ("retries: {on: [reset, reset]}", "twice", "remove"),
        ("retries: {on: [conect-failure]}", "unknown condition", "`connect-failure`"),
        ("loadBalancing: leastrequest", "unknown loadBalancing", "`leastRequest`"),
        ("tls: {client: {key: /k}}", "`certificate` is missing", "tls.crt"),
    ];
    refused(&cases.map(|(text, said, help)| (beside(text), said, help)));
    let told = accept(&beside("tls: {serverName: a.b}")).warnings;
    assert!(told[0].message.contains("any certificate is believed"), "{told:?}");
}

#[test]
fn listeners_have_tls_trusted_hops_and_previews() {
    let listener =
        |text: &str| set(SERVICE, STEPS).replace("services: [checkout]", &format!("services: [checkout], {text}"));
    let text = listener("tls: {certificate: /c.pem, key: /k.pem, clientCA: /ca.pem}, trustedHops: 1, preview: true");
    let read = accept(&text).world.fleets["edge"].listeners[0].clone();
    let key_pair = KeyPair { certificate: "/c.pem".into(), key: "/k.pem".into() };
    assert_eq!(read.tls, Some(DownstreamTls { key_pair, client_ca: Some("/ca.pem".into()) }));
    assert_eq!((read.trusted_hops, read.preview), (1, true));
    refused(&[
        (listener("tls: {certificate: /c.pem}"), "`key` is missing", "tls.key"),
        (listener("trustedHops: -1"), "from 0 to 100", "1"),
        (listener("preview: yes"), "true or false", "`true`"),
    ]);
}

const TCP: &str = "{protocol: tcp, versions: {v1: {endpoints: ['10.0.0.1:80']}, v2: {endpoints: ['10.0.1.1:80']}}}";

#[test]
fn a_tcp_service_has_connections_and_no_requests() {
    let read = service(&set(TCP, STEPS));
    assert_eq!((read.protocol, read.timeout, read.hosts.len()), (Protocol::Tcp, None, 0));
    let beside = |text: &str| set(&TCP.replacen('{', &format!("{{{text}, "), 1), STEPS);
    let canary = |text: &str| set(TCP, &format!("strategy: {{canary: {{{text}}}}}"));
    let flags = TCP.replace("v2: {endpoints: ['10.0.1.1:80']}", "v2: {sameAs: v1, featureFlags: {a: on}}");
    let other = "\n---\napiVersion: serin.dev/v1\nkind: Service\nmetadata: {name: web}\n\
                 spec: {hosts: [web], versions: {v1: {endpoints: ['10.0.9.1:80']}}}\n";
    let two = set(TCP, STEPS).replace("[checkout]", "[checkout, web]") + other;
    let routes = set(TCP, STEPS).replace("listeners: [{name: http, bind: '0.0.0.0:10000',", "routeConfigs: [{name: r,");
    refused(&[
        (beside("hosts: [a]"), "has no `hosts`", "listener"),
        (beside("timeout: 5s"), "has no `timeout`", "remove"),
        (beside("retries: {on: [reset]}"), "has no `retries`", "remove"),
        (set(&flags, STEPS), "headers of requests", "protocol"),
        (canary("sticky: {cookie: uid}, steps: [setWeight: 5]"), "cookies belong to requests", "remove"),
        (canary("sticky: {header: uid}, steps: [setWeight: 5]"), "headers belong to requests", "remove"),
        (canary("sticky: {sourceIP: true}, steps: [setWeight: 5]"), "shared out at random", "remove"),
        (canary("match: [{path: {exact: /}}], steps: [setWeight: 5]"), "`match` chooses", "remove"),
        (canary("steps: [match: [], setWeight: 5]"), "`match` chooses", "remove"),
        (canary("steps: [mirror: {percent: 5}]"), "`mirror` copies", "remove"),
        (set(TCP, "strategy: {blueGreen: {preview: {hosts: [a]}}}"), "hosts belong", "listener"),
        (two, "the TCP service `checkout` and service `web`", "of its own"),
        (routes, "routes are for requests", "listener"),
    ]);
}
