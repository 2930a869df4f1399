//! One release in full, laid out as `kubectl argo rollouts get rollout` does. PURE.

use jiff::Timestamp;

use super::super::output::{Cell, Style, Tone, table};
use super::super::text::{
    age, count, duration, latency, on_one_line, or_nothing, percent, plural, rate, span, three_digits,
};
use super::{status, step, weights};
use crate::admin::proto::{Evidence, FailedVersion, Phase, Release};

/// Header, evidence, versions, routing and steps.
pub(in crate::cli) fn tree(release: &Release, now: Timestamp, style: Style) -> String {
    let mut parts = vec![header(release, now, style)];
    if let Some(evidence) = &release.evidence {
        parts.push(judgement(release, evidence, style));
    }
    if !release.shares.is_empty() {
        parts.push(versions(release, style));
    }
    if says_more_than_shares(&release.routing) {
        parts.push(routing(release, style));
    }
    if !release.steps.is_empty() {
        parts.push(steps(release, style));
    }
    parts.join("\n")
}

fn header(release: &Release, now: Timestamp, style: Style) -> String {
    let (icon, word, tone) = status(release);
    let held = if release.held { " (held)" } else { "" };
    let (set, actual) = weights(release);
    let wanted = match release.version.as_str() {
        wanted if wanted == release.stable_version || wanted == release.canary_version => String::new(),
        wanted => format!(" (wanted: {})", or_nothing(wanted)),
    };
    let mut lines = vec![
        ("Name", release.name.clone()),
        ("Service", release.service.clone()),
        ("Status", style.paint(tone, &format!("{icon} {word}")) + held),
        ("Message", on_one_line(&release.message)),
        ("Stable", style.paint(Tone::Good, or_nothing(&release.stable_version)) + &wanted),
        ("Canary", style.paint(Tone::Notable, or_nothing(&release.canary_version))),
        ("Step", step(release)),
        ("SetWeight", set),
        ("ActualWeight", actual),
        ("Endpoints", on_one_line(&release.endpoints)),
        ("Waits", on_one_line(&release.waits)),
        ("Calls", on_one_line(&release.calls.join("; "))),
        ("Failed", release.failed.as_ref().map(failed).unwrap_or_default()),
        ("Way back", on_one_line(&release.way_back.join(", "))),
        ("Proxies", format!("{} of {} have it in force", release.proxies_in_force, release.proxies)),
        ("Started", format!("{} ago", age(release.started_at.as_ref(), now))),
        ("Changed", format!("{} ago", age(release.changed_at.as_ref(), now))),
    ];
    let of_the_canary = ["Canary", "SetWeight", "ActualWeight"];
    lines.retain(|(name, text)| {
        !text.is_empty() && (!of_the_canary.contains(name) || !release.canary_version.is_empty())
    });
    lines.into_iter().map(|(name, text)| format!("{:<14} {text}\n", format!("{name}:"))).collect()
}

fn failed(FailedVersion { version, times }: &FailedVersion) -> String {
    format!("{}, {}", on_one_line(version), plural(usize::try_from(*times).unwrap_or(usize::MAX), "time"))
}

/// The shares stand beside the versions already.
fn says_more_than_shares(routing: &[String]) -> bool {
    match routing {
        [] => false,
        [shares] => shares.contains(", by "),
        [_, _, ..] => true,
    }
}

fn routing(release: &Release, style: Style) -> String {
    let lines: Vec<String> = release.routing.iter().map(|line| on_one_line(line)).collect();
    style.paint(Tone::Strong, "ROUTING (what decides first comes first)") + "\n" + &branches(&lines)
}

fn judgement(release: &Release, evidence: &Evidence, style: Style) -> String {
    let counted = |requests: u64, errors: u64| match requests {
        0 => "no requests".to_owned(),
        _ => format!(
            "{} requests, {} failed ({})",
            count(requests),
            count(errors),
            rate(errors as f64 / requests as f64)
        ),
    };
    let bound = |evidence: f64, bound: f64, tone: Tone| {
        let text = format!("{} of {}", three_digits(evidence), three_digits(bound));
        if bound > 0.0 && evidence >= bound { style.paint(tone, &format!("{text}, reached")) } else { text }
    };
    let canary = format!("canary {}", or_nothing(&release.canary_version));
    let baseline = format!("baseline {}", or_nothing(&release.stable_version));
    let lines = [
        (canary.as_str(), counted(evidence.canary_requests, evidence.canary_errors)),
        (baseline.as_str(), counted(evidence.baseline_requests, evidence.baseline_errors)),
        ("to revert", bound(evidence.revert_evidence, evidence.revert_bound, Tone::Bad)),
        ("to advance", bound(evidence.advance_evidence, evidence.advance_bound, Tone::Good)),
        (
            "observed",
            format!(
                "{} on {}",
                span(duration(evidence.observed.as_ref())),
                match evidence.proxies {
                    1 => "1 proxy".to_owned(),
                    proxies => format!("{proxies} proxies"),
                }
            ),
        ),
        ("verdict", on_one_line(or_nothing(&evidence.verdict))),
    ];
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines: Vec<String> =
        lines.iter().map(|(name, text)| format!("{}   {text}", pad(&on_one_line(name), width))).collect();
    style.paint(Tone::Strong, "EVIDENCE") + "\n" + &branches(&lines)
}

fn versions(release: &Release, style: Style) -> String {
    let rows: Vec<[Cell; 6]> = release
        .shares
        .iter()
        .map(|share| {
            let (role, tone) = if share.version == release.stable_version {
                ("stable", Some(Tone::Good))
            } else if share.version == release.canary_version {
                ("canary", Some(Tone::Notable))
            } else {
                ("", None)
            };
            let dressed = |text: &str| tone.map_or_else(|| Cell::from(text), |tone| Cell::toned(text, tone));
            [
                dressed(&share.version),
                percent(share.weight).into(),
                format!("{}/s", three_digits(share.requests_per_second)).into(),
                rate(share.error_rate).into(),
                latency(share.p99.as_ref()).into(),
                dressed(role),
            ]
        })
        .collect();
    table(["VERSION", "WEIGHT", "REQUESTS", "ERRORS", "P99", "ROLE"], &rows, style)
}

fn steps(release: &Release, style: Style) -> String {
    let current = usize::try_from(release.step).unwrap_or(usize::MAX);
    let underway = match release.phase() {
        Phase::Progressing | Phase::Paused => !release.canary_version.is_empty(),
        Phase::Unspecified | Phase::Healthy | Phase::Promoting | Phase::Reverting | Phase::Degraded => false,
    };
    let lines: Vec<String> = release
        .steps
        .iter()
        .enumerate()
        .map(|(index, what)| {
            let what = on_one_line(what);
            if index < current {
                style.paint(Tone::Good, "✔") + " " + &what
            } else if index == current && underway {
                style.paint(Tone::Notable, &format!("▶ {what}"))
            } else {
                style.paint(Tone::Faint, &format!("· {what}"))
            }
        })
        .collect();
    let heading = format!("STEPS ({})", plural(release.steps.len(), "step"));
    style.paint(Tone::Strong, &heading) + "\n" + &branches(&lines)
}

/// Lines as the branches of a tree.
fn branches(lines: &[String]) -> String {
    let last = lines.len().saturating_sub(1);
    let branch = |index: usize| if index == last { "└──" } else { "├──" };
    lines.iter().enumerate().map(|(index, line)| format!("{} {line}\n", branch(index))).collect()
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.chars().count())))
}

#[cfg(test)]
mod tests {
    use super::super::examples::{healthy, now, progressing};
    use super::*;

    #[test]
    fn a_release_on_its_way() {
        let expected = "\
Name:          checkout
Service:       checkout
Status:        ◌ Progressing
Message:       comparing v2 with v1
Stable:        v1
Canary:        v2
Step:          2/4
SetWeight:     5%
ActualWeight:  0%
Way back:      v1, v0
Proxies:       2 of 3 have it in force
Started:       3m20s ago
Changed:       100s ago

EVIDENCE
├── canary v2     1,234 requests, 3 failed (0.24%)
├── baseline v1   23,456 requests, 50 failed (0.21%)
├── to revert     0.420 of 100
├── to advance    12.0 of 20.0
├── observed      95s on 2 proxies
└── verdict       no worse so far

VERSION   WEIGHT   REQUESTS   ERRORS   P99    ROLE
v2        5%       12.9/s     0.24%    20ms   canary
v1        95%      246/s      0.21%    18ms   stable

STEPS (4 steps)
├── ✔ setWeight 5%
├── ▶ analyze at most 10m
├── · setWeight 50%
└── · pause until promoted
";
        assert_eq!(tree(&progressing(), now(), Style::PLAIN), expected);
    }

    #[test]
    fn a_healthy_one_has_no_canary() {
        let text = tree(&healthy(), now(), Style::PLAIN);
        assert!(text.contains("Status:        ✔ Healthy\n"), "{text}");
        assert!(text.contains("└── ✔ setWeight 50%\n"), "{text}");
        assert!(
            !text.contains("Canary:")
                && !text.contains("Weight:")
                && !text.contains("EVIDENCE")
                && !text.contains("VERSION"),
            "{text}"
        );
    }

    #[test]
    fn states_are_told_apart() {
        let in_phase = |phase: Phase, edit: fn(&mut Release)| {
            let mut release = Release { phase: phase.into(), ..progressing() };
            edit(&mut release);
            tree(&release, now(), Style::PLAIN)
        };
        for (phase, status) in [
            (Phase::Paused, "॥ Paused"),
            (Phase::Promoting, "◌ Promoting"),
            (Phase::Reverting, "⚠ Reverting"),
            (Phase::Degraded, "✖ Degraded"),
            (Phase::Unspecified, "? Unknown"),
        ] {
            let text = in_phase(phase, |_| {});
            assert!(text.contains(&format!("Status:        {status}\n")), "{text}");
            assert_eq!(text.contains('▶'), phase == Phase::Paused, "{text}");
        }
        assert!(in_phase(Phase::Paused, |r| r.held = true).contains("॥ Paused (held)\n"));
        assert!(in_phase(Phase::Degraded, |r| r.canary_version.clear()).contains("Stable:        v1 (wanted: v2)\n"));
        let reached = in_phase(Phase::Reverting, |r| {
            r.evidence.as_mut().expect("an example has it").revert_evidence = 123.0;
        });
        assert!(reached.contains("├── to revert     123 of 100, reached\n"), "{reached}");
    }

    #[test]
    fn what_is_special_is_told() {
        let mut release = progressing();
        assert!(!tree(&release, now(), Style::PLAIN).contains("ROUTING"), "the shares are told already");
        release.routing = vec!["rest: v2 5%, v1 95%, by cookie uid".into()];
        assert!(tree(&release, now(), Style::PLAIN).contains("└── rest: v2 5%, v1 95%, by cookie uid\n"));
        release.routing.insert(0, "header x-internal exact \"true\": v2".into());
        release.endpoints = "2 of 8 endpoints run v2".into();
        release.waits = "checkout waits until cart has what it wants".into();
        release.calls = vec!["hook tests, try 2".into(), "probe of 10.0.0.1:80, try 1".into()];
        release.failed = Some(FailedVersion { version: "v2".into(), times: 2 });
        let text = tree(&release, now(), Style::PLAIN);
        let header = "\
Endpoints:     2 of 8 endpoints run v2
Waits:         checkout waits until cart has what it wants
Calls:         hook tests, try 2; probe of 10.0.0.1:80, try 1
Failed:        v2, 2 times
Way back:      v1, v0
";
        let routing = "
ROUTING (what decides first comes first)
├── header x-internal exact \"true\": v2
└── rest: v2 5%, v1 95%, by cookie uid

STEPS";
        assert!(text.contains(header) && text.contains(routing), "{text}");
    }

    #[test]
    fn no_traffic_is_no_rate() {
        let mut release = progressing();
        release.evidence = Some(Evidence::default());
        release.shares[0].p99 = None;
        let text = tree(&release, now(), Style::PLAIN);
        assert!(text.contains("├── canary v2     no requests\n"), "{text}");
        assert!(text.contains("v2        5%       12.9/s     0.24%    -      canary\n"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }

    #[test]
    fn colours_are_escapes_and_nothing_else() {
        let coloured = tree(&progressing(), now(), Style { colour: true });
        assert!(coloured.contains("\x1b[33mv2\x1b[0m") && coloured.contains("\x1b[32mv1\x1b[0m"), "{coloured}");
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            plain += before;
            rest = after.split_once('m').expect("an escape ends").1;
        }
        assert_eq!(plain + rest, tree(&progressing(), now(), Style::PLAIN));
    }
}
