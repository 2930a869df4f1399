//! Traffic with a known law of durations.

use std::time::Duration;

pub(super) use crate::analysis::random::Random;
use crate::analysis::{Arm, Window};
use crate::model::Histogram;
pub(super) use crate::simulation::durations::BOUNDS;

/// Log-normal durations.
#[derive(Clone, Copy)]
pub(super) struct Law {
    /// In milliseconds.
    pub(super) median: f64,
    /// The standard deviation of the logarithm.
    pub(super) spread: f64,
    /// The share of requests that are stuck, and for how many milliseconds more.
    pub(super) stuck: (f64, f64),
}

impl Law {
    pub(super) fn draw(&self, random: &mut Random) -> f64 {
        let duration = self.median * (self.spread * random.normal()).exp();
        if random.next() < self.stuck.0 { duration + self.stuck.1 } else { duration }
    }
}

pub(super) fn histogram(durations: impl IntoIterator<Item = f64>) -> Histogram {
    let mut counts = vec![0; BOUNDS.len()];
    for duration in durations {
        counts[BOUNDS.partition_point(|bound| *bound < duration)] += 1;
    }
    Histogram { bounds: BOUNDS.to_vec(), counts }
}

pub(super) fn window(canary: Histogram, baseline: Histogram) -> Window {
    let arm = |histogram: Histogram| Arm { requests: histogram.total(), latency: Some(histogram), ..Arm::default() };
    Window {
        canary: arm(canary),
        baseline: arm(baseline),
        proxies: 1,
        length: Duration::from_secs(1),
        ..Window::default()
    }
}
