//! How others reach what is known: register, deregister, list.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::inventory::{Inventory, Key, ListedVersion, RegistryError};
use crate::model::{Endpoint, World};

type Reply<T> = oneshot::Sender<Result<T, RegistryError>>;

/// What is asked, and where to answer.
pub(super) enum Request {
    Register { key: Key, endpoint: Endpoint, reply: Reply<Duration> },
    Deregister { key: Key, address: SocketAddr, reply: Reply<()> },
    List { service: Option<String>, reply: Reply<Vec<ListedVersion>> },
}

/// A way to whoever keeps the endpoints.
#[derive(Debug, Clone)]
pub struct Registry {
    requests: mpsc::Sender<Request>,
}

impl Registry {
    pub(super) fn new(requests: mpsc::Sender<Request>) -> Self {
        Self { requests }
    }

    /// Registers an endpoint for a version, or says that it is still there. Returns for how long it is believed.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn register(&self, service: &str, version: &str, endpoint: Endpoint) -> Result<Duration, RegistryError> {
        let key = (service.to_owned(), version.to_owned());
        self.ask(|reply| Request::Register { key, endpoint, reply }).await
    }

    /// Takes an endpoint out: it is drained, and then dropped.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn deregister(&self, service: &str, version: &str, address: SocketAddr) -> Result<(), RegistryError> {
        let key = (service.to_owned(), version.to_owned());
        self.ask(|reply| Request::Deregister { key, address, reply }).await
    }

    /// The endpoints of every version of a service, or of all when none is named.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub async fn list(&self, service: Option<&str>) -> Result<Vec<ListedVersion>, RegistryError> {
        let service = service.map(str::to_owned);
        self.ask(|reply| Request::List { service, reply }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, RegistryError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| RegistryError::Stopped)?;
        answer.await.map_err(|_| RegistryError::Stopped)?
    }
}

impl Request {
    /// Does it and answers; whoever asked may have gone away. Returns whether a version's endpoints are others now.
    pub(super) fn carry_out(self, inventory: &mut Inventory, world: &World, now: Instant) -> bool {
        match self {
            Request::Register { key, endpoint, reply } => {
                let done = inventory.register(world, &key, &endpoint, now);
                let changed = done.as_ref().is_ok_and(|(_, changed)| *changed);
                if changed {
                    tracing::info!(service = key.0, version = key.1, address = %endpoint.address, "registered");
                }
                let _ = reply.send(done.map(|(ttl, _)| ttl));
                changed
            }
            Request::Deregister { key, address, reply } => {
                let done = inventory.deregister(world, &key, address, now);
                let changed = done == Ok(true);
                if changed {
                    tracing::info!(service = key.0, version = key.1, %address, "deregistered");
                }
                let _ = reply.send(done.map(drop));
                changed
            }
            Request::List { service, reply } => {
                let _ = reply.send(inventory.list(world, service.as_deref(), now));
                false
            }
        }
    }
}
