//! Waiting for a condition. Tests wait for what they need, never for a length of time.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

/// The time between two looks.
const EVERY: Duration = Duration::from_millis(20);

/// Calls `probe` until it succeeds, and returns what it found. One look may take as long as the deadline allows.
///
/// # Errors
/// When `deadline` passes first: names `what` was waited for, with the last look's error as the cause.
pub async fn until<T, F, Fut>(what: &str, deadline: Duration, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let end = Instant::now() + deadline;
    let mut last = anyhow::anyhow!("the first look did not end");
    loop {
        match tokio::time::timeout_at(end, probe()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => last = error,
            Err(_) => return Err(last).with_context(|| format!("waited {deadline:?} for {what}")),
        }
        if Instant::now() + EVERY >= end {
            return Err(last).with_context(|| format!("waited {deadline:?} for {what}"));
        }
        sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::bail;

    use super::*;

    #[tokio::test]
    async fn it_looks_until_the_condition_holds() {
        let looks = Cell::new(0);
        let found = until("the third look", Duration::from_secs(60), || async {
            looks.set(looks.get() + 1);
            if looks.get() < 3 { bail!("only {}", looks.get()) } else { Ok(looks.get()) }
        })
        .await;
        assert_eq!(found.ok(), Some(3));
    }

    #[tokio::test]
    async fn a_missed_deadline_says_what_was_missing() {
        let missed: Result<()> = until("rain", Duration::from_millis(50), || async { bail!("the sky is blue") }).await;
        let text = format!("{:#}", missed.expect_err("it never rains"));
        assert_eq!(text, "waited 50ms for rain: the sky is blue");
        let stuck: Result<()> = until("an answer", Duration::from_millis(50), std::future::pending).await;
        assert!(stuck.is_err(), "a look that hangs is cut off");
    }
}
