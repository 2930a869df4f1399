//! SHELL: one sink of one release, and how far it has been told.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::message::{body, is_wanted};
use super::{AGAIN, Line, Office};
use crate::http::Post;
use crate::store::JournalEntry;

/// How many entries of the journal are held at a time, and how many unwanted ones are passed before that is kept.
const PAGE: usize = 64;
/// How long a sink may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often a sink is tried before it goes without.
const TRIES: u32 = 10;
/// The time before the second try; each next one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest time between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The time between two looks at the journal: at least, however many hints come; and at most, when none comes.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

static NO_HEADERS: BTreeMap<String, String> = BTreeMap::new();

/// Tells one sink of one release what is in its journal.
pub(super) struct Follower<H> {
    office: Office,
    key: String,
    line: Line,
    /// The last entry that is dealt with.
    cursor: u64,
    /// The last one that the store knows of.
    kept: u64,
    hints: watch::Receiver<H>,
}

impl<H: Send + Sync + 'static> Follower<H> {
    pub(super) fn new(office: Office, key: String, line: Line, cursor: u64, hints: watch::Receiver<H>) -> Self {
        Self { office, key, line, cursor, kept: cursor, hints }
    }

    /// Follows until told to stop, and keeps how far it came.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            let page = tokio::select! {
                biased;
                _ = &mut stop => break,
                page = self.page() => page,
            };
            let caught_up = page.len() < PAGE;
            for entry in page {
                if is_wanted(&self.line.sink, &entry.kind) {
                    tokio::select! {
                        biased;
                        _ = &mut stop => return self.keep().await,
                        () = self.deliver(&entry) => {}
                    }
                    self.cursor = entry.sequence;
                    self.keep().await;
                } else {
                    self.cursor = entry.sequence;
                }
            }
            if self.cursor - self.kept >= PAGE as u64 {
                self.keep().await;
            }
            if caught_up {
                tokio::select! {
                    biased;
                    _ = &mut stop => break,
                    () = self.rest() => {}
                }
            }
        }
        self.keep().await;
    }

    /// The next entries of the journal; waits while the store cannot say.
    async fn page(&self) -> Vec<JournalEntry> {
        loop {
            let (release, after) = (self.line.release.clone(), self.cursor);
            match self.office.with_store(move |store| store.journal(&release, after, PAGE)).await {
                Ok(page) => return page,
                Err(error) => tracing::warn!(release = self.line.release, "notifications wait: {error}"),
            }
            sleep(AGAIN).await;
        }
    }

    /// Keeps how far it came. When that fails, the sink is told again after a restart; it can tell by the key.
    async fn keep(&mut self) {
        if self.cursor == self.kept {
            return;
        }
        let (key, cursor) = (self.key.clone(), self.cursor);
        match self.office.with_store(move |store| store.set_notified(&key, Some(cursor))).await {
            Ok(()) => self.kept = cursor,
            Err(error) => tracing::warn!(release = self.line.release, "cannot keep who was notified: {error}"),
        }
    }

    async fn rest(&mut self) {
        let (least, most) = LOOKS;
        sleep(least).await;
        // Without anybody to give hints, that is how it stays.
        if let Ok(Err(_)) = timeout(most - least, self.hints.changed()).await {
            sleep(most - least).await;
        }
    }

    /// Tells the sink, or gives up in the end.
    async fn deliver(&self, entry: &JournalEntry) {
        let Line { release, service, sink } = &self.line;
        let body = body(sink.format, release, service, entry);
        let key = format!("{release}/{}", entry.sequence);
        let mut attempt = 1;
        let outcome = loop {
            let post = Post {
                url: &sink.url,
                headers: &NO_HEADERS,
                key: &key,
                attempt,
                secret: sink.secret.as_deref(),
                body: body.clone(),
                timeout: TIMEOUT,
            };
            match (post.send(&self.office.client, &self.office.secrets).await, wait_after(attempt)) {
                (Err(why), Some(wait)) => {
                    tracing::debug!(release, sink = place(&sink.url), attempt, "not notified: {why}");
                    sleep(wait).await;
                }
                (outcome, _) => break outcome,
            }
            attempt += 1;
        };
        if let Err(why) = &outcome {
            let (sink, kind) = (place(&sink.url), &entry.kind);
            tracing::warn!(release, sink, kind, "not notified after {TRIES} tries: {why}");
        }
        self.office.tally.count(&outcome);
    }
}

/// The part of a URL that may be in a log: whoever knows the path of a chat's webhook can write there.
fn place(url: &str) -> String {
    url.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned)).unwrap_or_default()
}

/// How long to wait after a try that failed; `None` after the last one.
fn wait_after(attempt: u32) -> Option<Duration> {
    let wait = FIRST_WAIT * 2_u32.saturating_pow(attempt.saturating_sub(1).min(16));
    (attempt < TRIES).then_some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tries_are_ever_further_apart_and_end() {
        let waits: Vec<u64> = (1..).map_while(wait_after).map(|wait| wait.as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
