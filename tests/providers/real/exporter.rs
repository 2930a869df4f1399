//! A server that exposes what exporters do, and grows with every scrape.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use serin_testbed::ports;
use tokio::task::JoinHandle;

/// The moment of a scrape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// How many scrapes of this path there were, with this one.
    pub(crate) scrapes: u64,
    /// Unix time in milliseconds.
    pub(crate) millis: u128,
}

/// What is exposed at a path.
pub(crate) type Exposed = Box<dyn Fn(Moment) -> String + Send + Sync>;

/// Ends when dropped.
pub(crate) struct Exporter {
    pub(crate) address: SocketAddr,
    scrapes: Arc<Mutex<BTreeMap<String, u64>>>,
    task: JoinHandle<()>,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Exporter {
    /// Exposes these, by path.
    pub(crate) async fn start(paths: BTreeMap<String, Exposed>) -> Self {
        let socket = ports::listen(([127, 0, 0, 1], 0).into()).await.expect("a free address");
        let address = socket.local_addr().expect("bound");
        let scrapes: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
        let (counted, paths) = (Arc::clone(&scrapes), Arc::new(paths));
        let router = Router::new().fallback(move |request: Request| {
            let path = request.uri().path().to_owned();
            let scrapes = {
                let mut counted = counted.lock().expect("nobody panics with it");
                let scrapes = counted.entry(path.clone()).or_default();
                *scrapes += 1;
                *scrapes
            };
            let millis = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
            let text = paths.get(&path).map(|exposed| exposed(Moment { scrapes, millis })).unwrap_or_default();
            async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text) }
        });
        let task = tokio::spawn(async move { axum::serve(socket, router).await.expect("it serves") });
        Self { address, scrapes, task }
    }

    /// How often the path was scraped that was scraped least, of so many.
    pub(crate) fn scrapes(&self, paths: usize) -> u64 {
        let scrapes = self.scrapes.lock().expect("nobody panics with it");
        if scrapes.len() < paths { 0 } else { scrapes.values().copied().min().unwrap_or(0) }
    }
}

/// A counter's series: what it has come to after so many scrapes with so much at each.
pub(crate) fn counter(name: &str, labels: &str, each: u64, moment: Moment) -> String {
    format!("{name}{{{labels}}} {}\n", each * moment.scrapes)
}

/// A histogram's series: so many hundreds of requests at each scrape, and of each hundred so many within each bound.
pub(crate) fn histogram(name: &str, labels: &str, hundreds: u64, within: &[(&str, u64)], moment: Moment) -> String {
    let bucket = |(bound, of_hundred): &(&str, u64)| {
        counter(&format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), hundreds * of_hundred, moment)
    };
    let buckets: String = within.iter().chain([&("+Inf", 100)]).map(bucket).collect();
    buckets + &counter(&format!("{name}_count"), labels, hundreds * 100, moment)
}
