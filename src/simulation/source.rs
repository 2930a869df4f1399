//! Second by second: what both versions are asked, and how they answer.
//!
//! What is shared (bursts, restarts) is drawn apart from the counts, so that it is the same whatever weight a release has
//! reached: that is what "the same traffic" means for two who go different ways.

use std::time::Duration;

use super::defect::Defect;
use super::dice::Dice;
use super::durations::{Chances, histogram};
use super::traffic::Traffic;
use crate::analysis::{Arm, Counts, Spread, Spreads, Window};
use crate::model::{Cause, Failures};

/// The bucket of the stuck requests: 10 to 30 s.
const STUCK: usize = super::durations::BOUNDS.len() - 2;

/// One second of a release.
#[derive(Debug, Clone, PartialEq)]
pub struct Second {
    /// Both versions side by side.
    pub window: Window,
    /// How many requests to the canary failed, or were slowed down, by its defect.
    pub harmed: u64,
}

/// Makes up the seconds of one release.
#[derive(Debug)]
pub struct Source<'a> {
    traffic: &'a Traffic,
    defect: &'a Defect,
    /// Whether durations are drawn: that costs as much as all the rest.
    with_latency: bool,
    shared: Dice,
    counts: Dice,
    second: u64,
    burst: Spell,
    /// Of each endpoint: the canary's, then the baseline's.
    restarts: Vec<Spell>,
    usual: Chances,
    slow: Chances,
    /// How the errors of the canary, and of the baseline, were spread so far: over proxies, and over endpoints.
    spreads: [Spreads; 2],
}

/// Something that comes now and then, and lasts.
#[derive(Debug, Clone, Copy)]
struct Spell {
    from: f64,
    until: f64,
}

impl Spell {
    /// The first one after `after`.
    fn next(dice: &mut Dice, after: f64, every: f64, length: f64) -> Self {
        let from = after + dice.wait(every);
        Self { from, until: from + length }
    }

    /// Whether it is on at this second; goes on to the next one when it is over.
    fn is_on(&mut self, dice: &mut Dice, second: f64, every: f64, length: f64) -> bool {
        while self.until <= second {
            *self = Self::next(dice, self.until, every, length);
        }
        self.from <= second
    }
}

/// The errors of one version in one second, by where they happened.
struct Errors {
    by_proxy: Vec<u64>,
    by_endpoint: Vec<u64>,
    total: u64,
}

impl<'a> Source<'a> {
    /// The release of one seed.
    pub fn new(traffic: &'a Traffic, defect: &'a Defect, with_latency: bool, seed: u64) -> Self {
        let mut shared = Dice::new(seed, 1);
        let burst = Spell::next(&mut shared, 0.0, traffic.bursts, traffic.burst_length);
        let restart = |shared: &mut Dice| Spell::next(shared, 0.0, traffic.restarts, traffic.restart_length);
        let restarts = (0..traffic.endpoints * 2).map(|_| restart(&mut shared)).collect();
        let (usual, slow) = (traffic.law().chances(), defect.law(traffic).chances());
        let counts = Dice::new(seed, 2);
        Self {
            traffic,
            defect,
            with_latency,
            shared,
            counts,
            second: 0,
            burst,
            restarts,
            usual,
            slow,
            spreads: [Spreads::default(); 2],
        }
    }

    /// The next second, in which the canary and what it is compared with have these shares (0 to 1) of all requests.
    pub fn next(&mut self, canary: f64, baseline: f64) -> Second {
        let (traffic, at) = (self.traffic, self.second as f64);
        let in_burst = self.burst.is_on(&mut self.shared, at, traffic.bursts, traffic.burst_length);
        let restarting: Vec<bool> = self
            .restarts
            .iter_mut()
            .map(|spell| spell.is_on(&mut self.shared, at, traffic.restarts, traffic.restart_length))
            .collect();
        let (of_canary, of_baseline) = restarting.split_at(traffic.endpoints);
        let usual = traffic.error_rate(self.second, in_burst);
        let strength = self.defect.strength(self.second);
        let (asked_canary, asked_baseline) = self.requests(canary, baseline);
        let (canary, harmed) = self.canary(asked_canary, usual, strength, of_canary);
        let errors = self.errors(asked_baseline, usual, of_baseline);
        let latency = self.with_latency.then(|| self.usual_durations(asked_baseline));
        let baseline = self.arm(1, asked_baseline, errors, latency);
        self.second += 1;
        let window =
            Window { canary, baseline, proxies: traffic.proxies, length: Duration::from_secs(1), ..Window::default() };
        Second { window, harmed }
    }

    fn requests(&mut self, canary: f64, baseline: f64) -> (u64, u64) {
        match self.traffic.recorded_at(self.second) {
            Some(recorded) => {
                let to_canary = self.counts.binomial(recorded.requests, canary);
                let rest = if canary < 1.0 { baseline / (1.0 - canary) } else { 0.0 };
                (to_canary, self.counts.binomial(recorded.requests - to_canary, rest))
            }
            None => {
                let rate = self.traffic.rate(self.second);
                (self.counts.poisson(rate * canary), self.counts.poisson(rate * baseline))
            }
        }
    }

    fn canary(&mut self, requests: u64, usual: f64, strength: f64, restarting: &[bool]) -> (Arm, u64) {
        let rate = self.defect.error_rate(usual, strength);
        // A canary that is better than usual harms nobody.
        let mut errors = self.errors(requests, usual.min(rate), restarting);
        let before = errors.total;
        let extra = (rate - usual).max(0.0) / (1.0 - usual).max(f64::MIN_POSITIVE);
        self.fail(&mut errors, requests - before, extra);
        if self.defect.endpoint_errors > 0.0 {
            let on_it = self.counts.binomial(requests - errors.total, 1.0 / self.traffic.endpoints as f64);
            let failed = self.counts.binomial(on_it, self.defect.endpoint_errors * strength);
            self.place(&mut errors, failed, Some(0));
        }
        let slowed = self.counts.binomial(requests, self.defect.slowed() * strength);
        let stuck = self.counts.binomial(requests - slowed, self.defect.stuck * strength);
        let harmed = (errors.total - before + slowed + stuck).min(requests);
        let latency = self.with_latency.then(|| {
            let mut counts = self.usual_durations(requests - slowed - stuck);
            let slow = self.counts.share_out(slowed, &self.slow);
            counts.iter_mut().zip(slow).for_each(|(count, more)| *count += more);
            counts[STUCK] += stuck;
            counts
        });
        (self.arm(0, requests, errors, latency), harmed)
    }

    /// The usual errors of one version, and those of its endpoints that restart.
    fn errors(&mut self, requests: u64, rate: f64, restarting: &[bool]) -> Errors {
        let (proxies, endpoints) = (self.traffic.proxies, self.traffic.endpoints);
        let mut errors = Errors { by_proxy: vec![0; proxies], by_endpoint: vec![0; endpoints], total: 0 };
        self.fail(&mut errors, requests, rate);
        for (endpoint, _) in restarting.iter().enumerate().filter(|(_, is_on)| **is_on) {
            let on_it = self.counts.binomial(requests - errors.total, 1.0 / endpoints as f64);
            let failed = self.counts.binomial(on_it, self.traffic.restart_errors);
            self.place(&mut errors, failed, Some(endpoint));
        }
        errors
    }

    /// So many more requests may fail at this rate, singly or in groups.
    fn fail(&mut self, errors: &mut Errors, requests: u64, rate: f64) {
        let size = self.traffic.groups.round().max(1.0) as u64;
        if size == 1 {
            let failed = self.counts.binomial(requests, rate);
            return self.place(errors, failed, None);
        }
        let mut left = requests;
        for _ in 0..self.counts.binomial(requests, rate / size as f64) {
            let (proxy, endpoint) =
                (self.counts.pick(errors.by_proxy.len()), self.counts.pick(errors.by_endpoint.len()));
            let failed = size.min(left);
            errors.by_proxy[proxy] += failed;
            errors.by_endpoint[endpoint] += failed;
            errors.total += failed;
            left -= failed;
        }
    }

    /// So many single errors, anywhere or at one endpoint.
    fn place(&mut self, errors: &mut Errors, failed: u64, endpoint: Option<usize>) {
        errors.total += failed;
        let proxies = self.counts.share_out_evenly(failed, errors.by_proxy.len());
        errors.by_proxy.iter_mut().zip(proxies).for_each(|(count, more)| *count += more);
        match endpoint {
            Some(endpoint) => errors.by_endpoint[endpoint] += failed,
            None => {
                let endpoints = self.counts.share_out_evenly(failed, errors.by_endpoint.len());
                errors.by_endpoint.iter_mut().zip(endpoints).for_each(|(count, more)| *count += more);
            }
        }
    }

    fn usual_durations(&mut self, requests: u64) -> Vec<u64> {
        let recorded = self.traffic.recorded_at(self.second).and_then(|of| of.durations.as_ref());
        self.counts.share_out(requests, recorded.unwrap_or(&self.usual))
    }

    /// As production's collector tells it: spread over proxies or over endpoints, over which errors have come in larger
    /// groups so far.
    fn arm(&mut self, which: usize, requests: u64, errors: Errors, latency: Option<Vec<u64>>) -> Arm {
        let mut spread = Spread::default();
        if errors.total > 0 {
            let spreads = [&errors.by_proxy, &errors.by_endpoint].map(|failed| {
                // Where a request went does not depend on whether it failed.
                let clean = self.counts.share_out_evenly(requests - errors.total, failed.len());
                let cells = failed.iter().zip(clean);
                let cells = cells.map(|(failed, clean)| Counts { requests: failed + clean, errors: *failed });
                Spread::across(cells.collect::<Vec<_>>().into_iter())
            });
            let [by_proxy, by_endpoint] = spreads;
            spread = self.spreads[which].wider(by_proxy, by_endpoint);
        }
        Arm {
            requests,
            failures: Failures::of(Cause::Answer, errors.total),
            latency: latency.map(histogram),
            spread,
            endpoints: (self.traffic.endpoints * self.traffic.proxies) as u64,
            ..Arm::default()
        }
    }
}

#[cfg(test)]
mod tests;
