//! Keep-alive connections to one target, used in turn: the one that rested longest is next. So requests spread over
//! all of them, and over all processes that share the target's port.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::SET_COOKIE;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};

use super::Outcome;
use crate::upstream::VERSION_HEADER;

/// How many characters are kept of what a proxy says by itself.
const SAID: usize = 200;

type Sender = SendRequest<Empty<Bytes>>;

#[derive(Debug)]
pub(super) struct Pool {
    addr: SocketAddr,
    /// The local address of its connections; the system's choice when absent.
    source: Option<IpAddr>,
    /// Opens new connections, rather than to use one again, until there are this many.
    wanted: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: VecDeque<Sender>,
    open: usize,
}

/// Where the next request goes.
enum Next {
    Reuse(Sender),
    Open,
}

/// A connection's place in the count of open ones, given up when dropped: also when a request is cut off.
struct Place<'a>(&'a Pool);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.open = state.open.saturating_sub(1));
    }
}

impl Pool {
    pub(super) fn new(addr: SocketAddr, source: Option<IpAddr>, wanted: usize) -> Self {
        Self { addr, source, wanted, state: Mutex::default() }
    }

    /// Sends one request and reads its whole answer; returns the cookies that it issues, too.
    pub(super) async fn send(&self, request: Request<Empty<Bytes>>) -> (Outcome, Vec<String>) {
        match self.exchange(request).await {
            Ok(answered) => answered,
            Err(error) => (Outcome::Failed(error), Vec::new()),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // A panic elsewhere leaves at worst a wrong count of connections.
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many connections are open, and how many of them rest.
    #[cfg(test)]
    pub(super) fn connections(&self) -> (usize, usize) {
        self.with(|state| (state.open, state.idle.len()))
    }

    fn next(&self) -> Next {
        self.with(|state| {
            // What was closed while it rested is of no use.
            let before = state.idle.len();
            state.idle.retain(|sender| !sender.is_closed());
            state.open = state.open.saturating_sub(before - state.idle.len());
            match (state.open < self.wanted, state.idle.pop_front()) {
                (false, Some(sender)) => Next::Reuse(sender),
                (true, rested) => {
                    state.idle.extend(rested);
                    state.open += 1;
                    Next::Open
                }
                (false, None) => {
                    state.open += 1;
                    Next::Open
                }
            }
        })
    }

    async fn exchange(&self, mut request: Request<Empty<Bytes>>) -> Result<(Outcome, Vec<String>), String> {
        loop {
            let next = self.next();
            let place = Place(self);
            let (mut sender, fresh) = match next {
                Next::Reuse(sender) => (sender, false),
                Next::Open => (self.connect().await?, true),
            };
            let response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut error) => match error.take_message() {
                    // Closed before anything was written, so nobody has seen the request: any client would try anew.
                    Some(unsent) if !fresh => {
                        request = unsent;
                        continue;
                    }
                    _ => return Err(format!("request: {}", with_sources(error.error()))),
                },
            };
            let status = response.status().as_u16();
            let version =
                response.headers().get(VERSION_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let cookies = response.headers().get_all(SET_COOKIE).iter();
            let cookies = cookies.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect();
            let body = response.into_body().collect().await.map_err(|error| format!("body: {error}"))?.to_bytes();
            if sender.ready().await.is_ok() {
                // Its place is kept for the next request.
                std::mem::forget(place);
                self.with(|state| state.idle.push_back(sender));
            }
            let said = version.is_none().then(|| String::from_utf8_lossy(&body).chars().take(SAID).collect());
            return Ok((Outcome::Answered { status, version, said }, cookies));
        }
    }

    async fn stream(&self) -> io::Result<TcpStream> {
        let Some(source) = self.source else { return TcpStream::connect(self.addr).await };
        let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(source, 0))?;
        socket.connect(self.addr).await
    }

    async fn connect(&self) -> Result<Sender, String> {
        let stream = self.stream().await.map_err(|error| format!("connect: {error}"))?;
        // Small requests must not wait for more to send.
        let _ = stream.set_nodelay(true);
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| format!("handshake: {error}"))?;
        // It ends with its sender, and its error comes out of the request.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// An error and what caused it, in one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
