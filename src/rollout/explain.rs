//! PURE: why a rollout stands as it does, in the words of its judge; and how a decision is told with it.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::Record;
use super::evidence::Basis;
use super::state::{Progress, Rollout, Stage, State};
use crate::analysis::{Compared, Explanation, Judge};
use crate::model::{AnalysisPolicy, Release, Step};

/// A decision of a journal, and what goes on now: the same for the API, the command line and the web page.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Told {
    /// The decision; none where nothing was decided yet.
    pub decision: Option<Decision>,
    /// What goes on now; of a release at rest only where nothing was decided.
    pub present: Option<Present>,
    /// What comes next, and what a person can do; also of a release at rest that was reverted.
    pub next: Option<String>,
}

/// A decision and what it stood on.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Its number in the journal.
    pub sequence: u64,
    /// When it was made.
    pub at: Timestamp,
    /// What was decided.
    pub record: Record,
    /// What it followed from (a verdict, an order, an edit), where it says nothing of its own.
    pub cause: Option<String>,
}

impl Decision {
    /// Why, in its own words or those of what it followed from.
    pub fn reason(&self) -> Option<&str> {
        self.record.reason().or(self.cause.as_deref())
    }
}

/// What goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Present {
    /// What it is doing, or waits for, in a sentence.
    pub message: String,
    /// Since when: the newest entry of the journal that is more than a measurement.
    pub since: Option<Timestamp>,
    /// Why.
    pub explanation: Option<Explanation>,
}

impl Record {
    /// Whether it is an advance, a hold or a revert, or a verdict.
    pub fn is_decision(&self) -> bool {
        self.headline().is_some()
    }

    /// What was decided, in a few words, with a sign before it: good, waits, bad.
    pub fn headline(&self) -> Option<String> {
        Some(match self {
            Record::Judged { verdict, .. } if verdict == "pass" => "✔ judged good enough".to_owned(),
            Record::Judged { verdict, .. } if verdict == "fail" => "✖ judged worse than tolerated".to_owned(),
            Record::Judged { verdict, .. } => format!("॥ judged: {verdict}"),
            Record::StepBegun { step, what, .. } => format!("✔ advanced to step {}: {what}", step + 1),
            Record::Promoting { canary, .. } => format!("✔ promoted {canary}"),
            Record::Reverting { canary, .. } => format!("✖ reverted {canary}"),
            Record::ArmStopped { version, .. } => format!("✖ stopped {version}"),
            Record::Held { .. } => "॥ held".to_owned(),
            Record::Waiting { .. } => "॥ waits".to_owned(),
            _ => return None,
        })
    }

    /// Why, in the decision's own words.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Record::Judged { reason, .. }
            | Record::Reverting { reason, .. }
            | Record::ArmStopped { reason, .. }
            | Record::Held { reason, .. }
            | Record::Waiting { reason, .. }
            | Record::Promoting { reason: Some(reason), .. } => Some(reason),
            _ => None,
        }
    }
}

impl Told {
    /// All of it as lines for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match &self.decision {
            None => text.push_str("nothing was decided yet\n"),
            Some(decision @ Decision { sequence, at, record, .. }) => {
                let _ = writeln!(text, "{} at {at:.3}, entry {sequence}", record.headline().unwrap_or_default());
                if let Some(reason) = decision.reason() {
                    let _ = writeln!(text, "  because: {}", on_one_line(reason));
                }
                lines(&mut text, record.explanation());
            }
        }
        if let Some(Present { message, since, explanation }) = &self.present {
            let since = since.map(|since| format!(" (since {since:.3})")).unwrap_or_default();
            let _ = writeln!(text, "\nnow{since}: {}", on_one_line(message));
            lines(&mut text, explanation.as_ref());
        }
        if let Some(next) = &self.next {
            let _ = writeln!(text, "next: {}", on_one_line(next));
        }
        text
    }
}

/// The three lines, each metric that decides nothing, and each place where it is worse.
fn lines(text: &mut String, explanation: Option<&Explanation>) {
    let Some(explanation) = explanation else { return };
    for line in explanation.lines() {
        let _ = writeln!(text, "  {}", on_one_line(line));
    }
    for shown in &explanation.dry_run {
        let _ = writeln!(text, "    {}", on_one_line(shown));
    }
    for place in &explanation.places {
        let _ = writeln!(text, "    {}", on_one_line(&place.said()));
    }
}

/// Whoever rejects something may say it in several lines, or with what a terminal would obey.
fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Rollout {
    /// Why a canary on its way stands as it does; nothing before there was anything to look at.
    pub(super) fn explain(&self, progress: &Progress, policy: &AnalysisPolicy) -> Option<Explanation> {
        let has_begun = progress.stage != Stage::Preparing || progress.wave > 0;
        let compared = Compared { canary: &progress.canary, baseline: self.baseline(), requests: self.requests() };
        (has_begun && progress.judge.windows() > 0)
            .then(|| progress.judge.explain(progress.judge.asked(policy), compared))
    }

    /// The same of a candidate of an experiment.
    pub(super) fn explain_arm(&self, version: &str, judge: &Judge, policy: &AnalysisPolicy) -> Explanation {
        judge.explain(
            judge.asked(policy),
            Compared { canary: version, baseline: self.baseline(), requests: self.requests() },
        )
    }

    /// What a decision that comes from outside stands on.
    pub(super) fn explanation(&self, policy: &AnalysisPolicy) -> Option<Explanation> {
        match &self.state {
            State::Progressing(progress) => self.explain(progress, policy),
            _ => None,
        }
    }

    /// Why the present state is as it is, and what it waits for where it is good enough.
    pub(super) fn explain_present(&self, release: &Release) -> Option<Explanation> {
        let explanation = self.explanation(&release.analysis)?;
        Some(match self.awaits(release) {
            Some(what) => explanation.but(&format!("waits for {what}")),
            None => explanation,
        })
    }

    /// What keeps a canary that is good enough from going on.
    fn awaits(&self, release: &Release) -> Option<String> {
        let State::Progressing(progress) = &self.state else { return None };
        let step = progress.steps.get(progress.step);
        Some(match &progress.stage {
            _ if self.held => "`resume`".into(),
            _ if release.paused => "its spec (`paused: true`)".into(),
            _ if self.waits.is_some() => "what is said above".into(),
            Stage::Waiting { .. } => "a person (`promote`)".into(),
            Stage::Pausing { .. } => format!("the end of `{}`", step?),
            Stage::Analyzing { .. } if matches!(step, Some(Step::Watch { .. } | Step::Holdback(_))) => {
                format!("the end of `{}`", step?)
            }
            Stage::Settling => "the proxies, which have to acknowledge it".into(),
            Stage::Calling(calling) => format!("the hook {}", calling.hook.name),
            Stage::Replacing => "its endpoints, which are being replaced".into(),
            Stage::Gate => "the releases that go together with it".into(),
            Stage::Preparing | Stage::Analyzing { .. } => return None,
        })
    }

    /// Which requests are counted, in words.
    fn requests(&self) -> &'static str {
        match self.basis() {
            Basis::Shared => "first tries, randomly assigned requests",
            Basis::Tries => "tries of the requests that were chosen for it, against all tries",
            Basis::Copies => "tries of the requests that were copied to it, against all tries",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Command;

    fn explanation(evidence: &str) -> Box<Explanation> {
        let [compared, evidence, over] = ["v2 37/412 (9.0%) failed", evidence, "over 42 s"].map(str::to_owned);
        Box::new(Explanation { compared, evidence, over, ..Explanation::default() })
    }

    #[test]
    fn decisions_are_told_with_what_they_stood_on() {
        let record = Record::Reverting {
            canary: "v2".into(),
            stable: "v1".into(),
            reason: "too many\nerrors".into(),
            explanation: Some(explanation("evidence 3.0e28 ≥ 100")),
        };
        let at = Timestamp::UNIX_EPOCH;
        let present = Present { message: "back to v1".into(), since: Some(at), explanation: None };
        let mut told = Told {
            decision: Some(Decision { sequence: 7, at, record, cause: None }),
            present: Some(present),
            next: None,
        };
        let decided = "✖ reverted v2 at 1970-01-01T00:00:00.000Z, entry 7\n  because: too many errors\n  \
                       v2 37/412 (9.0%) failed\n  evidence 3.0e28 ≥ 100\n  over 42 s\n";
        assert_eq!(told.text(), format!("{decided}\nnow (since 1970-01-01T00:00:00.000Z): back to v1\n"));
        told.present = None;
        assert_eq!(told.text(), decided);
        told.next = Some("fix it".into());
        assert_eq!(told.text(), format!("{decided}next: fix it\n"));
        assert_eq!(Told::default().text(), "nothing was decided yet\n");
    }

    #[test]
    fn only_decisions_are_explained() {
        let begun = || Record::StepBegun {
            step: 1,
            what: "setWeight 5%".into(),
            weight: crate::model::Weight::ZERO,
            explanation: None,
        };
        let mut records = [begun(), Record::Ordered { command: Command::Pause }];
        records.iter_mut().for_each(|record| record.explain(&explanation("first")));
        // What was said once stays.
        records.iter_mut().for_each(|record| record.explain(&explanation("second")));
        assert_eq!(records[0].explanation(), Some(&*explanation("first")));
        assert_eq!((records[1].explanation(), records[1].is_decision()), (None, false));
        assert_eq!(records[0].headline().as_deref(), Some("✔ advanced to step 2: setWeight 5%"));
    }
}
