//! `ProxyService`: who is connected, and how far they are.

use tonic::{Request, Response, Status};

use super::convert;
use super::error::AdminError;
use super::proto::{self, proxy_service_server::ProxyService};
use crate::xds::Proxies;

/// Reads the registry of proxies.
pub(super) struct ProxyApi {
    pub(super) proxies: Proxies,
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
        Ok(Response::new(proto::ListProxiesResponse { proxies: proxies.iter().map(convert::proxy).collect() }))
    }

    async fn get_proxy(
        &self,
        request: Request<proto::GetProxyRequest>,
    ) -> Result<Response<proto::GetProxyResponse>, Status> {
        let id = request.into_inner().id;
        let found = self.proxies.get(&id).ok_or(AdminError::UnknownProxy(id))?;
        Ok(Response::new(proto::GetProxyResponse { proxy: Some(convert::proxy(&found)) }))
    }
}
