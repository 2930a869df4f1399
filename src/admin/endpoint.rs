//! `EndpointService`: where versions run, and the registration of those that say so themselves.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tonic::{Request, Response, Status};

use super::convert;
use super::error::AdminError;
use super::proto::{self, endpoint_service_server::EndpointService};
use crate::endpoints::Registry;
use crate::endpoints::inventory::{ListedEndpoint, ListedVersion};
use crate::model;

/// The greatest weight that Envoy takes.
const GREATEST_WEIGHT: u32 = 128;
/// Bytes of the longest name of a zone.
const ZONE_LENGTH: usize = 256;

/// Asks whoever keeps the endpoints.
pub(super) struct EndpointApi {
    pub(super) endpoints: Registry,
}

#[tonic::async_trait]
impl EndpointService for EndpointApi {
    async fn register_endpoint(
        &self,
        request: Request<proto::RegisterEndpointRequest>,
    ) -> Result<Response<proto::RegisterEndpointResponse>, Status> {
        let request = request.into_inner();
        let endpoint = endpoint(&request)?;
        let ttl = self.endpoints.register(&request.service, &request.version, endpoint).await;
        let ttl = ttl.map_err(AdminError::from)?;
        Ok(Response::new(proto::RegisterEndpointResponse {
            ttl: Some(convert::duration(ttl)),
            expires: Some(convert::system_time(SystemTime::now() + ttl)),
        }))
    }

    async fn deregister_endpoint(
        &self,
        request: Request<proto::DeregisterEndpointRequest>,
    ) -> Result<Response<proto::DeregisterEndpointResponse>, Status> {
        let proto::DeregisterEndpointRequest { service, version, address } = request.into_inner();
        let address = socket_address(&address)?;
        self.endpoints.deregister(&service, &version, address).await.map_err(AdminError::from)?;
        Ok(Response::new(proto::DeregisterEndpointResponse {}))
    }

    async fn list_endpoints(
        &self,
        request: Request<proto::ListEndpointsRequest>,
    ) -> Result<Response<proto::ListEndpointsResponse>, Status> {
        let service = request.into_inner().service;
        let service = Some(service.as_str()).filter(|name| !name.is_empty());
        let versions = self.endpoints.list(service).await.map_err(AdminError::from)?;
        let now = SystemTime::now();
        let versions = versions.into_iter().map(|version| listed(version, now)).collect();
        Ok(Response::new(proto::ListEndpointsResponse { versions }))
    }
}

fn endpoint(request: &proto::RegisterEndpointRequest) -> Result<model::Endpoint, AdminError> {
    let proto::RegisterEndpointRequest { address, zone, weight, .. } = request;
    if *weight > GREATEST_WEIGHT {
        return Err(AdminError::NoWeight { weight: *weight, greatest: GREATEST_WEIGHT });
    }
    if zone.len() > ZONE_LENGTH || zone.chars().any(char::is_control) {
        return Err(AdminError::NoZone { longest: ZONE_LENGTH });
    }
    let zone = Some(zone.clone()).filter(|zone| !zone.is_empty());
    Ok(model::Endpoint { zone, weight: (*weight).max(1), ..model::Endpoint::at(socket_address(address)?) })
}

fn socket_address(text: &str) -> Result<SocketAddr, AdminError> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 && !address.ip().is_unspecified() => Ok(address),
        Ok(_) | Err(_) => Err(AdminError::NoAddress(text.to_owned())),
    }
}

fn listed(of: ListedVersion, now: SystemTime) -> proto::VersionEndpoints {
    let ListedVersion { service, version, from, error, endpoints } = of;
    let endpoints = endpoints.into_iter().map(|ListedEndpoint { endpoint, left }| proto::Endpoint {
        address: endpoint.address.to_string(),
        zone: endpoint.zone.unwrap_or_default(),
        weight: endpoint.weight,
        state: match endpoint.draining {
            true => proto::EndpointState::Draining.into(),
            false => proto::EndpointState::Serving.into(),
        },
        expires: left.map(|left: Duration| convert::system_time(now + left)),
    });
    let endpoints = endpoints.collect();
    proto::VersionEndpoints { service, version, source: from, error: error.unwrap_or_default(), endpoints }
}
