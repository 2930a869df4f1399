//! Receives whatever is sent over HTTP/2, and throws it away.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use h2::server;
use tokio::net::{TcpListener, TcpStream};

use crate::Said;

pub(crate) async fn run() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let bytes = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&bytes);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(connection(socket, Arc::clone(&counted)));
        }
    });
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        Said { bytes: bytes.load(Ordering::Relaxed), ..Said::now(address)? }.say()?;
    }
}

async fn connection(socket: TcpStream, bytes: Arc<AtomicU64>) -> Result<()> {
    let mut connection = server::Builder::new().max_frame_size(16 << 10).handshake::<_, bytes::Bytes>(socket).await?;
    while let Some(stream) = connection.accept().await {
        let (request, mut respond) = stream?;
        let bytes = Arc::clone(&bytes);
        tokio::spawn(async move {
            // Open until the load ends.
            let _answer = respond.send_response(http::Response::new(()), false)?;
            let mut body = request.into_body();
            while let Some(data) = body.data().await {
                let length = data?.len();
                bytes.fetch_add(length as u64, Ordering::Relaxed);
                body.flow_control().release_capacity(length)?;
            }
            anyhow::Ok(())
        });
    }
    Ok(())
}
