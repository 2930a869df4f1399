//! Writes the file that an Envoy is started with, so that it asks this server for everything else and reports back.
//!
//! PURE. The file is for people too: a template with comments, not a dump. Every text from outside is quoted, because
//! Envoy reads YAML 1.1, in which `cluster: y` is a boolean. Must not know where the file goes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Dialect;
use super::listener::REQUEST_HEADERS_TIMEOUT;
use crate::model::{Fleet, Pattern};
use crate::xds::Variant;

mod grpc;

pub use grpc::grpc_bootstrap;

/// What a bootstrap says. Start from [`BootstrapOptions::new`] or [`BootstrapOptions::for_fleet`].
#[derive(Debug, Clone, PartialEq)]
pub struct BootstrapOptions {
    /// What the file is for: comment lines at its top.
    pub about: String,
    /// `node.id`. Every proxy needs one of its own.
    pub node_id: NodeId,
    /// `node.cluster`; when `None`, the one who starts Envoy gives it with `--service-cluster`.
    pub node_cluster: Option<String>,
    /// `node.locality.region`.
    pub region: Option<String>,
    /// `node.locality.zone`.
    pub zone: Option<String>,
    /// String fields of `node.metadata`.
    pub metadata: BTreeMap<String, String>,
    /// Where this server's xDS port is to be found: an IP address or a DNS name.
    pub xds_host: String,
    /// That port.
    pub xds_port: u16,
    /// Which form of the protocol to speak.
    pub variant: Variant,
    /// Whether this server gives the proxy listeners. Otherwise it is never asked for any.
    pub listeners_from_server: bool,
    /// Listeners that stand in the bootstrap and ask this server for their routes.
    pub own_listeners: Vec<OwnListener>,
    /// What the Envoy to be started understands: it refuses to start with what it does not. [`Dialect::PLAIN`] before
    /// 1.37.
    pub dialect: Dialect,
    /// Whether to ship statistics to this server. Load reports are sent either way, but know neither latency nor
    /// ejections.
    pub metrics_sink: bool,
    /// How often statistics are shipped: whole milliseconds from 1 ms to just under 5 minutes (Envoy's limits; what is
    /// beyond is brought in).
    pub flush_interval: Duration,
    /// Where Envoy's admin interface listens; port 0 lets the system choose.
    pub admin: SocketAddr,
}

/// Where a proxy's node id comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeId {
    /// It stands in the file, which then is for one proxy.
    Fixed(String),
    /// From Envoy's flag `--service-node`, so that many proxies can share the file.
    Flag {
        /// What it must look like for the fleet to take the proxy.
        like: Option<Pattern>,
    },
}

/// A listener that the bootstrap owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnListener {
    /// The route configuration that it asks for; its own name as well.
    pub route_config: String,
    /// What it binds.
    pub bind: SocketAddr,
}

/// The port of the first listener of one's own; the next ones count on from it.
const FIRST_OWN_PORT: u16 = 10_000;

impl BootstrapOptions {
    /// For any proxy that says who it is by Envoy's flags: delta, shipping statistics each second, admin on a port of
    /// the loopback that the system chooses.
    pub fn new(xds_host: impl Into<String>, xds_port: u16) -> Self {
        Self {
            about: "An Envoy that is configured by Serin.".to_owned(),
            node_id: NodeId::Flag { like: None },
            node_cluster: None,
            region: None,
            zone: None,
            metadata: BTreeMap::new(),
            xds_host: xds_host.into(),
            xds_port,
            variant: Variant::Delta,
            listeners_from_server: true,
            own_listeners: Vec::new(),
            dialect: Dialect::MODERN,
            metrics_sink: true,
            flush_interval: Duration::from_secs(1),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }

    /// For proxies of a fleet: they say of themselves what its selector asks for, and have a listener for each route
    /// configuration, from port 10000 on.
    pub fn for_fleet(fleet: &Fleet, xds_host: impl Into<String>, xds_port: u16) -> Self {
        let node_id = match &fleet.nodes.id {
            Some(Pattern(id)) if !id.contains('*') => NodeId::Fixed(id.clone()),
            pattern @ (Some(_) | None) => NodeId::Flag { like: pattern.clone() },
        };
        let own_listeners = fleet.route_configs.iter().zip(FIRST_OWN_PORT..).map(|(config, port)| OwnListener {
            route_config: config.name.clone(),
            bind: SocketAddr::from(([0, 0, 0, 0], port)),
        });
        Self {
            about: format!("An Envoy of the fleet {}, configured by Serin.", fleet.name),
            node_id,
            // ADS needs one, whether the selector asks for it or not.
            node_cluster: Some(fleet.nodes.cluster.clone().unwrap_or_else(|| fleet.name.clone())),
            region: fleet.nodes.region.clone(),
            zone: fleet.nodes.zone.clone(),
            metadata: fleet.nodes.metadata.clone(),
            listeners_from_server: !fleet.listeners.is_empty() || fleet.route_configs.is_empty(),
            own_listeners: own_listeners.collect(),
            ..Self::new(xds_host, xds_port)
        }
    }
}

/// The bootstrap as YAML, with comments.
pub fn bootstrap(options: &BootstrapOptions) -> String {
    let mut parts = vec![head(options), node(options), admin(options), dynamic_resources(options)];
    parts.push(LOAD_REPORTS.to_owned());
    if options.metrics_sink {
        parts.push(metrics_sink(options));
        parts.push(stats_config());
    }
    parts.push(static_resources(options));
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

fn head(options: &BootstrapOptions) -> String {
    let mut text: String = options.about.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect();
    let mut flags = Vec::new();
    let mut notes = String::new();
    if let NodeId::Flag { like } = &options.node_id {
        flags.push("--service-node ID");
        let fits = like.as_ref().map_or(String::new(), |Pattern(p)| format!(", which must look like {}", quoted(p)));
        notes += &format!("# Every proxy has an ID of its own{fits}.\n");
    }
    if options.node_cluster.is_none() {
        flags.push("--service-cluster CLUSTER");
        notes += "# By CLUSTER a fleet knows its proxies (`nodes: {cluster: …}` in its spec).\n";
    }
    if !flags.is_empty() {
        text += &format!("#\n# envoy -c FILE {}\n{notes}", flags.join(" "));
    }
    text
}

fn node(options: &BootstrapOptions) -> String {
    let mut fields = String::new();
    if let NodeId::Fixed(id) = &options.node_id {
        fields += &format!("  id: {}\n", quoted(id));
    }
    if let Some(cluster) = &options.node_cluster {
        fields += &format!("  cluster: {}\n", quoted(cluster));
    }
    let locality = [("region", &options.region), ("zone", &options.zone)];
    if locality.iter().any(|(_, value)| value.is_some()) {
        fields += "  locality:\n";
        for (key, value) in locality.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
            fields += &format!("    {key}: {}\n", quoted(value));
        }
    }
    if !options.metadata.is_empty() {
        fields += "  metadata:\n";
        for (key, value) in &options.metadata {
            fields += &format!("    {}: {}\n", quoted(key), quoted(value));
        }
    }
    if fields.is_empty() { fields } else { format!("# Who this proxy is: its fleet is chosen by it.\nnode:\n{fields}") }
}

fn admin(options: &BootstrapOptions) -> String {
    format!("admin:\n  address:\n    {}\n", socket_address(options.admin.ip(), options.admin.port()))
}

fn dynamic_resources(options: &BootstrapOptions) -> String {
    let api_type = match options.variant {
        Variant::Delta => "DELTA_GRPC",
        Variant::Sotw => "GRPC",
    };
    let mut text = format!(
        r"# Everything else comes over one stream (ADS). Without an answer the proxy waits and opens no port: it never
# serves half a configuration.
dynamic_resources:
  ads_config:
    api_type: {api_type}
    transport_api_version: V3
    # The node is 60 KB, most of it a list of extensions.
    set_node_on_first_message_only: true
    grpc_services:
    - envoy_grpc:
        cluster_name: xds
        # Envoy's own back-off takes seconds to find the server again.
        retry_policy:
          retry_back_off: {{base_interval: 0.1s, max_interval: 1s}}
  cds_config: {{ads: {{}}, resource_api_version: V3, initial_fetch_timeout: 0s}}
"
    );
    if options.listeners_from_server {
        text += "  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}\n";
    }
    text
}

const LOAD_REPORTS: &str = r"# Load reports: how many requests each version got and how many failed. They lose nothing over an outage.
cluster_manager:
  load_stats_config:
    api_type: GRPC
    transport_api_version: V3
    grpc_services:
    - envoy_grpc: {cluster_name: xds}
";

fn metrics_sink(options: &BootstrapOptions) -> String {
    // As old as the stats access logger: 1.37.
    let batch_size = if options.dialect.stats_access_logger { "    batch_size: 2000\n" } else { "" };
    let millis = options.flush_interval.as_millis().clamp(1, 299_999);
    format!(
        r#"# Statistics: what releases are judged by. How often they come is how fast a bad release is seen.
stats_flush_interval: {}.{:03}s
stats_sinks:
- name: envoy.stat_sinks.metrics_service
  typed_config:
    "@type": type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig
    transport_api_version: V3
    grpc_service:
      envoy_grpc: {{cluster_name: xds}}
    emit_tags_as_labels: true
    # Buckets can be added up over proxies, quantiles cannot.
    histogram_emit_mode: HISTOGRAM
{batch_size}"#,
        millis / 1000,
        millis % 1000,
    )
}

/// Upper bounds in milliseconds: close enough for a p99 within a tenth over the range that people care about.
const BUCKETS: &str = "[1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300, 400, 500, 600, 800, 1000,
      1500, 2000, 3000, 5000, 10000, 30000]";

/// The clusters of [`super::cluster_name`] and no others: theirs is the only `/`.
const CLUSTER_STATS: &str = r"cluster\.[^./]+/[^./]+\.(upstream_rq_(total|completed|active|[1-5]xx|time)|upstream_cx_(total|http[12]_total|connect_fail|none_healthy)|outlier_detection\.ejections_(active|enforced_total)|membership_(healthy|total))";

fn stats_config() -> String {
    format!(
        r"# Only these are kept and shipped: all of them would be a thousand times as much. What you add here also shows on the
# admin interface.
stats_config:
  stats_matcher:
    inclusion_list:
      patterns:
      # By the stats access logger: requests as their callers saw them.
      - prefix: rollout.
      # Requests, connections, ejections and endpoints of each version.
      - safe_regex:
          regex: '{CLUSTER_STATS}'
      - prefix: cluster_manager.
      - prefix: control_plane.
  # Upper bounds in milliseconds.
  histogram_bucket_settings:
  - match: {{prefix: rollout.}}
    buckets: {BUCKETS}
  - match: {{suffix: upstream_rq_time}}
    buckets: {BUCKETS}
"
    )
}

fn static_resources(options: &BootstrapOptions) -> String {
    let host = options.xds_host.trim_start_matches('[').trim_end_matches(']');
    let (kind, address) = match host.parse::<IpAddr>() {
        Ok(ip) => ("    type: STATIC\n".to_owned(), socket_address(ip, options.xds_port)),
        Err(_) => (
            // Of all addresses that the name has, the one that answers first.
            "    type: STRICT_DNS\n    dns_lookup_family: ALL\n".to_owned(),
            format!("socket_address: {{address: {}, port_value: {}}}", quoted(host), options.xds_port),
        ),
    };
    let mut text = format!(
        r#"static_resources:
  clusters:
  # Serin: configuration, statistics and load reports go over one connection.
  - name: xds
{kind}    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options:
            # So that a server that vanished without a word is noticed.
            connection_keepalive: {{interval: 30s, timeout: 5s}}
    load_assignment:
      cluster_name: xds
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              {address}
"#
    );
    if !options.own_listeners.is_empty() {
        text += "  listeners:\n";
    }
    for listener in &options.own_listeners {
        own_listener(&mut text, listener, options.dialect);
    }
    text
}

/// With the same connection manager as a listener from the server (see `listener.rs`; a test compares them).
fn own_listener(text: &mut String, listener: &OwnListener, dialect: Dialect) {
    let name = quoted(&listener.route_config);
    let _ = write!(
        text,
        r#"  # Owned by this file; only its routes come from Serin. It opens when it has them.
  - name: {name}
    address:
      {}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          codec_type: AUTO
          stat_prefix: {name}
          use_remote_address: true
          # Nobody's address: without any range Envoy takes all private ones to be internal.
          internal_address_config: {{cidr_ranges: [{{address_prefix: 0.0.0.0, prefix_len: 32}}]}}
          request_headers_timeout: {}s
          rds:
            route_config_name: {name}
            config_source: {{ads: {{}}, resource_api_version: V3, initial_fetch_timeout: 0s}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"#,
        socket_address(listener.bind.ip(), listener.bind.port()),
        REQUEST_HEADERS_TIMEOUT.as_secs(),
    );
    if dialect.stats_access_logger {
        *text += STATS_ACCESS_LOGGER;
    }
}

const STATS_ACCESS_LOGGER: &str = r#"          # Counts requests as their callers saw them (Envoy 1.37 and later).
          access_log:
          - name: envoy.access_loggers.stats
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config
              stat_prefix: rollout
              counters:
              - stat:
                  name: rq
                  tags:
                  - {name: cluster, value_format: "%UPSTREAM_CLUSTER_RAW%"}
                  - {name: code, value_format: "%RESPONSE_CODE%"}
                  - {name: grpc, value_format: "%GRPC_STATUS_NUMBER%"}
                  - {name: route, value_format: "%ROUTE_NAME%"}
                  - {name: flags, value_format: "%RESPONSE_FLAGS%"}
                value_fixed: 1
              histograms:
              - stat:
                  name: dur
                  tags:
                  - {name: cluster, value_format: "%UPSTREAM_CLUSTER_RAW%"}
                  - {name: route, value_format: "%ROUTE_NAME%"}
                unit: Milliseconds
                value_format: "%DURATION%"
"#;

fn socket_address(ip: IpAddr, port: u16) -> String {
    format!("socket_address: {{address: {}, port_value: {port}}}", quoted(&ip.to_string()))
}

/// In double quotes: a string to every YAML version, on one line whatever is in it.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            other => {
                let _ = write!(out, "\\U{:08X}", u32::from(other));
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
