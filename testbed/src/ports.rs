//! Free ports for processes that must be told theirs, and must get it again after a restart.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

use crate::wait;

/// Where to look. It lies below what Linux hands out by itself (from 32,768): there, any outgoing connection of the
/// load could take the port of a server that is being restarted.
const RANGE: Range<u16> = 20_000..32_000;
/// How many ports to try.
const TRIES: usize = 200;
/// How long an address may be in use before that is an error. A process that any thread is just starting holds copies of
/// all the sockets of this one until it has begun its own program: an address that was closed here can be in use still.
const STILL_IN_USE: Duration = Duration::from_secs(20);

/// How many connections may wait to be accepted: as many as a load opens that was held up for some seconds.
const BACKLOG: u32 = 4096;

/// What was handed out in this process: tests that run side by side must not be given the same, and whoever is given one
/// may bind it later, or again.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// As many different loopback addresses as asked for, on which nobody listens now.
///
/// # Errors
/// When that many are not found.
pub fn free<const N: usize>() -> Result<[SocketAddr; N]> {
    // All stay bound until all are found, so that none is found twice. Nothing listens on them, so that a copy which a
    // process that is just starting has of them keeps nobody from listening.
    let mut held: Vec<TcpSocket> = Vec::with_capacity(N);
    for _ in 0..TRIES {
        if held.len() == N {
            break;
        }
        let port = random_port();
        if TAKEN.lock().map_err(|_| anyhow!("somebody has failed while taking a port"))?.insert(port) {
            held.extend(bound(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        }
    }
    let found: Vec<SocketAddr> = held.iter().map(TcpSocket::local_addr).collect::<Result<_, _>>()?;
    found.try_into().ok().with_context(|| format!("no {N} free ports within {RANGE:?}"))
}

/// Fails where somebody listens.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Listens on an address that somebody here may have listened on a moment ago.
///
/// # Errors
/// When it cannot be bound, or is in use for long.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let end = Instant::now() + STILL_IN_USE;
    loop {
        match bound(address).and_then(|socket| socket.listen(BACKLOG)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {
                sleep(Duration::from_millis(5)).await;
            }
            listener => return listener,
        }
    }
}

/// Waits until nobody listens on an address that was closed here.
///
/// # Errors
/// When somebody does for long, or it cannot be reached at all.
pub async fn refused(address: SocketAddr) -> Result<()> {
    wait::until(&format!("{address} to refuse connections"), STILL_IN_USE, || async {
        match TcpStream::connect(address).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            other => bail!("{other:?}"),
        }
    })
    .await
}

/// Another one each time, and in each process.
fn random_port() -> u16 {
    let random = RandomState::new().build_hasher().finish();
    RANGE.start + (random % u64::from(RANGE.end - RANGE.start)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ_and_can_be_bound() {
        let ports: [SocketAddr; 20] = free().expect("ports");
        let bound: Vec<_> = ports.iter().map(std::net::TcpListener::bind).collect();
        assert!(bound.iter().all(Result::is_ok), "{bound:?}");
        assert!(ports.iter().all(|addr| RANGE.contains(&addr.port())));
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let error = bound(listener.local_addr().expect("its address")).expect_err("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_copy_of_a_free_port_keeps_nobody_from_listening() {
        let [port] = free().expect("a port");
        let _copy = bound(port).expect("it is free");
        std::net::TcpListener::bind(port).expect("it is still free");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_closed_a_little_later_is_waited_for() {
        let [address] = free().expect("a port");
        let old = listen(address).await.expect("it is free");
        let closing = async {
            sleep(Duration::from_secs(1)).await;
            drop(old);
        };
        let (new, ()) = tokio::join!(listen(address), closing);
        let _new = new.expect("it is free again");
        assert_eq!(listen(address).await.expect_err("it is in use for long").kind(), io::ErrorKind::AddrInUse);
    }
}
