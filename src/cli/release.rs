//! How releases look: rows of a table, one in full, one line per change. PURE.

mod line;
mod list;
mod tree;

pub(super) use line::{change, outcome};
pub(super) use list::list;
pub(super) use tree::tree;

use super::output::Tone;
use super::text::percent;
use crate::admin::proto::{Phase, Release};

/// A phase as people see it: the icon of Argo Rollouts' screens, a word, a tone.
fn status(release: &Release) -> (&'static str, &'static str, Tone) {
    match release.phase() {
        Phase::Unspecified => ("?", "Unknown", Tone::Faint),
        Phase::Healthy => ("✔", "Healthy", Tone::Good),
        Phase::Progressing => ("◌", "Progressing", Tone::Busy),
        Phase::Paused => ("॥", "Paused", Tone::Notable),
        Phase::Promoting => ("◌", "Promoting", Tone::Busy),
        Phase::Reverting => ("⚠", "Reverting", Tone::Bad),
        Phase::Degraded => ("✖", "Degraded", Tone::Bad),
    }
}

/// `2/5`, counted from 1; `-` without steps.
fn step(release: &Release) -> String {
    let all = release.steps.len();
    match usize::try_from(release.step) {
        _ if all == 0 => super::text::NOTHING.to_owned(),
        Ok(index) if index < all => format!("{}/{all}", index + 1),
        Ok(_) | Err(_) => format!("{all}/{all}"),
    }
}

/// How many proxies have what is published: `2/3`.
fn proxies(release: &Release) -> String {
    format!("{}/{}", release.proxies_in_force, release.proxies)
}

/// The canary's published share and the one in force.
fn weights(release: &Release) -> (String, String) {
    if release.canary_version.is_empty() {
        // "0%" beside a version that has everything would be read as its share.
        return ("-".into(), "-".into());
    }
    (percent(release.set_weight), percent(release.actual_weight))
}

#[cfg(test)]
pub(super) mod examples {
    //! Releases to show.

    use envoy_types::pb::google::protobuf::{Duration, Timestamp};

    use crate::admin::proto::{Evidence, Phase, Release, Share};

    /// When the examples are looked at.
    pub(in crate::cli) fn now() -> jiff::Timestamp {
        jiff::Timestamp::from_second(1_000_000).expect("a time")
    }

    /// So many seconds before [`now`].
    pub(in crate::cli) fn ago(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds: 1_000_000 - seconds, nanos: 0 })
    }

    /// In its second step.
    pub(in crate::cli) fn progressing() -> Release {
        let share = |version: &str, weight, rps, error_rate, millis| Share {
            version: version.into(),
            weight,
            requests_per_second: rps,
            error_rate,
            p99: Some(Duration { seconds: 0, nanos: millis * 1_000_000 }),
        };
        Release {
            name: "checkout".into(),
            service: "checkout".into(),
            version: "v2".into(),
            stable_version: "v1".into(),
            canary_version: "v2".into(),
            phase: Phase::Progressing.into(),
            message: "comparing v2 with v1".into(),
            steps: ["setWeight 5%", "analyze at most 10m", "setWeight 50%", "pause until promoted"]
                .map(Into::into)
                .into(),
            step: 1,
            set_weight: 5.0,
            actual_weight: 0.0,
            proxies: 3,
            proxies_in_force: 2,
            evidence: Some(Evidence {
                canary_requests: 1_234,
                canary_errors: 3,
                baseline_requests: 23_456,
                baseline_errors: 50,
                revert_evidence: 0.42,
                revert_bound: 100.0,
                advance_evidence: 12.0,
                advance_bound: 20.0,
                proxies: 2,
                observed: Some(Duration { seconds: 95, nanos: 0 }),
                verdict: "no worse so far".into(),
            }),
            started_at: ago(200),
            changed_at: ago(100),
            shares: vec![share("v2", 5.0, 12.9, 0.0024, 20), share("v1", 95.0, 246.0, 0.0021, 18)],
            held: false,
            routing: vec!["rest: v2 5%, v1 95%".into()],
            way_back: vec!["v1".into(), "v0".into()],
            ..Release::default()
        }
    }

    /// With everything on the wanted version.
    pub(in crate::cli) fn healthy() -> Release {
        Release {
            name: "cart".into(),
            service: "cart".into(),
            version: "v7".into(),
            stable_version: "v7".into(),
            phase: Phase::Healthy.into(),
            message: "v7 has all traffic".into(),
            steps: vec!["setWeight 50%".into()],
            step: 1,
            proxies: 3,
            proxies_in_force: 3,
            started_at: ago(7_200),
            changed_at: ago(7_000),
            routing: vec!["rest: v7".into()],
            ..Release::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_from_one() {
        let at = |steps: usize, step| step_of(steps, step);
        for (steps, step, text) in [(0, 0, "-"), (4, 0, "1/4"), (4, 3, "4/4"), (4, 4, "4/4"), (4, u32::MAX, "4/4")] {
            assert_eq!(at(steps, step), text);
        }
    }

    fn step_of(steps: usize, step: u32) -> String {
        super::step(&Release { steps: vec![String::new(); steps], step, ..Release::default() })
    }
}
