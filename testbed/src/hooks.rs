//! Somebody who is asked and told things by webhooks: keeps all that was posted, and answers as scripted for each path.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::wait;

/// The largest body that is read.
const MAX_BODY: usize = 1 << 20;

/// One request that came.
#[derive(Debug, Clone)]
pub struct Posted {
    /// When it was whole.
    pub at: Instant,
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null when it was no JSON.
    pub body: Value,
}

impl Posted {
    /// A header's value, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// How the requests of a path are answered.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// The status of the first answer, of the second, and so on; the last one goes on. 200 when empty.
    pub statuses: Vec<u16>,
    /// How long each answer takes.
    pub delay: Duration,
}

/// A running receiver. It ends when it is dropped.
#[derive(Debug)]
pub struct HookReceiver {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    posted: Mutex<Vec<Posted>>,
    scripts: Mutex<HashMap<String, Script>>,
}

impl HookReceiver {
    /// Listens on loopback, on a port of the system's choice, and says yes to everything.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (addr, shared) = (listener.local_addr()?, Arc::new(Shared::default()));
        let server = tokio::spawn(serve(listener, shared.clone()));
        Ok(Self { addr, shared, server })
    }

    /// The URL of a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Answers the requests of a path so from now on; its statuses begin anew.
    pub fn answer(&self, path: &str, script: Script) {
        with(&self.shared.scripts, |scripts| scripts.insert(path.to_owned(), script));
    }

    /// Answers the requests of a path with this status from now on.
    pub fn answer_status(&self, path: &str, status: u16) {
        self.answer(path, Script { statuses: vec![status], ..Script::default() });
    }

    /// Everything that came, in order.
    pub fn posted(&self) -> Vec<Posted> {
        with(&self.shared.posted, |posted| posted.clone())
    }

    /// What came to a path, in order.
    pub fn posted_to(&self, path: &str) -> Vec<Posted> {
        self.posted().into_iter().filter(|posted| posted.path == path).collect()
    }

    /// Waits until so much came to a path, and returns it.
    ///
    /// # Errors
    /// When it did not by the deadline.
    pub async fn wait_for(&self, path: &str, requests: usize, deadline: Duration) -> Result<Vec<Posted>> {
        wait::until(&format!("{requests} requests of {path}"), deadline, || async {
            let posted = self.posted_to(path);
            ensure!(posted.len() >= requests, "{} came; of all paths {:#?}", posted.len(), self.posted());
            Ok(posted)
        })
        .await
    }
}

impl Drop for HookReceiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn with<T, U>(of: &Mutex<T>, change: impl FnOnce(&mut T) -> U) -> U {
    // A panic elsewhere leaves at worst a request unrecorded.
    change(&mut of.lock().unwrap_or_else(PoisonError::into_inner))
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // The connections are in the set, so that they end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, shared.clone()));
                }
                // Out of file descriptors, or a connection that was gone before it was accepted: the next may do.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(request, shared.clone()));
    // An error is the caller's to see.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let posted = Posted { at: Instant::now(), path: path.clone(), headers: head.headers, body };
    with(&shared.posted, |all| all.push(posted));
    let (status, delay) = with(&shared.scripts, |scripts| match scripts.get_mut(&path) {
        Some(script) => (script.next(), script.delay),
        None => (200, Duration::ZERO),
    });
    sleep(delay).await;
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok(response)
}

impl Script {
    fn next(&mut self) -> u16 {
        match self.statuses.as_slice() {
            [] => 200,
            [last] => *last,
            _ => self.statuses.remove(0),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Posts a JSON document; returns the status.
    pub(crate) async fn post(url: &str, body: &Value) -> u16 {
        let uri: hyper::Uri = url.parse().expect("a URL");
        let authority = uri.authority().expect("an address").to_string();
        let stream = TcpStream::connect(&authority).await.expect("a connection");
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.expect("HTTP/1");
        let connection = tokio::spawn(connection);
        let request = Request::post(uri.path()).header("host", authority).header("idempotency-key", "k");
        let request = request.body(Full::new(Bytes::from(body.to_string()))).expect("a request");
        let status = sender.send_request(request).await.expect("an answer").status().as_u16();
        connection.abort();
        status
    }

    #[tokio::test]
    async fn it_keeps_what_came_and_answers_by_the_script() {
        let hooks = HookReceiver::start().await.expect("a port");
        hooks.answer("/check", Script { statuses: vec![503, 200], ..Script::default() });
        let body = serde_json::json!({"purpose": "step", "version": "v2"});
        for (path, status) in [("/check", 503), ("/check", 200), ("/check", 200), ("/other", 200)] {
            assert_eq!(post(&hooks.url(path), &body).await, status, "{path}");
        }
        hooks.answer_status("/other", 404);
        assert_eq!(post(&hooks.url("/other"), &Value::Null).await, 404);
        let came = hooks.wait_for("/check", 3, Duration::from_secs(60)).await.expect("three came");
        assert_eq!((came.len(), &came[0].body, came[0].header("idempotency-key")), (3, &body, Some("k")));
        let missing = hooks.wait_for("/never", 1, Duration::from_millis(50)).await;
        assert!(missing.is_err_and(|error| format!("{error:#}").contains("/never")));
    }
}
