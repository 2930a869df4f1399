//! The newest decision of a journal, which is all that is left of a release at rest.

use jiff::Timestamp;

use super::{History, StoreError};
use crate::rollout::{Decision, Phase, Present, Record, ReleaseStatus, Told};

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
        decision.verdict = verdict_before(history, release, decision.sequence)?;
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
    Ok(Some(Told { decision, present }))
}

/// The verdict that a decision followed from: what was told right before it.
fn verdict_before(history: &dyn History, release: &str, sequence: u64) -> Result<Option<String>, StoreError> {
    let Some(last) = sequence.checked_sub(1).filter(|last| *last > 0) else { return Ok(None) };
    let before = newest_of(history, release, last, |record| !matches!(record, Record::Measured { .. }))?;
    Ok(before.and_then(|before| match before.record {
        Record::Judged { reason, .. } => Some(reason),
        _ => None,
    }))
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
                return Ok(Some(Decision { sequence: entry.sequence, at: entry.at, record, verdict: None }));
            }
        }
        match page.last().and_then(|entry| entry.sequence.checked_sub(1)) {
            Some(before) if before > 0 => last = before,
            _ => return Ok(None),
        }
    }
}
