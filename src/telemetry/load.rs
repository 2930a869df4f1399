//! One load report (LRS) as counts.
//!
//! PURE. A load report is a difference already, and says how long its time was; a report after an outage covers the
//! outage. It knows no durations, no ejections, and not whether a request was chosen; of why a request failed only whether
//! it was given up because too many were under way. What came over one stream already is not counted again; a report
//! whose time overlaps another's is, for its counts are others.

mod clusters;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::focus::Focus;
use super::report::{ClusterDelta, NodeReport, Others, Outcomes, Source};
use super::wire::{ClusterLoad, Interval, Malformed};
use crate::model::{Cause, Failures};
use clusters::Clusters;

/// A report over a longer time than this is not believed.
const LONGEST: Duration = Duration::from_secs(86_400);

/// One proxy's reports on one stream.
#[derive(Debug, Default)]
pub(super) struct Loads {
    /// When the last one came.
    before: Option<Instant>,
    /// What it said, in short.
    last: Option<u64>,
    clusters: Clusters,
}

impl Loads {
    /// Those of a stream that begins. What is reported cluster by cluster, and where the rest is summed up, says `focus`.
    pub(super) fn new(focus: Focus) -> Self {
        Self { clusters: Clusters::new(focus), ..Self::default() }
    }

    /// The counts of a report that came `now`. `None` when it is not known when its time began: it does not say (or
    /// nothing credible), and there was none before. And `None` for one that came already.
    ///
    /// # Errors
    /// When what should be an endpoint is none.
    pub(super) fn counts(
        &mut self,
        node: &Arc<str>,
        loads: &[ClusterLoad<'_>],
        now: Instant,
    ) -> Result<Option<NodeReport>, Malformed> {
        let since = self.since(loads, now);
        let is_new = self.take(loads, now);
        let Some(since) = since.filter(|_| is_new) else { return Ok(None) };
        let (clusters, others) = self.clusters(loads, true)?;
        Ok(Some(NodeReport { node: Arc::clone(node), since, until: now, clusters, partial: false, others }))
    }

    /// What a report that came `now` tells of endpoints and of what is under way, without counts of requests: of a proxy
    /// whose requests are counted otherwise. `None` when it tells nothing.
    ///
    /// # Errors
    /// When what should be an endpoint is none.
    pub(super) fn partial(
        &mut self,
        node: &Arc<str>,
        loads: &[ClusterLoad<'_>],
        now: Instant,
    ) -> Result<Option<NodeReport>, Malformed> {
        let since = self.since(loads, now);
        let is_new = self.take(loads, now);
        let (mut clusters, others) = self.clusters(loads, false)?;
        clusters.values_mut().for_each(|delta| {
            let told = std::mem::take(delta);
            // What is of unknown age, or came already, is told of now alone.
            let tries = if is_new && since.is_some() { told.endpoint_tries } else { BTreeMap::new() };
            *delta = ClusterDelta {
                source: told.source,
                in_progress: told.in_progress,
                endpoints_in_progress: told.endpoints_in_progress,
                endpoint_tries: tries,
                ..ClusterDelta::default()
            };
        });
        let since = since.unwrap_or(now);
        let report = NodeReport { node: Arc::clone(node), since, until: now, clusters, partial: true, others };
        Ok(Some(report).filter(|report| !report.clusters.is_empty() || others.tells_in_progress))
    }

    /// When the time of a report began that came `now`.
    fn since(&self, loads: &[ClusterLoad<'_>], now: Instant) -> Option<Instant> {
        match longest(loads) {
            Some(longest) if longest > LONGEST => None,
            Some(longest) => now.checked_sub(longest),
            None => self.before,
        }
    }

    /// Remembers a report that came `now`. Tells whether it is another than the one before: one that says the same of
    /// the same time, to the microsecond, and came sooner than that time could have passed again, is a repetition.
    fn take(&mut self, loads: &[ClusterLoad<'_>], now: Instant) -> bool {
        let before = self.before.replace(now).map(|before| now.saturating_duration_since(before));
        let too_soon = before.zip(longest(loads)).is_some_and(|(passed, of)| passed < of / 2);
        let said = loads.iter().fold(0_u64, |sum, load| sum.rotate_left(5).wrapping_add(load.print));
        self.last.replace(said) != Some(said) || !too_soon
    }

    /// Those that are to be told of, and of all others what is told in sum. Their requests are added up if they `count`.
    fn clusters(
        &mut self,
        loads: &[ClusterLoad<'_>],
        count: bool,
    ) -> Result<(BTreeMap<Arc<str>, ClusterDelta>, Others), Malformed> {
        let (mut clusters, mut others) = (BTreeMap::<Arc<str>, ClusterDelta>::new(), Others::default());
        self.clusters.begin_report(loads.len());
        for (at, load) in loads.iter().enumerate() {
            // A cluster that is there twice is a repetition, not more requests.
            let Some(known) = self.clusters.come(at, load.name) else { continue };
            let is_busy = load.in_progress > 0;
            if !known.is_wanted {
                let ended = ended(load);
                if ended.requests > 0 || is_busy {
                    others.tells_in_progress = true;
                }
                if count && ended.requests > 0 {
                    known.cluster.add(ended, None);
                    others.errors = others.errors.saturating_add(ended.errors);
                }
                continue;
            }
            let was_busy = std::mem::replace(&mut known.is_busy, is_busy);
            let delta = delta(load)?;
            if delta.requests > 0 || is_busy || was_busy {
                clusters.insert(Arc::clone(&known.cluster.name), delta);
            }
        }
        // Of what is not there any more, nothing is under way.
        for known in self.clusters.absent().filter(|known| known.is_busy && known.is_wanted) {
            known.is_busy = false;
            clusters.insert(Arc::clone(&known.cluster.name), delta(&ClusterLoad::default())?);
        }
        Ok((clusters, others))
    }
}

/// How long the time of a report was. Clusters that came later have shorter ones; the longest is true of all.
fn longest(loads: &[ClusterLoad<'_>]) -> Option<Duration> {
    let all = loads.iter().filter_map(|cluster| duration(cluster.interval?));
    all.max().filter(|longest| !longest.is_zero())
}

/// The requests that ended, also those that were refused because of this version: too many of its were under way.
fn ended(load: &ClusterLoad<'_>) -> Outcomes {
    let mut ended = load.ended;
    ended.add(load.dropped.min(u64::MAX - ended.errors), true);
    ended
}

fn delta(load: &ClusterLoad<'_>) -> Result<ClusterDelta, Malformed> {
    let (mut endpoints, mut endpoint_tries) = (BTreeMap::new(), BTreeMap::<SocketAddr, Outcomes>::new());
    let told = load.endpoints()?;
    for endpoint in &told {
        if endpoint.in_progress > 0 {
            let known: &mut u64 = endpoints.entry(endpoint.address).or_default();
            *known = known.saturating_add(endpoint.in_progress);
        }
        if endpoint.ended != Outcomes::default() {
            let tries = endpoint_tries.entry(endpoint.address).or_default();
            tries.requests = tries.requests.saturating_add(endpoint.ended.requests);
            tries.errors = tries.errors.saturating_add(endpoint.ended.errors);
        }
    }
    let (tries, ended) = (load.ended, ended(load));
    let mut failures = Failures::of(Cause::Answer, tries.errors);
    failures.add(Cause::Overflow, ended.errors - tries.errors);
    // Without endpoints, but with requests: it does not tell them apart.
    let is_told = !told.is_empty() || load.in_progress == 0;
    Ok(ClusterDelta {
        source: Source::LoadReport,
        requests: ended.requests,
        errors: ended.errors,
        failures,
        tries: Some(tries),
        in_progress: Some(load.in_progress),
        endpoints_in_progress: is_told.then_some(endpoints),
        endpoint_tries,
        ..ClusterDelta::default()
    })
}

fn duration(interval: Interval) -> Option<Duration> {
    let seconds = u64::try_from(interval.seconds).ok()?;
    let nanos = u32::try_from(interval.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
