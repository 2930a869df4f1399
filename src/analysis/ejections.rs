//! Endpoints that the proxies took out of rotation, judged for themselves: an ejection hides the bad endpoint from
//! the success rate.
//!
//! A stated rule (so far apart in two windows running), no test: it takes no part of the accepted risk and promises no
//! chance of being wrong.
//!
//! PURE. Invariant: one window alone never fails, so that a blip does not.

use serde::{Deserialize, Serialize};

use super::words::percent;
use super::{Metric, MetricEvidence, Standing, Window};
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
        if window.proxies == 0 || window.canary.endpoints == 0 {
            return;
        }
        self.canary = Gauge { ejected: window.canary.ejected, endpoints: window.canary.endpoints };
        self.baseline = Gauge { ejected: window.baseline.ejected, endpoints: window.baseline.endpoints };
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
                "{}: more than {} apart in {} windows running, reverts",
                self.said(),
                percent(metric.max_excess),
                self.over
            )
        })
    }

    /// How it stands.
    pub(super) fn standing(&self, metric: &EjectionsMetric) -> MetricEvidence {
        let standing = match self.over {
            _ if self.canary.endpoints == 0 => Standing::NoData,
            0 => Standing::Pass,
            over if over < WINDOWS => Standing::Undecided,
            _ => Standing::Fail,
        };
        let said = format!("{}, at most {} apart", self.said(), percent(metric.max_excess));
        MetricEvidence { metric: Metric::Ejections, dry_run: metric.dry_run, standing, said }
    }

    fn said(&self) -> String {
        format!(
            "ejections: {} of the canary's endpoints against {} of the baseline's",
            words(self.canary),
            words(self.baseline)
        )
    }
}

fn words(gauge: Gauge) -> String {
    format!("{}/{} ({})", gauge.ejected, gauge.endpoints, percent(gauge.share()))
}
