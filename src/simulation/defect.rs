//! What is wrong with a canary.

use serde::Serialize;

use super::durations::Law;
use super::traffic::Traffic;

/// What is wrong with a canary. Nothing by default. Times in seconds, shares from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Defect {
    /// It fails so many times as often.
    pub errors_factor: f64,
    /// And this share of its requests besides.
    pub errors_plus: f64,
    /// The share of the requests that `latency_factor` and `latency_plus` touch.
    pub share: f64,
    /// They take so many times as long.
    pub latency_factor: f64,
    /// And so many milliseconds longer.
    pub latency_plus: f64,
    /// The share of the requests that are stuck: they end after more than ten seconds.
    pub stuck: f64,
    /// The share of the requests that belong to one route that is broken.
    pub route: f64,
    /// The share of that route's requests that fails.
    pub route_errors: f64,
    /// The share of the requests to one of the endpoints that fails; the others are good.
    pub endpoint_errors: f64,
    /// The time in which it grows from nothing to all of the above; 0 is at once.
    pub leak: f64,
    /// When it begins, from the beginning of the release on.
    pub after: f64,
}

impl Default for Defect {
    fn default() -> Self {
        Self {
            errors_factor: 1.0,
            errors_plus: 0.0,
            share: 1.0,
            latency_factor: 1.0,
            latency_plus: 0.0,
            stuck: 0.0,
            route: 0.0,
            route_errors: 1.0,
            endpoint_errors: 0.0,
            leak: 0.0,
            after: 0.0,
        }
    }
}

impl Defect {
    /// A canary whose error rate is so many times the usual one.
    pub fn errors(factor: f64) -> Self {
        Self { errors_factor: factor, ..Self::default() }
    }

    /// Whether nothing is wrong.
    pub fn is_none(&self) -> bool {
        let Self { share, route_errors, leak, after, .. } = self;
        *self == Self { share: *share, route_errors: *route_errors, leak: *leak, after: *after, ..Self::default() }
    }

    /// How much of it there is at this second: 0 is nothing, 1 all.
    pub fn strength(&self, second: u64) -> f64 {
        let since = second as f64 - self.after;
        match since {
            since if since < 0.0 => 0.0,
            since if self.leak > 0.0 => (since / self.leak).min(1.0),
            _ => 1.0,
        }
    }

    /// The canary's error rate where the usual one is `usual`, without what one bad endpoint adds.
    pub fn error_rate(&self, usual: f64, strength: f64) -> f64 {
        let rate = usual * (1.0 + (self.errors_factor - 1.0) * strength) + self.errors_plus * strength;
        let route = self.route * strength;
        (rate * (1.0 - route) + self.route_errors.max(usual) * route).clamp(0.0, 1.0)
    }

    /// The law of those durations that it touches.
    pub fn law(&self, traffic: &Traffic) -> Law {
        Law { factor: self.latency_factor, plus: self.latency_plus, ..traffic.law() }
    }

    /// The share of the requests whose durations it changes.
    pub fn slowed(&self) -> f64 {
        let changes = self.latency_factor != 1.0 || self.latency_plus != 0.0;
        if changes { self.share } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_and_grows() {
        let defect = Defect { leak: 100.0, after: 10.0, ..Defect::errors(3.0) };
        for (second, strength, rate) in [(9, 0.0, 0.01), (60, 0.5, 0.02), (110, 1.0, 0.03), (999, 1.0, 0.03)] {
            assert_eq!(defect.strength(second), strength);
            assert!((defect.error_rate(0.01, strength) - rate).abs() < 1e-12);
        }
        assert_eq!(Defect::default().strength(0), 1.0);
    }

    #[test]
    fn one_route_of_ten() {
        let defect = Defect { route: 0.1, route_errors: 0.5, ..Defect::default() };
        assert!((defect.error_rate(0.0, 1.0) - 0.05).abs() < 1e-12);
        assert!(!defect.is_none() && Defect::default().is_none());
        assert!(Defect { after: 10.0, ..Defect::default() }.is_none());
        assert_eq!(
            (Defect::default().slowed(), Defect { latency_plus: 5.0, share: 0.1, ..defect }.slowed()),
            (0.0, 0.1)
        );
    }
}
