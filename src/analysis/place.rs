//! Where it is worse: the counts of one route, proxy, region, zone or endpoint, each with a test of its own.
//!
//! PURE. At each place runs the test of [`ratio`](super::ratio): the canary there against the baseline there. Where many
//! are looked at, one of them looks bad by chance; so a place is named only when its evidence reaches the number of all
//! places of all kinds that were ever looked at, divided by the accepted risk (Bonferroni, which holds for e-values
//! however they depend on each other): at the moment that is asked about, the chance that any of them is named although
//! none is worse than tolerated is at most that risk. It decides nothing: it tells where what was decided comes from.
//!
//! Invariants: bounded, whatever is told; a place that is dropped to make room and begun again counts as another one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ratio::Revert;
use super::words::{e_value, percent};
use super::{Counts, LogE, evidence};
use crate::model::AnalysisPolicy;

/// How many places are followed at once.
const FOLLOWED: usize = 256;

/// What kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PlaceKind {
    /// A named route of the service.
    Route,
    /// A proxy, by its node id.
    Proxy,
    /// The region of the proxies' locality.
    Region,
    /// The zone of the endpoints.
    Zone,
    /// An endpoint of the canary, by its address.
    Endpoint,
}

impl PlaceKind {
    /// As people call so many of it.
    pub fn word(self, count: usize) -> &'static str {
        match (self, count) {
            (PlaceKind::Route, 1) => "route",
            (PlaceKind::Route, _) => "routes",
            (PlaceKind::Proxy, 1) => "proxy",
            (PlaceKind::Proxy, _) => "proxies",
            (PlaceKind::Region, 1) => "region",
            (PlaceKind::Region, _) => "regions",
            (PlaceKind::Zone, 1) => "zone",
            (PlaceKind::Zone, _) => "zones",
            (PlaceKind::Endpoint, 1) => "endpoint",
            (PlaceKind::Endpoint, _) => "endpoints",
        }
    }
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// What kind.
    pub kind: PlaceKind,
    /// Its name.
    pub name: String,
}

/// The counts at one place in a window: the canary's there against the baseline's there. Of an endpoint, which only the
/// canary has, against all of the baseline's tries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceCounts {
    /// Where.
    pub place: Place,
    /// The canary's.
    pub canary: Counts,
    /// The baseline's.
    pub baseline: Counts,
}

/// The evidence at each place.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Places {
    /// By place.
    tracks: Vec<Track>,
    /// How many were ever begun.
    begun: u64,
}

/// One place so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Track {
    place: Place,
    canary: Counts,
    baseline: Counts,
    worse: Revert,
}

/// A place, or all of a kind, where the canary is proven worse than tolerated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What kind of place.
    pub kind: PlaceKind,
    /// Its name. None: it is worse at every place of this kind, so the kind does not tell where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For how many places it stands: 1, where one is named.
    pub places: usize,
    /// The canary's counts there.
    pub canary: Counts,
    /// The baseline's; of an endpoint, those of all of the baseline.
    pub baseline: Counts,
    /// The e-value; the least of them, where it stands for several.
    pub evidence: f64,
    /// What it takes to be named: the number of places that were looked at, divided by the accepted risk.
    pub bound: f64,
    /// How many others of its kind are not worse.
    pub others: usize,
    /// What the canary's counts are at those.
    pub elsewhere: Counts,
}

impl Places {
    /// Takes in one window: of the places in it, in whatever order. Without an errors metric nothing is looked at.
    ///
    /// `cluster_size` is how many errors one cause makes at once, as in [`ratio`](super::ratio).
    pub fn observe(&mut self, places: &[PlaceCounts], policy: &AnalysisPolicy, cluster_size: f64) {
        let Some(metric) = &policy.errors else { return };
        let present: BTreeSet<&Place> = places.iter().map(|counts| &counts.place).collect();
        let mut sorted: Vec<&PlaceCounts> = places.iter().collect();
        sorted.sort_by(|a, b| a.place.cmp(&b.place));
        for counts in sorted {
            let Some(track) = self.track(&counts.place, &present) else { continue };
            let (canary, baseline) = (counts.canary.clamped(), counts.baseline.clamped());
            track.canary = track.canary.plus(canary);
            track.baseline = track.baseline.plus(baseline);
            track.worse.observe(canary, baseline, metric, cluster_size);
        }
    }

    /// The track of a place, begun if there is none. When there is no room, the one with the least evidence makes it, of
    /// those that the newest window does not speak of; if it speaks of all of them, the new one is not followed.
    fn track(&mut self, place: &Place, present: &BTreeSet<&Place>) -> Option<&mut Track> {
        let at = match self.tracks.binary_search_by(|track| track.place.cmp(place)) {
            Ok(at) => at,
            Err(at) if self.tracks.len() < FOLLOWED => self.begin(at, place),
            Err(_) => {
                let absent = self.tracks.iter().enumerate().filter(|(_, track)| !present.contains(&track.place));
                let least = |(_, a): &(usize, &Track), (_, b): &(usize, &Track)| {
                    a.worse.evidence().ln().total_cmp(&b.worse.evidence().ln())
                };
                let (dropped, _) = absent.min_by(least)?;
                self.tracks.remove(dropped);
                let at = self.tracks.partition_point(|track| track.place < *place);
                self.begin(at, place)
            }
        };
        self.tracks.get_mut(at)
    }

    fn begin(&mut self, at: usize, place: &Place) -> usize {
        self.begun = self.begun.saturating_add(1);
        let (canary, baseline) = (Counts::default(), Counts::default());
        self.tracks.insert(at, Track { place: place.clone(), canary, baseline, worse: Revert::default() });
        at
    }

    /// Where it is worse: first what is worse at some places only, with the most evidence first; then the kinds in which
    /// it is worse everywhere. The only place of its kind tells nothing, unless it is a route: there is traffic beside the
    /// named ones.
    pub fn findings(&self, policy: &AnalysisPolicy) -> Vec<Finding> {
        if policy.errors.is_none() || self.begun == 0 {
            return Vec::new();
        }
        let risk = policy.risk.false_revert / self.begun as f64;
        let (mut some, mut everywhere) = (Vec::new(), Vec::new());
        for tracks in self.tracks.chunk_by(|a, b| a.place.kind == b.place.kind) {
            let (worse, others): (Vec<&Track>, Vec<&Track>) =
                tracks.iter().partition(|track| track.worse.evidence().reaches(risk));
            let elsewhere = sum(others.iter().map(|track| track.canary));
            let finding = |worse: &[&Track], name: Option<&str>| {
                let least = worse.iter().map(|track| track.worse.evidence()).reduce(|a, b| if b < a { b } else { a });
                let kind = worse.first()?.place.kind;
                // Of endpoints, each was compared with the same baseline.
                let baselines = worse.iter().map(|track| track.baseline);
                let baseline = if kind == PlaceKind::Endpoint {
                    baselines.max_by_key(|counts| counts.requests).unwrap_or_default()
                } else {
                    sum(baselines)
                };
                Some(Finding {
                    kind,
                    name: name.map(str::to_owned),
                    places: worse.len(),
                    canary: sum(worse.iter().map(|track| track.canary)),
                    baseline,
                    evidence: least.unwrap_or(LogE::ONE).value(),
                    bound: (evidence::bound(policy.risk.false_revert) * self.begun as f64).min(f64::MAX),
                    others: others.len(),
                    elsewhere,
                })
            };
            match (worse.as_slice(), others.len()) {
                ([only], 0) if only.place.kind != PlaceKind::Route => {}
                ([_, _, ..], 0) => everywhere.extend(finding(&worse, None)),
                _ => some.extend(worse.iter().filter_map(|track| finding(&[track], Some(&track.place.name)))),
            }
        }
        some.sort_by(|a, b| b.evidence.total_cmp(&a.evidence));
        some.extend(everywhere);
        some
    }
}

impl Finding {
    /// `endpoint 10.0.1.3:8080`, or `all 4 endpoints`.
    pub fn at(&self) -> String {
        let word = self.kind.word(self.places);
        match &self.name {
            Some(name) => format!("{word} {name}"),
            None => format!("all {} {word}", self.places),
        }
    }

    /// The whole sentence, with counts, rates, evidence, and how it is elsewhere.
    pub fn said(&self) -> String {
        let share =
            |counts: Counts| format!("{}/{} ({})", counts.errors, counts.requests, percent(counts.error_rate()));
        let (at, each) = match self.name {
            Some(_) => (self.at(), ""),
            None => (format!("{}, so everywhere", self.at()), " of each"),
        };
        let elsewhere = match self.others {
            0 => String::new(),
            others => format!("; {others} other {}: {}", self.kind.word(others), share(self.elsewhere)),
        };
        format!(
            "worse at {at}: {} against {}: evidence{each} {} ≥ {}{elsewhere}",
            share(self.canary),
            percent(self.baseline.error_rate()),
            e_value(self.evidence),
            e_value(self.bound)
        )
    }
}

fn sum(counts: impl Iterator<Item = Counts>) -> Counts {
    counts.fold(Counts::default(), Counts::plus)
}

#[cfg(test)]
mod tests;
