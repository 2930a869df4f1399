//! `ReleaseService`: watches and steers releases.
//!
//! Every order is logged with where it came from and what came of it.

mod follow;

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use self::follow::Follow;
use super::error::AdminError;
use super::proto::{self, release_service_server::ReleaseService};
use super::{convert, off_the_runtime};
use crate::rollout::engine::{EngineHandle, View};
use crate::rollout::{Command, CommandError};
use crate::store::{self, History};

/// Journal lines in one answer.
const EVENTS_AT_ONCE: usize = 1000;
/// Bytes of an abort's reason: it is kept in the journal for ever.
const REASON_LENGTH: usize = 4096;

/// Gives orders to the engine, and reads its view and the journal.
pub(super) struct ReleaseApi {
    pub(super) engine: EngineHandle,
    pub(super) history: Arc<dyn History>,
    pub(super) stop: watch::Receiver<bool>,
}

impl ReleaseApi {
    async fn order<R>(
        &self,
        request: Request<R>,
        of: impl FnOnce(R) -> Result<(String, Command), AdminError>,
    ) -> Result<proto::Release, Status> {
        let peer = request.remote_addr();
        let (release, command) = of(request.into_inner())?;
        let order = command.describe();
        match self.engine.order(&release, command).await {
            Ok(status) => {
                tracing::info!(%release, %order, ?peer, "order carried out");
                Ok(convert::release(&status))
            }
            Err(error) => {
                tracing::warn!(%release, %order, ?peer, %error, "order not carried out");
                Err(self.explain(error).into())
            }
        }
    }

    /// Whoever misspelt a name is told the names there are.
    fn explain(&self, error: CommandError) -> AdminError {
        match error {
            CommandError::NotFound(name) => unknown(name, &self.engine.view().borrow()),
            error @ (CommandError::Refused(_) | CommandError::Store(_) | CommandError::Stopped) => error.into(),
        }
    }
}

fn unknown(name: String, view: &View) -> AdminError {
    AdminError::UnknownRelease { name, known: view.releases.keys().cloned().collect() }
}

/// The releases of these names that there are, by name; all when none is named.
fn watched(view: &View, names: &[String]) -> Vec<proto::Release> {
    let wanted = |name: &String| names.is_empty() || names.contains(name);
    view.releases.iter().filter(|(name, _)| wanted(name)).map(|(_, status)| convert::release(status)).collect()
}

#[tonic::async_trait]
impl ReleaseService for ReleaseApi {
    async fn list_releases(
        &self,
        _: Request<proto::ListReleasesRequest>,
    ) -> Result<Response<proto::ListReleasesResponse>, Status> {
        let releases = watched(&self.engine.view().borrow(), &[]);
        Ok(Response::new(proto::ListReleasesResponse { releases }))
    }

    async fn get_release(
        &self,
        request: Request<proto::GetReleaseRequest>,
    ) -> Result<Response<proto::GetReleaseResponse>, Status> {
        let name = request.into_inner().name;
        let view = Arc::clone(&self.engine.view().borrow());
        let status = view.releases.get(&name).ok_or_else(|| unknown(name, &view))?;
        Ok(Response::new(proto::GetReleaseResponse { release: Some(convert::release(status)) }))
    }

    type WatchReleasesStream = Pin<Box<dyn Stream<Item = Result<proto::WatchReleasesResponse, Status>> + Send>>;

    async fn watch_releases(
        &self,
        request: Request<proto::WatchReleasesRequest>,
    ) -> Result<Response<Self::WatchReleasesStream>, Status> {
        let mut names = request.into_inner().names;
        names.sort_unstable();
        names.dedup();
        let mut view = self.engine.view();
        let missing = names.iter().find(|name| !view.borrow().releases.contains_key(*name)).cloned();
        if let Some(name) = missing {
            return Err(unknown(name, &view.borrow()).into());
        }
        let mut stop = self.stop.clone();
        Ok(Response::new(Box::pin(async_stream::stream! {
            let mut shown = None;
            loop {
                let releases = watched(&view.borrow_and_update(), &names);
                if shown.as_ref() != Some(&releases) {
                    shown = Some(releases.clone());
                    yield Ok(proto::WatchReleasesResponse { releases });
                }
                let goes_on = tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => false,
                    changed = view.changed() => changed.is_ok(),
                };
                if !goes_on {
                    yield Err(AdminError::from(CommandError::Stopped).into());
                    return;
                }
            }
        })))
    }

    async fn promote_release(
        &self,
        request: Request<proto::PromoteReleaseRequest>,
    ) -> Result<Response<proto::PromoteReleaseResponse>, Status> {
        let release = self.order(request, |r| Ok((r.name, Command::Promote { full: r.full }))).await?;
        Ok(Response::new(proto::PromoteReleaseResponse { release: Some(release) }))
    }

    async fn pause_release(
        &self,
        request: Request<proto::PauseReleaseRequest>,
    ) -> Result<Response<proto::PauseReleaseResponse>, Status> {
        let release = self.order(request, |r| Ok((r.name, Command::Pause))).await?;
        Ok(Response::new(proto::PauseReleaseResponse { release: Some(release) }))
    }

    async fn resume_release(
        &self,
        request: Request<proto::ResumeReleaseRequest>,
    ) -> Result<Response<proto::ResumeReleaseResponse>, Status> {
        let release = self.order(request, |r| Ok((r.name, Command::Resume))).await?;
        Ok(Response::new(proto::ResumeReleaseResponse { release: Some(release) }))
    }

    async fn abort_release(
        &self,
        request: Request<proto::AbortReleaseRequest>,
    ) -> Result<Response<proto::AbortReleaseResponse>, Status> {
        let abort = |r: proto::AbortReleaseRequest| {
            if r.reason.len() > REASON_LENGTH {
                return Err(AdminError::ReasonTooLong { limit: REASON_LENGTH, length: r.reason.len() });
            }
            Ok((r.name, Command::Abort { reason: r.reason }))
        };
        let release = self.order(request, abort).await?;
        Ok(Response::new(proto::AbortReleaseResponse { release: Some(release) }))
    }

    async fn undo_release(
        &self,
        request: Request<proto::UndoReleaseRequest>,
    ) -> Result<Response<proto::UndoReleaseResponse>, Status> {
        let undo = |r: proto::UndoReleaseRequest| {
            let to = Some(r.to).filter(|to| !to.is_empty());
            Ok((r.name, Command::Undo { to }))
        };
        let release = self.order(request, undo).await?;
        Ok(Response::new(proto::UndoReleaseResponse { release: Some(release) }))
    }

    async fn retry_release(
        &self,
        request: Request<proto::RetryReleaseRequest>,
    ) -> Result<Response<proto::RetryReleaseResponse>, Status> {
        let release = self.order(request, |r| Ok((r.name, Command::Retry))).await?;
        Ok(Response::new(proto::RetryReleaseResponse { release: Some(release) }))
    }

    async fn list_release_events(
        &self,
        request: Request<proto::ListReleaseEventsRequest>,
    ) -> Result<Response<proto::ListReleaseEventsResponse>, Status> {
        let proto::ListReleaseEventsRequest { name, after, limit } = request.into_inner();
        let limit = match usize::try_from(limit).unwrap_or(EVENTS_AT_ONCE) {
            0 => EVENTS_AT_ONCE,
            limit => limit.min(EVENTS_AT_ONCE),
        };
        let view = Arc::clone(&self.engine.view().borrow());
        let history = Arc::clone(&self.history);
        let events = off_the_runtime(move || {
            let entries = history.journal(&name, after, limit)?;
            // The journal of a release outlives it: only without any line is it unknown.
            let known = !entries.is_empty()
                || view.releases.contains_key(&name)
                || (after > 0 && !history.journal(&name, 0, 1)?.is_empty());
            if known {
                Ok(entries.into_iter().map(|entry| convert::event(&name, entry)).collect())
            } else {
                Err(unknown(name, &view))
            }
        })
        .await?;
        Ok(Response::new(proto::ListReleaseEventsResponse { events }))
    }

    async fn explain_release(
        &self,
        request: Request<proto::ExplainReleaseRequest>,
    ) -> Result<Response<proto::ExplainReleaseResponse>, Status> {
        let proto::ExplainReleaseRequest { name, at_sequence } = request.into_inner();
        let view = Arc::clone(&self.engine.view().borrow());
        let history = Arc::clone(&self.history);
        let told = off_the_runtime(move || {
            let status = view.releases.get(&name).map(Arc::as_ref);
            let told = store::told(history.as_ref(), &name, at_sequence, status)?;
            told.ok_or_else(|| unknown(name, &view))
        })
        .await?;
        Ok(Response::new(convert::told(&told)))
    }

    type WatchReleaseEventsStream =
        Pin<Box<dyn Stream<Item = Result<proto::WatchReleaseEventsResponse, Status>> + Send>>;

    async fn watch_release_events(
        &self,
        request: Request<proto::WatchReleaseEventsRequest>,
    ) -> Result<Response<Self::WatchReleaseEventsStream>, Status> {
        let proto::WatchReleaseEventsRequest { mut names, after } = request.into_inner();
        names.sort_unstable();
        names.dedup();
        let view = Arc::clone(&self.engine.view().borrow());
        let history = Arc::clone(&self.history);
        let names = off_the_runtime(move || {
            for name in &names {
                if !view.releases.contains_key(name) && history.journal(name, 0, 1)?.is_empty() {
                    return Err(unknown(name.clone(), &view));
                }
            }
            Ok(names)
        })
        .await?;
        let (view, stop) = (self.engine.view(), self.stop.clone());
        let follow = Follow { history: Arc::clone(&self.history), names, after, view, stop };
        Ok(Response::new(Box::pin(follow.run())))
    }
}
