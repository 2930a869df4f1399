//! The floor: as many bytes to as many plain TCP sockets, without HTTP/2, gRPC, or anybody's acknowledgement. What a
//! discovery server takes above that is its own.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::stamps::Stamps;
use super::talk::{Asked, Said, questions};
use crate::usage;

/// Bytes that say how many follow.
const LENGTH: usize = 4;
/// Bytes that a client reads at a time.
const CHUNK: usize = 64 << 10;

thread_local! {
    /// All clients read into the same bytes: nobody looks at them.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Takes this many connections, then writes to all of them as often as it is asked on the standard input.
///
/// # Errors
/// When a connection breaks; when file descriptors are too few.
pub async fn serve(streams: usize) -> Result<()> {
    usage::allow_connections(streams)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Said::Listening(listener.local_addr()?).say();
    let mut sockets = Vec::with_capacity(streams);
    while sockets.len() < streams {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        sockets.push(Arc::new(socket));
    }
    let mut questions = questions();
    while let Some(asked) = questions.recv().await {
        match asked? {
            Asked::Publish(bytes) => {
                let length = u32::try_from(bytes)?.to_be_bytes();
                let message = Bytes::from([&length[..], &vec![0; bytes]].concat());
                Said::pushed_now().say();
                write_all(&sockets, &message).await?;
            }
            Asked::Usage => Said::usage()?.say(),
            other @ Asked::Stall => bail!("the floor is not asked to `{other}`"),
        }
    }
    Ok(())
}

/// First what each socket takes at once, in one system call for each; then the rest, as they take it.
async fn write_all(sockets: &[Arc<TcpStream>], message: &Bytes) -> Result<()> {
    let mut unfinished = JoinSet::new();
    for socket in sockets {
        let written = match socket.try_write(message) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error).context("write"),
        };
        if written < message.len() {
            unfinished.spawn(write_rest(Arc::clone(socket), message.slice(written..)));
        }
    }
    while let Some(written) = unfinished.join_next().await {
        written??;
    }
    Ok(())
}

async fn write_rest(socket: Arc<TcpStream>, mut rest: Bytes) -> Result<()> {
    while !rest.is_empty() {
        socket.writable().await?;
        match socket.try_write(&rest) {
            Ok(written) => rest = rest.slice(written..),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("write"),
        }
    }
    Ok(())
}

/// Reads what the floor writes, on this many connections, until the standard input is closed; tells on the standard output
/// when each push has arrived.
///
/// # Errors
/// When a connection breaks; when file descriptors are too few.
pub async fn read(server: SocketAddr, streams: usize) -> Result<()> {
    usage::allow_connections(streams)?;
    let stamps = Arc::new(Stamps::new(streams));
    let mut clients = JoinSet::new();
    for _ in 0..streams {
        let socket = TcpStream::connect(server).await.context("connect")?;
        clients.spawn(client(socket, Arc::clone(&stamps)));
    }
    let mut questions = questions();
    loop {
        tokio::select! {
            Some(ended) = clients.join_next() => {
                return ended?.and(Err(anyhow!("a client has ended"))).context("one of the clients");
            }
            asked = questions.recv() => match asked.transpose()? {
                Some(Asked::Usage) => Said::usage()?.say(),
                Some(other) => bail!("clients of the floor are not asked to `{other}`"),
                None => return Ok(()),
            },
        }
    }
}

async fn client(socket: TcpStream, stamps: Arc<Stamps>) -> Result<()> {
    loop {
        let (first, length) = read_some(&socket, |chunk| {
            chunk.first_chunk::<LENGTH>().map(|length| u32::from_be_bytes(*length) as usize)
        })
        .await?;
        let length = length.context("less than a length at a time")?;
        let mut left = (LENGTH + length).checked_sub(first).context("more than one message at a time")?;
        while left > 0 {
            let (read, ()) = read_some(&socket, |_| ()).await?;
            left = left.checked_sub(read).context("a message is followed by another")?;
        }
        stamps.stamp(length);
    }
}

/// Waits for bytes; how many they are, and what was found in them.
async fn read_some<T>(socket: &TcpStream, look: impl Fn(&[u8]) -> T) -> Result<(usize, T)> {
    loop {
        socket.readable().await?;
        let read = SCRATCH.with_borrow_mut(|scratch| Ok((socket.try_read(scratch)?, look(scratch))));
        match read {
            Ok((0, _)) => bail!("the floor closed a connection"),
            Ok(read) => return Ok(read),
            Err(error) if ErrorKind::WouldBlock == std::io::Error::kind(&error) => {}
            Err(error) => return Err(error).context("read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn all_of_a_message_is_written_however_little_a_socket_takes_at_once() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let (mut readers, mut sockets) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            readers.push(TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection"));
            sockets.push(Arc::new(listener.accept().await.expect("a connection").0));
        }
        // More than all buffers on the way.
        let message = Bytes::from(vec![7; 32 << 20]);
        let expected = message.clone();
        let written = tokio::spawn(async move { write_all(&sockets, &message).await });
        for mut reader in readers {
            let mut received = vec![0; expected.len()];
            reader.read_exact(&mut received).await.expect("all of it");
            assert!(received == expected, "other bytes than were written");
        }
        written.await.expect("no panic").expect("written");
    }
}
