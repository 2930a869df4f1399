//! Admin interfaces that are asked: made up ones, as a real Envoy's does not fail when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serin::model::{Fleet, NodeSelector, Poll, World};
use serin::telemetry::poll;
use tokio::sync::watch;

use super::*;

/// The admin interface of `edge-1`.
#[derive(Clone, Default)]
struct Admin {
    requests: Arc<AtomicU64>,
    is_broken: Arc<AtomicBool>,
    /// How many pages it was asked for.
    asked: Arc<AtomicU64>,
    /// How many of them it refused.
    failures: Arc<AtomicU64>,
}

impl Admin {
    async fn start(&self) -> String {
        let (shown, refused) = (self.clone(), self.clone());
        let page = move || async move { shown.page() };
        let info = move || async move {
            let node = r#"{"version": "1.40", "node": {"id": "edge-1", "cluster": "edge"}}"#;
            if refused.is_broken.load(Ordering::SeqCst) { Err(StatusCode::SERVICE_UNAVAILABLE) } else { Ok(node) }
        };
        let app = Router::new().route("/stats/prometheus", get(page)).route("/server_info", get(info));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    fn page(&self) -> Result<String, StatusCode> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.is_broken.load(Ordering::SeqCst) {
            self.failures.fetch_add(1, Ordering::SeqCst);
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let requests = self.requests.load(Ordering::SeqCst);
        let labels = r#"cluster="a/v1",code="200",grpc="",route="shared",flags="-""#;
        Ok(format!("# TYPE envoy_rollout_rq counter\nenvoy_rollout_rq{{{labels}}} {requests}\n"))
    }

    /// Waits until it has refused a page.
    async fn failed(&self) {
        within(async {
            while self.failures.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until a page that was asked for by now is taken in: another one is asked for.
    async fn read(&self) {
        let before = self.asked.load(Ordering::SeqCst);
        within(async {
            while self.asked.load(Ordering::SeqCst) < before + 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn world(admin: &[String]) -> Option<Arc<World>> {
    let poll = Poll { admin: admin.to_vec(), interval: Duration::from_millis(200) };
    let fleet = Fleet {
        name: "edge".into(),
        nodes: NodeSelector::default(),
        listeners: Vec::new(),
        route_configs: Vec::new(),
        config_canary: None,
        poll: Some(poll).filter(|poll| !poll.admin.is_empty()),
    };
    Some(Arc::new(World { fleets: [("edge".to_owned(), fleet)].into(), ..World::default() }))
}

/// Takes in reports until they tell of so many requests; they must not tell of more.
async fn told(rig: &mut Rig, sum: &mut u64, wanted: u64) {
    while *sum < wanted {
        let report = rig.report().await;
        assert_eq!((&*report.node, report.partial), ("edge-1", false));
        *sum += report.clusters.get("a/v1").map_or(0, |delta| delta.requests);
    }
    assert_eq!(*sum, wanted);
}

#[tokio::test]
async fn what_an_admin_interface_shows_is_told_once() {
    let mut rig = Rig::new(1024).await;
    let admin = Admin::default();
    admin.requests.store(1000, Ordering::SeqCst);
    let (specs, worlds) = watch::channel(world(&[admin.start().await]));
    tokio::spawn(poll::conduct(rig.telemetry.clone(), worlds));
    let mut sum = 0;
    // What was before the first page is not told.
    admin.read().await;
    admin.requests.store(1007, Ordering::SeqCst);
    told(&mut rig, &mut sum, 7).await;
    // It fails for a while: what was meanwhile is told later, once.
    admin.is_broken.store(true, Ordering::SeqCst);
    admin.failed().await;
    admin.requests.store(1010, Ordering::SeqCst);
    admin.is_broken.store(false, Ordering::SeqCst);
    told(&mut rig, &mut sum, 10).await;
    assert_eq!(rig.heard("edge-1"), Some(Heard::Polled));
    // A metrics stream of the same proxy is preferred: its pages are not counted any more, however much they show.
    let (sender, _end) = rig.metrics();
    sender.send(identified("edge-1", flush(1, 500.0, 0.0))).await.unwrap();
    sender.send(flush(2, 504.0, 0.0)).await.unwrap();
    told(&mut rig, &mut sum, 14).await;
    assert_eq!(rig.heard("edge-1"), Some(Heard::Metrics));
    admin.requests.store(9999, Ordering::SeqCst);
    sender.send(flush(3, 507.0, 0.0)).await.unwrap();
    told(&mut rig, &mut sum, 17).await;
    // Nobody names it any more.
    specs.send_replace(world(&[]));
    sender.send(flush(4, 508.0, 0.0)).await.unwrap();
    told(&mut rig, &mut sum, 18).await;
}

#[tokio::test]
async fn load_reports_of_a_polled_proxy_are_partial() {
    let mut rig = Rig::new(1024).await;
    let admin = Admin::default();
    let (_specs, worlds) = watch::channel(world(&[admin.start().await]));
    tokio::spawn(poll::conduct(rig.telemetry.clone(), worlds));
    admin.read().await;
    let (sender, receiver) = mpsc::channel(8);
    let mut client = LoadReportingServiceClient::new(rig.channel.clone());
    sender.send(loads(Some("edge-1"), 5, 1)).await.unwrap();
    let _answers = client.stream_load_stats(ReceiverStream::new(receiver)).await.unwrap();
    let report = within(async {
        loop {
            let report = rig.report().await;
            if report.partial {
                return report;
            }
        }
    })
    .await;
    let delta = &report.clusters["a/v1"];
    assert_eq!((delta.requests, delta.in_progress), (0, Some(7)));
}
