//! SHELL: a TCP connection that can be ended from outside, and the watch over peers that do not read.
//!
//! hyper does not poll a response's body while the peer's HTTP/2 window is closed, and does poll it again as soon as h2
//! has buffered what the peer has not taken: no stream can see by itself that its reader has stalled. So each piece that
//! a stream hands to HTTP/2 tells when it is dropped, which h2 does once it is written to the socket. One sweep for the
//! whole server ends the connections of those who leave a piece untaken for too long. It also ends those whose socket
//! takes no bytes, and those that never begin to speak HTTP/2: both are out of keepalive's reach.
//!
//! Time is counted in sweeps: a server that itself stood still blames nobody.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Sweeps in which a peer must have taken something.
const SWEEPS: u32 = 8;
/// Bytes with which a client begins HTTP/2 (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// The watch over all connections of a server. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Stalls {
    shared: Arc<Watch>,
}

#[derive(Debug)]
struct Watch {
    deadline: Duration,
    /// How many sweeps there were.
    sweep: AtomicU32,
    closed: AtomicU64,
    /// Everything that may be owed, of connections and streams that may have ended since.
    debts: Mutex<Vec<Weak<Debt>>>,
}

/// What one peer has been given and has not taken: of one stream, or of the connection itself.
#[derive(Debug)]
struct Debt {
    watch: Arc<Watch>,
    line: Arc<Line>,
    what: &'static str,
    pieces: AtomicU32,
    /// The sweep before which something was last taken, or the oldest piece given.
    since: AtomicU32,
}

/// What a connection's handles share.
#[derive(Debug)]
struct Line {
    peer: Option<SocketAddr>,
    closed: AtomicBool,
    waker: AtomicWaker,
}

impl Stalls {
    /// Ends connections whose peer takes nothing of what it was given for this long.
    pub fn new(deadline: Duration) -> Self {
        let (sweep, closed) = (AtomicU32::new(0), AtomicU64::new(0));
        Self { shared: Arc::new(Watch { deadline, sweep, closed, debts: Mutex::default() }) }
    }

    /// Watches a connection that was just accepted.
    pub fn watch(&self, stream: TcpStream) -> Connection {
        let address = TcpConnectInfo { local_addr: stream.local_addr().ok(), remote_addr: stream.peer_addr().ok() };
        let line =
            Arc::new(Line { peer: address.remote_addr, closed: AtomicBool::new(false), waker: AtomicWaker::new() });
        let debt = self.debt(&line, "the connection");
        debt.give();
        Connection { stream, peer: Peer { address, line, watch: self.clone() }, debt, awaited: PREFACE, is_owed: true }
    }

    /// Sweeps until `stop` ends.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut interval = tokio::time::interval((self.shared.deadline / SWEEPS).max(Duration::from_millis(1)));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = interval.tick() => self.sweep(),
            }
        }
    }

    /// How many connections were ended because their peer took nothing.
    pub fn closed(&self) -> u64 {
        self.shared.closed.load(Ordering::Relaxed)
    }

    fn sweep(&self) {
        let now = self.shared.sweep.fetch_add(1, Ordering::Relaxed) + 1;
        let mut debts = self.shared.debts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut overdue = Vec::new();
        debts.retain(|debt| {
            let Some(debt) = debt.upgrade() else { return false };
            if debt.is_overdue(now) {
                overdue.push(debt);
            }
            true
        });
        drop(debts);
        for debt in overdue {
            // A connection may have several, and end only a little later.
            if debt.line.close() {
                self.shared.closed.fetch_add(1, Ordering::Relaxed);
                let (peer, seconds) = (debt.line.peer, self.shared.deadline.as_secs());
                tracing::warn!(?peer, what = debt.what, seconds, "closed: the peer does not read");
            }
        }
    }

    fn debt(&self, line: &Arc<Line>, what: &'static str) -> Arc<Debt> {
        let (watch, line) = (Arc::clone(&self.shared), Arc::clone(line));
        let debt = Arc::new(Debt { watch, line, what, pieces: AtomicU32::new(0), since: AtomicU32::new(0) });
        self.shared.debts.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&debt));
        debt
    }
}

impl Debt {
    /// Called by one task only, so that nobody else makes a debt out of none.
    fn give(&self) {
        if self.pieces.load(Ordering::Relaxed) == 0 {
            self.since.store(self.watch.sweep.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        // With the sweeper's acquire: who sees the piece sees since when.
        self.pieces.fetch_add(1, Ordering::Release);
    }

    fn take(&self) {
        self.since.store(self.watch.sweep.load(Ordering::Relaxed), Ordering::Relaxed);
        self.pieces.fetch_sub(1, Ordering::Release);
    }

    fn is_overdue(&self, now: u32) -> bool {
        self.pieces.load(Ordering::Acquire) > 0 && now.wrapping_sub(self.since.load(Ordering::Relaxed)) > SWEEPS
    }
}

impl Line {
    /// Whether it was open until now.
    fn close(&self) -> bool {
        let was_open = !self.closed.swap(true, Ordering::AcqRel);
        self.waker.wake();
        was_open
    }

    /// What I/O answers: that the connection is closed, when it is.
    fn unless_closed<T>(
        &self,
        cx: &mut Context<'_>,
        io: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let closed = || Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed by this server")));
        if self.closed.load(Ordering::Acquire) {
            return closed();
        }
        let answer = io(cx);
        if answer.is_pending() {
            self.waker.register(cx.waker());
            // It may have been closed before there was somebody to wake.
            if self.closed.load(Ordering::Acquire) {
                return closed();
            }
        }
        answer
    }
}

/// A watched connection. One task reads and writes it, as hyper's does.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: Peer,
    debt: Arc<Debt>,
    /// Bytes of the preface that did not come yet.
    awaited: usize,
    /// Whether the peer owes the rest of the preface, or to take what is to be written.
    is_owed: bool,
}

impl Connection {
    fn paid(&mut self) {
        if std::mem::take(&mut self.is_owed) {
            self.debt.take();
        }
    }

    fn wrote(&mut self, answer: &Poll<io::Result<usize>>) {
        match answer {
            Poll::Ready(Ok(_)) if self.awaited == 0 => self.paid(),
            Poll::Pending if !self.is_owed => {
                self.debt.give();
                self.is_owed = true;
            }
            Poll::Ready(_) | Poll::Pending => {}
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        let before = buffer.filled().len();
        let answer = me.peer.line.unless_closed(cx, |cx| Pin::new(&mut me.stream).poll_read(cx, buffer));
        if me.awaited > 0 {
            me.awaited = me.awaited.saturating_sub(buffer.filled().len() - before);
            if me.awaited == 0 {
                me.paid();
            }
        }
        answer
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = &mut *self;
        let answer = me.peer.line.unless_closed(cx, |cx| Pin::new(&mut me.stream).poll_write(cx, bytes));
        me.wrote(&answer);
        answer
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = &mut *self;
        let answer = me.peer.line.unless_closed(cx, |cx| Pin::new(&mut me.stream).poll_write_vectored(cx, slices));
        me.wrote(&answer);
        answer
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.peer.line.closed.load(Ordering::Acquire) {
            // What it did not take is of no use any more: the kernel shall not go on offering it.
            if let Err(error) = self.stream.set_zero_linger() {
                tracing::debug!(%error, "SO_LINGER");
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// The other end of a watched connection. Each of its requests has it among its extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    address: TcpConnectInfo,
    line: Arc<Line>,
    watch: Stalls,
}

impl Peer {
    /// Where it connects from.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.remote_addr
    }

    /// Ends the connection with all its streams. May be called from any task, and more than once.
    pub fn close(&self) {
        self.line.close();
    }

    /// The peer as the reader of a stream of its own.
    pub fn reader(&self) -> Reader {
        Reader { debt: self.watch.debt(&self.line, "a stream") }
    }
}

/// Adds what [`tonic::Request::remote_addr`] looks for, which this module's own [`Peer`] hides from it.
pub fn with_remote_addr<B>(mut request: http::Request<B>) -> http::Request<B> {
    if let Some(address) = request.extensions().get::<Peer>().map(|peer| peer.address.clone()) {
        request.extensions_mut().insert(address);
    }
    request
}

/// Who reads one stream. What it leaves untaken for too long ends its connection.
#[derive(Debug)]
pub struct Reader {
    debt: Arc<Debt>,
}

impl Reader {
    /// The same bytes, whose drop is the sign that they were taken.
    pub fn hand_out(&mut self, bytes: Bytes) -> Bytes {
        self.debt.give();
        Bytes::from_owner(Piece { bytes, debt: Arc::clone(&self.debt) })
    }
}

/// Bytes that a peer was given.
struct Piece {
    bytes: Bytes,
    debt: Arc<Debt>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.debt.take();
    }
}

#[cfg(test)]
mod tests;
