//! What is measured, and what no longer is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serin::analysis::Outcome;
use serin::rollout::MeasureRequest;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::bench::{Bench, request, webhook};
use crate::server::Server;

fn often(metric: &str, url: &str) -> MeasureRequest {
    MeasureRequest { interval: Duration::from_millis(10), ..request(metric, webhook(url, &[], None)) }
}

#[tokio::test]
async fn what_goes_on_goes_on_and_what_is_new_begins_at_once() {
    let server = Server::start(|number| (200, number.to_string())).await;
    let url = format!("http://{}/", server.address);
    let mut bench = Bench::new();
    let slow = request("slow", webhook(&url, &[], None));
    for _ in 0..3 {
        bench.measurer.conduct([slow.clone()]);
    }
    assert_eq!(bench.next().await.outcome, Outcome::Value(1.0));
    // The same, beside another that is measured again and again.
    bench.measurer.conduct([slow.clone(), often("p99", &url)]);
    for expected in 2..6 {
        let measured = bench.next().await;
        assert_eq!((measured.request, measured.outcome), (often("p99", &url), Outcome::Value(f64::from(expected))));
    }
    // Edited, it begins anew.
    let edited = MeasureRequest { interval: Duration::from_secs(7200), ..slow };
    bench.measurer.conduct([edited.clone()]);
    loop {
        if bench.next().await.request == edited {
            break;
        }
    }
}

#[tokio::test]
async fn one_that_is_no_longer_wanted_is_broken_off() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free address");
    let url = format!("http://{}/", silent.local_addr().expect("bound"));
    let mut bench = Bench::new();
    bench.measurer.conduct([often("p99", &url)]);
    let (mut connection, _) = silent.accept().await.expect("it asks");
    let mut head = [0; 7];
    connection.read_exact(&mut head).await.expect("a request");
    assert_eq!(&head, b"POST / ");
    bench.measurer.conduct([]);
    connection.read_to_end(&mut Vec::new()).await.expect("it hangs up");
    // Nor was it asked twice at the same time.
    assert!(std::future::poll_fn(|context| std::task::Poll::Ready(silent.poll_accept(context).is_pending())).await);
    assert!(bench.measured.try_recv().is_err());
}

#[tokio::test]
async fn many_metrics_are_measured_so_many_at_a_time() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free address");
    let url = format!("http://{}/", socket.local_addr().expect("bound"));
    let counting = (Arc::clone(&now), Arc::clone(&most));
    let answer = axum::routing::post(move || {
        let (now, most) = counting.clone();
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Long enough that others come meanwhile.
            tokio::time::sleep(Duration::from_millis(20)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            "1"
        }
    });
    let server = tokio::spawn(async move { axum::serve(socket, axum::Router::new().route("/", answer)).await });
    let mut bench = Bench::new();
    let names: BTreeSet<String> = (0..300).map(|number| format!("m{number}")).collect();
    bench.measurer.conduct(names.iter().map(|name| request(name, webhook(&url, &[], None))));
    let mut measured = BTreeSet::new();
    while measured.len() < names.len() {
        let one = bench.next().await;
        assert_eq!(one.outcome, Outcome::Value(1.0));
        assert!(measured.insert(one.request.about.metric), "each once");
    }
    assert_eq!(measured, names);
    let most = most.load(Ordering::SeqCst);
    assert!((2..=64).contains(&most), "{most} at once");
    server.abort();
}
