//! `SpecService`: which set of specs is in force, and what is wrong with the newest one.

use tonic::{Request, Response, Status};

use super::convert;
use super::proto::{self, spec_service_server::SpecService};
use crate::rollout::engine::EngineHandle;

/// Reads the engine's view.
pub(super) struct SpecApi {
    pub(super) engine: EngineHandle,
}

#[tonic::async_trait]
impl SpecService for SpecApi {
    async fn get_spec_status(
        &self,
        _: Request<proto::GetSpecStatusRequest>,
    ) -> Result<Response<proto::GetSpecStatusResponse>, Status> {
        Ok(Response::new(convert::spec_status(&self.engine.view().borrow())))
    }
}
