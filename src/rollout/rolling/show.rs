//! What follows from the instances: for the proxies, and for people.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Instance, Names, Rolling, State, Way};
use crate::model::{EndpointState, EndpointStates, Weight};

/// How many endpoints are told of one by one.
const TOLD: usize = 5;

impl Rolling {
    /// By version: the endpoints that do not serve it, and what they do instead.
    pub fn endpoints(&self, names: &Names<'_>) -> BTreeMap<String, EndpointStates> {
        let (mut olds, mut news) = (EndpointStates::new(), EndpointStates::new());
        for one in &self.instances {
            let state = |way: Way| match one.state {
                State::Draining { .. } if one.way == way => EndpointState::Draining,
                _ => EndpointState::Absent,
            };
            olds.extend(one.old.filter(|_| !one.serves_old()).map(|address| (address, state(Way::Forward))));
            news.extend(one.new.filter(|_| !one.serves_new()).map(|address| (address, state(Way::Back))));
        }
        let both = [(names.from.to_owned(), olds), (names.to.to_owned(), news)];
        both.into_iter().filter(|(_, states)| !states.is_empty()).collect()
    }

    /// The new version's share of the traffic: its part of the endpoints that serve. On the way back it gets none as soon as
    /// at least half of all instances serve the old version.
    pub fn weight(&self) -> Weight {
        let olds = self.instances.iter().filter(|one| one.serves_old()).count();
        let news = self.instances.iter().filter(|one| one.serves_new()).count();
        if news == 0 || (self.way == Way::Back && olds > 0 && olds * 2 >= self.total()) {
            return Weight::ZERO;
        }
        Weight::part_of(news, olds + news)
    }

    /// How far it is, in words: `2 of 8 endpoints run v2; 10.0.0.3:80 drains for 4s`.
    pub fn describe(&self, names: &Names<'_>) -> String {
        let (there, version) = match self.way {
            Way::Forward => (self.done(), names.to),
            Way::Back => (self.instances.iter().filter(|one| one.state == State::Old).count(), names.from),
        };
        let count = self.total();
        let verb = if there == 1 || count == 1 { "runs" } else { "run" };
        let endpoints = if count == 1 { "endpoint" } else { "endpoints" };
        let again = if self.way == Way::Back { " again" } else { "" };
        let told: Vec<String> = self.instances.iter().filter_map(Instance::describe).collect();
        let mut text = format!("{there} of {count} {endpoints} {verb} {version}{again}");
        if !told.is_empty() {
            text.push_str("; ");
            text.push_str(&told[..told.len().min(TOLD)].join(", "));
        }
        if told.len() > TOLD {
            text.push_str(&format!(", and {} more", told.len() - TOLD));
        }
        if let Some(reason) = &self.stuck {
            text.push_str(&format!("; {reason}"));
        }
        text
    }
}

impl Instance {
    /// What it is doing, when it is doing something.
    fn describe(&self) -> Option<String> {
        let name =
            |address: Option<SocketAddr>| address.map_or_else(|| "one".to_owned(), |address| address.to_string());
        let going = name(self.target().or(self.origin()).or(self.home));
        let back = if self.way == Way::Back { " back" } else { "" };
        match &self.state {
            State::Old | State::New => None,
            State::Draining { spent } => Some(format!("{} drains for {}", name(self.origin()), words(*spent))),
            State::Updating { attempt: 1, .. } => Some(format!("{going} is updated{back}")),
            State::Updating { attempt, wait: Duration::ZERO } => {
                Some(format!("{going} is updated{back} (try {attempt})"))
            }
            State::Updating { attempt, wait } => {
                Some(format!("{going} waits {} to be updated{back} (try {attempt})", words(*wait)))
            }
            State::Registering { spent } => {
                let leaver = name(self.home.or(self.origin()));
                Some(format!("the successor of {leaver} is waited for since {}", words(*spent)))
            }
            State::Probing { .. } => Some(format!("{going} is probed")),
            State::Failed { reason } => Some(format!("{going} failed: {reason}")),
        }
    }
}

/// A length of time, to the second.
fn words(time: Duration) -> String {
    match jiff::fmt::friendly::SpanPrinter::new().unsigned_duration_to_string(&Duration::from_secs(time.as_secs())) {
        text if text.is_empty() => "0s".to_owned(),
        text => text,
    }
}
