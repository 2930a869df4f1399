//! The answers as a scraper or an orchestrator gets them.

use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use imbl::OrdMap;
use jiff::Timestamp;
use tower::ServiceExt;

use super::*;
use crate::analysis::Explanation;
use crate::model::Weight;
use crate::rollout::{Phase, Record, ReleaseStatus, ShareStatus};
use crate::store::redb::RedbStore;
use crate::store::{Batch, Store};
use crate::xds::{Node, ProxyStatus, Resource, ResourceType, Snapshot, SyncState, TypeStatus, Variant};

fn status() -> ReleaseStatus {
    let share = |version: &str, weight, requests_per_second, error_rate| ShareStatus {
        version: version.into(),
        weight: Weight::from_percent(weight).expect("a weight"),
        requests_per_second,
        error_rate,
        p99: Some(Duration::from_millis(20)),
    };
    ReleaseStatus {
        name: "checkout".into(),
        service: "checkout".into(),
        version: "v2".into(),
        stable: "v1".into(),
        canary: Some("v2".into()),
        phase: Phase::Progressing,
        message: "setWeight 5%".into(),
        next: None,
        steps: vec!["setWeight 5%".into()],
        step: 0,
        set_weight: Weight::from_percent(5.0).expect("a weight"),
        actual_weight: Weight::ZERO,
        proxies: 3,
        proxies_in_force: 2,
        evidence: None,
        explanation: None,
        started_at: Timestamp::UNIX_EPOCH,
        changed_at: Timestamp::UNIX_EPOCH,
        shares: vec![share("v2", 5.0, 12.5, 0.25), share("v1", 95.0, 237.5, 0.0)],
        held: false,
        routing: vec!["rest: v2 5%, v1 95%".into()],
        waits: None,
        calls: Vec::new(),
        endpoints: None,
        failed: None,
        way_back: vec!["v1".into()],
    }
}

fn view() -> View {
    let nothing = Arc::new(Snapshot::builder().build_unchecked());
    View {
        releases: OrdMap::unit("checkout".into(), Arc::new(status())),
        groups: ["edge", "empty"]
            .map(|group| (group.to_owned(), (Arc::clone(&nothing), Timestamp::UNIX_EPOCH)))
            .into_iter()
            .collect(),
        diagnostics: vec!["checkout.yaml:3:1: no such version".into()],
        ..View::default()
    }
}

fn proxy(id: &str, group: Option<&str>, gone: bool, route: SyncState) -> ProxyStatus {
    ProxyStatus {
        node: Arc::new(Node { id: id.into(), ..Node::default() }),
        group: group.map(Into::into),
        variant: Variant::Sotw,
        address: None,
        connected_at: SystemTime::UNIX_EPOCH,
        disconnected_at: gone.then_some(SystemTime::UNIX_EPOCH),
        connects: 1,
        types: Arc::new([(ResourceType::Route, TypeStatus { state: route, ..TypeStatus::default() })].into()),
    }
}

/// A router, and what keeps its engine alive.
/// What a proxy of `edge` said no to.
fn rejected() -> Arc<Snapshot> {
    let mut builder = Snapshot::builder();
    let cluster = Resource::new(ResourceType::Cluster, "checkout/v1", Vec::new(), Vec::new()).expect("a cluster");
    builder.add(cluster);
    Arc::new(builder.build_unchecked())
}

fn served(view: View) -> (Router, Readiness, watch::Sender<Arc<View>>) {
    let (sender, view) = watch::channel(Arc::new(view));
    let readiness = Readiness::default();
    let (cache, proxies) = (Cache::new(), Proxies::default());
    cache.publish("edge", rejected());
    let resources: Vec<_> = rejected().iter().cloned().collect();
    cache.reject("edge", &resources, "edge-1", "no", SystemTime::UNIX_EPOCH);
    let options = xds::Options::new(watch::channel(false).1);
    let grouping = Arc::new(xds::server::ByCluster::default());
    let discovery = xds::Server::new(cache.clone(), proxies.clone(), grouping, options);
    let stalls = Stalls::new(Duration::from_secs(1));
    let (hooks, notifications) = (Tally::default(), Tally::default());
    let directory = tempfile::tempdir().expect("a directory");
    let history = Arc::new(kept(directory.path()));
    let state = WebState {
        view,
        proxies,
        cache,
        discovery,
        stalls,
        readiness: readiness.clone(),
        hooks,
        notifications,
        history,
    };
    (router(state), readiness, sender)
}

/// A store with a release that was reverted.
fn kept(directory: &std::path::Path) -> RedbStore {
    let store = RedbStore::open(directory).expect("a store");
    let [compared, evidence, over] =
        ["v2 37/412 (9.0%) failed", "evidence 3.0e28 ≥ 100", "over 42 s on 4 of 4 proxies"].map(str::to_owned);
    let explanation = Some(Box::new(Explanation { compared, evidence, over, ..Explanation::default() }));
    let reverting =
        Record::Reverting { canary: "v2".into(), stable: "v1".into(), reason: "errors".into(), explanation };
    let reverted = Record::Reverted { canary: "v2".into(), proxies: 4 };
    let records = [reverting, reverted].map(|record| ("search".to_owned(), record)).into();
    store.commit(&Batch { at: Timestamp::UNIX_EPOCH, records, ..Batch::default() }).expect("kept");
    store
}

async fn get_text(router: &Router, path: &str) -> (StatusCode, String, String) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = router.clone().oneshot(request).await.expect("it cannot fail");
    let content_type = response.headers()[header::CONTENT_TYPE].to_str().expect("text").to_owned();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    (status, content_type, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn it_is_ready_when_nothing_is_pending() {
    let (router, readiness, engine) = served(View::default());
    let (store, xds) = (readiness.register("store"), readiness.register("xds"));
    xds.unready("no specs\nyet");
    let (status, _, text) = get_text(&router, "/readyz").await;
    assert_eq!((status, text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "store: starting\nxds: no specs yet\n"));
    store.ready();
    xds.ready();
    assert_eq!(get_text(&router, "/readyz").await.0, StatusCode::OK);
    engine.send_replace(Arc::new(View { store_error: Some("disk full".into()), ..View::default() }));
    let (status, _, text) = get_text(&router, "/readyz").await;
    assert_eq!((status, text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "store: disk full\n"));
    engine.send_replace(Arc::default());
    assert_eq!(get_text(&router, "/readyz").await.0, StatusCode::OK);
    drop(engine);
    let (status, _, text) = get_text(&router, "/readyz").await;
    assert_eq!((status, text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "engine: has stopped\n"));
    assert_eq!(get_text(&router, "/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_index_names_what_there_is() {
    let (router, _, _engine) = served(View::default());
    let (status, _, text) = get_text(&router, "/").await;
    assert_eq!(status, StatusCode::OK);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert!(text.contains(path));
        assert_eq!(get_text(&router, path).await.0, StatusCode::OK, "{path}");
    }
    let request = Request::get("/nothing").body(Body::empty()).expect("a request");
    assert_eq!(router.oneshot(request).await.expect("an answer").status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_scrape_is_what_prometheus_reads() {
    let (router, _, _engine) = served(view());
    let (status, content_type, text) = get_text(&router, "/metrics").await;
    assert_eq!((status, content_type.as_str()), (StatusCode::OK, "text/plain; version=0.0.4"));
    assert!(text.contains("serin_release_weight_percent{release=\"checkout\",version=\"v2\"} 5\n"), "{text}");
    assert!(text.contains("serin_quarantined_resources{group=\"edge\"} 1\n"), "{text}");
    assert!(text.contains("serin_quarantined_resources{group=\"empty\"} 0\n"), "{text}");
}

#[test]
fn every_metric_has_its_value() {
    let proxies = [
        proxy("a", Some("edge"), false, SyncState::Synced),
        proxy("b", Some("edge"), false, SyncState::Nacked),
        proxy("c", Some("edge"), true, SyncState::Synced),
        proxy("d", None, false, SyncState::NotSent),
    ];
    let quarantined = [("edge".into(), 2)].into();
    let delivery = Delivery { quarantined, waiting: 3, stalled: 4, hooks: (5, 0), notifications: (6, 7) };
    let text = metrics::render(&view(), &proxies, &delivery).expect("metrics");
    for line in [
        concat!("serin_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "serin_proxies{group=\"edge\",state=\"connected\"} 2",
        "serin_proxies{group=\"edge\",state=\"disconnected\"} 1",
        "serin_proxies{group=\"\",state=\"connected\"} 1",
        "serin_proxies{group=\"empty\",state=\"connected\"} 0",
        "serin_proxy_sync{group=\"edge\",state=\"synced\",type=\"RDS\"} 1",
        "serin_proxy_sync{group=\"edge\",state=\"nacked\",type=\"RDS\"} 1",
        "serin_proxy_sync{group=\"edge\",state=\"stale\",type=\"RDS\"} 0",
        "serin_proxy_sync{group=\"edge\",state=\"synced\",type=\"CDS\"} 0",
        "serin_proxy_sync{group=\"empty\",state=\"nacked\",type=\"LDS\"} 0",
        "serin_release_weight_percent{release=\"checkout\",version=\"v1\"} 95",
        "serin_release_phase{phase=\"progressing\",release=\"checkout\"} 1",
        "serin_release_phase{phase=\"degraded\",release=\"checkout\"} 0",
        "serin_release_proxies{release=\"checkout\"} 3",
        "serin_release_proxies_in_force{release=\"checkout\"} 2",
        "serin_release_requests_per_second{release=\"checkout\",version=\"v2\"} 12.5",
        "serin_release_error_ratio{release=\"checkout\",version=\"v2\"} 0.25",
        "serin_quarantined_resources{group=\"edge\"} 2",
        "serin_xds_streams_waiting 3",
        "serin_xds_stalled_connections_total 4",
        "serin_hook_calls_total{outcome=\"ok\"} 5",
        "serin_hook_calls_total{outcome=\"failed\"} 0",
        "serin_notifications_total{outcome=\"delivered\"} 6",
        "serin_notifications_total{outcome=\"dropped\"} 7",
        "serin_spec_diagnostics 1",
        "serin_store_error 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert_eq!(text.matches("serin_release_phase{").count(), 6);
    let failing = View { store_error: Some("disk full".into()), ..View::default() };
    assert!(metrics::render(&failing, &[], &Delivery::default()).expect("metrics").contains("serin_store_error 1\n"));
}

#[tokio::test]
async fn why_is_told_in_plain_text() {
    let (router, _, _engine) = served(view());
    // The journal outlives its release.
    let (status, content_type, text) = get_text(&router, "/releases/search/explain").await;
    assert_eq!((status, content_type.as_str()), (StatusCode::OK, PLAIN));
    let expected = "✖ reverted v2 at 1970-01-01T00:00:00.000Z, entry 1\n  because: errors\n  v2 37/412 (9.0%) failed\n  \
                    evidence 3.0e28 ≥ 100\n  over 42 s on 4 of 4 proxies\n";
    assert_eq!(text, expected);
    let (status, _, text) = get_text(&router, "/releases/checkout/explain").await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "nothing was decided yet\n\nnow: setWeight 5%\n"));
    let (status, _, text) = get_text(&router, "/releases/chekout/explain").await;
    let expected = "there is no release named chekout: did you mean checkout?\n";
    assert_eq!((status, text.as_str()), (StatusCode::NOT_FOUND, expected));
}
