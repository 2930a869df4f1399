//! A version of a service that speaks bytes, and callers of it. Who connects is told the version in a line, and then has
//! every byte sent back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::upstream::uniform;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A running upstream of a TCP service. It ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct TcpUpstream {
    addr: SocketAddr,
    version: String,
    connections: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl TcpUpstream {
    /// Listens on loopback, on a port of the system's choice. This share of the connections, 0 to 1, is closed right after
    /// the version was told.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(version: &str, error_rate: f64) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (addr, connections) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)));
        let server = tokio::spawn(serve(listener, format!("{version}\n"), error_rate, connections.clone()));
        Ok(Self { addr, version: version.to_owned(), connections, server })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The version that it says it is.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for TcpUpstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, greeting: String, error_rate: f64, count: Arc<AtomicU64>) {
    // The connections are in the set, so that they end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let fails = uniform(1, count.fetch_add(1, Ordering::Relaxed)) < error_rate;
                    connections.spawn(echo(stream, greeting.clone(), fails));
                }
                // Out of file descriptors, or a connection that was gone before it was accepted: the next may do.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

async fn echo(mut stream: TcpStream, greeting: String, fails: bool) -> io::Result<()> {
    stream.write_all(greeting.as_bytes()).await?;
    if !fails {
        let (mut from, mut to) = stream.split();
        copy(&mut from, &mut to).await?;
    }
    Ok(())
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The version that answered.
    pub version: String,
    /// Whether all that was sent came back.
    pub whole: bool,
}

/// Connects, learns the version, and has a line echoed.
///
/// # Errors
/// When no version was told within a minute.
pub async fn call(addr: SocketAddr) -> Result<Call> {
    timeout(TIMEOUT, exchange(addr)).await.with_context(|| format!("no answer of {addr} within {TIMEOUT:?}"))?
}

async fn exchange(addr: SocketAddr) -> Result<Call> {
    let mut stream = BufReader::new(TcpStream::connect(addr).await?);
    let mut version = String::new();
    stream.read_line(&mut version).await?;
    ensure!(version.ends_with('\n'), "{addr} closed the connection before it told a version");
    let (sent, mut back) = (b"as it was\n", [0; 10]);
    let whole = async {
        stream.write_all(sent).await?;
        stream.read_exact(&mut back).await
    };
    let whole = whole.await.is_ok() && back == *sent;
    Ok(Call { version: version.trim_end().to_owned(), whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_tells_the_version_and_whether_it_was_whole() {
        let good = TcpUpstream::start("v1", 0.0).await.expect("a port");
        let bad = TcpUpstream::start("v3", 1.0).await.expect("a port");
        let called = async |addr| call(addr).await.map(|call| (call.version, call.whole)).ok();
        assert_eq!(called(good.addr()).await, Some(("v1".into(), true)));
        assert_eq!(called(bad.addr()).await, Some(("v3".into(), false)));
        assert_eq!((good.connections(), bad.connections()), (1, 1));
        let gone = good.addr();
        drop(good);
        crate::wait::until("its end", Duration::from_secs(60), || async {
            ensure!(call(gone).await.is_err(), "it still answers");
            Ok(())
        })
        .await
        .expect("nobody listens any more");
    }
}
