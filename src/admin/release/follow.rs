//! Journals as they grow.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_stream::Stream;

use super::super::error::AdminError;
use super::super::{convert, off_the_runtime, proto};
use crate::rollout::CommandError;
use crate::rollout::engine::View;
use crate::store::{History, JournalEntry};

/// Entries that are held at a time.
const PAGE: usize = 100;

/// What is told of which journals.
pub(super) struct Follow {
    pub(super) history: Arc<dyn History>,
    /// The releases; all when empty.
    pub(super) names: Vec<String>,
    /// What is told of none of them.
    pub(super) after: u64,
    pub(super) view: watch::Receiver<Arc<View>>,
    pub(super) stop: watch::Receiver<bool>,
}

/// How far one journal has been told.
#[derive(Default)]
struct Told {
    /// The last entry.
    last: u64,
    /// What the journal had gained when it was last looked at.
    gained: Option<u64>,
}

impl Follow {
    /// The entries, oldest first within a release. Only what the view says has grown is read.
    pub(super) fn run(
        mut self,
    ) -> impl Stream<Item = Result<proto::WatchReleaseEventsResponse, tonic::Status>> + Send + 'static {
        async_stream::try_stream! {
            let mut told: BTreeMap<String, Told> = BTreeMap::new();
            loop {
                let view = Arc::clone(&self.view.borrow_and_update());
                for name in self.watched(&view) {
                    let told = told.entry(name.clone()).or_insert_with(|| Told { last: self.after, gained: None });
                    let gained = view.journal.get(&name).copied().unwrap_or_default();
                    if told.gained.replace(gained) == Some(gained) {
                        continue;
                    }
                    loop {
                        let page = self.page(&name, told.last).await?;
                        let is_last = page.len() < PAGE;
                        if let Some(newest) = page.last() {
                            told.last = newest.sequence;
                            let events = page.into_iter().map(|entry| convert::event(&name, entry)).collect();
                            yield proto::WatchReleaseEventsResponse { events };
                        }
                        if is_last {
                            break;
                        }
                    }
                }
                self.rest().await?;
            }
        }
    }

    fn watched(&self, view: &View) -> Vec<String> {
        if !self.names.is_empty() {
            return self.names.clone();
        }
        let mut names: Vec<String> = view.releases.keys().chain(view.journal.keys()).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    async fn page(&self, name: &str, after: u64) -> Result<Vec<JournalEntry>, AdminError> {
        if *self.stop.borrow() {
            return Err(CommandError::Stopped.into());
        }
        let (history, name) = (Arc::clone(&self.history), name.to_owned());
        off_the_runtime(move || Ok(history.journal(&name, after, PAGE)?)).await
    }

    /// Waits until something may have happened.
    async fn rest(&mut self) -> Result<(), AdminError> {
        let goes_on = tokio::select! {
            _ = self.stop.wait_for(|stop| *stop) => false,
            changed = self.view.changed() => changed.is_ok(),
        };
        if goes_on { Ok(()) } else { Err(CommandError::Stopped.into()) }
    }
}
