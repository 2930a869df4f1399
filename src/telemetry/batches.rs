//! SHELL: reports on their way to the one who reads them, in batches: a task that is woken for each of 5,000 reports a
//! second spends more time on waking than on reading.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::report::NodeReport;

/// The most reports that are taken at once: whoever takes them has other things to do in between.
const LIMIT: usize = 256;
/// The time between two batches, unless there is more than one of them.
const BETWEEN: Duration = Duration::from_millis(20);

/// The receiving end of [`Telemetry`](super::Telemetry)'s reports.
#[derive(Debug)]
pub struct Batches {
    reports: mpsc::Receiver<NodeReport>,
    next: Instant,
}

impl Batches {
    /// Of what is sent to this channel.
    pub fn of(reports: mpsc::Receiver<NodeReport>) -> Self {
        Self { reports, next: Instant::now() }
    }

    /// Adds the reports that have come since the last time to `batch`, in their order, once there are any. Returns how many
    /// they are: 0 when there will be none any more. Nothing is lost when the future is dropped.
    pub async fn next(&mut self, batch: &mut Vec<NodeReport>) -> usize {
        sleep_until(self.next).await;
        let count = self.reports.recv_many(batch, LIMIT).await;
        if count < LIMIT {
            self.next = Instant::now() + BETWEEN;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(node: usize) -> NodeReport {
        let (node, now) = (node.to_string().into(), std::time::Instant::now());
        let (clusters, others) = Default::default();
        NodeReport { node, since: now, until: now, clusters, partial: false, others }
    }

    #[tokio::test(start_paused = true)]
    async fn all_come_in_order_and_few_at_a_time() {
        let (sink, reports) = mpsc::channel(2 * LIMIT);
        let mut batches = Batches::of(reports);
        for number in 0..LIMIT + 2 {
            sink.try_send(report(number)).expect("there is room");
        }
        let (start, mut came) = (Instant::now(), Vec::new());
        for (count, waited) in [(LIMIT, Duration::ZERO), (2, Duration::ZERO), (1, BETWEEN)] {
            assert_eq!((batches.next(&mut came).await, start.elapsed()), (count, waited));
            if count == 2 {
                sink.try_send(report(LIMIT + 2)).expect("there is room");
            }
        }
        let came: Vec<_> = came.iter().map(|report| report.node.to_string()).collect();
        assert_eq!(came, (0..LIMIT + 3).map(|number| number.to_string()).collect::<Vec<_>>());
        drop(sink);
        assert_eq!(batches.next(&mut Vec::new()).await, 0);
    }
}
