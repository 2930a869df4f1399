//! A server that is told what to answer, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use serin_testbed::ports;
use tokio::task::JoinHandle;

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// With the method before it.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
    }
}

/// Ends when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers the request of a number, from 1, with a status and a body.
    pub(crate) async fn start(answer: impl Fn(usize) -> (u16, String) + Clone + Send + Sync + 'static) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), answer).await
    }

    /// The same, where another one was before.
    pub(crate) async fn start_at(
        address: SocketAddr,
        answer: impl Fn(usize) -> (u16, String) + Clone + Send + Sync + 'static,
    ) -> Self {
        let socket = ports::listen(address).await.expect("a free address");
        let address = socket.local_addr().expect("bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let remembering = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request| {
            let (seen, answer) = (Arc::clone(&remembering), answer.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = to_bytes(body, usize::MAX).await.expect("a body");
                let body = String::from_utf8(body.to_vec()).expect("text");
                let target = format!("{} {}", head.method, head.uri);
                let number = {
                    let mut seen = seen.lock().expect("a lock");
                    seen.push(Seen { target, headers: head.headers, body });
                    seen.len()
                };
                let (status, body) = answer(number);
                let answer = Response::builder().status(status).header("location", "/elsewhere");
                answer.body(Body::from(body)).expect("an answer")
            }
        });
        let task = tokio::spawn(async move { axum::serve(socket, router).await.expect("it serves") });
        Self { address, seen, task }
    }

    /// Everything it was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("a lock").clone()
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    let [address] = ports::free().expect("a free address");
    address
}
