//! The counts of a window by place, of those places that are followed. PURE.
//!
//! A few are followed all. Of many, those at which the canary has failed in an earlier window: whoever is chosen by what
//! was before, and not by the counts that are then looked at, is no worse a place by that choice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use indexmap::IndexMap;

use super::Terms;
use super::counted::{Counted, Part};
use crate::analysis::{Counts, Place, PlaceCounts, PlaceKind};
use crate::model::Endpoint;

/// How many places of a kind are followed.
const LIMIT: usize = 32;

/// Of all kinds.
#[derive(Debug, Default)]
pub(super) struct Places {
    kinds: BTreeMap<PlaceKind, Followed>,
}

/// Of one kind.
#[derive(Debug, Default)]
struct Followed {
    /// All that there ever were, up to one more than can be followed.
    known: BTreeSet<Arc<str>>,
    /// Those at which the canary has failed, up to as many as can be followed.
    failed: BTreeSet<Arc<str>>,
}

/// By address: what has been tried.
type Tries = BTreeMap<SocketAddr, Counts>;

/// By name: the canary's and the baseline's.
type Sums = BTreeMap<Arc<str>, [Counts; 2]>;

impl Places {
    /// What the proxies have counted since the last window.
    pub(super) fn of(
        &mut self,
        proxies: &IndexMap<Arc<str>, Counted>,
        endpoints: [&Tries; 2],
        terms: Terms<'_>,
    ) -> Vec<PlaceCounts> {
        let mut found = Vec::new();
        let (mut by_proxy, mut by_region, mut by_route) = (Vec::new(), Sums::new(), Sums::new());
        for (node, proxy) in proxies.iter().filter(|(_, proxy)| proxy.has_reported()) {
            let sums = [Part::Canary, Part::Baseline].map(|part| proxy.of(part).counts(terms.causes));
            by_proxy.push((Arc::clone(node), sums));
            if !proxy.region.is_empty() {
                add(&mut by_region, &proxy.region, sums);
            }
            proxy.routes.iter().for_each(|(route, sums)| add(&mut by_route, route, *sums));
        }
        let kinds = [
            (PlaceKind::Route, by_route.into_iter().collect()),
            (PlaceKind::Proxy, by_proxy),
            (PlaceKind::Region, by_region.into_iter().collect()),
            (PlaceKind::Zone, by_zone(endpoints, terms).into_iter().collect()),
            (PlaceKind::Endpoint, by_endpoint(endpoints).into_iter().collect()),
        ];
        for (kind, mut sums) in kinds {
            // Nothing is seen where the canary had nothing to do.
            sums.retain(|(_, [canary, _])| canary.requests > 0);
            if !sums.is_empty() {
                found.extend(self.kinds.entry(kind).or_default().pick(kind, sums));
            }
        }
        found
    }
}

impl Followed {
    fn pick(&mut self, kind: PlaceKind, sums: Vec<(Arc<str>, [Counts; 2])>) -> Vec<PlaceCounts> {
        for (name, _) in &sums {
            if self.known.len() > LIMIT {
                break;
            }
            self.known.insert(Arc::clone(name));
        }
        let are_few = self.known.len() <= LIMIT;
        let place = |name: &Arc<str>| Place { kind, name: name.to_string() };
        let picked = sums.iter().filter(|(name, _)| are_few || self.failed.contains(name));
        let picked = picked.map(|(name, [canary, baseline])| PlaceCounts {
            place: place(name),
            canary: *canary,
            baseline: *baseline,
        });
        let picked = picked.collect();
        self.choose(sums);
        picked
    }

    /// For the windows that come: first those where most have failed.
    fn choose(&mut self, mut sums: Vec<(Arc<str>, [Counts; 2])>) {
        sums.retain(|(name, [canary, _])| canary.errors > 0 && !self.failed.contains(name));
        sums.sort_by_key(|(_, [canary, _])| std::cmp::Reverse(canary.errors));
        let free = LIMIT - self.failed.len();
        self.failed.extend(sums.into_iter().take(free).map(|(name, _)| name));
    }
}

fn add(sums: &mut Sums, name: &Arc<str>, more: [Counts; 2]) {
    let sum = sums.entry(Arc::clone(name)).or_default();
    *sum = [sum[0].plus(more[0]), sum[1].plus(more[1])];
}

/// Each endpoint of the canary against all of the baseline.
fn by_endpoint([canary, baseline]: [&Tries; 2]) -> Sums {
    let all = sum(baseline.values());
    canary.iter().map(|(address, tries)| (address.to_string().into(), [tries.clamped(), all])).collect()
}

/// The canary's endpoints of each zone against the baseline's there; where it has none, against all of them.
fn by_zone([canary, baseline]: [&Tries; 2], terms: Terms<'_>) -> Sums {
    let in_zone = |endpoints: &[Endpoint], tries: &Tries, zone: &str| {
        let there: Vec<&Endpoint> = endpoints.iter().filter(|one| one.zone.as_deref() == Some(zone)).collect();
        (!there.is_empty()).then(|| sum(there.iter().filter_map(|one| tries.get(&one.address))))
    };
    let zones: BTreeSet<&str> = terms.canary.iter().filter_map(|one| one.zone.as_deref()).collect();
    let of_zone = |zone: &&str| {
        let own = in_zone(terms.canary, canary, zone).unwrap_or_default();
        [own, in_zone(terms.baseline, baseline, zone).unwrap_or_else(|| sum(baseline.values()))]
    };
    zones.iter().map(|zone| ((*zone).into(), of_zone(zone))).collect()
}

fn sum<'a>(of: impl Iterator<Item = &'a Counts>) -> Counts {
    of.fold(Counts::default(), |sum, more| sum.plus(more.clamped()))
}
