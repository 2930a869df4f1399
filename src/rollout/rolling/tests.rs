//! A rolling update step by step. What holds in any order of events stands in `properties`.

mod edits;
mod forward;
mod properties;
mod turned;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::model::{Endpoint, EndpointState, Hook, OnHookFailure, Portion, Probe, ProbeKind, Update, Weight};
use crate::rollout::call::{Answer, Call, Question};

const DRAIN: Duration = Duration::from_secs(10);
const NAMES: Names<'static> =
    Names { release: "checkout", service: "checkout", from: "v1", to: "v2", key_prefix: "checkout/7" };

fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 80))
}

fn version(endpoints: &[u8]) -> Version {
    Version { endpoints: endpoints.iter().map(|&n| Endpoint::at(address(n))).collect(), ..Version::default() }
}

fn hook() -> Update {
    Update::Hook(Hook {
        name: "agent".into(),
        url: "http://127.0.0.1:1/".into(),
        timeout: Duration::from_secs(1),
        retries: 2,
        backoff: Duration::from_secs(2),
        secret: None,
        headers: BTreeMap::new(),
        on_failure: OnHookFailure::Revert,
    })
}

fn probe() -> Option<Probe> {
    let second = Duration::from_secs(1);
    Some(Probe { kind: ProbeKind::Tcp, successes: 1, interval: second, timeout: second, within: 5 * second })
}

fn policy(update: Update, health: Option<Probe>) -> Policy {
    Policy {
        batch: Portion::Count(2),
        max_unavailable: None,
        drain: DRAIN,
        update,
        health,
        analyze: None,
        canary: None,
        on_failure: crate::model::OnBatchFailure::Rollback,
    }
}

/// A rolling update, and the world around it.
struct Scene {
    rolling: Rolling,
    policy: Policy,
    from: Version,
    to: Version,
    /// Endpoints with requests in progress.
    busy: BTreeSet<SocketAddr>,
    settled: bool,
}

impl Scene {
    fn new(from: &[u8], to: &[u8], policy: Policy) -> Self {
        let (from, to) = (version(from), version(to));
        let rolling = Rolling::begin(&from, &to);
        Self { rolling, policy, from, to, busy: BTreeSet::new(), settled: true }
    }

    fn pass(&mut self, seconds: u64) -> Progressed {
        let in_progress = |address: SocketAddr| Some(u64::from(self.busy.contains(&address)));
        let seen = Seen {
            elapsed: Duration::from_secs(seconds),
            in_progress: &in_progress,
            from: &self.from,
            to: &self.to,
            settled: self.settled,
        };
        let progressed = self.rolling.observe(&seen, &self.policy);
        let kept = serde_json::from_str::<Rolling>(&serde_json::to_string(&self.rolling).expect("JSON"));
        assert_eq!(kept.expect("the same"), self.rolling, "a crash changes nothing");
        progressed
    }

    fn calls(&self) -> Vec<Call> {
        self.rolling.calls(&NAMES, &self.policy)
    }

    /// `KEY#ATTEMPT` of every call, without what the keys begin with.
    fn asked(&self) -> Vec<String> {
        let short = |call: &Call| format!("{}#{}", call.key.trim_start_matches("checkout/7/10.0.0."), call.attempt);
        self.calls().iter().map(short).collect()
    }

    fn answer(&mut self, key: &str, attempt: u32, outcome: Result<&str, &str>) -> bool {
        let outcome = outcome.map(str::to_owned).map_err(str::to_owned);
        let answer = Answer { key: format!("checkout/7/10.0.0.{key}"), attempt, outcome };
        self.rolling.answered(&answer, &NAMES, &self.policy)
    }

    /// Says yes to everything that is asked now.
    fn agree(&mut self) {
        for Call { key, attempt, .. } in self.calls() {
            let answer = Answer { key, attempt, outcome: Ok("done".into()) };
            assert!(self.rolling.answered(&answer, &NAMES, &self.policy));
        }
    }

    /// Time passes and everybody agrees, until nothing changes any more.
    fn run(&mut self) {
        for _ in 0..200 {
            let before = self.rolling.clone();
            self.pass(DRAIN.as_secs());
            self.agree();
            if self.rolling == before {
                return;
            }
        }
        panic!("never at rest: {:?}", self.rolling);
    }

    fn said(&self) -> String {
        self.rolling.describe(&NAMES)
    }

    fn percent(&self) -> f64 {
        self.rolling.weight().percent()
    }

    /// `v1: 1 draining, 2 absent; v2: 3 absent`.
    fn told(&self) -> String {
        let words = |(version, states): (String, crate::model::EndpointStates)| {
            let one = |(address, state): (SocketAddr, EndpointState)| {
                let ip = address.ip().to_string();
                format!("{} {}", ip.trim_start_matches("10.0.0."), format!("{state:?}").to_lowercase())
            };
            format!("{version}: {}", states.into_iter().map(one).collect::<Vec<_>>().join(", "))
        };
        self.rolling.endpoints(&NAMES).into_iter().map(words).collect::<Vec<_>>().join("; ")
    }
}
