use super::super::release::examples::{ago, now};
use super::show::show;
use super::*;
use crate::admin::proto::HeldBack;

fn of(kind: ResourceType, state: SyncState) -> ProxyType {
    ProxyType {
        type_url: kind.type_url().into(),
        state: state.into(),
        sent_version: "0123456789abcdef".into(),
        acknowledged_version: "fedcba9876543210".into(),
        changed_at: ago(5),
        ..ProxyType::default()
    }
}

fn proxies() -> Vec<Proxy> {
    let connected = Proxy {
        id: "edge-1".into(),
        cluster: "edge".into(),
        group: "edge".into(),
        user_agent: "envoy 1.40.0".into(),
        variant: "delta".into(),
        address: "10.0.0.1:5000".into(),
        connected: true,
        connected_at: ago(90),
        connects: 2,
        types: vec![
            of(ResourceType::Cluster, SyncState::Synced),
            of(ResourceType::Listener, SyncState::Nacked),
            of(ResourceType::Route, SyncState::NotSent),
        ],
        telemetry: TelemetryChannel::Polled.into(),
        reported_at: ago(3),
        ..Proxy::default()
    };
    let gone = Proxy {
        id: "edge-2".into(),
        variant: "sotw".into(),
        connected: false,
        disconnected_at: ago(30),
        types: vec![of(ResourceType::Cluster, SyncState::Synced)],
        telemetry: TelemetryChannel::None.into(),
        ..Proxy::default()
    };
    vec![connected, gone]
}

#[test]
fn a_row_per_proxy() {
    let expected = "\
NAME     GROUP      AGENT          VARIANT   CDS      EDS   LDS         RDS           REPORTS     AGE
edge-1   edge       envoy 1.40.0   delta     SYNCED   -     NACKED 5s   NOT SENT 5s   POLLED 3s   90s
edge-2   NO FLEET   -              sotw      -        -     -           -             NONE        DISCONNECTED 30s
";
    assert_eq!(list(&proxies(), now(), Style::PLAIN), expected);
}

#[test]
fn what_it_rejected_is_shown_in_its_own_words() {
    let mut proxy = proxies().remove(0);
    proxy.types[1].rejected_version = "0123456789abcdef".into();
    proxy.types[1].rejected_resources = vec!["http".into()];
    proxy.types[1].rejected_at = ago(7);
    proxy.held = "tried at edge-2 first".into();
    (proxy.types[0].wildcard, proxy.types[1].wildcard, proxy.types[1].subscribed) = (true, true, 1);
    proxy.types[2].subscribed = 2;
    proxy.types[2].held_back = vec![HeldBack {
        name: "routes".into(),
        version: "0123456789abcdef".into(),
        proxy: "edge-2".into(),
        text: "no such\ncluster".into(),
        at: ago(9),
    }];
    proxy.types[1].rejection = "Error adding listener http:\n\x1b[31mno such filter".into();
    let expected = "\
Name:       edge-1
Cluster:    edge
Group:      edge
Agent:      envoy 1.40.0
Variant:    delta
Address:    10.0.0.1:5000
Connected:  90s ago, stream no. 2
Reports:    its admin interface is asked, the last 3s ago
Held:       tried at edge-2 first

TYPE   STATE      ASKS FOR      SENT           IN FORCE       REJECTED       AGE
CDS    SYNCED     all           0123456789ab   fedcba987654   -              5s
LDS    NACKED     all, 1 name   0123456789ab   fedcba987654   0123456789ab   5s
RDS    NOT SENT   2 names       0123456789ab   fedcba987654   -              5s

LDS rejected 0123456789ab (http) 7s ago:
  Error adding listener http:
  \u{fffd}[31mno such filter

RDS routes 0123456789ab is held back: rejected by edge-2 9s ago:
  no such
  cluster
";
    assert_eq!(show(&proxy, now(), Style::PLAIN), expected);
}

#[test]
fn one_that_is_gone_says_so() {
    let text = show(&proxies()[1], now(), Style::PLAIN);
    assert!(text.contains("Connected:  DISCONNECTED 30s\n"), "{text}");
    assert!(text.contains("Group:      none: no fleet selects it\n"), "{text}");
}
