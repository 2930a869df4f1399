//! `SnapshotService`: what the proxies are, and were, given.
//!
//! What is current is taken from the engine's view, so that it is shown even when the store cannot be read, or could
//! not keep it.

mod catalog;
pub(super) mod diff;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use self::catalog::{Catalog, Entry};
use super::error::AdminError;
use super::proto::{self, snapshot_service_server::SnapshotService};
use super::{convert, off_the_runtime};
use crate::descriptors;
use crate::rollout::engine::{EngineHandle, View};
use crate::store::History;
use crate::xds::{Resource, ResourceType, Snapshot};

/// Reads the engine's view and the history of snapshots.
pub(super) struct SnapshotApi {
    pub(super) engine: EngineHandle,
    pub(super) history: Arc<dyn History>,
}

impl SnapshotApi {
    /// Runs `work` with a view and the history, where it may block.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&View, &dyn History) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let view = Arc::clone(&self.engine.view().borrow());
        let history = Arc::clone(&self.history);
        Ok(Response::new(off_the_runtime(move || work(&view, &*history)).await?))
    }
}

#[tonic::async_trait]
impl SnapshotService for SnapshotApi {
    async fn list_snapshots(
        &self,
        request: Request<proto::ListSnapshotsRequest>,
    ) -> Result<Response<proto::ListSnapshotsResponse>, Status> {
        let group = request.into_inner().group;
        self.read(move |view, history| {
            let group = Some(group.as_str()).filter(|group| !group.is_empty());
            let catalog = Catalog::read(view, history, group)?;
            let snapshots = catalog.entries().iter().map(Entry::to_proto).collect();
            Ok(proto::ListSnapshotsResponse { snapshots })
        })
        .await
    }

    async fn get_snapshot(
        &self,
        request: Request<proto::GetSnapshotRequest>,
    ) -> Result<Response<proto::GetSnapshotResponse>, Status> {
        let request = request.into_inner();
        self.read(move |view, history| get(view, history, &request)).await
    }

    async fn diff_snapshots(
        &self,
        request: Request<proto::DiffSnapshotsRequest>,
    ) -> Result<Response<proto::DiffSnapshotsResponse>, Status> {
        let request = request.into_inner();
        self.read(move |view, history| compare(view, history, &request)).await
    }
}

fn get(
    view: &View,
    history: &dyn History,
    request: &proto::GetSnapshotRequest,
) -> Result<proto::GetSnapshotResponse, AdminError> {
    let proto::GetSnapshotRequest { group, version, type_url, json } = request;
    let wanted_type = match type_url.as_str() {
        "" => None,
        url => Some(ResourceType::from_type_url(url).ok_or_else(|| AdminError::UnknownType(url.to_owned()))?),
    };
    // The current one needs no history.
    let catalog = match version.as_str() {
        "" if view.groups.contains_key(group) => Catalog::of_view(view, Some(group)),
        _ => Catalog::read(view, history, Some(group))?,
    };
    let entry = &catalog.entries()[catalog.find(view, group, version)?];
    let snapshot = load(entry, history, &catalog)?;
    let resources = snapshot
        .iter()
        .filter(|resource| wanted_type.is_none_or(|wanted| resource.resource_type() == wanted))
        .map(|resource| {
            let json = json.then(|| to_json(resource)).transpose()?.map(|json| json.to_string());
            Ok(convert::resource(resource, json))
        })
        .collect::<Result<_, AdminError>>()?;
    Ok(proto::GetSnapshotResponse { snapshot: Some(entry.to_proto()), resources })
}

fn compare(
    view: &View,
    history: &dyn History,
    request: &proto::DiffSnapshotsRequest,
) -> Result<proto::DiffSnapshotsResponse, AdminError> {
    let proto::DiffSnapshotsRequest { group, from, to } = request;
    let catalog = Catalog::read(view, history, Some(group))?;
    let to = catalog.find(view, group, to)?;
    let from = match from.as_str() {
        "" => catalog.before(to)?,
        version => catalog.find(view, group, version)?,
    };
    let (from, to) = (&catalog.entries()[from], &catalog.entries()[to]);
    let resources = diff::between(&*load(from, history, &catalog)?, &*load(to, history, &catalog)?)?;
    Ok(proto::DiffSnapshotsResponse { from: Some(from.to_proto()), to: Some(to.to_proto()), resources })
}

fn load(entry: &Entry, history: &dyn History, catalog: &Catalog) -> Result<Arc<Snapshot>, AdminError> {
    if let Some(snapshot) = &entry.live {
        return Ok(Arc::clone(snapshot));
    }
    let record = &entry.record;
    // It may have been dropped since the catalog was read.
    history.snapshot(&record.group, record.version)?.ok_or_else(|| AdminError::UnknownVersion {
        group: record.group.clone(),
        prefix: record.version.to_string(),
        known: catalog.versions(),
    })
}

fn to_json(resource: &Resource) -> Result<serde_json::Value, AdminError> {
    Ok(descriptors::to_json(resource.resource_type().type_url(), resource.body())?)
}
