use super::*;
use crate::load::{Load, LoadConfig};
use crate::upstream::{Upstream, UpstreamConfig};

#[test]
fn a_missing_binary_tells_how_to_get_it() {
    let empty = tempfile::tempdir().expect("a directory");
    let error = binary(None, empty.path()).expect_err("nothing is installed").to_string();
    assert!(error.contains("make envoy") && error.contains(".tools/envoy-1.40.0/envoy"), "{error}");
    let error = binary(Some("/no/such/envoy".into()), empty.path()).expect_err("no file").to_string();
    assert!(error.contains("ENVOY=/no/such/envoy"), "{error}");
    let tools = empty.path().join(".tools/envoy-1.40.0");
    std::fs::create_dir_all(&tools).expect("a directory");
    std::fs::write(tools.join("envoy"), "").expect("a file");
    assert_eq!(binary(None, empty.path()).expect("installed"), tools.join("envoy"));
}

#[test]
fn admin_pages_are_read() {
    let stats = parse_stats(
        "cluster.a.upstream_rq_200: 5\nlistener.127.0.0.1_80.x: 7\ncluster.a.time: P0(nan,1.0) P25(nan,1.025)\nversion: \"text\"\n",
    );
    let stats: Vec<_> = stats.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(stats, [("cluster.a.upstream_rq_200", 5), ("listener.127.0.0.1_80.x", 7)]);
    let listeners = parse_listeners(
        r#"{"listener_statuses":[{"name":"http","local_address":{"socket_address":{"address":"127.0.0.1","port_value":8080}}}]}"#,
    );
    assert_eq!(listeners.expect("listeners")["http"], SocketAddr::from(([127, 0, 0, 1], 8080)));
    assert!(parse_listeners("{}").expect("none yet").is_empty());
    assert!(parse_listeners("<html>").is_err());
}

/// A listener on the port (0: of the system's choice) that sends all to one upstream.
fn bootstrap(port: u16, upstream: SocketAddr) -> String {
    format!(
        r#"
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - name: http
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          http_filters:
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts: [{{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: up}}}}]}}]
  clusters:
  - name: up
    load_assignment:
      cluster_name: up
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}]}}]
"#,
        upstream.ip(),
        upstream.port()
    )
}

#[tokio::test]
async fn two_envoys_share_a_port_and_a_load() {
    let upstream = Upstream::start(UpstreamConfig::local("v1")).await.expect("a port");
    let mut first = EnvoyProcess::start("edge-1", &bootstrap(0, upstream.addr())).await.expect("Envoy starts");
    first.ready(Duration::from_secs(60)).await.expect("ready");
    let shared = first.listener("http", Duration::from_secs(60)).await.expect("a listener");
    let mut second =
        EnvoyProcess::start("edge-2", &bootstrap(shared.port(), upstream.addr())).await.expect("Envoy starts");
    second.ready(Duration::from_secs(60)).await.expect("ready");

    let config =
        LoadConfig { connections: 32, timeout: Duration::from_secs(60), ..LoadConfig::new(vec![shared], 500.0, "a") };
    let summary = Load::start(config).run_for(Duration::from_millis(500)).await;
    assert_eq!((summary.failures(), summary.overload), (0, 0), "{summary}");
    let first_served = first.stat("cluster.up.upstream_rq_total").await.expect("a count");
    let second_served = second.stat("cluster.up.upstream_rq_total").await.expect("a count");
    assert_eq!(first_served + second_served, summary.requests());
    let endpoints = first.endpoint_requests().await.expect("endpoints");
    assert_eq!(endpoints, BTreeMap::from([(upstream.addr(), first_served)]));
    assert!(first_served > 0 && second_served > 0, "{first_served} and {second_served}");
    let process = PathBuf::from(format!("/proc/{}", first.process().id()));
    assert!(process.exists());
    first.stop();
    assert!(!process.exists(), "killed and waited for");
}

#[tokio::test]
async fn a_refused_bootstrap_is_told_at_once() {
    let error = EnvoyProcess::start("edge-1", "admin: {nonsense: 1}").await.expect_err("refused");
    let text = format!("{error:#}");
    assert!(text.contains("has ended") && text.contains("nonsense"), "{text}");
}
