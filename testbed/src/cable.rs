//! A way to a server that can be cut: a TCP forwarder.

use std::io;
use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A forwarder to one address. It ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct Cable {
    addr: SocketAddr,
    whole: watch::Sender<bool>,
    forwarder: JoinHandle<()>,
}

impl Cable {
    /// Listens on loopback, on a port of the system's choice, and forwards to `to`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn lay(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let whole = watch::Sender::new(true);
        let forwarder = tokio::spawn(forward(listener, to, whole.subscribe()));
        Ok(Self { addr, whole, forwarder })
    }

    /// Where it begins.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts it: connections end, and new ones end at once.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Mends it.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}

async fn forward(listener: TcpListener, to: SocketAddr, whole: watch::Receiver<bool>) {
    // The connections are in the set, so that they end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                if let Ok((from, _)) = accepted {
                    connections.spawn(connect(from, to, whole.clone()));
                }
            }
        }
    }
}

async fn connect(mut from: TcpStream, to: SocketAddr, mut whole: watch::Receiver<bool>) -> io::Result<()> {
    if !*whole.borrow_and_update() {
        return Ok(());
    }
    let mut there = TcpStream::connect(to).await?;
    tokio::select! {
        ended = copy_bidirectional(&mut from, &mut there) => ended.map(drop),
        // Both ends see it close.
        _ = whole.wait_for(|whole| !whole) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::{TcpUpstream, call};

    #[tokio::test]
    async fn it_carries_until_it_is_cut_and_again_when_it_is_mended() {
        let upstream = TcpUpstream::start("v1", 0.0).await.expect("a port");
        let cable = Cable::lay(upstream.addr()).await.expect("a port");
        assert!(call(cable.addr()).await.is_ok());
        cable.cut();
        assert!(call(cable.addr()).await.is_err());
        cable.mend();
        assert!(call(cable.addr()).await.is_ok());
    }
}
