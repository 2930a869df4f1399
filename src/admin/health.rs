//! `grpc.health.v1`: serving until it is time to stop.
//!
//! Written here rather than taken from `tonic_health::server`, whose watches never end, so that they would hold up
//! a graceful shutdown. The state is the stop signal itself: nobody has to report anything.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// The health of some services and of the server as a whole (the empty name).
#[derive(Debug, Clone)]
pub struct HealthService {
    services: Arc<[&'static str]>,
    stop: watch::Receiver<bool>,
}

/// The health service of these services, by their full names. They are `SERVING` until `stop` becomes true.
pub fn health(services: &[&'static str], stop: watch::Receiver<bool>) -> HealthServer<HealthService> {
    HealthServer::new(HealthService { services: services.into(), stop })
        .max_decoding_message_size(super::MAX_DECODED)
        .max_encoding_message_size(super::MAX_ENCODED)
}

impl HealthService {
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(&service)
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.into_inner().service) {
            return Err(Status::not_found("this server has no such service"));
        }
        let stopping = *self.stop.borrow();
        Ok(Response::new(answer(if stopping { ServingStatus::NotServing } else { ServingStatus::Serving })))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = self.knows(&request.into_inner().service);
        let mut stop = self.stop.clone();
        Ok(Response::new(Box::pin(async_stream::stream! {
            if !*stop.borrow() {
                yield Ok(answer(if known { ServingStatus::Serving } else { ServingStatus::ServiceUnknown }));
            }
            // Its sender is gone only when the server is, too.
            let _ = stop.wait_for(|stop| *stop).await;
            if known {
                yield Ok(answer(ServingStatus::NotServing));
            }
        })))
    }
}
