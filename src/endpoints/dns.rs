//! Names that are looked up again and again.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::model::Endpoint;

/// How long an answer may take before it is an error. One that comes later is taken all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a look-up becomes.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
/// Looks up the addresses of a name, with a port.
pub type Resolver = Arc<dyn Fn(String, u16) -> Lookup + Send + Sync>;

/// The system's own resolver: its name servers, its hosts file, its search list.
pub fn system() -> Resolver {
    Arc::new(|host, port| Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }))
}

/// Looks a name up each interval, and hands over what is found, or why nothing is. Ends when nobody takes it any more.
/// There is at most one look-up at a time: those that hang would otherwise pile up.
pub(super) async fn follow<F>(
    resolver: Resolver,
    (host, port): (String, u16),
    interval: Duration,
    mut tell: impl FnMut(Result<Vec<Endpoint>, String>) -> F,
) where
    F: Future<Output = bool>,
{
    loop {
        let mut lookup = resolver(host.clone(), port);
        let answer = match timeout(PATIENCE, &mut lookup).await {
            Ok(answer) => answer,
            Err(_) => {
                let late = format!("{host}: no answer in {} s", PATIENCE.as_secs());
                if !tell(Err(late)).await {
                    return;
                }
                lookup.await
            }
        };
        if !tell(understand(&host, answer)).await {
            return;
        }
        sleep(interval).await;
    }
}

/// No address is an error as well: more often it is the name server's than meant.
fn understand(host: &str, answer: io::Result<Vec<SocketAddr>>) -> Result<Vec<Endpoint>, String> {
    let mut addresses = answer.map_err(|error| format!("{host}: {error}"))?;
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(format!("{host} has no addresses"));
    }
    Ok(addresses.into_iter().map(Endpoint::at).collect())
}

#[cfg(test)]
mod tests;
