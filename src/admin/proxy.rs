//! `ProxyService`: who is connected, how far they are, and what they lack.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::error::AdminError;
use super::proto::{self, proxy_service_server::ProxyService};
use super::snapshot::diff;
use super::{convert, off_the_runtime};
use crate::telemetry::{LastReport, Telemetry};
use crate::xds::{Cache, Held, Parked, Proxies, ProxyStatus, ResourceType, Snapshot, compare};

/// Reads the registry of proxies, and what is intended for them.
pub(super) struct ProxyApi {
    pub(super) cache: Cache,
    pub(super) proxies: Proxies,
    pub(super) telemetry: Telemetry,
}

/// A proxy, and what its group is to have.
struct Found {
    proxy: ProxyStatus,
    report: Option<LastReport>,
    intended: Option<Arc<Snapshot>>,
    parked: Vec<Parked>,
    held: Option<Held>,
}

impl ProxyApi {
    fn find(&self, id: String) -> Result<Found, AdminError> {
        let proxy = self.proxies.get(&id).ok_or(AdminError::UnknownProxy(id))?;
        let group = proxy.group.as_deref();
        let intended = group.and_then(|group| self.cache.current(group));
        let parked = group.map(|group| self.cache.parked(group)).unwrap_or_default();
        let held = group.and_then(|group| self.cache.held(group));
        let report = self.telemetry.last_report(&proxy.node.id);
        Ok(Found { proxy, report, intended, parked, held })
    }
}

impl Found {
    fn shown(&self) -> proto::Proxy {
        let compared = compare(&self.proxy, self.intended.as_deref(), &self.parked);
        convert::proxy_in_full(&self.proxy, self.report, &compared, self.held.as_ref())
    }

    fn diff(&self, wanted: Option<ResourceType>) -> Result<Vec<proto::ResourceDiff>, AdminError> {
        let nothing = || AdminError::NothingIntended(self.proxy.node.id.clone());
        let intended = self.intended.as_deref().ok_or_else(nothing)?;
        let mut found = Vec::new();
        for one in compare(&self.proxy, Some(intended), &self.parked) {
            let is_wanted = wanted.is_none_or(|wanted| wanted == one.resource_type);
            if is_wanted && one.held != one.intended {
                found.push(diff::resource(one.resource_type, one.name, one.held, one.intended)?);
            }
        }
        Ok(found)
    }
}

#[tonic::async_trait]
impl ProxyService for ProxyApi {
    async fn list_proxies(
        &self,
        request: Request<proto::ListProxiesRequest>,
    ) -> Result<Response<proto::ListProxiesResponse>, Status> {
        let group = request.into_inner().group;
        let mut proxies: Vec<_> = self.proxies.list();
        proxies.retain(|proxy| group.is_empty() || proxy.group.as_deref() == Some(group.as_str()));
        // The sort is stable and the list is by id already.
        proxies.sort_by(|a, b| a.group.cmp(&b.group));
        let shown = |proxy: &ProxyStatus| convert::proxy(proxy, self.telemetry.last_report(&proxy.node.id));
        Ok(Response::new(proto::ListProxiesResponse { proxies: proxies.iter().map(shown).collect() }))
    }

    async fn get_proxy(
        &self,
        request: Request<proto::GetProxyRequest>,
    ) -> Result<Response<proto::GetProxyResponse>, Status> {
        let found = self.find(request.into_inner().id)?;
        let proxy = off_the_runtime(move || Ok(found.shown())).await?;
        Ok(Response::new(proto::GetProxyResponse { proxy: Some(proxy) }))
    }

    async fn diff_proxy(
        &self,
        request: Request<proto::DiffProxyRequest>,
    ) -> Result<Response<proto::DiffProxyResponse>, Status> {
        let proto::DiffProxyRequest { id, type_url } = request.into_inner();
        let wanted = match type_url.as_str() {
            "" => None,
            url => Some(ResourceType::from_type_url(url).ok_or_else(|| AdminError::UnknownType(url.to_owned()))?),
        };
        let found = self.find(id)?;
        let answer =
            move || Ok(proto::DiffProxyResponse { proxy: Some(found.shown()), resources: found.diff(wanted)? });
        Ok(Response::new(off_the_runtime(answer).await?))
    }
}
