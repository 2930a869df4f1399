//! How fast new streams are let in. After a restart all proxies come back at once, and each wants everything: they are
//! let in at a pace, in the order in which they came, and wait rather than be refused, for who is refused comes again.
//!
//! [`Gcra`] is pure: time is an argument. [`Admission`] is the thin SHELL around it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tonic::Status;

/// How many may come in, and wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Streams a second, at least 1.
    pub rate: u32,
    /// Streams at once after a quiet time, at least 1.
    pub burst: u32,
    /// Streams that may wait; further ones are told to come back.
    pub waiting: usize,
}

/// The generic cell rate algorithm (ITU-T I.371), a leaky bucket that is one point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gcra {
    /// Between two at the steady rate.
    interval: Duration,
    /// How far ahead of the steady rate a burst may be.
    tolerance: Duration,
    /// When the next one would be expected at the steady rate; none yet, none expected.
    expected: Option<Instant>,
}

impl Gcra {
    /// `rate` a second at a steady pace and `burst` at once; each is 1 at least.
    pub fn new(rate: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / rate.max(1);
        Self { interval, tolerance: interval.saturating_mul(burst.saturating_sub(1)), expected: None }
    }

    /// Lets one in now.
    ///
    /// # Errors
    /// When it is too early: the time to try again.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let expected = self.expected.map_or(now, |expected| expected.max(now));
        let ahead = expected - now;
        if ahead > self.tolerance {
            return Err(now + (ahead - self.tolerance));
        }
        self.expected = Some(expected + self.interval);
        Ok(())
    }
}

/// Lets streams in.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    /// tokio's mutex is fair, so it is the queue: who holds it is the first of those who wait. That it is held across an
    /// await is its purpose.
    first: Mutex<Gcra>,
    waiting: AtomicUsize,
}

impl Admission {
    /// Lets streams in within these limits.
    pub fn new(limits: Limits) -> Self {
        let first = Mutex::new(Gcra::new(limits.rate, limits.burst));
        Self { limits, first, waiting: AtomicUsize::new(0) }
    }

    /// Ends when the stream may come in. A stream whose future is dropped leaves the queue, and nobody waits for it.
    ///
    /// # Errors
    /// `unavailable` when too many wait already.
    pub async fn admit(&self) -> Result<(), Status> {
        if let Ok(mut gcra) = self.first.try_lock()
            && gcra.take(now()).is_ok()
        {
            return Ok(());
        }
        let _place = self.place()?;
        let mut gcra = self.first.lock().await;
        while let Err(at) = gcra.take(now()) {
            tokio::time::sleep_until(at.into()).await;
        }
        Ok(())
    }

    /// How many streams wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn place(&self) -> Result<Place<'_>, Status> {
        let Limits { rate, waiting: most, .. } = self.limits;
        let taken = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| (waiting < most).then_some(waiting + 1));
        match taken {
            Ok(_) => Ok(Place(&self.waiting)),
            Err(waiting) => {
                let seconds = waiting.div_ceil(usize::try_from(rate.max(1)).unwrap_or(usize::MAX));
                let text = format!("{waiting} streams wait to be let in, {rate} a second: come back in {seconds} s");
                Err(Status::unavailable(text))
            }
        }
    }
}

/// A place among those who wait.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Virtual in tests that pause it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tonic::Code;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When each of those who come at these times (in milliseconds) is let in, if each tries again when it is told to.
    fn admitted(gcra: &mut Gcra, start: Instant, arrivals: &[u64]) -> Vec<u128> {
        let mut now = start;
        let mut admitted = Vec::new();
        for arrival in arrivals {
            now = now.max(start + Duration::from_millis(*arrival));
            while let Err(at) = gcra.take(now) {
                assert!(at > now, "told to try again at once");
                now = at;
            }
            admitted.push((now - start).as_millis());
        }
        admitted
    }

    #[test]
    fn a_burst_then_the_pace_then_a_burst_again() {
        let start = Instant::now();
        for (rate, burst, arrivals, expected) in [
            (10, 1, vec![0, 0, 0], vec![0, 100, 200]),
            (10, 3, vec![0, 0, 0, 0, 0], vec![0, 0, 0, 100, 200]),
            // Half of the burst is there again after half of its time.
            (10, 2, vec![0, 0, 100, 100], vec![0, 0, 100, 200]),
            // Quiet time earns a burst and no more.
            (10, 2, vec![0, 5000, 5000, 5000], vec![0, 5000, 5000, 5100]),
            // What makes no sense is one.
            (0, 0, vec![0, 0], vec![0, 1000]),
        ] {
            let mut gcra = Gcra::new(rate, burst);
            assert_eq!(admitted(&mut gcra, start, &arrivals), expected, "{rate} a second, {burst} at once");
        }
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate_in_any_window(
            rate in 1_u32..50, burst in 1_u32..20, mut arrivals in prop::collection::vec(0_u64..3000, 1..200),
        ) {
            arrivals.sort_unstable();
            let admitted = admitted(&mut Gcra::new(rate, burst), Instant::now(), &arrivals);
            for (from, begin) in admitted.iter().enumerate() {
                for (to, end) in admitted.iter().enumerate().skip(from) {
                    // One millisecond for the rounding of the times.
                    let most = u128::from(burst) + (end - begin + 1) * u128::from(rate) / 1000;
                    prop_assert!((to - from + 1) as u128 <= most, "{} in {} ms", to - from + 1, end - begin);
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_come_in_in_order_and_who_leaves_is_not_waited_for() {
        let admission = Arc::new(Admission::new(Limits { rate: 1, burst: 1, waiting: 3 }));
        let begun = tokio::time::Instant::now();
        admission.admit().await.expect("the burst");

        let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut waiting = Vec::new();
        for name in ["a", "b", "c"] {
            let (admission, sender) = (Arc::clone(&admission), sender.clone());
            waiting.push(tokio::spawn(async move {
                admission.admit().await.expect("there is room to wait");
                sender.send((name, begun.elapsed().as_secs())).expect("somebody listens");
            }));
            tokio::task::yield_now().await;
        }
        assert_eq!(admission.waiting(), 3);

        let refused = admission.admit().await.expect_err("no room to wait");
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(refused.message().contains("come back in 3 s"), "{refused}");

        waiting.remove(1).abort();
        assert_eq!(order.recv().await, Some(("a", 1)));
        assert_eq!(order.recv().await, Some(("c", 2)));
        assert_eq!(admission.waiting(), 0);

        // A quiet time earns a burst.
        tokio::time::advance(10 * SECOND).await;
        admission.admit().await.expect("nobody waits");
        assert_eq!(begun.elapsed().as_secs(), 12);
    }
}
