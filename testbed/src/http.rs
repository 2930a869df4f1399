//! One HTTP/1 request on a connection of its own, for admin pages, health checks and tests.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::HOST;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest wait for a whole answer: some are held back by a test, and a machine may have much to do.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest body that is read.
const MAX_BODY: usize = 64 << 20;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A header's value, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// `GET path` from `addr`, with the address as the host.
///
/// # Errors
/// When there is no whole answer within a minute. Any status is an answer.
pub async fn get(addr: SocketAddr, path: &str) -> Result<Answer> {
    request(Method::GET, addr, path, &[]).await
}

/// Any bodiless request. A `host` among the headers replaces the address.
///
/// # Errors
/// When there is no whole answer within a minute, or a header is malformed.
pub async fn request(method: Method, addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let mut request = Request::builder().method(method.clone()).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header(HOST, addr.to_string());
    }
    let request = request.body(Empty::<Bytes>::new())?;
    timeout(TIMEOUT, exchange(addr, request))
        .await
        .with_context(|| format!("no answer within {TIMEOUT:?}"))
        .flatten()
        .with_context(|| format!("{method} http://{addr}{path}"))
}

/// `GET path`, whose answer must be 200; returns its body.
///
/// # Errors
/// When there is no answer, or one that is not 200.
pub async fn get_ok(addr: SocketAddr, path: &str) -> Result<String> {
    let answer = get(addr, path).await?;
    ensure!(answer.status == 200, "GET http://{addr}{path}: {} {}", answer.status, answer.body.trim_end());
    Ok(answer.body)
}

async fn exchange(addr: SocketAddr, request: Request<Empty<Bytes>>) -> Result<Answer> {
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the sender is dropped; its error, if any, comes out of the request too.
    let connection = tokio::spawn(connection);
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
    .await;
    connection.abort();
    answer
}
