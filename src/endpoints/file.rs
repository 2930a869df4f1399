//! Files that list endpoints.
//!
//! Owns when they are read: the whole file each second, because file events are not told by every file system, and a
//! list is short. It is taken only when it reads the same twice in a row, so that one that is being written is left alone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::model::Endpoint;
use crate::spec::{self, Diagnostic, SourceFile, source};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// How long a file must stay the same before it is taken.
const QUIET: Duration = Duration::from_millis(50);

/// A file as it was read, or why it was not.
type Read = Result<SourceFile, String>;

/// Reads a file below a directory again and again, and hands over what it says whenever that is news. Ends when nobody
/// takes it any more.
pub(super) async fn follow<F>(root: Arc<Path>, path: String, mut tell: impl FnMut(Result<Vec<Endpoint>, String>) -> F)
where
    F: Future<Output = bool>,
{
    let mut taken = None;
    loop {
        let first = read(Arc::clone(&root), path.clone()).await;
        if taken.as_ref() != Some(&first) {
            sleep(QUIET).await;
            let second = read(Arc::clone(&root), path.clone()).await;
            if first == second {
                if !tell(understand(&first)).await {
                    return;
                }
                taken = Some(first);
            }
        }
        sleep(EVERY).await;
    }
}

async fn read(root: Arc<Path>, path: String) -> Read {
    let reading = tokio::task::spawn_blocking(move || source::read_below(&root, &path).map_err(|e| e.to_string()));
    reading.await.unwrap_or_else(|error| Err(format!("it cannot be read: {error}")))
}

/// The first fault is enough: the list is mended in one place.
fn understand(read: &Read) -> Result<Vec<Endpoint>, String> {
    let file = read.as_ref().map_err(Clone::clone)?;
    spec::endpoints(file).map_err(|told| told.first().map(on_one_line).unwrap_or_default())
}

fn on_one_line(fault: &Diagnostic) -> String {
    let Diagnostic { file, line, column, message, help, .. } = fault;
    let place = if *line == 0 { file.clone() } else { format!("{file}:{line}:{column}") };
    let help = help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{place}: {message}{help}")
}

#[cfg(test)]
mod tests;
