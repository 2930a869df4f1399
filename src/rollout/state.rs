//! What a rollout is, as it is kept.

mod climb;
mod experiment;
mod plan;
mod replacement;

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::analysis::Judge;
use crate::model::{Experiment, Hook, Release, Retire, Rule, Step, Sticky, Wave, Weight};

pub use climb::Climb;
pub use experiment::{Arm, Trial};
pub use plan::Scope;
pub use replacement::Replacement;

/// How many former stable versions are remembered.
const REMEMBERED: usize = 10;

/// The carrying out of one release: everything that must outlive the process.
///
/// The traffic is not part of it: [`Rollout::plan`] derives it from the state, so that the two cannot disagree. In the same
/// way [`Rollout::calls`] derives what is to be asked outside.
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
    /// Versions that were stable and were left by going back: they do not come back by themselves, but where a person
    /// names them.
    #[serde(default)]
    pub left: Vec<String>,
    /// Where it stands.
    pub state: State,
    /// Held by hand.
    pub held: bool,
    /// What the proxies have against it, as it was last told.
    #[serde(default)]
    pub obstacle: Option<String>,
    /// What it waits for before it may begin or go on, as it was last told: other releases, a window.
    #[serde(default)]
    pub waits: Option<String>,
    /// The canary's share that every connected proxy was last seen to have in force.
    pub actual: Weight,
    /// When what is going on was begun.
    pub started_at: Timestamp,
    /// When the state last became another one.
    pub changed_at: Timestamp,
    /// How many times steps were begun: calls of one time are told from those of another by it.
    #[serde(default)]
    pub generation: u64,
    /// How often the newest version that failed has failed.
    #[serde(default)]
    pub failed: Option<Failed>,
    /// The experiment that was last concluded, by name.
    #[serde(default)]
    pub concluded: Option<String>,
    /// Hosts of the spec's preview: they lead somewhere at all times.
    #[serde(default)]
    pub preview_hosts: Vec<String>,
}

/// A version that was reverted by its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The version.
    pub version: String,
    /// How often, at least 1.
    pub times: u32,
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
        /// Whether every proxy had it in force: only releases that go together are still waited for.
        #[serde(default)]
        settled: bool,
        /// The endpoints, where they were replaced: the way back puts them back.
        #[serde(default)]
        rolling: Option<Replacement>,
    },
    /// The canary is stable; what was before is thrown away.
    Retiring(Retiring),
    /// The stable version is given the traffic back; not every proxy has acknowledged it.
    Reverting(Return),
    /// The wanted version was reverted. It is not tried again by itself, unless the spec says so.
    Reverted {
        /// The version that was reverted.
        canary: String,
        /// Why.
        reason: String,
        /// For how long it has waited to be tried again.
        #[serde(default)]
        waited: Duration,
    },
    /// Candidates are tried beside the stable version.
    Experimenting(Trial),
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
    /// The canary's published share, in the present wave.
    pub weight: Weight,
    /// The judgement of the canary so far.
    pub judge: Judge,
    /// How far an `auto` step is.
    #[serde(default)]
    pub climb: Climb,
    /// The version that was started to compare with, while it serves.
    #[serde(default)]
    pub baseline: Option<String>,
    /// By what users keep their place.
    #[serde(default)]
    pub sticky: Option<Sticky>,
    /// The requests that are chosen for the canary.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Whether the requests that were chosen are judged, before the canary has a share.
    #[serde(default)]
    pub judges_preview: bool,
    /// The share of requests that is copied to the canary.
    #[serde(default)]
    pub mirror: Weight,
    /// The regions, one wave after the other; everywhere at once when empty.
    #[serde(default)]
    pub waves: Vec<Wave>,
    /// The index of the present wave.
    #[serde(default)]
    pub wave: usize,
    /// The endpoints, where they are replaced.
    #[serde(default)]
    pub rolling: Option<Replacement>,
    /// For how long the present step has made no progress that was its own to make.
    #[serde(default)]
    pub stalled: Duration,
    /// For how long the predecessor was looked at before a switch that takes only seconds.
    #[serde(default)]
    pub looked: Duration,
    /// For how long no endpoint of the canary has been healthy.
    #[serde(default)]
    pub dead: Duration,
    /// For how long the canary has had traffic, since every proxy first had it in force; counted as far as a metric that
    /// others measure waits for it.
    #[serde(default)]
    pub exposed: Duration,
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
    /// A hook is called.
    Calling(Calling),
    /// Endpoints are replaced.
    Replacing,
    /// All steps are done; releases that go together with it are not that far.
    Gate,
    /// Waits for a person: at `pause: {}`, or after an analysis that proved nothing.
    Waiting {
        /// What for.
        reason: String,
    },
}

/// A hook on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calling {
    /// Which.
    pub hook: Hook,
    /// What it is for, as it is told.
    pub purpose: String,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// How many have failed.
    pub failures: u32,
    /// The time that is left before it is made.
    pub wait: Duration,
}

/// The end of what was stable before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retiring {
    /// The version that is thrown away.
    pub version: String,
    /// Where it runs, as whoever throws it away is told.
    #[serde(default)]
    pub endpoints: Vec<SocketAddr>,
    /// How, as it was when this was begun.
    pub retire: Retire,
    /// How far it is.
    pub stage: RetireStage,
}

/// How far the end of a version is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RetireStage {
    /// Its last requests are waited for.
    Draining {
        /// For how long.
        spent: Duration,
    },
    /// The hook before it is thrown away.
    Before(Calling),
    /// The hook that throws it away: there is no way back any more.
    Throwing(Calling),
}

/// The way back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Return {
    /// The version that is left.
    pub canary: String,
    /// Why.
    pub reason: String,
    /// The share that it still has: what the way back began with, until the stable version can take it, and less and
    /// less where that takes a time.
    #[serde(default)]
    pub weight: Weight,
    /// What it had when the way back began.
    #[serde(default)]
    pub from: Weight,
    /// For how long traffic has been returning.
    #[serde(default)]
    pub spent: Duration,
    /// By what users keep their place, while traffic returns over a time.
    #[serde(default)]
    pub sticky: Option<Sticky>,
    /// The version that was compared with: it keeps its share as long as the canary has one.
    #[serde(default)]
    pub baseline: Option<String>,
    /// The endpoints, where they were replaced and are put back.
    #[serde(default)]
    pub rolling: Option<Replacement>,
    /// The version that is not to be begun again by itself, where that is another than the one that is left: a person went
    /// back further.
    #[serde(default)]
    pub refused: Option<String>,
}

impl Calling {
    /// The first try of a hook.
    pub fn new(hook: &Hook, purpose: &str) -> Self {
        let wait = Duration::ZERO;
        Self { hook: hook.clone(), purpose: purpose.into(), attempt: 1, failures: 0, wait }
    }
}

impl Rollout {
    /// The rollout of a service's very first version: it is stable at once.
    pub fn adopt(release: &str, service: &str, version: &str, now: Timestamp) -> Self {
        Self {
            release: release.into(),
            service: service.into(),
            stable: version.into(),
            former: Vec::new(),
            left: Vec::new(),
            state: State::Healthy,
            held: false,
            obstacle: None,
            waits: None,
            actual: Weight::ZERO,
            started_at: now,
            changed_at: now,
            generation: 0,
            failed: None,
            concluded: None,
            preview_hosts: Vec::new(),
        }
    }

    /// The version that is on its way, or on its way back, or was reverted.
    pub fn canary(&self) -> Option<&str> {
        match &self.state {
            State::Healthy | State::Retiring(_) | State::Experimenting(_) => None,
            State::Progressing(Progress { canary, .. })
            | State::Promoting { canary, .. }
            | State::Reverting(Return { canary, .. })
            | State::Reverted { canary, .. } => Some(canary),
        }
    }

    /// Whether nothing is going on, nor will be until an order or another spec comes: an observation changes nothing.
    pub fn is_at_rest(&self, release: &Release) -> bool {
        let is_done = match &self.state {
            State::Healthy if release.version == self.stable => !self.wants_experiment(release),
            State::Healthy => release.paused,
            State::Reverted { canary, .. } => {
                let tries_again = release.version == *canary && self.tries_again(release);
                release.version != self.stable && (release.version == *canary || release.paused) && !tries_again
            }
            State::Progressing(_)
            | State::Promoting { .. }
            | State::Retiring(_)
            | State::Reverting(_)
            | State::Experimenting(_) => false,
        };
        is_done && self.actual == Weight::ZERO
    }

    /// Whether the version that failed is tried again by itself.
    pub(super) fn tries_again(&self, release: &Release) -> bool {
        let times = self.failed.as_ref().filter(|failed| failed.version == release.version).map_or(0, |of| of.times);
        times > 0 && !release.paused && release.rollback.retry.is_some_and(|policy| times <= policy.limit)
    }

    pub(super) fn wants_experiment(&self, release: &Release) -> bool {
        let wanted = release.experiment.as_ref().filter(|_| !release.paused);
        let is_new = |experiment: &Experiment| {
            let tries_another = experiment.candidates.iter().any(|candidate| candidate.version != self.stable);
            tries_another && self.concluded.as_ref() != Some(&experiment.name)
        };
        wanted.is_some_and(is_new)
    }

    /// The versions that must not vanish from the specs: those that may get a request, and the one that traffic returns
    /// to.
    pub fn needed_versions(&self) -> Vec<String> {
        let mut versions = vec![self.stable.clone()];
        versions.extend(self.plan().versions().into_iter().map(str::to_owned));
        versions.extend(self.baseline_set().map(str::to_owned));
        versions.sort();
        versions.dedup();
        versions
    }

    /// Remembers a version that was stable as one that was left.
    pub(super) fn leave(&mut self, version: String) {
        self.left.retain(|left| *left != version);
        self.left.push(version);
        if self.left.len() > REMEMBERED {
            self.left.remove(0);
        }
    }

    /// Makes `version` the stable one and remembers the one before. A return to the one before forgets what it left:
    /// a version that was rolled back takes its steps again.
    pub(super) fn settle_on(&mut self, version: String) {
        let before = std::mem::replace(&mut self.stable, version);
        self.left.retain(|left| *left != self.stable);
        if let Some(at) = self.former.iter().position(|former| *former == self.stable) {
            let later: Vec<String> = self.former.drain(at..).skip(1).chain([before]).collect();
            later.into_iter().for_each(|version| self.leave(version));
            return;
        }
        self.former.retain(|former| *former != before);
        self.former.push(before);
        if self.former.len() > REMEMBERED {
            self.former.remove(0);
        }
    }
}
