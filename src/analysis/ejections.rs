//! Endpoints that the proxies took out of rotation, judged for themselves: an ejection hides the bad endpoint from
//! the success rate.
//!
//! PURE. Invariant: one window alone never fails, so that a blip does not.

use serde::{Deserialize, Serialize};

use super::Window;
use super::words::percent;
use crate::model::EjectionsMetric;

/// How many windows running must exceed.
const WINDOWS: u32 = 2;

/// What the newest windows say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Ejections {
    /// How many windows running have exceeded.
    over: u32,
    canary: Gauge,
    baseline: Gauge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Gauge {
    ejected: u64,
    endpoints: u64,
}

impl Gauge {
    fn share(self) -> f64 {
        if self.endpoints == 0 { 0.0 } else { self.ejected.min(self.endpoints) as f64 / self.endpoints as f64 }
    }
}

impl Ejections {
    /// Takes in one window. Without the canary's endpoints it says nothing, and changes nothing.
    pub(super) fn observe(&mut self, window: &Window, metric: &EjectionsMetric) {
        if window.proxies == 0 || window.canary_endpoints == 0 {
            return;
        }
        self.canary = Gauge { ejected: window.canary_ejected, endpoints: window.canary_endpoints };
        self.baseline = Gauge { ejected: window.baseline_ejected, endpoints: window.baseline_endpoints };
        let exceeds = self.canary.share() - self.baseline.share() > metric.max_excess;
        self.over = if exceeds { self.over.saturating_add(1) } else { 0 };
    }

    /// Whether the newest window exceeded: not a failure yet, but nothing to pass with.
    pub(super) fn suspicious(&self) -> bool {
        self.over > 0
    }

    /// Why it fails, if it does.
    pub(super) fn failure(&self, metric: &EjectionsMetric) -> Option<String> {
        (self.over >= WINDOWS).then(|| {
            format!(
                "ejections: {} of the canary's endpoints against {} of the baseline's: more than {} apart in {} windows \
                 running, reverts",
                words(self.canary),
                words(self.baseline),
                percent(metric.max_excess),
                self.over
            )
        })
    }
}

fn words(gauge: Gauge) -> String {
    format!("{}/{} ({})", gauge.ejected, gauge.endpoints, percent(gauge.share()))
}
