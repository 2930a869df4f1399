//! How a live version is replaced: the techniques, and the steps that they are made of.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Hook, Portion, Probe, Rule, Sticky, Weight};

/// How the live version is replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::large_enum_variant, reason = "one for each release, and boxes would be in everybody's way")]
pub enum Strategy {
    /// A growing share of the traffic, in steps. After the last step the version gets all of it.
    Canary(Canary),
    /// A second set of endpoints beside the first; all traffic is switched from one to the other.
    BlueGreen(BlueGreen),
    /// The endpoints are replaced or updated a few at a time; traffic follows their numbers.
    Rolling(Rolling),
}

/// A growing share of the traffic.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// Whether, and by what, a user stays with the version once given.
    #[serde(default)]
    pub sticky: Option<Sticky>,
    /// Requests that go to the canary from the first step on, the first rule that fits; chosen, so that they stay out of
    /// the statistics.
    #[serde(default, rename = "match")]
    pub rules: Vec<Rule>,
    /// Carried out in order; weights never fall.
    pub steps: Vec<Step>,
    /// What is held back for the version before, once all steps are done.
    #[serde(default)]
    pub holdback: Option<Holdback>,
}

/// A share that stays with the version before for a time, to compare the new one with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holdback {
    /// The share.
    pub weight: Weight,
    /// For how long.
    pub duration: Duration,
}

/// Two sets of endpoints and one switch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlueGreen {
    /// Who sees the new version before the switch.
    pub preview: Preview,
    /// Hooks, mirrored traffic and analysis before the switch.
    pub pre_promotion: Vec<Step>,
    /// When the switch is made after these.
    pub auto_promote: AutoPromote,
    /// Immediately before traffic moves: a schema that both versions can live with.
    pub before_switch: Option<Hook>,
    /// All at once when absent, or evenly over this time.
    pub switch_over: Option<Duration>,
    /// By what a user stays with the version once given, while traffic moves over a time.
    pub sticky: Option<Sticky>,
    /// When all traffic has moved.
    pub after_switch: Option<Hook>,
    /// What is looked at after the switch, before it is final.
    pub post_promotion: Vec<Step>,
    /// For how long the old set stands by for an instant way back, before the switch is final.
    pub standby: Duration,
    /// What becomes of the old set then; none keeps it as the next idle colour.
    pub retire: Option<Retire>,
}

/// Who sees a version before its traffic comes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preview {
    /// Hosts whose requests all go there (beside those of the service). At other times the stable version answers.
    pub hosts: Vec<String>,
    /// Requests of the service's own hosts that go there.
    #[serde(rename = "match")]
    pub rules: Vec<Rule>,
    // By port: a listener that is one for previews (`Listener::preview`).
}

/// When a switch is made that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AutoPromote {
    /// Immediately.
    #[default]
    Now,
    /// After this time.
    After(Duration),
    /// When a person says so.
    ByHand,
}

/// The end of a set of endpoints that is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retire {
    /// The longest wait for the last of its requests.
    pub drain: Duration,
    /// Before it is thrown away, such as for the schema that only it needed.
    pub before: Option<Hook>,
    /// Throws it away.
    pub hook: Hook,
}

/// Endpoints replaced a few at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rolling {
    /// How many endpoints make a batch, which is judged as a whole.
    pub batch: Portion,
    /// How many of a batch are out of service at a time; the whole batch when absent.
    #[serde(default)]
    pub max_unavailable: Option<Portion>,
    /// The longest wait for the last requests of an endpoint that is taken out.
    pub drain: Duration,
    /// How an endpoint comes to run the new version.
    pub update: Update,
    /// How it shows that it works before it gets traffic.
    #[serde(default)]
    pub health: Option<Probe>,
    /// How long a batch is looked at, at most; it goes on as soon as it is proven. No look when absent.
    #[serde(default)]
    pub analyze: Option<Duration>,
    /// A first batch of another size, under a long look.
    #[serde(default)]
    pub canary: Option<RollingCanary>,
    /// What is done with the batches that are done when one fails.
    #[serde(default)]
    pub on_failure: OnBatchFailure,
}

/// The first batch of a canary that goes on as a rolling update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollingCanary {
    /// Its size.
    pub batch: Portion,
    /// How long it is looked at, at most.
    pub analyze: Duration,
}

/// How an endpoint comes to run the new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Update {
    /// An agent is asked to do it, with the endpoint's addresses and the wanted version in the body.
    Hook(Hook),
    /// It registers itself with the new version, within this time.
    Registration {
        /// The longest wait.
        within: Duration,
    },
    /// Nothing is to be done: the new version runs already, at addresses of its own.
    Running,
}

/// What becomes of batches that are done when another fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBatchFailure {
    /// They are rolled back, the last first.
    #[default]
    Rollback,
    /// They stay, and a person is waited for.
    Stop,
}

/// One step of a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Gives the canary this share, and goes on when the fleet has acknowledged it.
    SetWeight(Weight),
    /// Waits for the duration (of time in which the control plane watched), or until promoted when `None`.
    Pause(Option<Duration>),
    /// Goes on as soon as the canary is proven good enough; `max` is when it gives up and is inconclusive.
    Analyze {
        /// The longest time to look.
        max: Duration,
    },
    /// Goes up from weight to weight, each proven before the next, which is chosen so that a bad version costs the fewest
    /// requests.
    Auto {
        /// The first weight: what is reached, or else what can be proven in time, when absent.
        from: Option<Weight>,
        /// The last weight.
        to: Weight,
        /// The longest look at one weight.
        max: Duration,
        /// The longest time for all of them.
        within: Option<Duration>,
    },
    /// Copies a share of the stable version's requests to the canary, whose answers nobody sees.
    Mirror {
        /// The share that is copied; none ends it.
        percent: Weight,
        /// For how long; until another `mirror` or `setWeight` when absent.
        duration: Option<Duration>,
    },
    /// Calls a hook, and goes on when it says yes.
    Hook(Hook),
    /// Sends other chosen requests to the canary from now on.
    Match(Vec<Rule>),
    /// Looks at the version that has all the traffic, against what its predecessor was like.
    Watch {
        /// For how long.
        duration: Duration,
    },
    /// Gives the canary all but a share, and looks at it beside that.
    Holdback(Holdback),
    /// The old version stands by for this time: a way back without any steps.
    StandBy(Duration),
    /// Replaces the next endpoints, and gives the canary their part of the traffic.
    Batch {
        /// How many.
        endpoints: usize,
    },
}

/// What an endpoint that is being replaced is to the proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndpointState {
    /// Gets no new requests, and finishes those that it has (`DRAINING`).
    Draining,
    /// Not told of at all.
    Absent,
}

/// An endpoint and what else than serving it does.
pub type EndpointStates = std::collections::BTreeMap<SocketAddr, EndpointState>;

impl Strategy {
    /// The share-holding rule of the strategy: by what users stay.
    pub fn sticky(&self) -> Option<&Sticky> {
        match self {
            Strategy::Canary(canary) => canary.sticky.as_ref(),
            Strategy::BlueGreen(blue_green) => blue_green.sticky.as_ref(),
            Strategy::Rolling(_) => None,
        }
    }

    /// The requests that are chosen from the first step on.
    pub fn rules(&self) -> &[Rule] {
        match self {
            Strategy::Canary(canary) => &canary.rules,
            Strategy::BlueGreen(blue_green) => &blue_green.preview.rules,
            Strategy::Rolling(_) => &[],
        }
    }

    /// The steps of the strategy, in order. `endpoints` is how many there are to replace: batches are a part of them.
    pub fn steps(&self, endpoints: usize) -> Vec<Step> {
        match self {
            Strategy::Canary(canary) => {
                canary.steps.iter().cloned().chain(canary.holdback.map(Step::Holdback)).collect()
            }
            Strategy::BlueGreen(blue_green) => blue_green.steps(),
            Strategy::Rolling(rolling) => rolling.steps(endpoints),
        }
    }

    /// What becomes of the version before when the new one is stable.
    pub fn retire(&self) -> Option<&Retire> {
        match self {
            Strategy::BlueGreen(blue_green) => blue_green.retire.as_ref(),
            Strategy::Canary(_) | Strategy::Rolling(_) => None,
        }
    }
}

/// How many steps a switch over a time has.
const SWITCH_STEPS: u32 = 10;

impl BlueGreen {
    fn steps(&self) -> Vec<Step> {
        let mut steps = self.pre_promotion.clone();
        match self.auto_promote {
            AutoPromote::Now => {}
            AutoPromote::After(time) => steps.push(Step::Pause(Some(time))),
            AutoPromote::ByHand => steps.push(Step::Pause(None)),
        }
        steps.extend(self.before_switch.clone().map(Step::Hook));
        if let Some(over) = self.switch_over {
            let part = |step: u32| Weight::from_hundredths(Weight::FULL.hundredths() / SWITCH_STEPS * step);
            for step in 1..SWITCH_STEPS {
                steps.extend([Step::SetWeight(part(step)), Step::Pause(Some(over / SWITCH_STEPS))]);
            }
        }
        steps.push(Step::SetWeight(Weight::FULL));
        steps.extend(self.after_switch.clone().map(Step::Hook));
        steps.extend(self.post_promotion.iter().cloned());
        if !self.standby.is_zero() {
            steps.push(Step::StandBy(self.standby));
        }
        steps
    }
}

impl Rolling {
    fn steps(&self, endpoints: usize) -> Vec<Step> {
        let (mut steps, mut left) = (Vec::new(), endpoints);
        if let Some(canary) = &self.canary {
            let first = canary.batch.of(endpoints).min(left);
            left -= first;
            steps.push(Step::Batch { endpoints: first });
            steps.push(look(canary.analyze, left));
        }
        while left > 0 {
            let batch = self.batch.of(endpoints).clamp(1, left);
            left -= batch;
            steps.push(Step::Batch { endpoints: batch });
            steps.extend(self.analyze.map(|max| look(max, left)));
        }
        steps
    }
}

/// With nothing left to compare with, the last look is at what there was.
fn look(max: Duration, left: usize) -> Step {
    if left == 0 { Step::Watch { duration: max } } else { Step::Analyze { max } }
}

impl fmt::Display for Step {
    /// As in the spec: `setWeight 5%`, `pause 10m`, `pause until promoted`, `analyze at most 10m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::SetWeight(weight) => write!(f, "setWeight {weight}"),
            Step::Pause(Some(duration)) => write!(f, "pause {}", Friendly(*duration)),
            Step::Pause(None) => f.write_str("pause until promoted"),
            Step::Analyze { max } => write!(f, "analyze at most {}", Friendly(*max)),
            Step::Auto { from, to, max, within } => {
                let from = from.map(|from| format!(" from {from}")).unwrap_or_default();
                write!(f, "auto{from} to {to}, at most {} each", Friendly(*max))?;
                within.map_or(Ok(()), |within| write!(f, " and {} in all", Friendly(within)))
            }
            Step::Mirror { percent: Weight::ZERO, .. } => f.write_str("mirror nothing"),
            Step::Mirror { percent, duration: None } => write!(f, "mirror {percent}"),
            Step::Mirror { percent, duration: Some(duration) } => {
                write!(f, "mirror {percent} for {}", Friendly(*duration))
            }
            Step::Hook(hook) => write!(f, "hook {hook}"),
            Step::Match(rules) if rules.is_empty() => f.write_str("match nothing"),
            Step::Match(rules) => {
                let rules: Vec<String> = rules.iter().map(ToString::to_string).collect();
                write!(f, "match {}", rules.join("; "))
            }
            Step::Watch { duration } => write!(f, "watch {}", Friendly(*duration)),
            Step::Holdback(Holdback { weight, duration }) => {
                write!(f, "hold back {weight} for {}", Friendly(*duration))
            }
            Step::StandBy(duration) => write!(f, "stand by {}", Friendly(*duration)),
            Step::Batch { endpoints: 1 } => f.write_str("replace 1 endpoint"),
            Step::Batch { endpoints } => write!(f, "replace {endpoints} endpoints"),
        }
    }
}

/// A length of time as people write it.
pub(crate) struct Friendly(pub(crate) Duration);

impl fmt::Display for Friendly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printer = jiff::fmt::friendly::SpanPrinter::new();
        match printer.unsigned_duration_to_string(&self.0) {
            text if text.is_empty() => f.write_str("0s"),
            text => f.write_str(&text),
        }
    }
}
