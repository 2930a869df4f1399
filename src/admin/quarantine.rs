//! `QuarantineService`: what is kept from the proxies because one of them rejected it, or fared badly with it.

use std::collections::BTreeSet;

use tonic::{Request, Response, Status};

use super::convert;
use super::error::AdminError;
use super::proto::{self, quarantine_service_server::QuarantineService};
use crate::rollout::engine::EngineHandle;
use crate::xds::{Cache, Held, Proxies, withheld};

/// Reads and releases what the cache keeps back.
pub(super) struct QuarantineApi {
    pub(super) engine: EngineHandle,
    pub(super) cache: Cache,
    pub(super) proxies: Proxies,
}

impl QuarantineApi {
    /// All groups there are, or the one that was named.
    fn groups(&self, named: &str) -> Result<BTreeSet<String>, AdminError> {
        let mut groups: BTreeSet<String> = self.engine.view().borrow().groups.keys().cloned().collect();
        let of_proxies = self.proxies.list().into_iter().filter_map(|proxy| proxy.group);
        groups.extend(of_proxies.map(|group| group.to_string()));
        if named.is_empty() {
            return Ok(groups);
        }
        if groups.contains(named) {
            return Ok([named.to_owned()].into());
        }
        Err(AdminError::UnknownGroup { group: named.to_owned(), known: groups.into_iter().collect() })
    }

    /// Returns whether there was anything to release.
    fn release(&self, group: &str) -> bool {
        let stopped = matches!(self.cache.held(group), Some(Held::Stopped(_)));
        let there_was = stopped || !self.cache.parked(group).is_empty();
        self.cache.release(group);
        there_was
    }
}

#[tonic::async_trait]
impl QuarantineService for QuarantineApi {
    async fn list_quarantine(
        &self,
        request: Request<proto::ListQuarantineRequest>,
    ) -> Result<Response<proto::ListQuarantineResponse>, Status> {
        let mut found = proto::ListQuarantineResponse::default();
        for group in self.groups(&request.into_inner().group)? {
            let intended = self.cache.current(&group);
            let withheld = withheld(intended.as_deref(), self.cache.parked(&group));
            found.resources.extend(withheld.iter().map(|parked| convert::quarantined(&group, parked)));
            let held = intended.zip(self.cache.held(&group));
            found.held.extend(held.map(|(snapshot, held)| convert::held_snapshot(&group, snapshot.version(), held)));
        }
        Ok(Response::new(found))
    }

    async fn release_quarantine(
        &self,
        request: Request<proto::ReleaseQuarantineRequest>,
    ) -> Result<Response<proto::ReleaseQuarantineResponse>, Status> {
        let mut groups = self.groups(&request.into_inner().group)?;
        groups.retain(|group| self.release(group));
        for group in &groups {
            tracing::info!(group, "what was rejected or stopped is given another chance");
        }
        Ok(Response::new(proto::ReleaseQuarantineResponse { groups: groups.into_iter().collect() }))
    }
}
