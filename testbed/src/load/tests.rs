use super::pool::Pool;
use super::*;
use crate::ports;
use crate::upstream::{Behaviour, Upstream, UpstreamConfig};

async fn upstream(version: &str, behaviour: Behaviour) -> Upstream {
    Upstream::start(UpstreamConfig { behaviour, ..UpstreamConfig::local(version) }).await.expect("a port")
}

async fn send(pool: &Pool) -> Outcome {
    let mut request = hyper::Request::new(http_body_util::Empty::new());
    request.headers_mut().insert("host", "a".parse().expect("a value"));
    pool.send(request).await.0
}

#[test]
fn requests_are_due_evenly() {
    for (rate, number, millis) in [(400.0, 0, 0), (400.0, 1, 2), (400.0, 400, 1_000), (0.5, 1, 2_000)] {
        assert_eq!(due(rate, number).as_millis(), millis, "request {number} at {rate}/s");
    }
}

#[tokio::test]
async fn every_request_is_recorded_with_its_target_and_version() {
    let v1 = upstream("v1", Behaviour::GOOD).await;
    let v2 = upstream("v2", Behaviour::failing(1.0)).await;
    let timeout = Duration::from_secs(600);
    let config = LoadConfig { timeout, ..LoadConfig::new(vec![v1.addr(), v2.addr()], 1_000.0, "shop.example.com") };
    let summary = Load::start(config).run_for(Duration::from_millis(500)).await;
    assert_eq!(summary.version("v1").requests, v1.requests());
    assert_eq!(summary.version("v2").requests, v2.requests());
    assert!(v1.requests().abs_diff(v2.requests()) <= 1, "in turn: {} and {}", v1.requests(), v2.requests());
    assert_eq!((summary.version("v1").failures, summary.version("v1").first_failure), (0, None));
    assert_eq!(summary.version("v2").failures, v2.requests());
    assert!(summary.version("v2").first_failure.is_some());
    assert_eq!((summary.failures_not_of("v2"), summary.overload), (0, 0));
    assert_eq!(summary.requests(), 500, "all that was due, and no more");
}

#[tokio::test]
async fn nothing_is_sent_before_it_is_due() {
    let v1 = upstream("v1", Behaviour::GOOD).await;
    let mut load = Load::start(LoadConfig::new(vec![v1.addr()], 1_000.0, "a"));
    let mut records = Vec::new();
    while records.len() < 20 {
        records.extend(load.next().await);
    }
    assert!(records.iter().all(|record| record.finished >= record.scheduled), "{records:?}");
    let mut scheduled: Vec<Instant> = records.iter().map(|record| record.scheduled).collect();
    scheduled.sort();
    assert!(scheduled.windows(2).all(|two| two[1] - two[0] >= Duration::from_millis(1)), "{scheduled:?}");
}

#[tokio::test]
async fn connections_are_used_in_turn() {
    let v1 = upstream("v1", Behaviour::GOOD).await;
    let pool = Pool::new(v1.addr(), None, 3);
    for _ in 0..10 {
        assert!(!send(&pool).await.is_failure());
    }
    assert_eq!(pool.connections(), (3, 3), "three are opened before one is used again, and no more");
}

#[tokio::test]
async fn a_closed_connection_is_replaced_unseen() {
    let [addr] = ports::free().expect("a port");
    let v1 = Upstream::start(UpstreamConfig { listen: addr, ..UpstreamConfig::local("v1") }).await.expect("the port");
    let pool = Pool::new(addr, None, 1);
    assert!(!send(&pool).await.is_failure());
    v1.stop().await;
    ports::refused(addr).await.expect("nobody listens any more");
    let failed = send(&pool).await;
    assert!(matches!(&failed, Outcome::Failed(cause) if cause.starts_with("connect")), "{failed:?}");
    assert_eq!(pool.connections(), (0, 0), "what failed gives its place back");
    let again =
        Upstream::start(UpstreamConfig { listen: addr, ..UpstreamConfig::local("v1b") }).await.expect("the port");
    assert_eq!(send(&pool).await, Outcome::Answered { status: 200, version: Some("v1b".into()), said: None });
    drop(again);
}

#[tokio::test]
async fn what_exceeds_the_bound_is_overload() {
    let stuck = upstream("v1", Behaviour { latency: Duration::from_secs(600), ..Behaviour::GOOD }).await;
    let timeout = Duration::from_secs(600);
    let load =
        Load::start(LoadConfig { max_in_flight: 5, timeout, ..LoadConfig::new(vec![stuck.addr()], 1_000.0, "a") });
    let control = load.control();
    crate::wait::until("some overload", Duration::from_secs(60), || async {
        anyhow::ensure!(control.overload() > 50 && stuck.requests() >= 5, "{} not sent", control.overload());
        Ok(())
    })
    .await
    .expect("it comes");
    assert_eq!((control.in_flight(), stuck.requests()), (5, 5), "no more than the bound is in flight");
    drop(stuck);
    let mut summary = Summary::default();
    load.finish(&mut summary).await;
    assert!(summary.overload > 50 && summary.overload == control.overload(), "{summary}");
    assert!(summary.requests() >= 5 && summary.failures() == summary.requests(), "{summary}");
    assert_eq!(control.in_flight(), 0);
}

#[tokio::test]
async fn an_answer_has_its_time_and_the_wait_counts_from_the_schedule() {
    let stuck = upstream("v1", Behaviour { latency: Duration::from_secs(600), ..Behaviour::GOOD }).await;
    let timeout = Duration::from_millis(50);
    let mut load = Load::start(LoadConfig { timeout, ..LoadConfig::new(vec![stuck.addr()], 100.0, "a") });
    let record = load.next().await.expect("it goes on");
    assert_eq!(record.outcome, Outcome::Failed("no answer within 50ms".into()));
    assert!(record.latency() >= timeout, "{record:?}");
}

#[test]
fn a_failure_is_attributed_to_the_version_that_answered() {
    let now = Instant::now();
    let record =
        |outcome| Record { scheduled: now, finished: now + Duration::from_millis(10), target: 0, user: None, outcome };
    let answered =
        |status, version: Option<&str>| Outcome::Answered { status, version: version.map(str::to_owned), said: None };
    let mut summary = Summary::default();
    for outcome in [
        answered(200, Some("v1")),
        answered(404, Some("v1")),
        answered(500, Some("v3")),
        answered(503, None),
        answered(503, None),
        Outcome::Failed("connect: refused".into()),
    ] {
        summary.add(&record(outcome));
    }
    assert_eq!((summary.requests(), summary.failures(), summary.failures_not_of("v3")), (6, 4, 3));
    assert_eq!(summary.version("v1").failures, 0, "a 404 is the caller's fault");
    assert_eq!(summary.version("v3").first_failure, Some(now + Duration::from_millis(10)));
    let causes: Vec<_> = summary.causes.iter().map(|(cause, count)| (cause.as_str(), *count)).collect();
    assert_eq!(causes, [("503 without a version", 2), ("connect: refused", 1)]);
    let shown = summary.to_string();
    assert!(shown.contains("(no version)") && shown.contains("2 × 503 without a version"), "{shown}");
}

#[tokio::test]
async fn users_come_in_turn_each_to_all_targets_from_their_own_address() {
    let v1 = upstream("v1", Behaviour::GOOD).await;
    let v2 = upstream("v2", Behaviour::GOOD).await;
    let sources = ["127.0.0.2", "127.0.0.3"].map(|source| source.parse().expect("an address"));
    let load = Load::start(LoadConfig {
        users: Some(Population::of(100)),
        sources: sources.to_vec(),
        timeout: Duration::from_secs(600),
        ..LoadConfig::new(vec![v1.addr(), v2.addr()], 1_000.0, "a")
    });
    let load = load.counted();
    let all = crate::wait::until("every user to have seen both", Duration::from_secs(60), || async {
        let seen = load.so_far().seen;
        anyhow::ensure!(seen.seen("v1") == 100 && seen.seen("v2") == 100, "{} {}", seen.seen("v1"), seen.seen("v2"));
        Ok(seen)
    });
    let seen = all.await.expect("they come in turn");
    assert!(seen.flips("v2", "v1") + seen.flips("v1", "v2") >= 100);
    let summary = load.finish().await;
    assert_eq!((summary.failures(), summary.seen.users()), (0, 100), "{summary}");
}

#[tokio::test]
async fn who_comes_again_before_the_first_visit_is_answered_waits_for_it() {
    let v1 = upstream("v1", Behaviour { latency: Duration::from_millis(200), ..Behaviour::GOOD }).await;
    let users = Some(Population::unknown(1));
    let callers = Arc::new(Callers::new(&LoadConfig { users, ..LoadConfig::new(vec![v1.addr()], 1.0, "a") }));
    let [first, again] = [0, 1].map(|number| callers.caller(number));
    let first = callers::send(Arc::clone(&callers), &first);
    let again = async {
        crate::wait::until("the first visit", Duration::from_secs(60), || async {
            anyhow::ensure!(v1.requests() == 1, "not yet");
            Ok(())
        })
        .await
        .expect("it comes");
        callers::send(Arc::clone(&callers), &again).await
    };
    let most = async {
        let mut most = 0;
        while v1.requests() < 2 || v1.in_flight() > 0 {
            most = most.max(v1.in_flight());
            tokio::task::yield_now().await;
        }
        most
    };
    let (first, again, most) = tokio::join!(first, again, most);
    assert!(!first.is_failure() && !again.is_failure(), "{first:?} {again:?}");
    assert_eq!(most, 1, "never two at once");
}

#[test]
fn a_request_bears_whose_it_is_and_what_was_issued() {
    let config = LoadConfig {
        users: Some(Population { keep_cookies: true, ..Population::of(20_000) }),
        headers: vec![("x-internal".into(), "true".into())],
        hosts: vec!["a.example.com".into(), "b.example.com".into()],
        ..LoadConfig::new(vec!["127.0.0.1:1".parse().expect("an address")], 1.0, "")
    };
    let callers = Callers::new(&config);
    let caller = callers.caller(20_007);
    let value = |name: &str| {
        let request = callers.request(&caller);
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("none").to_owned()
    };
    assert_eq!((value("cookie").as_str(), value("x-user-id").as_str()), ("uid=7", "7"));
    assert_eq!((value("host").as_str(), value("x-internal").as_str()), ("b.example.com", "true"));
    callers.answered(&caller, &["seat=12; Path=/; HttpOnly".into(), "seat=13".into()]);
    assert_eq!(value("cookie"), "uid=7; seat=13");
    let other = callers.request(&callers.caller(8));
    assert_eq!(other.headers()["cookie"], "uid=8", "what is issued is one user's own");
}
