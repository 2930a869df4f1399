//! Free ports for processes that must be told theirs, and must get it again after a restart.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow};

/// Where to look. It lies below what Linux hands out by itself (from 32,768): there, any outgoing connection of the
/// load could take the port of a server that is being restarted.
const RANGE: Range<u16> = 20_000..32_000;
/// How many ports to try.
const TRIES: usize = 200;

/// What was handed out in this process: tests that run side by side must not be given the same, and whoever is given one
/// may bind it later, or again.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// As many different loopback addresses as asked for, on which nobody listens now.
///
/// # Errors
/// When that many are not found.
pub fn free<const N: usize>() -> Result<[SocketAddr; N]> {
    // All stay bound until all are found, so that none is found twice.
    let mut held: Vec<TcpListener> = Vec::with_capacity(N);
    for _ in 0..TRIES {
        if held.len() == N {
            break;
        }
        let port = random_port();
        if TAKEN.lock().map_err(|_| anyhow!("somebody has failed while taking a port"))?.insert(port) {
            held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        }
    }
    let found: Vec<SocketAddr> = held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    found.try_into().ok().with_context(|| format!("no {N} free ports within {RANGE:?}"))
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
        let bound: Vec<_> = ports.iter().map(TcpListener::bind).collect();
        assert!(bound.iter().all(Result::is_ok), "{bound:?}");
        assert!(ports.iter().all(|addr| RANGE.contains(&addr.port())));
    }
}
