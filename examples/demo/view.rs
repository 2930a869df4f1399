//! What is seen while it runs: a picture that is redrawn on a terminal, a line for each change elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use serin_testbed::load::Summary;

use crate::status::Release;

/// The width of the weight bar.
const BAR: usize = 40;

/// A proxy as it is shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProxyRow {
    pub id: String,
    pub variant: &'static str,
    /// Requests so far, by version.
    pub served: BTreeMap<String, u64>,
}

/// What there is to show.
pub(crate) struct Picture<'a> {
    pub elapsed: Duration,
    /// What the demo does, in words.
    pub scene: &'a str,
    pub release: &'a Release,
    /// The last whole second of the load.
    pub second: &'a Summary,
    pub proxies: &'a [ProxyRow],
}

/// Shows pictures, each in the place of the one before.
pub(crate) enum View {
    /// A terminal; how many lines the last picture took.
    Redrawn { lines: usize },
    /// Anything else; what was last told of the scene and the release.
    Lines { scene: String, last: String },
}

impl View {
    /// A live picture when it is wanted and standard output is a terminal that can.
    pub(crate) fn new(live: bool) -> Self {
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        if live && std::io::stdout().is_terminal() && !dumb {
            View::Redrawn { lines: 0 }
        } else {
            View::Lines { scene: String::new(), last: String::new() }
        }
    }

    /// Shows what there is now. Standard output that is gone is no reason to fail.
    pub(crate) fn show(&mut self, picture: &Picture) {
        let mut out = std::io::stdout().lock();
        match self {
            View::Redrawn { lines } => {
                let frame = picture.frame();
                // Up to where the last one began, and no wrapping: a narrow terminal cuts lines instead of adding some.
                let up = if *lines > 0 { format!("\x1b[{lines}A\x1b[J") } else { String::new() };
                let _ = write!(out, "{up}\x1b[?7l{frame}\x1b[?7h");
                let _ = out.flush();
                *lines = frame.lines().count();
            }
            View::Lines { scene, last } => {
                if scene != picture.scene {
                    let _ = writeln!(out, "{:>6.1}s  -- {}", picture.elapsed.as_secs_f64(), picture.scene);
                    *scene = picture.scene.to_owned();
                }
                let label = picture.label();
                if *last != label {
                    let _ = writeln!(out, "{}", picture.line());
                    *last = label;
                }
            }
        }
    }
}

impl Picture<'_> {
    /// What must change for a new line.
    fn label(&self) -> String {
        let release = self.release;
        format!("{}|{}|{}", release.label(), release.set_weight, release.actual_weight)
    }

    fn line(&self) -> String {
        let Release { set_weight, actual_weight, proxies, proxies_in_force, .. } = self.release;
        let mut line = format!(
            "{:>6.1}s  {:<50} weight {set_weight}% ({actual_weight}% in force, {proxies_in_force}/{proxies} proxies)",
            self.elapsed.as_secs_f64(),
            self.release.label(),
        );
        for (name, version) in &self.second.versions {
            let name = name.as_deref().unwrap_or("no version");
            let _ = write!(line, " | {name} {}/s {} failed", version.requests, version.failures);
        }
        line
    }

    fn frame(&self) -> String {
        let release = self.release;
        let (sign, word) = release.phase.shown();
        let mut frame = String::new();
        let _ = writeln!(frame, "{:>6.1} s   {}\n", self.elapsed.as_secs_f64(), self.scene);
        let _ = writeln!(frame, "release   checkout   {sign} {word}   {}", release.message);
        let to = if release.canary_version.is_empty() { "-" } else { &release.canary_version };
        let step = (release.step as usize + 1).min(release.steps.len());
        let what = release.steps.get(release.step as usize).map_or("", String::as_str);
        let _ = writeln!(
            frame,
            "versions  stable {}   canary {to}   step {step}/{}  {what}",
            release.stable_version,
            release.steps.len()
        );
        let filled = ((release.actual_weight / 100.0 * BAR as f64).ceil() as usize).min(BAR);
        let _ = writeln!(
            frame,
            "weight    [{}{}] {}% in force of {}%   {}/{} proxies",
            "█".repeat(filled),
            "░".repeat(BAR - filled),
            release.actual_weight,
            release.set_weight,
            release.proxies_in_force,
            release.proxies
        );
        match &release.evidence {
            Some(e) => {
                let _ = writeln!(
                    frame,
                    "evidence  it is worse: {:.3} of {:.0}   it is good enough: {:.3} of {:.0}\n",
                    e.revert_evidence.value(),
                    e.revert_bound,
                    e.advance_evidence.value(),
                    e.advance_bound
                );
            }
            None => frame.push_str("evidence  nothing is being judged\n\n"),
        }
        self.load(&mut frame);
        frame.push('\n');
        for proxy in self.proxies {
            let served: Vec<_> = proxy.served.iter().map(|(version, count)| format!("{version} {count}")).collect();
            let _ = writeln!(frame, "{:<10} {:<6} served {}", proxy.id, proxy.variant, served.join("   "));
        }
        frame
    }

    fn load(&self, frame: &mut String) {
        let _ = writeln!(frame, "{:<10} {:>8} {:>9} {:>9}", "version", "req/s", "failed/s", "p99 ms");
        for (name, version) in &self.second.versions {
            let p99 = version.p50_p99().1.unwrap_or_default().as_secs_f64() * 1e3;
            let name = name.as_deref().unwrap_or("none");
            let _ = writeln!(frame, "{name:<10} {:>8} {:>9} {p99:>9.1}", version.requests, version.failures);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Evidence, Phase};

    #[test]
    fn a_picture_shows_the_release_and_lines_tell_changes() {
        let release = Release {
            version: "v2".into(),
            stable_version: "v1".into(),
            canary_version: "v2".into(),
            phase: Phase::Progressing,
            steps: vec!["setWeight: 5".into(), "analyze".into()],
            step: 1,
            set_weight: 5.0,
            actual_weight: 5.0,
            proxies: 4,
            proxies_in_force: 4,
            evidence: Some(Evidence::default()),
            ..Release::default()
        };
        let second = Summary::default();
        let picture =
            |release| Picture { elapsed: Duration::from_secs(3), scene: "x", release, second: &second, proxies: &[] };
        let frame = picture(&release).frame();
        for part in ["◌ Progressing", "stable v1   canary v2   step 2/2  analyze", "██░", "5% in force of 5%   4/4"]
        {
            assert!(frame.contains(part), "{part} in\n{frame}");
        }
        assert!(picture(&release).line().contains("step 2/2 analyze"));
        let moved = Release { message: "another".into(), ..release.clone() };
        assert_eq!(picture(&release).label(), picture(&moved).label(), "words alone make no line");
        let moved = Release { actual_weight: 0.0, ..release.clone() };
        assert_ne!(picture(&release).label(), picture(&moved).label());
    }
}
