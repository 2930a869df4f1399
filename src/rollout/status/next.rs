//! What comes next, and what a person can do until then, in a sentence.

use std::time::Duration;

use super::super::state::{Progress, Rollout, Stage, State};
use crate::model::{Friendly, Holdback, OnDeadline, OnInconclusive, Release, Step};

/// The sentence, for a release whose next turn is decided by time, by evidence or by a person.
pub(super) fn of(rollout: &Rollout, release: &Release) -> Option<String> {
    let name = &release.name;
    match &rollout.state {
        State::Progressing(_) if rollout.held => {
            Some(format!("`serin resume {name}` goes on, `serin abort {name}` goes back"))
        }
        State::Progressing(_) if release.paused => {
            Some(format!("`paused: false` in its spec goes on, `serin abort {name}` goes back"))
        }
        // What it waits for is said in its message, and no order goes on before it.
        State::Progressing(_) if rollout.waits.is_some() => None,
        State::Progressing(progress) => {
            let until = match &progress.stage {
                Stage::Analyzing { spent, blind } => looks(progress, release, *spent, *blind)?,
                Stage::Waiting { .. } if progress.rolling.is_none() => "waits for a person".to_owned(),
                _ => return None,
            };
            Some(format!("{until}. `serin promote {name}` goes on now, `serin abort {name}` goes back"))
        }
        State::Reverted { .. } if rollout.tries_again(release) => {
            let by_itself = "it is tried again by itself";
            Some(format!("{by_itself}; `serin retry {name}` does it now, `serin abort {name}` gives that up"))
        }
        State::Reverted { canary, .. } if *canary != release.version => None,
        State::Reverted { .. } if release.paused => {
            Some(format!("fix it and release a new version, or say `paused: false` and `serin retry {name}`"))
        }
        State::Reverted { .. } => Some(format!("fix it and release a new version, or `serin retry {name}`")),
        _ => None,
    }
}

/// Until when it looks at the canary, and what then.
fn looks(progress: &Progress, release: &Release, spent: Duration, blind: Duration) -> Option<String> {
    let policy = &release.analysis;
    let (left, ends) = match progress.steps.get(progress.step)? {
        Step::Analyze { max } => (max.saturating_sub(spent), false),
        Step::Auto { max, within, .. } => {
            let all = within.map_or(*max, |within| within.saturating_sub(progress.climb.spent));
            (max.saturating_sub(spent).min(all), false)
        }
        Step::Watch { duration } | Step::Holdback(Holdback { duration, .. }) => (duration.saturating_sub(spent), true),
        _ => return None,
    };
    let left = Friendly(Duration::from_secs(left.as_secs()));
    let mut said = if ends || !policy.can_prove() {
        format!("for {left} more, then it goes on if nothing speaks against it")
    } else {
        let then = match policy.on_inconclusive {
            OnInconclusive::Pause => "waits for a person (onInconclusive: pause)",
            OnInconclusive::Revert => "goes back (onInconclusive: revert)",
            OnInconclusive::Advance => "goes on (onInconclusive: advance)",
        };
        format!("until it is proven, at most {left} more; then it {then}")
    };
    if blind >= super::message::SILENCE {
        said += "; that time stands still while there is no evidence";
        if let Some(deadline) = release.progress_deadline.filter(|deadline| deadline.action == OnDeadline::Revert) {
            let left = deadline.after.saturating_sub(progress.stalled);
            said +=
                &format!(", and in {} it goes back (progressDeadline)", Friendly(Duration::from_secs(left.as_secs())));
        }
    }
    Some(said)
}
