//! `serin get --watch` and `--until`: follows the server's stream, through its restarts too.
//!
//! What to print and when to end is decided by pure functions; the stream, the clock and the terminal are around them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tonic::Code;

use super::client::ServerArgs;
use super::failure::Failure;
use super::get::{Form, Goal};
use super::json::Shown;
use super::output::{Format, is_clever_terminal, json_line, put, say, yaml};
use super::release;
use super::text::span;
use crate::admin::proto::{ListReleasesResponse, Phase, Release, WatchReleasesRequest};

/// Time between two attempts to find a server that was lost.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// Time between two drawings when nothing changes: ages go on.
const REDRAW: Duration = Duration::from_secs(1);

/// What to wait for.
#[derive(Debug, Clone)]
pub(super) struct Until {
    /// The state.
    pub(super) goal: Goal,
    /// No state counts before the spec asks for this version.
    pub(super) of: Option<String>,
}

impl Until {
    /// How it ended, if it did.
    fn ended(&self, release: &Release) -> Option<Result<(), Failure>> {
        if self.of.as_ref().is_some_and(|version| *version != release.version) {
            return None;
        }
        let degraded = || Failure::Degraded(format!("release {} is degraded: {}", release.name, release.message));
        match (self.goal, release.phase()) {
            (Goal::Healthy | Goal::Settled, Phase::Healthy) | (Goal::Degraded, Phase::Degraded) => Some(Ok(())),
            (Goal::Healthy | Goal::Settled, Phase::Degraded) => Some(Err(degraded())),
            (
                Goal::Healthy | Goal::Settled,
                Phase::Unspecified | Phase::Progressing | Phase::Paused | Phase::Promoting | Phase::Reverting,
            )
            | (
                Goal::Degraded,
                Phase::Unspecified
                | Phase::Healthy
                | Phase::Progressing
                | Phase::Paused
                | Phase::Promoting
                | Phase::Reverting,
            ) => None,
        }
    }
}

/// Follows the named release, or all, until told otherwise. `deadline` also says how long it was when it was set.
pub(super) async fn run(
    server: &ServerArgs,
    name: Option<String>,
    until: Option<Until>,
    deadline: Option<(Instant, Duration)>,
    form: Form,
) -> Result<(), Failure> {
    let waits = until.is_some();
    let on_screen = form.output == Format::Table && is_clever_terminal();
    let mut watch = Watch { name, until, form, on_screen, drawn: false, answered: false, seen: None };
    let ended = match deadline {
        None => watch.follow(server).await,
        Some((at, timeout)) => match tokio::time::timeout_at(at, watch.follow(server)).await {
            Ok(ended) => ended,
            Err(_) => Err(watch.in_vain(timeout)),
        },
    };
    match ended {
        // Nobody looks any more, but what was waited for did not come.
        Err(Failure::Closed) if waits => Err(Failure::Told),
        ended => ended,
    }
}

struct Watch {
    name: Option<String>,
    until: Option<Until>,
    form: Form,
    on_screen: bool,
    drawn: bool,
    /// Whether the present stream has given anything.
    answered: bool,
    /// What was shown last; `None` before the first answer.
    seen: Option<Vec<Release>>,
}

/// Why a stream ended before the goal.
enum Lost {
    /// The server may come back.
    ForNow(String),
    /// There is no sense in trying again.
    ForGood(Failure),
}

impl From<Failure> for Lost {
    fn from(failure: Failure) -> Self {
        Lost::ForGood(failure)
    }
}

impl Watch {
    async fn follow(&mut self, server: &ServerArgs) -> Result<(), Failure> {
        let mut told = false;
        loop {
            self.answered = false;
            let reason = match self.stream(server).await {
                Ok(()) => return Ok(()),
                Err(Lost::ForGood(failure)) => return Err(failure),
                Err(Lost::ForNow(reason)) => reason,
            };
            // A stream that gave nothing is the same outage.
            told &= !self.answered;
            if !told {
                say(&format!("lost the server, trying to reach it again: {reason}"));
                told = true;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// One stream, to its end or to the goal.
    async fn stream(&mut self, server: &ServerArgs) -> Result<(), Lost> {
        let mut client = match server.releases().await {
            Ok(client) => client,
            // Who has never seen the server has the wrong address.
            Err(failure) if self.seen.is_none() => return Err(failure.into()),
            Err(failure) => return Err(Lost::ForNow(failure.to_string())),
        };
        let names = self.name.iter().cloned().collect();
        let answer = client.watch_releases(WatchReleasesRequest { names }).await.map_err(|s| self.lost(s))?;
        let mut answers = answer.into_inner();
        let mut tick = tokio::time::interval_at(Instant::now() + REDRAW, REDRAW);
        loop {
            let answer = tokio::select! {
                answer = answers.message() => answer.map_err(|s| self.lost(s))?,
                _ = tick.tick(), if self.on_screen => {
                    self.draw()?;
                    continue;
                }
            };
            let Some(answer) = answer else {
                return Err(Lost::ForNow("it ended the stream".to_owned()));
            };
            if let Some(ended) = self.take(answer.releases)? {
                return Ok(ended?);
            }
        }
    }

    fn lost(&self, status: tonic::Status) -> Lost {
        let may_come = self.until.as_ref().is_some_and(|until| until.of.is_some());
        let for_good = if status.code() == Code::NotFound { !may_come } else { is_for_good(status.code()) };
        if for_good { Lost::ForGood(status.into()) } else { Lost::ForNow(status.message().to_owned()) }
    }

    /// Shows an answer, and says how the wait ended, if it did.
    fn take(&mut self, releases: Vec<Release>) -> Result<Option<Result<(), Failure>>, Failure> {
        self.answered = true;
        let before = self.seen.replace(releases).unwrap_or_default();
        let now = self.seen.as_deref().unwrap_or_default();
        if self.on_screen {
            self.draw()?;
        } else {
            let text = changes(&before, now, self.form.output, Timestamp::now())?;
            if !text.is_empty() {
                put(&text)?;
            }
        }
        let now = self.seen.as_deref().unwrap_or_default();
        let Some(name) = &self.name else { return Ok(None) };
        let Some(release) = now.iter().find(|release| release.name == *name) else {
            let may_come = self.until.as_ref().is_some_and(|until| until.of.is_some());
            return Ok((!may_come).then(|| Err(Failure::NotFound(format!("there is no release named {name}")))));
        };
        Ok(self.until.as_ref().and_then(|until| until.ended(release)))
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let Some(releases) = self.seen.clone() else { return Ok(()) };
        let now = Timestamp::now();
        let text = match (&self.name, releases.as_slice()) {
            (Some(_), [release]) => self.form.one(release, now)?,
            (Some(_) | None, _) => self.form.all(&ListReleasesResponse { releases }, now)?,
        };
        put(&frame(&text, !self.drawn))?;
        self.drawn = true;
        Ok(())
    }

    fn in_vain(&self, timeout: Duration) -> Failure {
        let name = self.name.as_deref().unwrap_or_default();
        let stands = match self.seen.iter().flatten().find(|release| release.name == name) {
            Some(release) => format!("it stands at: {}", release::change(release)),
            None => "the server has not shown it".to_owned(),
        };
        Failure::Timeout(format!("release {name} did not get there within {}; {stands}", span(timeout)))
    }
}

/// Whether a stream that ended so has no chance the next time, either.
pub(super) fn is_for_good(code: Code) -> bool {
    match code {
        Code::NotFound
        | Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::PermissionDenied
        | Code::Unauthenticated => true,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => false,
    }
}

/// The text at the top of the terminal, over what was there: nothing flickers.
fn frame(text: &str, first: bool) -> String {
    let start = if first { "\x1b[2J\x1b[H" } else { "\x1b[H" };
    format!("{start}{}\x1b[J", text.replace('\n', "\x1b[K\n"))
}

/// What there is to print of an answer after the one before.
fn changes(before: &[Release], after: &[Release], format: Format, now: Timestamp) -> Result<String, Failure> {
    let before: BTreeMap<&str, &Release> = before.iter().map(|release| (release.name.as_str(), release)).collect();
    let mut text = String::new();
    for release in after {
        let old = before.get(release.name.as_str()).copied();
        let worth_a_line = || old.map(release::change) != Some(release::change(release));
        match format {
            Format::Table if worth_a_line() => text += &format!("{now:.3} {}\n", release::change(release)),
            Format::Name if worth_a_line() => text += &format!("{}\n", release.name),
            Format::Json if old != Some(release) => text += &json_line(&Shown::of(release))?,
            Format::Yaml if old != Some(release) => text += &format!("---\n{}", yaml(&Shown::of(release))?),
            Format::Table | Format::Name | Format::Json | Format::Yaml => {}
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::release::examples::{healthy, now, progressing};
    use super::*;

    #[test]
    fn a_wait_ends_as_wished() {
        let in_phase = |phase: Phase| Release { phase: phase.into(), ..progressing() };
        let codes = |goal, of: Option<&str>| {
            let until = Until { goal, of: of.map(str::to_owned) };
            [Phase::Healthy, Phase::Degraded, Phase::Paused, Phase::Reverting, Phase::Promoting].map(|phase| {
                until.ended(&in_phase(phase)).map(|ended| ended.map_or_else(|failure| failure.code(), |()| 0))
            })
        };
        assert_eq!(codes(Goal::Healthy, None), [Some(0), Some(3), None, None, None]);
        assert_eq!(codes(Goal::Settled, None), [Some(0), Some(3), None, None, None]);
        assert_eq!(codes(Goal::Degraded, None), [None, Some(0), None, None, None]);
        assert_eq!(codes(Goal::Healthy, Some("v2")), [Some(0), Some(3), None, None, None]);
        assert_eq!(codes(Goal::Healthy, Some("v3")), [None; 5], "the spec does not ask for it yet");
    }

    #[test]
    fn only_changes_are_printed() {
        let print =
            |before: &[Release], after: &[Release], format| changes(before, after, format, now()).expect("printable");
        let both = [healthy(), progressing()];
        assert_eq!(print(&[], &both, Format::Table).lines().count(), 2);
        let mut next = both.clone();
        next[1].shares[0].requests_per_second += 1.0;
        assert_eq!(print(&both, &next, Format::Table), "", "not worth a line");
        let json = print(&both, &next, Format::Json);
        let value: serde_json::Value = serde_json::from_str(&json).expect("one object");
        assert_eq!((json.lines().count(), &value["name"]), (1, &"checkout".into()));
        next[1].actual_weight = 5.0;
        assert_eq!(
            print(&both, &next, Format::Table),
            "1970-01-12T13:46:40.000Z checkout v1→v2 Progressing step=2/4 set=5% actual=5% proxies=2/3 comparing v2 \
             with v1\n"
        );
        assert_eq!(print(&both, &next, Format::Name), "checkout\n");
        assert!(print(&both, &next, Format::Yaml).starts_with("---\nname: checkout\n"));
        assert_eq!(print(&both, &both, Format::Json), "");
    }

    #[test]
    fn a_frame_leaves_nothing_of_the_one_before() {
        assert_eq!(frame("a\nb\n", true), "\x1b[2J\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(frame("a\n", false), "\x1b[Ha\x1b[K\n\x1b[J");
    }
}
