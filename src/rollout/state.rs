//! What a rollout is, as it is kept.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::analysis::Judge;
use crate::model::{Release, Step, TrafficPlan, Weight};

/// How many former stable versions are remembered.
const REMEMBERED: usize = 10;

/// The carrying out of one release: everything that must outlive the process.
///
/// The traffic is not part of it: [`Rollout::plan`] derives it from the state, so that the two cannot disagree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The release's name.
    pub release: String,
    /// The service it releases.
    pub service: String,
    /// The version that traffic returns to.
    pub stable: String,
    /// Former stable versions, the newest last.
    pub former: Vec<String>,
    /// Where it stands.
    pub state: State,
    /// Held by hand.
    pub held: bool,
    /// What the proxies have against it, as it was last told.
    #[serde(default)]
    pub obstacle: Option<String>,
    /// The canary's share that every connected proxy was last seen to have in force.
    pub actual: Weight,
    /// When what is going on was begun.
    pub started_at: Timestamp,
    /// When the state last became another one.
    pub changed_at: Timestamp,
}

/// Where a rollout stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each release, and it is mostly the large one that matters"
)]
pub enum State {
    /// The stable version is the wanted one and has all the traffic.
    Healthy,
    /// A canary takes its steps.
    Progressing(Progress),
    /// The canary was given all the traffic; not every proxy has acknowledged it.
    Promoting {
        /// The version that becomes stable.
        canary: String,
    },
    /// The stable version was given all the traffic back; not every proxy has acknowledged it.
    Reverting {
        /// The version that is left.
        canary: String,
        /// Why.
        reason: String,
    },
    /// The wanted version was reverted. It is not tried again by itself.
    Reverted {
        /// The version that was reverted.
        canary: String,
        /// Why.
        reason: String,
    },
}

/// A canary on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The version on its way.
    pub canary: String,
    /// The strategy that is carried out, as it was when the present step was entered.
    pub steps: Vec<Step>,
    /// The index of the present step.
    pub step: usize,
    /// How far the present step is.
    pub stage: Stage,
    /// The canary's published share.
    pub weight: Weight,
    /// The judgement of the canary so far.
    pub judge: Judge,
}

/// How far a step is. Times are of attended time: while the control plane was up, and nobody held the release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// Before the first step: the version's cluster and endpoints are with the proxies, and no traffic moves before every
    /// one has accepted them. All services of a listener share one route configuration, so a route to a cluster that a
    /// proxy refuses would hold up every other release there, and their reverts, too.
    Preparing,
    /// A weight was published; the step is done when every proxy has it in force.
    Settling,
    /// A timed pause.
    Pausing {
        /// How much of it is over.
        spent: Duration,
    },
    /// An analysis.
    Analyzing {
        /// How long there was something to look at.
        spent: Duration,
        /// For how long there has been nothing to look at.
        blind: Duration,
    },
    /// Waits for a person: at `pause: {}`, or after an analysis that proved nothing.
    Waiting {
        /// What for.
        reason: String,
    },
}

impl Rollout {
    /// The rollout of a service's very first version: it is stable at once.
    pub fn adopt(release: &str, service: &str, version: &str, now: Timestamp) -> Self {
        Self {
            release: release.into(),
            service: service.into(),
            stable: version.into(),
            former: Vec::new(),
            state: State::Healthy,
            held: false,
            obstacle: None,
            actual: Weight::ZERO,
            started_at: now,
            changed_at: now,
        }
    }

    /// The traffic that this state stands for.
    pub fn plan(&self) -> TrafficPlan {
        match &self.state {
            State::Healthy | State::Reverting { .. } | State::Reverted { .. } => {
                TrafficPlan::all_to(&self.service, &self.stable)
            }
            State::Progressing(progress) => {
                TrafficPlan::split(&self.service, &progress.canary, progress.weight, &self.stable)
            }
            State::Promoting { canary } => TrafficPlan::all_to(&self.service, canary),
        }
    }

    /// The version that is on its way, or on its way back, or was reverted.
    pub fn canary(&self) -> Option<&str> {
        match &self.state {
            State::Healthy => None,
            State::Progressing(Progress { canary, .. })
            | State::Promoting { canary }
            | State::Reverting { canary, .. }
            | State::Reverted { canary, .. } => Some(canary),
        }
    }

    /// Whether nothing is going on, nor will be until an order or another spec comes: an observation changes nothing.
    pub fn is_at_rest(&self, release: &Release) -> bool {
        let is_done = match &self.state {
            State::Healthy => release.version == self.stable || release.paused,
            State::Reverted { canary, .. } => {
                release.version != self.stable && (release.version == *canary || release.paused)
            }
            State::Progressing(_) | State::Promoting { .. } | State::Reverting { .. } => false,
        };
        is_done && self.actual == Weight::ZERO
    }

    /// The versions that must not vanish from the specs: those with traffic, and the one that traffic returns to.
    pub fn needed_versions(&self) -> Vec<String> {
        let mut versions = vec![self.stable.clone()];
        let plan = self.plan();
        versions.extend(plan.shares().iter().filter(|s| s.weight > Weight::ZERO).map(|s| s.version.clone()));
        versions.sort();
        versions.dedup();
        versions
    }

    /// Makes `version` the stable one and remembers the one before. A return to the one before forgets what it left:
    /// a version that was rolled back takes its steps again.
    pub(super) fn settle_on(&mut self, version: String) {
        let before = std::mem::replace(&mut self.stable, version);
        if self.former.last() == Some(&self.stable) {
            self.former.pop();
            return;
        }
        self.former.retain(|former| *former != before && *former != self.stable);
        self.former.push(before);
        if self.former.len() > REMEMBERED {
            self.former.remove(0);
        }
    }
}
