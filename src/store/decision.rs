//! The newest decision of a journal, which is all that is left of a release at rest.

use jiff::Timestamp;

use super::{History, StoreError};
use crate::rollout::{Command, Decision, Phase, Present, Record, ReleaseStatus, Told};

/// How many entries are read at once.
const PAGE: usize = 500;

/// The newest decision of a release, or the newest up to an entry of its journal, with what it stood on; and what goes on
/// now, of a release that is shown like this. `None` when there never was one of that name. Blocking.
///
/// # Errors
/// When the store cannot be read.
pub fn told(
    history: &dyn History,
    release: &str,
    last: Option<u64>,
    status: Option<&ReleaseStatus>,
) -> Result<Option<Told>, StoreError> {
    let newest = history.journal_back(release, u64::MAX, 1)?;
    if newest.is_empty() && status.is_none() {
        return Ok(None);
    }
    let mut decision = newest_of(history, release, last.unwrap_or(u64::MAX), Record::is_decision)?;
    if let Some(decision) = decision.as_mut().filter(|decision| decision.record.reason().is_none()) {
        decision.cause = cause_before(history, release, decision.sequence)?;
    }
    // Of a release that was never carried out there is nothing else to tell.
    let is_new = decision.is_none() && last.is_none();
    let goes_on = |status: &&ReleaseStatus| is_new || !matches!(status.phase, Phase::Healthy | Phase::Degraded);
    let present = match status.filter(goes_on) {
        None => None,
        Some(status) => Some(Present {
            message: status.message.clone(),
            since: since(history, release)?,
            explanation: status.explanation.clone(),
        }),
    };
    // Of an entry of the past nobody asks what comes next.
    let next = status.filter(|_| last.is_none()).and_then(|status| status.next.clone());
    Ok(Some(Told { decision, present, next }))
}

/// What a decision followed from, where it says nothing of its own: a verdict, an order or an edit. A share that only had
/// to come into force is looked past; a pause that ended by itself is not, because what led to it led no further.
fn cause_before(history: &dyn History, release: &str, sequence: u64) -> Result<Option<String>, StoreError> {
    let mut is_settled = false;
    let mut last = sequence.saturating_sub(1);
    while last > 0 {
        let is_more = |record: &Record| !matches!(record, Record::Measured { .. });
        let Some(before) = newest_of(history, release, last, is_more)? else { return Ok(None) };
        last = before.sequence.saturating_sub(1);
        match before.record {
            Record::Judged { reason, .. } => return Ok(Some(reason)),
            Record::Ordered { command: command @ (Command::Promote { .. } | Command::Retry) } => {
                return Ok(Some(format!("ordered by hand: {}", command.describe())));
            }
            edited @ Record::StrategyChanged { kept: false, .. } => return Ok(Some(edited.message())),
            Record::Settled { .. } => is_settled = true,
            Record::StepBegun { what, .. } if is_settled && what.starts_with("setWeight") => is_settled = false,
            Record::Started { .. } | Record::WaveBegun { .. } | Record::StrategyChanged { .. } => {}
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// When anything happened last that is more than a measurement.
fn since(history: &dyn History, release: &str) -> Result<Option<Timestamp>, StoreError> {
    let happened = newest_of(history, release, u64::MAX, |record| !matches!(record, Record::Measured { .. }))?;
    Ok(happened.map(|decision| decision.at))
}

fn newest_of(
    history: &dyn History,
    release: &str,
    mut last: u64,
    is_wanted: impl Fn(&Record) -> bool,
) -> Result<Option<Decision>, StoreError> {
    loop {
        let page = history.journal_back(release, last, PAGE)?;
        for entry in &page {
            let doing = || format!("reading entry {} of the journal of {release}", entry.sequence);
            // Most are measurements, which are large.
            if entry.kind == "measured" {
                continue;
            }
            let record: Record = serde_json::from_str(&entry.json).map_err(|e| StoreError::new(doing(), e))?;
            if is_wanted(&record) {
                return Ok(Some(Decision { sequence: entry.sequence, at: entry.at, record, cause: None }));
            }
        }
        match page.last().and_then(|entry| entry.sequence.checked_sub(1)) {
            Some(before) if before > 0 => last = before,
            _ => return Ok(None),
        }
    }
}
