//! A release on one line: a change of it for logs, and what came of an order. PURE.

use super::super::text::on_one_line;
use super::{proxies, status, step, weights};
use crate::admin::proto::{Phase, Release};

/// What a log says of a change. Equal lines are no change worth a line: requests per second are not in it.
pub(in crate::cli) fn change(release: &Release) -> String {
    let (_, word, _) = status(release);
    let (set, actual) = weights(release);
    let way = match release.canary_version.as_str() {
        "" => release.stable_version.clone(),
        canary => format!("{}→{canary}", release.stable_version),
    };
    on_one_line(&format!(
        "{} {way} {word} step={} set={set} actual={actual} proxies={} {}",
        release.name,
        step(release),
        proxies(release),
        release.message
    ))
}

/// What came of an order: `checkout aborted: Reverting, v1 …`.
pub(in crate::cli) fn outcome(release: &Release, done: &str) -> String {
    let (_, word, _) = status(release);
    let canary = match (release.phase(), release.canary_version.as_str()) {
        (_, "") => String::new(),
        (Phase::Unspecified | Phase::Healthy | Phase::Degraded, _) => String::new(),
        (Phase::Progressing | Phase::Paused | Phase::Promoting | Phase::Reverting, canary) => {
            format!(", {canary} at {}", weights(release).0)
        }
    };
    let message = if release.message.is_empty() { String::new() } else { format!(": {}", release.message) };
    on_one_line(&format!("release {} {done}: {word}{canary}{message}", release.name))
}

#[cfg(test)]
mod tests {
    use super::super::examples::{healthy, progressing};
    use super::*;

    #[test]
    fn a_change_is_a_line() {
        assert_eq!(
            change(&progressing()),
            "checkout v1→v2 Progressing step=2/4 set=5% actual=0% proxies=2/3 comparing v2 with v1"
        );
        assert_eq!(change(&healthy()), "cart v7 Healthy step=1/1 set=- actual=- proxies=3/3 v7 has all traffic");
        let mut noisier = progressing();
        noisier.shares[0].requests_per_second += 1.0;
        assert_eq!(change(&noisier), change(&progressing()));
    }

    #[test]
    fn an_outcome_is_a_line() {
        assert_eq!(
            outcome(&progressing(), "paused"),
            "release checkout paused: Progressing, v2 at 5%: comparing v2 with v1"
        );
        assert_eq!(outcome(&healthy(), "promoted"), "release cart promoted: Healthy: v7 has all traffic");
    }
}
