//! Small resources for the protocol's tests.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster};
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, cluster_load_assignment::Policy};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter::ConfigType};
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, VirtualHost, route, route_action::ClusterSpecifier,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, Rds, http_connection_manager::RouteSpecifier,
};

use super::stream::Moment;
use super::{Outgoing, Resource, Snapshot};

/// A cluster that takes its endpoints from EDS; `edition` makes its content differ.
pub(super) fn cluster(name: &str, edition: u64) -> Resource {
    let connect_timeout = envoy_types::pb::google::protobuf::Duration { seconds: edition as i64, nanos: 0 };
    let eds = cluster::ClusterDiscoveryType::Type(cluster::DiscoveryType::Eds as i32);
    Resource::cluster(&Cluster {
        name: name.to_owned(),
        connect_timeout: Some(connect_timeout),
        cluster_discovery_type: Some(eds),
        ..Cluster::default()
    })
    .expect("a cluster")
}

/// The endpoints of a cluster.
pub(super) fn endpoint(name: &str, edition: u32) -> Resource {
    let value = envoy_types::pb::google::protobuf::UInt32Value { value: edition };
    let policy = Policy { overprovisioning_factor: Some(value), ..Policy::default() };
    let assignment =
        ClusterLoadAssignment { cluster_name: name.to_owned(), policy: Some(policy), ..Default::default() };
    Resource::endpoint(&assignment).expect("endpoints")
}

/// A listener that asks for a route configuration.
pub(super) fn listener(name: &str, route: &str) -> Resource {
    let rds = Rds { route_config_name: route.to_owned(), ..Rds::default() };
    let manager =
        HttpConnectionManager { route_specifier: Some(RouteSpecifier::Rds(rds)), ..HttpConnectionManager::default() };
    let typed = ConfigType::TypedConfig(envoy_types::util::pack_any(manager));
    let chain =
        FilterChain { filters: vec![Filter { name: "http".into(), config_type: Some(typed) }], ..Default::default() };
    let listener = Listener { name: name.to_owned(), filter_chains: vec![chain], ..Listener::default() };
    Resource::listener(&listener).expect("a listener")
}

/// A route configuration that sends to these clusters.
pub(super) fn route(name: &str, clusters: &[&str]) -> Resource {
    let to = |cluster: &&str| {
        let specifier = Some(ClusterSpecifier::Cluster((*cluster).to_owned()));
        let action = RouteAction { cluster_specifier: specifier, ..RouteAction::default() };
        Route { action: Some(route::Action::Route(action)), ..Route::default() }
    };
    let host = VirtualHost { name: "host".into(), routes: clusters.iter().map(to).collect(), ..Default::default() };
    let config = RouteConfiguration { name: name.to_owned(), virtual_hosts: vec![host], ..Default::default() };
    Resource::route(&config).expect("a route configuration")
}

/// These clusters (name, edition) with endpoints of edition 1, a listener `http`, and its route to `to`.
pub(super) fn world(clusters: &[(&str, u64)], to: &[&str]) -> Arc<Snapshot> {
    let mut builder = Snapshot::builder();
    for (name, edition) in clusters {
        builder.add(cluster(name, *edition)).add(endpoint(name, 1));
    }
    builder.add(listener("http", "http")).add(route("http", to));
    Arc::new(builder.build().expect("a consistent snapshot"))
}

/// Some resources, whatever they refer to.
pub(super) fn loose(resources: impl IntoIterator<Item = Resource>) -> Arc<Snapshot> {
    let mut builder = Snapshot::builder();
    for resource in resources {
        builder.add(resource);
    }
    Arc::new(builder.build_unchecked())
}

/// A response as a client reads it.
pub(super) fn read<M: prost::Message + Default>(outgoing: &Outgoing) -> M {
    let bytes = [&outgoing.head[..], &outgoing.resources].concat();
    M::decode(&bytes[..]).expect("a response")
}

/// A clock that stands still until it is told to go on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(pub Moment);

impl Clock {
    pub(super) fn new() -> Self {
        Self(Moment { now: Instant::now(), wall: SystemTime::UNIX_EPOCH })
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.0 = Moment { now: self.0.now + time, wall: self.0.wall + time };
    }
}
