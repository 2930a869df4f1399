//! An endpoint whose answers are held back until its test lets them go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Gate {
    pub(crate) addr: SocketAddr,
    asked: Arc<AtomicU64>,
    open: watch::Sender<bool>,
    _server: JoinSet<()>,
}

impl Gate {
    /// An endpoint that answers at once, or one that waits.
    pub(crate) async fn new(is_open: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (addr, asked, open) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)), watch::Sender::new(is_open));
        let (counter, opened) = (Arc::clone(&asked), open.subscribe());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, Arc::clone(&counter), opened.clone()));
            }
        });
        Ok(Self { addr, asked, open, _server: server })
    }

    /// How many requests have come.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Lets all answers go.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}

/// One request after the other; none has a body.
async fn answer(mut stream: TcpStream, asked: Arc<AtomicU64>, mut opened: watch::Receiver<bool>) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            asked.fetch_add(1, Ordering::Relaxed);
            if opened.wait_for(|open| *open).await.is_err() {
                return;
            }
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                return;
            }
        }
    }
}
