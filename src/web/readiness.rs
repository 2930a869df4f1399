//! What must be done before the server is ready: named tasks, each with the reason why it is not.

use std::sync::Arc;

use tokio::sync::watch;

/// All tasks. A cloneable handle.
#[derive(Debug, Clone)]
pub struct Readiness {
    tasks: Arc<watch::Sender<Vec<Task>>>,
}

#[derive(Debug)]
struct Task {
    name: String,
    /// Why it is not ready; `None` when it is.
    pending: Option<String>,
}

/// One task's hand on its entry. Dropped, it leaves the entry as it is: what was never ready stays so.
#[derive(Debug)]
#[must_use = "the server is not ready before this task is"]
pub struct ReadinessTask {
    readiness: Readiness,
    place: usize,
}

impl Default for Readiness {
    fn default() -> Self {
        Self { tasks: Arc::new(watch::Sender::new(Vec::new())) }
    }
}

impl Readiness {
    /// Adds a task; it is pending until it says that it is ready.
    pub fn register(&self, name: impl Into<String>) -> ReadinessTask {
        let task = Task { name: name.into(), pending: Some("starting".into()) };
        let mut place = 0;
        self.tasks.send_modify(|tasks| {
            place = tasks.len();
            tasks.push(task);
        });
        ReadinessTask { readiness: self.clone(), place }
    }

    /// The tasks that are not ready and why, in the order in which they were registered.
    pub fn pending(&self) -> Vec<(String, String)> {
        self.tasks.borrow().iter().filter_map(|task| Some((task.name.clone(), task.pending.clone()?))).collect()
    }

    /// Waits until every task that is registered is ready.
    pub async fn wait(&self) {
        let mut tasks = self.tasks.subscribe();
        // The sender lives as long as `self`.
        let _ = tasks.wait_for(|tasks| tasks.iter().all(|task| task.pending.is_none())).await;
    }

    fn set(&self, place: usize, pending: Option<String>) {
        self.tasks.send_if_modified(|tasks| {
            let task = &mut tasks[place];
            if task.pending == pending {
                return false;
            }
            match &pending {
                None => tracing::info!(task = %task.name, "ready"),
                Some(reason) => tracing::warn!(task = %task.name, %reason, "not ready"),
            }
            task.pending = pending;
            true
        });
    }
}

impl ReadinessTask {
    /// It is ready.
    pub fn ready(&self) {
        self.readiness.set(self.place, None);
    }

    /// It is not ready (any more), because.
    pub fn unready(&self, reason: impl Into<String>) {
        self.readiness.set(self.place, Some(reason.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_ready_when_every_task_is() {
        let readiness = Readiness::default();
        readiness.wait().await;
        let (store, xds) = (readiness.register("store"), readiness.register("xds"));
        store.ready();
        xds.unready("no snapshot yet");
        assert_eq!(readiness.pending(), [("xds".to_owned(), "no snapshot yet".to_owned())]);
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.wait().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        xds.ready();
        waiting.await.expect("it ends");
        store.unready("disk full");
        drop(store);
        assert_eq!(readiness.pending(), [("store".to_owned(), "disk full".to_owned())]);
    }

    #[test]
    fn two_tasks_of_one_name_are_two() {
        let readiness = Readiness::default();
        readiness.register("xds").ready();
        let _second = readiness.register("xds");
        assert_eq!(readiness.pending(), [("xds".to_owned(), "starting".to_owned())]);
    }
}
