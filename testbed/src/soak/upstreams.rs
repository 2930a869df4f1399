//! The upstreams of all sets of endpoints: started before they stand in a spec, and stopped as an operator would, some
//! time after no Envoy has them any more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::world::{SetId, World};
use crate::upstream::{Behaviour, Upstream, UpstreamConfig};

/// How many endpoints a set has.
const ENDPOINTS: usize = 2;
/// How long they serve on when no Envoy has them any more: longer than any answer takes.
const DRAIN: Duration = Duration::from_secs(4);
/// Most answers take no time; some are under way while more than one transition goes by.
const BEHAVIOUR: Behaviour = Behaviour {
    error_rate: 0.0,
    latency: Duration::from_millis(2),
    slow_rate: 0.005,
    slow_latency: Duration::from_millis(1_500),
    only_with: None,
};

#[derive(Debug, Default)]
pub(super) struct Upstreams {
    sets: BTreeMap<SetId, Set>,
}

#[derive(Debug)]
struct Set {
    upstreams: Vec<Upstream>,
    /// The change of the specs with which it went from them.
    left: Option<u64>,
    /// When no Envoy was seen to have it any more.
    gone: Option<Instant>,
}

impl Upstreams {
    /// Starts what a world needs. It is written as the `generation`-th change.
    pub(super) async fn follow(&mut self, world: &World, generation: u64) -> Result<()> {
        let wanted = world.sets();
        for (id, label) in &wanted {
            if !self.sets.contains_key(id) {
                let mut upstreams = Vec::new();
                for at in 0..ENDPOINTS {
                    let seed = u64::from(*id) * 10 + at as u64;
                    let config = UpstreamConfig { behaviour: BEHAVIOUR, seed, ..UpstreamConfig::local(label) };
                    upstreams.push(Upstream::start(config).await?);
                }
                self.sets.insert(*id, Set { upstreams, left: None, gone: None });
            }
        }
        for (id, set) in &mut self.sets {
            match wanted.contains_key(id) {
                true => (set.left, set.gone) = (None, None),
                false => set.left = set.left.or(Some(generation)),
            }
        }
        Ok(())
    }

    /// Where each set is.
    pub(super) fn addresses(&self) -> BTreeMap<SetId, Vec<SocketAddr>> {
        self.sets.iter().map(|(id, set)| (*id, set.upstreams.iter().map(Upstream::addr).collect())).collect()
    }

    /// Stops what no Envoy has had for long enough. The Envoys were seen to have nothing else than the `settled`-th
    /// change wants.
    pub(super) fn retire(&mut self, settled: u64) {
        let now = Instant::now();
        for set in self.sets.values_mut().filter(|set| set.left.is_some_and(|left| left <= settled)) {
            set.gone.get_or_insert(now);
        }
        let over: Vec<SetId> = self.sets.iter().filter(|(_, set)| set.is_over(now)).map(|(id, _)| *id).collect();
        for set in over.into_iter().filter_map(|id| self.sets.remove(&id)) {
            for upstream in set.upstreams {
                tokio::spawn(upstream.stop());
            }
        }
    }
}

impl Set {
    fn is_over(&self, now: Instant) -> bool {
        self.gone.is_some_and(|gone| gone + DRAIN <= now)
    }
}
