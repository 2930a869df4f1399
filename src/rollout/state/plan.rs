//! What follows from a state: the traffic, the proxies that it is judged at, the calls.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Calling, Progress, Replacement, RetireStage, Retiring, Rollout, Stage, State};
use crate::model::{Mirrored, Routing, Share, Step, Targeted, TrafficPlan, Wave, Weight};
use crate::rollout::call::{About, Call, Question};
use crate::rollout::evidence::Basis;

/// The proxies that a rollout is judged at, by their region.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    /// All.
    #[default]
    Everywhere,
    /// Those of these regions.
    Regions(Vec<String>),
    /// Those of any other region.
    Except(Vec<String>),
}

impl Scope {
    /// Whether proxies of a region are among them.
    pub fn has(&self, region: &str) -> bool {
        let is_told = |regions: &[String]| regions.iter().any(|one| one == region);
        match self {
            Scope::Everywhere => true,
            Scope::Regions(regions) => is_told(regions),
            Scope::Except(regions) => !is_told(regions),
        }
    }
}

impl Progress {
    /// Where the requests of the present wave go.
    fn routing(&self, stable: &str) -> Routing {
        let split = self.with_baseline(Routing::split(&self.canary, self.weight, stable));
        if self.stage == Stage::Preparing || self.canary == stable {
            return split;
        }
        let targeted = |rule: &_| Targeted { rule: Clone::clone(rule), version: self.canary.clone() };
        let mirrored = || Mirrored { version: self.canary.clone(), percent: self.mirror };
        Routing {
            sticky: self.sticky.clone(),
            rules: self.rules.iter().map(targeted).collect(),
            mirror: (self.mirror > Weight::ZERO).then(mirrored),
            preview: (self.rolling.is_none() || self.weight > Weight::ZERO).then(|| self.canary.clone()),
            ..split
        }
    }

    fn with_baseline(&self, split: Routing) -> Routing {
        match &self.baseline {
            Some(baseline) if self.canary != *baseline => split.with_baseline(baseline),
            Some(_) | None => split,
        }
    }

    /// The share of the traffic that is compared, in the present wave: the canary's and its baseline's together.
    pub(in crate::rollout) fn compared(&self, stable: &str) -> Weight {
        let (routing, baseline) = (self.routing(stable), self.compared_with().unwrap_or(stable));
        let sum = routing.weight_of(&self.canary).hundredths() + routing.weight_of(baseline).hundredths();
        Weight::from_hundredths(sum)
    }

    /// The baseline set, where it has traffic.
    fn compared_with(&self) -> Option<&str> {
        let splits = self.weight > Weight::ZERO && self.weight < Weight::FULL;
        self.baseline.as_deref().filter(|_| splits && self.stage != Stage::Preparing)
    }

    /// The regions of the waves before the present one.
    fn done(&self) -> Vec<String> {
        let before = self.waves.iter().take(self.wave);
        before
            .flat_map(|wave| match wave {
                Wave::Regions(regions) => regions.clone(),
                Wave::All => Vec::new(),
            })
            .collect()
    }

    /// Before the first traffic: who comes to connect meanwhile must have the cluster, too.
    pub(in crate::rollout) fn has_no_share(&self) -> bool {
        self.stage == Stage::Preparing || (self.weight == Weight::ZERO && self.rolling.is_none())
    }

    pub(in crate::rollout) fn is_last_wave(&self) -> bool {
        self.wave + 1 >= self.waves.len()
    }
}

impl Rollout {
    /// The traffic that this state stands for.
    pub fn plan(&self) -> TrafficPlan {
        let all_to = |version: &str| (Routing::all_to(version), Vec::new());
        let (mut routing, mut regions) = match &self.state {
            State::Healthy | State::Reverted { .. } | State::Retiring(_) => all_to(&self.stable),
            State::Promoting { canary, .. } => all_to(canary),
            State::Reverting(back) if back.weight == Weight::ZERO => all_to(&self.stable),
            State::Reverting(back) => {
                let split = Routing::split(&back.canary, back.weight, &self.stable);
                let split = back.baseline.iter().fold(split, |split, baseline| split.with_baseline(baseline));
                (Routing { sticky: back.sticky.clone(), ..split }, Vec::new())
            }
            State::Experimenting(trial) => {
                let arms = trial
                    .arms
                    .iter()
                    .map(|arm| (arm.version.clone(), if trial.ready { arm.share() } else { Weight::ZERO }));
                let mut shares: Vec<Share> = arms.map(|(version, weight)| Share { version, weight }).collect();
                let rest = shares
                    .iter()
                    .fold(Weight::FULL.hundredths(), |rest, share| rest.saturating_sub(share.weight.hundredths()));
                shares.push(Share { version: self.stable.clone(), weight: Weight::from_hundredths(rest) });
                (Routing { shares, ..Routing::default() }, Vec::new())
            }
            State::Progressing(progress) => {
                let present = progress.routing(&self.stable);
                let mut regions = Vec::new();
                let done = progress.done();
                if !done.is_empty() {
                    regions.push((done, Routing::all_to(&progress.canary)));
                }
                match progress.waves.get(progress.wave) {
                    Some(Wave::Regions(now)) => {
                        regions.push((now.clone(), present));
                        // Named even at 0 %, so that the canary's cluster stays.
                        let nothing = Routing::split(&progress.canary, Weight::ZERO, &self.stable);
                        (progress.with_baseline(nothing), regions)
                    }
                    Some(Wave::All) | None => (present, regions),
                }
            }
        };
        for routing in std::iter::once(&mut routing).chain(regions.iter_mut().map(|(_, routing)| routing)) {
            routing.preview_hosts.clone_from(&self.preview_hosts);
        }
        let plan = TrafficPlan::routed(&self.service, routing, regions);
        debug_assert!(plan.is_ok(), "{plan:?}");
        let mut plan = plan.unwrap_or_else(|_| TrafficPlan::all_to(&self.service, &self.stable));
        if let Some((rolling, canary)) = self.rolling() {
            plan.endpoints = rolling.endpoints(&self.names(canary, ""));
        }
        plan
    }

    /// The endpoints that are being replaced, there or back.
    pub(in crate::rollout) fn rolling(&self) -> Option<(&Replacement, &str)> {
        match &self.state {
            State::Progressing(progress) => Some((progress.rolling.as_ref()?, &progress.canary)),
            State::Promoting { canary, rolling, .. } => Some((rolling.as_ref()?, canary)),
            State::Reverting(back) => Some((back.rolling.as_ref()?, &back.canary)),
            _ => None,
        }
    }

    /// The proxies that it is judged at.
    pub fn scope(&self) -> Scope {
        let State::Progressing(progress) = &self.state else { return Scope::Everywhere };
        match progress.waves.get(progress.wave) {
            None => Scope::Everywhere,
            Some(Wave::Regions(regions)) => Scope::Regions(regions.clone()),
            Some(Wave::All) => Scope::Except(progress.done()),
        }
    }

    /// Which counts are evidence. A version without a share has copied or chosen requests at most, which only the
    /// proxies' own statistics of their tries tell; the chosen ones speak where they are a preview that is to be judged.
    pub fn basis(&self) -> Basis {
        match &self.state {
            State::Progressing(Progress { weight: Weight::ZERO, judges_preview: true, .. }) => Basis::Tries,
            State::Progressing(Progress { weight: Weight::ZERO, mirror, .. }) if *mirror > Weight::ZERO => {
                Basis::Copies
            }
            _ => Basis::Shared,
        }
    }

    /// The versions whose clusters every proxy must have accepted before anything goes on.
    pub fn awaited(&self) -> Vec<&str> {
        match &self.state {
            State::Progressing(progress) if progress.has_no_share() => {
                std::iter::once(progress.canary.as_str()).chain(self.baseline_set()).collect()
            }
            State::Experimenting(trial) if !trial.ready => trial.arms.iter().map(|arm| arm.version.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// The version that it is compared with.
    pub fn baseline(&self) -> &str {
        match &self.state {
            State::Progressing(progress) => progress.compared_with().unwrap_or(&self.stable),
            _ => &self.stable,
        }
    }

    /// The version that was started to compare with, while it serves; also where it has no traffic yet.
    pub fn baseline_set(&self) -> Option<&str> {
        match &self.state {
            State::Progressing(progress) => progress.baseline.as_deref(),
            _ => None,
        }
    }

    /// Whether endpoints are being replaced, there or back.
    pub fn replaces_endpoints(&self) -> bool {
        self.rolling().is_some()
    }

    /// The versions that are judged against the stable one.
    pub fn judged(&self) -> Vec<&str> {
        match &self.state {
            State::Progressing(progress) => vec![&progress.canary],
            State::Experimenting(trial) => trial.arms.iter().map(|arm| arm.version.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// The endpoints whose last requests are waited for, and the version that they are of.
    pub fn draining(&self) -> Option<&str> {
        match &self.state {
            State::Retiring(Retiring { version, stage: RetireStage::Draining { .. }, .. }) => Some(version),
            _ => None,
        }
    }

    /// What somebody outside is to be asked now.
    pub fn calls(&self) -> Vec<Call> {
        let prefix = self.key_prefix();
        match &self.state {
            State::Progressing(Progress { stage: Stage::Calling(calling), canary, wave, step, .. }) => {
                self.call(calling, format!("{prefix}/{wave}.{step}"), canary, &[]).into_iter().collect()
            }
            State::Retiring(Retiring { version, endpoints, stage, .. }) => match stage {
                RetireStage::Draining { .. } => Vec::new(),
                RetireStage::Before(calling) | RetireStage::Throwing(calling) => {
                    let key = format!("{prefix}/{}", calling.purpose);
                    self.call(calling, key, version, endpoints).into_iter().collect()
                }
            },
            State::Progressing(_) | State::Reverting(_) => {
                let Some((rolling, canary)) = self.rolling() else { return Vec::new() };
                rolling.calls(&self.names(canary, &prefix))
            }
            State::Healthy | State::Promoting { .. } | State::Reverted { .. } | State::Experimenting(_) => Vec::new(),
        }
    }

    fn call(&self, calling: &Calling, key: String, version: &str, endpoints: &[SocketAddr]) -> Option<Call> {
        let Calling { hook, purpose, attempt, wait, .. } = calling;
        let about = About {
            release: self.release.clone(),
            service: self.service.clone(),
            version: version.to_owned(),
            stable: self.stable.clone(),
            purpose: purpose.clone(),
            endpoints: endpoints.to_vec(),
        };
        let question = Question::Hook { hook: hook.clone(), about };
        (*wait == Duration::ZERO).then_some(Call { key, attempt: *attempt, question })
    }

    /// What an answer must bear to be that of a hook that is on its way now.
    pub(in crate::rollout) fn is_answer(&self, key: &str, attempt: u32) -> bool {
        self.calls().iter().any(|call| call.key == key && call.attempt == attempt)
    }
}

impl Step {
    /// The share that the step gives the canary, when it does.
    pub(in crate::rollout) fn weight(&self) -> Option<Weight> {
        match self {
            Step::SetWeight(weight) | Step::Auto { to: weight, .. } => Some(*weight),
            _ => None,
        }
    }
}
