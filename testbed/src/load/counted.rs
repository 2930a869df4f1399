//! A load whose records are added up as they come, so that it can last, and be looked at on the way.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

use super::{Load, LoadControl, Summary};

/// A load that is counted by a task of its own. It ends when it is dropped.
#[derive(Debug)]
pub struct CountedLoad {
    control: LoadControl,
    summary: Arc<Mutex<Summary>>,
    counting: JoinHandle<()>,
}

impl CountedLoad {
    pub(super) fn new(mut load: Load) -> Self {
        let (control, summary) = (load.control(), Arc::new(Mutex::new(Summary::default())));
        let into = summary.clone();
        let counting = tokio::spawn(async move {
            while let Some(record) = load.next().await {
                with(&into, |summary| summary.add(&record));
            }
        });
        Self { control, summary, counting }
    }

    /// What has come of it until now.
    pub fn so_far(&self) -> Summary {
        let mut summary = with(&self.summary, |summary| summary.clone());
        summary.overload = self.control.overload();
        summary
    }

    /// Forgets which versions the users saw lately ([`super::Seen::look_anew`]).
    pub fn look_anew(&self) {
        with(&self.summary, |summary| summary.seen.look_anew());
    }

    /// Steers it.
    pub fn control(&self) -> &LoadControl {
        &self.control
    }

    /// Stops, waits for the requests in flight, and returns what came of it all.
    pub async fn finish(mut self) -> Summary {
        self.control.stop();
        // A panic inside has been printed, and the count is as far as it came.
        let _ = (&mut self.counting).await;
        self.so_far()
    }
}

impl Drop for CountedLoad {
    fn drop(&mut self) {
        self.counting.abort();
    }
}

fn with<T>(summary: &Mutex<Summary>, change: impl FnOnce(&mut Summary) -> T) -> T {
    // A panic elsewhere leaves at worst a record uncounted.
    change(&mut summary.lock().unwrap_or_else(PoisonError::into_inner))
}
