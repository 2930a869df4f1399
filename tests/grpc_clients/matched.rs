//! `serin::xds` alone, serving a route that matches by a header before the weighted one: releases do not make such
//! routes yet, and the clients take them all the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, Route, RouteAction, RouteConfiguration, RouteMatch, header_matcher, route, route_action, route_match,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher};
use prost::Message;
use serin::model::{Endpoint, Fleet, Listener, NodeSelector, Protocol, Service, Share, TrafficPlan, Version, Weight};
use serin::translate::bootstrap::{BootstrapOptions, NodeId, grpc_bootstrap};
use serin::translate::{Dialect, cluster_name, snapshot};
use serin::xds::{
    Cache, Grouping, Node, Options, Proxies, Resource, ResourceType, Server, Snapshot, SyncState, TypeStatus,
};
use serin_testbed::grpc_client::{Answer, GrpcClient, Library, by_version};
use serin_testbed::upstream::Upstream;
use serin_testbed::wait;
use tokio::sync::watch;

use crate::scene::{DEADLINE, NAME, good};

#[tokio::test(flavor = "multi_thread")]
async fn python_takes_routes_that_match_by_header() -> Result<()> {
    matched(&Library::python()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn node_takes_routes_that_match_by_header() -> Result<()> {
    let Some(library) = Library::node("header matches at a client in Node")? else { return Ok(()) };
    matched(&library).await
}

/// Everybody is of one group.
struct Everybody;

impl Grouping for Everybody {
    fn group_of(&self, _: &Node) -> Option<Arc<str>> {
        Some("all".into())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

/// v2 for testers by an exact header, v3 for beta groups by a pattern, and the weights of the plan for the others.
async fn matched(library: &Library) -> Result<()> {
    let upstreams = [good("v1").await?, good("v2").await?, good("v3").await?];
    let (cache, proxies) = (Cache::new(), Proxies::default());
    cache.publish("all", Arc::new(with_matches(&upstreams)?));
    cache.ready();
    let server = Server::new(cache, proxies.clone(), Arc::new(Everybody), Options::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(server.serve(listener));
    for (id, header, expected) in [
        ("tester", Some("x-user:tester"), &["v2"][..]),
        ("beta", Some("x-group:beta-7"), &["v3"]),
        ("no-beta", Some("x-group:a-beta-7"), &["v1", "v3"]),
        ("anybody", None, &["v1", "v3"]),
    ] {
        let node_id = NodeId::Fixed(id.into());
        let bootstrap = grpc_bootstrap(&BootstrapOptions { node_id, ..BootstrapOptions::new("127.0.0.1", port) });
        let mut arguments = vec!["--count", "100"];
        arguments.extend(header.iter().flat_map(|header| ["--header", header]));
        let answers = GrpcClient::start(library, NAME, &bootstrap, &arguments)?.ended(DEADLINE).await?;
        ensure!(answers.len() == 100 && answers.iter().all(Answer::is_ok), "{id}: {answers:#?}");
        ensure!(by_version(&answers).keys().eq(expected), "{id}: {:?}", by_version(&answers));
        // It may have ended before its last word was read.
        wait::until("all that it was sent to be acknowledged", DEADLINE, || async {
            let types = proxies.get(id).with_context(|| format!("{id} was never seen"))?.types;
            let accepted = |of: &TypeStatus| of.state == SyncState::Synced && of.rejection.is_none();
            ensure!(types.len() == ResourceType::CORE.len() && types.values().all(accepted), "{id}: {types:#?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// What a fleet's gRPC clients are given at 50 % of v3, with two routes put before the weighted one.
fn with_matches(upstreams: &[Upstream]) -> Result<Snapshot> {
    let version = |of: &Upstream| Version {
        endpoints: vec![Endpoint { address: of.addr(), zone: Some("a".into()), weight: 1, draining: false }],
        ..Version::default()
    };
    let service = Service {
        name: "checkout".into(),
        hosts: vec![NAME.into()],
        protocol: Protocol::Grpc,
        versions: upstreams.iter().map(|of| (of.version().to_owned(), version(of))).collect(),
        outlier_detection: None,
        connect_timeout: Duration::from_secs(1),
        timeout: Some(DEADLINE),
        envoy: Default::default(),
        ..Service::named("")
    };
    let fleet = Fleet {
        name: "all".into(),
        nodes: NodeSelector::default(),
        listeners: vec![Listener {
            name: "http".into(),
            bind: ([127, 0, 0, 1], 1).into(),
            services: vec!["checkout".into()],
            envoy: Default::default(),
            tls: None,
            trusted_hops: 0,
            preview: false,
        }],
        route_configs: Vec::new(),
        config_canary: None,
        poll: None,
    };
    let half = Weight::from_percent(50.0)?;
    let share = |version: &str| Share { version: version.into(), weight: half };
    let plan = TrafficPlan::new("checkout", vec![share("v3"), share("v1")])?;
    let (services, plans) =
        ([("checkout".to_owned(), service)].into(), BTreeMap::from([("checkout".to_owned(), plan)]));
    let made = snapshot(&fleet, &services, &plans, Dialect::GRPC)?;
    let mut builder = Snapshot::builder();
    for resource in made.iter() {
        if resource.resource_type() != ResourceType::Route {
            builder.add(resource.clone());
            continue;
        }
        let mut config = RouteConfiguration::decode(resource.body())?;
        let exact = string_matcher::MatchPattern::Exact("tester".into());
        let pattern = RegexMatcher { regex: "beta-[0-9]+".into(), ..Default::default() };
        let pattern = string_matcher::MatchPattern::SafeRegex(pattern);
        config.virtual_hosts[0].routes.splice(0..0, [to("v2", "x-user", exact), to("v3", "x-group", pattern)]);
        builder.add(Resource::route(&config)?);
    }
    builder.build().map_err(|faults| anyhow::anyhow!("{faults:?}"))
}

/// A route to a version for requests that have a header like this.
fn to(version: &str, header: &str, like: string_matcher::MatchPattern) -> Route {
    let like = StringMatcher { match_pattern: Some(like), ..Default::default() };
    let matcher = HeaderMatcher {
        name: header.into(),
        header_match_specifier: Some(header_matcher::HeaderMatchSpecifier::StringMatch(like)),
        ..Default::default()
    };
    let cluster = route_action::ClusterSpecifier::Cluster(cluster_name("checkout", version));
    Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(route_match::PathSpecifier::Prefix("/".into())),
            headers: vec![matcher],
            ..Default::default()
        }),
        action: Some(route::Action::Route(RouteAction { cluster_specifier: Some(cluster), ..Default::default() })),
        ..Default::default()
    }
}
