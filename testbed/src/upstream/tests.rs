use super::*;
use crate::http;

#[test]
fn the_same_seed_chooses_the_same_requests_at_the_rate_asked_for() {
    let behaviour = Behaviour { slow_rate: 0.5, slow_latency: Duration::from_secs(1), ..Behaviour::failing(0.2) };
    let fates = |seed| (0..10_000).map(|n| behaviour.fate(seed, n)).collect::<Vec<_>>();
    assert_eq!(fates(7), fates(7));
    assert_ne!(fates(7), fates(8));
    let failing = fates(7).iter().filter(|(fails, _)| *fails).count();
    // Five standard deviations of a binomial(10000, 0.2).
    assert!((1_800..2_200).contains(&failing), "{failing}");
    let both = fates(7).iter().filter(|(fails, takes)| *fails && !takes.is_zero()).count();
    assert!((850..1_150).contains(&both), "failing and slow are independent: {both}");
    assert!((0..1_000).all(|n| !Behaviour::GOOD.fate(7, n).0));
    assert!((0..1_000).all(|n| Behaviour::failing(1.0).fate(7, n).0));
}

#[tokio::test]
async fn it_says_its_version_and_fails_when_told() {
    let upstream = Upstream::start(UpstreamConfig::local("v2")).await.expect("a port");
    let answer = http::get(upstream.addr(), "/").await.expect("an answer");
    assert_eq!((answer.status, answer.header(VERSION_HEADER), answer.body.as_str()), (200, Some("v2"), "v2\n"));

    upstream.behave(Behaviour::failing(1.0));
    let answer = http::get(upstream.addr(), "/").await.expect("an answer");
    assert_eq!((answer.status, answer.header(VERSION_HEADER)), (500, Some("v2")), "a failure names its version too");
    assert_eq!(http::get_ok(upstream.addr(), "/healthz").await.expect("healthy"), "v2\n");
    assert_eq!((upstream.requests(), upstream.errors()), (2, 1), "health checks are not counted");
}

#[tokio::test]
async fn over_grpc_the_status_is_in_the_trailers() {
    let upstream = Upstream::start(UpstreamConfig::local("v2")).await.expect("a port");
    let stream = TcpStream::connect(upstream.addr()).await.expect("a connection");
    let io = (TokioExecutor::new(), TokioIo::new(stream));
    let (mut calls, connection) = hyper::client::conn::http2::handshake(io.0, io.1).await.expect("HTTP/2");
    tokio::spawn(connection);
    for (behaviour, message, status) in [(Behaviour::GOOD, &[0; 5][..], "0"), (Behaviour::failing(1.0), &[], "13")] {
        upstream.behave(behaviour);
        let request = Request::post(format!("http://{}/a.B/C", upstream.addr()));
        let request = request.header(CONTENT_TYPE, "application/grpc").body(Full::<Bytes>::default());
        let answer = calls.send_request(request.expect("a request")).await.expect("an answer");
        assert_eq!(
            (answer.status(), &answer.headers()[VERSION_HEADER]),
            (StatusCode::OK, &"v2".parse().expect("a value"))
        );
        let body = answer.into_body().collect().await.expect("a body");
        assert_eq!(body.trailers().expect("trailers")["grpc-status"], status);
        assert_eq!(body.to_bytes(), message);
    }
}

#[tokio::test]
async fn open_requests_are_answered_before_it_stops() {
    let [listen] = crate::ports::free().expect("a port");
    let upstream = Upstream::start(UpstreamConfig {
        listen,
        behaviour: Behaviour { latency: Duration::from_millis(200), ..Behaviour::GOOD },
        ..UpstreamConfig::local("v1")
    })
    .await
    .expect("a port");
    let addr = upstream.addr();
    let open = tokio::spawn(async move { http::get(addr, "/").await });
    crate::wait::until("the request to arrive", Duration::from_secs(60), || async {
        anyhow::ensure!(upstream.requests() == 1 && upstream.in_flight() == 1, "not yet");
        Ok(())
    })
    .await
    .expect("it arrives");
    upstream.stop().await;
    assert_eq!(open.await.expect("no panic").expect("an answer").status, 200);
    assert!(http::get(addr, "/").await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_broken_feature_breaks_only_those_who_bear_it() {
    let upstream = Upstream::start(UpstreamConfig::local("v2")).await.expect("a port");
    upstream.behave(Behaviour { only_with: Some("new-checkout"), ..Behaviour::failing(1.0) });
    let get = async |headers: &[(&str, &str)]| {
        let answer = http::request(hyper::Method::GET, upstream.addr(), "/", headers).await.expect("an answer");
        (answer.status, answer.header(FEATURES_HEADER).map(str::to_owned))
    };
    assert_eq!(get(&[]).await, (200, None));
    assert_eq!(get(&[("x-feature-b", "2"), ("x-feature-a", "1")]).await, (200, Some("a=1, b=2".into())));
    assert_eq!(get(&[("x-feature-new-checkout", "on")]).await, (500, Some("new-checkout=on".into())));
    assert_eq!((upstream.requests(), upstream.errors(), upstream.in_flight()), (3, 1, 0));
}

#[tokio::test]
async fn it_is_unhealthy_when_told_and_serves_all_the_same() {
    let upstream = Upstream::start(UpstreamConfig::local("v2")).await.expect("a port");
    upstream.be_healthy(false);
    assert_eq!(http::get(upstream.addr(), "/healthz").await.expect("an answer").status, 503);
    assert_eq!(http::get(upstream.addr(), "/").await.expect("an answer").status, 200);
    upstream.be_healthy(true);
    assert_eq!(http::get(upstream.addr(), "/healthz").await.expect("an answer").status, 200);
}
